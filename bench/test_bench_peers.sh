#!/bin/bash
# Tests the other brokers that `leat bench` can measure, those that are installed here: every one carries
# records, in memory and on the disk, and leaves no process behind. Asserts nothing about time.
# SPDX-License-Identifier: MPL-2.0
#
# usage: test_bench_peers.sh LEAT
#
# Exits with 77 if there are none.

set -u

leat=$(realpath "$1")
. "$(dirname "$0")/test_functions.sh"
mkdir "$work/disk"

# peers BENCHMARK: those of its contenders that can take part here and are neither leat, nor without a
# server.
peers () {
    local help names absent name
    help=$("$leat" bench "$1" --help | tr -s '\n ' ' ')
    names=$(sed -n 's/.*Contenders of this program: \([^.]*\)\..*/\1/p' <<< "$help")
    absent=$(sed -n 's/.*Not installed here: \([^.]*\)\..*/\1/p' <<< "$help")
    for name in ${names//,/ }; do
        case $name in leat | relay | proxy | router | lmdb | file | push | *-20 | *-100 | *-250) continue ;; esac
        case " ${absent//,/ } " in *" $name "*) continue ;; esac
        echo "$name"
    done
}

tested=
for peer in $(peers throughput); do
    tested="$tested $peer"
    exits 0 throughput --contenders "$peer,leat" --records 3000 --pairs 1 --require "$peer=0.0000001"
    shows "^$peer +[0-9]"
    shows "^leat / $peer +[0-9]"
    shows '^ +[a-z-]+ [0-9]+\.[0-9.]+, ' # versions
    [ ! -s "$work/stderr" ] || fail "$peer: something on stderr"
    size=300000 # more than a frame of any of them
    [ "$peer" != gearmand ] || size=20000 # a large job takes 100 ms there
    exits 0 throughput --contenders "$peer" --records 200 --pairs 1 --size "$size" --json
    shows '"server_version": "[0-9]'
    exits 0 latency --contenders "$peer" --rate 500 --seconds 0.3 --warm-up 0.1 --pairs 1
    shows "^$peer +[0-9]"
    leaves_none 3 throughput --contenders "$peer" --seconds 50 --pairs 1
done
cd "$work" || exit 1
for peer in $(peers durable); do
    exits 1 durable -d disk --contenders "$peer,leat" --records 2000 --seconds 0.1 --pairs 1 --require "$peer=1000000"
    says "leat / $peer is"
    [ "$(grep -cE "^$peer +[1-9][0-9.]* +[0-9.]+ +[0-9.]+" "$work/stdout")" -eq 2 ] ||
        fail "durable: not two rows of $peer"
    [ -z "$(ls -A "$work/disk")" ] || fail "left behind: $(ls -A "$work/disk")"
done
for peer in $(peers balance); do
    tested="$tested $peer"
    exits 0 balance --contenders "$peer" --tasks 60 --pairs 1 --scenarios latecomer
    shows "^latecomer +$peer +[0-9]+\.[0-9]+ "
    [ ! -s "$work/stderr" ] || fail "balance, $peer: something on stderr"
    leaves_none 5 balance --contenders "$peer" --pairs 1 --scenarios constant
done

if [ -z "$tested" ]; then
    echo "skipped: no other broker is installed here (scripts/install-packages bench)"
    exit 77
fi
if [ "$failures" -gt 0 ]; then
    echo "$failures failures"
    exit 1
fi
echo "leat bench is in order with$tested"
