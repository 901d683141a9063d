#!/bin/bash
# What users do wrong: each gets the documented exit code and a message that says what would be right.
# SPDX-License-Identifier: MPL-2.0

. "$(dirname "$0")/command_line.sh"

# --- the program itself

expect 2 "$leat"
grep -q '^Usage: leat COMMAND' "$work/stderr" || fail "no usage on stderr"
[ ! -s "$work/stdout" ] || fail "usage on stdout"
expect 0 "$leat" --help
grep -q 'leat produce' "$work/stdout" || fail "--help does not list the commands"
expect 0 "$leat" --version
grep -qE '^leat [0-9]+\.[0-9]+\.[0-9]+$' "$work/stdout" || fail "--version prints something else"
for arguments in "produce -h" "help produce"; do
    # shellcheck disable=SC2086
    expect 0 "$leat" $arguments
    expect_same <("$leat" produce --help) "$work/stdout"
done
expect 0 "$leat" bench throughput -h
expect_same <("$leat" bench throughput --help) "$work/stdout"
expect 2 "$leat" help prodcue
expect_said "did you mean 'leat produce'?"
expect 2 "$leat" prodcue x
expect_said "did you mean 'leat produce'?"
expect 2 "$leat" frobnicate
expect_said "there is no command 'frobnicate'"
expect 2 "$leat" top
expect_said "not in this version"
expect 2 "$leat" -b tcp://localhost:1 produce x
expect_said "options follow a command"

# What cannot be written is an error, also where argp writes.
for arguments in --help --version "broker --limits"  \
    {broker,produce,consume,stats}\ {--help,--usage,--version}; do
    # shellcheck disable=SC2086
    expect 1 bash -c '"$0" "$@" > /dev/full' "$leat" $arguments
    expect_said "cannot write to stdout: No space left on device"
    [ "$(wc -l < "$work/stderr")" -eq 1 ] || fail "$arguments says it more than once"
done
expect 1 bash -c '"$0" --help >&-' "$leat"
expect_said "cannot write to stdout: Bad file descriptor"

# --- options and arguments

for command in broker produce consume stats; do
    expect 2 "$leat" "$command" --frobnicate
    expect_said "unrecognized option"
    expect_said "leat $command --help"
    expect 0 "$leat" "$command" --version
