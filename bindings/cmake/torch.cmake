# libtorch from the `torch` wheel, linked directly: the wheel's own package file stops where there is no GPU or no CUDA
# toolkit, and neither is needed to compile or to link.

set(GAVEL_TORCH_ROOT "" CACHE PATH "The wheel's torch folder; empty asks GAVEL_PYTHON")
set(GAVEL_PYTHON "" CACHE FILEPATH "A Python that has torch 2.11.0; empty takes build/venv, else python3")
if(NOT GAVEL_TORCH_ROOT)
  set(python ${GAVEL_PYTHON})
  if(NOT python AND EXISTS ${CMAKE_SOURCE_DIR}/build/venv/bin/python)
    set(python ${CMAKE_SOURCE_DIR}/build/venv/bin/python)
  elseif(NOT python)
    set(python python3)
  endif()
  execute_process(
    COMMAND ${python} -c "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0], end='')"
    OUTPUT_VARIABLE root RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "${python} has no torch: install torch==2.11.0 there, or set GAVEL_TORCH_ROOT or GAVEL_PYTHON")
  endif()
  set(GAVEL_TORCH_ROOT ${root})
endif()
if(NOT EXISTS ${GAVEL_TORCH_ROOT}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "GAVEL_TORCH_ROOT=${GAVEL_TORCH_ROOT} holds no lib/libtorch_cpu.so")
endif()

set(GAVEL_TORCH_RPATH ${GAVEL_TORCH_ROOT}/lib)
add_library(gavel_torch INTERFACE)
target_include_directories(gavel_torch SYSTEM INTERFACE ${GAVEL_TORCH_ROOT}/include
                                                        ${GAVEL_TORCH_ROOT}/include/torch/csrc/api/include)
# at::parallel_for is a template over OpenMP pragmas: without the flag it would quietly run in one thread. The runtime is
# the wheel's own, so that a process holds one.
target_compile_options(gavel_torch INTERFACE -fopenmp)
find_library(GAVEL_OPENMP NAMES libgomp.so.1 gomp PATHS ${GAVEL_TORCH_ROOT}/lib NO_DEFAULT_PATH REQUIRED)
target_link_options(gavel_torch INTERFACE -Wl,--no-as-needed)
target_link_libraries(gavel_torch INTERFACE ${GAVEL_OPENMP})
target_link_libraries(gavel_torch INTERFACE ${GAVEL_TORCH_ROOT}/lib/libtorch_cpu.so ${GAVEL_TORCH_ROOT}/lib/libc10.so)
if(EXISTS ${GAVEL_TORCH_ROOT}/lib/libtorch_cuda.so)
  # Nothing names these two, but their kernels register as they load.
  target_link_libraries(gavel_torch INTERFACE ${GAVEL_TORCH_ROOT}/lib/libtorch_cuda.so
                                              ${GAVEL_TORCH_ROOT}/lib/libc10_cuda.so)
  target_link_options(gavel_torch INTERFACE -Wl,--allow-shlib-undefined)
  file(GLOB nvidia ${GAVEL_TORCH_ROOT}/../nvidia/*/lib)
  list(APPEND GAVEL_TORCH_RPATH ${nvidia})
endif()
