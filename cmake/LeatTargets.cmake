# How files become libraries, tests, fuzz targets and simulations.
# SPDX-License-Identifier: MPL-2.0
#
#   leat_sources (leat_core stream.c group.c)             in the folder of the files
#   leat_test (batch test_batch.c LIBS leat_wire)         a cmocka program, label "unit"
#   leat_helper (leat_dealer dealer.c LIBS leat_broker)   what several tests share
#   leat_fuzz (codec codec.c LIBS leat_wire)              libFuzzer program, or a replay of its corpus
#   leat_simulation (simulate main.c ... LIBS leat_core)  takes --seeds N, label "simulation"
#
# Includes are written from the root: #include "wire/batch.h"; public headers are in include/.

# leat_library (NAME [LIBS libraries...])
# A static library. Its files come from leat_sources () in the folders.
function (leat_library name)
    cmake_parse_arguments (PARSE_ARGV 1 arg "" "" "LIBS")
    if (arg_UNPARSED_ARGUMENTS)
        message (FATAL_ERROR "leat_library (${name}): what is ${arg_UNPARSED_ARGUMENTS}?")
    endif ()
    add_library (${name} STATIC)
    target_include_directories (${name} PUBLIC "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/include")
    target_link_libraries (${name} PUBLIC ${arg_LIBS})
    set_property (GLOBAL APPEND PROPERTY LEAT_LIBRARIES ${name})
endfunction ()

# leat_sources (LIBRARY files...)
# Adds files of the current folder to a library that the root has made.
function (leat_sources library)
    target_sources (${library} PRIVATE ${ARGN})
endfunction ()

# leat_program (NAME sources... [LIBS libraries...])
# An executable in build/PRESET/bin.
function (leat_program name)
    cmake_parse_arguments (PARSE_ARGV 1 arg "" "" "LIBS")
    add_executable (${name} ${arg_UNPARSED_ARGUMENTS})
    target_include_directories (${name} PRIVATE "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/include")
    target_link_libraries (${name} PRIVATE ${arg_LIBS})
endfunction ()

# leat_helper (NAME sources... [LIBS libraries...])
# Files that several tests share, built once: a static library, which goes into LIBS of those tests.
function (leat_helper name)
    cmake_parse_arguments (PARSE_ARGV 1 arg "" "" "LIBS")
    add_library (${name} STATIC ${arg_UNPARSED_ARGUMENTS})
    target_include_directories (${name} PUBLIC "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/include")
    target_link_libraries (${name} PUBLIC ${arg_LIBS})
    leat_has_one_thread (one_thread ${arg_LIBS})
    set_target_properties (${name} PROPERTIES LEAT_ONE_THREAD ${one_thread} EXCLUDE_FROM_ALL ON)
endfunction ()

# leat_has_one_thread (RESULT libraries...)
# Codec, core and engines start no thread, so that ThreadSanitizer has nothing to look for in what stands
# on them alone; the other builds run that.
function (leat_has_one_thread result)
    list (REMOVE_ITEM ARGN leat_wire leat_core leat_engines m PkgConfig::CMOCKA)
    foreach (library IN LISTS ARGN)
        if (TARGET ${library})
            get_target_property (one_thread ${library} LEAT_ONE_THREAD)
            if (one_thread)
                list (REMOVE_ITEM ARGN ${library})
            endif ()
        endif ()
    endforeach ()
    if (ARGN)
        set (${result} OFF PARENT_SCOPE)
    else ()
        set (${result} ON PARENT_SCOPE)
    endif ()
endfunction ()

