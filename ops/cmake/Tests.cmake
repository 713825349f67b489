# The words in which the test folders list their tests. Each test NAME is made of NAME.c and what SOURCES adds; its label
# says which kind it is.
#
#   gribstore_unit_test(NAME [THREADS] [SOURCES file...] LIBS library...)
#                                                                   cmocka; milliseconds; THREADS: threads meet in it
#   gribstore_fault_test(NAME [SOURCES file...] LIBS library...)    cmocka; loops over failing calls
#   gribstore_mongo_test(NAME [SOURCES file...] LIBS library...)    cmocka; finds a mongod in GRIBSTORE_TEST_MONGO_URI
#   gribstore_fuzz_test(NAME [LONG] WRONG function [SOURCES file...] LIBS library...)
#                                                                   LLVMFuzzerTestOneInput; inputs in corpus/NAME/
#
# The target tests_LABEL builds all tests of a label.

# What the sanitizers are told, for every test alike.
set(gribstore_test_environment
    "ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1"
    "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1"
    "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1"
)

# They take longest, in this order, and begin first, or a core would wait for them at the end.
set(gribstore_long_tests test_store_crash test_catalog test_catalog_mongo test_decoders test_decode_memo test_decode
    test_https test_tls test_http_limits test_http_file)

# gribstore_register_test(NAME LABELS TIMEOUT command...): the target NAME is a test, run by this command. TIMEOUT is a safety
# net for a test that hangs, many times what it takes: no test is held to a speed, on a machine that is busy least of all.
function(gribstore_register_test NAME LABELS TIMEOUT)
    foreach(label ${LABELS})
        if(NOT TARGET tests_${label})
            add_custom_target(tests_${label})
        endif()
        add_dependencies(tests_${label} ${NAME})
    endforeach()
    if(TSAN)
        math(EXPR TIMEOUT "4 * ${TIMEOUT}") # it costs as much
    endif()
    add_test(NAME ${NAME} COMMAND ${ARGN})
    list(FIND gribstore_long_tests ${NAME} place)
    set(cost 0)
    if(NOT place EQUAL -1)
        math(EXPR cost "100 - ${place}")
    endif()
    set_tests_properties(${NAME} PROPERTIES
        LABELS "${LABELS}" TIMEOUT ${TIMEOUT} COST ${cost} ENVIRONMENT "${gribstore_test_environment}")
endfunction()

# gribstore_add_test(NAME LABELS TIMEOUT [SOURCES file...] LIBS library... [RUNNER command...] [ARGUMENTS argument...])
function(gribstore_add_test NAME LABELS TIMEOUT)
    cmake_parse_arguments(ARG "" "" "SOURCES;LIBS;RUNNER;ARGUMENTS" ${ARGN})
    add_executable(${NAME} ${NAME}.c ${ARG_SOURCES} ${gribstore_sanitizer_source})
    set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
    target_link_libraries(${NAME} PRIVATE ${ARG_LIBS})
    gribstore_register_test(${NAME} "${LABELS}" ${TIMEOUT} ${ARG_RUNNER} $<TARGET_FILE:${NAME}> ${ARG_ARGUMENTS})
endfunction()

function(gribstore_unit_test NAME)
    cmake_parse_arguments(UNIT "THREADS" "" "" ${ARGN})
    set(labels unit)
    if(UNIT_THREADS)
        list(APPEND labels threads)
    endif()
    gribstore_add_test(${NAME} "${labels}" 1200 ${UNIT_UNPARSED_ARGUMENTS} LIBS PkgConfig::cmocka)
endfunction()

function(gribstore_fault_test NAME)
    gribstore_add_test(${NAME} fault 1200 ${ARGN} LIBS PkgConfig::cmocka)
endfunction()

