# Makes a text file of the tree a C array: gribstore_embed(TARGET FILE SYMBOL) declares `extern const char SYMBOL[]`, terminated,
# in "<folder of the CMakeLists>/<name of FILE without extension>.h" of the build tree.
function(gribstore_embed TARGET FILE SYMBOL)
    file(RELATIVE_PATH folder "${PROJECT_SOURCE_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}")
    get_filename_component(name "${FILE}" NAME_WE)
    set(out "${PROJECT_BINARY_DIR}/generated/${folder}/${name}")
    add_custom_command(
        OUTPUT "${out}.c" "${out}.h"
        COMMAND "${CMAKE_COMMAND}" "-DFILE=${CMAKE_CURRENT_SOURCE_DIR}/${FILE}" "-DOUT=${out}" "-DSYMBOL=${SYMBOL}"
                -P "${PROJECT_SOURCE_DIR}/ops/cmake/EmbedFile.cmake"
        DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${FILE}" "${PROJECT_SOURCE_DIR}/ops/cmake/EmbedFile.cmake"
        COMMENT "Embedding ${folder}/${FILE}"
    )
    target_sources(${TARGET} PRIVATE "${out}.c" "${out}.h")
    target_include_directories(${TARGET} PRIVATE "${PROJECT_BINARY_DIR}/generated")
endfunction()
