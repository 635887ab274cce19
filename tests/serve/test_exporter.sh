#!/bin/bash
# `warp exporter` as Prometheus meets it: databases that run, are stopped, closed or dead; promtool
# and a second implementation of OpenMetrics read what it says, and a real Prometheus server scrapes it
# and answers queries. What this machine does not have is passed over, and said.
#
#   WARP=build/warp       the program
#   MONITOR_SECONDS=8     how long Prometheus scrapes
set -uo pipefail
: "${WARP:=build/warp}" "${MONITOR_SECONDS:=8}"
WARP=$(readlink -f "$WARP")
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
scratch=$(mktemp -d)
cd "$scratch" || exit 3
passed=0
failed=0
processes=()
finish() {
    local process
    for process in "${processes[@]}"; do
        kill -CONT "$process" 2>/dev/null
        kill -KILL "$process" 2>/dev/null
    done
    wait 2>/dev/null
    rm -rf "$scratch"
}
trap finish EXIT

good() { passed=$((passed + 1)); }
bad() {
    failed=$((failed + 1))
    echo "FAILED: $*"
}
has() { if [[ $1 == *"$2"* ]]; then good; else bad "no [$2] in [${1:0:600}]"; fi; }
# page PATH [HEADER]: what the exporter answers; its status goes to the file `status`.
page() { python3 "$here/fetch.py" "$url$1" "${2:-}" 2>status; }
# sample NAME: its value, or nothing.
sample() { page '/metrics?shards=1' | awk -v name="$1" '$1 == name { print $2 }'; }
# until SECONDS COMMAND...: whether it comes true in that time.
until_true() {
    local left=$(($1 * 20))
    shift
    while ! "$@"; do
        left=$((left - 1))
        [[ $left -gt 0 ]] || return 1
        sleep 0.05
    done
}

if "$WARP" exporter x 2>&1 </dev/null --connections 1 | grep -q "built without"; then
    echo "the program was built without libmicrohttpd"
    exit 77
fi

# A process that has a database open and does what it reads: 300 puts, and then what is told.
open_database() {
    mkfifo "$1.pipe"
    "$WARP" shell --path "$1" --durability interval <"$1.pipe" >"$1.out" 2>&1 &
    shell_process=$!
    processes+=("$shell_process")
    exec {shell_pipe}>"$1.pipe"
    for i in $(seq 300); do echo "put key-$i value"; done >&"$shell_pipe"
    until_true 60 file_has "$1.out" 300 || bad "$1 does not open"
}
file_has() { [[ $(wc -l <"$1") -ge $2 ]]; }

open_database one
one=$shell_process one_pipe=$shell_pipe
open_database two
two=$shell_process

# ---- the command line ----
for arguments in "" "--listen nowhere a" "--listen 127.0.0.1:99999 a" "--connections 1 a" \
    "--timeout-ms 0 a" "a=x a=y" "=x" "x="; do
    # Words are what is wanted.
    # shellcheck disable=SC2086
    timeout 20 "$WARP" exporter $arguments >/dev/null 2>error </dev/null
    if [[ $? -eq 2 ]]; then good; else bad "exporter $arguments: not refused: $(cat error)"; fi
done
timeout 20 "$WARP" exporter --listen 192.0.2.1:1 a >/dev/null 2>error
if [[ $? -eq 3 ]]; then good; else bad "an address of others: $(cat error)"; fi

"$WARP" exporter --listen 127.0.0.1:0 one=one --path two=two gone=gone >listening 2>error &
exporter=$!
processes+=("$exporter")
until_true 20 file_has listening 1 || bad "the exporter does not begin: $(cat error)"
url=$(sed -n 's/^listening on //p' listening)

