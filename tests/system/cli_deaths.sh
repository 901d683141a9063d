#!/bin/bash
# Consumers, producers and brokers are killed, frozen and terminated; records are neither lost nor made up.
# SPDX-License-Identifier: MPL-2.0

. "$(dirname "$0")/command_line.sh"

start_broker --limit heartbeat_interval=200ms --limit heartbeat_timeout=600ms

# whole_lines FILE: without a last line that a death has cut off.
whole_lines () {
    sed -n '$!p' "$1"
    if [ -s "$1" ] && [ -z "$(tail -c 1 "$1")" ]; then
        tail -n 1 "$1"
    fi
}

# --- a consumer dies by SIGKILL in the middle

seq 40000 > "$work/in"
start "$work/victim" "$leat" consume killed
victim=$last
start "$work/other" "$leat" consume killed
other=$last
start "$work/producer" "$leat" produce killed --rate 40000 "$work/in"
producer=$last
wait_until "the victim's work" lines_at_least "$work/victim" 3000
kill -KILL "$victim"
expect_end "$victim" 137
expect_end "$producer" 0
wait_until "the rest" stream_has killed settled 40000
kill -TERM "$other"
expect_end "$other" 0
whole_lines "$work/victim" | cat - "$work/other" > "$work/out"
expect_covers "$work/in" "$work/out"
[ "$(wc -l < "$work/victim")" -lt 40000 ] || fail "the victim was too late to die"

# --- a consumer is terminated in the middle: nothing comes twice

seq 40000 > "$work/in"
start "$work/first" "$leat" consume terminated
first=$last
start "$work/other" "$leat" consume terminated
other=$last
start "$work/producer" "$leat" produce terminated --rate 40000 "$work/in"
producer=$last
wait_until "the first one's work" lines_at_least "$work/first" 3000
kill -TERM "$first"
expect_end "$first" 0
expect_end "$producer" 0
wait_until "the rest" stream_has terminated settled 40000
kill -TERM "$other"
expect_end "$other" 0
cat "$work/first" "$work/other" > "$work/out"
expect_same_lines "$work/in" "$work/out"
stream_has terminated redelivered 0 || fail "records came again after an end in order"

# --- a consumer is frozen for longer than the heartbeat timeout, and thawed

seq 30000 > "$work/in"
start "$work/frozen" "$leat" consume frozen
frozen=$last
start "$work/other" "$leat" consume frozen
other=$last
start "$work/producer" "$leat" produce frozen --rate 30000 "$work/in"
producer=$last
wait_until "the frozen one's work" lines_at_least "$work/frozen" 2000
kill -STOP "$frozen"
expect_end "$producer" 0
wait_until "the rest" stream_has frozen settled 30000
whole_lines "$work/frozen" | cat - "$work/other" > "$work/out"
expect_covers "$work/in" "$work/out"
kill -CONT "$frozen"
wait_until "both" eval '[ "$("$leat" stats --json | grep -o "\"stream\":\"frozen\"" | wc -l)" -eq 2 ]'
seq 30001 40000 > "$work/more"
expect 0 "$leat" produce frozen "$work/more"
wait_until "what is new" stream_has frozen settled 40000
kill -TERM "$frozen" "$other"
expect_end "$frozen" 0
expect_end "$other" 0
cat "$work/frozen" "$work/other" > "$work/out"
expect_covers <(cat "$work/in" "$work/more") "$work/out"

# --- a producer dies by SIGKILL and is run again with the same identity

seq 30000 > "$work/in"
start "$work/producer" "$leat" produce rerun --id importer --rate 20000 "$work/in"
producer=$last
wait_until "some records" stream_has_at_least rerun accepted 2000
kill -KILL "$producer"
expect_end "$producer" 137
accepted=$("$leat" stats --json | "$stats_field" streams name=rerun accepted)
[ "$accepted" -lt 30000 ] || fail "the producer was too late to die"
expect 0 "$leat" produce rerun --id importer "$work/in"
expect_said "were there already"
expect 0 "$leat" produce rerun --id importer "$work/in"
expect_said "0 records confirmed"
expect_said "30000 were there already"
expect 0 "$leat" consume rerun --exit-when-empty
expect_same "$work/in" "$work/stdout"

# --- a producer is interrupted: what it has read is confirmed, the rest is not sent

start "$work/producer" "$leat" produce interrupted --id importer --rate 5000 "$work/in"
producer=$last
wait_until "some records" stream_has_at_least interrupted accepted 500
kill -INT "$producer"
expect_end "$producer" 1
says "$work/producer.err" "before the end of the input" || fail "it does not say that it stopped early"
confirmed=$(grep -oE '[0-9]+ records confirmed' "$work/producer.err" | grep -oE '[0-9]+')
[ "$confirmed" -lt 30000 ] || fail "the producer was not interrupted"
expect 0 "$leat" consume interrupted --exit-when-empty
expect_same <(head -n "$confirmed" "$work/in") "$work/stdout"

# --- two producers with one identity: the later one goes on, the earlier one stops

start "$work/producer" "$leat" produce displaced --id twin --rate 1000 "$work/in"
producer=$last
wait_until "some records" stream_has_at_least displaced accepted 200
expect 0 "$leat" produce displaced --id twin "$work/in"
expect_end "$producer" 1
grep -qi 'identity' "$work/producer.err" || fail "the displaced producer does not say why it ends"
expect 0 "$leat" consume displaced --exit-when-empty
expect_same "$work/in" "$work/stdout"

# --- the broker is terminated and started again while a producer works: streams in memory are gone, and the
# --- producer goes on with exactly what was not confirmed

seq 20000 > "$work/in"
start "$work/producer" "$leat" produce restarted --rate 10000 "$work/in"
producer=$last
wait_until "some records" stream_has_at_least restarted accepted 4000
stop_broker
start_broker
expect_end "$producer" 0
grep -q '20000 records confirmed' "$work/producer.err" || fail "not all records are confirmed"
expect 0 "$leat" consume restarted --exit-when-empty
count=$(wc -l < "$work/stdout")
[ "$count" -gt 0 ] && [ "$count" -le 16000 ] || fail "$count records after the restart"
expect_same <(tail -n "$count" "$work/in") "$work/stdout"

# --- an interrupted producer without a broker says what is unconfirmed

start "$work/producer" "$leat" produce abandoned --rate 5000 "$work/in"
producer=$last
wait_until "some records" stream_has_at_least abandoned accepted 100
kill -KILL "$broker"
expect_end "$broker" 137
wait_until "its notice" says "$work/producer.err" "is lost"
kill -INT "$producer"
expect_end "$producer" 1
says "$work/producer.err" "records were sent and not confirmed" ||
    fail "the producer does not say what is unconfirmed"
start_broker

# --- consumers come back to a new broker

start "$work/patient" "$leat" consume patient
patient=$last
wait_until "the consumer" eval '"$leat" stats --json | grep -q "\"stream\":\"patient\""'
stop_broker
wait_until "its notice" says "$work/patient.err" "is lost"
start_broker
seq 100 > "$work/in"
expect 0 "$leat" produce patient "$work/in"
wait_until "its lines" lines_at_least "$work/patient" 100
kill -TERM "$patient"
expect_end "$patient" 0
expect_same "$work/in" "$work/patient"
stop_broker
