# What the plots show. In: all lines of measured.jsonl. Out: lines "plot series x median least most" with tabs.
# SPDX-License-Identifier: MPL-2.0
include "figures";

def line($plot; $series; $x): [$plot, $series, $x, .median, .least, .most];

def sizes:
    points ("sizes")[] | .results[0].record_size as $size | .results[0].contenders[0].name as $name
    | values (.contenders[0].records_per_second) | map (. * $size / 1e6) | spread | line ("sizes"; $name; $size);

def many:
    (points ("many")[0] | figure (.records_per_second_one) | line ("many"; ("N:N:N", "N:1:1", "1:N:1"); 1)),
    (points ("many")[] | .results[0] as $first | shape as $shape
    | (figure (.records_per_second_many) | line ("many"; $shape; [$first.producers, $first.consumers] | max)),
      (if $shape == "N:N:N" then figure (.broker_memory_with_peers / 1e6)
          | line ("memory-peers"; "MB"; $first.producers + $first.consumers)
       else empty end));

def latency:
    points ("latency")[] | .results[0].rate as $rate | .results[0].contenders[0].name as $name
    | ("p50", "p99") as $p | figure (.contenders[0].latency_us[$p]) | line ("latency-\($p)"; $name; $rate);

# Scenarios stand at 1, 2, 3 and 4, contenders side by side.
def balance:
    points ("balance") as $points
    | ([$points[].results[0].results[0].name] | in_order) as $names
    | $points[] | .results[0].results[0] as $first
    | (["lognormal", "constant", "slowdown", "latecomer"] | index ($first.scenario)) as $place
    | ($names | index ($first.name)) as $turn
    | figure (.results[0].ideal_to_real)
        | line ("balance"; $first.name; $place + 1 + 0.6 * (($turn + 0.5) / ($names | length) - 0.5));

def producers:
    points ("producers")[]
    | if .results[0].producers then .results[0].producers as $n | figure (.records_per_second_many)
        | line ("producers"; "at once"; $n)
      else .results[0].sessions as $n | figure (contender ("leat").records_per_second)
          | line ("producers"; "waiting"; $n) end;

def waiting:
    points ("waiting")[] | .results[0].sessions as $n
    | ("leat", "router") as $name | figure (contender ($name).records_per_second) | line ("waiting"; $name; $n);

def backlog:
    points ("backlog")[] | (0, 1) as $run | .results[0].runs[$run] as $first
    | figure (.runs[$run].memory / 1e6) | line ("memory-backlog"; "batches: \($first.batches)"; $first.records);

measured | (sizes, many, latency, balance, producers, waiting, backlog) | @tsv
