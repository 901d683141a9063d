#!/bin/bash
# Everything at once, at random: `soak.sh --help`.
# SPDX-License-Identifier: MPL-2.0

set -euo pipefail

usage () {
    cat <<'END'
usage: soak.sh FOLDER_OF_PROGRAMS [--seed S] [--minutes M | --rounds N] [--keep]

Rounds of about 40 seconds. In each, three producers and four consumers on hosts of their own work through
one broker: fast and slow consumers, some whose handlers block, some that nack, some behind a forwarder that
delays, stalls and cuts; some brokers have little memory. Meanwhile links are cut in one direction or both, flap and lose packets; processes
are killed, frozen and started again; the broker is frozen, or told to end and started again. Then faults
stop, everything has to drain within a minute, and the checker reads what all of them have written down.

  --seed S      of the first round (default: the time); each round has the next one
  --minutes M   begin rounds for so long (default: 2)
  --rounds N    so many rounds instead
  --keep        keep the journals of rounds that went well, too

A round that goes wrong ends it: journals and the plan of its faults are then in build/soak/SEED, and the
same plan is made again by --seed SEED --rounds 1. Exit codes: 0 all is well, 1 not, 2 usage, 77 hosts cannot
be made here.
END
}

if [ "${1:-}" = --help ] || [ $# -eq 0 ]; then
    usage
    exit
fi
bin=$1
shift
first=$((EPOCHSECONDS % 1000000)) minutes=2 rounds=0 keep=false
while [ $# -gt 0 ]; do
    case $1 in
    --keep) keep=true ;;
    --seed | --minutes | --rounds)
        if ! [[ ${2:-} =~ ^[0-9]{1,9}$ ]]; then
            echo "soak.sh: $1 wants a number" >&2
            exit 2
        fi
        case $1 in
        --seed) first=$((10#$2)) ;;
        --minutes) minutes=$((10#$2)) ;;
        --rounds) rounds=$((10#$2)) ;;
        esac
        shift
        ;;
    *)
        echo "soak.sh: what is $1? --help tells what there is" >&2
        exit 2
        ;;
    esac
    shift
done

work=$(mktemp -d "${TMPDIR:-/tmp}/leat-soak-XXXXXX")
seed=$first
journals=$work
. "$(dirname "$0")/hosts.sh"

clean_up () {
    local code=$? log
    trap - EXIT
    trap '' TERM INT HUP
    hosts_clean_up
    if [ "$code" -ne 0 ] && [ "$code" -ne 77 ]; then
        told_by_shell
        for log in "$journals"/*.log; do
            [ ! -s "$log" ] || tail -n 5 "$log" | sed "s|^|${log##*/}: |"
        done
        if [ -f "$journals/plan" ]; then
            echo "the faults, in milliseconds of the round:"
            sed 's/^/    /' "$journals/plan"
        fi
        echo "soak: seed $seed went wrong; journals are in $journals, again: --seed $seed --rounds 1"
    fi
    rm -rf "$work"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 143' TERM INT HUP

faults_ms=25000
usual_limits=(heartbeat_interval=250ms heartbeat_timeout=1500ms attempts=1000)
limits=()
peers=(p1 p2 p3 c1 c2 c3 c4)

# --- the plan: what happens when, from the seed alone

# between FROM TO: a number into $drawn. (RANDOM has 15 bits.)
between () {
    drawn=$(($1 + (RANDOM * 32768 + RANDOM) % ($2 - $1 + 1)))
}

# A line is "MILLISECOND begin|finish NUMBER TARGET WHAT [PERCENT]".
make_plan () {
    local at=300 target what length percent number=0 restarted=false flaps
    local -A busy=()
    while :; do
        between 100 700
        at=$((at + drawn))
        [ "$at" -lt "$faults_ms" ] || break
        between 0 "${#peers[@]}"
        target=${peers[drawn]:-broker}
        between 0 8
        what=$drawn
        between 200 3000
        length=$drawn
        between 5 40
        percent=$drawn
        [ "$at" -gt "${busy[$target]:-0}" ] || continue
        [ -z "$data" ] || [ "$target" != broker ] || continue # has a plan of its own
        if [ "$target" = broker ]; then
            what=freeze
            if ! "$restarted" && [ "$percent" -gt 25 ] && [ "$at" -lt $((faults_ms / 2)) ]; then
                what=restart
                restarted=true
            fi
        else
            what=$(printf '%s\n' cut-both cut-up cut-down lose flap freeze freeze kill kill | sed -n "$((what + 1))p")
        fi
        flaps=1
        if [ "$what" = flap ]; then
            what=cut-both flaps=5 length=$((length / 10))
        fi
        busy[$target]=$((at + 2 * flaps * length + 200))
        while [ "$flaps" -gt 0 ]; do
            number=$((number + 1))
            echo "$((at + 2 * flaps * length - 2 * length)) begin $number $target $what $percent"
            echo "$((at + 2 * flaps * length - length)) finish $number $target $what $percent"
            flaps=$((flaps - 1))
        done
    done > "$work/plan" # no pipe: a subshell would draw other numbers
    [ -z "$data" ] || plan_broker >> "$work/plan"
    sort -n -s "$work/plan" > "$journals/plan"
}

# A broker that keeps its streams has some time to do something between two of its deaths.
plan_broker () {
    local at=0 number=1000 what
    while :; do
        between 700 2500
        at=$((at + drawn))
        [ "$at" -lt "$faults_ms" ] || break
        between 0 7
        what=kill
        [ "$drawn" -ne 0 ] || what=restart
        [ "$drawn" -ne 1 ] || what=freeze
        number=$((number + 1))
        echo "$at begin $number broker $what"
        between 0 400
        at=$((at + drawn))
        echo "$at finish $number broker $what"
    done
}

# --- peers

# Draws how the broker and each peer work in this round.
draw_peers () {
    limits=("${usual_limits[@]}")
    between 0 2
    case $drawn in
    0) limits+=(memory_size=8MiB stream_size=6MiB dead_size=1MiB grant_idle=1s) ;;
    1) limits+=(marked_records=200) ;;
    esac
    declare -gA options=() behind=()
    between 300 900
    options[p1]="--number 1 --rate $drawn"
    between 100 400
    options[p2]="--number 2 --rate $drawn --size-max 200000"
    between 20 300
    options[p3]="--number 3 --rate $drawn"
    options[c1]="--work-us 200"
    between 500 4000
    options[c2]="--work-us $drawn --nack-one-in 300"
    between 200 2500
    options[c3]="--threads 4 --block-one-in 300 --block-ms $drawn --work-us 1000"
    options[c4]="--batch 1 --flush-ms 1000 --credit 500 --work-us 300"
    local peer
    for peer in p3 c4; do
        between 1 40
        behind[$peer]="--delay-max-ms $drawn"
        between 200000 3000000
        behind[$peer]+=" --cut-after $drawn"
        between 500000 3000000
        behind[$peer]+=" --stall-after $drawn"
        between 200 2500
        behind[$peer]+=" --stall-ms $drawn"
    done
}

start_one () {
    local peer=$1 endpoint program=fault_consumer words
    endpoint=$(direct "$peer")
    [ -z "${behind[$peer]:-}" ] || endpoint=$forwarded
    case $peer in p*) program=fault_producer ;; esac
    read -ra words <<< "${options[$peer]}"
    start_peer "$peer" "$endpoint" "$program" "${words[@]}"
}

