# The page of what bench/run has measured. In: all lines of measured.jsonl. Out: docs/results.md.
# SPDX-License-Identifier: MPL-2.0
include "figures";

# ---- tables

# Rows are arrays of texts, columns aligned to the right but for the first.
def row: "| \(join (" | ")) |";
def table($heads): [$heads | row, ("|---|\("---:|" * (length - 1))")] + map (row) | join ("\n");

def plot($name; $alt): if $plots == "yes" then "![\($alt)](results/\($name).svg)" else "" end;
def section($title; $texts): "## \($title)\n\n\($texts | map (select (. != "")) | join ("\n\n"))\n";

def about: # who the contenders are
    [.[].results[0].contenders[] | {name, about}] | unique_by (.name)
    | map ("- `\(.name)`: \(.about)") | join ("\n");

# A section of a part, or why it was left out.
def of($part; $title; texts):
    if points ($part) != [] then section ($title; texts)
    else . as $all | section ($title; [$all.run.plan[] | select (.part == $part) | .point as $point
        | $all.rows[] | select (.part == $part and .point == $point and .left_out) | .left_out]
        | unique | map ("Left out: \(.).")) end;

# ---- sections

def machine:
    .run.machine as $m
    | section ("The machine"; [
        ([["processor", "\($m.processor), \($m.cache) of level-3 cache"], ["memory", $m.memory],
          ["virtual machine", (if $m.virtual == "" then "no" else $m.virtual end)], ["kernel", $m.kernel],
          ["system", $m.system], ["disk", $m.disk],
          ["libraries", "libzmq \($m.libzmq), LMDB \($m.lmdb), glibc \($m.libc)"], ["compiler", $m.compiler],
          ["Leat", "\($m.leat), commit \($m.commit)"],
          ["other brokers", (if $m.peers == "" then "none" else $m.peers end)]]
         | map ("| \(.[0]) | \(.[1]) |") | ["| what | which |", "|---|---|"] + . | join ("\n"))]);

# Figures of one contender at one size, rate or scenario, from points that have one contender each.
def at($points; $x; $name): first ($points[] | select (.point == "\($x) \($name)"));
def has($points; $x; $name): any ($points[]; .point == "\($x) \($name)");

def rates: values (.contenders[0].records_per_second);

def sizes:
    points ("sizes") as $points | ($points | names) as $names
    | ([$points[].results[0].record_size] | unique) as $sizes
    | of ("sizes"; "Throughput over the size of records"; [
        "One producer, one broker, one consumer; MB of bodies a second. Every record is confirmed, settled and "
            + "compared with what was sent.",
        plot ("sizes"; "MB a second over the size of records"),
        ([$sizes[] | . as $size | ["\($size | count) B"] + [$names[] as $name
            | if has ($points; $size; $name)
              then at ($points; $size; $name) | rates | map (. * $size / 1e6) | spread | shown_spread
              else "left out" end]]
         | table (["record"] + $names)),
        "Ratios of Leat's records a second to theirs, of the medians (least .. most of one round):",
        ([$sizes[] | . as $size | ["\($size | count) B"] + [$names[] | select (. != "leat") | . as $name
            | if has ($points; $size; $name)
              then ratio (at ($points; $size; "leat") | rates; at ($points; $size; $name) | rates) | shown_spread
              else "left out" end]]
         | table (["leat /"] + ($names - ["leat"]))),
        ($points | about)]);

def many:
    points ("many") as $points
    | of ("many"; "Throughput over producers, consumers and streams"; [
        "Producers in one process, consumers in another, beside one of each with one stream in the same round; records "
            + "of \($points[0].results[0].record_size) bytes. N:N:N has a stream for each producer and consumer, N:1:1 "
            + "many producers of one stream, 1:N:1 a group of many consumers.",
        plot ("many"; "records a second over the number of producers, consumers and streams"),
        ([("N:N:N", "N:1:1", "1:N:1") as $shape | $points[] | select (shape == $shape)
            | [(.results[0] | "\(.producers | count) : \(.consumers | count) : \(.streams | count)"),
               (figure (.records_per_second_many) | shown_spread), (figure (.records_per_second_one) | shown_spread),
               (ratio (values (.records_per_second_many); values (.records_per_second_one)) | shown_spread)]]
         | table (["producers : consumers : streams", "records/s", "with one of each", "ratio"]))]);

