# Imported target LibTorch::torch: torch_cpu and c10 of any LibTorch >= 2.4, from CMAKE_PREFIX_PATH,
# LIBTORCH_ROOT or what tools/setup --torch unpacked into INGOT_DEPS_DIR/libtorch. The wheel's own
# TorchConfig.cmake would drag in all of CUDA. LibTorch_WHY says why none was found.
set(LibTorch_FOUND FALSE)
set(LibTorch_WHY "not installed: tools/setup --torch, or name one by -DLIBTORCH_ROOT=PATH")
find_path(LIBTORCH_INCLUDE_DIR ATen/ATen.h
  HINTS ${LIBTORCH_ROOT} $ENV{LIBTORCH_ROOT} ${INGOT_DEPS_DIR}/libtorch
  PATH_SUFFIXES include torch/include)
if(LIBTORCH_INCLUDE_DIR)
  get_filename_component(libtorch_root ${LIBTORCH_INCLUDE_DIR} DIRECTORY)
  find_library(LIBTORCH_CPU_LIBRARY torch_cpu HINTS ${libtorch_root} PATH_SUFFIXES lib)
  find_library(LIBTORCH_C10_LIBRARY c10 HINTS ${libtorch_root} PATH_SUFFIXES lib)
  foreach(header torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
    if(EXISTS ${LIBTORCH_INCLUDE_DIR}/${header})
      file(STRINGS ${LIBTORCH_INCLUDE_DIR}/${header} libtorch_lines
           REGEX "^#define TORCH_VERSION_(MAJOR|MINOR|PATCH) [0-9]+")
      if(libtorch_lines)
        string(REGEX REPLACE "[^0-9;]" "" libtorch_numbers "${libtorch_lines}")
        string(REPLACE ";" "." LibTorch_VERSION "${libtorch_numbers}")
        break()
      endif()
    endif()
  endforeach()
  if(NOT LIBTORCH_CPU_LIBRARY OR NOT LIBTORCH_C10_LIBRARY)
    set(LibTorch_WHY "${LIBTORCH_INCLUDE_DIR} has no libtorch_cpu and libc10 beside it")
  elseif(NOT LibTorch_VERSION OR LibTorch_VERSION VERSION_LESS 2.4)
    set(LibTorch_WHY "${libtorch_root} is version '${LibTorch_VERSION}', at least 2.4 is needed")
  else()
    # A build with the old string ABI cannot be linked with this program.
    file(STRINGS ${LIBTORCH_C10_LIBRARY} libtorch_abi REGEX "__cxx1112basic_string" LIMIT_COUNT 1)
    if(libtorch_abi)
      set(LibTorch_FOUND TRUE)
    else()
      set(LibTorch_WHY "${libtorch_root} was built with the old C++ ABI: take a cxx11-abi build")
    endif()
  endif()
endif()
if(LibTorch_FOUND AND NOT TARGET LibTorch::torch)
  add_library(LibTorch::c10 SHARED IMPORTED)
  set_target_properties(LibTorch::c10 PROPERTIES IMPORTED_LOCATION ${LIBTORCH_C10_LIBRARY})
  add_library(LibTorch::torch SHARED IMPORTED)
  set_target_properties(LibTorch::torch PROPERTIES IMPORTED_LOCATION ${LIBTORCH_CPU_LIBRARY}
    INTERFACE_LINK_LIBRARIES LibTorch::c10)
  # Behind the system's folders: the wheel brings its own fmt, and it must not stand for ours.
  target_compile_options(LibTorch::torch INTERFACE "SHELL:-idirafter ${LIBTORCH_INCLUDE_DIR}"
    "SHELL:-idirafter ${LIBTORCH_INCLUDE_DIR}/torch/csrc/api/include")
  # A build with CUDA needs its run-time libraries even where no GPU is used: beside it as the
  # wheels lay them, or from the CUDA toolkit.
  target_link_options(LibTorch::torch INTERFACE LINKER:--no-as-needed LINKER:--allow-shlib-undefined)
  find_path(LIBTORCH_CUDA_DIR NAMES libcudart.so.13 libcudart.so.12
    HINTS ${libtorch_root}/../nvidia/cu13/lib ${libtorch_root}/lib /usr/local/cuda/lib64)
  if(LIBTORCH_CUDA_DIR)
    target_link_options(LibTorch::torch INTERFACE
      LINKER:-rpath-link,${LIBTORCH_CUDA_DIR} LINKER:-rpath,${LIBTORCH_CUDA_DIR})
  endif()
endif()
