#!/bin/sh
# Redoes the performance table: bench/run_table.sh [RECORDS [REPEATS [SECONDS]]]
#
# WarpEngine beside RocksDB, LMDB and the bare hash, in one run, engines taking turns, medians
# of REPEATS. RECORDS (1000000) for the small rows, ten times as many for the big ones.
# WARP names the program, DIR where the databases go, ROWS picks rows:
#   ROWS="interval memory big commit session" (all of them; any subset)
# Prints each figure, its ratio to the peer, and the ratio or rate to reach. Five repeats of
# three seconds take about 20 minutes on two cores.
set -u

records=${1:-1000000}
repeats=${2:-5}
seconds=${3:-3}
warp=${WARP:-build/warp}
directory=${DIR:-./warp-bench-table}
rows=${ROWS:-interval memory big commit session}
peers=rocksdb,lmdb
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT INT TERM
lines=$scratch/lines.tsv
: >"$lines"

for engine in rocksdb lmdb; do
    if ! "$warp" bench --help | grep -q "Engines in this build:.* $engine"; then
        echo "run_table.sh: $warp was built without $engine" >&2
        exit 3
    fi
done

status=0
bench() {
    "$warp" bench --path "$directory" --duration-s "$seconds" --repeat "$repeats" \
        --lines "$lines" "$@" >"$scratch/out.txt" || {
        status=$?
        echo "run_table.sh: exit $status from: warp bench $*" >&2
    }
    if [ -n "${VERBOSE:-}" ]; then
        cat "$scratch/out.txt"
    elif [ -z "${head_done:-}" ]; then
        sed -n '/^machine/,/^build/p' "$scratch/out.txt"
        head_done=1
    fi
}

for row in $rows; do
    case $row in
        interval)
            bench --engine warp,$peers --records "$records" --durability interval \
                --workload put,ycsb-a --threads 1,2
            ;;
        memory)
            bench --engine warp,$peers,bound --records "$records" --durability memory \
                --workload get,ycsb-c,put --threads 1,2
            ;;
        big)
            bench --engine warp,$peers,bound --records $((records * 10)) --durability memory \
                --workload get,multiget --threads 1,2 --warmup-s 15
            ;;
        commit)
            bench --engine warp,$peers --records "$records" --durability commit \
                --workload put --threads 1,16,64
            ;;
        session)
            bench --engine warp --records "$records" --durability commit --workload put \
                --depth 64
            bench --engine warp --records "$records" --durability commit --workload put \
                --depth 1024
            ;;
        *)
            echo "run_table.sh: no row called $row" >&2
            exit 2
            ;;
    esac
done

cp "$lines" "${LINES_FILE:-/dev/null}"

