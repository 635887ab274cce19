#!/bin/bash
# The standard comparison, in a minute instead of twenty, and the comparison with db_bench, in seconds:
# that they run, and write what they promise. tests/bench/test_report.sh [PATH-TO-WARP]
set -u
warp=${1:-${WARP:-build/warp}}
[[ $warp = /* ]] || warp=$PWD/$warp
export WARP=$warp
if [[ ! -x $warp ]]; then
    echo "test_report.sh: no program at $warp" >&2
    exit 1
fi
root=$(cd "$(dirname "$0")/../.." && pwd)
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
    tail -n 5 out.txt 2>/dev/null
}
holds() {
    local sentence=$1
    shift
    if "$@" >why.txt 2>&1; then good; else bad "$sentence: $(tail -n 1 why.txt)"; fi
}

# With the bare table as the peer, which wins: so there are losses to tell.
REPORT_OUT=report REPORT_SECONDS=0.06 REPORT_RECORDS=1000 REPORT_REPEATS=2 REPORT_ENGINES="warp bound" \
    REPORT_KEEP=json timeout 110 "$root/bench/report.sh" >out.txt 2>&1
status=$?
# 1 ms may be too short a bound for a machine that does something else: then that part has no figures.
if [[ $status -eq 0 ]]; then good; else bad "the report: exit $status"; fi
for file in README.md interval.csv interval.txt interval-ycsb-a-1-latency.svg \
    interval-ycsb-a-1-throughput.svg fill.csv commit-overwrite-16-latency.svg session.csv open.csv limit.csv; do
    holds "$file is there" test -s "report/$file"
done
holds "every plot and file that it shows is there" bash -c '
    n=0
    for file in $(grep -o "]([a-z][^)/]*)" report/README.md | tr -d "]()"); do
        test -s "report/$file" || { echo "$file"; exit 1; }
        n=$((n + 1))
    done
    test $n -gt 20'
holds "the tables have a figure for each" bash -c '
    test "$(grep -c "^| ycsb-a, 1 | " report/README.md)" -ge 4 &&
    grep -q "^| overwrite, 16 | " report/README.md && grep -q "^| ycsb-a, 1 x 64 | " report/README.md &&
    ! grep "^| [a-z-]*, 1 |  |" report/README.md && grep -q "\*\*[0-9.]*\*\*" report/README.md'
holds "losses are told" grep -q '^- interval: readrandom, 1 thread(s): bound does [0-9.]* times as many' \
    report/README.md
holds "and the environment" grep -q '^disk  *\(durable 4 KiB write\|O_DIRECT is refused\)' report/README.md
holds "and the commands" test "$(grep -c '^warp bench --engine warp,bound ' report/README.md)" -eq 6
holds "without where it was" bash -c '! grep -rqF "$1" report' _ "$scratch"
holds "the JSON of each part is kept" test "$(ls json | wc -l)" -eq 6
holds "nothing else is left" bash -c '! ls -d report-* 2>/dev/null'

if command -v db_bench >/dev/null && "$warp" bench --help | grep -q 'in this build:.* rocksdb'; then
    TOLERANCE=1000000 timeout 110 "$root/bench/agree_db_bench.sh" 5000 1 >out.txt 2>&1
    status=$?
    if [[ $status -eq 0 ]]; then good; else bad "beside db_bench: exit $status"; fi
    holds "a figure for each" test "$(grep -cE '^\| (fillrandom|fillrandom beside filluniquerandom|readrandom) \| [0-9]+ \| [0-9]+ \| [0-9.]+ \|' out.txt)" -eq 3
fi

echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
