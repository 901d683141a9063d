#!/bin/bash
# Consumers leave, by a signal or by leat drain, hang, or work for long: nothing is lost, and what was done is
# not done again.
# SPDX-License-Identifier: MPL-2.0

. "$(dirname "$0")/command_line.sh"

start_broker --limit heartbeat_interval=200ms --limit heartbeat_timeout=1s
export WORK=$work

# Says which record it has, waits until it may end, says that it has done it.
cat > "$work/handler" <<'END'
read -r record
echo "$record" >> "$WORK/$1.started"
while [ ! -e "$WORK/$1.go" ]; do sleep 0.02; done
echo "$record" >> "$WORK/$1.done"
END

# workers NAME STREAM JOBS: in the background; $last is their process.
workers () {
    : > "$work/$1.started"
    : > "$work/$1.done"
    start "$work/$1" "$leat" consume "$2" --id "$1" -j "$3" --credit 8 --exec "sh \"\$WORK/handler\" $1"
}

# leaves NAME STREAM COMMAND...: while three commands of NAME run and more records wait there, the command
# asks it to leave. What was not started comes to another one while they run; the three are done once.
leaves () {
    local name=$1 stream=$2 pid other
    shift 2
    seq 8 | "$leat" produce -q "$stream"
    workers "$name" "$stream" 3
    pid=$last
    wait_until "the commands" lines_at_least "$work/$name.started" 3
    stream_has "$stream" in_flight 8 || fail "not all records are there"
    "$@" "$pid"
    start "$work/other-$name" "$leat" consume "$stream" -f '%b %a %r\n' -D ''
    other=$last
    wait_until "what is given back" lines_at_least "$work/other-$name" 5
    gone "$pid" && fail "it did not wait for its commands"
    stream_has "$stream" in_flight 3 || fail "it does not hold what it has started"
    touch "$work/$name.go"
    expect_end "$pid" 0
    says "$work/$name.err" "3 records done, 0 attempts failed" || fail "$(cat "$work/$name.err")"
    says "$work/$name.err" "too late" && fail "it was too late"
    wait_until "the rest" stream_has "$stream" settled 8
    kill -TERM "$other"
    expect_end "$other" 0
    expect_same_lines "$work/$name.started" "$work/$name.done"
    cat <(sed 's/$/ 1 0/' "$work/$name.done") "$work/other-$name" > "$work/all"
    expect_same_lines <(seq 8 | sed 's/$/ 1 0/') "$work/all"
    stream_has "$stream" redelivered 0 || fail "records came again"
}

terminate () {
    kill -TERM "$1"
}
drain () {
    expect 0 "$leat" drain drained
}
leaves terminated by-signal terminate
leaves drained by-drain drain
says "$work/drained.err" "the broker asked this consumer to leave" || fail "it does not say why it left"

# --- a command that takes several heartbeat timeouts keeps its record

seq 1 | "$leat" produce -q patient
workers slow patient 1
slow=$last
wait_until "the command" lines_at_least "$work/slow.started" 1
start "$work/other" "$leat" consume patient
other=$last
sleep 4 # four timeouts: that they pass is what this is about
stream_has patient in_flight 1 || fail "a record that is worked on was taken away"
touch "$work/slow.go"
wait_until "its end" stream_has patient settled 1
stream_has patient redelivered 0 || fail "the record came again"
kill -TERM "$slow" "$other"
expect_end "$slow" 0
expect_end "$other" 0
[ ! -s "$work/other" ] || fail "another one got the record"
says "$work/slow.err" "1 record done" || fail "$(cat "$work/slow.err")"

# --- what waits behind it is done by another one, whenever that comes; with max_processing it is taken away,
# the other one does it, too, and the first is told that it was late

expect 0 "$leat" stream create limited
seq 4 | "$leat" produce -q limited
workers hanging limited 1
hanging=$last
wait_until "the command" lines_at_least "$work/hanging.started" 1
sleep 0.5 # by then it has said which record keeps it busy: that this frees the next one is what this is about
start "$work/other" "$leat" consume limited -f '%b %a %r\n' -D ''
other=$last
wait_until "all that waits" lines_at_least "$work/other" 3
expect 0 "$leat" stream set limited --max-processing 1s
wait_until "all records" lines_at_least "$work/other" 4
gone "$hanging" && fail "it has ended"
stuck=$(cat "$work/hanging.started")
expect_same_lines <(seq 4 | sed "s/$/ 1 0/; s/^$stuck 1 0/$stuck 2 1/") "$work/other"
wait_until "their settles" stream_has limited settled 4
[ "$("$leat" stats --json | "$stats_field" counters records_overdue)" = 1 ] || fail "records_overdue is wrong"
touch "$work/hanging.go"
wait_until "its end" lines_at_least "$work/hanging.done" 1
kill -TERM "$hanging" "$other"
expect_end "$hanging" 0
expect_end "$other" 0
says "$work/hanging.err" "1 record was settled too late" || fail "$(cat "$work/hanging.err")"
stream_has limited settled 4 || fail "a late settle counts"
stream_has limited redelivered 1 || fail "more than the one record came again"
stop_broker
