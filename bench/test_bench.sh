#!/bin/bash
# Tests `leat bench`: every contender carries records, verdicts and exit codes are right, and no
# process is left behind. Asserts nothing about time. Other brokers are test_bench_peers.sh's.
# SPDX-License-Identifier: MPL-2.0
#
# usage: test_bench.sh LEAT [CONTENDER...]

set -u

leat=$1
shift
. "$(dirname "$0")/test_functions.sh"
contenders=("$@")
[ "${#contenders[@]}" -gt 0 ] || contenders=(relay proxy router leat)

# shows_empty: the folder of the files is gone.
shows_empty () {
    [ -z "$(ls -A "$work/disk")" ] || fail "left behind: $(ls -A "$work/disk")"
}

# --- every contender, throughput and latency, sizes around what they treat differently

for contender in "${contenders[@]}"; do
    for size in 16 100 4099 300000; do
        exits 0 throughput --contenders "$contender" --records $((size > 100000 ? 300 : 3000)) --pairs 1 --size "$size"
        shows "^$contender +[0-9]"
        [ ! -s "$work/stderr" ] || fail "$contender: something on stderr"
    done
    exits 0 throughput --contenders "$contender" --seconds 0.05 --warm-up 0.02 --pairs 2 --json
    shows '"benchmark": "throughput"'
    shows "\"name\": \"$contender\""
    exits 0 latency --contenders "$contender" --rate 1000 --seconds 0.2 --warm-up 0.05 --pairs 1
    shows "^$contender +[0-9]"
    exits 0 latency --contenders "$contender" --rate 1000 --seconds 0.2 --pairs 1 --json
    shows '"p99.9"'
done

# --- verdicts

case " ${contenders[*]} " in
*" leat "*)
    exits 0 throughput --records 2000 --pairs 1 --require 0.0000001 --require-proxy 0.0000001
    shows '^leat / relay +[0-9]'
    shows '^leat / proxy +[0-9]'
    exits 1 throughput --contenders relay,leat --records 2000 --pairs 1 --require 1000
    says 'required is at least 1000.000'
    exits 1 throughput --contenders proxy,leat --records 2000 --pairs 1 --require-proxy 1000000
    says 'leat / proxy is'
    exits 0 latency --contenders router,leat --rate 500 --seconds 0.1 --pairs 1 --require 1000000
    exits 1 latency --contenders router,leat --rate 500 --seconds 0.1 --pairs 1 --require 0.0001
    says 'required is at most 0.000'
    exits 1 throughput --require relay=1000,proxy=0.0000001 --contenders relay,proxy,leat --records 2000 --pairs 1
    says 'leat / relay is'
    ! grep -q 'leat / proxy' "$work/stderr" || fail 'said of proxy, too, that it is not reached'
    ;;
esac

# --- balance: every scenario, whatever the ratio

for contender in leat push; do
    exits 0 balance --contenders "$contender" --tasks 60 --pairs 1 --size 33
    for scenario in lognormal constant slowdown latecomer; do
        shows "^$scenario +$contender +[0-9]+\.[0-9]+ "
    done
    [ ! -s "$work/stderr" ] || fail "balance, $contender: something on stderr"
done
exits 0 balance --contenders leat --tasks 30 --pairs 2 --scenarios latecomer,constant --json
shows '"benchmark": "balance"'
shows '"scenario": "latecomer"'
shows '"done_twice"'
exits 0 balance --contenders push,leat --tasks 30 --pairs 1 --scenarios constant --require constant=0.0001
exits 1 balance --contenders leat --tasks 30 --pairs 1 --scenarios constant --require constant=1000
says 'constant: ideal / real of leat is'
for options in '--tasks 0' '--tasks 1000001' '--size 15' '--scenarios quick' '--scenarios constant,constant' \
    '--contenders relay' '--contenders leat,leat' '--require 0.9' '--require constant' '--require constant=' \
    '--require constant=x' '--require quick=1' '--scenarios slowdown --require constant=1' \
    '--contenders push --require constant=1' '--pairs 0' '--broker tcp://127.0.0.1:5560' 'extra'; do
    # shellcheck disable=SC2086
    exits 2 balance $options
    [ -s "$work/stderr" ] || fail "balance $options: not a word on stderr"
