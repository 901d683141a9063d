#!/bin/bash
# leat broker -d: what it says of its directory, what is there after a restart and a kill, a full store, a
# disk that fails, batches that are damaged.
# SPDX-License-Identifier: MPL-2.0

. "$(dirname "$0")/command_line.sh"

data=$work/data
size=(--data-size 4GiB) # sanitizers and valgrind have no room for the usual map of 1 TiB

store_says () { # FIELD VALUE
    [ "$("$leat" stats --json | "$stats_field" store "$1")" = "$2" ]
}

consume_all () { # STREAM
    expect 0 "$leat" consume "$1" --exit-when-empty --quiet
}

# --- started again in order, and after a kill

start_broker -d "$data" "${size[@]}"
says "$work/broker.log" "keeps streams in $data" || fail "it does not say where it keeps streams"
store_says engine lmdb || fail "the stats do not tell the engine"
store_says directory "$data" || fail "the stats do not tell the directory"
seq 50000 > "$work/in"
expect 0 "$leat" produce kept "$work/in"
stop_broker
start_broker -d "$data" "${size[@]}"
stream_has kept held 50000 || fail "records are not there after an end in order"
expect 0 "$leat" consume kept -n 10000 --quiet
expect_same <(head -n 10000 "$work/in") "$work/stdout"
seq 50001 60000 >> "$work/in"
expect 0 "$leat" produce kept <(seq 50001 60000)
kill -KILL "$broker"
expect_end "$broker" 137
start_broker -d "$data" "${size[@]}"
# What the first consumer has settled was confirmed to it, so that it does not come again.
consume_all kept
expect_same <(tail -n +10001 "$work/in") "$work/stdout"

# A producer that is run again with its identity sends what the broker lacks, which is nothing.
expect 0 "$leat" produce again --id twice "$work/in"
kill -KILL "$broker"
expect_end "$broker" 137
start_broker -d "$data" "${size[@]}"
expect 0 "$leat" produce again --id twice "$work/in"
stream_has again held 60000 || fail "a producer that was run again has published twice"
consume_all again
expect_same "$work/in" "$work/stdout"

# What is set of a stream, attempts and dead letters are there too.
expect 0 "$leat" stream set kept --max-attempts 2
expect 0 "$leat" produce kept <(printf 'good\nbad\n')
expect 0 "$leat" consume kept --exit-when-empty --exec 'read -r line; [ "$line" = good ] || exit 65'
kill -KILL "$broker"
expect_end "$broker" 137
start_broker -d "$data" "${size[@]}"
expect 0 "$leat" stream list
grep -q '^kept .* 2 ' "$work/stdout" || fail "what was set of the stream is gone"
expect 0 "$leat" consume kept.dead --exit-when-empty --quiet
expect_same <(echo bad) "$work/stdout"

# --- streams that are created

expect 0 "$leat" stream create notes
expect 0 "$leat" stream create quick --durability async
expect 0 "$leat" stream list
grep -qE '^notes +sync ' "$work/stdout" || fail "a stream is not kept as the broker can"
grep -qE '^quick +async ' "$work/stdout" || fail "an async stream is not called so"

# --- an async stream: what a kill takes is sent again, an offset is given once

quick_says () { # FIELD
    "$leat" stats --json | "$stats_field" streams name=quick "$1"
}
[ "$(quick_says durable)" = false ] || fail "an async stream is called durable"
expect 0 "$leat" produce quick --id one <(seq 1000)
kill -KILL "$broker"
expect_end "$broker" 137
start_broker -d "$data" "${size[@]}"
next=$(quick_says next_offset)
[ "$next" -gt 1000 ] || fail "a broker that was killed begins at offset $next again"
expect 0 "$leat" produce quick --id one <(seq 2000)
consume_all quick
expect_same <(seq 2000) "$work/stdout"
expect 0 "$leat" produce quick --id one <(seq 2010)
next=$(quick_says next_offset)
stop_broker
start_broker -d "$data" "${size[@]}"
[ "$(quick_says next_offset)" = "$next" ] || fail "an end in order skips offsets"
consume_all quick
expect_same <(seq 2001 2010) "$work/stdout"

