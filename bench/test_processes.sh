#!/bin/bash
# For tests of what starts processes: which there are, and whether they have ended. To be sourced.
# SPDX-License-Identifier: MPL-2.0

# children PID COUNT: its children, once that many run at least.
children () {
    local found child
    for _ in $(seq 2000); do
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
