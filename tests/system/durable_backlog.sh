#!/bin/bash
# A backlog far larger than the broker's memory: it takes none, a restart is quick, and all of it comes out.
# SPDX-License-Identifier: MPL-2.0
#
# usage: durable_backlog.sh LEAT HELPER RECORDS SANITIZER; with a SANITIZER, memory and time are not judged.

. "$(dirname "$0")/command_line.sh"
records=$3
sanitizer=${4:-}

data=$work/data
size=(--data-size 4GiB) # sanitizers and valgrind have no room for the usual map of 1 TiB
limits=("${size[@]}" --limit memory_size=32MiB --limit stream_size=16MiB --limit read_window=4MiB)

# The broker's own memory in KiB; pages of the file are the kernel's.
memory () {
    awk '/^RssAnon/ { print $2 }' "/proc/$broker/status"
}

expect_little_memory () {
    local kib
    kib=$(memory)
    echo "$1: RssAnon $kib KiB"
    [ -n "$sanitizer" ] || [ "$kib" -lt 100000 ] || fail "the broker takes $kib KiB when $1"
}

milliseconds () {
    echo $((${EPOCHREALTIME/[.,]/} / 1000))
}

# backlog OPTION...: of the broker
backlog () {
    local began took
    rm -rf "$data"
    start_broker -d "$data" "${limits[@]}" "$@"
    expect 0 timeout 300 "$leat" produce full "$work/in"
    expect_little_memory "$records records wait"
    kill -KILL "$broker"
    expect_end "$broker" 137
    began=$(milliseconds)
    start_broker -d "$data" "${limits[@]}" "$@"
    expect_little_memory "it has recovered"
    expect 0 "$leat" consume full -n 1 --quiet
    took=$(($(milliseconds) - began))
    expect_same <(head -n 1 "$work/in") "$work/stdout"
    echo "restart to first delivery: $took ms"
    [ -n "$sanitizer" ] || [ "$took" -lt 2000 ] || fail "the first delivery took $took ms"
    timeout 300 "$leat" consume full --exit-when-empty > "$work/out" || fail "not all records come"
    expect_same <(tail -n +2 "$work/in") "$work/out"
    expect_little_memory "all records were consumed"
    wait_until "the last trim" stream_has full held 0
    stop_broker
    expect 0 "$leat" store verify "$data"
}

seq -f '%0100.0f' "$records" > "$work/in"
backlog
# Batches of a single record.
backlog --max-record 128B --limit batch_size=136B
