# The words in which the folders list what they are made of.
#
#   gribstore_library(NAME SOURCES file... [LINK library...])     a static library
#   gribstore_program(NAME SOURCES file... [LINK library...])     a binary in bin/; the target programs builds all of them

function(gribstore_library NAME)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
    add_library(${NAME} STATIC ${ARG_SOURCES})
    target_link_libraries(${NAME} PUBLIC ${ARG_LINK})
endfunction()

function(gribstore_program NAME)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
    add_executable(${NAME} ${ARG_SOURCES} ${gribstore_sanitizer_source})
    target_link_libraries(${NAME} PRIVATE ${ARG_LINK})
    if(NOT TARGET programs)
        add_custom_target(programs)
    endif()
    add_dependencies(programs ${NAME})
endfunction()
