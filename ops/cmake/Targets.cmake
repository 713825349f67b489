# The words in which the folders list what they are made of.
#
#   gribstore_library(NAME SOURCES file... [LINK library...])     a static library
#   gribstore_program(NAME SOURCES file... [LINK library...])     a binary in bin/

# Leaves out of SOURCES what is not written yet. This is the one place of that leniency.
function(gribstore_present_sources OUT)
    file(GLOB_RECURSE written CONFIGURE_DEPENDS RELATIVE "${CMAKE_CURRENT_SOURCE_DIR}" "*.c")
    set(present "")
    foreach(source ${ARGN})
        if(source IN_LIST written OR EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${source}")
            list(APPEND present ${source})
        else()
            file(RELATIVE_PATH folder "${PROJECT_SOURCE_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}")
            message(STATUS "not written yet: ${folder}/${source}")
        endif()
    endforeach()
    set(${OUT} "${present}" PARENT_SCOPE)
endfunction()

function(gribstore_library NAME)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
    gribstore_present_sources(sources ${ARG_SOURCES})
    if(sources)
        add_library(${NAME} STATIC ${sources})
        target_link_libraries(${NAME} PUBLIC ${ARG_LINK})
    else()
        add_library(${NAME} INTERFACE)
        target_link_libraries(${NAME} INTERFACE ${ARG_LINK})
    endif()
endfunction()

function(gribstore_program NAME)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
    gribstore_present_sources(sources ${ARG_SOURCES})
    if(sources)
        add_executable(${NAME} ${sources})
        target_link_libraries(${NAME} PRIVATE ${ARG_LINK})
    endif()
endfunction()
