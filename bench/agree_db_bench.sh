#!/bin/bash
# RocksDB by `warp bench` beside RocksDB by its own db_bench (Debian: rocksdb-tools), at equal options:
# fillrandom and readrandom, one thread, the write-ahead log on and not synced. Both load the same
# library, take turns, and their medians are compared.
#
# usage: bench/agree_db_bench.sh [RECORDS [REPEATS]]      (1000000 and 5)
#   WARP=build/warp    the program      TOLERANCE=15    percent
# Exit: 0 they agree, 1 they do not, 3 an error, 77 db_bench is not there.
#
# What is equal: keys of 16 bytes and values of 100, no compression, 10-bit bloom filters, hash index
# in the data blocks, memtable bloom filter, block cache of 4 GiB, 4 write buffers of 64 MiB, 2
# background jobs, all files open, jemalloc. db_bench's fillrandom draws keys with repetition (of N
# draws 63 % are new), ours writes each key once in random order, which is db_bench's
# filluniquerandom: both are shown.
set -uo pipefail
export LC_ALL=C
records=${1:-1000000}
repeats=${2:-5}
tolerance=${TOLERANCE:-15}
warp=${WARP:-build/warp}
[[ $warp = /* ]] || warp=$PWD/$warp
if ! command -v db_bench >/dev/null; then
    echo "agree_db_bench.sh: no db_bench (Debian: apt-get install rocksdb-tools)" >&2
    exit 77
fi
if ! grep -q 'Engines in this build:.* rocksdb' <<<"$("$warp" bench --help)"; then
    echo "agree_db_bench.sh: $warp has no RocksDB" >&2
    exit 77
fi
scratch=$(mktemp -d "$PWD/agree-XXXXXX") || exit 3
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

# Ours links jemalloc; so that allocators are equal, theirs is given it.
jemalloc=$(ldd "$warp" | sed -n 's/.*libjemalloc[^ ]* => \([^ ]*\).*/\1/p')

theirs() { # BENCHMARKS ARGUMENTS...: "name operations-per-second" for each, on standard output
    local benchmarks=$1
    shift
    LD_PRELOAD=$jemalloc db_bench --benchmarks="$benchmarks" --db="$scratch/theirs" --num="$records" \
        --threads=1 --key_size=16 --value_size=100 --compression_type=none --bloom_bits=10 \
        --use_data_block_hash_index=true --data_block_hash_table_util_ratio=0.75 \
        --memtable_bloom_size_ratio=0.02 --memtable_whole_key_filtering=true \
        --cache_size=4294967296 --write_buffer_size=67108864 --max_write_buffer_number=4 \
        --max_background_jobs=2 --open_files=-1 --sync=false --disable_wal=false "$@" \
        2>"$scratch/theirs.err" |
        sed -n 's/^\([a-z]*\)[^:]*: .* \([0-9][0-9]*\) ops\/sec.*/\1 \2/p'
}

ours() { # WORKLOAD ARGUMENTS...: operations per second
    local workload=$1
    shift
    "$warp" bench --engine rocksdb --rocksdb log --durability memory --workload "$workload" \
        --records "$records" --path "$scratch/ours" --lines "$scratch/lines" "$@" \
        >"$scratch/ours.out" 2>&1 || { cat "$scratch/ours.out" >&2; return 3; }
    tail -n 1 "$scratch/lines" | cut -f9
}

median() {
    sort -g "$1" | awk '{ f[NR] = $1 } END { print NR % 2 ? f[(NR + 1) / 2] : (f[NR / 2] + f[NR / 2 + 1]) / 2 }'
}

for ((i = 0; i < repeats; i++)); do
    ours fillrandom >>"$scratch/ours.fill" || exit 3
    theirs fillrandom | cut -d' ' -f2 >>"$scratch/theirs.fill"
    rm -rf "$scratch/theirs"
    # Loaded by unique keys, so that every key that is read is there, as ours; the first reads warm up.
    theirs filluniquerandom,flush,waitforcompaction | sed -n 's/^filluniquerandom //p' \
        >>"$scratch/theirs.unique"
    theirs readrandom,readrandom --use_existing_db=true --reads="$records" | tail -n 1 |
        cut -d' ' -f2 >>"$scratch/theirs.read"
    rm -rf "$scratch/theirs"
    ours readrandom --operations "$records" --warmup-s 60 >>"$scratch/ours.read" || exit 3
done
for file in theirs.fill theirs.unique theirs.read; do
    if [[ $(grep -c '^[0-9]' "$scratch/$file") -ne $repeats ]]; then
        echo "agree_db_bench.sh: db_bench gave no figures: $(tail -n 1 "$scratch/theirs.err")" >&2
        exit 3
    fi
done

rc=0
line() { # NAME OURS THEIRS judged|shown
    awk -v name="$1" -v a="$(median "$scratch/$2")" -v b="$(median "$scratch/$3")" -v t="$tolerance" -v how="$4" '
        BEGIN {
            ratio = a / b; far = ratio > 1 + t / 100 || ratio < 1 / (1 + t / 100)
            printf "| %s | %.0f | %.0f | %.2f | %s |\n", name, a / 1e3, b / 1e3, ratio,
                how == "shown" ? "" : far ? "differs" : "agrees"
            exit how != "shown" && far
        }' || rc=1
}
echo "RocksDB $(db_bench --version 2>/dev/null | sed -n 's/.*version //p'), $records records of 16 + 100 bytes, medians of $repeats, thousand operations per second"
echo
echo "| | warp bench | db_bench | ratio | |"
echo "|---|---:|---:|---:|---|"
line fillrandom ours.fill theirs.fill judged
line "fillrandom beside filluniquerandom" ours.fill theirs.unique shown
line readrandom ours.read theirs.read judged
exit $rc