done

exits 2 balance --contenders all --scenarios slowdown --require constant=1
says 'which is not among the scenarios'

# --- many: one is not different from one, and some are compared with one

exits 0 many --peers 1 --seconds 0.1 --warm-up 0.05 --idle 0 --pairs 2
shows '^1:1:1 +[0-9]+ '
exits 0 many --peers 13 --seconds 0.1 --warm-up 0.05 --idle 0.1 --pairs 1 --size 16 --require 0.000001 \
    --require-idle 1000
shows '^13:13:13 +[1-9][0-9]* '
shows '^many / one +[0-9]'
shows '^idle broker, per cent of a core +[0-9]'
shows '^KiB of the broker for an idle peer +-?[0-9]'
[ ! -s "$work/stderr" ] || fail "many: something on stderr"
exits 1 many --peers 3 --seconds 0.1 --warm-up 0 --idle 0 --pairs 1 --require 1000 --json
says 'many / one is'
shows '"broker_memory_per_peer"'
for shape in '7 1 1' '1 7 1' '7 5 3'; do
    read -r producers consumers streams <<< "$shape"
    exits 0 many --producers "$producers" --consumers "$consumers" --streams "$streams" --seconds 0.1 \
        --warm-up 0.05 --idle 0 --pairs 1
    shows "^$producers:$consumers:$streams +[1-9][0-9]* "
done
mkdir "$work/disk"
exits 0 many --peers 3 --seconds 0.1 --warm-up 0 --idle 0 --pairs 2 -d "$work/disk" --json
shows '"durable": true'
exits 1 many --peers 1 --seconds 0.1 --warm-up 0 --idle 0 --pairs 1 -d "$work/nowhere"
says "cannot make a folder in $work/nowhere"
shows_empty
for options in '--peers 0' '--peers 2001' '--streams 2001' '--peers 3 --streams 4' \
    '--producers 3 --consumers 2 --streams 3' '--size 15' '--idle 0 --require-idle 5' '--idle x' \
    '--broker tcp://127.0.0.1:5560'; do
    # shellcheck disable=SC2086
    exits 2 many $options
    [ -s "$work/stderr" ] || fail "many $options: not a word on stderr"
done

# --- waiting: sessions that wait for each confirmation

exits 0 waiting --sessions 1 --seconds 0.1 --warm-up 0 --pairs 1 --contenders leat
shows '^leat +[1-9][0-9]* '
exits 0 waiting --sessions 13 --contenders all --seconds 0.1 --warm-up 0.05 --pairs 2 --size 16 --require 0.000001
shows '^router +[1-9][0-9]* '
shows '^leat / router +[0-9]'
[ ! -s "$work/stderr" ] || fail "waiting: something on stderr"
exits 1 waiting --sessions 3 --seconds 0.1 --warm-up 0 --pairs 1 -d "$work/disk" --require 1000 --json
says 'leat / router is'
shows '"durable": true'
shows '"sleeps_per_record"'
exits 1 waiting --sessions 1 --seconds 0.1 --pairs 1 -d "$work/nowhere"
says "cannot make a folder in $work/nowhere"
shows_empty
for options in '--sessions 0' '--sessions 1001' '--size 15' '--contenders relay' '--contenders leat,leat' \
    '--contenders leat --require 1' '--contenders ' '--require 0' '--seconds 0' 'extra'; do
    # shellcheck disable=SC2086
    exits 2 waiting $options
    [ -s "$work/stderr" ] || fail "waiting $options: not a word on stderr"
done

# --- fair: a quiet and a flooded stream

exits 0 fair --flood 5 --rate 500 --seconds 0.3 --warm-up 0.05 --pairs 2
shows '^quiet +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +0$'
for row in apart flooded; do
    shows "^$row +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[1-9][0-9]*\$"