# --- and groups that begin somewhere

seq 300000 | sed 's/.*/& & & & & & & & & &/' > "$work/in"
expect 0 "$leat" group create notes default
expect 0 "$leat" produce notes "$work/in"
middle=$(($(date +%s) + 1))
wait_until "the next second" eval '[ "$(date +%s)" -ge "$middle" ]'
expect 0 "$leat" produce notes <(echo younger)
kill -KILL "$broker"
expect_end "$broker" 137
start_broker -d "$data" "${size[@]}" # from here on all of it is on the disk alone
expect 0 "$leat" group create notes at-offset --from 299990
expect 0 "$leat" group create notes at-time --from "$(date -u -d "@$middle" +%Y-%m-%dT%H:%M:%SZ)"
expect 0 "$leat" group create notes at-end --from latest
expect 0 "$leat" consume notes -g at-offset --exit-when-empty --quiet
expect_same <(tail -n +299991 "$work/in"; echo younger) "$work/stdout"
expect 0 "$leat" consume notes -g at-time --exit-when-empty --quiet
expect_same <(echo younger) "$work/stdout"
expect 0 "$leat" consume notes -g at-end --exit-when-empty --quiet
[ ! -s "$work/stdout" ] || fail "a group that began at the end got older records"

# --- a copy is made while the broker works, and is a store of its own

start "$work/producer" "$leat" produce copied --rate 20000 <(seq 100000)
producer=$last
wait_until "some records" stream_has_at_least copied accepted 5000
expect 0 "$leat" store backup "$data" "$work/copy"
expect_end "$producer" 0
expect 0 "$leat" store verify "$work/copy"
stop_broker
start_broker -d "$work/copy" "${size[@]}"
expect 0 "$leat" consume copied --exit-when-empty --quiet
count=$(wc -l < "$work/stdout")
[ "$count" -ge 5000 ] && [ "$count" -le 100000 ] || fail "the copy has $count records"
expect_same <(seq "$count") "$work/stdout"
stop_broker
start_broker -d "$data" "${size[@]}"

# --- directories that cannot be used

