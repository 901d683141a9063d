#!/bin/bash
# Real files through real processes: what comes out is what went in.
# SPDX-License-Identifier: MPL-2.0

. "$(dirname "$0")/command_line.sh"

start_broker

# --- lines, from a file, from stdin, from several files; order is kept

seq 200000 > "$work/in"
expect 0 "$leat" produce lines "$work/in"
expect_said "200000 records confirmed in"
expect 0 "$leat" consume lines --exit-when-empty
expect_same "$work/in" "$work/stdout"
expect_said "200000 records in"

# A last line without a line feed and empty lines are records too.
printf 'one\n\n\nfour' > "$work/in"
"$leat" produce -q stdin < "$work/in"
expect 0 "$leat" consume -q stdin --exit-when-empty
expect_same <(cat "$work/in"; echo) "$work/stdout"
[ ! -s "$work/stderr" ] || fail "--quiet is not quiet"

printf 'a\nb' > "$work/1"
printf 'c\nd\n' > "$work/2"
printf 'stdin\n' | "$leat" produce -q files "$work/1" - "$work/2"
expect 0 "$leat" consume files --exit-when-empty
expect_same <(printf 'a\nb\nstdin\nc\nd\n') "$work/stdout"

: > "$work/in"
expect 0 "$leat" produce nothing "$work/in"
expect_said "0 records confirmed"

# --- binary records

head -c 3000000 "$leat" > "$work/in"
expect 0 "$leat" produce -D '\0' binary "$work/in"
expect 0 "$leat" consume -D '\0' binary --exit-when-empty
# The last record had no delimiter, unless the file ends with one.
head -c "$(stat -c %s "$work/in")" "$work/stdout" | cmp - "$work/in" || fail "binary records differ"

head -c 700000 "$leat" > "$work/1"
tail -c 900001 "$leat" > "$work/2"
: > "$work/3"
expect 0 "$leat" produce --whole whole "$work/1" "$work/2" "$work/3"
expect_said "3 records confirmed"
expect 0 "$leat" consume -D '' whole --exit-when-empty
expect_same <(cat "$work/1" "$work/2") "$work/stdout"

printf 'a--b---c' > "$work/in"
expect 0 "$leat" produce --delimiter=-- dashes "$work/in"
expect 0 "$leat" consume dashes --exit-when-empty
expect_same <(printf 'a\nb\n-c\n') "$work/stdout"

# --- keys, headers, formats

printf 'k1\tbody one\nno key\n\tempty key\nk2\ttwo\ttabs\n' |
    "$leat" produce -q -K '\t' -H kind=test -H 'x-y=1 2' keyed
expect 0 "$leat" consume keyed --exit-when-empty -f '%o [%k] [%b] %h %a %r %s %g %S %%'
cat > "$work/expected" <<'END'
0 [k1] [body one] kind=test,x-y=1 2 1 0 keyed default 8 %
1 [] [no key] kind=test,x-y=1 2 1 0 keyed default 6 %
2 [] [empty key] kind=test,x-y=1 2 1 0 keyed default 9 %
3 [k2] [two	tabs] kind=test,x-y=1 2 1 0 keyed default 8 %
END
expect_same "$work/expected" "$work/stdout"

# --- groups: each has everything; consumers of one group share

seq 20000 > "$work/in"
start "$work/a1" "$leat" consume shared -g a
start "$work/a2" "$leat" consume shared -g a
start "$work/b" "$leat" consume shared -g b
# A record is gone when every group that there is has settled it.
wait_until "three consumers" eval \
    '[ "$("$leat" stats --json | grep -o "\"stream\":\"shared\"" | wc -l)" -eq 3 ]'
expect 0 "$leat" produce shared "$work/in"
wait_until "both groups" stream_has shared settled 40000
for pid in "${started[@]:1}"; do
    kill -TERM "$pid"
    expect_end "$pid" 0