# ---- what it says of those that run, are stopped, die, are closed ----
until_one() { [[ $(sample 'warp_puts_total{database="one"}') == 300 ]]; }
if until_true 20 until_one; then good; else bad "the puts of one: $(sample 'warp_puts_total{database="one"}')"; fi
has "$(page /metrics)" 'warp_up{database="one"} 1'
has "$(page /metrics)" 'warp_up{database="gone"} 0'
has "$(page /metrics)" 'warp_database_state{database="gone",state="absent"} 1'
has "$(page /-/ready)" '"database":"gone","ready":false,"state":"absent"'
has "$(cat status)" 503
page /debug/shards >shards.json
if python3 - <<'END'; then good; else bad "the page of shards"; fi
import json
databases = {d["database"]: d for d in json.load(open("shards.json"))["databases"]}
assert databases["one"]["state"] == "running" and databases["gone"]["state"] == "absent"
assert databases["one"]["values"]["warp_puts_total"] == 300
assert sum(s["warp_shard_puts_total"] for s in databases["one"]["shards"]) == 300
assert "values" not in databases["gone"]
for name, histogram in databases["one"]["histograms"].items():
    assert histogram["p50"] <= histogram["p99"] <= histogram["max"], name
END

until_two() { [[ $(sample 'warp_puts_total{database="two"}') == 300 ]]; }
until_true 20 until_two || bad "the puts of two"
kill -STOP "$two"
state_is() { [[ $(sample "warp_database_state{database=\"$1\",state=\"$2\"}") == 1 ]]; }
if until_true 20 state_is two stopped; then good; else bad "two is not stopped"; fi
has "$(page /metrics)" 'warp_puts_total{database="two"} 300'
has "$(page /metrics)" 'warp_up{database="two"} 0'
kill -CONT "$two"
if until_true 20 state_is two running; then good; else bad "two does not go on"; fi
kill -KILL "$two"
wait "$two" 2>/dev/null
if until_true 20 state_is two died; then good; else bad "two is not dead"; fi
has "$(page /metrics)" 'warp_puts_total{database="two"} 300'
has "$(page /-/ready)" 'ended without closing it'
# Brought to life again, by a process that did not know of the first.
echo 'get key-7' | "$WARP" shell --path two >/dev/null 2>&1
if until_true 20 state_is two closed; then good; else bad "two is not closed"; fi
has "$(page /metrics)" 'warp_records{database="two"} 300'

# ---- who reads it ----
if command -v promtool >/dev/null; then
    page '/metrics?shards=1' >text
    if promtool check metrics <text >lint 2>&1 && [[ ! -s lint ]]; then good; else bad "promtool: $(cat lint)"; fi
    # It must be able to find something, or it proves nothing.
    sed 's/^# HELP warp_puts_total.*//' text | promtool check metrics >lint 2>&1
    if [[ -s lint ]]; then good; else bad "promtool finds nothing wrong with a metric without help"; fi
else
    echo "skipped: no promtool (Debian package prometheus; make check-monitoring installs it)"
fi
page /metrics 'application/openmetrics-text; version=1.0.0' >openmetrics
if /usr/bin/python3 -c 'import prometheus_client' 2>/dev/null; then
    if /usr/bin/python3 - <<'END'; then good; else bad "OpenMetrics is not what its parser takes"; fi
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain
families = {f.name: f for f in openmetrics(open("openmetrics").read())}
assert len(families) > 90, len(families)
puts = {s.labels["database"]: s.value for s in families["warp_puts"].samples}
assert puts["one"] == 300 and families["warp_puts"].type == "counter"
assert families["warp_log_flush_seconds"].type == "histogram"
assert families["warp_log_flush_seconds"].unit == "seconds"
samples = families["warp_log_flush_seconds"].samples
assert any(s.labels.get("le") == "+Inf" for s in samples)
END
else
    echo "skipped: no second parser of OpenMetrics (Debian package python3-prometheus-client)"
fi
has "$(tail -c 6 openmetrics)" "# EOF"

