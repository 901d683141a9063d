#!/bin/bash
# Streams of retention log, in memory and in a directory: two groups read the same records, the oldest go by
# size and by age, what is lost to a group is told, and all of it holds over a restart.
# SPDX-License-Identifier: MPL-2.0

. "$(dirname "$0")/command_line.sh"

data=$work/data
size=(-d "$data" --data-size 4GiB) # sanitizers and valgrind have no room for the usual map of 1 TiB

# read_log STREAM GROUP OPTION...: everything that a group gets, to $work/stdout.
read_log () {
    local stream=$1 group=$2
    shift 2
    expect 0 "$leat" consume -q "$stream" -g "$group" --exit-when-empty "$@"
}

group_has () { # STREAM GROUP FIELD VALUE
    local groups
    groups=$("$leat" stats --json | "$stats_field" streams "name=$1" groups)
    [ "$(echo "{\"groups\": $groups}" | "$stats_field" groups "name=$2" "$3")" = "$4" ]
}

counter_is () { # COUNTER VALUE
    [ "$("$leat" stats --json | "$stats_field" counters "$1")" = "$2" ]
}

# Lines of 100 bytes and their numbers, FROM to TO.
lines () {
    seq -f '%093.0f flour' "$1" "$2"
}

# --- what both kinds of broker do

# Two groups read everything, whatever the other one has settled.
both_groups_read () {
    expect 0 "$leat" stream create diary --retention log
    lines 1 20000 > "$work/in"
    expect 0 "$leat" produce -q diary "$work/in"
    read_log diary first
    expect_same "$work/in" "$work/stdout"
    stream_has diary held 20000 || fail "a log does not hold what is settled"
    read_log diary second
    expect_same "$work/in" "$work/stdout"
    read_log diary third --from 15000
    expect_same <(tail -n +15001 "$work/in") "$work/stdout"
    read_log diary fourth --from latest
    [ ! -s "$work/stdout" ] || fail "what was there before came to who asked for what comes"
    # Once there are groups its retention stays.
    expect 1 "$leat" stream set diary --retention work
    expect_said "the retention of a stream stays as it is"
}

# Of 100,000 lines, each of 103 bytes as a record, a log of 2 MiB holds the last ones, without holes, and says how
# many went.
expires_by_size () {
    expect 0 "$leat" stream create tail --retention log --max-size 2MiB
    expect 0 "$leat" group create tail slow
    lines 1 100000 > "$work/long"
    expect 0 "$leat" produce -q tail "$work/long"
    local held expired
    held=$("$leat" stats --json | "$stats_field" streams name=tail held)
    expired=$("$leat" stats --json | "$stats_field" streams name=tail expired)
    [ $((held + expired)) -eq 100000 ] || fail "$held held and $expired expired"
    [ "$held" -ge 5000 ] && [ "$held" -le 20360 ] || fail "2 MiB hold $held lines"
    stream_has tail first_offset "$expired" || fail "the oldest offset is not told"
    group_has tail slow expired "$expired" || fail "the group is not told what it lost"
    counter_is records_expired "$expired" || fail "what expired is not counted"
    counter_is records_expired_unsettled "$expired" || fail "what was lost is not counted"
    says "$work/broker.log" "of stream 'tail' expired before group 'slow' had settled" \
        || fail "the broker does not say that records were lost"
    read_log tail slow
    expect_same <(tail -n "$held" "$work/long") "$work/stdout"
    # Who comes later begins at what is left, also if it asks for what is gone, and has lost nothing.
    expect 0 "$leat" group create tail late --from 3
    expect_said "begins at offset $expired"
    read_log tail late
    expect_same <(tail -n "$held" "$work/long") "$work/stdout"
    group_has tail late expired 0 || fail "a new group is told of losses"
    gone=$expired
}

expires_by_age () {
    expect 0 "$leat" stream create news --retention log --max-age 1s
    expect 0 "$leat" produce -q news <(lines 1 1000)
    read_log news first
    expect_same <(lines 1 1000) "$work/stdout"
    wait_until "the news to be old" stream_has news held 0
    stream_has news expired 1000 || fail "what expired is not told"
    group_has news first expired 0 || fail "a group that had settled all is told of losses"
    read_log news second
    [ ! -s "$work/stdout" ] || fail "what has expired is handed out"
    # Offsets go on.
    expect 0 "$leat" stream set news --max-age off
    expect 0 "$leat" produce -q news <(lines 1001 1010)
    stream_has news first_offset 1000 || fail "offsets do not go on"
    read_log news second
    expect_same <(lines 1001 1010) "$work/stdout"
}

# --- usage

expect 2 "$leat" stream create a --max-age 5
expect_said "--max-age cannot be '5'"
expect 2 "$leat" stream create a --max-size 0B
expect_said "--max-size cannot be '0B': it is at least 1, or off"

# --- in memory

start_broker
expect 1 "$leat" stream create a --max-age 5s
expect_said "max_age is for retention log"
expect 1 "$leat" stream create a --retention log --max-size 5KiB
expect_said "max_size must hold a batch"
both_groups_read
expires_by_size
expires_by_age
expect 0 "$leat" stats
grep -qE '^STREAM .* EXPIRED$' "$work/stdout" || fail "the table does not tell what expired"
stop_broker

# A log that may be larger than memory lets a stream have drops its oldest there, and nobody waits.
start_broker --limit stream_size=4MiB
expect 0 "$leat" stream create big --retention log --max-size 1GiB
expect 0 "$leat" produce -q big "$work/long"
held=$("$leat" stats --json | "$stats_field" streams name=big held)
read_log big all
expect_same <(tail -n "$held" "$work/long") "$work/stdout"
[ "$("$leat" stats --json | "$stats_field" streams name=big bytes)" -le 4194304 ] \
    || fail "a stream holds more than stream_size"
stop_broker

# --- in a directory, and after restarts

start_broker "${size[@]}" --limit read_window=64KiB
both_groups_read
expires_by_size
expires_by_age
expect 0 "$leat" stream create week --retention log --max-age 7d
expect 0 "$leat" produce -q week <(lines 1 5000)
read_log week first
# The next second that begins after those were made.
border=$(($(date +%s) + 1))
wait_until "the next second" eval '[ "$(date +%s)" -ge "$border" ]'
expect 0 "$leat" produce -q week <(lines 5001 6000)
kill -KILL "$broker"
expect_end "$broker" 137

# A group begins at a time of which the disk alone knows, and has nobody who takes for it before the next restart.
start_broker "${size[@]}" --limit read_window=64KiB
expect 0 "$leat" group create week since --from "$(date -u -d "@$border" +%Y-%m-%dT%H:%M:%SZ)"
wait_until "the place of that time" group_has week since ready 1000
stop_broker

start_broker "${size[@]}" --limit read_window=64KiB
stream_has tail first_offset "$gone" || fail "what had expired is there again"
expect 0 "$leat" stream list --json week
grep -q '"retention": "log", "max_age_ms": 604800000, "max_size": 0' "$work/stdout" \
    || fail "what was set of a log is gone"
read_log diary fifth
expect_same "$work/in" "$work/stdout"
read_log week since
expect_same <(lines 5001 6000) "$work/stdout"
read_log week second
expect_same <(lines 1 6000) "$work/stdout"
read_log week first
expect_same <(lines 5001 6000) "$work/stdout"
# What was published before the restart is as old as it is, though it is on the disk alone.
expect 0 "$leat" stream set week --max-age 1s
wait_until "the week to be over" stream_has week held 0
stream_has week expired 6000 || fail "what expired after a restart is not told"
# A size that is smaller now, too.
expect 0 "$leat" stream set diary --max-size 1100KiB
wait_until "the diary to be short" eval '! stream_has diary expired 0'
held=$("$leat" stats --json | "$stats_field" streams name=diary held)
[ "$held" -ge 100 ] && [ "$held" -le 10936 ] || fail "1100 KiB hold $held lines"
read_log diary sixth
expect_same <(tail -n "$held" "$work/in") "$work/stdout"
stop_broker
expect 0 "$leat" store verify "$data"
start_broker "${size[@]}"
stream_has diary held "$held" || fail "what expired is there again after an end in order"
read_log diary seventh
expect_same <(tail -n "$held" "$work/in") "$work/stdout"
stop_broker
