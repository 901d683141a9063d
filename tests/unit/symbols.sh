#!/bin/bash
# The engines do no I/O: what their libraries refer to and do not define themselves must stand in
# symbols.allow, and they keep no variables between calls except those that stand there.
# SPDX-License-Identifier: MPL-2.0
#
# usage: symbols.sh NM OBJDUMP LIBRARY.a...

set -euo pipefail

nm=$1
objdump=$2
shift 2
allowed=$(dirname "$0")/symbols.allow

# "symbol object kind" of every undefined symbol that no library here defines. The versions of
# functions that _FORTIFY_SOURCE puts in place (__memcpy_chk) count as the plain ones.
undefined_symbols () {
    "$nm" -A -P "$@" | awk '
        {
            object = $1
            sub (/^.*\[/, "", object)
            sub (/\]:$/, "", object)
        }
        $3 == "U" || $3 == "w" || $3 == "v" { used[++count] = $2; user[count] = object; next }
        { defined[$2] = 1 }
        END {
            for (i = 1; i <= count; i++)
                if (!(used[i] in defined) && used[i] != "_GLOBAL_OFFSET_TABLE_") {
                    name = used[i]
                    if (name ~ /^__.*_chk$/ && name != "__stack_chk_fail")
                        name = substr (name, 3, length (name) - 6)
                    print name, user[i], "uses"
                }
        }'
}

# "symbol object kind" of every variable that can be written to.
variables () {
    "$objdump" -t "$@" | awk '
        / file format / { object = $1; sub (/:$/, "", object) }
        {
            if (NF < 4)
                next
            section = $(NF - 2)
            writable = section ~ /^\.(data|bss|tdata|tbss)(\.|$)/ && section !~ /^\.data\.rel\.ro/
            is_symbol = $0 ~ / O / || section == "*COM*"
            if (is_symbol && (writable || section == "*COM*"))
                print $NF, object, "variable"
        }'
}

# Every line of the list: symbol, object or *, kind, and a reason that is not empty.
if ! awk '!/^#/ && NF && (NF < 4 || ($3 != "uses" && $3 != "variable")) {
        printf "%s:%d: want SYMBOL OBJECT uses|variable REASON\n", FILENAME, FNR
        bad = 1
    }
    END { exit bad }' "$allowed"; then
    exit 1
fi

found=$( { undefined_symbols "$@"; variables "$@"; } | sort -u)
if ! grep -q '^leat_\|^mem\|^abort' <<<"$found"; then
    echo "no symbol at all was found in: $*" >&2
    exit 1
fi

awk '
    FNR == NR {
        if (!/^#/ && NF)
            allowed[$1, $2, $3] = 1
        next
    }
    !(($1, $2, $3) in allowed) && !(($1, "*", $3) in allowed) {
        printf "%s: %s %s\n", $2, ($3 == "uses") ? "uses" : "keeps the variable", $1
        bad++
    }
    END {
        printf "%d symbols looked at, %d not allowed\n", FNR, bad
        exit bad > 0
    }' "$allowed" - <<<"$found"
