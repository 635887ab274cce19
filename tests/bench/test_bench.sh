#!/bin/sh
# Tests `warp bench`: tests/bench/test_bench.sh PATH-TO-WARP
#
# Tiny runs of every workload on every engine of the build, then that planted wrong data is
# found, that the JSON is JSON and says the same as the table, and that bad flags are refused.
set -u

warp=${1:-${WARP:-build/warp}}
case $warp in
    /*) ;;
    *) warp=$(pwd)/$warp ;;
esac
if [ ! -x "$warp" ]; then
    echo "test_bench.sh: no program at $warp" >&2
    exit 1
fi
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT INT TERM
cd "$scratch" || exit 1

passed=0
failed=0

pass() {
    passed=$((passed + 1))
}

fail() {
    failed=$((failed + 1))
    echo "FAILED: $*"
    tail -n 3 out.txt err.txt 2>/dev/null
}

# expect STATUS SENTENCE ARGUMENTS...: run `warp bench ARGUMENTS` and compare the exit status.
expect() {
    wanted=$1
    sentence=$2
    shift 2
    timeout 120 "$warp" bench "$@" >out.txt 2>err.txt
    got=$?
    if [ "$got" -eq "$wanted" ]; then
        pass
    else
        fail "$sentence: exit $got, not $wanted (bench $*)"
        return 1
    fi
}

holds() {
    sentence=$1
    shift
    if "$@" >/dev/null 2>&1; then
        pass
    else
        fail "$sentence"
    fi
}

# The other peers have a test of their own, test_peers.sh.
engines=$("$warp" bench --help | sed -n 's/.*Engines in this build: //p' | tr ' ' '\n' |
    grep -xE 'warp|bound|rocksdb|lmdb' | tr '\n' ' ')
for engine in $engines; do
    list=${list:+$list,}$engine
done
workloads=$("$warp" bench --help | sed -n '/--workload/,/--records/p' |
    sed -n 's/^      \([a-z][a-z-]*\) .*/\1/p')
if [ -z "${list:-}" ] || [ -z "$workloads" ]; then
    echo "FAILED: --help names no engines or no workloads"
    echo "0 passed, 1 failed"
    exit 1
fi

# Every workload on every engine, blocking, one and two threads, every byte checked.
for workload in $workloads; do
    for threads in 1 2; do
        expect 0 "$workload runs on $list with $threads threads" --engine "$list" \
            --workload "$workload" --threads $threads --records 2000 --operations 2000 \
            --durability memory --verify full --lines lines.tsv &&
            holds "$workload: every engine's row is right" \
                test "$(tail -n "$(echo "$engines" | wc -w)" lines.tsv | cut -f8 | sort -u)" = ok
    done
done

# The durability levels; few operations, for each may wait for the disk.
for level in memory interval commit; do
    expect 0 "$level runs" --engine "$list" --workload ycsb-a --records 500 --operations 200 \
        --threads 2 --durability $level --verify full
done

# Sessions: warp with requests in flight, peers with blocking calls, said so.
for workload in ycsb-a ycsb-d ycsb-f overwrite fillrandom deleterandom readrandom; do
    expect 0 "$workload runs in a session" --workload $workload --records 2000 \
        --operations 4000 --depth 64 --threads 2 --durability memory --verify full
done
expect 0 "a session of one thread knows each version" --workload ycsb-a --records 200 \
    --operations 20000 --depth 256 --durability interval --verify full
expect 0 "a deep session at commit runs" --workload put --records 2000 --operations 20000 \
    --depth 1024 --durability commit --verify full
# Little's law: rate times latency is how many were in flight on average.
expect 0 "a session keeps its depth" --workload put --records 2000 --depth 1024 \
    --duration-s 0.5 --durability commit --lines depth.tsv &&
    holds "1024 asked for is more than 600 in flight" \
        awk -F '\t' '{ exit !($9 * $12 / 1e9 > 600 && $9 * $12 / 1e9 < 1100) }' depth.tsv
expect 0 "peers without sessions run blocking" --engine "$list" --workload ycsb-b \
    --records 500 --operations 500 --depth 8 --durability memory