done
expect 2 "$leat" produce
expect_said "STREAM is missing"
expect 2 "$leat" consume
expect_said "STREAM is missing"
expect 2 "$leat" consume one two
expect_said "There is one STREAM"
expect 2 "$leat" stats everything
expect_said "takes options only"
expect 2 "$leat" produce --timeout 10 x
expect_said "the unit is missing"
expect 2 "$leat" produce --timeout 10MiB x
expect_said "a duration is"
expect 2 "$leat" produce --window 100 x
expect_said "the unit is missing"
expect 2 "$leat" produce --rate 0 x
expect_said "--rate cannot be '0': it is at least 1"
expect 2 "$leat" produce --window 5GiB x
expect_said "it is at most 4294967295B"
expect 2 "$leat" produce --rate fast x
expect_said "in digits"
expect 2 "$leat" produce -D '' x
expect_said "cannot be empty"
expect 2 "$leat" produce -D ';' --whole x
expect_said "--delimiter has no meaning with --whole"
expect 2 "$leat" produce -D '\q' x
expect_said "after a backslash"
expect 2 "$leat" produce -H novalue x
expect_said "NAME=VALUE"
expect 2 "$leat" consume -n -1 x
expect 2 "$leat" consume -n 0 x
expect_said "it is at least 1"
expect 2 "$leat" consume -j 2 x
expect_said "--jobs is for --exec"
expect 2 "$leat" consume -j 100000 --exec true x
expect_said "it is at most 1024"
expect 2 "$leat" consume --exec true --format %b x
expect_said "are for stdout"
expect 2 "$leat" consume --exec '' x
expect_said "--exec cannot be empty"
expect 2 "$leat" consume --format %x x
expect_said "after a percent sign"
expect 2 "$leat" consume --from yesterday x
expect_said "earliest, latest"
expect 2 "$leat" stats --timeout 0s
expect_said "it is at least 1ms"
expect 2 "$leat" stats --timeout 25d
expect_said "it is at most 24d"
expect 2 "$leat" broker extra
expect_said "takes options only"
expect 2 "$leat" broker -d ''
expect_said "--data cannot be empty"
expect 2 "$leat" broker --limit memory_size
expect_said "NAME=VALUE"
expect 2 "$leat" broker --limit frob=3
expect_said "there is no limit 'frob'"
expect 2 "$leat" broker --limit memory_size=5
expect_said "--limit memory_size=5: the unit is missing"
expect 2 "$leat" broker --limit batch_size=1KiB
expect_said "--limit batch_size=1KiB: batch_size must hold"
expect_said "(record_size is 1MiB)"
expect 2 "$leat" broker --max-record 65MiB
expect_said "--max-record 65MiB: record_size must be from 1 byte to 64MiB"
expect 2 "$leat" broker --max-record 5
expect_said "--max-record 5: the unit is missing"
printf 'limits\n    batch_size = 1KiB\n' > "$work/config"
expect 2 "$leat" broker -c "$work/config"
expect_said "limit batch_size = 1KiB: batch_size must hold"
expect 2 "$leat" broker --data-size 5
expect_said "--data-size 5: the unit is missing"
expect 2 "$leat" broker --data-size 1KiB
expect_said "--data-size 1KiB: a data directory takes from 1MiB to 64TiB"
printf 'data-size = 1KiB\n' > "$work/config"
expect 2 "$leat" broker -c "$work/config"
expect_said "data-size = 1KiB: a data directory takes from 1MiB to 64TiB"
expect 2 "$leat" broker --data-size 1MiB
expect_said "a data size is for a data directory; say --data DIR too"
printf 'data-size = 1MiB\n' > "$work/config"
expect 2 "$leat" broker -c "$work/config"
expect_said "a data size is for a data directory"
expect 2 "$leat" broker -l "ipc://$work/both" -s "ipc://$work/both"
expect_said "ipc://$work/both cannot be both for clients and for statistics"
expect 2 "$leat" broker -e tcp://127.0.0.1:5562
expect_said "events are not in this version"
printf 'lissten = x\n' > "$work/config"
expect 2 "$leat" broker -c "$work/config"
expect_said "there is no key 'lissten'"
expect 2 "$leat" broker -c "$work/nowhere"
expect_said "No such file or directory"

# --- names

for name in 'a b' '.hidden' '-x' 'a/b' "$(printf 'n%.0s' {1..124})" ''; do
    expect 2 "$leat" produce -- "$name"
    expect_said "cannot be a stream"
done
# What a terminal would obey is not repeated to it.
for command in "produce" "consume" "consume x -g" "produce --id"; do
    # shellcheck disable=SC2086
    expect 2 "$leat" $command $'a\033[2J\nb'
    expect_said "'a?[2J?b'"
done
expect 2 "$leat" produce orders.dead
expect_said "belong to dead letters"
expect 2 "$leat" consume 'a b'
expect_said "made of letters"
expect 2 "$leat" consume -g 'a b' x
expect_said "made of letters"
expect 2 "$leat" produce --id 'a b' x
expect_said "made of letters"

# --- endpoints

