#!/bin/bash
# Streams of durability memory in a broker with a data directory: they cost the disk nothing, a kill empties
# them, and beside them nothing of others is lost.
# SPDX-License-Identifier: MPL-2.0

. "$(dirname "$0")/command_line.sh"

data=$work/data
size=(--data-size 4GiB) # sanitizers and valgrind have no room for the usual map of 1 TiB

store_value () { # FIELD
    "$leat" stats --json | "$stats_field" store "$1"
}

stream_value () { # STREAM FIELD
    "$leat" stats --json | "$stats_field" streams "name=$1" "$2"
}

kill_broker () {
    kill -KILL "$broker"
    expect_end "$broker" 137
    start_broker -d "$data" "${size[@]}"
}

# --- what the store gets of it: that it is there

start_broker -d "$data" "${size[@]}"
expect 0 "$leat" stream create sketches --durability memory --max-attempts 2
expect 0 "$leat" stream create sketches --durability memory --max-attempts 2
expect 1 "$leat" stream create sketches --durability sync --max-attempts 2
expect_said "there already, with other settings"
expect 0 "$leat" stream list
grep -qE '^sketches +memory ' "$work/stdout" || fail "a memory stream is not called so"
[ "$(stream_value sketches durability)" = memory ] || fail "the stats do not say memory"
[ "$(stream_value sketches durable)" = false ] || fail "a memory stream is called durable"
expect 0 "$leat" group create sketches default
wait_until "its offsets" eval '[ "$(store_value commits)" -ge 3 ]'
commits=$(store_value commits)
seq 50000 > "$work/in"
expect 0 "$leat" produce sketches --id one "$work/in"
expect 0 "$leat" consume sketches --exit-when-empty --quiet
expect_same "$work/in" "$work/stdout"
expect 0 "$leat" produce sketches --id one "$work/in" # which has nothing new
stream_has sketches held 0 || fail "a producer that was run again has published twice"
[ "$(store_value commits)" -eq "$commits" ] || fail "records in memory were written to the store"

# Its dead letters are kept likewise: the store hears of their stream, once.
expect 0 "$leat" produce sketches <(printf 'good\nbad\n')
expect 0 "$leat" consume sketches --exit-when-empty --exec 'read -r line; [ "$line" = good ] || exit 65'
wait_until "the dead letter" stream_has sketches.dead held 1
expect 0 "$leat" consume sketches.dead --exit-when-empty --quiet
expect_same <(echo bad) "$work/stdout"
[ "$(stream_value sketches.dead durability)" = memory ] || fail "dead letters are kept otherwise"

# --- an end in order empties it, and leaves no gap of offsets

expect 0 "$leat" produce sketches <(seq 10)
next=$(stream_value sketches next_offset)
stop_broker
start_broker -d "$data" "${size[@]}"
stream_has sketches held 0 || fail "records in memory are there after the end of the broker"
[ "$(stream_value sketches next_offset)" = "$next" ] || fail "an end in order skips offsets"
expect 0 "$leat" group list sketches
grep -q '^default ' "$work/stdout" || fail "its group is gone"
stream_has sketches ready 0 || fail "its group has records that are gone"

# --- both kinds side by side, with producers and consumers that outlive the broker

seq 40000 | sed 's/.*/& & & & & & & &/' > "$work/in"
for stream in sketches orders; do
    start "$work/$stream" "$leat" consume "$stream"
    eval "consumer_of_$stream=$last"
    # Slow enough that both kills come while records do, also where everything is slow.
    start "$work/$stream.producer" "$leat" produce "$stream" --id "of-$stream" --rate 8000 "$work/in"
    eval "producer_of_$stream=$last"
done
for kill in 1 2; do
    for stream in sketches orders; do
        wait_until "some records" stream_has_at_least "$stream" accepted 3000
    done
    next=$(stream_value sketches next_offset)
    kill_broker
    [ "$(stream_value sketches next_offset)" -ge "$next" ] || fail "offsets are given twice after kill $kill"
done
for stream in sketches orders; do
    eval "expect_end \$producer_of_$stream 0"
    wait_until "the end of $stream" stream_has "$stream" held 0
    wait_until "the last of $stream" eval 'tail -n 1 "$work/$stream" | grep -q "^40000 "'
done
# Nothing of the one is lost; of the other what the broker held, and nothing else came than was published.
expect_covers "$work/in" "$work/orders"
[ "$(sort -u "$work/sketches" | comm -23 - <(sort "$work/in") | wc -l)" -eq 0 ] ||
    fail "something came that was not published"
# What was published after the last kill is all there: it is the end of the input, in order.
tail -n 3000 "$work/in" > "$work/end"
expect_same "$work/end" <(tail -n 3000 "$work/sketches")

# --- a store that is full is no matter to it

# The consumers would make their streams anew, and take what is meant for another one.
for stream in sketches orders; do
    eval "kill -TERM \$consumer_of_$stream"
    eval "expect_end \$consumer_of_$stream 0"
done
stop_broker
rm -rf "$data"
start_broker -d "$data" --data-size 8MiB
expect 0 "$leat" stream create sketches --durability memory
seq 100000 | sed 's/.*/& & & & & & & & & & & & & & & &/' > "$work/in"
start "$work/producer" "$leat" produce full "$work/in"
wait_until "a full store" eval '[ "$(store_value full)" = true ]'
expect 0 "$leat" produce sketches <(seq 1000)
expect 0 "$leat" consume sketches --exit-when-empty --quiet
expect_same <(seq 1000) "$work/stdout"