# Groups, odd sizes, distributions, key forms.
for workload in fillseq fillrandom overwrite multiget; do
    expect 0 "$workload in groups of 7" --engine "$list" --workload $workload --records 2000 \
        --operations 2100 --batch 7 --threads 2 --durability memory --verify full
done
for bytes in 1 7 8 9 23 24 25 4096 1048576; do
    expect 0 "values of $bytes bytes" --engine "$list" --workload ycsb-f --records 20 \
        --operations 100 --value-bytes $bytes --durability memory --verify full
done
for bytes in 1 2 7 8 17 100 500; do
    expect 0 "keys of $bytes bytes" --engine "$list" --workload ycsb-d --records 50 \
        --operations 100 --key-bytes $bytes --durability memory --verify full
done
for distribution in uniform zipfian latest hotspot; do
    expect 0 "$distribution runs" --workload ycsb-a --distribution $distribution \
        --records 1000 --operations 3000 --durability memory --verify full
done
expect 0 "one record is enough" --engine "$list" --workload ycsb-a --records 1 \
    --operations 100 --durability memory --verify full
expect 0 "decimal keys run" --engine "$list" --workload ycsb-a --key-form decimal \
    --records 1000 --operations 1000 --durability memory --verify full

# Open loop.
expect 0 "a fixed rate is kept" --workload readrandom --records 1000 --rate 2000 \
    --duration-s 0.5 --durability memory --lines rate.tsv &&
    holds "a fixed rate of 2000 gives about 2000" \
        awk -F '\t' '{ exit !($9 > 1500 && $9 < 2500) }' rate.tsv
expect 0 "a poisson rate runs with threads" --workload ycsb-a --records 1000 \
    --rate poisson:2000 --threads 2 --duration-s 0.3 --durability memory
expect 0 "a rate runs in a session" --workload ycsb-a --records 1000 --rate poisson:2000 \
    --depth 16 --duration-s 0.3 --durability memory

# What is planted must be found, by every engine's run.
for engine in $engines; do
    for corruption in owner edge length missing; do
        expect 1 "$engine: $corruption is found" --engine "$engine" --workload readrandom \
            --records 200 --operations 2000 --durability memory --corrupt-one $corruption
        expect 1 "$engine: $corruption is found by multi-gets" --engine "$engine" \
            --workload multiget --records 200 --operations 2000 --durability memory \
            --corrupt-one $corruption
    done
    for corruption in middle stale; do
        expect 1 "$engine: $corruption is found by the full check" --engine "$engine" \
            --workload readrandom --records 200 --operations 2000 --durability memory \
            --verify full --corrupt-one $corruption
    done
done
for corruption in owner edge length missing; do
    expect 1 "$corruption is found in a session" --workload readrandom --records 200 \
        --operations 2000 --depth 32 --durability memory --corrupt-one $corruption
done
holds "the first fault is described" grep -q "wrong data: warp, record 0" err.txt

# JSON, comparison, percentiles.
expect 0 "JSON is written" --engine "$list" --workload ycsb-a,readrandom --threads 1,2 \
    --records 1000 --operations 2000 --repeat 3 --durability memory --json a.json --hgrm a.hgrm
rows=$(($(echo "$engines" | wc -w) * 4))
if command -v python3 >/dev/null 2>&1; then
    cat >check.py <<'END'
import json, sys
data = json.load(open("a.json"))
assert data["version"] == 1 and data["tool"] == "warp bench"
assert data["configuration"]["records"] == 1000
assert data["environment"]["cpus"] >= 1
assert len(data["results"]) == int(sys.argv[1]), len(data["results"])
for row in data["results"]:
    assert row["failed"] is False
    assert len(row["operations_per_second_repeats"]) == 3
    assert row["operations_per_second"] == sorted(row["operations_per_second_repeats"])[1]
    assert row["operations"] == 6000
    latency = row["latency_ns"]
    order = [latency[name] for name in ("p50", "p90", "p99", "p99_9", "p99_99", "max")]
    assert order == sorted(order), order
    assert sum(kind["count"] for kind in row["latency_by_kind_ns"].values()) == 6000
    assert row["key_value_bytes"] == 116000
    assert row["verified"]["right"] > 0 and row["verified"]["mismatched"] == 0
