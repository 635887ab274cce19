#!/bin/sh
# What upkeep costs those who do not wait for it: bench/run_upkeep.sh
#
# One loaded database, three ways of living in it, in turns, medians of REPEATS: idle (no checkpoint
# and no compaction is due), upkeep (one more thread asks for a checkpoint, then for a compaction of
# everything, again and again, and both keep to their budget of time), no budget (the same with
# --background-permille 1000). The aim: p99.9 of gets and puts during upkeep at most twice those
# of idle, and visibly worse without the budget.
#
#   RECORDS=300000 VALUE=100 CAP=          records of 16 + VALUE bytes; memory, default: all of it
#   WARMUP_S=30                            at most; each run opens the database, whose values are on
#                                          disk then, and first reads all of them
#   PHASE_S=10 LEAD_S=3 REPEATS=3 THREADS=1    more threads than CPUs - 1 measure the scheduler too
#   WORKLOAD=ycsb-a DURABILITY=interval RATIO=0.5
#   WARP=build/warp DIR=./warp-bench-upkeep    the program; where the database goes
#   OUT=DIR.md JSON=DIR.jsonl FLAGS=
#
# Exit: 0 measured (the table says whether the aim was reached), 2 usage, 3 error.
set -u

records=${RECORDS:-300000}
value=${VALUE:-100}
phase_s=${PHASE_S:-10}
lead_s=${LEAD_S:-3}
warmup_s=${WARMUP_S:-30}
repeats=${REPEATS:-3}
threads=${THREADS:-1}
workload=${WORKLOAD:-ycsb-a}
durability=${DURABILITY:-interval}
ratio=${RATIO:-0.5}
warp=${WARP:-build/warp}
directory=${DIR:-./warp-bench-upkeep}
out=${OUT:-$directory.md}
json=${JSON:-$directory.jsonl}
memory=
[ -z "${CAP:-}" ] || memory="--memory-bytes $CAP"
if [ $# -gt 0 ]; then
    sed -n '2,/^set -u/s/^# \{0,1\}//p' "$0"
    [ "$1" = --help ] && exit 0
    exit 2
fi
[ -x "$warp" ] || {
    echo "run_upkeep.sh: no program at $warp (WARP=)" >&2
    exit 3
}
command -v python3 >/dev/null || {
    echo "run_upkeep.sh: python3 makes the table: install it" >&2
    exit 3
}
scratch=$(mktemp -d) || exit 3
mkdir -p "$directory" || exit 3
finish() {
    rm -rf "$scratch" "$directory/database" "$directory/database.loaded"
    rmdir "$directory" 2>/dev/null
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
: >"$json" || exit 3

run() { # label, flags
    label=$1
    shift
    # shellcheck disable=SC2086
    "$warp" bench --path "$directory" --database "$directory/database" --records "$records" \
        --value-bytes "$value" --compression-ratio "$ratio" --durability "$durability" $memory \
        --workload "$workload:$phase_s" --threads "$threads" --lead-s "$lead_s" --warmup-s "$warmup_s" --probe \
        --json "$scratch/run.json" "$@" ${FLAGS:-} >"$scratch/run.txt" || {
        echo "run_upkeep.sh: exit $? from $label" >&2
        exit 3
    }
    python3 -c 'import json, sys
result = json.load(open(sys.argv[1])); result["label"] = sys.argv[2]
print(json.dumps(result, separators=(",", ":")))' "$scratch/run.json" "$label" >>"$json" || exit 3
}

repeat=0
while [ "$repeat" -lt "$repeats" ]; do
    repeat=$((repeat + 1))
    echo "run_upkeep.sh: round $repeat of $repeats" >&2
    run idle --upkeep asked
    run upkeep --upkeep forced
    run "no budget" --upkeep forced --background-permille 1000
done

python3 - "$json" >"$out" <<'EOF' || exit 3
import json, statistics, sys

runs = [json.loads(line) for line in open(sys.argv[1])]
labels = ["idle", "upkeep", "no budget"]
kinds = list(runs[0]["results"][0]["latency_by_kind_ns"])
first = runs[0]
configuration = first["configuration"]


def median(label, figure):
    return statistics.median(figure(run["results"][0]) for run in runs if run["label"] == label)


def us(ns):
    return "%.0f" % (ns / 1e3) if ns >= 9950 else "%.2f" % (ns / 1e3)


print("%s records of %d + %d bytes; %s; durability %s; %d threads; medians of %d; %s, %d CPUs; %s\n" % (
    format(configuration["records"], ","), configuration["key_bytes"], configuration["value_bytes"],
    first["results"][0]["workload"], configuration["durability"], first["results"][0]["threads"],
    sum(run["label"] == "idle" for run in runs), first["environment"]["cpu_model"],
    first["environment"]["cpus"], first["time"]))
heads = ["", "thousand op/s"]
for kind in kinds:
    heads += [kind + " p50, us", "p99", "p99.9", "max, ms", "p99.9 / idle"]
heads += ["rounds", "device write+sync max, ms"]
print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
base = {kind: median("idle", lambda r: r["latency_by_kind_ns"][kind]["p99_9"]) for kind in kinds}
ratios = {}
for label in labels:
    cells = [label, "%.0f" % (median(label, lambda r: r["operations_per_second"]) / 1e3)]
    for kind in kinds:
        cells += [us(median(label, lambda r: r["latency_by_kind_ns"][kind][name]))
                  for name in ("p50", "p99", "p99_9")]
        cells.append("%.2f" % (median(label, lambda r: r["latency_by_kind_ns"][kind]["max"]) / 1e6))
        ratios[label, kind] = median(label, lambda r: r["latency_by_kind_ns"][kind]["p99_9"]) / base[kind]
        cells.append("%.2f" % ratios[label, kind])
    cells.append("%.0f" % median(label, lambda r: r["upkeep_rounds"]))
    cells.append("%.1f" % median(label, lambda r: r.get("device", {}).get("write_sync_ns", {}).get("max", 0) / 1e6))
    print("| " + " | ".join(cells) + " |")
print()
for kind in kinds:
    print("%s: p99.9 during upkeep %.2f times idle's (aim: at most 2: %s), without budget %.2f times" % (
        kind, ratios["upkeep", kind], "yes" if ratios["upkeep", kind] <= 2 else "**no**",
        ratios["no budget", kind]))
EOF
cat "$out"