# --- faults

begin_fault () {
    local number=$1 target=$2 what=$3 percent=$4
    case $what in
    cut-*)
        note begin "f$number" "$target" "$what"
        link "$target" "${what#cut-}" drop
        ;;
    lose)
        note begin "f$number" "$target" "$what"
        link "$target" both lose "$percent"
        ;;
    freeze)
        note begin "f$number" "$target" "$what"
        freeze "$target"
        ;;
    kill)
        if [ "$target" = broker ]; then
            kill_broker
        else
            slay "$target"
        fi
        ;;
    restart) stop_broker ;;
    esac
}

finish_fault () {
    local number=$1 target=$2 what=$3
    case $what in
    cut-* | lose)
        link "$target" both sound
        note finish "f$number"
        ;;
    freeze)
        thaw "$target"
        note finish "f$number"
        ;;
    kill | restart)
        if [ "$target" = broker ]; then
            start_broker "${limits[@]}"
        else
            start_one "$target"
        fi
        ;;
    esac
}

follow_plan () {
    local at verb number target what percent now began_ms wait_ms
    began_ms=$((${EPOCHREALTIME/[.,]/} / 1000))
    while read -r at verb number target what percent; do
        now=$((${EPOCHREALTIME/[.,]/} / 1000 - began_ms))
        wait_ms=$((at - now))
        # The plan says when.
        [ "$wait_ms" -le 0 ] || sleep "$((wait_ms / 1000)).$(printf '%03d' $((wait_ms % 1000)))"
        "${verb}_fault" "$number" "$target" "$what" "$percent"
        alive
    done < "$journals/plan"
}