END
    holds "the JSON says what was asked for" python3 check.py $rows
fi
expect 0 "two results compare" --compare a.json a.json
holds "the comparison says there is no difference" grep -q "no clear difference" out.txt
holds "percentile text ends with its summary" \
    grep -q '^#\[Max     = ' a.hgrm.warp-ycsb-a-1
holds "one percentile file per row" test "$(ls a.hgrm.* | wc -l)" -eq $rows
expect 0 "JSON to standard output" --workload ycsb-c --records 100 --operations 100 \
    --durability memory --json -
holds "which is nothing but JSON" test "$(head -c 1 out.txt)" = "{"
echo '{"results": [' >broken.json
expect 3 "a broken result is refused" --compare a.json broken.json
expect 3 "a missing result is refused" --compare a.json none.json
echo '{"version": 99, "results": []}' >newer.json
expect 3 "a newer result is refused" --compare a.json newer.json

# Nothing stays behind.
holds "the databases are gone" test ! -e warp-bench
mkdir mine && touch mine/precious
expect 0 "a directory of somebody else's is used" --path mine --workload ycsb-c --records 100 \
    --operations 100 --durability memory
holds "and left as it was" test "$(ls mine)" = precious
expect 0 "--keep keeps" --path kept --keep --workload ycsb-c --records 100 --operations 100 \
    --durability memory
holds "the database" test -d "$(echo kept/run-*/warp-0)"
if [ "$(id -u)" -ne 0 ]; then
    mkdir closed && chmod 500 closed
    expect 3 "a directory without permission is an error" --path closed --operations 10
fi
expect 3 "a path that is a file is an error" --path mine/precious --operations 10

# Usage.
expect 0 "help" --help
expect 2 "an unknown flag" --bogus
expect 2 "an unknown workload" --workload nonesuch
expect 2 "scans are not there yet" --workload ycsb-e
expect 2 "an unknown engine" --engine nonesuch
expect 2 "an engine twice" --engine warp,warp
expect 2 "an empty list" --engine warp,
expect 2 "no records" --records 0
expect 2 "a number with rubbish" --records 10x
expect 2 "a negative number" --operations -5
expect 2 "no threads" --threads 0
expect 2 "theta of 1" --theta 1
expect 2 "a bad rate" --rate poisson:
expect 2 "an unknown level" --durability eventually
expect 2 "an unknown distribution" --distribution normal
expect 2 "a stray argument" ycsb-a
expect 2 "reads in batches" --workload ycsb-a --batch 8
expect 2 "a session of multi-gets" --workload multiget --depth 8
expect 2 "keys too short for the records" --key-bytes 1 --records 1000
expect 2 "keys too short for what is inserted" --workload ycsb-d --key-bytes 2 --duration-s 1
expect 2 "one file to compare" --compare a.json
expect 2 "an unknown check" --verify=perhaps
expect 2 "an unknown policy" --cache-policy mru
expect 2 "no such ratio" --compression-ratio 0
expect 2 "no seconds behind a workload" --workload ycsb-a:
expect 2 "a share above the whole" --background-permille 1001
expect 2 "an unknown upkeep" --upkeep never
expect 2 "an unknown set-up" --rocksdb fast
expect 2 "a set-up that needs another" --rocksdb lz4
expect 2 "a kept database of two engines" --database d --engine warp,bound
expect 2 "a kept database that is filled" --database d --workload fillrandom
expect 2 "a kept database that grows" --database d --workload ycsb-d
expect 3 "a group that is not there" --cgroup nowhere --records 100 --operations 10 &&
    holds "is named" grep -q "nowhere/cgroup.procs" err.txt
for policy in fifo clock sieve; do
    expect 0 "policy $policy" --cache-policy $policy --records 100 --operations 100 --durability memory &&
        holds "$policy is told" grep -q "cache $policy" out.txt
done

