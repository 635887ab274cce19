#!/bin/bash
# The standard comparison: WarpEngine beside every peer of this build, engines in turns, about twenty
# minutes. Writes REPORT_OUT (docs/report): README.md with the tables, where WarpEngine loses,
# the environment and the commands; the plots; one .csv and the tables for people (.txt) per part.
#
# usage: bench/report.sh
#   WARP=build/warp           the program
#   REPORT_OUT=docs/report    where to
#   REPORT_SECONDS=2.5        of each run; all else follows (0.05: a minute for everything)
#   REPORT_RECORDS=500000     of 16 + 100 bytes
#   REPORT_REPEATS=3          of each run
#   REPORT_ENGINES=...        default: all of the build, and redis-server where it is installed
#   REPORT_KEEP=              a directory for the JSON of each part, for --compare
set -uo pipefail
export LC_ALL=C
warp=${WARP:-build/warp}
[[ $warp = /* ]] || warp=$PWD/$warp
out=${REPORT_OUT:-docs/report}
seconds=${REPORT_SECONDS:-2.5}
records=${REPORT_RECORDS:-500000}
repeats=${REPORT_REPEATS:-3}
if [[ ! -x $warp ]]; then
    echo "report.sh: no program at $warp" >&2
    exit 3
fi
engines=${REPORT_ENGINES:-$("$warp" bench --help | sed -n 's/.*Engines in this build: //p' |
    tr ' ' '\n' | grep -vx bound | paste -sd' ')}
mkdir -p "$out" || exit 3
out=$(cd "$out" && pwd)
scratch=$(mktemp -d "$PWD/report-XXXXXX") || exit 3
server=
finish() {
    if [[ -n $server ]]; then
        kill -TERM "$server" 2>/dev/null
        wait "$server" 2>/dev/null
    fi
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT TERM
rm -f "$out"/*.svg "$out"/*.csv "$out"/*.txt "$out"/README.md

# A server of our own, with the level of durability that the part asks for; stopped afterwards.
redis_start() { # appendonly appendfsync; sets address
    address=
    if [[ -n ${REPORT_ENGINES:-} ]] || ! command -v redis-server >/dev/null ||
        ! grep -q "servers that speak" <<<"$("$warp" bench --help)"; then
        return
    fi
    rm -rf "$scratch/redis"
    mkdir "$scratch/redis"
    local port
    for port in $(seq 7300 7399); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
    done
    redis-server --port "$port" --bind 127.0.0.1 --dir "$scratch/redis" --save '' \
        --appendonly "$1" --appendfsync "$2" >"$scratch/redis.log" 2>&1 &
    server=$!
    for _ in $(seq 100); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            address=resp://127.0.0.1:$port
            return
        fi
        sleep 0.05
    done
    kill "$server" 2>/dev/null
    server=
}
redis_stop() {
    if [[ -n $server ]]; then
        kill -TERM "$server"
        wait "$server" 2>/dev/null
        server=
    fi
}

commands=()
status=0
# part NAME DURABILITY SENTENCE ARGUMENTS...
part() {
    local name=$1 level=$2 sentence=$3 list rc
    shift 3
    case $level in
    memory) redis_start no everysec ;;
    interval) redis_start yes everysec ;;
    commit) redis_start yes always ;;
    esac
    list=$(tr ' ' ',' <<<"$engines")${address:+,$address}
    set -- --engine "$list" --records "$records" --durability "$level" --repeat "$repeats" \
        --path "$scratch/db" "$@"
    echo "report: $name, $(date +%H:%M:%S)" >&2
    "$warp" bench "$@" --csv "$scratch/$name.csv" --plot "$scratch/$name" \
        --json "$scratch/$name.json" >"$scratch/$name.txt" 2>"$scratch/$name.err"
    rc=$?
    redis_stop
    if [[ ! -s $scratch/$name.csv ]]; then
        echo "report: $name failed ($rc): $(tail -n 1 "$scratch/$name.err")" >&2
        status=3
        return
    fi
    if [[ $rc -ne 0 ]]; then
        cat "$scratch/$name.err" >&2
        [[ $rc -eq 1 ]] && status=1
    fi
    cp "$scratch/$name.csv" "$out/"
    cp "$scratch/$name"-*.svg "$out/"
    sed "s|$scratch|.|g" "$scratch/$name.txt" >"$out/$name.txt"
    if [[ -n ${REPORT_KEEP:-} ]]; then
        mkdir -p "$REPORT_KEEP" && cp "$scratch/$name.json" "$REPORT_KEEP/"
    fi
    commands+=("warp bench $(sed "s|$scratch/db|DIR|; s|resp://[^, ]*|resp://127.0.0.1:PORT|" <<<"$*")")
    {
        printf '\n## %s\n\n' "$sentence"
        tables "$out/$name.csv"
        for plot in "$scratch/$name"-*.svg; do
            printf '![%s](%s)\n' "$(basename "$plot" .svg)" "$(basename "$plot")"
        done
        printf '\nAll figures: [%s.txt](%s.txt), [%s.csv](%s.csv)\n' "$name" "$name" "$name" "$name"
    } >>"$scratch/parts.md"
}

# One table for the rates and one for p99: a line per workload, a column per engine, the best bold.
tables() {
    awk -F, '
        function figure(f) { return f >= 99.95 ? sprintf("%.0f", f) : f >= 9.995 ? sprintf("%.1f", f) : sprintf("%.2f", f) }
        FNR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
        {
            line = $column["workload"] ", " $column["threads"] ($column["depth"] > 1 ? " x " $column["depth"] : "")
            # An engine that runs blocking where others have a session is in the line of the session.
            if (!((name = $column["workload"] SUBSEP $column["threads"]) in first)) { first[name] = line; lines[++n] = name }
            if ($column["depth"] > 1) first[name] = line
            if (!($column["engine"] in seen)) { seen[$column["engine"]] = 1; names[++m] = $column["engine"] }
            ok[name, $column["engine"]] = $column["status"] == "ok"
            rate[name, $column["engine"]] = $column["operations_per_second"] / 1e3
            p99[name, $column["engine"]] = $column["p99_ns"] / 1e3
            low[name, $column["engine"]] = $column["interval_low"]
            high[name, $column["engine"]] = $column["interval_high"]
        }
        function table(title, value, larger,    i, j, best, cell) {
            printf "%s\n\n| workload, threads |", title
            for (j = 1; j <= m; j++) printf " %s |", names[j]
            printf "\n|---|"
            for (j = 1; j <= m; j++) printf "---:|"
            printf "\n"
            for (i = 1; i <= n; i++) {
                best = ""
                for (j = 1; j <= m; j++) if (ok[lines[i], names[j]] &&
                    (best == "" || (larger ? value[lines[i], names[j]] > best : value[lines[i], names[j]] < best)))
                    best = value[lines[i], names[j]]
                printf "| %s |", first[lines[i]]
                for (j = 1; j <= m; j++) {
                    cell = ok[lines[i], names[j]] ? figure(value[lines[i], names[j]]) : "failed"
                    printf " %s |", (ok[lines[i], names[j]] && value[lines[i], names[j]] == best) ? "**" cell "**" : cell
                }
                printf "\n"
            }
            printf "\n"
        }
        END {
            table("Thousand operations per second (medians):", rate, 1)
            table("p99 of the latency, us:", p99, 0)
        }' "$1"
}

# Where another engine has the better median.
losses() {
    awk -F, '
        FNR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; part = FILENAME; sub(/.*\//, "", part); sub(/\.csv$/, "", part); next }
        $column["status"] == "ok" {
            name = part ": " $column["workload"] ", " $column["threads"] " thread(s)"
            if (!(name in seen)) { seen[name] = 1; order[++n] = name }
            e = $column["engine"]
            if (e == "warp") { ours[name] = $column["operations_per_second"]; our99[name] = $column["p99_ns"] }
            else {
                if ($column["operations_per_second"] > best[name]) { best[name] = $column["operations_per_second"]; who[name] = e }
                if (!(name in best99) || $column["p99_ns"] < best99[name]) { best99[name] = $column["p99_ns"]; who99[name] = e }
            }
        }
        END {
            for (i = 1; i <= n; i++) {
                name = order[i]
                if (!(name in ours)) continue
                # Less than 2 % is no loss; where a p99 is the bound, it is no figure to win.
                if (best[name] > 1.02 * ours[name]) printf "- %s: %s does %.2f times as many operations\n", name, who[name], best[name] / ours[name]
                if (name !~ /^limit:/ && name in best99 && best99[name] < 0.98 * our99[name]) printf "- %s: the p99 of %s is %.2f of ours\n", name, who99[name], best99[name] / our99[name]
            }
        }' "$@"
}

begin=$(date +%s)
part interval interval "On stable storage about every 100 ms (interval), closed loop" \
    --workload ycsb-a,ycsb-b,ycsb-f,overwrite,readrandom,multiget --duration-s "$seconds"
part fill interval "Filling an empty database, scattered keys (interval)" \
    --workload fillrandom --duration-s "$(awk "BEGIN { print 3 * $seconds }")"
part commit commit "On stable storage before the answer (commit), closed loop" \
    --workload overwrite --threads 1,16 --duration-s "$seconds"
part session commit "Many in flight, on stable storage before the answer (commit, 64 in flight)" \
    --workload ycsb-a --depth 64 --duration-s "$seconds"
part open interval "Open loop: 10,000 operations per second that come at random (interval), latency from the intended start" \
    --workload ycsb-a,readrandom --rate poisson:10000 --duration-s "$seconds"
repeats=1 part limit interval "The highest rate whose p99, from the intended start, is at most 1 ms (interval)" \
    --workload ycsb-b --limit-p99-us 1000 --duration-s "$(awk "BEGIN { print $seconds / 3 }")"

if ! ls "$out"/*.csv >/dev/null 2>&1; then
    exit 3
fi
first=$(ls "$out"/*.txt | head -n 1)
[[ -f $out/interval.txt ]] && first=$out/interval.txt
{
    echo "# The standard comparison"
    echo
    echo "Made by \`make bench-report\` in $((($(date +%s) - begin + 59) / 60)) minutes:" \
        "$records records of 16 + 100 bytes, $repeats runs of $seconds s each, engines in turns;" \
        "how it is measured, and how each engine is set up and why that is fair, is in" \
        "[BENCHMARKS.md](../BENCHMARKS.md). Every value that was read has been checked."
    echo
    echo "## Where WarpEngine loses"
    echo
    losses "$out"/*.csv >"$scratch/losses"
    if [[ -s $scratch/losses ]]; then cat "$scratch/losses"; else echo "In no line of these tables."; fi
    cat "$scratch/parts.md"
    echo
    echo "## Environment"
    echo
    echo '```'
    sed -n '1,/^$/p' "$first" | sed '/^$/d'
    echo '```'
    echo
    echo "## Commands"
    echo
    echo '```'
    printf '%s\n' "${commands[@]}"
    echo '```'
} >"$out/README.md"
echo "report: $out/README.md" >&2
exit $status
