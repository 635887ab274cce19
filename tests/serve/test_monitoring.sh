#!/bin/bash
# The alert rules and the dashboard in monitoring/: everything they name is in the catalogue, promtool
# parses every expression and runs the unit tests of the rules, and each of these checks finds what it is
# for when something is broken on purpose.
set -uo pipefail
: "${WARP:=build/warp}"
WARP=$(readlink -f "$WARP")
root=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 3
passed=0
failed=0
good() { passed=$((passed + 1)); }
bad() {
    failed=$((failed + 1))
    echo "FAILED: $*"
}
fresh() { cp "$root"/monitoring/* .; }
static() {
    python3 "$root/tests/serve/check_monitoring.py" static catalogue.json warp.rules.yml \
        warp.rules.test.yml warp-dashboard.json >expressions.yml 2>problems
}

"$WARP" metrics --catalogue --json >catalogue.json || bad "no catalogue"
fresh
if static; then good; else bad "$(cat problems)"; fi
tail -n 1 problems

# broken WHAT FILE SED: found?
broken() {
    fresh
    sed -i "$3" "$2"
    if cmp -s "$2" "$root/monitoring/$2"; then
        bad "$1: nothing was broken"
    elif static; then
        bad "$1: not found"
    else
        good
    fi
}
broken "a metric that is none, on the dashboard" warp-dashboard.json 's/warp_puts_total/warp_put_total/'
broken "a metric that is none, in a rule" warp.rules.yml 's/warp_log_failed == 1/warp_log_failure == 1/'
broken "a bucket of what is no histogram" warp-dashboard.json 's/warp_log_sync_seconds_bucket/warp_memory_bytes_bucket/'
broken "a counter as it is" warp-dashboard.json 's/rate(warp_write_wait_seconds_total{job=~\\"$job\\",database=~\\"$database\\"}\[$__rate_interval\])/warp_write_wait_seconds_total/'
broken "the rate of a gauge" warp.rules.yml 's/warp_background_pressure >= 2/rate(warp_background_pressure[5m]) >= 2/'
broken "a panel over another" warp-dashboard.json '0,/"y": 6/s//"y": 2/'
broken "a variable that is none" warp-dashboard.json '0,/\$database/s//$shard/'
broken "an alert without its test" warp.rules.test.yml 's/WarpStalls/WarpStalled/'
broken "an alert without a description" warp.rules.yml '0,/ description:/s// note:/'
broken "an alert that is not tested for silence" warp.rules.test.yml 's/name: WarpPressure does not fire/name: pressure/'

if command -v promtool >/dev/null; then
    fresh
    static
    if promtool check rules warp.rules.yml >out 2>&1; then good; else bad "$(cat out)"; fi
    if promtool check rules expressions.yml >out 2>&1; then good; else bad "$(cat out)"; fi
    if promtool test rules warp.rules.test.yml >out 2>&1; then good; else bad "$(cat out)"; fi
    # An expression that does not parse; thresholds and times that are not those meant.
    sed -i 's/"expr": "sum by (database) (/&(/' warp-dashboard.json
    static
    if promtool check rules expressions.yml >out 2>&1; then bad "a bracket too many is not found"; else good; fi
    for change in 's/warp_up == 0$/warp_up == 2/' 's/>= 2 and/>= 1 and/' 's/> 0.25$/> 0.0001/' \
        's/ and warp_up == 1//' 's/for: 1h/for: 1m/' 's/) > 0.1$/) > 0.01/' 's/< 1073741824/<= 1073741824/'; do
        fresh
        sed -i "$change" warp.rules.yml
        if promtool test rules warp.rules.test.yml >out 2>&1; then bad "the unit tests pass with $change"; else good; fi
    done
else
    echo "skipped: no promtool (Debian package prometheus; make check-monitoring installs it)"
fi
echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
