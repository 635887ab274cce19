#!/bin/sh
# More data than memory, WarpEngine beside RocksDB: bench/run_tiers.sh
#
# One engine after the other, each alone in a memory cgroup of CAP + SLACK, so that the page cache
# cannot hide the disk: load, then on the one loaded database zipfian 95/5 and 50/50 reads and
# updates, uniform reads, and overwrites without end for CHURN_S seconds; each phase after so
# much of the same unmeasured. Every value read is verified. Beside it, an independent process
# asks the device. Needs root (or a cgroup of one's own, see CGROUP) and python3.
#
#   RECORDS=20000000 VALUE=1024 CAP=2048M         what is measured (16-byte keys)
#   PHASE_S=60 LEAD_S=60 CHURN_S=300 THREADS=2    how long, how wide
#   SLACK=                                        on top of CAP in the cgroup; default: a quarter of
#                                                 CAP, at least 96M
#   RATIO=0.5                                     to which values shrink; 1: not at all
#   DURABILITY=memory                             memory | interval | commit
#   PEERS="tiered,direct-reads,lz4,log ..."       set-ups of RocksDB, each measured by itself
#   ENGINES="warp rocksdb"                        which, and in which order
#   PHASES="ycsb-b ycsb-a readrandom overwrite"
#   WARP=build/warp DIR=./warp-bench-tiers        the program; where the databases go
#   OUT=DIR.md SAMPLES=, JSON=                    the table; one line per second; one line per engine
#   CGROUP=                                       parent group, where groups can be made
#   FLAGS=                                        more flags for warp bench
#   --no-cgroup                                   do without, and say so in the result
#
# A tenth: RECORDS=2000000 CAP=205M PHASE_S=15 LEAD_S=10 CHURN_S=60
#
# Exit: 0 measured (whether or not the limits hold: the table says), 1 wrong data, 2 usage, 3 error.
set -u

records=${RECORDS:-20000000}
value=${VALUE:-1024}
cap=${CAP:-2048M}
phase_s=${PHASE_S:-60}
lead_s=${LEAD_S:-60}
churn_s=${CHURN_S:-300}
threads=${THREADS:-2}
ratio=${RATIO:-0.5}
durability=${DURABILITY:-memory}
peers=${PEERS:-tiered,direct-reads,lz4,log}
engines=${ENGINES:-warp rocksdb}
phases=${PHASES:-ycsb-b ycsb-a readrandom overwrite}
warp=${WARP:-build/warp}
directory=${DIR:-./warp-bench-tiers}
out=${OUT:-$directory.md}
samples=${SAMPLES:-$directory.samples.jsonl}
json=${JSON:-$directory.jsonl}
here=$(dirname "$0")
grouped=yes
for argument; do
    case $argument in
        --no-cgroup) grouped=no ;;
        --help)
            sed -n '2,/^set -u/s/^# \{0,1\}//p' "$0"
            exit 0
            ;;
        *)
            echo "run_tiers.sh: $argument: what is this? (see --help)" >&2
            exit 2
            ;;
    esac
done

refuse() {
    echo "run_tiers.sh: $*" >&2
    exit 3
}

bytes() { # of 205M and the like
    case $1 in
        *K) echo $((${1%K} * 1024)) ;;
        *M) echo $((${1%M} * 1048576)) ;;
        *G) echo $((${1%G} * 1073741824)) ;;
        *) echo "$(($1))" ;;
    esac
}

cap_bytes=$(bytes "$cap")
if [ -n "${SLACK:-}" ]; then
    slack_bytes=$(bytes "$SLACK")
else
    slack_bytes=$((cap_bytes / 4))
    [ "$slack_bytes" -ge 100663296 ] || slack_bytes=100663296
fi
[ -x "$warp" ] || refuse "no program at $warp (WARP=)"
command -v python3 >/dev/null || refuse "python3 makes the table: install it"
"$warp" bench --help | grep -q 'Engines in this build:.* rocksdb' ||
    case $engines in *rocksdb*) refuse "$warp was built without rocksdb" ;; esac

# The databases are there one at a time; one may take twice its data for a while.
data_bytes=$((records * (16 + value)))
mkdir -p "$directory" || exit 3
free_bytes=$(($(df -Pk "$directory" | awk 'NR == 2 { print $4 }') * 1024))
[ "$free_bytes" -gt $((data_bytes * 2 + 2147483648)) ] ||
    refuse "$directory has $((free_bytes >> 20)) MiB free; twice the $((data_bytes >> 20)) MiB of keys" \
        "and values, and 2 GiB, are needed"