# Values that do not fit the memory: what was read from disk is told, in the table and in the JSON.
# Values leave memory once they are durable, so all of them are.
for policy in s3fifo lru; do
    expect 0 "reads beyond memory with $policy" --workload get --records 30000 --value-bytes 2000 \
        --memory-bytes 48M --operations 5000 --durability commit --cache-policy $policy \
        --warmup-s 0 --json tiers.json &&
        holds "$policy: the table tells of cold gets" grep -q '^cold gets per op  *0\.[0-9]*[1-9]' out.txt &&
        holds "$policy: and the JSON" python3 -c 'import json, sys
d = json.load(open("tiers.json")); t = d["results"][0]["tiers"]
sys.exit(not (d["configuration"]["cache_policy"] == "'$policy'" and 0 < t["hit_ratio"] < 1 and
              t["cold_gets_per_operation"] > 0 and t["disk_reads"] > 0))'
done

# A workload has its own seconds, and is led into without being measured; the values are random, so
# that every check has to recompute them.
expect 0 "its own seconds" --records 1000 --workload ycsb-a:0.2,get:0.1 --lead-s 0.1 --verify full \
    --compression-ratio 0.5 --durability memory --json own.json &&
    holds "are kept to" python3 -c 'import json, sys
d = json.load(open("own.json")); a, b = d["results"]
sys.exit(not (0.2 <= a["measured_s"] < 30 and 0.1 <= b["measured_s"] < 30 and
              a["measured_s"] != b["measured_s"] and d["configuration"]["compression_ratio"] == 0.5 and
              d["configuration"]["lead_s"] == 0.1))'

# Samples: at least one at each end, of the load and of the run, with what the engine says.
for engine in $engines; do
    rm -f samples.jsonl
    expect 0 "samples of $engine" --engine "$engine" --records 2000 --workload overwrite:0.2 \
        --durability memory --samples samples.jsonl --json sampled.json &&
        holds "are right for $engine" python3 -c 'import json, sys
lines = [json.loads(line) for line in open("samples.jsonl")]
result = json.load(open("sampled.json"))["results"][0]
runs = [line for line in lines if line["workload"] == "overwrite"]
disk = "'"$engine"'" != "bound"
sys.exit(not (len([line for line in lines if line["workload"] == "load"]) >= 2 and len(runs) >= 2 and
              runs[-1]["operations"] > 0 and runs[-1]["rss_bytes"] > 1000000 and
              (not disk or runs[-1]["disk_bytes"] > 0) and
              result["watch"]["samples"] == len(runs) and
              result["watch"]["disk_bytes_max"] == max(line["disk_bytes"] for line in runs) and
              result["put_bytes"] == 116 * result["operations"] and
              ("'"$engine"'" != "warp" or "warp_background_pressure" in runs[-1]) and
              ("'"$engine"'" != "rocksdb" or "rocksdb.block-cache-usage" in runs[-1])))'
done
expect 3 "samples that cannot be written" --records 100 --operations 10 --samples nowhere/samples

# The device's own probe; a file system without O_DIRECT is told.
timeout 120 "$warp" bench --records 1000 --workload put:0.3 --durability memory --probe \
    --json probed.json >out.txt 2>err.txt
got=$?
if [ $got -eq 3 ] && grep -q "O_DIRECT" err.txt; then
    pass
else
    holds "the probe counts" test $got -eq 0
    holds "reads and writes" python3 -c 'import json, sys
result = json.load(open("probed.json"))["results"][0]; device = result["device"]
sys.exit(not (device["read_ns"]["count"] > 0 and device["write_sync_ns"]["count"] > 0 and
              device["failed"] == 0 and result["unexplained_over_limit"] <= result["slow"]["over_limit"]))'
    holds "and says so" grep -q "write + sync max, ms" out.txt
fi

# A database that stays is loaded once, and not mistaken for another.
for engine in $engines; do
    [ "$engine" = bound ] && continue
    expect 0 "a database is loaded" --engine "$engine" --database "kept-$engine" --records 500 \
        --workload ycsb-a --operations 1000 --durability memory &&
        holds "by $engine" grep -q "^load, $engine: 500 records" out.txt
    expect 0 "and used again" --engine "$engine" --database "kept-$engine" --records 500 \
        --workload ycsb-a --operations 1000 --durability memory --verify full --json again.json &&
        holds "without loading $engine" python3 -c 'import json, sys
