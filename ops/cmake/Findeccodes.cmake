# Finds ecCodes and defines eccodes::eccodes. Not by its pkg-config file or CMake package: Debian's pkg-config file names
# an include folder that does not exist, and the package asks for Fortran.
find_path(eccodes_INCLUDE_DIR eccodes.h)
find_library(eccodes_LIBRARY eccodes)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(eccodes REQUIRED_VARS eccodes_LIBRARY eccodes_INCLUDE_DIR
    REASON_FAILURE_MESSAGE "run ops/setup")

if(eccodes_FOUND AND NOT TARGET eccodes::eccodes)
    add_library(eccodes::eccodes UNKNOWN IMPORTED)
    set_target_properties(eccodes::eccodes PROPERTIES
        IMPORTED_LOCATION "${eccodes_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${eccodes_INCLUDE_DIR}")
endif()