awk -F '\t' -v records="$records" '
function row_key(engine, workload, threads, depth, durability, count) {
    return engine SUBSEP workload SUBSEP threads SUBSEP depth SUBSEP durability SUBSEP count
}
{
    key = row_key($7, $1, $2, $3, $5, $6)
    rate[key] = $9
    cpu[key] = $19
    rss[key] = $21
    live[key] = $23
    if ($8 != "ok") {
        bad = bad sprintf("NOT OK: %s, %s, %s threads: %s\n", $7, $1, $2, $8)
    }
}
function shown(engine, figure) {
    return figure == "" ? "-" : sprintf(figure < 9950 ? "%.1f" : "%.0f", figure / 1000)
}
# One line: the figures in thousands per second, and each goal with its verdict.
function show(name, workload, threads, depth, durability, count, goals,    key, parts, n, i, goal, ours, theirs, engine, ratio, text) {
    ours = rate[row_key("warp", workload, threads, depth, durability, count)]
    if (ours == "") {
        return
    }
    n = split(goals, parts, ";")
    text = ""
    for (i = 1; i <= n; i++) {
        split(parts[i], goal, " ")
        if (goal[1] == "rate") {
            ratio = ours / 1000
            text = text sprintf("  %.0f of %s thousand/s %s", ratio, goal[2], ratio >= goal[2] ? "yes" : "NO")
            continue
        }
        if (goal[1] == "peer") {
            theirs = rate[row_key("rocksdb", workload, threads, depth, durability, count)]
            engine = rate[row_key("lmdb", workload, threads, depth, durability, count)]
            theirs = engine > theirs ? engine : theirs
        } else if (goal[1] == "lmdb-gets") {
            theirs = rate[row_key("lmdb", "get", threads, depth, durability, count)]
        } else if (goal[1] == "own-gets") {
            theirs = rate[row_key("warp", "get", threads, depth, durability, count)]
        } else {
            theirs = rate[row_key(goal[1], workload, threads, depth, durability, count)]
        }
        if (theirs + 0 == 0) {
            continue
        }
        ratio = ours / theirs
        text = text sprintf("  %.2fx %s of %sx %s", ratio, goal[1], goal[2], ratio >= goal[2] ? "yes" : "NO")
    }
    printf "%-34s %4s %9s %9s %9s %9s %s\n", name, threads, shown("", ours),
        shown("", rate[row_key("rocksdb", workload, threads, depth, durability, count)]),
        shown("", rate[row_key("lmdb", workload, threads, depth, durability, count)]),
        shown("", rate[row_key("bound", workload, threads, depth, durability, count)]), text
}
function show_use(name, workload, threads, durability, count,    engines, i, n, key) {
    n = split("warp rocksdb lmdb", engines, " ")
    for (i = 1; i <= n; i++) {
        key = row_key(engines[i], workload, threads, 1, durability, count)
        if (rate[key] != "") {
            printf "%-34s %4s %9s %14.2f %14.0f %16.0f\n", name, threads, engines[i], cpu[key], rss[key] / 1048576, live[key] / 1048576
        }
    }
}
END {
    big = records * 10
    printf "\n%-34s %4s %9s %9s %9s %9s   %s\n", "thousand operations per second", "thr", "warp", "rocksdb", "lmdb", "bound", "reached, of what is to be reached"
    show("put, uniform, interval", "put", 1, 1, "interval", records, "rocksdb 6")
    show("put, uniform, interval", "put", 2, 1, "interval", records, "rocksdb 8")
    show("put, uniform, memory", "put", 1, 1, "memory", records, "lmdb 6")
    show("put, uniform, memory", "put", 2, 1, "memory", records, "lmdb 12")
    show("get, uniform", "get", 1, 1, "memory", records, "lmdb 2")
    show("get, uniform", "get", 2, 1, "memory", records, "lmdb 2")
    show("get, uniform, ten times the records", "get", 1, 1, "memory", big, "lmdb 4")
    show("get, uniform, ten times the records", "get", 2, 1, "memory", big, "lmdb 2")
    show("ycsb-c, zipfian 0.99", "ycsb-c", 1, 1, "memory", records, "lmdb 2")
    show("ycsb-c, zipfian 0.99", "ycsb-c", 2, 1, "memory", records, "lmdb 1.5")
    show("ycsb-a, zipfian 0.99, interval", "ycsb-a", 1, 1, "interval", records, "peer 5")
    show("ycsb-a, zipfian 0.99, interval", "ycsb-a", 2, 1, "interval", records, "peer 5")
    show("multi-get of 64, ten times", "multiget", 1, 1, "memory", big, "lmdb-gets 15;own-gets 4")
    show("multi-get of 64, ten times", "multiget", 2, 1, "memory", big, "lmdb-gets 15;own-gets 4")
    show("put, commit, blocking", "put", 1, 1, "commit", records, "rocksdb 1.4;peer 1")
    show("put, commit, blocking", "put", 16, 1, "commit", records, "rocksdb 1.8;peer 1.35")
    show("put, commit, blocking", "put", 64, 1, "commit", records, "rocksdb 2.5;peer 1.8")
    show("put, commit, 64 in flight", "put", 1, 64, "commit", records, "rate 350")
    show("put, commit, 1,024 in flight", "put", 1, 1024, "commit", records, "rate 1000")
    printf "\n%-34s %4s %9s %14s %14s %16s\n", "what it takes", "thr", "engine", "CPU s/million", "peak RSS, MiB", "keys+values, MiB"
    show_use("put, uniform, interval", "put", 1, "interval", records)
    show_use("put, uniform, memory", "put", 1, "memory", records)
    show_use("put, uniform, memory", "put", 2, "memory", records)
    show_use("get, uniform", "get", 1, "memory", records)
    show_use("get, uniform, ten times", "get", 1, "memory", big)
    show_use("multi-get of 64, ten times", "multiget", 1, "memory", big)
    show_use("put, commit, blocking", "put", 64, "commit", records)
    printf "%s", bad
}' "$lines"
rmdir "$directory" 2>/dev/null
exit $status
