#!/bin/bash
# What is executed in turns of the client for a record does not depend on how many producers and consumers
# share the client.
# SPDX-License-Identifier: MPL-2.0
#
# usage: idle_ports.sh IDLE_PORTS
#
# The program works on two numbers of records; the difference leaves out how it begins. Instructions are
# counted, so it does not matter how fast the machine is. How many turns a record takes does depend on
# what else runs, a little: what a turn costs goes down when a record takes more of them, and what a
# record costs goes up. So one of the two has to stay about the same; a walk over a thousand ports in each
# turn multiplies both by more than ten.

set -euo pipefail

program=$1
few=100
many=400
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

if ! command -v valgrind > "$folder/noise"; then
    echo "needs valgrind (see scripts/packages)" >&2
    exit 1
fi

# count IDLE RECORDS: instructions of turns, whichever thread takes them, and how many turns.
count () {
    valgrind --quiet --tool=callgrind --callgrind-out-file="$folder/out" --compress-strings=no \
        --toggle-collect=leat_client_turn --collect-atstart=no "$program" "$1" "$2"
    awk '
        /^(summary|totals):/ { instructions = $2 }
        /^cfn=/ { callee = $0; sub (/^cfn=/, "", callee) }
        /^calls=/ && callee == "leat_session_tick" { split ($1, part, "="); turns += part[2] }
        END { print instructions, turns }' "$folder/out"
}

# cost IDLE: instructions for a record, and for a turn.
cost () {
    local first second
    first=$(count "$1" "$few")
    second=$(count "$1" "$many")
    awk -v a="$first" -v b="$second" -v records=$((many - few)) 'BEGIN {
        split (a, x)
        split (b, y)
        if (y[2] <= x[2]) exit 1
        printf "%d %d\n", (y[1] - x[1]) / records, (y[1] - x[1]) / (y[2] - x[2])
    }'
}

for idle in 10 100 1000; do
    costs=$(cost "$idle")
    echo "$idle $costs"
done | awk '
    {
        printf "%4d idle: %d instructions for a record, %d for a turn\n", $1, $2, $3
        for (i = 2; i <= 3; i++) {
            if (NR == 1 || $i < least[i]) least[i] = $i
            if (NR == 1 || $i > most[i]) most[i] = $i
        }
    }
    END {
        if (NR == 3 && (most[2] <= 1.5 * least[2] || most[3] <= 1.5 * least[3])) exit 0
        print "the cost of a record, or of a turn, should be about the same (within a half)"
        exit 1
    }'