def percentiles: ["p50", "p90", "p99", "p99.9"];

def latency:
    points ("latency") as $points | ($points | names) as $names
    | ([$points[].results[0].rate] | unique) as $rates
    | of ("latency"; "Latency over load"; [
        "Microseconds from when a record of \($points[0].results[0].record_size) bytes was meant to be sent to the "
            + "consumer's callback. A contender that gets less than 95 % of the records through in time is not asked "
            + "for more; its last row shows how the queue grew.",
        plot ("latency-p50"; "median latency over records a second"),
        plot ("latency-p99"; "99th percentile of the latency over records a second"),
        ([$names[] as $name | $rates[] | . as $rate | select (has ($points; $rate; $name)) | at ($points; $rate; $name)
            | [$name, ($rate | count), (figure (.contenders[0].records_per_second) | .median | shown)]
              + [percentiles[] as $p | figure (.contenders[0].latency_us[$p]) | shown_spread]
              + [if .saturated then "no" else "yes" end]]
         | table (["contender", "records/s", "came"] + percentiles + ["in time"])),
        ($points | about)]);

def scenarios: ["lognormal", "constant", "slowdown", "latecomer"];

def balance:
    points ("balance") as $points
    | ([$points[].results[0].results[0].name] | in_order) as $names
    | of ("balance"; "Balance"; [
        "Ideal / real of the makespans of \($points[0].results[0].tasks | count) tasks for consumers of speed 1, 2, 4 "
            + "and 8; 1.00 is a central queue without any delay.",
        plot ("balance"; "ideal / real for each scenario"),
        ([scenarios[] as $scenario | [$scenario] + [$names[] as $name
            | if has ($points; $scenario; $name)
              then at ($points; $scenario; $name) | figure (.results[0].ideal_to_real) | shown_spread
              else "left out" end]]
         | table (["scenario"] + $names))]);

def fair:
    points ("fair")[0] as $point | $point.results[0] as $result
    | of ("fair"; "Fairness"; [
        "A stream with \($result.rate | count) records a second: alone; while \($result.flood) producers flood another "
            + "broker; while they flood other streams of the same one. Microseconds.",
        ([("quiet", "apart", "flooded") as $scene | [$scene]
            + [("record_p50_us", "record_p99_us", "settle_p50_us", "settle_p99_us", "flood_records_per_second") as $name
            | $point | figure (.[$scene][$name]) | shown_spread]]
         | table (["flood", "record p50", "record p99", "settle p50", "settle p99", "flood's records/s"]))]);

# Of contenders that share a step: the values of one.
def shared($name; figure): values (contender ($name) | figure);

def durable:
    points ("durable")[0] as $point
    | of ("durable"; "Durable streams"; [
        "Records of \($point.results[0].record_size) bytes into a stream that is synced before anything is confirmed, "
            + "and out of it; and one record after the other, each confirmed before the next. What stands beside it is "
            + "told in [benchmarks.md](benchmarks.md#what-durable-measures).",
        ([$point.results[0].contenders[].name as $name
            | [$name, ($point | shared ($name; .records_per_second) | spread | shown_spread)]
            + [("single_p50_us", "single_p99_us") as $p | $point | shared ($name; .[$p]) | spread | shown_spread]
            + (if $name == "leat" then ["1", "1"] else [("records_per_second", "single_p50_us") as $figure
                | $point | ratio (shared ("leat"; .[$figure]); shared ($name; .[$figure])) | shown_spread] end)]
         | table (["to", "records/s", "one at a time p50, us", "p99, us", "leat / it, records/s", "leat / it, p50"]))]);

def producers:
    points ("producers") as $points
    | of ("producers"; "Durable throughput over the number of producers"; [
        "Each with a stream of its own, as fast as they are let (`at once`); or each in one stream, waiting for each "
            + "confirmation (`waiting`).",
        plot ("producers"; "durable records a second over the number of producers"),
        ([[$points[] | select (.results[0].producers)], [$points[] | select (.results[0].sessions)] | .[]
            | if .results[0].producers
              then ["\(.results[0].producers | count) at once", (figure (.records_per_second_many) | shown_spread)]
              else ["\(.results[0].sessions | count) waiting",
                  (figure (contender ("leat").records_per_second) | shown_spread)] end]
         | table (["producers", "records/s"]))]);

