#!/bin/bash
# leat stream, leat group and leat drain: what they do, what they refuse, and how they end.
# SPDX-License-Identifier: MPL-2.0

. "$(dirname "$0")/command_line.sh"

# --- usage, which needs no broker

usage () {
    local said=$1
    shift
    expect 2 "$leat" "$@"
    expect_said "$said"
    [ ! -s "$work/stdout" ] || fail "a usage error writes to stdout"
}
usage "ACTION is missing" stream
usage "what is 'lisp'? There are list, create and set" stream lisp
usage "STREAM is missing" stream create
usage "a stream cannot be 'a b'" stream create 'a b'
usage "There is one STREAM" stream create a b
usage "settings are for create and set" stream list --max-attempts 3
usage "--json is for list" stream create a --json
usage "nothing is to be set" stream set a
usage "--durability cannot be 'disk': it is async, sync or memory" stream create a --durability disk
usage "--retention cannot be 'ever': it is work or log" stream create a --retention ever
usage "--max-processing cannot be '5'" stream create a --max-processing 5
usage "--max-processing cannot be '0s': it is at least 1, or off" stream create a --max-processing 0s
usage "--max-attempts cannot be '0': it is at least 1, or default" stream create a --max-attempts 0
usage "--dead-size cannot be '64'" stream create a --dead-size 64
usage "--timeout cannot be 'soon'" stream list --timeout soon
usage "ACTION is missing" group
usage "There are list and create" group drop
usage "STREAM is missing" group list
usage "GROUP is missing" group create a
usage "--from cannot be 'never'" group create a b --from never
usage "--from is for create" group list a --from latest
usage "--json is for list" group create a b --json
usage "There is one STREAM" group list a b
usage "CONSUMER is missing" drain
usage "a consumer cannot be '.a'" drain .a
usage "There is one CONSUMER" drain a b
usage "--stream cannot be ''" drain a --stream ''
usage "cannot be 'nowhere'" drain a -b nowhere

expect 3 "$leat" stream list --timeout 100ms
expect_said "no broker at"
expect 3 "$leat" drain somebody --timeout 100ms

# --- streams

start_broker
expect 0 "$leat" stream list
expect_same <(echo 'STREAM  DURABILITY  RETENTION  MAX AGE  MAX SIZE  PROCESSING  ATTEMPTS  DEAD SIZE  FIRST OFFSET  NEXT OFFSET') \
    "$work/stdout"
expect 0 "$leat" stream create images --max-processing 5min --max-attempts 3 --dead-size 64MiB
expect_said "stream 'images' is there"
expect 0 "$leat" stream create images --max-processing 300s --max-attempts 3 --dead-size 64MiB -q
[ ! -s "$work/stderr" ] || fail "--quiet says something"
expect 1 "$leat" stream create images
expect_said "there already, with other settings (BAD_STATE)"
expect 1 "$leat" stream create kept --durability sync
expect_said "this broker keeps streams in memory only"
expect 0 "$leat" stream create kept --retention log --max-age 7d --max-size 2GiB -q
expect 1 "$leat" stream create kept.dead
expect_said "RESERVED_NAME"
expect 1 "$leat" stream set nothing --max-attempts 3
expect_said "'nothing': there is no stream of that name (NO_SUCH_STREAM); \`leat stream list\` shows"
seq 3 | "$leat" produce -q letters
expect 0 "$leat" stream list
cat > "$work/expected" <<'END'
STREAM   DURABILITY  RETENTION  MAX AGE  MAX SIZE  PROCESSING  ATTEMPTS  DEAD SIZE  FIRST OFFSET  NEXT OFFSET
images   memory      work           off       off        5min         3      64MiB             0            0
kept     memory      log             7d      2GiB         off   default    default             0            0
letters  memory      work           off       off         off   default    default             0            3
END
expect_same "$work/expected" "$work/stdout"

# What is not said stays.
expect 0 "$leat" stream set images --max-attempts 7
expect_said "stream 'images' is set"
expect 0 "$leat" stream list --json 'im*'
echo '{"streams": [{"name": "images", "durability": "memory", "retention": "work", "max_age_ms": 0,' \
    '"max_size": 0, "max_processing_ms": 300000, "max_attempts": 7, "dead_size": 67108864,' \
    '"first_offset": 0, "next_offset": 0, "paused": false}]}' > "$work/expected"
expect_same "$work/expected" "$work/stdout"
expect 0 "$leat" stream set kept --max-age off
expect 0 "$leat" stream list kept
grep -qE '^kept +memory +log +off +2GiB ' "$work/stdout" || fail "not set: $(cat "$work/stdout")"
expect 0 "$leat" stream set kept --retention work # takes the limits of a log along
expect 0 "$leat" stream list kept
grep -qE '^kept +memory +work +off +off ' "$work/stdout" || fail "not set: $(cat "$work/stdout")"
expect 0 "$leat" stream set images --max-processing off --dead-size default
expect 0 "$leat" stream list images
grep -qE '^images +memory +work +off +off +off +7 +default +0 +0$' "$work/stdout" || fail "not set: $(cat "$work/stdout")"
if [ -w /dev/full ]; then
    code=0
    "$leat" stream list > /dev/full 2> "$work/stderr" || code=$?
    [ "$code" -eq 1 ] || fail "a full disk ends with $code"
    expect_said "cannot write to stdout"
fi

# One attempt is one attempt.
expect 0 "$leat" stream create brittle --max-attempts 1
seq 2 | "$leat" produce -q brittle
expect 0 "$leat" consume brittle --exit-when-empty --exec 'exit 1'
expect 0 "$leat" consume brittle.dead --exit-when-empty
expect_same <(seq 2) "$work/stdout"

# --- groups

expect 1 "$leat" group list nothing
expect_said "NO_SUCH_STREAM"
expect 0 "$leat" group create letters all
expect_said "group 'all' of stream 'letters' begins at offset 0"
expect 0 "$leat" group create letters late --from latest
expect_said "begins at offset 3"
expect 0 "$leat" group create letters some --from 2 -q
expect 1 "$leat" group create letters some
expect_said "the group is there already"
expect 0 "$leat" consume letters -g all -n 1
expect 0 "$leat" group list letters
cat > "$work/expected" <<'END'
GROUP  FLOOR  READY  FLIGHT  DELAYED  DEAD  CONSUMERS
all        1      2       0        0     0          0
late       3      0       0        0     0          0
some       2      1       0        0     0          0
END
expect_same "$work/expected" "$work/stdout"
expect 0 "$leat" group list letters --json
[ "$("$stats_field" groups name=some ready < "$work/stdout")" = 1 ] || fail "the JSON has no group"

# --- nobody to drain

expect 1 "$leat" drain nobody
expect_said "'nobody': no client of that name is connected (NO_SUCH_CONSUMER); \`leat stats\` shows"
start "$work/out" "$leat" consume letters -g late --id reader
reader=$last
wait_until "the reader" eval '"$leat" stats --json | grep -q "\"reader\""'
expect 1 "$leat" drain reader --stream images
expect_said "not that stream"
expect 0 "$leat" drain reader --stream letters
expect_said "'reader' was asked to leave: 1 consumer"
expect_end "$reader" 0
says "$work/out.err" "the broker asked this consumer to leave" || fail "the reader does not say why it ends"
stop_broker