d = json.load(open("again.json")); r = d["results"][0]
sys.exit(not (d["configuration"]["existing"] and r["load_records"] == 0 and
              r["verified"]["right"] >= 500 and r["verified"]["missing"] == 0))'
    expect 3 "but not for other records" --engine "$engine" --database "kept-$engine" --records 501 \
        --workload ycsb-a --operations 10
    holds "it stays" test -d "kept-$engine"
done
mkdir strange
expect 3 "a directory without a note of its load is left alone" --database strange --records 10 \
    --operations 10

# Upkeep while others work, with and without a budget; asked: none by itself.
expect 0 "upkeep is forced" --records 2000 --workload ycsb-a:0.5 --durability memory --upkeep forced \
    --background-permille 1000 --samples kept.jsonl --json kept.json &&
    holds "round after round" python3 -c 'import json, sys
result = json.load(open("kept.json"))["results"][0]
last = [json.loads(line) for line in open("kept.jsonl")][-1]
sys.exit(not (result["upkeep_rounds"] > 0 and last["warp_checkpoints_total"] > 0 and
              "background 1000 permille" in result["engine_settings"]))'
expect 0 "upkeep is not asked for" --records 2000 --workload overwrite:0.5 --durability memory \
    --upkeep asked --samples asked.jsonl --json asked.json &&
    holds "and does not come" python3 -c 'import json, sys
last = [json.loads(line) for line in open("asked.jsonl")][-1]
sys.exit(not (last["warp_checkpoints_total"] == 0 and last["warp_compaction_runs_total"] == 0))'

# RocksDB for more data than memory.
case $engines in
    *rocksdb*)
        for words in tiered tiered,direct-reads,direct-writes,lz4,log tiered,lz4,zstd tiered,zstd; do
            expect 0 "rocksdb $words" --engine rocksdb --rocksdb $words --records 20000 \
                --value-bytes 1000 --memory-bytes 24M --workload ycsb-a --operations 5000 \
                --durability memory --compression-ratio 0.5 &&
                holds "$words is told" grep -q "tiered: block cache" out.txt
        done
        ;;
esac

# A hot spot that moves, and values of many sizes, with what can go wrong in them.
expect 0 "a hot spot moves" --workload hotspot-shift --records 20000 --shards 4 --shift-s 0.05 \
    --hot-share 0.9 --duration-s 0.3 --durability memory --verify full
expect 0 "all is hot, in a session" --workload hotspot-shift --records 20000 --shift-s 0.05 \
    --hot-share 1 --operations 20000 --depth 16 --durability memory --verify full
for corruption in owner edge middle length missing; do
    expect 1 "$corruption is found among mixed sizes" --workload mixed-size --records 300 \
        --operations 20000 --durability memory --verify full --corrupt-one $corruption
done
expect 0 "mixed sizes in a session" --workload mixed-size --records 2000 --operations 5000 \
    --depth 16 --durability memory --verify full --compression-ratio 0.5
expect 0 "sizes of a range" --engine "$list" --workload ycsb-a,ycsb-f --value-bytes 40-5000 \
    --records 500 --operations 3000 --durability memory --verify full --json range.json &&
    holds "are about in the middle" python3 -c 'import json
for row in json.load(open("range.json"))["results"]:
    assert 2300 < row["key_value_bytes"] / 500 - 16 < 2740, row["key_value_bytes"]'
for corruption in owner edge middle length missing; do
    expect 1 "$corruption is found in a range" --workload readrandom --value-bytes 40-5000 \
        --records 100 --operations 2000 --durability memory --verify full --corrupt-one $corruption
done
expect 2 "a range goes upward" --value-bytes 100-50
expect 2 "a range has an end" --value-bytes 100-
expect 2 "a workload with sizes of its own" --workload mixed-size --value-bytes 10-20
expect 2 "mixed sizes share no database" --workload mixed-size,ycsb-a
expect 2 "mixed sizes are not too large" --workload mixed-size --value-bytes 100K
expect 2 "a share is at most 1" --workload hotspot-shift --hot-share 1.5
expect 2 "a shift takes time" --workload hotspot-shift --shift-s 0