def waiting:
    points ("waiting") as $points
    | of ("waiting"; "64 sessions that wait"; [
        "Sessions of one process that each wait until a record is confirmed before they send the next one, and one "
            + "consumer; the bare ROUTER passes the same four messages for a record.",
        plot ("waiting"; "records a second over the number of sessions"),
        ([$points[] | . as $point | ["\(.results[0].sessions | count)",
            (shared ("leat"; .records_per_second) | spread | shown_spread),
            (shared ("router"; .records_per_second) | spread | shown_spread),
            (ratio (shared ("leat"; .records_per_second); shared ("router"; .records_per_second)) | shown_spread)]
            + [("leat", "router") as $name | [("producers", "middle", "consumer") as $process | $point
                | shared ($name; .cpu_ns_per_record[$process]) | median / 1000 | fixed (1)] | join (" + ")]]
         | table (["sessions", "leat, records/s", "router, records/s", "ratio", "us of processor per record: leat",
             "router"])),
        "The three parts of the processor time are those of the producers' process, the middle and the consumer's."]);

def memory_peers:
    [points ("many")[] | select (shape == "N:N:N")] as $peers
    | of ("many"; "Memory over the number of peers"; [
        "The broker's own memory (RssAnon) with idle producers and consumers, as many of each, before anything was "
            + "sent:",
        plot ("memory-peers"; "the broker's memory over the number of peers"),
        ([$peers[] | ["\(.results[0] | .producers + .consumers | count)",
            (figure (.broker_memory_with_peers / 1e6) | shown_spread),
            (figure (.broker_memory_per_peer / 1e3) | shown_spread)]]
         | table (["peers", "MB", "kB each"]))]);

def memory_backlog:
    points ("backlog") as $backlog
    | of ("backlog"; "Memory over the backlog"; [
        "The broker's own memory with a backlog in a durable stream, of records of "
            + "\($backlog[0].results[0].record_size) bytes in full batches, and in batches of one:",
        plot ("memory-backlog"; "the broker's memory over the backlog"),
        ([(0, 1) as $run | $backlog[] | [.results[0].runs[$run].batches, (.results[0].runs[$run].records | count)]
            + [figure (.runs[$run].memory / 1e6), figure (.runs[$run].file_to_bodies), figure (.runs[$run].restart_s),
                figure (.runs[$run].published_per_second),
               figure (.runs[$run].drained_per_second), figure (.runs[$run].drained_to_published) | shown_spread]]
         | table (["batches", "records", "memory, MB", "file / bodies", "restart, s", "published/s", "drained/s",
             "drained / published"]))]);

def files:
    points ("files")[0] as $point
    | of ("files"; "From a file to the output"; [
        "`leat produce` of a file of \($point.results[0].lines | count) lines of \($point.results[0].record_size) "
            + "bytes, with `leat consume` attached, beside the raw relay; records a second.",
        ([[("leat", "relay") as $name | $point | shared ($name; .records_per_second) | spread | shown_spread]
            + [$point | ratio (shared ("leat"; .records_per_second); shared ("relay"; .records_per_second))
                | shown_spread]
          | ["all of it"] + .] | table (["lines", "leat", "relay", "ratio"]))]);

# ---- goals: what, the goal, the figure

def goal($what; $least; figure): {what: $what, goal: "at least \($least)", figure: figure, reached: (figure >= $least)};
def ceiling($what; $most; figure): {what: $what, goal: "at most \($most)", figure: figure, reached: (figure <= $most)};

