#!/bin/bash
# Where a new group begins: at the oldest record, at what comes, at an offset, at a time.
# SPDX-License-Identifier: MPL-2.0

. "$(dirname "$0")/command_line.sh"

start_broker

# taken GROUP PLACE EXPECTED...: what a new group takes that begins there.
taken () {
    local group=$1 place=$2
    shift 2
    expect 0 "$leat" consume -q river -g "$group" --from="$place" --exit-when-empty
    expect_same <([ $# -eq 0 ] || printf '%s\n' "$@") "$work/stdout"
}

time_is () {
    [ "$(date +%s)" -ge "$1" ]
}

seq 0 4 | "$leat" produce -q river
# A group that has yet to settle them holds the records for those that come later. (What one has settled is held
# as long as something of its batch is not, and how lines share batches goes by how fast they come.)
expect 0 "$leat" group create river keeper

# The second that begins after everything so far was made.
border=$(($(date +%s) + 1))
wait_until "the next second" time_is "$border"
seq 5 9 | "$leat" produce -q river

taken oldest earliest 0 1 2 3 4 5 6 7 8 9
taken offset 7 7 8 9
taken beyond 10
taken before 0 0 1 2 3 4 5 6 7 8 9
taken moment "$(date -u -d "@$border" +%Y-%m-%dT%H:%M:%SZ)" 5 6 7 8 9
taken age 1h 0 1 2 3 4 5 6 7 8 9

# A group that takes what is published from now on.
start "$work/latest" "$leat" consume river -g new --from=latest -n 2
latest=$last
has_new () {
    "$leat" stats --json | grep -q '"group":"new"'
}
wait_until "the consumer" has_new
seq 10 11 | "$leat" produce -q river
expect_end "$latest" 0
expect_same <(seq 10 11) "$work/latest"

# A group that exists goes on where it is, whatever is asked for.
taken moment earliest 10 11

expect 2 "$leat" consume river --from=yesterday
expect_said "yesterday"
expect 2 "$leat" consume river --from=-1
