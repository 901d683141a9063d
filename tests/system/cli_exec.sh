#!/bin/bash
# leat consume --exec: what each exit code does, what a command is given, and how it ends.
# SPDX-License-Identifier: MPL-2.0

. "$(dirname "$0")/command_line.sh"

start_broker --limit nack_delay_min=50ms --limit heartbeat_interval=200ms --limit heartbeat_timeout=600ms
export WORK=$work

# --- exit codes

printf 'ack 1\nreject 2\nagain 3\nack 4\nkilled 5\nignores its input 6\n' > "$work/in"
expect 0 "$leat" produce codes "$work/in"
cat > "$work/handler" <<'END'
read -r word rest
echo "$word $rest attempt $LEAT_ATTEMPT" >> "$WORK/log"
case $word in
reject) exit 65 ;;
again) [ "$LEAT_ATTEMPT" -ge 3 ] || exit 3 ;;
killed) [ "$LEAT_ATTEMPT" -ge 2 ] || kill -9 $$ ;;
esac
END
expect 0 "$leat" consume codes --exit-when-empty --exec 'sh "$WORK/handler"'
expect_said "5 records done, 3 attempts failed, 1 record rejected"
expect_said "record 2, attempt 1: the command ended with 3"
expect_said "record 4, attempt 1: the command ended with 137"
sort > "$work/expected" <<'END'
ack 1 attempt 1
reject 2 attempt 1
again 3 attempt 1
again 3 attempt 2
again 3 attempt 3
ack 4 attempt 1
killed 5 attempt 1
killed 5 attempt 2
ignores its input 6 attempt 1
END
expect_same_lines "$work/expected" "$work/log"
stream_has codes dead_lettered 1 || fail "the rejected record is no dead letter"
expect 0 "$leat" consume codes.dead --exit-when-empty
expect_same <(echo 'reject 2') "$work/stdout"

# --- a body that nobody reads, and one of 1 MiB that is read whole

head -c 1000000 "$leat" > "$work/in"
expect 0 "$leat" produce --whole bodies "$work/in"
expect 0 "$leat" consume bodies -n 1 --exec 'exit 3'
expect 0 "$leat" consume bodies --exit-when-empty --exec 'cat > "$WORK/body"'
expect_same "$work/in" "$work/body"
stream_has bodies settled 1 || fail "the record is not settled"

# A shell that dies by a signal itself.
seq 1 | "$leat" produce -q shot
expect 0 "$leat" consume shot --exit-when-empty --exec '[ "$LEAT_ATTEMPT" -ge 2 ] || kill -9 $$'
expect_said "attempt 1: the command was ended by signal 9"
expect_said "1 record done, 1 attempt failed, 0 records rejected"

# The last attempt is not said to be followed by another.
seq 1 | "$leat" produce -q hopeless
expect 0 "$leat" consume hopeless --exit-when-empty --exec 'exit 3'
expect_said "attempt 5: the command ended with 3; the record is tried again, or a dead letter"
grep -q 'attempt 5.*will be' "$work/stderr" && fail "it promises a sixth attempt"
stream_has hopeless dead_lettered 1 || fail "the record is no dead letter"

# --- the environment

printf 'the key=the body\nno key\n' > "$work/in"
expect 0 "$leat" produce environment -K = -H 'content-type=text/plain' -H two=2 "$work/in"
export LEAT_KEY=from-outside LEAT_HEADER_outside=1 LEAT_KEPT=yes
expect 0 "$leat" consume environment -g workers --exit-when-empty --exec \
    'env | grep ^LEAT_ | grep -v -e _EPOCH -e _TIME_MS -e _BROKER -e _STATS -e ^LEAT_TEST | sort; cat; echo'
unset LEAT_KEY LEAT_HEADER_outside LEAT_KEPT
cat > "$work/expected" <<'END'
LEAT_ATTEMPT=1
LEAT_GROUP=workers
LEAT_HEADER_content_type=text/plain
LEAT_HEADER_two=2
LEAT_KEPT=yes
LEAT_KEY=the key
LEAT_OFFSET=0
LEAT_REDELIVERED=0
LEAT_STREAM=environment
the body
LEAT_ATTEMPT=1
LEAT_GROUP=workers
LEAT_HEADER_content_type=text/plain
LEAT_HEADER_two=2
LEAT_KEPT=yes
LEAT_OFFSET=1
LEAT_REDELIVERED=0
LEAT_STREAM=environment
no key
END
expect_same "$work/expected" "$work/stdout"

