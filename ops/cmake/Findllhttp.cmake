# Finds llhttp and defines llhttp::llhttp. In this order: a CMake package (libllhttp 9), pkg-config, the sources in
# LLHTTP_SOURCE_DIR. Debian 12 has only the sources, which ops/setup puts into .cache/llhttp; of them a static library is
# made in strict mode. The mode changes the header too, so it is public.
set(LLHTTP_SOURCE_DIR "${PROJECT_SOURCE_DIR}/.cache/llhttp" CACHE PATH "llhttp.c, api.c, http.c and include/llhttp.h")

find_package(llhttp CONFIG QUIET)
foreach(target llhttp::llhttp_shared llhttp::llhttp_static)
    if(TARGET ${target} AND NOT TARGET llhttp::llhttp)
        add_library(llhttp::llhttp ALIAS ${target})
        set(llhttp_origin "CMake package")
    endif()
endforeach()

if(NOT TARGET llhttp::llhttp)
    find_package(PkgConfig QUIET)
    if(PKG_CONFIG_FOUND)
        pkg_check_modules(libllhttp QUIET IMPORTED_TARGET GLOBAL libllhttp)
        if(libllhttp_FOUND)
            add_library(llhttp::llhttp ALIAS PkgConfig::libllhttp)
            set(llhttp_origin "pkg-config")
        endif()
    endif()
endif()

if(NOT TARGET llhttp::llhttp AND EXISTS "${LLHTTP_SOURCE_DIR}/llhttp.c")
    add_library(llhttp STATIC
        "${LLHTTP_SOURCE_DIR}/llhttp.c" "${LLHTTP_SOURCE_DIR}/api.c" "${LLHTTP_SOURCE_DIR}/http.c")
    target_include_directories(llhttp SYSTEM PUBLIC "${LLHTTP_SOURCE_DIR}/include")
    target_compile_definitions(llhttp PUBLIC LLHTTP_STRICT_MODE=1)
    target_compile_options(llhttp PRIVATE -w)
    set_target_properties(llhttp PROPERTIES C_VISIBILITY_PRESET hidden C_CLANG_TIDY "")
    add_library(llhttp::llhttp ALIAS llhttp)
    set(llhttp_origin "${LLHTTP_SOURCE_DIR}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(llhttp REQUIRED_VARS llhttp_origin
    REASON_FAILURE_MESSAGE "run ops/setup, or give -DLLHTTP_SOURCE_DIR=")
