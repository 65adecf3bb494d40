# Imported target BLAKE3::blake3: the system's library where there is one, else the official C
# sources (with their hand-written AVX-512, AVX2 and SSE assembly) that tools/setup unpacks into
# INGOT_DEPS_DIR/blake3.
find_path(BLAKE3_INCLUDE_DIR blake3.h)
find_library(BLAKE3_LIBRARY blake3)
if(BLAKE3_INCLUDE_DIR AND BLAKE3_LIBRARY)
  add_library(BLAKE3::blake3 UNKNOWN IMPORTED)
  set_target_properties(BLAKE3::blake3 PROPERTIES IMPORTED_LOCATION ${BLAKE3_LIBRARY}
                        INTERFACE_INCLUDE_DIRECTORIES ${BLAKE3_INCLUDE_DIR})
  set(BLAKE3_FOUND TRUE)
elseif(EXISTS ${INGOT_DEPS_DIR}/blake3/blake3.c)
  set(dir ${INGOT_DEPS_DIR}/blake3)
  add_library(blake3 STATIC ${dir}/blake3.c ${dir}/blake3_dispatch.c ${dir}/blake3_portable.c)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    target_sources(blake3 PRIVATE ${dir}/blake3_sse2_x86-64_unix.S ${dir}/blake3_sse41_x86-64_unix.S
                   ${dir}/blake3_avx2_x86-64_unix.S ${dir}/blake3_avx512_x86-64_unix.S)
  elseif(EXISTS ${dir}/blake3_neon.c)
    target_sources(blake3 PRIVATE ${dir}/blake3_neon.c)
  endif()
  target_include_directories(blake3 SYSTEM PUBLIC $<BUILD_INTERFACE:${dir}>)
  target_compile_options(blake3 PRIVATE $<$<COMPILE_LANGUAGE:C>:-O3>)
  add_library(BLAKE3::blake3 ALIAS blake3)
  set(BLAKE3_FOUND TRUE)
else()
  message(FATAL_ERROR "BLAKE3 is neither installed nor in ${INGOT_DEPS_DIR}/blake3; run tools/setup")
endif()
