#!/bin/bash
# Run what has been built and count. Prints one line per step as it ends, the output of a step
# that failed, and last of all exactly "N passed, N failed"; exit status 1 if anything failed.
#
# usage: check.sh PLAN...     a plan is one or more of the functions plan_* below
#   OUT=build         what to run             MODE=release   how it was built
#   JOBS=2            steps side by side      ONLY=pattern   only steps whose name matches
#   SCALE=1           multiplies the size of what can be made larger
#
# A step counts as what it says in its own last line, "N passed, N failed", and as one
# otherwise. Exit status 77 of a step means that this machine cannot run it.
set -uo pipefail

: "${OUT:=build}" "${MODE:=release}" "${JOBS:=$(nproc)}" "${ONLY:=}" "${SCALE:=1}"
: "${CC:=gcc}" "${CXX:=g++}" "${MAKE:=make}" "${SEED:=1}"
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 3
[[ $OUT = /* ]] || OUT=$root/$OUT
export OUT MODE CC CXX SEED
export BUILD=$OUT WARP=$OUT/warp WARP_LIBRARY=$OUT/libwarp.so
export ASAN_OPTIONS="detect_leaks=1:strict_string_checks=1:allocator_may_return_null=1:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
export TSAN_OPTIONS="exitcode=66:second_deadlock_stack=1:${TSAN_OPTIONS:-}"

logs=$OUT/log
mkdir -p "$logs"
scratch=$(mktemp -d "${TMPDIR:-/tmp}/warp-check-XXXXXX")
passed=0
failed=0
running=0
declare -A step_of

# A sanitizer makes everything slower; the limits follow.
case $MODE in
tsan | planted) slower=6 ;;
asan | debug | ubsan) slower=3 ;;
*) slower=1 ;;
esac

finish() {
    local left
    trap - EXIT INT TERM
    for left in "${!step_of[@]}"; do
        kill -TERM "$left" 2>/dev/null
    done
    wait
    rm -rf "$scratch"
}
trap 'finish; exit 130' INT TERM
trap finish EXIT

# How many does the step's last line count? Sets count_passed, count_failed.
count_step() {
    local line
    # The model counts its operations, which would drown everything else.
    if [[ $1 == */model.txt ]]; then
        count_passed=1
        count_failed=0
        return
    fi
    line=$(tail -n 1 "$1" 2>/dev/null)
    if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(\ in\ .*)?$ ]]; then
        count_passed=${BASH_REMATCH[1]}
        count_failed=${BASH_REMATCH[2]}
    else
        count_passed=1
        count_failed=0
    fi
}

# Wait for one step to end, and report it.
collect() {
    local process status name seconds log word
    wait -n -p process "${!step_of[@]}"
    status=$?
    [[ -n ${process:-} ]] || return 1
    name=${step_of[$process]}
    unset "step_of[$process]"
    running=$((running - 1))
    log=$logs/$name.txt
    seconds=$(cat "$scratch/$name.seconds" 2>/dev/null || echo '?')
    count_step "$log"
    if [[ $status -eq 77 ]]; then
        printf '  skip   %-22s %s\n' "$name" "$(tail -n 1 "$log")"
    elif [[ $status -eq 0 && $count_failed -eq 0 ]]; then
        passed=$((passed + count_passed))
        printf '  ok     %-22s %7s s   %s\n' "$name" "$seconds" "$(tail -n 1 "$log" | cut -c1-60)"
    else
        if [[ $count_failed -eq 0 ]]; then
            count_failed=1
            [[ $(tail -n 1 "$log") =~ passed ]] || count_passed=0
        fi
        passed=$((passed + count_passed))
        failed=$((failed + count_failed))
        word="status $status"
        [[ $status -eq 124 || $status -eq 137 ]] && word="out of time or killed"
        printf '  FAILED %-22s %7s s   %s; all of it: %s\n' "$name" "$seconds" "$word" "${log#"$root"/}"
        tail -n 30 "$log" | sed 's/^/         | /'
    fi
    rm -rf "${scratch:?}/$name"
}

# step NAME SECONDS COMMAND...  runs beside others; "alone" before it waits for them first.
step() {
    local name=$1 limit=$(($2 * slower))
    shift 2
    if [[ -n $ONLY && ! $name =~ $ONLY ]]; then
        return
    fi
    while [[ $running -ge $JOBS ]]; do
        collect
    done
    mkdir -p "$scratch/$name"
    (
        begin=$(date +%s.%N)
        TMPDIR=$scratch/$name timeout -k 10 "$limit" "$@" >"$logs/$name.txt" 2>&1 </dev/null
        status=$?
        date +"%s.%N $begin" | awk '{ printf "%.1f", $1 - $2 }' >"$scratch/$name.seconds"
        exit "$status"
    ) &
    step_of[$!]=$name
    running=$((running + 1))
}

