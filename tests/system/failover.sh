#!/bin/bash
# Clients with two brokers in their list: the one they use is killed, frozen, or never answers.
# SPDX-License-Identifier: MPL-2.0

. "$(dirname "$0")/command_line.sh"

river=$3 # a client of the library, which takes a list

long=(--limit heartbeat_interval=5s --limit heartbeat_timeout=20s)
brief=(--limit heartbeat_interval=500ms --limit heartbeat_timeout=2s)

# start_named NAME ENDPOINT OPTION...: a broker whose stats are at ipc://$work/NAME.stats; it is $last.
start_named () {
    local name=$1 endpoint=$2
    shift 2
    start "$work/$name" "$leat" broker -l "$endpoint" -s "ipc://$work/$name.stats" "$@"
    wait_until "broker $name" says "$work/$name.err" "answers"
}

# has_consumer NAME STREAM: at the broker of that name.
has_consumer () {
    "$leat" stats -s "ipc://$work/$1.stats" --json | grep -q "\"stream\":\"$2\",\"group\":\"default\""
}

# port_of NAME: where it listens on tcp.
tcp_of () {
    grep -oE 'tcp://127\.0\.0\.1:[0-9]+' "$work/$1.err" | head -n 1
}

now_ms () {
    echo "$(($(date +%s%N) / 1000000))"
}

# expect_sooner_than MS BEGIN WHAT
expect_sooner_than () {
    local took=$(($(now_ms) - $2))
    echo "$3: $took ms"
    [ "$took" -lt "$1" ] || fail "$3 took $took ms"
}

for transport in ipc tcp; do
    name=$transport
    listen=ipc://$work/first-$name.peers
    [ "$transport" = ipc ] || listen=tcp://127.0.0.1:*
    start_named "first-$name" "$listen" "${long[@]}"
    first=$last
    [ "$transport" = ipc ] || listen=$(tcp_of "first-$name")
    start_named "second-$name" "ipc://$work/second-$name.peers" "${brief[@]}"
    second=$last
    list="$listen,ipc://$work/second-$name.peers"

    # --- killed: clients go to the other one at once, not after the heartbeat timeout of 20 s

    start "$work/consumer" "$river" consume "$list" "river-$name"
    consumer=$last
    wait_until "the consumer" has_consumer "first-$name" "river-$name"
    begin=$(now_ms)
    kill -KILL "$first"
    expect_end "$first" 137
    wait_until "the consumer at the second broker" has_consumer "second-$name" "river-$name"
    expect_sooner_than 8000 "$begin" "$transport, broker killed"
    seq 100 > "$work/in"
    expect 0 "$leat" produce -b "ipc://$work/second-$name.peers" "river-$name" "$work/in"
    wait_until "its lines" lines_at_least "$work/consumer" 100
    expect_same "$work/in" "$work/consumer"

    # --- frozen while in use: clients go on after its heartbeat timeout of 2 s, to the first one,
    # --- which is there again

    start_named "third-$name" "$listen" "${long[@]}"
    third=$last
    begin=$(now_ms)
    kill -STOP "$second"
    wait_until "the consumer at the first broker" has_consumer "third-$name" "river-$name"
    expect_sooner_than 10000 "$begin" "$transport, broker frozen"

    # --- frozen from the beginning: the kernel takes the connection, nobody answers

    kill -STOP "$third"
    start_named "fourth-$name" "ipc://$work/fourth-$name.peers" "${long[@]}"
    fourth=$last
    begin=$(now_ms)
    expect 0 "$river" produce "$listen,ipc://$work/fourth-$name.peers" "lake-$name" < "$work/in"
    expect_sooner_than 10000 "$begin" "$transport, broker never answered"
    expect 0 "$leat" consume -b "ipc://$work/fourth-$name.peers" "lake-$name" --exit-when-empty
    expect_same "$work/in" "$work/stdout"

    kill -KILL "$second" "$third" "$fourth" "$consumer"
    for process in "$second" "$third" "$fourth" "$consumer"; do
        expect_end "$process" 137
    done
done