# ---- the cgroup: version 1 has a tree for memory, version 2 one for all ----------------------------

group=
group_version=
if [ $grouped = yes ]; then
    if [ -n "${CGROUP:-}" ]; then
        parent=$CGROUP
    elif [ -f /sys/fs/cgroup/memory/memory.limit_in_bytes ]; then
        parent=/sys/fs/cgroup/memory
    else
        parent=/sys/fs/cgroup
    fi
    if [ -f "$parent/memory.limit_in_bytes" ]; then
        group_version=1
    elif [ -f "$parent/cgroup.controllers" ]; then
        group_version=2
        grep -qw memory "$parent/cgroup.subtree_control" 2>/dev/null ||
            echo +memory >"$parent/cgroup.subtree_control" 2>/dev/null
    fi
    group=$parent/warp-tiers-$$
    if [ -z "$group_version" ] || ! mkdir "$group" 2>/dev/null; then
        refuse "no memory cgroup can be made below $parent (are you root? CGROUP= names another" \
            "parent); --no-cgroup measures without, but then the page cache hides the disk"
    fi
    rmdir "$group"
fi

group_limit() { # bytes
    mkdir "$group" || return 1
    if [ $group_version = 1 ]; then
        echo "$1" >"$group/memory.limit_in_bytes"
    else
        echo "$1" >"$group/memory.max" &&
            { [ ! -f "$group/memory.swap.max" ] || echo 0 >"$group/memory.swap.max"; }
    fi
}

group_value() { # the file of version 1, of version 2
    file=$group/$([ "$group_version" = 1 ] && echo "$1" || echo "$2")
    cat "$file" 2>/dev/null || echo 0
}

scratch=$(mktemp -d) || exit 3
finish() {
    [ -z "$group" ] || rmdir "$group" 2>/dev/null
    rm -rf "$scratch"
    rmdir "$directory" 2>/dev/null
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- the runs ------------------------------------------------------------------------------------

workloads=
for phase in $phases; do
    seconds=$phase_s
    [ "$phase" != overwrite ] || seconds=$churn_s
    workloads=$workloads${workloads:+,}$phase:$seconds
done
: >"$samples" || exit 3
: >"$json" || exit 3
status=0
count=0

measure() { # label, engine, flags for it
    label=$1
    engine=$2
    shift 2
    count=$((count + 1))
    echo "run_tiers.sh: $label" >&2
    if [ $grouped = yes ]; then
        group_limit $((cap_bytes + slack_bytes)) || refuse "$group: cannot be made or limited"
        set -- "$@" --cgroup "$group"
    fi
    # shellcheck disable=SC2086
    "$warp" bench --engine "$engine" --path "$directory" --records "$records" --key-bytes 16 \
        --value-bytes "$value" --compression-ratio "$ratio" --memory-bytes "$cap_bytes" \
        --durability "$durability" --workload "$workloads" --threads "$threads" \
        --lead-s "$lead_s" --warmup-s 5 --probe --samples "$samples" \
        --json "$scratch/$count.json" "$@" ${FLAGS:-} >"$scratch/$count.txt"
    run_status=$?
    if [ $run_status -ne 0 ]; then
        echo "run_tiers.sh: exit $run_status from $label" >&2
        [ $status -eq 1 ] || status=$run_status
    fi
    [ -z "${VERBOSE:-}" ] || cat "$scratch/$count.txt" >&2
    {
        echo "label=$label"
        [ $grouped = no ] || {
            echo "cgroup_peak=$(group_value memory.max_usage_in_bytes memory.peak)"
            echo "cgroup_limit_hits=$(group_value memory.failcnt memory.events | head -n 1)"
        }
    } >"$scratch/$count.env"
    [ $grouped = no ] || rmdir "$group" || echo "run_tiers.sh: $group stays" >&2
}

for engine in $engines; do
    case $engine in
        warp) measure warp warp ;;
        rocksdb)
            for peer in $peers; do
                measure "rocksdb ($peer)" rocksdb --rocksdb "$peer"
            done
            ;;
        *) refuse "ENGINES: $engine is neither warp nor rocksdb" ;;
    esac
done

# ---- the table -----------------------------------------------------------------------------------

python3 "$here/tiers_table.py" "$scratch" "$count" "$json" \
    "cap=$cap_bytes" "slack=$slack_bytes" "grouped=$grouped" >"$out" || status=3
cat "$out"
exit $status
