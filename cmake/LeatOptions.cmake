# Compiler flags: the same for every target, chosen by a few options that the presets set.
# SPDX-License-Identifier: MPL-2.0

option (LEAT_WERROR "Warnings are errors (every preset sets this)" OFF)
option (LEAT_FUZZ "Build libFuzzer programs (needs clang) and leave the tests out" OFF)
option (LEAT_COVERAGE "Count which lines run, for gcovr" OFF)
set (LEAT_SANITIZE "" CACHE STRING "Value of -fsanitize=, such as address,undefined or thread")
set (LEAT_SIMULATION_SEEDS 50 CACHE STRING "How many seeds the simulation in ctest runs")

set (CMAKE_C_STANDARD 11)
set (CMAKE_C_STANDARD_REQUIRED ON)
set (CMAKE_C_EXTENSIONS OFF)
set (CMAKE_EXPORT_COMPILE_COMMANDS ON)
set (CMAKE_POSITION_INDEPENDENT_CODE ON)
set (CMAKE_C_VISIBILITY_PRESET hidden)
set (CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
set (CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")
set (CMAKE_LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")

# No -DNDEBUG: leat_assert stays on in every build.
set (CMAKE_C_FLAGS_DEBUG "-O1 -g")
set (CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")

# POSIX 2008 and what glibc has beyond it; -std=c11 alone hides clock_gettime and others.
add_compile_definitions (_GNU_SOURCE)

add_compile_options (
    -Wall -Wextra
    -Wcast-align
    -Wdouble-promotion
    -Wformat=2
    -Wimplicit-fallthrough
    -Wmissing-declarations
    -Wmissing-prototypes
    -Wnested-externs
    -Wold-style-definition
    -Wpointer-arith
    -Wredundant-decls
    -Wshadow
    -Wstrict-prototypes
    -Wundef
    -Wunused-macros
    -Wvla
    -Wwrite-strings
    -fno-common
    -fno-omit-frame-pointer
    -fstack-protector-strong)

if (CMAKE_C_COMPILER_ID STREQUAL "GNU")
    add_compile_options (-Wduplicated-branches -Wduplicated-cond -Wlogical-op -Wjump-misses-init)
elseif (CMAKE_C_COMPILER_ID MATCHES "Clang")
    add_compile_options (-Wcomma -Wconditional-uninitialized -Wmissing-variable-declarations)
endif ()

if (LEAT_WERROR)
    add_compile_options (-Werror)
endif ()

if (LEAT_FUZZ AND NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message (FATAL_ERROR "LEAT_FUZZ needs clang: libFuzzer is part of it (cmake --preset fuzz)")
endif ()

set (leat_sanitize ${LEAT_SANITIZE})
if (LEAT_FUZZ)
    set (leat_sanitize fuzzer-no-link,address,undefined)
endif ()
if (leat_sanitize)
    add_compile_options (-fsanitize=${leat_sanitize} -fno-sanitize-recover=all)
    add_link_options (-fsanitize=${leat_sanitize} -fno-sanitize-recover=all)
elseif (CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
    add_compile_definitions (_FORTIFY_SOURCE=2)
endif ()

if (LEAT_COVERAGE)
    add_compile_options (--coverage -fprofile-update=atomic)
    add_link_options (--coverage)
endif ()

# The symbols of instrumented objects are not ours to judge.
if (leat_sanitize OR LEAT_COVERAGE)
    set (LEAT_INSTRUMENTED ON)
else ()
    set (LEAT_INSTRUMENTED OFF)
endif ()