done
cat "$work/a1" "$work/a2" > "$work/a"
expect_same_lines "$work/in" "$work/a"
expect_same "$work/in" "$work/b"
grep -q 'records in' "$work/b.err" || fail "no last line on stderr"

# A group that comes later and wants only what is new.
start "$work/late" "$leat" consume shared -g late --from latest
wait_until "the group" eval '"$leat" stats --json | grep -q "\"late\""'
seq 3 | "$leat" produce -q shared
wait_until "three lines" lines_at_least "$work/late" 3
kill -INT "$last"
expect_end "$last" 0
expect_same <(seq 3) "$work/late"

# --- -n never takes more, and others get the rest

seq 1000 > "$work/in"
expect 0 "$leat" produce counted "$work/in"
start "$work/1" "$leat" consume counted -n 10
one=$last
start "$work/2" "$leat" consume counted -n 200
two=$last
start "$work/3" "$leat" consume counted -n 1
expect_end "$last" 0
expect_end "$two" 0
expect_end "$one" 0
[ "$(wc -l < "$work/1")" -eq 10 ] || fail "-n 10 wrote $(wc -l < "$work/1") lines"
[ "$(wc -l < "$work/2")" -eq 200 ] || fail "-n 200 wrote $(wc -l < "$work/2") lines"
[ "$(wc -l < "$work/3")" -eq 1 ] || fail "-n 1 wrote $(wc -l < "$work/3") lines"
stream_has counted settled 211 || fail "211 records should be settled"
stream_has counted ready 789 || fail "789 records should be left"
stream_has counted redelivered 0 || fail "nothing was to be delivered again"
expect 0 "$leat" consume counted --exit-when-empty
cat "$work/1" "$work/2" "$work/3" "$work/stdout" > "$work/all"
expect_same_lines "$work/in" "$work/all"

# --- a stream that is not there is empty, and asking does not make it

expect 0 "$leat" consume no-such-stream --exit-when-empty
[ ! -s "$work/stdout" ] || fail "records from nowhere"
expect_said "0 records"
"$leat" stats --json | grep -q '"no-such-stream"' && fail "consuming has made a stream"

# --- a pipe that closes: what was not written whole is given back

seq 100000 > "$work/in"
expect 0 "$leat" produce pipe "$work/in"
codes=()
"$leat" consume pipe 2> "$work/stderr" | head -n 3 > "$work/stdout" || codes=("${PIPESTATUS[@]}")
[ "${codes[0]}" -eq 1 ] || fail "writing into a closed pipe ended with ${codes[0]}"
expect_said "cannot write to stdout: Broken pipe"
expect_same <(seq 3) "$work/stdout"
settled=$("$leat" stats --json | "$stats_field" streams name=pipe settled)
expect 0 "$leat" consume pipe --exit-when-empty
expect_same_lines <(tail -n "$((100000 - settled))" "$work/in") "$work/stdout"

expect 1 bash -c '"$0" consume lines -n 1 > /dev/full' "$leat" < /dev/null &
writer=$!
started+=("$writer")
seq 1 | "$leat" produce -q lines
expect_end "$writer" 0

# --- a stdout that is closed: no socket takes its number and swallows records (eight bytes each, which
# --- even an eventfd would take)

seq 1000001 1000020 > "$work/in"
expect 0 "$leat" produce closed "$work/in"
expect 1 bash -c '"$0" consume closed -n 20 >&-' "$leat"
expect_said "cannot write to stdout: Bad file descriptor"
expect 1 bash -c '"$0" stats >&-' "$leat"
expect_said "cannot write to stdout: Bad file descriptor"
expect 1 bash -c '"$0" produce closed <&-' "$leat"
expect_said "cannot read stdin: Bad file descriptor"
expect 0 "$leat" consume closed --exit-when-empty
expect_same "$work/in" "$work/stdout"

# --- a stdout that somebody made non-blocking and that is full for a while is waited for