# Under a replica set of one that lives as long as the test. Exit code 77: none can be had, and why.
function(gribstore_mongo_test NAME)
    gribstore_add_test(${NAME} mongo 1200 ${ARGN} LIBS PkgConfig::cmocka
        RUNNER "${PROJECT_SOURCE_DIR}/.cache/venv/bin/python" "${PROJECT_SOURCE_DIR}/tests/lib/mongod.py")
    set_tests_properties(${NAME} PROPERTIES SKIP_RETURN_CODE 77)
endfunction()

# With FUZZ libFuzzer drives the target for FUZZ_SECONDS (twice as long with LONG), from its corpus on, with dict/NAME.dict where
# there is one. Without, replay.c gives it every input of the corpus once, so that a fixed bug stays fixed under any compiler; and
# once more with a wrong function in the place of WRONG (tests/fuzz/planted.c), which has to be seen.
set(FUZZ_SECONDS 10 CACHE STRING "seconds of each fuzz target when it is run as a test; twice as many for those marked LONG")
function(gribstore_planted_test NAME WRONG CORPUS)
    cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
    set(planted ${NAME}_planted)
    add_executable(${planted} ${NAME}.c ${ARG_SOURCES} ${gribstore_sanitizer_source}
        "${PROJECT_SOURCE_DIR}/tests/fuzz/planted.c" "${PROJECT_SOURCE_DIR}/tests/fuzz/replay.c")
    set_target_properties(${planted} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
    target_compile_definitions(${planted} PRIVATE PLANTED_${NAME})
    target_link_libraries(${planted} PRIVATE ${ARG_LIBS} indexer_catalog proto_http)
    target_link_options(${planted} PRIVATE -Wl,--wrap=${WRONG})
    gribstore_register_test(${planted} fuzz 600 "${PROJECT_SOURCE_DIR}/tests/fuzz/see_report"
        $<TARGET_FILE:${planted}> "${CORPUS}")
endfunction()

function(gribstore_fuzz_test NAME)
    cmake_parse_arguments(FUZZ_TEST "LONG" "WRONG" "" ${ARGN})
    set(corpus "${CMAKE_CURRENT_SOURCE_DIR}/corpus/${NAME}")
    if(FUZZ)
        set(seconds ${FUZZ_SECONDS})
        if(FUZZ_TEST_LONG)
            math(EXPR seconds "2 * ${FUZZ_SECONDS}")
        endif()
        # New inputs go to the first folder, which is not the project's.
        set(found "${PROJECT_BINARY_DIR}/corpus/${NAME}")
        set(crashes "${PROJECT_BINARY_DIR}/crashes/${NAME}")
        file(MAKE_DIRECTORY "${found}" "${crashes}")
        # The same inputs in every run, as far as it gets: what is new is looked for by ops/fuzz. An input may take a minute, as
        # others may have the processors meanwhile.
        set(arguments -seed=1 -max_total_time=${seconds} -timeout=60 -rss_limit_mb=2048 -print_final_stats=1
            "-artifact_prefix=${crashes}/")
        set(dictionary "${CMAKE_CURRENT_SOURCE_DIR}/dict/${NAME}.dict")
        if(EXISTS "${dictionary}")
            list(APPEND arguments "-dict=${dictionary}")
        endif()
        if(NOT EXISTS "${corpus}")
            set(corpus "")
        endif()
        gribstore_add_test(${NAME} fuzz 600 ${FUZZ_TEST_UNPARSED_ARGUMENTS} ARGUMENTS ${arguments} "${found}" ${corpus})
        target_link_options(${NAME} PRIVATE -fsanitize=fuzzer)
        set_tests_properties(${NAME} PROPERTIES COST ${seconds})
    else()
        gribstore_add_test(${NAME} fuzz 600 ${FUZZ_TEST_UNPARSED_ARGUMENTS} ARGUMENTS "${corpus}")
        target_sources(${NAME} PRIVATE "${PROJECT_SOURCE_DIR}/tests/fuzz/replay.c")
        gribstore_planted_test(${NAME} ${FUZZ_TEST_WRONG} "${corpus}" ${FUZZ_TEST_UNPARSED_ARGUMENTS})
    endif()
endfunction()
