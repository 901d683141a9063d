#!/bin/bash
# leat store: what it finds, copies and says.
# SPDX-License-Identifier: MPL-2.0

. "$(dirname "$0")/command_line.sh"
make_store=$3

data=$work/data
"$make_store" "$data"

# --- verify

expect 0 "$leat" store verify "$data"
echo "corn: read 150 records in 15 batches, 250 B" > "$work/wanted"
expect_same "$work/stdout" "$work/wanted"
expect_said "leat store: $data is sound"

# One bit of one batch, wherever that stands in the file.
flip () {
    local file=$1 text=$2 place byte
    grep -obUaF "$text" "$file" | cut -d: -f1 | while read -r place; do
        byte=$(dd if="$file" bs=1 skip="$place" count=1 status=none | od -An -tu1)
        printf '%b' "\\x$(printf %x $((byte ^ 1)))" |
            dd of="$file" bs=1 seek="$place" conv=notrunc status=none
    done
}

cp -r "$data" "$work/damaged"
flip "$work/damaged/data.mdb" "batch 12 of wheat"
flip "$work/damaged/data.mdb" "batch 17 of wheat"
expect 1 "$leat" store verify "$work/damaged"
cat > "$work/wanted" << 'END'
corn: offsets 120 to 129: the records do not match their checksum
corn: offsets 170 to 179: the records do not match their checksum
corn: read 150 records in 15 batches, 250 B
END
expect_same "$work/stdout" "$work/wanted"
expect_said "is damaged in 2 places"

cp -r "$data" "$work/damaged-row"
flip "$work/damaged-row/data.mdb" millers
expect 1 "$leat" store verify "$work/damaged-row"
says "$work/stdout" "the row of groups of stream 1 is damaged" || fail "the row is not named"

# --- dump

expect 0 "$leat" store dump "$data"
cat > "$work/wanted" << 'END'
STREAM KEPT FIRST NEXT RECORDS BYTES GROUPS
corn sync 50 200 150 250 1

STREAM GROUP FLOOR CHUNKS ATTEMPTS DELAYED PARKED DEAD
corn millers 50 0 0 0 1 0
END
expect_same <(tr -s ' ' < "$work/stdout" | sed 's/ $//') "$work/wanted"
expect 0 "$leat" store dump --json "$data"
expect_same <("$stats_field" streams name=corn records < "$work/stdout") <(echo 150)
expect_same <("$stats_field" streams name=corn durability < "$work/stdout") <(echo sync)

# --- compact

size_before=$(stat -c %s "$data/data.mdb")
expect 0 "$leat" store compact "$data"
[ "$(stat -c %s "$data/data.mdb")" -lt "$size_before" ] || fail "it is not smaller"
[ ! -e "$data/data.mdb.new" ] || fail "data.mdb.new was left behind"
expect 0 "$leat" store verify "$data"
says "$work/stdout" "corn: read 150 records in 15 batches, 250 B" || fail "not all is there"

# --- backup, and the others, while the store is in use

start "$work/log" "$make_store" "$work/used" --stay
wait_until "the store" says "$work/log" ready
for action in verify compact dump; do
    expect 1 "$leat" store "$action" "$work/used"
    expect_said "$work/used is in use by a broker; stop it first (beside it only \`leat store backup\` works)"
done
expect 0 "$leat" store backup "$work/used" "$work/copy"
expect 0 "$leat" store verify "$work/copy"
says "$work/stdout" "corn: read 150 records in 15 batches, 250 B" || fail "the copy has not all"
expect 1 "$leat" store backup "$work/used" "$work/copy"
expect_said "$work/copy holds a store already; give another directory"
kill -KILL "$last"
expect_end "$last" 137
expect 0 "$leat" store backup "$work/used" "$work/copy2"
expect 0 "$leat" store verify "$work/copy2"

# --- usage

expect 1 "$leat" store verify "$work/nothing"
expect_said "leat store: cannot open the directory $work/nothing: No such file or directory"
mkdir "$work/empty"
expect 1 "$leat" store dump "$work/empty"
expect_said "leat store: cannot open $work/empty/data.mdb: No such file or directory"
expect 2 "$leat" store
expect_said "ACTION is missing: verify, compact, dump or backup"
expect 2 "$leat" store polish "$data"
expect_said "what is 'polish'? There are verify, compact, dump and backup"
expect 2 "$leat" store verify
expect_said "verify takes one directory"
expect 2 "$leat" store backup "$data"
expect_said "backup takes a directory, and one to copy to"

# --- completion

# shellcheck disable=SC1091
. "$(dirname "$0")/../../cli/completion/leat.bash"
COMP_WORDS=("$leat" store ver)
COMP_CWORD=2
_leat
[ "${COMPREPLY[*]}" = verify ] || fail "completion of ver"
