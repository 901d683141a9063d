#!/bin/bash
# What the programs say while nothing moves, and what becomes of records that nobody reads.
# SPDX-License-Identifier: MPL-2.0

. "$(dirname "$0")/command_line.sh"

start_broker --max-record 1KiB --limit batch_size=16KiB --limit window_size=64KiB \
    --limit stream_size=128KiB --limit grant_min_size=16KiB --limit streams=2

# --- a full stream: the producer says so once, and that it goes on

seq 100000 > "$work/in"
start "$work/producer" "$leat" produce full "$work/in"
producer=$last
wait_until "its notice" says "$work/producer.err" "waiting: the broker takes no more records of stream 'full'"
expect 0 "$leat" stats
grep -qE '^full +([0-9]+) +[^ ]+ +\1 ' "$work/stdout" || fail "what waits for a first group is not ready"
expect 0 "$leat" consume full -n 100000
expect_same "$work/in" "$work/stdout"
expect_end "$producer" 0
says "$work/producer.err" "going on: the broker takes records of stream 'full' again" ||
    fail "the producer does not say that it goes on"
[ "$(grep -c 'waiting' "$work/producer.err")" -eq 1 ] || fail "the producer repeats itself"
says "$work/producer.err" "100000 records confirmed" || fail "not all records are confirmed"

# --- a broker that refuses: its reason is told, and the end by a signal too

seq 1 | "$leat" produce -q second
start "$work/producer" "$leat" produce third "$work/in" # stdin is not a terminal
producer=$last
wait_until "its notice" says "$work/producer.err" "as many streams as it is allowed"
says "$work/producer.err" 'waiting: the broker refused to open stream "third": LIMIT_REACHED' ||
    fail "the producer does not name what was refused"
kill -TERM "$producer"
expect_end "$producer" 1
says "$work/producer.err" "waiting 5 s for what is unconfirmed" || fail "it waits in silence"
start "$work/producer" "$leat" produce --id me third "$work/in"
producer=$last
wait_until "its notice" says "$work/producer.err" "as many streams as it is allowed"
kill -TERM "$producer"
expect_end "$producer" 1
says "$work/producer.err" "before stream 'third' was open; nothing was sent" || fail "it ends in silence"

# --- a reader that leaves while there is nothing to write

mkfifo "$work/fifo"
start "$work/consumer" bash -c 'exec "$0" consume second --exec true' "$leat"
consumer=$last
wait_until "an empty stream" stream_has second settled 1
kill -TERM "$consumer"
expect_end "$consumer" 0
"$leat" consume second > "$work/fifo" 2> "$work/stderr" &
consumer=$!
started+=("$consumer")
exec 9< "$work/fifo"
seq 1 | "$leat" produce -q second
read -r line <&9
[ "$line" = 1 ] || fail "the record is '$line'"
exec 9<&-
expect_end "$consumer" 1
expect_said "cannot write to stdout: Broken pipe"
stream_has second settled 2 || fail "what was read is not settled"

# --- told to end many times at once, as by timeout(1) and its group: one wish, an end in order. However late in
# --- its end the broker is, the exit code stays the same. On a machine so busy that the signals were heard over
# --- more than 200 ms, they were two wishes, and nothing is proved.

for attempt in {1..20}; do
    [ "$attempt" -eq 1 ] || start_broker
    code=0
    begin=${EPOCHREALTIME/[.,]/}
    while [ $((${EPOCHREALTIME/[.,]/} - begin)) -lt 100000 ] && kill -TERM "$broker" 2> /dev/null; do
        [ "$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$broker/status")" != Z ] || break
    done
    wait "$broker" || code=$?
    [ "$code" -eq 1 ] && [ $((${EPOCHREALTIME/[.,]/} - begin)) -ge 200000 ] || break
done
[ "$code" -eq 0 ] || fail "the broker ended with $code in attempt $attempt"
