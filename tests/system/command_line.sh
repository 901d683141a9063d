# What the tests of the command line share: a broker of their own, waiting with limits, comparing.
# SPDX-License-Identifier: MPL-2.0
#
# To be read by a test that was given the leat program as its first argument and the helper for JSON
# as its second. Everything happens in a new folder and on ipc endpoints in it, so tests do not meet.

set -euo pipefail

# ./test has a wrapper for all programs that it tests; what this starts inherits it.
if [ -n "${LEAT_TEST_WRAPPER:-}" ] && [ -z "${LEAT_TEST_WRAPPED:-}" ]; then
    export LEAT_TEST_WRAPPED=1
    # shellcheck disable=SC2086
    exec $LEAT_TEST_WRAPPER "$0" "$@"
fi

leat=$1
stats_field=$2

work=$(mktemp -d "${TMPDIR:-/tmp}/leat-test-XXXXXX")
export LEAT_BROKER=ipc://$work/broker LEAT_STATS=ipc://$work/stats
broker=
started=()

# Ends what this test has started, and nothing else.
clean_up () {
    local code=$? pid
    trap - EXIT
    for pid in "${started[@]}"; do
        kill -CONT "$pid" 2> /dev/null || true
        kill -KILL "$pid" 2> /dev/null || true
    done
    wait 2> /dev/null || true
    if [ "$code" -ne 0 ] && [ -f "$work/broker.log" ]; then
        echo "--- broker"
        cat "$work/broker.log"
    fi
    rm -rf "$work"
    exit "$code"
}
trap clean_up EXIT

fail () {
    echo "FAILED in line ${BASH_LINENO[*]:0:2}: $*"
    if [ -s "$work/stderr" ]; then
        echo "--- stderr of the last command"
        cat "$work/stderr"
    fi
    exit 1
}

# wait_until WHAT COMMAND...: until the command succeeds; 20 seconds at most.
wait_until () {
    local what=$1 end=$((SECONDS + 20))
    shift
    until "$@" 2> /dev/null; do
        [ "$SECONDS" -lt "$end" ] || fail "waited for $what for too long"
        sleep 0.02
    done
}

says () {
    grep -qF -- "$2" "$1"
}

# start_broker OPTION...
start_broker () {
    : > "$work/broker.log"
    "$leat" broker -l "$LEAT_BROKER" -s "$LEAT_STATS" "$@" 2>> "$work/broker.log" &
    broker=$!
    started+=("$broker")
    wait_until "the broker" says "$work/broker.log" "answers"
}

# Ends the broker in order.
stop_broker () {
    kill -TERM "$broker"
    expect_end "$broker" 0
}

# start LOG COMMAND...: in the background, stdout to LOG, stderr to LOG.err; its process is $last.
start () {
    local log=$1
    shift
    : > "$log.err"
    "$@" > "$log" 2> "$log.err" &
    last=$!
    started+=("$last")
}

# expect_end PROCESS CODE: waits for its end.
expect_end () {
    local code=0
    wait "$1" || code=$?
    [ "$code" -eq "$2" ] || fail "process ended with $code, not $2"
}

# expect CODE COMMAND...: runs it with its output in $work/stdout and $work/stderr.
expect () {
    local want=$1 code=0
    shift
    timeout 30 "$@" > "$work/stdout" 2> "$work/stderr" || code=$?
    [ "$code" -eq "$want" ] || fail "$* ended with $code, not $want"
}

# What the last command said on stderr.
expect_said () {
    says "$work/stderr" "$1" || fail "stderr does not say: $1"
}

# Same bytes.
expect_same () {
    cmp "$1" "$2" || fail "$1 and $2 differ"
}

# Same lines, each as often, in any order.
expect_same_lines () {
    cmp <(sort "$1") <(sort "$2") || fail "$1 and $2 do not have the same lines"
}

# The same lines, but the second file may have some of them several times.
expect_covers () {
    cmp <(sort -u "$1") <(sort -u "$2") || fail "$1 and $2 do not have the same lines"
}

# stream_has STREAM FIELD NUMBER: what the stats say of it now.
stream_has () {
    [ "$("$leat" stats --json | "$stats_field" streams "name=$1" "$2")" = "$3" ]
}

stream_has_at_least () {
    [ "$("$leat" stats --json | "$stats_field" streams "name=$1" "$2")" -ge "$3" ]
}

lines_at_least () {
    [ "$(wc -l < "$1")" -ge "$2" ]
}

gone () {
    ! kill -0 "$1" 2> /dev/null
}
