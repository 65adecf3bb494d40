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
                                               -fno-sanitize-recover=all -g)
  target_link_options(ingot_flags INTERFACE -fsanitize=${INGOT_SANITIZE})
endif()
if(INGOT_FUZZ)
  target_compile_options(ingot_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(ingot_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

function(ingot_isa_flags)
  foreach(file ${ARGN})
    if(file MATCHES "_avx512\\.cc$")
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
  target_link_libraries(ingot_${name} PUBLIC ingot_flags ${ROOM_LINK} ${ROOM_PUBLIC}
                        PRIVATE ${ROOM_PRIVATE})
endfunction()
