#!/bin/bash
# The test of the tests: run the checkers on builds with a bug planted in them. Each bug must be
# found by one of the checkers that are there to find it; the first that does ends the search.
# usage: planted.sh PLANT...       BUILD=build SEED=1 PLANTED_SECONDS=120
set -uo pipefail
cd "$(dirname "$0")/.." || exit 3
: "${BUILD:=build}" "${SEED:=1}" "${PLANTED_SECONDS:=120}" "${PLANTED_RUNS:=2000}"
export ASAN_OPTIONS="detect_leaks=0:${ASAN_OPTIONS:-}"

passed=0
failed=0
for plant in "$@"; do
    tests=$BUILD/planted/$plant/tests
    case $plant in
    DROP_EPOCH) checkers=(sim torture model) ;;
    SEAL_UNSYNCED | REMOVE_EARLY | INSTALL_BLIND | REPLAY_LATE) checkers=(faults sim) ;;
    CHECKPOINT_EARLY | EVICT_EARLY) checkers=(sim faults) ;;
    MASS_COUNTS | GRAVITY_UPHILL | ENTROPY_CONSTANT) checkers=(routing) ;;
    *) checkers=(sim) ;;
    esac
    found=
    for checker in "${checkers[@]}"; do
        [[ -x $tests/$checker ]] || continue
        case $checker in
        sim) arguments=(--runs "$PLANTED_RUNS" --seed "$SEED" --expect-violation --verbose) ;;
        faults) arguments=(--seed "$SEED" --seeds 3 --per-step 2 --expect-violation) ;;
        routing) arguments=("$(printf '%s' "${plant%%_*}" | tr '[:upper:]' '[:lower:]')") ;;
        *) arguments=(--seed "$SEED") ;;
        esac
        log=$BUILD/planted/$plant/$checker.log
        begin=$SECONDS
        timeout -k 10 "$PLANTED_SECONDS" "$tests/$checker" "${arguments[@]}" >"$log" 2>&1
        status=$?
        # These two were told what to expect, so their success is a finding; for the others a
        # failure is. 2: wrong usage, 124: out of time, 126 and 127: could not be run.
        if [[ $checker == sim || $checker == faults ]]; then
            [[ $status -eq 0 ]] && status=found || status=0
        fi
        case $status in
        0 | 2 | 124 | 126 | 127)
            echo "$plant: $checker ended with status $status after $((SECONDS - begin)) s"
            ;;
        *)
            found=$checker
            echo "$plant: found by $checker after $((SECONDS - begin)) s:"
            { grep -m 1 'found as expected' "$log" ||
                grep -m 1 -iE 'seed|violation|ERROR: |assertion|lost|wrong|failed: ' "$log"; } |
                cut -c1-150 | sed 's/^/    /'
            break
            ;;
        esac
    done
    if [[ -n $found ]]; then
        passed=$((passed + 1))
    else
        echo "$plant: NOT FOUND; the checkers do not check (logs in $BUILD/planted/$plant)"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