# Nobody has died of itself.
alive () {
    local name
    for name in "${!process[@]}"; do
        ! gone "${process[$name]}" || fail "$name has ended: $(tail -n 3 "$journals/$name.log")"
    done
}

# --- a round

round () {
    local peer words
    RANDOM=$seed
    instances=()
    data=
    if [ $((seed % 2)) -eq 1 ]; then
        data=$work/data
        rm -rf "$data"
    fi
    make_plan
    draw_peers
    start_broker "${limits[@]}"
    for peer in p3 c4; do
        read -ra words <<< "${behind[$peer]}"
        start_forwarder "$peer" "${words[@]}"
    done
    for peer in "${peers[@]}"; do
        start_one "$peer"
    done
    follow_plan

    kill -USR1 "${process[p3-forwarder]}" "${process[c4-forwarder]}"
    for peer in p1 p2 p3; do
        terminate "$peer"
    done
    for peer in p1 p2 p3; do
        ends "$peer" 0 60
    done
    drain 60
    for peer in c1 c2 c3 c4; do
        terminate "$peer"
        ends "$peer" 0 30
    done
    for peer in p3-forwarder c4-forwarder; do
        terminate "$peer"
        ends "$peer" 0 10
    done
    nothing_is_left
    stop_broker
    kill -KILL "${process[watch]}"
    ends watch 137 10
    "$bin/fault_checker" "$journals" > "$journals/verdict" || {
        cat "$journals/verdict"
        return 1
    }
}

nothing_is_left () {
    local field value
    for field in held ready in_flight delayed suspect parked dead_lettered; do
        value=$(statistics streams name=load "$field")
        [ "$value" = 0 ] || fail "at the end the broker says $field: $value"
    done
}

need_hosts
for peer in "${peers[@]}" drain; do
    join "$peer"
done
echo "soak: seed $first, $([ "$rounds" -gt 0 ] && echo "$rounds rounds" || echo "$minutes minutes")"
done_rounds=0
while :; do
    journals=build/soak/$seed
    rm -rf "$journals"
    mkdir -p "$journals"
    began=$SECONDS
    round
    sed "s/^/    /" "$journals/verdict"
    echo "seed $seed: well, $((SECONDS - began)) s, $(grep -c begin "$journals/plan") faults planned"
    "$keep" || rm -rf "$journals"
    done_rounds=$((done_rounds + 1))
    seed=$((seed + 1))
    if [ "$rounds" -gt 0 ]; then
        [ "$done_rounds" -lt "$rounds" ] || break
    else
        [ "$SECONDS" -lt $((minutes * 60 - 20)) ] || break
    fi
done
echo "soak: $done_rounds rounds in $SECONDS s, all well"
