# The CUDA backend: built where nvcc is, unless it is switched off. It needs no GPU and no driver to be built, and what is
# built starts without them: the CUDA runtime is linked statically, cuBLASLt is loaded when it is asked for.
find_program(POLYMATH_NVCC nvcc PATHS /usr/local/cuda/bin)
mark_as_advanced(POLYMATH_NVCC)
set(POLYMATH_NVCC_VERSION 0)
if(POLYMATH_NVCC)
  execute_process(COMMAND ${POLYMATH_NVCC} --version OUTPUT_VARIABLE nvcc_says)
  string(REGEX MATCH "release ([0-9]+)" nvcc_release "${nvcc_says}")
  set(POLYMATH_NVCC_VERSION "${CMAKE_MATCH_1}")
endif()
if(POLYMATH_NVCC_VERSION EQUAL 13 AND NOT POLYMATH_SANITIZE AND NOT POLYMATH_FUZZ)
  set(POLYMATH_CUDA_DEFAULT ON)
else()
  set(POLYMATH_CUDA_DEFAULT OFF)
endif()
option(POLYMATH_CUDA "Build the CUDA backend (needs nvcc 13)" ${POLYMATH_CUDA_DEFAULT})

if(POLYMATH_CUDA)
  if(NOT POLYMATH_NVCC_VERSION EQUAL 13)
    message(FATAL_ERROR "POLYMATH_CUDA is ON and nvcc of CUDA 13 is not found (\"${POLYMATH_NVCC}\" is of "
                        "${POLYMATH_NVCC_VERSION}); install it, or configure with -DPOLYMATH_CUDA=OFF")
  endif()
  set(CMAKE_CUDA_COMPILER ${POLYMATH_NVCC})
  set(CMAKE_CUDA_ARCHITECTURES OFF)  # named in full below: CMake 3.25 does not know 90a
  if(CCACHE)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
  endif()
  enable_language(CUDA)
  # CMake 3.25 does not know this either.
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA_STANDARD 20)
  find_package(CUDAToolkit REQUIRED)
  add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-gencode arch=compute_90a,code=sm_90a>"
                      "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr>"
                      "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Xcompiler -Wall,-Wextra,-ffunction-sections,-fdata-sections>")
endif()