done
shows '^flooded / apart( +[0-9.]+){6}$'
[ ! -s "$work/stderr" ] || fail "fair: something on stderr"
exits 0 fair --flood 1 --seconds 0.1 --warm-up 0 --pairs 1 --nice 1 --json
shows '"settle_p99_us"'
for options in '--flood 0' '--flood 2001' '--rate 0' '--size 23' '--rate 1e8 --seconds 10' '--peers 3' \
    '--nice -21' '--nice x'; do
    # shellcheck disable=SC2086
    exits 2 fair $options
    [ -s "$work/stderr" ] || fail "fair $options: not a word on stderr"
done

# --- durable: a stream, its transactions played to LMDB, a file; and a backlog that goes up and down

exits 0 durable -d "$work/disk" --records 3000 --seconds 0.1 --pairs 2 --require 0.0000001 --require-single 1000000
for way in leat lmdb file; do
    [ "$(grep -cE "^$way +[1-9][0-9.]* +[0-9.]+ +[0-9.]+( |\$)" "$work/stdout")" -eq 2 ] ||
        fail "durable: not two rows of $way"
done
shows '^a round of leat: 3001 records in [1-9][0-9]* transactions with [1-9][0-9]* rows '
shows '^records/s, leat / lmdb +[0-9]'
shows '^single p50, leat / lmdb +[0-9]'
[ ! -s "$work/stderr" ] || fail "durable: something on stderr"
shows_empty
exits 1 durable -d "$work/disk" --seconds 0.05 --size 3000 --pairs 1 --require 1000 --require-single 0.0001 --json
says 'leat / lmdb is'
says 'one at a time the p50 of leat / lmdb is'
shows '"single_leat_to"'
exits 0 durable -d "$work/disk" --contenders file,leat --records 500 --seconds 0.05 --pairs 1
shows '^records/s, leat / file +[0-9]'
! grep -q lmdb "$work/stdout" || fail 'durable: lmdb took part unasked'
exits 1 durable -d "$work/nowhere" --records 10 --pairs 1
says "cannot make a folder in $work/nowhere"
exits 0 durable -d "$work/disk" --swing 1MiB..3MiB --size 50 --pairs 2
shows '^up +[0-9.]+ +[0-9.]+ +[0-9.]+ +[1-9][0-9]* +[0-9.]+$'
shows '^down +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9]+ +[0-9.]+$'
shows '^file / backlog +[0-9.]+ '
[ ! -s "$work/stderr" ] || fail "durable --swing: something on stderr"
exits 0 durable -d "$work/disk" --swing 1MiB..2MiB --pairs 1 --json
shows '"file_to_backlog"'
exits 77 durable -d "$work/disk" --swing 1TiB..900TiB
says 'skipped: a backlog of 900 TiB wants'
shows_empty
for options in '--size 23' '--size 70000' '--records 0' '--seconds 0' '--require 0' '--require-single x' \
    '--swing 1MiB' '--swing 1MiB..' '--swing 1MiB..1.5MiB' '--swing 1..2' '--swing 4MiB..1MiB' \
    '--swing 1MiB..2MiB --require 1' '--swing 1MiB..2MiB --contenders leat' '--contenders lmdb' \
    '--contenders leat --require 1' '--contenders leat --require-single 1' '--contenders relay,leat' \
    '--swing 1MiB..2MiB --pairs 7' '--broker tcp://127.0.0.1:5560' 'extra'; do
    # shellcheck disable=SC2086
    exits 2 durable $options
    [ -s "$work/stderr" ] || fail "durable $options: not a word on stderr"
done

# --- what a backlog costs

backlog () {
    local want=$1 got=0
    shift
    timeout 100 "$(dirname "$0")/backlog" --leat "$leat" --directory "$work/disk" "$@" \
        > "$work/stdout" 2> "$work/stderr" || got=$?
    [ "$got" -eq "$want" ] || fail "bench/backlog $*: exit code $got, not $want"
    shows_empty
}