# Many shards, played: the table, a trace, and the plot.
expect 0 "gravity prints its table" gravity --shards 1,4 --theta 0,1.2 --records 10000 \
    --epoch-operations 2000 &&
    holds "a row for each" test "$(grep -c '^| zipf 1.2 |\|^| uniform |' out.txt)" -eq 4
printf '\000\000\000\000\001\000\000\000\000\000\000\000' >trace.u32
expect 0 "gravity plays a trace" gravity --shards 4 --trace trace.u32 --epoch-operations 1000 &&
    holds "its row" grep -q '^| trace | 4 | ' out.txt
printf 'no' >trace.u32
expect 3 "what is no trace is refused" gravity --shards 4 --trace trace.u32
expect 0 "hotspot-shift draws" hotspot-shift --shards 4 --duration-s 2 --shift-s 1 \
    --epoch-operations 2000 --plot plot.svg &&
    holds "an SVG" grep -q '^<svg ' plot.svg &&
    holds "gravity off" grep -q 'gravity off: lambda' out.txt
expect 3 "no plot without a place" hotspot-shift --duration-s 0.3 --epoch-operations 100 \
    --plot nowhere/plot.svg
expect 0 "gravity in the engine, even work" gravity --engine --part even --records 20000 --rounds 1 \
    --path "$PWD" && holds "even work" grep -q 'slots moved' out.txt
expect 0 "gravity in the engine, readers" gravity --engine --part readers --records 20000 --rounds 1 \
    --run-ms 150 --path "$PWD" && holds "readers" grep -q 'moves a second' out.txt
expect 0 "gravity in the engine helps" gravity --engine --help
expect 0 "wormholes compete" wormholes --records 5000 --large-records 5000 --rounds 1 --run-ms 20 \
    --operations 2000 \
    --path "$PWD" && holds "wormholes" grep -q 'of [0-9]* aims reached' out.txt
expect 0 "wormholes helps" wormholes --help
holds "nothing is left" test -z "$(ls -d wormholes-* gravity-[0-9]* 2>/dev/null)"
for words in "gravity --engine --part x" "gravity --engine --rounds 0" "gravity --engine --runs" \
    "gravity --engine x" "wormholes --part reads,x" "wormholes --records x" "wormholes x" "wormholes --what"; do
    # shellcheck disable=SC2086
    expect 2 "refused: $words" $words
done
expect 3 "wormholes without a place" wormholes --part put --path /nonexistent
expect 0 "gravity helps" gravity --help
expect 0 "entanglement is compared" entangle --aggregates 60 --visits 300 --runs 1 --memory-mib 16 \
    --value-bytes 8000 --path here && {
    holds "in both orders" grep -q '^shuffled: ' out.txt
    holds "with medians" grep -q 'medians: misses' out.txt
    holds "the database is taken away" test ! -e here
}
printf '\000\000\000\000\001\000\000\000\000\000\000\000' >numbers.u32
expect 0 "entanglement plays a trace" entangle --trace numbers.u32 --runs 1 --order as-is --value-bytes 100 \
    --path here
expect 3 "no trace, no run" entangle --trace nothing.u32
expect 0 "entangle helps" entangle --help
for words in "entangle --theta 1" "entangle --objects 1" "entangle --order up" "entangle --runs 1.5" \
    "entangle what" "entangle --nothing"; do
    # shellcheck disable=SC2086
    expect 2 "bad flags are refused" $words
done
for words in "gravity --shards 65" "gravity --shards 0" "gravity --shards 2.5" "gravity --theta x" \
    "gravity --plot x" "gravity what" "hotspot-shift --shards 1" "hotspot-shift --theta 1" \
    "hotspot-shift --hot-share 2" "hotspot-shift --duration-s 0" "gravity --nothing"; do
    # shellcheck disable=SC2086
    expect 2 "refused: $words" $words
done

echo "$passed passed, $failed failed"
test "$failed" -eq 0
