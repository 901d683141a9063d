# The libraries that Leat stands on, as imported targets (PkgConfig::NAME).
# SPDX-License-Identifier: MPL-2.0

find_package (PkgConfig REQUIRED)
find_package (Threads REQUIRED)

# CRC32C at the speed of memory.
pkg_check_modules (ISAL REQUIRED IMPORTED_TARGET libisal)

# Sockets, for what does I/O; and the JSON of the stats socket, for the broker and who reads it.
pkg_check_modules (ZMQ REQUIRED IMPORTED_TARGET libzmq>=4.3.4)
pkg_check_modules (JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules (CZMQ REQUIRED IMPORTED_TARGET libczmq)

# Durable streams.
pkg_check_modules (LMDB REQUIRED IMPORTED_TARGET lmdb)

# <bsd/sys/tree.h> and <bsd/sys/queue.h>: containers made of macros, so only the header is needed.
find_path (LEAT_BSD_INCLUDE_DIR bsd/sys/tree.h REQUIRED)

if (NOT LEAT_FUZZ)
    pkg_check_modules (CMOCKA REQUIRED IMPORTED_TARGET cmocka)
endif ()
