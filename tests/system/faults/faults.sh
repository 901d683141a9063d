#!/bin/bash
# One fault after the other, each for a kind of peer: records are neither lost nor made up.
# SPDX-License-Identifier: MPL-2.0
#
# usage: faults.sh FOLDER_OF_PROGRAMS CASE
#        faults.sh --list
#
# A producer publishes from one host, two consumers take from two others, the broker has a fourth. What
# happens to them is the case. Journals are kept in build/faults/CASE if something is wrong. Exit code 77 if
# hosts cannot be made.

set -euo pipefail

list () {
    sed -n 's/^case_\([a-z_0-9]*\) () {$/\1/p' "$0"
}

if [ "${1:-}" = --list ]; then
    list
    exit
fi

bin=$1
name=$2
seed=${LEAT_FAULT_SEED:-1}
# Ends itself before anybody else loses patience. What ./test puts before programs is inherited.
if [ -z "${LEAT_FAULTS_BOUNDED:-}" ]; then
    # shellcheck disable=SC2086
    LEAT_FAULTS_BOUNDED=1 exec ${LEAT_TEST_WRAPPER:-} timeout --kill-after 20 100 "$0" "$@"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/leat-faults-XXXXXX")
journals=$work/journals
mkdir "$journals"
rm -rf "build/faults/$name"
. "$(dirname "$0")/hosts.sh"