expect 4 "$leat" broker "${size[@]}" -d "$data" -l "ipc://$work/other" -s "ipc://$work/other-stats"
expect_said "$data is in use by another broker"
stop_broker
expect 4 "$leat" broker "${size[@]}" -d "$work/no/where" -l "$LEAT_BROKER" -s "$LEAT_STATS"
expect_said "the directory that it would be in does not exist"
: > "$work/file"
expect 4 "$leat" broker "${size[@]}" -d "$work/file" -l "$LEAT_BROKER" -s "$LEAT_STATS"
expect_said "Not a directory"
mkdir "$work/foreign"
head -c 100000 /dev/zero > "$work/foreign/data.mdb"
expect 4 "$leat" broker "${size[@]}" -d "$work/foreign" -l "$LEAT_BROKER" -s "$LEAT_STATS"
expect_said "is no store of Leat's"
cp -r "$data" "$work/cut"
truncate -s 20000 "$work/cut/data.mdb"
expect 4 "$leat" broker "${size[@]}" -d "$work/cut" -l "$LEAT_BROKER" -s "$LEAT_STATS"
expect_said "is cut off"
# The version is in the row "format": one number of four bytes behind its key.
cp -r "$data" "$work/version"
flip_behind () { # FILE TEXT BYTES BIT...: in each place where it stands
    local file=$1 text=$2 behind=$3 place byte
    grep -obUaF "$text" "$file" | cut -d: -f1 | while read -r place; do
        place=$((place + ${#text} + behind))
        byte=$(dd if="$file" bs=1 skip="$place" count=1 status=none | od -An -tu1)
        printf '%b' "\\x$(printf %x $((byte ^ 4)))" |
            dd of="$file" bs=1 seek="$place" conv=notrunc status=none
    done
}
flip_behind "$work/version/data.mdb" Mformat 0
expect 4 "$leat" broker "${size[@]}" -d "$work/version" -l "$LEAT_BROKER" -s "$LEAT_STATS"
grep -qE "is damaged|was written in format" "$work/stderr" || fail "a wrong version is not named"
if unshare -rm true 2> /dev/null; then
    mkdir "$work/read-only"
    expect 4 unshare -rm bash -c '
        mount -t tmpfs -o ro none "$2" && exec "$1" broker -d "$2" -l "$3" -s "$4"' \
        bash "$leat" "$work/read-only" "$LEAT_BROKER" "$LEAT_STATS"
    expect_said "$work/read-only cannot be written to: Read-only file system"
else
    echo "no user namespaces here: a read-only filesystem is not tested"
fi

# --- a damaged batch is set aside, and holds nobody up

rm -rf "$data"
start_broker -d "$data" "${size[@]}"
for text in first second third; do
    expect 0 "$leat" produce damaged <(echo "the $text batch")
done
stop_broker
flip_behind "$data/data.mdb" "the second bat" 0
start_broker -d "$data" "${size[@]}"
consume_all damaged
expect_same <(printf 'the first batch\nthe third batch\n') "$work/stdout"
stream_has damaged parked 1 || fail "a damaged record is not set aside"
stop_broker

# --- a full store: producers wait, consumers go on, and so do producers then

rm -rf "$data"
start_broker -d "$data" --data-size 8MiB
seq 100000 | sed 's/.*/& & & & & & & & & & & & & & & &/' > "$work/in"
start "$work/producer" "$leat" produce full "$work/in"
producer=$last
wait_until "a full store" store_says full true
wait_until "its notice" says "$work/producer.err" "no space to keep"
"$leat" stats > "$work/stdout"
says "$work/stdout" "the store is full: producers wait" || fail "leat stats does not tell it"
kill -0 "$producer" || fail "the producer did not wait"
# A rejected record finds room for its dead letter in the reserve.
expect 0 "$leat" consume full -n 1 --exec 'exit 65'
wait_until "a dead letter" stream_has full dead_lettered 1
start "$work/out" "$leat" consume full
consumer=$last
expect_end "$producer" 0
wait_until "all records" stream_has_at_least full settled 99999
kill -TERM "$consumer"
expect_end "$consumer" 0
expect_same <(tail -n +2 "$work/in") "$work/out"
consume_all full.dead
expect_same <(head -n 1 "$work/in") "$work/stdout"
wait_until "space" store_says full false
stop_broker

# --- a disk that fails: nothing is confirmed any more, and it says why. The limit of file sizes makes writes
# --- fail as no full disk does.

rm -rf "$data"
: > "$work/broker.log"
(
    trap '' XFSZ
    ulimit -f 4096
    exec "$leat" broker -d "$data" "${size[@]}" -l "$LEAT_BROKER" -s "$LEAT_STATS" 2> "$work/broker.log"
) &
broker=$!
started+=("$broker")
wait_until "the broker" says "$work/broker.log" "answers"
start "$work/producer" "$leat" produce failed --id one "$work/in"
producer=$last
wait_until "why it fails" eval '"$leat" stats --json --timeout 1s | grep -q "\"failure\":\"the store cannot"'
expect_end "$broker" 5
says "$work/broker.log" "cannot tell whether it kept a commit: writing and syncing $data/data.mdb failed" ||
    fail "it does not say why it ends"
start_broker -d "$data" "${size[@]}"
expect_end "$producer" 0
consume_all failed
expect_same "$work/in" "$work/stdout"
stop_broker
