# ingot_room(NAME [FOLDER f] [SUBDIRS d...] LINK lib... [PRIVATE lib...] [PUBLIC lib...])
# One static library per folder (NAME, unless FOLDER says another), ingot_<NAME>, from every .cc in it. Files named *_avx2.cc and
# *_avx512.cc alone get the flags of their instruction set; they are reached through run-time
# dispatch, so nothing shipped needs -march.
# Designated initialisers name what they set; the rest has its default.
set(INGOT_WARNINGS -Wall -Wextra -Werror -Wno-missing-field-initializers)
set(INGOT_AVX2_FLAGS "-mavx2;-mfma;-mf16c;-mbmi2")
set(INGOT_AVX512_FLAGS
    "-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512vnni;${INGOT_AVX2_FLAGS}")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12's own AVX-512 headers trip these (GCC bug 105593).
  list(APPEND INGOT_AVX512_FLAGS -Wno-uninitialized -Wno-maybe-uninitialized)
endif()

add_library(ingot_flags INTERFACE)
target_include_directories(ingot_flags INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
                           $<INSTALL_INTERFACE:include/ingot>)
# Warnings are for who builds this project, not for one that uses it.
if(NOT PROJECT_IS_TOP_LEVEL)
  set(INGOT_WARNINGS)
endif()
target_compile_options(ingot_flags INTERFACE "$<BUILD_INTERFACE:${INGOT_WARNINGS};-ffp-contract=off>"
  # GCC 12 reports std::string assignments as overlapping copies (GCC bug 105651).
  $<BUILD_INTERFACE:$<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>>)
if(INGOT_SANITIZE)
  target_compile_options(ingot_flags INTERFACE -fsanitize=${INGOT_SANITIZE} -fno-omit-frame-pointer
                                               -fno-sanitize-recover=all -g1)
  target_link_options(ingot_flags INTERFACE -fsanitize=${INGOT_SANITIZE})
endif()
if(INGOT_FUZZ)
  target_compile_options(ingot_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(ingot_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# ingot_unity(TARGET): with INGOT_UNITY, as tools/test and tools/demo build, files of a room's folder are compiled about ten at
# a time: most of a file's compile time is headers that its neighbours read, too. Which files share a unit follows
# from their folder and their name, so that a new one changes one unit. Without it each file is compiled alone, so that
# it includes what it uses. Files whose local names another file of their folder has as well stay alone.
option(INGOT_UNITY "Compile several files at a time" OFF)
set(INGOT_ALONE
    "_scalar\\.cc$"
    "artifact/(signature|signature_area)\\.cc$"
    "calibration/imatrix_reader\\.cc$"
    "calibration/torch/(rwkv_torch_ops|torch_ops|train_router|tune_block)\\.cc$"
    "codecs/.*/(entropy_pack|entropy_rate|entropy_round|lowrank_fit|transform|trellis_search|vq_tile)\\.cc$"
    "jobs/(routers_job|stepped_logits)\\.cc$"
    "loader/.*/(scan_kernels|speculative_decoder|step_times)\\.cc$"
    "loader/planes/resident_"
    "model/families/family_(gemma|gpt|llama|registry)\\.cc$"
    "model/source/(generation_config|gguf/gguf_(families|integers|pretokenizers)|hf/text_model)\\.cc$"
    "model/source/(quantized/modelopt|torch/torch_state_dict)\\.cc$"
    "model/tokenizer/(bpe|config_tokens|sentencepiece_file|sentencepiece_model|sentencepiece_tokenizer|tekken|unigram|vocab_files)\\.cc$"
    "tools/cli/(help_format|run_command)\\.cc$")
function(ingot_unity target)
  if(NOT INGOT_UNITY)
    return()
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  get_target_property(sources ${target} SOURCES)
  set(folders)
  foreach(file ${sources})
    get_filename_component(folder ${file} DIRECTORY)
    file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR} ${folder})
    string(MAKE_C_IDENTIFIER "${folder}" folder)
    list(APPEND folders ${folder})
    if(NOT DEFINED files_${folder})
      set(files_${folder} 0)
    endif()
    math(EXPR files_${folder} "${files_${folder}} + 1")
  endforeach()
  foreach(file folder IN ZIP_LISTS sources folders)
    foreach(pattern ${INGOT_ALONE})
      if(file MATCHES "${pattern}")
        set_source_files_properties(${file} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
      endif()
    endforeach()
    get_filename_component(name ${file} NAME)
    string(MD5 digest ${name})
    string(SUBSTRING ${digest} 0 4 digest)
    math(EXPR unit "0x${digest} % (${files_${folder}} / 11 + 1)")
    set_source_files_properties(${file} PROPERTIES UNITY_GROUP ${folder}_${unit})
  endforeach()
endfunction()

function(ingot_isa_flags)
  foreach(file ${ARGN})
    if(file MATCHES "_vbmi_avx512\\.cc$")
      set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS "${INGOT_AVX512_FLAGS};-mavx512vbmi")
    elseif(file MATCHES "_avx512\\.cc$")
      set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS "${INGOT_AVX512_FLAGS}")
    elseif(file MATCHES "_avx2\\.cc$")
      set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS "${INGOT_AVX2_FLAGS}")
    endif()
  endforeach()
endfunction()

function(ingot_room name)
  cmake_parse_arguments(ROOM "" "FOLDER" "SUBDIRS;LINK;PRIVATE;PUBLIC" ${ARGN})
  if(NOT ROOM_FOLDER)
    set(ROOM_FOLDER ${name})
  endif()
  set(globs ${PROJECT_SOURCE_DIR}/${ROOM_FOLDER}/*.cc)
  foreach(sub ${ROOM_SUBDIRS})
    list(APPEND globs ${PROJECT_SOURCE_DIR}/${ROOM_FOLDER}/${sub}/*.cc)
  endforeach()
  file(GLOB sources CONFIGURE_DEPENDS ${globs})
  ingot_isa_flags(${sources})
  add_library(ingot_${name} STATIC ${sources} ${PROJECT_SOURCE_DIR}/cmake/empty.cc)
  ingot_unity(ingot_${name})
  target_link_libraries(ingot_${name} PUBLIC ingot_flags ${ROOM_LINK} ${ROOM_PUBLIC}
                        PRIVATE ${ROOM_PRIVATE})
endfunction()