# leat_test (NAME sources... [LIBS libraries...] [ARGS arguments...] [LABELS labels...] [TIMEOUT seconds])
# A cmocka program test_NAME, run by ctest as NAME from the root of the tree. Labelled "unit" unless
# told otherwise; tests of that label also run under valgrind.
function (leat_test name)
    cmake_parse_arguments (PARSE_ARGV 1 arg "" "TIMEOUT" "LIBS;ARGS;LABELS")
    leat_has_one_thread (one_thread ${arg_LIBS})
    if (one_thread AND LEAT_SANITIZE MATCHES "thread")
        return ()
    endif ()
    if (NOT arg_LABELS)
        set (arg_LABELS unit)
    endif ()
    leat_program (test_${name} ${arg_UNPARSED_ARGUMENTS} LIBS ${arg_LIBS} PkgConfig::CMOCKA)
    # A cmocka test takes a state that most do not look at.
    target_compile_options (test_${name} PRIVATE -Wno-unused-parameter)
    add_test (
        NAME ${name}
        COMMAND "${PROJECT_SOURCE_DIR}/scripts/run-wrapped" $<TARGET_FILE:test_${name}> ${arg_ARGS}
        WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
    set_tests_properties (${name} PROPERTIES LABELS "${arg_LABELS}")
    if (arg_TIMEOUT)
        set_tests_properties (${name} PROPERTIES TIMEOUT ${arg_TIMEOUT})
    endif ()
endfunction ()

# leat_fuzz (NAME sources... [LIBS libraries...])
# With the fuzz preset a libFuzzer program fuzz_NAME; with every other one a program of the same name
# that runs each file of fuzz/corpus/NAME once, and fails when there is none. Both are in ctest.
function (leat_fuzz name)
    cmake_parse_arguments (PARSE_ARGV 1 arg "" "" "LIBS")
    set (corpus "${PROJECT_SOURCE_DIR}/fuzz/corpus/${name}")
    if (NOT LEAT_FUZZ)
        list (APPEND arg_UNPARSED_ARGUMENTS "${PROJECT_SOURCE_DIR}/fuzz/replay.c")
    endif ()
    leat_program (fuzz_${name} ${arg_UNPARSED_ARGUMENTS} LIBS ${arg_LIBS})
    if (LEAT_FUZZ)
        target_link_options (fuzz_${name} PRIVATE -fsanitize=fuzzer)
        add_test (NAME fuzz_${name} COMMAND fuzz_${name} -runs=0 "${corpus}")
    else ()
        add_test (
            NAME fuzz_${name}
            COMMAND "${PROJECT_SOURCE_DIR}/scripts/run-wrapped" $<TARGET_FILE:fuzz_${name}> "${corpus}")
    endif ()
    set_tests_properties (fuzz_${name} PROPERTIES LABELS fuzz)
    set_property (GLOBAL APPEND PROPERTY LEAT_FUZZ_TARGETS ${name})
endfunction ()

# leat_simulation (NAME sources... [LIBS libraries...])
# A program leat_NAME that takes --seeds N and --jobs J; in ctest N is LEAT_SIMULATION_SEEDS of the preset.
function (leat_simulation name)
    cmake_parse_arguments (PARSE_ARGV 1 arg "" "" "LIBS")
    leat_program (leat_${name} ${arg_UNPARSED_ARGUMENTS} LIBS ${arg_LIBS})
    add_test (
        NAME ${name}
        COMMAND "${PROJECT_SOURCE_DIR}/scripts/run-wrapped" $<TARGET_FILE:leat_${name}>
            --seeds ${LEAT_SIMULATION_SEEDS} --jobs 2)
    set_tests_properties (${name} PROPERTIES LABELS simulation TIMEOUT 600 PROCESSORS 2)
endfunction ()

# leat_script_test (NAME SCRIPT arguments...)
# A script of the current folder as a test, label "script".
function (leat_script_test name script)
    add_test (
        NAME ${name}
        COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/${script}" ${ARGN}
        WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
    set_tests_properties (${name} PROPERTIES LABELS script)
endfunction ()

# Called last: what ./test needs to know, a name per line.
function (leat_write_target_lists)
    get_property (fuzz_targets GLOBAL PROPERTY LEAT_FUZZ_TARGETS)
    list (JOIN fuzz_targets "\n" lines)
    file (WRITE "${PROJECT_BINARY_DIR}/fuzz-targets" "${lines}\n")

    # A library whose folders list no file yet would stop the configuration of all others.
    get_property (libraries GLOBAL PROPERTY LEAT_LIBRARIES)
    foreach (library IN LISTS libraries)
        get_target_property (sources ${library} SOURCES)
        if (NOT sources)
            message (WARNING "${library} has no source file yet")
            file (WRITE "${PROJECT_BINARY_DIR}/empty.c" "typedef int leat_empty_t;\n")
            target_sources (${library} PRIVATE "${PROJECT_BINARY_DIR}/empty.c")
        endif ()
    endforeach ()
endfunction ()
