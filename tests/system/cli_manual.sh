#!/bin/bash
# Manual pages, --help and completion tell of the same commands and options.
# SPDX-License-Identifier: MPL-2.0

. "$(dirname "$0")/command_line.sh"

root=$(cd "$(dirname "$0")/../.." && pwd)

# As the help of bench lists them.
benchmarks () {
    "$leat" bench --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'
}

# Long and short options as --help lists them.
options_of_help () {
    if [ "$1" = bench ]; then
        for benchmark in $(benchmarks); do
            "$leat" bench "$benchmark" --help
        done > "$work/help"
    else
        "$leat" "$1" --help > "$work/help"
    fi
    grep -oE '^ +(-., )?( *)--[a-z-]+' "$work/help" | grep -oE -- '--[a-z-]+|-[^- ]' | sort -u
}

# Those that the page explains: the lines behind .TP in OPTIONS.
options_of_page () {
    sed -n '/^\.SH OPTIONS/,/^\.SH [^O]/p' "$root/man/leat-$1.1" | grep -A 1 '^\.TP' |
        sed 's/\\-/-/g' | grep -oE -- '(^| |")--[a-z-]+|(^| )-[A-Za-z?]( |$)' | tr -d ' "' | sort
}

commands=$("$leat" --help | sed -n 's/^  leat \([a-z]*\) .*/\1/p')
[ "$(wc -w <<< "$commands")" -ge 4 ] || fail "--help lists too few commands"
for command in $commands; do
    [ -f "$root/man/leat-$command.1" ] || fail "there is no man/leat-$command.1"
    options_of_help "$command" > "$work/1"
    options_of_page "$command" > "$work/2"
    [ "$(wc -l < "$work/1")" -ge 5 ] || fail "--help of $command lists too few options"
    diff "$work/1" "$work/2" || fail "--help of $command (<) and its manual page (>) differ"
    awk 'length > 80 { bad = 1 } END { exit bad }' "$work/help" || fail "--help of $command is wide"
    grep -q "leat\\\\-$command" "$root/man/leat.1" || fail "man/leat.1 does not tell of $command"
done

# Every limit is documented by the program itself, with a unit that its own parser takes.
"$leat" broker --limits > "$work/limits"
tail -n +2 "$work/limits" | grep -oE '^[a-z_]+ +[0-9]+[A-Za-z]*' | while read -r name value; do
    [ "$name" = batch_size ] && continue
    "$leat" broker --limit "$name=$value" --limits > /dev/null || fail "limit $name=$value is refused"
done

# --- completion

# shellcheck disable=SC1091
. "$root/cli/completion/leat.bash"
complete_words () {
    COMP_WORDS=("$leat" "$@")
    COMP_CWORD=$#
    _leat
    printf '%s\n' "${COMPREPLY[@]}" | sort
}
diff <(complete_words '') <({
    printf '%s\n' --help --version
    echo "$commands"
} | sort) || fail "completion of commands"
diff <(complete_words stream '') <(printf '%s\n' create list set) || fail "completion of actions"
[ "$(complete_words group c)" = create ] || fail "completion of group c"
[ "$(complete_words pro)" = produce ] || fail "completion of pro"
diff <(complete_words bench '') <(benchmarks | sort) || fail "completion of benchmarks"
for benchmark in $(benchmarks); do
    grep -q "^\\.B leat bench $benchmark\$" "$root/man/leat-bench.1" ||
        fail "man/leat-bench.1 does not tell of $benchmark"
done
for command in $commands; do
    # Its options stand behind the name of a benchmark.
    [ "$command" = bench ] && continue
    diff <(complete_words "$command" --) <(options_of_help "$command" | grep -e '^--') ||
        fail "completion of options of $command"
done
