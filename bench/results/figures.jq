# What bench/run has measured, as bench/page takes it: a figure that is missing is an error.
# SPDX-License-Identifier: MPL-2.0

# ---- numbers

def median: sort | if length == 0 then error ("a median of nothing")
    else (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2 end;

# {median, least, most} of the values of all rounds.
def spread: {median: median, least: min, most: max};

def fixed($digits): # 1.5 with 2 digits is "1.50"
    (if . < 0 then "-" else "" end)
    + (fabs * pow (10; $digits) | round | tostring
        | ("0" * ($digits + 1 - length) // "") + .
        | if $digits == 0 then . else "\(.[:-$digits]).\(.[-$digits:])" end);

def thousands: # "1234567" is "1,234,567"
    if length > 3 and test ("^[0-9]+$") then "\(.[:-3] | thousands),\(.[-3:])" else . end;

def shown: # three digits, or all before the point
    if type != "number" then error ("not a number: \(.)")
    elif . == 0 then "0"
    elif fabs >= 100 then fixed (0) | thousands
    elif fabs >= 10 then fixed (1)
    elif fabs >= 0.1 then fixed (2)
    else fixed (4) end;

def count: fixed (0) | thousands; # of things

def shown_spread:
    if .least == .most then .median | shown
    else "\(.median | shown) (\(.least | shown) .. \(.most | shown))" end;

# ---- what was measured

# Of the lines of measured.jsonl: the last plan, and what belongs to it.
def measured:
    ([.[] | select (.plan)] | last // error ("nothing was measured")) as $run
    | reduce (.[] | select (.part and (.failed | not))) as $row ({};
        .["\($row.part)|\($row.point)|\($row.round)|\($row.command)"] = $row)
    | {run: $run, rows: .};

# Steps of a part that have no figure.
def missing:
    . as $all
    | [.run.plan[] as $step | range (1; $all.run.rounds + 1) as $round
        | select ($all.rows["\($step.part)|\($step.point)|\($round)|\($step.command)"] | not)
        | "\($step.part), \($step.point), round \($round)"];

# Points of a part in the order of the plan: {point, results: [of each round]}. Points that were left out,
# and rates that lie beyond what a contender can follow, are none.
def points($part):
    . as $all
    | [.run.plan[] | select (.part == $part) | . as $step
        | [range (1; $all.run.rounds + 1) as $round
            | $all.rows["\($part)|\($step.point)|\($round)|\($step.command)"]
              // error ("no figure of \($part), \($step.point), round \($round)")]
        | select (all (.[]; .result))
        | {point: $step.point, saturated: any (.[]; .saturated), results: map (.result)}];

# What does not stand in the tables, and why: lines of text.
def left_out:
    . as $all
    | [.run.left_out[] | "\(.part): \(.name): \(.why)"]
      + [.run.plan[] as $step | [$all.rows[] | select (.part == $step.part and .point == $step.point and .left_out)]
        | first // empty | "\(.part), \(.point): \(.left_out)"]
    | unique;

# The values of a figure in all rounds. `figure` of a result gives {median, rounds} or a number.
def values(figure):
    . as $point
    | [.results[] | (figure // error ("no figure in \($point.point)"))
        | if type == "object" then .rounds[] else . end
        | if type == "number" then . else error ("no number in \($point.point)") end]
    | if length == 0 then error ("no value in \($point.point)") else . end;

def figure(figure): values (figure) | spread;

# Ratio of two lists of values: of the medians, with the least and the most of one round.
def ratio($above; $below):
    {median: (($above | median) / ($below | median))}
    + ([range (0; $above | length) | $above[.] / $below[.]] | {least: min, most: max});

def contender($name): .contenders[] | select (.name == $name);

# Without repeats, in the order of first appearance.
def in_order: reduce .[] as $one ([]; if index ($one) then . else . + [$one] end);

# Contenders of points.
def names: [.[].results[0].contenders[].name] | in_order;

# What grows in a point of part many: "N:N:N", "N:1:1" or "1:N:1" producers, consumers and streams.
def shape: .results[0] | if .streams > 1 then "N:N:N" elif .consumers == 1 then "N:1:1" else "1:N:1" end;
