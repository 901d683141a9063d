# Completion of leat for bash. What it offers comes from `leat --help` and `leat COMMAND --help`, so it
# knows what the installed program knows.
# SPDX-License-Identifier: MPL-2.0
#
# Installed as /usr/share/bash-completion/completions/leat, or read with: source leat.bash

_leat () {
    local leat=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} words
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        words=$("$leat" --help 2> /dev/null | sed -n 's/^  leat \([a-z]*\) .*/\1/p')
        mapfile -t COMPREPLY < <(compgen -W "$words --help --version" -- "$word")
        return
    fi
    local command=("${COMP_WORDS[1]}")
    if [ "${command[0]}" = bench ]; then
        if [ "$COMP_CWORD" -eq 2 ]; then
            mapfile -t COMPREPLY < <(compgen -W "throughput latency balance many waiting fair durable" -- "$word")
            return
        fi
        command+=("${COMP_WORDS[2]}")
    fi
    if [ "$COMP_CWORD" -eq 2 ] && [[ $word != -* ]]; then
        case ${command[0]} in
        stream) words="list create set" ;;
        group) words="list create" ;;
        store) words="verify compact dump backup" ;;
        *) words= ;;
        esac
        if [ "$words" ]; then
            mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
            return
        fi
    fi
    if [[ $word == -* ]]; then
        words=$("$leat" "${command[@]}" --help 2> /dev/null |
            grep -oE -- '^ +(-.,)? *--[a-z-]+' | grep -oE -- '--[a-z-]+')
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
        return
    fi
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
}

complete -o filenames -F _leat leat
