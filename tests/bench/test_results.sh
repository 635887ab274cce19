#!/bin/bash
# Tests what `warp bench` makes of its runs: tests/bench/test_results.sh [PATH-TO-WARP]
#
# Intervals, verdicts and their exit status, CSV, percentile text, plots, rates by steps, the search
# for a rate, the wait for a steady one, and the status line.
set -u
warp=${1:-${WARP:-build/warp}}
[[ $warp = /* ]] || warp=$PWD/$warp
if [[ ! -x $warp ]]; then
    echo "test_results.sh: no program at $warp" >&2
    exit 1
fi
if ! command -v python3 >/dev/null; then
    echo "no python3"
    exit 77
fi
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
cd "$scratch" || exit 1

passed=0
failed=0
good() { passed=$((passed + 1)); }
bad() {
    failed=$((failed + 1))
    echo "FAILED: $*"
    tail -n 3 out.txt err.txt why.txt 2>/dev/null
}
expect() {
    local wanted=$1 sentence=$2 got
    shift 2
    timeout 100 "$warp" bench "$@" >out.txt 2>err.txt
    got=$?
    if [[ $got -eq $wanted ]]; then good; else bad "$sentence: exit $got, not $wanted (bench $*)"; fi
    [[ $got -eq $wanted ]]
}
holds() {
    local sentence=$1
    shift
    if "$@" >why.txt 2>&1; then good; else bad "$sentence"; fi
}

# One run, everything written; what the files say of it must agree.
expect 0 "all results at once" --engine warp,bound --workload ycsb-a,multiget --records 2000 \
    --duration-s 1.3 --repeat 3 --durability memory --json all.json --csv all.csv --hgrm all.hgrm \
    --plot all
cat >agree.py <<'END'
import csv, json, math, statistics, xml.dom.minidom

data = json.load(open("all.json"))
rows = list(csv.DictReader(open("all.csv")))
assert len(rows) == len(data["results"]) == 4
for row, result in zip(rows, data["results"]):
    assert row["engine"] == result["engine"] and row["workload"] == result["workload"]
    assert None not in row and None not in row.values(), row
    assert abs(float(row["operations_per_second"]) - result["operations_per_second"]) < 0.2
    assert abs(float(row["p99_ns"]) - result["latency_ns"]["p99"]) < 0.2
    assert row["status"] == "ok" and row["arrivals"] == "closed" and row["repeats"] == "3"
    # Student's interval of three: 4.3027 times the error of the mean, on each side.
    rates = result["operations_per_second_repeats"]
    low, high = result["operations_per_second_interval"]
    half = 4.30265 * statistics.stdev(rates) / math.sqrt(3)
    assert abs(low - (statistics.mean(rates) - half)) < 1 + 1e-4 * abs(low), (low, rates)
    assert abs(high - (statistics.mean(rates) + half)) < 1 + 1e-4 * high, (high, rates)
    assert abs(float(row["interval_low"]) - low) < 0.2
    # The rate over time: its sum is about what was done.
    times = [at for at, _ in result["timeline"]]
    assert len(times) >= 5 and times == sorted(times), times
    assert all(rate >= 0 for _, rate in result["timeline"])
    done = sum(rate * (at - before) for (at, rate), before in zip(result["timeline"], [0] + times))
    assert done <= result["operations"] * 1.001
    assert result["steady"]["runs_judged"] <= 3
    assert result["steady"]["runs_steady"] <= result["steady"]["runs_judged"]

# HdrHistogram's percentile text: four columns, the last line without the fourth, then the summary.
for result in data["results"]:
    text = open(f"all.hgrm.{result['engine']}-{result['workload']}-1").read().split("\n")
    assert text[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"], text[0]
    assert text[1] == ""
    body = [line for line in text[2:] if line and not line.startswith("#")]
    foot = [line for line in text[2:] if line.startswith("#")]
    columns = [[float(word) for word in line.split()] for line in body]
    assert all(len(line) == 4 for line in columns[:-1]) and len(columns[-1]) == 3
    values, parts, counts = ([line[i] for line in columns] for i in range(3))
    assert values == sorted(values) and parts == sorted(parts) and counts == sorted(counts)
    assert parts[0] == 0.0 and parts[-1] == 1.0
    total = sum(kind["count"] for kind in result["latency_by_kind_ns"].values())
    assert counts[-1] == total
    for value, part, count, inverse in columns[:-1]:
        assert count >= part * total - 1, (part, count, total)
        assert abs(inverse - 1 / (1 - part)) <= 0.01 * inverse + 0.01
    assert len(foot) == 3 and foot[0].startswith("#[Mean    = ") and \
        foot[1].startswith("#[Max     = ") and foot[2].startswith("#[Buckets = ")
    assert f"Total count    = {total:12d}]" in foot[1], foot

# Plots: XML, by themselves, a line per engine with its points inside the drawing.
for workload in ("ycsb-a", "multiget"):
    for kind in ("latency", "throughput"):
        page = xml.dom.minidom.parse(f"all-{workload}-1-{kind}.svg")
        root = page.documentElement
        assert root.tagName == "svg"
        width, height = (float(word) for word in root.getAttribute("viewBox").split()[2:])
        lines = page.getElementsByTagName("polyline")
        assert len(lines) == 2, len(lines)
        for line in lines:
            points = [tuple(map(float, point.split(",")))
                      for point in line.getAttribute("points").split()]
            assert len(points) >= 5
            assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
            assert [x for x, _ in points] == sorted(x for x, _ in points)
            if kind == "latency":  # it does not fall to the right
                assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)
        names = [text.firstChild.data for text in page.getElementsByTagName("text")]
        assert "warp" in names and "bound" in names
        source = open(f"all-{workload}-1-{kind}.svg").read()
        assert "href" not in source and "<script" not in source and "url(" not in source
END
holds "JSON, CSV, percentiles and plots agree" python3 agree.py
holds "the table has the interval" grep -q '^  95 % interval  *[0-9.]*-[0-9.]*' out.txt
expect 0 "CSV to standard output" --workload ycsb-c --records 100 --operations 100 \
    --durability memory --csv -
holds "is nothing but CSV" test "$(wc -l <out.txt)" -eq 2
expect 3 "no place for a plot" --workload ycsb-c --records 100 --operations 100 \
    --durability memory --plot nowhere/plot
expect 3 "no place for CSV" --workload ycsb-c --records 100 --operations 100 \
    --durability memory --csv nowhere/all.csv

# Verdicts, of results whose repeats are written by hand.
python3 - <<'END'
import json
data = json.load(open("all.json"))
def made(name, factor, spread, repeats=5):
    copy = json.loads(json.dumps(data))
    for result in copy["results"]:
        base = 100000.0 * factor
        rates = [base * (1 + spread * step / 2) for step in (-2, -1, 0, 1, 2)][:repeats]
        result["operations_per_second_repeats"] = rates
        result["operations_per_second"] = base
    json.dump(copy, open(name, "w"))
made("base.json", 1.0, 0.02)
made("same.json", 1.005, 0.02)
made("fast.json", 1.3, 0.02)
made("slow.json", 0.8, 0.02)
made("slightly.json", 0.97, 0.002)
made("noisy.json", 0.9, 0.4)
made("two.json", 0.5, 0.02, 2)
copy = json.load(open("base.json"))
copy["results"] = [row for row in copy["results"] if row["engine"] == "bound"]
json.dump(copy, open("bound.json", "w"))
copy["results"] = [dict(row, engine="other") for row in copy["results"]]
json.dump(copy, open("other.json", "w"))
END
expect 0 "faster is no failure" --compare base.json fast.json &&
    holds "and said" grep -q "verdict: the second is faster" out.txt
expect 1 "slower is one" --compare base.json slow.json &&
    holds "and said, in each row" test "$(grep -c 'verdict: the second is SLOWER' out.txt)" -eq 4 &&
    holds "with the ratio" grep -q "rate, second/first: 0.800x" out.txt &&
    holds "and counted" grep -q "^slower: 4 of 4" out.txt
expect 0 "the same is no failure" --compare base.json same.json &&
    holds "nor a difference" grep -q "verdict: no clear difference" out.txt
expect 0 "noise is no verdict" --compare base.json noisy.json
expect 1 "3 % with little noise is slower" --compare base.json slightly.json
expect 0 "unless it is tolerated" --compare base.json slightly.json --tolerance 5
expect 1 "what is tolerated has its bound" --compare base.json slow.json --tolerance 5
expect 0 "two repeats are no verdict" --compare base.json two.json &&
    holds "and said to be none" grep -q "no verdict" out.txt
expect 0 "rows that are missing do not count" --compare base.json bound.json &&
    holds "but those that are there" grep -q "^slower: none of 2" out.txt
expect 1 "nothing in common is a failure" --compare base.json other.json
expect 2 "a tolerance is a number" --compare base.json slow.json --tolerance much

# A rate by steps.
expect 0 "a rate by steps" --workload readrandom --records 1000 --durability memory \
    --rate step:500-2000/4 --duration-s 2 --json steps.json &&
    holds "has its steps" python3 -c '
import json, sys
data = json.load(open("steps.json"))
result = data["results"][0]
steps = result["steps"]
assert data["configuration"]["arrivals"] == "step"
assert [step["rate"] for step in steps] == [500, 1000, 1500, 2000], steps
# Half a second each; what was due is done, whatever the machine does meanwhile. What was due last may
# not be, if it was due while this machine did something else.
for step in steps[:-1]:
    assert abs(step["operations"] - step["rate"] / 2) <= 0.02 * step["rate"] + 2, steps
assert 300 <= steps[-1]["operations"] <= 1010, steps
for step in steps:
    assert step["p50"] <= step["p99"] <= step["p99_9"] <= step["max"]
assert sum(step["operations"] for step in steps) == result["operations"]' &&
    holds "and they are shown" grep -q '^ *2000  warp: ' out.txt
expect 0 "steps down, by sessions of two threads" --workload ycsb-a --records 1000 --threads 2 \
    --depth 16 --durability memory --rate step:3000-1000/2 --duration-s 1 --json down.json &&
    holds "go down" python3 -c '
import json
first, second = json.load(open("down.json"))["results"][0]["steps"]
assert first["rate"] == 3000 and second["rate"] == 1000
assert first["operations"] > 2 * second["operations"] > 0'
for rate in step:500 step:500-1000 step:500-1000/0 step:500-1000/33 step:0-1000/2 step:5-10/2x; do
    expect 2 "refused: $rate" --rate $rate
done

# The search for a rate. A bound that everything meets ends near what the engine can do; one that
# nothing meets ends, too, and says so.
expect 0 "a rate is looked for" --workload readrandom --records 1000 --durability memory \
    --limit-p99-us 5000000 --duration-s 0.2 --json limit.json --csv limit.csv &&
    holds "and found" python3 -c '
import json
data = json.load(open("limit.json"))
result = data["results"][0]
limit = result["limit"]
trials = limit["trials"]
assert data["configuration"]["limit_p99_ns"] == 5000000000
assert trials[0]["rate"] == 0 and trials[0]["measured"] == limit["capacity"] > 0
met = [trial["rate"] for trial in trials if trial["met"]]
assert limit["operations_per_second"] == max(met) > 0
missed = [trial["rate"] for trial in trials[1:] if not trial["met"]] + [limit["capacity"]]
assert max(met) < min(missed)
assert all(trial["p99"] <= 5000000000 for trial in trials if trial["met"])' &&
    holds "and told" grep -q "highest rate that met a p99" out.txt
expect 3 "a bound that nothing meets" --workload readrandom,multiget --records 1000 \
    --durability memory --limit-p99-us 0.001 --duration-s 0.05 --json none.json &&
    holds "is said, for both" test "$(grep -c 'no rate meets a p99' err.txt)" -eq 2
expect 2 "a fill can be had only once" --workload fillrandom --limit-p99-us 100
expect 2 "a rate that is given is not looked for" --limit-p99-us 100 --rate 1000
expect 2 "operations have no steps" --rate step:10-20/2 --operations 100

# What goes before a run ends when its rate is steady, or when its time is over.
expect 0 "a steady rate is waited for" --workload readrandom:0.3 --records 1000 \
    --durability memory --lead-s steady:20 --json steady.json &&
    holds "for at least twenty looks" python3 -c '
import json
result = json.load(open("steady.json"))["results"][0]
assert 1.9 <= result["lead_s"] <= 21, result["lead_s"]
assert result["measured_s"] >= 0.3'
expect 2 "steady is followed by seconds" --lead-s steady:x
expect 2 "or by nothing" --lead-s steadyx

# The status line is for terminals.
expect 0 "no terminal" --workload readrandom:1.2 --records 1000 --durability memory
holds "no status line" test ! -s err.txt
cat >terminal.py <<'END'
import os, pty, subprocess, sys
parent, child = pty.openpty()
run = subprocess.Popen(sys.argv[1:], stderr=child, stdout=subprocess.DEVNULL)
os.close(child)
seen = b""
while True:
    try:
        part = os.read(parent, 4096)
    except OSError:
        break
    if not part:
        break
    seen += part
assert run.wait() == 0
assert b"\r" in seen and b"loading" in seen, seen
assert b"thousand/s" in seen and b"\n" not in seen, seen
END
holds "a terminal has one line, with the rate" python3 terminal.py "$warp" bench \
    --workload readrandom:3.5 --records 1000 --durability memory

echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