seq 200000 > "$work/in"
expect 0 "$leat" produce unhurried "$work/in"
mkfifo "$work/fifo"
# shellcheck disable=SC2016
start "$work/writer" perl -MFcntl -e 'open (STDOUT, ">", shift) or die $!;
    fcntl (STDOUT, F_SETFL, O_WRONLY | O_NONBLOCK) or die $!; exec @ARGV' \
    "$work/fifo" "$leat" consume unhurried --exit-when-empty
writer=$last
exec 9< "$work/fifo"
# It has filled some of the pipe, more is held by it than that has room for (64 KiB), and it has not
# given up.
wait_until "settled records" stream_has_at_least unhurried settled 2000
wait_until "leased records" stream_has_at_least unhurried in_flight 2000
cat <&9 > "$work/stdout"
exec 9<&-
expect_end "$writer" 0
expect_same "$work/in" "$work/stdout"

# --- a rate is kept

begin=$(date +%s%N)
seq 100 | "$leat" produce -q --rate 200 rated
took=$((($(date +%s%N) - begin) / 1000000))
[ "$took" -ge 450 ] || fail "100 records at 200 a second took $took ms"

# --- stats: the documented fields, and a table

start "$work/c" "$leat" consume -q fields --id watcher
seq 10 | "$leat" produce -q fields
wait_until "ten records" stream_has fields settled 10
for field in name ready in_flight delayed accepted settled redelivered dead_lettered bytes groups; do
    "$leat" stats --json | "$stats_field" streams name=fields "$field" > /dev/null ||
        fail "stats has no field $field of a stream"
done
for field in id stream group in_flight credit rate service_ms heartbeat_age_ms; do
    "$leat" stats --json | "$stats_field" consumers id=watcher "$field" > /dev/null ||
        fail "stats has no field $field of a consumer"
done
[ "$("$leat" stats --json | "$stats_field" consumers id=watcher stream)" = fields ] ||
    fail "the consumer is not where it should be"
expect 0 "$leat" stats
grep -q '^fields  *0  *0B' "$work/stdout" || fail "the table has no row for the stream"
grep -q '^watcher  *fields  *default' "$work/stdout" || fail "the table has no row for the consumer"
grep -q "$(printf '\033')" "$work/stdout" && fail "colour in a pipe"
awk 'length > 80 { bad = 1 } END { exit bad }' "$work/stdout" || fail "a line is longer than 80"
kill -TERM "$last"
expect_end "$last" 0

# --- a producer is displaced while it waits for input, with nothing unconfirmed: it ends without any

mkfifo "$work/pipe"
start "$work/waiting" "$leat" produce displaced --id idler "$work/pipe"
waiting=$last
exec 9> "$work/pipe"
wait_until "the producer" eval '"$leat" stats --json | grep -q "\"id\":\"idler\""'
# Longer than an idle producer takes to look after its connection.
start "$work/taker" "$leat" produce displaced --id idler --rate 1 <(seq 5)
taker=$last
wait_until "its end" gone "$waiting"
expect_end "$waiting" 1
grep -q 'another session' "$work/waiting.err" || fail "the displaced producer does not say why it ends"
! grep -q 'is lost' "$work/waiting.err" || fail "the displaced producer says that it connects again"
exec 9>&-
expect_end "$taker" 0

stop_broker
grep -q "ended in order" "$work/broker.log" || fail "the broker does not say that it has ended"

# --- near the end of --count credit is stated once for what is written together, not for each delivery

start_broker --limit record_size=10B --limit batch_size=18B
seq 1000003000 1000005999 > "$work/in"
"$leat" produce -q counted "$work/in"
messages () {
    "$leat" stats --json | "$stats_field" counters messages_received
}
before=$(messages)
expect 0 "$leat" consume counted -n 3000
expect_same "$work/in" "$work/stdout"
said=$(($(messages) - before))
[ "$said" -lt 1000 ] || fail "a consumer of 3000 records sent $said messages"
stop_broker
