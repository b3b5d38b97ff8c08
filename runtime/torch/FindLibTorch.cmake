# The LibTorch to build against, without its own CMake files, which ask for CUDA where torch was built with it.
#
#   MASKJIT_TORCH   the folder that has include/ and lib/: an unpacked LibTorch, or where the Python package is
#   MASKJIT_PYTHON  a Python that has torch, if MASKJIT_TORCH is not given; default: ./dev's virtual environment, python3
#
# Result: MASKJIT_TORCH (empty if there is none, then MASKJIT_TORCH_MISSING says why), MASKJIT_TORCH_VERSION, MASKJIT_PYTHON
# (empty if MASKJIT_TORCH is no Python package), and the target libtorch.
set(MASKJIT_TORCH "" CACHE PATH "Folder of LibTorch with include/ and lib/; empty: the Python package torch")
set(MASKJIT_PYTHON "" CACHE FILEPATH "Python that has torch; empty: build/venv, then python3")
get_filename_component(repository "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)

set(find_script "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')")
if(NOT MASKJIT_TORCH)
  set(MASKJIT_TORCH_MISSING "no Python has the package torch")
  foreach(python "${MASKJIT_PYTHON}" "${repository}/build/venv/bin/python" python3)
    if(python)
      execute_process(COMMAND "${python}" -c "${find_script}" OUTPUT_VARIABLE folder ERROR_QUIET
                      OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
      if(NOT failed AND folder)
        set(MASKJIT_TORCH "${folder}")
        set(MASKJIT_PYTHON "${python}")
        break()
      endif()
    endif()
  endforeach()
endif()

if(MASKJIT_TORCH)
  set(version_file "${MASKJIT_TORCH}/include/torch/headeronly/version.h")
  if(NOT EXISTS "${version_file}")
    set(version_file "${MASKJIT_TORCH}/include/torch/csrc/api/include/torch/version.h")
  endif()
  if(EXISTS "${version_file}" AND EXISTS "${MASKJIT_TORCH}/lib/libtorch_cpu.so")
    file(STRINGS "${version_file}" lines REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
    list(TRANSFORM lines REPLACE "[^0-9]+" "")
    list(JOIN lines "." MASKJIT_TORCH_VERSION)
    if(NOT TARGET libtorch)
      add_library(libtorch INTERFACE IMPORTED GLOBAL)
      target_include_directories(libtorch SYSTEM INTERFACE "${MASKJIT_TORCH}/include")
      target_link_libraries(libtorch INTERFACE "${MASKJIT_TORCH}/lib/libtorch_cpu.so" "${MASKJIT_TORCH}/lib/libc10.so")
    endif()
  else()
    set(MASKJIT_TORCH_MISSING "${MASKJIT_TORCH} is not a LibTorch: it lacks lib/libtorch_cpu.so or its headers")
    set(MASKJIT_TORCH "")
  endif()
endif()
