#!/bin/bash
# Run libFuzzer targets for a bounded time each. Inputs that add coverage are kept under the
# build folder; what crashes is written beside them and named.
# usage: fuzz.sh TARGET...     OUT=build/fuzz SECONDS_EACH=60 JOBS=2
set -uo pipefail
cd "$(dirname "$0")/.." || exit 3
: "${OUT:=build/fuzz}" "${SECONDS_EACH:=60}" "${JOBS:=$(nproc)}"
passed=0
failed=0
for target in "$@"; do
    found=$OUT/corpus/$target
    seeds=tests/fuzz/corpus/${target#fuzz_}
    mkdir -p "$found"
    echo "== $target for $SECONDS_EACH s"
    folders=("$found")
    if [[ -d $seeds ]]; then
        folders+=("$seeds")
    fi
    if "$OUT/tests/$target" -max_total_time="$SECONDS_EACH" -max_len=65536 -rss_limit_mb=2048 \
        -timeout=20 -print_final_stats=1 -artifact_prefix="$found/CRASH-" "${folders[@]}" \
        >"$OUT/$target.log" 2>&1; then
        grep -E 'number_of_executed_units|new_units_added' "$OUT/$target.log"
        passed=$((passed + 1))
    else
        tail -n 40 "$OUT/$target.log"
        echo "$target failed; the input is in $found/CRASH-*"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
