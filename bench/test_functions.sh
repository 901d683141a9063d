#!/bin/bash
# What the tests of `leat bench` have in common. Sourced, with $leat set.
# SPDX-License-Identifier: MPL-2.0

# shellcheck source=bench/test_processes.sh
. "$(dirname "${BASH_SOURCE[0]}")/test_processes.sh"

work=$(mktemp -d)
export TMPDIR=$work # a server that was killed leaves its files
trap 'rm -rf "$work"' EXIT
failures=0

fail () {
    echo "FAILED: $*"
    [ ! -s "$work/stdout" ] || sed 's/^/    stdout: /' "$work/stdout"
    [ ! -s "$work/stderr" ] || sed 's/^/    stderr: /' "$work/stderr"
    failures=$((failures + 1))
}

# exits CODE bench arguments...
exits () {
    local want=$1 got=0
    shift
    timeout 200 "$leat" bench "$@" > "$work/stdout" 2> "$work/stderr" || got=$?
    [ "$got" -eq "$want" ] || fail "leat bench $*: exit code $got, not $want"
}

# says TEXT: on stderr, the last time
says () {
    grep -qF -- "$1" "$work/stderr" || fail "did not say '$1'"
}

shows () {
    grep -qE -- "$1" "$work/stdout" || fail "did not show '$1'"
}

# --- no process is left behind, however it ends

# leaves_none COUNT bench arguments...: killed in any way once it has so many children.
leaves_none () {
    local count=$1 signal pid got started left
    shift
    for signal in INT TERM KILL; do
        # A job in the background ignores SIGINT unless job control is on.
        set -m
        "$leat" bench "$@" > "$work/stdout" 2> "$work/stderr" &
        pid=$!
        set +m
        if ! started=$(children "$pid" "$count"); then
            fail "$*: never had $count processes"
            kill -KILL "$pid"
            wait "$pid" 2> /dev/null
            continue
        fi
        kill "-$signal" "$pid"
        got=0
        wait "$pid" 2> /dev/null || got=$?
        # shellcheck disable=SC2086
        gone $started || fail "$*: SIG$signal left processes behind"
        [ "$signal" = KILL ] || [ "$got" -eq 1 ] || fail "$*: SIG$signal: exit code $got"
        left=$(compgen -G "$work/leat-bench-*")
        [ "$signal" = KILL ] || [ -z "$left" ] || fail "$*: SIG$signal left files behind: $left"
        rm -rf "$work"/leat-bench-*
    done
}
