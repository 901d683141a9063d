#!/bin/bash
# A disk that is full, a real one: producers wait, consumers go on, and it ends by itself.
# SPDX-License-Identifier: MPL-2.0
#
# The directory is a tmpfs of 24 MiB in a mount namespace. Exit code 77 where those cannot be made.

. "$(dirname "$0")/command_line.sh"

data=$work/data
mkdir "$data"
unshare -rm true 2> /dev/null || {
    echo "SKIPPED: mount namespaces cannot be made here"
    exit 77
}
start "$work/holder" unshare -rm bash -c 'mount -t tmpfs -o size=24m none "$1" && echo there && exec sleep 600' \
    bash "$data"
holder=$last
wait_until "the small disk" says "$work/holder" there
disk=/proc/$holder/root$data

enter=(nsenter -t "$holder" -U -m --preserve-credentials)
inside () {
    "${enter[@]}" "$@"
}

start_broker () {
    : > "$work/broker.log"
    "${enter[@]}" "$leat" broker -d "$data" --data-size 64MiB -l "$LEAT_BROKER" -s "$LEAT_STATS" \
        2>> "$work/broker.log" &
    broker=$!
    started+=("$broker")
    wait_until "the broker" says "$work/broker.log" "answers"
}

store_says () { # FIELD VALUE
    [ "$("$leat" stats --json | "$stats_field" store "$1")" = "$2" ]
}

# --- somebody else takes the disk, and gives it back

start_broker
inside dd if=/dev/zero of="$data/ballast" bs=1M count=12 status=none
[ -f "$disk/ballast" ] || fail "the disk is not where it should be"
seq 120000 | sed 's/.*/& & & & & & & & & & & & & & & &/' > "$work/in"
start "$work/producer" "$leat" produce full --id one "$work/in"
producer=$last
wait_until "a full disk" store_says full true
wait_until "the producer's notice" says "$work/producer.err" "no space to keep"
inside rm "$data/ballast"
expect_end "$producer" 0
store_says full false || fail "the store is full still"

# --- others take the rest of it, to the last block: what the store owns is enough to become empty, and for
# --- what comes then

others_take_all () {
    inside dd if=/dev/zero of="$data/ballast" bs=4K status=none 2> /dev/null || true
}

disk_is_full () {
    [ "$(inside stat -f -c %a "$data")" -eq 0 ]
}

others_take_all
disk_is_full || fail "the disk is not full"
start "$work/late" "$leat" produce full --id two "$work/in"
late=$last
wait_until "a full disk" store_says full true
start "$work/out" "$leat" consume full
consumer=$last
expect_end "$late" 0
wait_until "all records" stream_has full settled 240000
disk_is_full || fail "the disk was not full all the time"
kill -TERM "$consumer"
expect_end "$consumer" 0
expect_same <(cat "$work/in" "$work/in") "$work/out"

# --- killed on the full disk, and started again: it owns what it did

start "$work/late" "$leat" produce full --id three "$work/in" "$work/in"
late=$last
wait_until "a full disk" store_says full true
kill -KILL "$broker"
expect_end "$broker" 137
start_broker
disk_is_full || fail "the disk is not full any more"
start "$work/out" "$leat" consume full
consumer=$last
expect_end "$late" 0
wait_until "all records" lines_at_least "$work/out" 240000
kill -TERM "$consumer"
expect_end "$consumer" 0
expect_same <(cat "$work/in" "$work/in") "$work/out"
disk_is_full || fail "the disk was not full all the time"
kill -TERM "$broker"
expect_end "$broker" 0
inside "$leat" store verify "$data" > /dev/null || fail "the store is damaged"