# ---- a real server ----
query() {
    python3 "$here/fetch.py" "$server/api/v1/query?query=$(python3 -c '
import sys, urllib.parse
print(urllib.parse.quote(sys.argv[1]))' "$1")" 2>/dev/null
}
answer() { query "$1" | python3 -c '
import json, sys
try:
    result = json.load(sys.stdin)["data"]["result"]
except ValueError:
    result = []
print(" ".join(r["value"][1] for r in result))'; }
answer_is() { [[ $(answer "$1") == "$2" ]]; }
if command -v prometheus >/dev/null; then
    cat >prometheus.yml <<END
global:
  scrape_interval: 1s
  evaluation_interval: 1s
scrape_configs:
  - job_name: warp
    static_configs:
      - targets: ["${url#http://}"]
  - job_name: warp_shards
    metrics_path: /metrics
    params: { shards: ["1"] }
    static_configs:
      - targets: ["${url#http://}"]
END
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    server=http://127.0.0.1:$port
    prometheus --config.file=prometheus.yml --storage.tsdb.path=tsdb --log.level=warn \
        --web.listen-address="127.0.0.1:$port" >prometheus.log 2>&1 &
    prometheus=$!
    processes+=("$prometheus")
    if until_true 90 answer_is 'up{job="warp"}' 1; then good; else bad "Prometheus: $(tail -n 5 prometheus.log)"; fi
    # Work for as long as it scrapes, so that there are rates.
    end=$((SECONDS + MONITOR_SECONDS))
    puts=0
    while [[ $SECONDS -lt $end ]]; do
        for i in $(seq 50); do echo "put more-$i value"; done >&"$one_pipe"
        puts=$((puts + 50))
        sleep 0.2
    done
    if until_true 60 answer_is 'warp_puts_total{job="warp",database="one"}' $((300 + puts)); then
        good
    else
        bad "puts: $(answer 'warp_puts_total{job="warp",database="one"}'), not $((300 + puts))"
    fi
    rate=$(answer 'rate(warp_puts_total{job="warp",database="one"}[1m])')
    if python3 -c 'import sys; assert float(sys.argv[1]) > 0' "$rate" 2>/dev/null; then good; else bad "rate: $rate"; fi
    quantile=$(answer 'histogram_quantile(0.99, sum by (le) (rate(warp_log_flush_seconds_bucket{job="warp",database="one"}[1m])))')
    if python3 -c 'import sys; assert 0 < float(sys.argv[1]) <= 10' "$quantile" 2>/dev/null; then good; else bad "quantile: $quantile"; fi
    shards=$(answer 'sum(warp_shard_puts_total{job="warp_shards",database="one"}) - on() warp_puts_total{job="warp_shards",database="one"}')
    if [[ $shards == 0 ]]; then good; else bad "shards and all of it differ by $shards"; fi
    has "$(answer 'min_over_time(up{job="warp"}[1h])')" 1 # no scrape failed
    has "$(answer 'warp_up{job="warp",database="two"}')" 0
    if answer_is 'count(count by (__name__) ({job="warp",__name__=~"warp_.*"})) > bool 90' 1; then good; else
        bad "names: $(answer 'count(count by (__name__) ({job="warp",__name__=~"warp_.*"}))')"
    fi
    # Every panel of the dashboard has something to show.
    until_panels() { python3 "$here/check_monitoring.py" live "$server" "$root/monitoring/warp-dashboard.json" 2>panels; }
    if until_true 20 until_panels; then good; else bad "the dashboard: $(cat panels)"; fi
    series=$(answer 'scrape_samples_scraped{job="warp"}')
    echo "Prometheus: $series samples a scrape of three databases, $(answer 'scrape_duration_seconds{job="warp"}') s"
    kill "$prometheus"
    wait "$prometheus" 2>/dev/null
else
    echo "skipped: no Prometheus server (Debian package prometheus; make check-monitoring installs it)"
fi

# ---- the end ----
kill -TERM "$exporter"
wait "$exporter"
if [[ $? -eq 0 ]]; then good; else bad "the exporter does not end properly"; fi
exec {one_pipe}>&-
wait "$one"
if [[ $? -eq 0 ]]; then good; else bad "one did not end properly"; fi
echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