backlog 0 --records 20000 --single-records 300 --require-memory 8000MB --require-restart 100s --require-drain 0.00001
shows '^full +20000 +[1-9][0-9]* +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[1-9][0-9]* +[0-9.]+$'
shows '^single +300 '
[ ! -s "$work/stderr" ] || fail "bench/backlog: something on stderr"
backlog 0 --records 1000 --single-records 10 --json
jq -e '.runs | map (.batches) == ["full", "single"] and all (.memory > 0)' "$work/stdout" > "$work/stderr" ||
    fail "bench/backlog --json"
backlog 1 --records 1000 --single-records 10 --require-memory 1MB --require-restart 1ms --require-drain 1000000
for text in 'full: the broker has' 'single: the restart took' 'drained / published is'; do
    says "$text"
done
backlog 77 --records 900000000000
says 'skipped: it wants'
for options in '--records 0' '--require-memory 300' '--require-restart 2' '--require-drain x' '--directory /nowhere' \
    '--records' 'extra'; do
    # shellcheck disable=SC2086
    backlog 2 $options
    [ -s "$work/stderr" ] || fail "bench/backlog $options: not a word on stderr"
done

# --- from a file to the output

"$(dirname "$0")/produce_consume" --leat "$leat" --lines 3000 --pairs 2 --json > "$work/stdout" 2> "$work/stderr" ||
    fail "bench/produce_consume"
jq -e '.contenders | map (.records_per_second.rounds | length) == [2, 2]' "$work/stdout" > "$work/stderr" ||
    fail "bench/produce_consume --json"

# --- wrong options

exits 2
exits 2 nonsense
says "there is no benchmark 'nonsense'"
for options in '--size 15' '--size 0' '--size -5' '--size 2MiB' '--size 5parsecs' '--seconds 0' \
    '--seconds 1x' '--seconds nan' '--seconds' '--pairs 0' '--pairs 1001' '--records 0' \
    '--contenders nobody' '--contenders relay,relay' '--contenders ' '--contenders all,leat' \
    '--require 0' '--require -1' '--require relay' '--require relay=' '--require relay=1,' '--require =1' \
    '--require nobody=1' '--require leat=1' '--require relay=1,proxy=x' \
    '--contenders relay --require 1' '--contenders leat,relay --require-proxy 1' '--rate 5' \
    '--broker nonsense' '--frame 0' 'extra' '--unknown'; do
    # shellcheck disable=SC2086
    exits 2 throughput $options
    [ -s "$work/stderr" ] || fail "throughput $options: not a word on stderr"
done
for options in '--rate 0' '--size 23' '--records 5' '--rate 1e9 --seconds 100' '--require-proxy 1' \
    '--contenders leat,relay --require 1'; do
    # shellcheck disable=SC2086
    exits 2 latency $options
done
exits 0 --help
shows 'throughput'
exits 0 throughput --help
shows '--require-proxy'

# --- no process is left behind, however it ends

for contender in "${contenders[@]}"; do
    leaves_none 3 throughput --contenders "$contender" --seconds 50 --pairs 1
done
leaves_none 5 balance --contenders leat --pairs 1 # its producer ends soon
leaves_none 4 balance --contenders push --pairs 1 # who pushed has soon nothing left to do
leaves_none 3 many --peers 5 --idle 0 --seconds 50 --pairs 1
leaves_none 3 waiting --seconds 50 --pairs 1
leaves_none 3 waiting --seconds 50 --pairs 1 --contenders leat
leaves_none 3 durable -d "$work/disk" --seconds 50 --pairs 1
rm -rf "$work"/disk/* # of the one that got SIGKILL
leaves_none 3 durable -d "$work/disk" --swing 100MiB..300MiB
leaves_none 3 fair --flood 5 --seconds 50 --pairs 1 # it begins with the quiet round

if [ "$failures" -gt 0 ]; then
    echo "$failures failures"
    exit 1
fi
echo "leat bench is in order with ${contenders[*]}"