clean_up () {
    local code=$? kept=build/faults/$name
    trap - EXIT
    trap '' TERM INT HUP
    hosts_clean_up
    if [ "$code" -ne 0 ] && [ "$code" -ne 77 ]; then
        told_by_shell
        rm -rf "$kept"
        mkdir -p "$kept"
        cp "$journals"/* "$kept" 2> /dev/null || true
        tail -n 5 "$journals"/*.log 2> /dev/null || true
        echo "the journals are in $kept"
    fi
    rm -rf "$work"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 143' TERM INT HUP

timeout_s=1.4 # longer than the heartbeat timeout
checks=()

# --- what the cases have in common

# begin [LIMIT...]
begin () {
    need_hosts
    local peer
    for peer in p1 c1 c2; do
        join "$peer"
    done
    start_broker heartbeat_interval=200ms heartbeat_timeout=1s attempts=100 "$@"
}

# produce [ENDPOINT [OPTION...]]
produce () {
    local endpoint=${1:-$(direct p1)}
    shift || true
    start_peer p1 "$endpoint" fault_producer --number 1 --rate 1500 "$@"
}

# consume NAME [ENDPOINT [OPTION...]]
consume () {
    local peer=$1 endpoint=${2:-$(direct "$1")}
    shift
    shift || true
    start_peer "$peer" "$endpoint" fault_consumer "$@"
}

usual () {
    begin
    consume c1 "$(direct c1)" --work-us 1000
    consume c2 "$(direct c2)" --work-us 1000
    produce
    more p1.1 confirmed 50
    more c1.1 flushed 2
    more c2.1 flushed 2
}

finish () {
    terminate p1
    ends p1 0 40
    drain 40
    local peer
    for peer in c1 c2; do
        terminate "$peer"
        ends "$peer" 0 20
    done
    stop_broker
    "$bin/fault_checker" "$journals" "${checks[@]}"
}

# cut NAME WAY: for longer than the heartbeat timeout.
cut () {
    local peer=$1 way=$2
    note begin "cut" "$peer" "cut-$way"
    link "$peer" "$way" drop
    # This is the fault itself: it has to last.
    sleep "$timeout_s"
    link "$peer" "$way" sound
    note finish "cut"
}

lost () {
    wait_until 20 "the loss of $1" has_at_least "$1" loss 1
}

# --- the cases

case_none () {
    begin
    consume c1
    produce "" --records 5000 --rate 5000
    ends p1 0 40
    terminate_after_order
}

# A single consumer gets everything once and in order.
terminate_after_order () {
    wait_until 40 "all records" has_at_least c1.1 got 5000
    terminate c1
    ends c1 0 20
    drain 20
    stop_broker
    "$bin/fault_checker" "$journals" --ordered --once
}

case_cut_both_consumer () {
    usual
    cut c1 both
    lost c1.1
    more c1.1 flushed 2
    finish
}

case_cut_both_producer () {
    usual
    cut p1 both
    lost p1.1
    more p1.1 confirmed 50
    finish
}

case_cut_up_consumer () {
    usual
    cut c1 up
    lost c1.1
    more c1.1 flushed 2
    finish
}

case_cut_up_producer () {
    usual
    cut p1 up
    lost p1.1
    more p1.1 confirmed 50
    finish
}

case_cut_down_consumer () {
    usual
    cut c1 down
    lost c1.1
    more c1.1 flushed 2
    finish
}

case_cut_down_producer () {
    usual
    cut p1 down
    lost p1.1
    more p1.1 confirmed 50
    finish
}

# A fifth of all packets is lost: sessions may break, records not.
lossy () {
    note begin loss "$1" loss
    link "$1" both lose 20
    sleep 3
    link "$1" both sound
    note finish loss
}

case_lossy_consumer () {
    usual
    lossy c1
    more c1.1 flushed 1
    finish
}

case_lossy_producer () {
    usual
    lossy p1
    more p1.1 confirmed 10
    finish
}

case_slow_consumer () {
    # The way there and back counts as service time: what is to be in hand has to be more than that.
    begin work_in_hand=3s
    start_forwarder c1 --delay-min-ms 50 --delay-max-ms 300
    consume c1 "$forwarded" --flush-ms 3000
    consume c2 "$(direct c2)" --work-us 3000
    produce
    wait_until 40 "records on the slow link" has_at_least c1.1 got 300
    wait_until 40 "a flush on the slow link" has_at_least c1.1 flushed 2
    finish
    terminate c1-forwarder
    ends c1-forwarder 0 20
}

case_slow_producer () {
    begin
    start_forwarder p1 --delay-min-ms 50 --delay-max-ms 300
    consume c1
    consume c2
    produce "$forwarded"
    wait_until 40 "records on the slow link" has_at_least p1.1 confirmed 5
    wait_until 40 "records" has_at_least c1.1 got 300
    finish
}

# Connections end by a reset, wherever in a frame that is.
case_torn_consumer () {
    begin
    start_forwarder c1 --cut-after 100000
    consume c1 "$forwarded"
    consume c2 "$(direct c2)" --work-us 3000
    produce
    wait_until 40 "five lost sessions" has_at_least c1.1 loss 5
    kill -USR1 "${process[c1-forwarder]}"
    finish
}

case_torn_producer () {
    begin
    start_forwarder p1 --cut-after 100000
    consume c1
    consume c2
    produce "$forwarded"
    wait_until 40 "five lost sessions" has_at_least p1.1 loss 5
    kill -USR1 "${process[p1-forwarder]}"
    finish
}

# Nothing passes for longer than the heartbeat timeout, though the connection stands.
case_stalled_consumer () {
    begin
    start_forwarder c1 --stall-after 400000 --stall-ms 1400
    consume c1 "$forwarded"
    consume c2 "$(direct c2)" --work-us 3000
    produce
    lost c1.1
    kill -USR1 "${process[c1-forwarder]}"
    more c1.1 flushed 1
    finish
}

case_stalled_producer () {
    begin
    start_forwarder p1 --stall-after 400000 --stall-ms 1400
    consume c1
    consume c2
    produce "$forwarded"
    lost p1.1
    kill -USR1 "${process[p1-forwarder]}"
    more p1.1 confirmed 5
    finish
}

# It has four records in its hands, and settles them after the others have got and settled them.
case_frozen_consumer () {
    begin
    consume c1 "" --threads 4 --hold "$work/go" --credit 4
    produce
    wait_until 20 "records in hand" has_at_least c1.1 got 4
    note begin freeze c1 freeze
    freeze c1
    consume c2
    more c2.1 flushed 2
    wait_until 20 "what the frozen one had" settled_elsewhere
    thaw c1
    note finish freeze
    lost c1.1
    : > "$work/go"
    more c1.1 got 20
    checks=(--stale c1.1)
    finish
}

settled_elsewhere () {
    local offset
    for offset in $(awk '$2 == "got" { print $3 }' "$journals/c1.1.journal"); do
        says "$journals/c2.1.journal" "^[0-9]+ ack $offset " || return 1
    done
}

case_frozen_producer () {
    usual
    note begin freeze p1 freeze
    freeze p1
    sleep "$timeout_s"
    wait_until 20 "the broker's notice" timed_out 1
    thaw p1
    note finish freeze
    lost p1.1
    more p1.1 confirmed 50
    finish
}

timed_out () {
    [ "$(statistics counters sessions_timed_out)" -ge "$1" ]
}

case_frozen_broker () {
    usual
    note begin freeze broker freeze
    freeze broker
    wait_until 20 "the producer's notice" has_at_least p1.1 loss 1
    wait_until 20 "a consumer's notice" has_at_least c1.1 loss 1
    thaw broker
    note finish freeze
    more p1.1 confirmed 50
    more c1.1 flushed 2
    finish
}

case_killed_consumer () {
    usual
    slay c1
    consume c1
    more c1.2 flushed 2
    finish
}

# Run again under its name, it goes on behind what the broker has.
case_killed_producer () {
    usual
    slay p1
    produce
    more p1.2 confirmed 50
    finish
}

# What was in the old broker's memory is gone. Producers send the new one exactly what was not confirmed.
case_restarted_broker () {
    usual
    stop_broker
    lost p1.1
    lost c1.1
    start_broker heartbeat_interval=200ms heartbeat_timeout=1s attempts=100
    more p1.1 confirmed 50
    more c1.1 flushed 2
    more c2.1 flushed 2
    finish
}

# The same, with no time to say good-bye.
case_killed_broker () {
    usual
    kill_broker
    lost p1.1
    start_broker heartbeat_interval=200ms heartbeat_timeout=1s attempts=100
    more p1.1 confirmed 50
    more c1.1 flushed 2
    finish
}

# A broker that keeps its streams: everything that was confirmed is there, nothing is published twice,
# no settle that was confirmed is forgotten.
durable () {
    data=$work/data
    usual
}

again () {
    start_broker heartbeat_interval=200ms heartbeat_timeout=1s attempts=100
    more p1.1 confirmed 50
    more c1.1 flushed 2
    more c2.1 flushed 2
}

case_durable_restarted_broker () {
    durable
    stop_broker
    lost p1.1
    again
    finish
}

case_durable_killed_broker () {
    local round
    durable
    for ((round = 1; round <= 8; round++)); do
        kill_broker
        wait_until 20 "a loss" has_at_least p1.1 loss "$round"
        again
    done
    finish
}

# Whoever produces and consumes dies, too, and is run again before the broker is.
case_durable_killed_all () {
    durable
    slay c1
    slay p1
    kill_broker
    consume c1
    produce
    start_broker heartbeat_interval=200ms heartbeat_timeout=1s attempts=100
    more p1.2 confirmed 50
    more c1.2 flushed 2
    finish
}

list | grep -qxF -- "$name" || fail "no such case; --list names them"
"case_$name"
