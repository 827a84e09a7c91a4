# Is the CUDA backend built? Sets SHORTFALL_WITH_CUDA, and where it is not SHORTFALL_NO_CUDA_REASON.
# Where it is, CUDA is enabled, SHORTFALL_CUDA_KNOWN has the architectures that nvcc knows (sm_80;
# ...) and CMAKE_CUDA_ARCHITECTURES those of them that were asked for.
set(SHORTFALL_CUDA AUTO CACHE STRING
    "Build the CUDA backend: AUTO (where nvcc 12.4 or newer is found), ON or OFF")
set_property(CACHE SHORTFALL_CUDA PROPERTY STRINGS AUTO ON OFF)
set(SHORTFALL_CUDA_ARCHITECTURES 80 90 100 120 CACHE STRING
    "Compute capabilities to compile for, each with its PTX, as far as nvcc knows them")

# In `reason` why nvcc cannot be used, else an empty string.
function(shortfall_find_nvcc reason)
  set(${reason} "" PARENT_SCOPE)
  set(nvcc ${CMAKE_CUDA_COMPILER})
  if(NOT nvcc)
    set(nvcc $ENV{CUDACXX})
  endif()
  if(NOT nvcc)
    find_program(SHORTFALL_NVCC nvcc HINTS ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
    mark_as_advanced(SHORTFALL_NVCC)
    set(nvcc ${SHORTFALL_NVCC})
  endif()
  if(NOT nvcc)
    set(${reason} "no nvcc was found in PATH or /usr/local/cuda/bin" PARENT_SCOPE)
    return()
  endif()

  # Asked here, because check_language does not say what is wrong.
  execute_process(COMMAND ${nvcc} --version OUTPUT_VARIABLE version ERROR_QUIET)
  if(NOT version MATCHES "release ([0-9]+\\.[0-9]+)")
    set(${reason} "${nvcc} does not tell its version" PARENT_SCOPE)
    return()
  endif()
  if(CMAKE_MATCH_1 VERSION_LESS 12.4)
    set(${reason} "${nvcc} is of CUDA ${CMAKE_MATCH_1}, older than 12.4" PARENT_SCOPE)
    return()
  endif()
  if(NOT CMAKE_CUDA_COMPILER)
    unset(CMAKE_CUDA_COMPILER CACHE)  # an earlier failure does not stand
    set(ENV{CUDACXX} ${nvcc})
    check_language(CUDA)
    if(NOT CMAKE_CUDA_COMPILER)
      set(${reason} "${nvcc} cannot compile here: see CMakeFiles/CMakeError.log" PARENT_SCOPE)
      return()
    endif()
  endif()

  execute_process(COMMAND ${nvcc} --list-gpu-code OUTPUT_VARIABLE known)
  string(REGEX MATCHALL "sm_[0-9]+" known "${known}")
  set(SHORTFALL_CUDA_KNOWN ${known} PARENT_SCOPE)
endfunction()

# In `known` those of the architectures (80, 90, ...) that nvcc knows.
function(shortfall_known_architectures known)
  list(TRANSFORM ARGN PREPEND sm_)
  foreach(architecture IN LISTS ARGN)
    if(architecture IN_LIST SHORTFALL_CUDA_KNOWN)
      string(REPLACE sm_ "" architecture ${architecture})
      list(APPEND both ${architecture})
    endif()
  endforeach()
  set(${known} ${both} PARENT_SCOPE)
endfunction()

set(SHORTFALL_NO_CUDA_REASON "SHORTFALL_CUDA is OFF")
if(SHORTFALL_CUDA)
  set(CMAKE_CUDA_ARCHITECTURES OFF)  # each target names its own
  # By default CMake links the static runtime. Ours is the shared one, CUDA::cudart, named as any
  # other library.
  set(CMAKE_CUDA_RUNTIME_LIBRARY None)
  include(CheckLanguage)
  shortfall_find_nvcc(SHORTFALL_NO_CUDA_REASON)
endif()
if(SHORTFALL_NO_CUDA_REASON STREQUAL "")
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake before 3.26 does not know nvcc's
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  endif()
  find_package(CUDAToolkit QUIET)
  foreach(header cuda_runtime_api.h cublas_v2.h curand_kernel.h)
    find_file(SHORTFALL_CUDA_HEADER ${header} PATHS ${CUDAToolkit_INCLUDE_DIRS} NO_CACHE)
    if(NOT SHORTFALL_CUDA_HEADER OR NOT TARGET CUDA::cudart)
      set(SHORTFALL_NO_CUDA_REASON
          "the CUDA toolkit of ${CMAKE_CUDA_COMPILER} lacks ${header} or its libcudart.so")
    endif()
    unset(SHORTFALL_CUDA_HEADER)
  endforeach()
endif()

if(SHORTFALL_NO_CUDA_REASON STREQUAL "")
  shortfall_known_architectures(CMAKE_CUDA_ARCHITECTURES ${SHORTFALL_CUDA_ARCHITECTURES})
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(SHORTFALL_NO_CUDA_REASON
        "${CMAKE_CUDA_COMPILER} knows none of the architectures ${SHORTFALL_CUDA_ARCHITECTURES}")
  endif()
endif()

if(SHORTFALL_NO_CUDA_REASON STREQUAL "")
  set(SHORTFALL_WITH_CUDA ON)
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  set(CMAKE_CUDA_EXTENSIONS OFF)
  message(STATUS "CUDA backend: CUDA ${CUDAToolkit_VERSION}, sm_${CMAKE_CUDA_ARCHITECTURES}")
elseif(SHORTFALL_CUDA STREQUAL "ON")
  message(FATAL_ERROR "SHORTFALL_CUDA is ON, but ${SHORTFALL_NO_CUDA_REASON}")
else()
  set(SHORTFALL_WITH_CUDA OFF)
  message(STATUS "CUDA backend: not built: ${SHORTFALL_NO_CUDA_REASON}")
endif()