expect 2 "$leat" produce -b localhost:5560 x
expect_said "an endpoint is written"
expect 2 "$leat" consume -b tcp://localhost x
expect_said "tcp://HOST:PORT"
expect 2 env LEAT_BROKER=nonsense "$leat" consume x
expect_said "LEAT_BROKER cannot be 'nonsense'"
expect 2 env LEAT_STATS=nonsense "$leat" stats
expect_said "LEAT_STATS cannot be 'nonsense'"
expect 2 "$leat" broker -l nonsense
expect_said "tcp://"
for endpoint in 'tcp://a b:1' 'tcp://a:b:1' 'tcp://:1' 'tcp://a:65536' 'ipc://' ''; do
    expect 2 "$leat" produce -b "$endpoint" x
    expect_said "--broker cannot be '$endpoint'"
    expect 2 "$leat" consume -b "$endpoint" x
    expect 2 "$leat" stats -s "$endpoint"
    expect_said "--stats cannot be '$endpoint'"
    expect 2 "$leat" broker -l "$endpoint" -s "ipc://$work/other"
    expect 2 "$leat" broker -l "ipc://$work/other" -s "$endpoint"
    if [ -n "$endpoint" ]; then
        expect 2 env "LEAT_BROKER=$endpoint" "$leat" produce x
        expect_said "LEAT_BROKER cannot be '$endpoint'"
        expect 2 env "LEAT_BROKER=$endpoint" "$leat" consume x
        expect 2 env "LEAT_STATS=$endpoint" "$leat" stats
    fi
done
expect 2 "$leat" produce -b tcp://127.0.0.1:1,nonsense x
expect_said "an endpoint is written"
expect 2 "$leat" produce -b $'tcp://\033[2J:1' x
expect_said "'tcp://?[2J:1'"
expect 2 "$leat" broker -l tcp://0.0.0.0:5560 -s "$LEAT_STATS"
expect_said "--insecure"

# --- nobody there

for command in "produce x" "consume x"; do
    # shellcheck disable=SC2086
    expect 3 "$leat" $command -b "ipc://$work/nobody" --timeout 300ms < /dev/null
    expect_said "no broker at ipc://$work/nobody within 300ms; "
    grep -q '?[;,:]' "$work/stderr" && fail "a question within a sentence"
done
expect 3 "$leat" stats -s "ipc://$work/nobody" --timeout 300ms
expect_said "no answer from"
expect 3 "$leat" produce -b tcp://127.0.0.1:1 --timeout 300ms x < /dev/null