# The epoch grows from lease to lease; a command has no file of ours open.
seq 2 | "$leat" produce -q epochs
expect 0 "$leat" consume epochs -n 1 --exec 'echo $LEAT_EPOCH; exit 3'
first=$(cat "$work/stdout")
expect 0 "$leat" consume epochs --exit-when-empty --exec 'echo $LEAT_EPOCH'
while read -r epoch; do
    [ "$epoch" -gt "$first" ] || fail "epoch $epoch is not above $first"
done < "$work/stdout"
seq 1 | "$leat" produce -q files
expect 0 "$leat" consume files -n 1 --exec 'ls /proc/self/fd | wc -l'
sh -c 'ls /proc/self/fd | wc -l' < /dev/null > "$work/expected"
expect_same "$work/expected" "$work/stdout"

# --- no such command: everything is given back, untouched

seq 100 > "$work/in"
expect 0 "$leat" produce missing "$work/in"
expect 1 "$leat" consume missing -j 3 --exec '/no/such/command'
expect_said "cannot be run"
: > "$work/data"
expect 1 "$leat" consume missing --exec "$work/data"
expect_said "cannot be run"
expect 0 "$leat" consume missing --exit-when-empty -f '%b %a'
expect_same_lines <(sed 's/$/ 1/' "$work/in") "$work/stdout"
stream_has missing redelivered 0 || fail "what was given back counts as started"

# --- four at once: each waits for the others

seq 4 | "$leat" produce -q together
mkdir "$work/there"
expect 0 "$leat" consume together -n 4 -j 4 --exec \
    'touch "$WORK/there/$LEAT_OFFSET"; n=0
     until [ "$(ls "$WORK/there" | wc -l)" -eq 4 ]; do n=$((n + 1)); [ $n -lt 500 ] || exit 1; sleep 0.02; done'
expect_said "4 records done, 0 attempts failed"

# --- SIGTERM finishes what is started and gives back the rest

seq 10 > "$work/in"
expect 0 "$leat" produce polite "$work/in"
start "$work/out" "$leat" consume polite --exec \
    'touch "$WORK/begun"; until [ -e "$WORK/go" ]; do sleep 0.02; done; cat; echo'
consumer=$last
wait_until "the command" test -e "$work/begun"
kill -TERM "$consumer"
wait_until "its notice" says "$work/out.err" "waiting for 1 command to end; a second signal ends it"
# The rest goes to others while the command still works.
expect 0 "$leat" consume polite -n 9
cp "$work/stdout" "$work/others"
touch "$work/go"
expect_end "$consumer" 0
expect_same_lines "$work/in" <(cat "$work/out" "$work/others")
stream_has polite settled 10 || fail "ten records should be settled"
stream_has polite redelivered 0 || fail "a record was started twice"

# --- a second signal quits at once, with its commands

rm -f "$work/begun"
seq 1 | "$leat" produce -q rude
start "$work/out" "$leat" consume rude --exec 'sleep 1000 & echo $! > "$WORK/pid"; touch "$WORK/begun"; wait'
consumer=$last
wait_until "the command" test -e "$work/begun"
kill -TERM "$consumer"
# Two signals within a moment are one wish.
wait_until "the end" eval "kill -TERM $consumer; gone $consumer"
expect_end "$consumer" 1
says "$work/out.err" "ended at once by a second signal" || fail "it does not say why it ends"
wait_until "the command's end" gone "$(cat "$work/pid")"

# --- displaced while its last command runs: its ack is lost, and it says so

rm -f "$work/begun" "$work/go"
seq 1 | "$leat" produce -q twins
start "$work/out" "$leat" consume twins --id twin -n 1 --exec \
    'touch "$WORK/begun"; until [ -e "$WORK/go" ]; do sleep 0.02; done'
consumer=$last
wait_until "the command" test -e "$work/begun"
expect 0 "$leat" consume twins --id twin -n 1
expect_same <(seq 1) "$work/stdout"
touch "$work/go"
expect_end "$consumer" 1
says "$work/out.err" "will be delivered again" || fail "it does not say that its ack was lost"

# --- the command dies with its parent, and somebody else gets the record

rm -f "$work/begun"
seq 1 | "$leat" produce -q orphan
start "$work/out" "$leat" consume orphan --exec 'sleep 1000 & echo $! > "$WORK/pid"; touch "$WORK/begun"; wait'
consumer=$last
wait_until "the command" test -e "$work/begun"
kill -KILL "$consumer"
expect_end "$consumer" 137
wait_until "the command's end" gone "$(cat "$work/pid")"
expect 0 "$leat" consume orphan --exit-when-empty -f '%b %r'
expect_same <(echo '1 1') "$work/stdout"

stop_broker
