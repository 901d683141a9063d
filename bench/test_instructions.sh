#!/bin/bash
# Fails if a scenario takes over 5 % more instructions than bench/instructions.expected says.
# SPDX-License-Identifier: MPL-2.0
#
# usage: test_instructions.sh PROGRAM [--store]
#
# PROGRAM is build/release/bin/leat_instructions. With --store the figures of now are stored instead.
# Exits 77, which ctest takes for "skipped", where figures cannot be compared: without valgrind, or
# with another compiler or C library than that of the stored ones.

set -euo pipefail

program=$1
store=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
expected=$here/instructions.expected
folder=$(dirname "$(dirname "$program")")/instructions
tolerance=5

if ! command -v valgrind > /dev/null; then
    echo "skipped: there is no valgrind to count with (Debian package valgrind)"
    exit 77
fi

toolchain=$("$program" --toolchain)
wanted=$(sed -n 's/^# toolchain: //p' "$expected" || true)
if [ "$store" != --store ] && [ "$toolchain" != "$wanted" ]; then
    echo "skipped: figures are stored for $wanted"
    echo "         and this program was built with $toolchain"
    exit 77
fi

# One record in a batch, and a hundred of everything.
now=$("$here/instructions/count" "$program" "$folder" 1 100 | LC_ALL=C sort)

if [ "$store" = --store ]; then
    {
        echo "# Instructions of bench/test_instructions.sh per 1,000 units. Stored with"
        echo "# bench/test_instructions.sh build/release/bin/leat_instructions --store"
        echo "# toolchain: $toolchain"
        awk '{ printf "%s %s %.0f\n", $1, $2, $4 * 1000 / $3 }' <<< "$now"
    } > "$expected"
    echo "stored $(grep -vc '^#' "$expected") figures in $expected"
    exit 0
fi

awk -v tolerance="$tolerance" -v folder="$folder" '
    /^#/ { next }
    FNR == NR { stored[$1, $2] = $3; next }
    {
        figure = $4 * 1000 / $3
        key = $1 SUBSEP $2
        seen[key] = 1
        if (!(key in stored)) {
            printf "FAILED: %s with N = %s has no stored figure\n", $1, $2
            failed++
            next
        }
        change = (figure / stored[key] - 1) * 100
        if (change > tolerance) {
            printf "FAILED: %s with N = %s takes %.1f instructions, %.1f %% more than the stored %.1f\n",
                $1, $2, figure / 1000, change, stored[key] / 1000
            printf "        see callgrind_annotate --auto=no %s/%s-%s\n", folder, $1, $2
            failed++
        } else if (change < -tolerance) {
            printf "%s with N = %s takes %.1f instructions, %.1f %% less than the stored %.1f\n",
                $1, $2, figure / 1000, -change, stored[key] / 1000
            better++
        }
    }
    END {
        for (key in stored) {
            if (!(key in seen)) {
                split (key, part, SUBSEP)
                printf "FAILED: %s with N = %s is stored but was not run\n", part[1], part[2]
                failed++
            }
        }
        if (failed || better) {
            print "If that is meant to be, store the new figures and say why in the commit:"
            print "    bench/test_instructions.sh build/release/bin/leat_instructions --store"
        }
        exit failed > 0
    }' "$expected" - <<< "$now"
echo "$(wc -l <<< "$now") figures are within $tolerance % of the stored ones, or below"