# A child of bash has signals blocked for a moment before it becomes leat: it must be SIGTERM (0x4000). Both
# from one reading, in which the name comes first.
expects_signals () {
    local status mask
    status=$(cat "/proc/$1/status")
    mask=$(sed -n 's/^SigBlk:[[:space:]]*//p' <<< "$status")
    grep -q '^Name:[[:space:]]*leat$' <<< "$status" && [ $((16#${mask:-0} & 0x4000)) -ne 0 ]
}

# A signal ends the waiting: a consumer has nothing unfinished, a producer has.
start "$work/waiting" "$leat" consume x
wait_until "its signals" expects_signals "$last"
kill -TERM "$last"
expect_end "$last" 0
says "$work/waiting.err" "before a broker was reached at $LEAT_BROKER" || fail "it ends in silence"
start "$work/waiting" "$leat" produce x
wait_until "its signals" expects_signals "$last"
kill -TERM "$last" # bash starts what runs beside it with SIGINT ignored
expect_end "$last" 1
says "$work/waiting.err" "before a broker was reached at $LEAT_BROKER" || fail "it ends in silence"

# --- files that cannot be read: found before anything is sent, and without a broker

echo fine > "$work/fine"
expect 1 "$leat" produce x "$work/fine" "$work/missing"
expect_said "cannot read $work/missing: No such file or directory; nothing was sent"
expect 1 "$leat" produce x "$work"
expect_said "Is a directory"

start_broker

# --- an endpoint in use

expect 1 "$leat" broker -l "$LEAT_BROKER" -s "ipc://$work/other"
expect_said "$LEAT_BROKER"
expect 1 "$leat" broker -l "ipc://$work/other" -s "$LEAT_STATS"
expect 1 "$leat" broker -l "ipc://$work/no/such/folder" -s "ipc://$work/other"
: > "$work/file"
expect 1 "$leat" broker -l "ipc://$work/file" -s "ipc://$work/other"
[ -f "$work/file" ] || fail "the broker has removed a file that is not its own"
"$leat" broker -l tcp://127.0.0.1:0 -s tcp://127.0.0.1:0 2> "$work/tcp.log" &
tcp=$!
started+=("$tcp")
wait_until "the broker on tcp" says "$work/tcp.log" "answers"
endpoint=$(grep -oE 'listens on tcp://[0-9.:]+' "$work/tcp.log" | cut -d ' ' -f 3)
expect 1 "$leat" broker -l "$endpoint" -s "ipc://$work/other"
expect_said "$endpoint"
expect 0 "$leat" produce -b "$endpoint" x "$work/fine"
expect_said ": 1 record confirmed in"
# The second of two endpoints is tried where the first does not answer.
expect 0 "$leat" consume -b "ipc://$work/nobody,$endpoint" x --exit-when-empty
expect_said ": 1 record in"
expect_same "$work/fine" "$work/stdout"
expect 1 "$leat" stats -s "$endpoint" --timeout 2s
expect_said "is no stats socket"
expect 3 "$leat" produce -b "$LEAT_STATS" --timeout 500ms x "$work/fine"
expect_said "does not speak Leat's protocol; is it the stats socket"

# --- bytes of other protocols on the port: nothing changes for others

exec 9<> "/dev/tcp/127.0.0.1/${endpoint##*:}"
printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' >&9
exec 9>&-
exec 9<> "/dev/tcp/127.0.0.1/${endpoint##*:}"
head -c 5000 /dev/urandom >&9 2> /dev/null || true
exec 9>&-
expect 0 "$leat" produce -b "$endpoint" x "$work/fine"
expect 0 "$leat" consume -b "$endpoint" x --exit-when-empty
expect_same "$work/fine" "$work/stdout"
kill -INT "$tcp"
expect_end "$tcp" 0

# --- a record above the limit: what is before it is confirmed, the message has file and line

{
    seq 5
    head -c 1048577 /dev/zero | tr '\0' x
    echo
    echo after
} > "$work/in"
expect 1 "$leat" produce large "$work/in"
expect_said "$work/in, line 6"
expect_said "1048577B"
expect_said "5 records confirmed"
expect 0 "$leat" consume large --exit-when-empty
expect_same <(seq 5) "$work/stdout"

# A file that is one record has no lines.
expect 1 "$leat" produce large --whole "$work/in"
expect_said "produce: $work/in: it has 1048594B, which is more than this broker takes in one record"
expect_said "0 records confirmed"

# The largest that the broker takes is taken.
head -c 1048576 /dev/zero | tr '\0' x > "$work/in"
expect 0 "$leat" produce largest --whole "$work/in"
expect 0 "$leat" consume largest -D '' --exit-when-empty
expect_same "$work/in" "$work/stdout"
# The key counts.
{
    printf 'k='
    cat "$work/in"
} > "$work/keyed"
expect 1 "$leat" produce largest -K = "$work/keyed"
expect_said "1048582B with its key and headers"
{
    head -c 65536 /dev/zero | tr '\0' k
    printf '=body\n'
} > "$work/keyed"
expect 1 "$leat" produce largest -K = "$work/keyed"
expect_said "the key is longer"

# --- a file that grows unreadable while it is read

expect 1 "$leat" produce reading /proc/self/mem
expect_said "cannot read /proc/self/mem"
expect_said "0 records confirmed"

stop_broker

# --- a broker with larger records says what follows, and takes them

start_broker --max-record 3MiB
grep -q 'limit batch_size follows' "$work/broker.log" || fail "the broker raises limits in silence"
head -c 3145728 /dev/zero | tr '\0' x > "$work/in"
expect 0 "$leat" produce large --whole "$work/in"
expect 0 "$leat" consume large -D '' --exit-when-empty
expect_same "$work/in" "$work/stdout"

stop_broker
