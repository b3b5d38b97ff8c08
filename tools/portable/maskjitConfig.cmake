# find_package(maskjit) of an unpacked portable folder: the target maskjit::maskjit.
get_filename_component(root "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
if(NOT TARGET maskjit::maskjit)
  add_library(maskjit::maskjit SHARED IMPORTED)
  set_target_properties(maskjit::maskjit PROPERTIES
    IMPORTED_LOCATION "${root}/lib/libmaskjit.so"
    INTERFACE_INCLUDE_DIRECTORIES "${root}/include/maskjit"
    INTERFACE_COMPILE_FEATURES cxx_std_20)
endif()
