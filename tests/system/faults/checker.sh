#!/bin/bash
# The checker of the tests with faults finds what is wrong: the journals of a good run, on loopback, are spoiled
# in one way after the other.
# SPDX-License-Identifier: MPL-2.0
#
# usage: checker.sh FOLDER_OF_PROGRAMS

set -euo pipefail

if [ -n "${LEAT_TEST_WRAPPER:-}" ] && [ -z "${LEAT_TEST_WRAPPED:-}" ]; then
    export LEAT_TEST_WRAPPED=1
    # shellcheck disable=SC2086
    exec $LEAT_TEST_WRAPPER "$0" "$@"
fi

bin=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/leat-checker-XXXXXX")
good=$work/good
mkdir "$good"
broker=

clean_up () {
    local code=$?
    trap - EXIT
    [ -z "$broker" ] || kill -KILL "$broker" 2> /dev/null || true
    wait 2> /dev/null || true
    rm -rf "$work"
    exit "$code"
}
trap clean_up EXIT

fail () {
    echo "FAILED: $*"
    exit 1
}

# --- a good run: two consumers one after the other, so that some records could be theirs alone

note () {
    "$bin/fault_note" "$good/faults.journal" "$@"
}

load () {
    local program=$1 name=$2
    shift 2
    timeout 60 "$bin/$program" --broker "ipc://$work/broker" --stream load --name "$name" --seed 7 \
        --journal "$good/$name.1.journal" "$@"
}

note launch
"$bin/leat" broker -l "ipc://$work/broker" -s "ipc://$work/stats" > "$work/broker.log" 2>&1 &
broker=$!
end=$((SECONDS + 20))
until grep -q answers "$work/broker.log"; do
    [ "$SECONDS" -lt "$end" ] || fail "the broker does not answer"
    sleep 0.02
done
note running "$("$bin/leat" stats -s "ipc://$work/stats" --json | "$bin/stats_field" . incarnation)"
load fault_producer p1 --number 1 --records 300 --rate 100000
load fault_consumer c1 --until-empty 1 --flush-ms 0
load fault_producer p2 --number 2 --records 300 --rate 100000
load fault_consumer c2 --until-empty 1 --flush-ms 0 --nack-one-in 20
note stopping
kill -TERM "$broker"
wait "$broker" || fail "the broker ended with code $?"
broker=

"$bin/fault_checker" "$good" --ordered > "$work/said" && fail "nacked records came again in order"
"$bin/fault_checker" "$good" || fail "a good run is called wrong"
sed -i "/ nack /d" "$good/c2.1.journal"
"$bin/fault_checker" "$good" > "$work/said" && fail "records came again though nothing was nacked: not found"
grep -q "^TWICE" "$work/said" || fail "what came again is called something else"
rm "$good/c2.1.journal" "$good/p2.1.journal"
# What p2 published and c2 took is now as if it had never been.
"$bin/fault_checker" "$good" --ordered --once || fail "a good run of one producer is called wrong"

# --- spoiled in one way each

# finds COMPLAINT FILE AWK_PROGRAM [OPTION...]: after the program has changed the file.
finds () {
    local complaint=$1 file=$2 program=$3 bad=$work/bad code=0
    shift 3
    rm -rf "$bad"
    cp -r "$good" "$bad"
    awk "$program" "$good/$file" > "$bad/$file"
    "$bin/fault_checker" "$bad" "$@" > "$work/said" || code=$?
    [ "$code" -eq 1 ] && grep -q "^$complaint" "$work/said" && tail -n 1 "$work/said" | grep -q '^WRONG' || {
        cat "$work/said"
        fail "not found: $complaint"
    }
}

consumer=c1.1.journal
producer=p1.1.journal
finds 'LOST: offsets 100 to 100 ' $consumer '!($3 == 100 && ($2 == "got" || $2 == "ack"))'
finds 'LOST: 300 of producer 1 was confirmed and delivered to nobody' $consumer '!($3 == 299 && ($2 == "got" || $2 == "ack"))'
finds 'LOST: 101 of producer 1 .* nobody settled' $consumer '!($3 == 100 && $2 == "ack")'
finds 'LOST: 101 of producer 1 .* nobody settled' $consumer '$3 == 100 && $2 == "ack" { $5 = 1 } { print }'
finds 'MADE UP' $consumer '$3 == 100 && $2 == "got" { $8 = 5000 } { print }'
finds 'MADE UP' $producer '$2 != "sent" || $3 != 50'
finds 'DAMAGED' $consumer '$3 == 100 && $2 == "got" { $10 = "1" } { print }'
finds 'DAMAGED' $consumer '$3 == 100 && $2 == "got" { $9++ } { print }'
finds 'PUBLISHED TWICE' $consumer '$3 == 100 && $2 == "got" { $8-- } { print }'
finds 'DISORDER: producer' $consumer '$3 == 100 && $2 == "got" { $8 = 110 } $3 == 109 && $2 == "got" { $8 = 101 } { print }'
finds 'DISORDER: c1.1' $consumer '$3 == 100 && ($2 == "got" || $2 == "ack") { held = held $0 "\n"; next } { print } $3 == 101 && $2 == "ack" { printf "%s", held }' --ordered
finds 'MISPLACED' $producer '$2 == "confirmed" { $4++ } { print }'
finds 'SHARED' $consumer '{ print } $3 == 100 && $2 == "got" { print }'
finds 'SETTLED AND SENT AGAIN' $consumer '{ print } $3 == 100 && $2 == "got" { sub (/ 100 1/, " 100 2"); held = $0 } END { print held }'
finds 'UNMARKED' $consumer '{ print } $3 == 100 && $2 == "got" { sub (/ 100 1/, " 100 2"); held = $0 } END { print held }'
finds 'DIED' $consumer '$2 != "end"'
finds 'FAILED: c1.1 says: it broke' $consumer '{ print } $2 == "start" { print $1, "error it broke" }'
finds 'DISCONNECTED' $consumer '{ print } $2 == "end" { print $1, "loss 1" }'
finds 'FENCE' $consumer '{ print }' --stale c1.1

# --- not wrong: a last line that a death has cut off

printf '123456 got 99' >> "$good/$consumer"
"$bin/fault_checker" "$good" > "$work/said" || fail "a torn last line is called wrong"
