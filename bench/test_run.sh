#!/bin/bash
# Tests bench/run and bench/page with the least of everything: the page has every section and no empty
# figure, a missing one is an error, a run that was interrupted goes on, and no process is left behind.
# SPDX-License-Identifier: MPL-2.0
#
# usage: test_run.sh LEAT

set -u

leat=$(realpath "$1")
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=bench/test_processes.sh
. bench/test_processes.sh
work=$(mktemp -d)
export TMPDIR=$work
trap 'rm -rf "$work"' EXIT
measured=$work/results/measured.jsonl
failures=0

fail () {
    echo "FAILED: $*"
    sed 's/^/    /' "$work/output" | tail -n 20
    failures=$((failures + 1))
}

# exits CODE COMMAND...
exits () {
    local want=$1 got=0
    shift
    "$@" > "$work/output" 2>&1 || got=$?
    [ "$got" -eq "$want" ] || fail "$*: exit code $got, not $want"
}

says () {
    grep -qF -- "$1" "$work/output" || fail "did not say '$1'"
}

run=(bench/run --leat "$leat" --trial --results "$work/results" --docs "$work/docs")
page=(bench/page --results "$work/results" --docs "$work/docs")

# --- interrupted, in any way, it leaves nothing behind

steps () {
    cat "$measured" 2> /dev/null | grep -c '"round":'
}

# enough N: so many steps have been measured, and the next one runs.
enough () {
    [ "$(steps)" -ge "$1" ] && started=$(children "$pid" 1)
}

for signal in KILL TERM; do
    before=$(steps)
    "${run[@]}" > "$work/output" 2>&1 &
    pid=$!
    for _ in $(seq 3000); do
        if enough $((before + 2)); then
            break
        fi
        read -r -t 0.01 <> <(:) || true
    done
    kill "-$signal" "$pid"
    wait "$pid" 2> /dev/null
    # shellcheck disable=SC2086
    gone $started || fail "SIG$signal left processes behind"
    [ "$signal" = KILL ] || [ ! -e "$work/results/disk" ] || fail "SIG$signal left files behind"
done
exits 1 bench/page --results "$work/results" --docs "$work/docs"
says 'figures are missing'
[ ! -e "$work/docs" ] || fail "a page of an unfinished run"

# --- goes on where it was, and has everything in the end

cp "$measured" "$work/first"
exits 0 "${run[@]}"
cmp -s "$work/first" <(head -n "$(wc -l < "$work/first")" "$measured") ||
    fail "what was measured before is not there any more"
planned=$(jq -s 'map (select (.plan)) | last | .plan | length' "$measured")
[ "$(jq -s 'map (select (.result or .beyond)) | length' "$measured")" -eq "$planned" ] ||
    fail "not each step was measured once"
! grep -q '"failed"' "$measured" || fail "a step failed"
[ ! -e "$work/results/disk" ] || fail "files are left behind"

sections='The machine
Goals
Throughput over the size of records
Throughput over producers, consumers and streams
Latency over load
Balance
Fairness
Durable streams
Durable throughput over the number of producers
64 sessions that wait
Memory over the number of peers
Memory over the backlog
From a file to the output
Left out
Commands'
diff <(echo "$sections") <(sed -n 's/^## //p' "$work/docs/results.md") > "$work/output" ||
    fail "the page has other sections"
grep -nE '\| *(null|nan|inf|left out|\|)' "$work/docs/results.md" > "$work/output" && fail "cells without a figure"
while IFS= read -r plot; do
    grep -q '</svg>' "$work/docs/$plot" || fail "there is no plot $plot"
done < <(sed -n 's/^!\[.*\](\(.*\))$/\1/p' "$work/docs/results.md")

# --- started again it measures nothing; the page alone is the same

cp "$work/docs/results.md" "$work/page"
exits 0 "${run[@]}"
! grep -q 'round 1 of 1' "$work/output" || fail "measured again what was measured"
exits 0 bench/page --results "$work/docs/results" --docs "$work/docs"
cmp -s "$work/page" "$work/docs/results.md" || fail "the page was made anew and is another one"

