#!/bin/bash
# Tests the drivers of the peers that are optional (LevelDB, WiredTiger, SQLite, Berkeley DB) as
# test_bench.sh does those that are always there: tests/bench/test_peers.sh [PATH-TO-WARP]
#
# Every kind of work, one thread and several, every level of durability, sizes of keys and values,
# groups, a database that stays, samples; and that planted damage is found in each of them.
set -u
warp=${1:-${WARP:-build/warp}}
[[ $warp = /* ]] || warp=$PWD/$warp
if [[ ! -x $warp ]]; then
    echo "test_peers.sh: no program at $warp" >&2
    exit 1
fi
engines=$("$warp" bench --help | sed -n 's/.*Engines in this build: //p' | tr ' ' '\n' |
    grep -vxE 'warp|bound|rocksdb|lmdb')
if [[ -z $engines ]]; then
    echo "this build has none of them (tools/install-packages.sh bench)"
    exit 77
fi
list=$(paste -sd, <<<"$engines")
count=$(wc -l <<<"$engines")
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
    tail -n 3 out.txt err.txt 2>/dev/null
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
    if "$@" >/dev/null 2>&1; then good; else bad "$sentence"; fi
}

# One thread knows which version each read must return; several contend.
expect 0 "mixes by one thread" --engine "$list" \
    --workload ycsb-a,ycsb-d,ycsb-f,mixed,overwrite,readrandom,multiget,fillseq,fillrandom,deleterandom \
    --records 1000 --operations 2000 --durability memory --verify full --warmup-s 0.1
expect 0 "mixes by three threads" --engine "$list" \
    --workload ycsb-a,ycsb-d,ycsb-f,readwhilewriting,multiget,fillrandom,deleterandom \
    --records 1000 --operations 3000 --threads 3 --durability memory --verify full --warmup-s 0.1
# Few records and many writers: conflicts, deadlocks and victims.
expect 0 "four threads on eight records" --engine "$list" --workload ycsb-f,ycsb-a,overwrite \
    --records 8 --operations 4000 --threads 4 --durability memory --verify full --warmup-s 0.1
for level in interval commit; do
    expect 0 "$level" --engine "$list" --workload ycsb-a,fillrandom --records 300 --operations 200 \
        --threads 2 --durability $level --verify full --warmup-s 0.1
done
holds "commit is told of each" test "$(grep -cE '^(leveldb|wiredtiger|sqlite|bdb) .*(sync|FULL)' out.txt)" -eq "$count"
for workload in overwrite fillrandom multiget; do
    expect 0 "$workload in groups of 7" --engine "$list" --workload $workload --records 500 \
        --operations 1050 --batch 7 --threads 2 --durability memory --verify full --warmup-s 0.1
done
for bytes in 1 8 25 4096 300000; do
    expect 0 "values of $bytes bytes" --engine "$list" --workload ycsb-f --records 20 \
        --operations 60 --value-bytes $bytes --durability memory --verify full --warmup-s 0.1
done
for bytes in 1 7 100 500; do
    expect 0 "keys of $bytes bytes" --engine "$list" --workload ycsb-d --records 50 \
        --operations 100 --key-bytes $bytes --durability memory --verify full --warmup-s 0.1
done
expect 0 "sizes of a range" --engine "$list" --workload ycsb-a,multiget --value-bytes 1-3000 \
    --records 300 --operations 1000 --durability memory --verify full --warmup-s 0.1
expect 0 "a small memory" --engine "$list" --workload ycsb-a --records 20000 --value-bytes 1000 \
    --operations 3000 --memory-bytes 24M --durability memory --verify full --warmup-s 0.1

for engine in $engines; do
    for corruption in owner edge length missing; do
        expect 1 "$engine: $corruption is found" --engine "$engine" --workload readrandom \
            --records 100 --operations 1000 --durability memory --corrupt-one $corruption --warmup-s 0
        expect 1 "$engine: $corruption is found by multi-gets" --engine "$engine" \
            --workload multiget --records 100 --operations 1000 --durability memory \
            --corrupt-one $corruption --warmup-s 0
    done
    for corruption in middle stale; do
        expect 1 "$engine: $corruption is found by the full check" --engine "$engine" \
            --workload ycsb-f --records 100 --operations 1000 --durability memory \
            --verify full --corrupt-one $corruption --warmup-s 0
    done
    expect 0 "a database is loaded" --engine "$engine" --database "kept-$engine" --records 500 \
        --workload ycsb-a --operations 1000 --durability interval &&
        holds "by $engine" grep -q "^load, $engine: 500 records" out.txt
    expect 0 "and used again" --engine "$engine" --database "kept-$engine" --records 500 \
        --workload ycsb-a --operations 1000 --durability interval --verify full \
        --samples "$engine.samples" &&
        holds "without loading $engine" bash -c '! grep -q "^load, " out.txt' &&
        holds "its samples have its files" python3 -c '
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert lines[-1]["disk_bytes"] > 0 and lines[-1]["operations"] > 0' "$engine.samples"
    expect 3 "but not for other records" --engine "$engine" --database "kept-$engine" --records 501 \
        --workload ycsb-a --operations 10
done
holds "nothing is left" test ! -e warp-bench

echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