def goals:
    points ("sizes") as $sizes | points ("latency") as $latency | points ("balance") as $balance
    | [points ("many")[] | select (shape == "N:N:N")] as $many
    | points ("durable")[0] as $durable | points ("waiting") as $waiting | points ("backlog") as $backlog
    | def size_ratio($name): ratio (at ($sizes; 100; "leat") | rates; at ($sizes; 100; $name) | rates).median;
    [
        goal ("throughput of 100-byte records, leat / relay"; 0.7; size_ratio ("relay")),
        goal ("throughput of 100-byte records, leat / proxy"; 5; size_ratio ("proxy")),
        (if has ($latency; 5000; "leat") and has ($latency; 5000; "router")
         then ceiling ("p50 at 5,000 records/s, leat / router (from the intended time or from when the producer was "
             + "awake, the worse of both)"; 1.2;
            [ratio (at ($latency; 5000; "leat") | values (.contenders[0].latency_us.p50);
                at ($latency; 5000; "router") | values (.contenders[0].latency_us.p50)).median,
             ratio (at ($latency; 5000; "leat") | values (.contenders[0].awake_p50_us);
                at ($latency; 5000; "router") | values (.contenders[0].awake_p50_us)).median] | max)
         else empty end),
        goal ("ideal / real of lognormal tasks"; 0.98;
            at ($balance; "lognormal"; "leat") | figure (.results[0].ideal_to_real).median),
        ($many | last | goal ("throughput of \(.results[0].producers | count) producers, consumers and streams, many / "
            + "one of each"; 0.5;
            ratio (values (.records_per_second_many); values (.records_per_second_one)).median),
         ceiling ("the idle broker with them, per cent of a core"; 5; figure (.idle_per_cent_of_a_core).median)),
        ($durable // empty | goal ("durable throughput, leat / LMDB alone with the same transactions"; 0.5;
            ratio (shared ("leat"; .records_per_second); shared ("lmdb"; .records_per_second)).median),
          if any (.results[0].contenders[]; .name == "redis")
          then goal ("durable throughput, leat / redis"; 15;
            ratio (shared ("leat"; .records_per_second); shared ("redis"; .records_per_second)).median) else empty end),
        (first ($waiting[] | select (.results[0].sessions == 64)) | goal ("64 sessions that wait, leat / router"; 0.7;
            ratio (shared ("leat"; .records_per_second); shared ("router"; .records_per_second)).median)),
        ($backlog | last // empty | (.results[0].runs[0].records | count) as $records
         | ceiling ("memory with a backlog of \($records) records, MB"; 300; figure (.runs[0].memory / 1e6).median),
           ceiling ("restart with it, s"; 2; figure (.runs[0].restart_s).median),
           goal ("drained / published"; 0.5; figure (.runs[0].drained_to_published).median))
    ]
    | section ("Goals"; ["What Leat is meant to reach, and what was measured here, in the median:",
        (map ([.what, .goal, (.figure | shown), (if .reached then "yes" else "**no**" end)])
            | table (["what", "goal", "measured", "reached"]))]);

# ---- the page

def head:
    .run as $run
    | "# Results\n\nThis page was made by `bench/page` of what `bench/run` has measured "
      + "([results/measured.jsonl](results/measured.jsonl)) on \($run.at). "
      + "[benchmarks.md](benchmarks.md) tells what each benchmark means. Figures are medians"
      + (if $run.rounds == 1 then " of one round, so that nothing is told of their spread.\n"
          else " of \($run.rounds) rounds (least .. most); in each round everything is measured once, one contender "
          + "after the other.\n" end)
      + ({quick: "\nIt was a quick run (`bench/run --quick`): short, with few points, and good for a look only.\n",
          trial: "\nIt was a trial (`bench/run --trial`): its figures mean nothing.\n", full: ""}[$run.mode])
      + (if $plots == "yes" then "" else "\nThe plots are left out: gnuplot is not installed where the page was "
          + "made.\n" end);

measured | . as $all
| [head, machine, goals, sizes, many, latency, balance, fair, durable, producers, waiting, memory_peers,
    memory_backlog, files,
    (left_out as $texts | section ("Left out"; [if $texts == [] then "Nothing." else $texts | map ("- \(.)")
        | join ("\n") end])),
    section ("Commands"; [
        "Each figure is of a command in a round; two dots stand for what a table or a plot goes over, "
        + "DIR for a folder on the disk, LEAT for the program.",
        ([$all.run.plan[].command
            | gsub ("--(?<o>size|contenders|rate|peers|producers|consumers|streams|sessions|scenarios|records"
                + "|single-records|idle) [^ ]+"; "--\(.o) ..")]
         | in_order | join ("\n") | "```\n\(.)\n```")])]
| map (select (. != "")) | join ("\n")