settle() {
    while [[ $running -gt 0 ]]; do
        collect
    done
}

alone() {
    settle
    step "$@"
    settle
}

# program NAME SECONDS ARGUMENTS...: a step if the program has been built.
program() {
    local name=$1 limit=$2
    shift 2
    if [[ -x $OUT/tests/$name ]]; then
        step "$name" "$limit" "$OUT/tests/$name" "$@"
    fi
}

# ---- the plans ---------------------------------------------------------------------------

# What reads the source or the finished library, and runs nothing of ours.
plan_shape() {
    step layers 20 tools/layers.sh
    step header 60 tools/check-header.sh
    step metrics-page 20 bash -c 'tools/metrics-doc.sh | diff docs/METRICS.md - &&
        tools/metrics-doc.sh --man | diff docs/man/warp-metrics.7 -'
    if [[ -f $OUT/libwarp.so ]]; then
        step exports 20 tools/check-exports.sh "$OUT/libwarp.so"
        if [[ -f $OUT/libwarp-serve.so ]]; then
            step exports-serve 20 tools/check-exports.sh "$OUT/libwarp-serve.so" WARP_SERVE_API
        fi
        step installed 60 tools/check-install.sh
    fi
    if command -v clang >/dev/null; then
        step other-compiler 400 env -u MAKEFLAGS -u MFLAGS "$MAKE" --no-print-directory \
            "-j$JOBS" CC=clang MODE=debug BUILD="$OUT/clang" tests
    fi
}

plan_unit() {
    local binary room
    for binary in "$OUT"/tests/*; do
        room=${binary##*/}
        if compgen -G "tests/$room/test_*.c" >/dev/null && [[ -x $binary ]]; then
            step "unit-$room" 300 "$binary" --fork
        fi
    done
}

plan_examples() {
    local example name
    for example in "$OUT"/examples/*; do
        [[ -x $example && -f $example ]] || continue
        name=${example##*/}
        mkdir -p "$scratch/example-$name"
        step "example-$name" 30 "$example" "$scratch/example-$name/data"
    done
}

plan_scripts() {
    local script name
    for script in tests/*/test_*.sh; do
        [[ -f $script ]] || continue
        name=${script#tests/}
        name=${name%.sh}
        step "${name//\//-}" 120 bash "$script"
    done
    # Python is not instrumented, so it can load only a library that is not either.
    if [[ $MODE == release || $MODE == debug ]] && [[ -f tests/python/test_ctypes.py ]]; then
        step python-ctypes 60 python3 tests/python/test_ctypes.py
    fi
}

plan_fuzz_smoke() {
    local binary name
    for binary in "$OUT"/tests/fuzz_*; do
        [[ -x $binary ]] || continue
        name=${binary##*/}
        if [[ -d tests/fuzz/corpus/${name#fuzz_} ]]; then
            step "$name" 60 "$binary" tests/fuzz/corpus/"${name#fuzz_}"
        else
            step "$name" 60 "$binary"
        fi
    done
}

# The programs that look for what nobody thought of: short here, long in .ci/run.
plan_search() {
    local seed
    program model 120 --seed "$SEED"
    program linear 120 --seed "$SEED"
    program torture 120 --seed "$SEED"
    program crash 150 --seed "$SEED"
    program bitflip 120 --flips "$((600 * SCALE))" --seed "$SEED"
    # One thread, so nothing for the thread sanitizer to see.
    if [[ $MODE != tsan ]]; then
        program sim 120 --runs "$((200 * SCALE))" --seed "$SEED"
        if [[ -x $OUT/tests/sim ]]; then
            for seed in $(sed 's/#.*//' tests/sim/seeds.txt); do
                step "sim-$seed" 60 "$OUT/tests/sim" --runs 1 --seed "$seed"
            done
        fi
        program faults 180 --seed "$SEED" --per-step "$SCALE"
    fi
    program crash_large 120 --records 30000 --cycles 3 --life-ms-max 300 --seed "$SEED"
    # What a sanitizer takes is not the engine's.
    if [[ $MODE == release ]]; then
        program coldkeys 120 --records 300000 --most 76
    fi
    if [[ -x $OUT/tests/idle ]]; then
        alone idle 60 "$OUT/tests/idle"
    fi
}

if [[ $# -eq 0 ]]; then
    sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
for plan in "$@"; do
    "plan_$plan"
done
settle
echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
