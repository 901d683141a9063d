#!/bin/bash
# The programs on a terminal: no progress line where somebody types, none left behind, no data wiped.
# SPDX-License-Identifier: MPL-2.0

. "$(dirname "$0")/command_line.sh"

export TERM=xterm SHELL=/bin/sh leat work
unset NO_COLOR
escape=$(printf '\033')

start_broker --max-record 1KiB --limit batch_size=16KiB --limit window_size=64KiB --limit stream_size=128KiB

# on_terminal COMMAND: runs it (by sh) on a terminal of its own, in the background. What is written to
# descriptor 8 is typed there; $work/screen is what it shows.
on_terminal () {
    rm -f "$work/keys"
    mkfifo "$work/keys"
    : > "$work/screen"
    script -q -e -f -c "$1" "$work/screen" < "$work/keys" > /dev/null 2>&1 &
    terminal=$!
    started+=("$terminal")
    exec 8> "$work/keys"
}

# press KEYS: types them, if somebody is still there.
press () {
    (printf '%b' "$1" >&8) 2> /dev/null || true
}

shows () {
    tr -d '\r' < "$work/screen" | grep -qE -- "$1"
}

# --- typing: each line is sent at once, and nothing is drawn over it

on_terminal '"$leat" produce typed'
echo one >&8
wait_until "the first line" stream_has typed accepted 1
# Longer than a progress line would take to be drawn.
on_time=$((SECONDS + 1))
wait_until "a second" eval '[ "$SECONDS" -gt "$on_time" ]'
echo two >&8
wait_until "the second line" stream_has typed accepted 2
printf '\004' >&8
expect_end "$terminal" 0
exec 8>&-
shows 'confirmed, ' && fail "a progress line where somebody types"
shows '2 records confirmed in' || fail "no result on the terminal"

# --- a file: the line is drawn, and the cursor is left at its beginning

seq 100000 > "$work/in"
# Without noflsh a Ctrl-C also wipes what the terminal has not shown yet (termios (3)): how it ended, say.
on_terminal 'stty noflsh; trap : INT; "$leat" produce full "$work/in"; echo "ended with $?"'
wait_until "the progress line" shows 'records, .*confirmed, '
wait_until "the notice" shows "waiting: the broker takes no more"
press '\003'
wait_until "its end" shows "waiting 5 s for what is unconfirmed"
first=$SECONDS
# Two signals within a moment are one wish.
wait_until "the end at once" eval 'press "\\003"; shows "ended with 1"'
[ $((SECONDS - first)) -lt 5 ] || fail "the second signal did not end it"
exec 8>&-
expect_end "$terminal" 0
shows "${escape}\[Kleat produce: ended at once by a second signal\$" || fail "no message on a line of its own"
tr '\r' '\n' < "$work/screen" | grep -E '/s, ' | grep -qvE "${escape}\[K\$" &&
    fail "a progress line without its end"

# --- consume: data without a line feed stays where the message begins

printf 'no line feed' | "$leat" produce -q bare
on_terminal '"$leat" consume bare -D "" --exit-when-empty'
expect_end "$terminal" 0
exec 8>&-
shows "no line feed${escape}\[Kleat consume: 1 record in" || fail "data was wiped off the terminal"

# --- a terminal that obeys nothing, and one that is none

on_terminal 'TERM=dumb "$leat" produce typed "$work/screen" "$work/missing"'
expect_end "$terminal" 1
exec 8>&-
shows "$escape" && fail "escape sequences on a dumb terminal"

stop_broker