# --- a missing figure is an error, and leaves the page alone

# without WHAT FILTER: the page cannot be made of what the filter of jq leaves.
without () {
    cp "$measured" "$work/whole"
    jq -c "$2" "$work/whole" > "$measured"
    exits 1 bash -c '"$@" || exit 1' page "${page[@]}"
    says "$1"
    cmp -s "$work/page" "$work/docs/results.md" || fail "a page without $1"
    cp "$work/whole" "$measured"
}
without 'there is no figure of fair, paced, round 1' 'select (.part != "fair")'
without 'there is no figure of sizes, 100 leat, round 1' \
    'if .point == "100 leat" and .part == "sizes" then {part, point, round, command, failed: "why"} else . end'
without 'no figure in 64' \
    'if .part == "waiting" and .point == "64" then del (.result.contenders[].records_per_second) else . end'
without 'no value in 500 router' \
    'if .point == "500 router" then .result.contenders[0].latency_us["p99.9"].rounds = [] else . end'
without 'cannot be divided' 'if .part == "backlog" then .result.runs[0].memory = "much" else . end'
without 'no figure in 5:5:5' 'del (.result?.idle_per_cent_of_a_core?)'

# --- what was left out is named

cp "$measured" "$work/whole"
jq -c 'if .part == "durable" then {part, point, round, command, left_out: "no room on the disk"} else . end' \
    "$work/whole" > "$measured"
exits 0 "${page[@]}"
[ "$(grep -cE 'Left out: no room on the disk|^- durable, ways: no room on the disk' "$work/docs/results.md")" -eq 2 ] ||
    fail "does not tell what was left out"
cp "$work/whole" "$measured"

mkdir "$work/bin"
ln -s /usr/bin/* "$work/bin" 2> /dev/null
rm -f "$work"/bin/gnuplot*
exits 0 env PATH="$work/bin" "${page[@]}"
says 'gnuplot is not installed'
! grep -q '\.svg' "$work/docs/results.md" || fail "shows plots that there are not"

# --- another program is measured anew, parts alone make no page

cp "$leat" "$work/leat"
printf 'x' >> "$work/leat"
rm -rf "$work/docs"
exits 0 bench/run --leat "$work/leat" --trial --results "$work/results" --docs "$work/docs" --only files
says 'the machine or the program is another one'
says 'the page is made when all parts are'
[ ! -e "$work/docs" ] || fail "a page of one part"

# --- a failing step is told, and repeated when it is started again

printf '#!/bin/bash\n[ "$2" != fair ] || { echo "no luck" >&2; exit 1; }\nexec "%s" "$@"\n' "$leat" > "$work/leat"
exits 1 bench/run --leat "$work/leat" --trial --results "$work/results" --docs "$work/docs" --only fair
says 'no luck'
says '1 of the steps failed'
exits 1 bench/run --leat "$work/leat" --trial --results "$work/results" --docs "$work/docs" --only fair

# --- the page of this tree is made of the figures of this tree

if [ -f docs/results/measured.jsonl ]; then
    exits 0 bench/page --docs "$work/docs"
    cmp -s docs/results.md "$work/docs/results.md" || fail "bench/page makes another docs/results.md"
fi

for options in '--only' '--only nonsense' '--rounds 0' '--leat /nowhere' 'extra'; do
    # shellcheck disable=SC2086
    exits 2 bench/run $options
done
exits 2 bench/page extra
exits 0 bench/page --help
says 'usage: bench/page'
exits 2 bench/page --results /nowhere
exits 0 bench/run --help
for part in $(sed -n '/^  sizes/,/^  files/s/^  \([a-z]*\) .*/\1/p' "$work/output"); do
    cp "$work/output" "$work/help"
    bench/run --leat "$leat" --list | grep -q "^$part: " || fail "the plan has no $part"
    cp "$work/help" "$work/output"
done

if [ "$failures" -gt 0 ]; then
    echo "$failures failures"
    exit 1
fi
echo "bench/run and bench/page are in order"
