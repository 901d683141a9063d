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
inside dd if=/dev/zero of="$data/ballast" bs=1M count=8 status=none
[ -f "$disk/ballast" ] || fail "the disk is not where it should be"
seq 120000 | sed 's/.*/& & & & & & & & & & & & & & & &/' > "$work/in"
start "$work/producer" "$leat" produce full --id one "$work/in"
producer=$last
wait_until "a full disk" store_says full true
wait_until "the producer's notice" says "$work/producer.err" "no space to keep"
inside rm "$data/ballast"
expect_end "$producer" 0
store_says full false || fail "the store is full still"

# --- not even the reserve is left: nothing is lost, the broker lives, and goes on

inside dd if=/dev/zero of="$data/ballast" bs=64K status=none 2> /dev/null || true
[ "$(inside stat -f -c %a "$data")" -lt 16 ] || fail "the disk is not full"
start "$work/out" "$leat" consume full
consumer=$last
wait_until "records" lines_at_least "$work/out" 120000
start "$work/late" "$leat" produce full --id one "$work/in" <(echo more)
wait_until "a full disk" store_says full true
inside rm "$data/ballast"
expect_end "$last" 0
wait_until "the rest" stream_has full settled 120001
kill -TERM "$consumer"
expect_end "$consumer" 0
expect_same <(cat "$work/in" <(echo more)) "$work/out"

# --- killed on a full disk, and started again

"$leat" produce full --id two "$work/in" 2> "$work/late.err" &
started+=($!)
producer=$!
inside dd if=/dev/zero of="$data/ballast" bs=64K status=none 2> /dev/null || true
wait_until "a full disk" store_says full true
kill -KILL "$broker"
expect_end "$broker" 137
start_broker
inside rm "$data/ballast"
expect_end "$producer" 0
expect 0 "$leat" consume full --exit-when-empty --quiet
expect_same "$work/in" "$work/stdout"
kill -TERM "$broker"
expect_end "$broker" 0
inside "$leat" store verify "$data" > /dev/null || fail "the store is damaged"
