#!/bin/bash
# For tests of what starts processes: which there are, and whether they have ended. To be sourced.
# SPDX-License-Identifier: MPL-2.0

# children PID COUNT: its children, once that many run at least; false if it ends before, or after two
# minutes, which is what the slowest server may take to start on a busy machine.
children () {
    local found child
    local until=$((SECONDS + 120))
    while [ "$SECONDS" -lt "$until" ]; do
        found=$(cat "/proc/$1/task/$1/children" 2> /dev/null) || return 1
        if [ "$(wc -w <<< "$found")" -ge "$2" ]; then
            # And what those have started: servers.
            for child in $found; do
                cat "/proc/$child/task/$child/children" 2> /dev/null
            done
            echo "$found"
            return 0
        fi
        read -r -t 0.005 <> <(:) || true
    done
    return 1
}

# gone PID...: all of them, within some seconds. A zombie of ours counts as gone.
gone () {
    local pid
    for pid in "$@"; do
        for _ in $(seq 1000); do
            grep -qsE '^State:[[:space:]]+[^Z[:space:]]' "/proc/$pid/status" || continue 2
            read -r -t 0.01 <> <(:) || true
        done
        return 1
    done
}
