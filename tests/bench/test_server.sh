#!/bin/bash
# Tests `warp bench` against a server: tests/bench/test_server.sh [PATH-TO-WARP]
#
# The protocol, blocking and pipelined, with planted damage; what is refused; and that an open loop
# sees a server that stands still for a second, where a closed one does not. The server is a small
# one of our own (resp_server.py), and Debian's redis-server beside it where there is one.
set -u
here=$(cd "$(dirname "$0")" && pwd)
warp=${1:-${WARP:-build/warp}}
[[ $warp = /* ]] || warp=$PWD/$warp
if [[ ! -x $warp ]]; then
    echo "test_server.sh: no program at $warp" >&2
    exit 1
fi
if ! "$warp" bench --help | grep -q "servers that speak"; then
    echo "this build drives no servers (no hiredis)"
    exit 77
fi
if ! command -v python3 >/dev/null; then
    echo "no python3"
    exit 77
fi
scratch=$(mktemp -d) || exit 1
children=()
finish() {
    for child in "${children[@]}"; do
        kill -CONT "$child" 2>/dev/null
        kill -KILL "$child" 2>/dev/null
    done
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT TERM
cd "$scratch" || exit 1

passed=0
failed=0
good() { passed=$((passed + 1)); }
bad() {
    failed=$((failed + 1))
    echo "FAILED: $*"
    tail -n 3 out.txt err.txt 2>/dev/null
}
expect() {
    local wanted=$1 sentence=$2 got
    shift 2
    timeout 100 "$warp" bench "$@" >out.txt 2>err.txt
    got=$?
    if [[ $got -eq $wanted ]]; then good; else bad "$sentence: exit $got, not $wanted (bench $*)"; fi
    [[ $got -eq $wanted ]]
}
holds() {
    local sentence=$1
    shift
    if "$@" >/dev/null 2>&1; then good; else bad "$sentence"; fi
}

# server NAME ARGUMENTS...: sets server, its process, and port.
server() {
    local fifo=port.$1
    shift
    mkfifo "$fifo"
    "$@" >"$fifo" &
    server=$!
    disown "$server" # its end is no news
    children+=("$server")
    read -r port <"$fifo"
}

server ours python3 "$here/resp_server.py"
ours=$server
target=resp://127.0.0.1:$port

for workload in ycsb-a ycsb-d ycsb-f overwrite readrandom fillrandom fillseq deleterandom multiget; do
    expect 0 "$workload runs on a server" --engine "$target" --workload $workload --records 500 \
        --operations 1000 --threads 2 --durability memory --verify full
done
for workload in ycsb-a ycsb-d ycsb-f fillrandom deleterandom; do
    expect 0 "$workload runs on a server, pipelined" --engine "$target" --workload $workload \
        --records 500 --operations 4000 --depth 32 --durability memory --verify full
done
expect 0 "batches are MSET" --engine "$target" --workload overwrite --batch 9 --records 500 \
    --operations 900 --durability memory --verify full
expect 0 "large values come in parts" --engine "$target" --workload ycsb-a --records 20 \
    --operations 100 --value-bytes 300000 --depth 8 --durability memory --verify full
expect 0 "beside an engine" --engine "warp,$target" --workload ycsb-b --records 200 --operations 500 \
    --durability memory --json both.json --samples samples.jsonl &&
    holds "with both in the result, and what the server says of itself" python3 -c '
import json, sys
rows = json.load(open("both.json"))["results"]
lines = [json.loads(line) for line in open("samples.jsonl")]
sys.exit(not ([row["engine"] for row in rows] == ["warp", "resp"] and
              rows[1]["engine_version"] == "redis 7.0.0" and
              any(line.get("resp_used_memory_rss") == 1234 for line in lines)))'
for corruption in owner edge length missing; do
    expect 1 "$corruption is found" --engine "$target" --workload readrandom --records 100 \
        --operations 1000 --durability memory --corrupt-one $corruption
    expect 1 "$corruption is found when pipelined" --engine "$target" --workload readrandom \
        --records 100 --operations 1000 --depth 16 --durability memory --corrupt-one $corruption
    expect 1 "$corruption is found by MGET" --engine "$target" --workload multiget --records 100 \
        --operations 1000 --durability memory --corrupt-one $corruption
done

# What it does not promise is not measured under its name.
expect 3 "a server without a log is no commit" --engine "$target" --records 10 --operations 10
holds "and the setting is named" grep -q "appendonly no and appendfsync everysec" err.txt
expect 3 "nor interval" --engine "$target" --records 10 --operations 10 --durability interval
server second python3 "$here/resp_server.py" yes everysec
expect 0 "a second's interval is one" --engine "resp://127.0.0.1:$port" --records 10 \
    --operations 10 --durability interval
expect 3 "and still no commit" --engine "resp://127.0.0.1:$port" --records 10 --operations 10
server third python3 "$here/resp_server.py" yes always
expect 0 "always is" --engine "resp://127.0.0.1:$port/0" --records 10 --operations 10
expect 3 "there is no tenth database" --engine "resp://127.0.0.1:$port/9" --records 10 \
    --operations 10
# A key of somebody else's: it must still be there afterwards.
python3 - "$port" <<'END'
import socket, sys
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
peer.sendall(b"*3\r\n$3\r\nSET\r\n$4\r\nmine\r\n$4\r\nhere\r\n")
assert peer.recv(100) == b"+OK\r\n"
END
expect 3 "a database with keys in it is left alone" --engine "resp://127.0.0.1:$port" \
    --records 10 --operations 10
holds "with its key" python3 -c '
import socket, sys
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
peer.sendall(b"*2\r\n$3\r\nGET\r\n$4\r\nmine\r\n")
assert peer.recv(100) == b"$4\r\nhere\r\n"' "$port"
expect 3 "nobody listens" --engine resp://127.0.0.1:1 --records 10 --operations 10 --durability memory
expect 3 "no port" --engine resp://127.0.0.1 --records 10 --operations 10 --durability memory
expect 2 "a kept database is not a server's" --engine "$target" --database kept --records 10 \
    --operations 10 --durability memory

# A server that stands still for a second. It is stopped once the run is under way: the samples
# say when. The closed loop has one operation in a thousand and more that waited; the open loop all
# that were due meanwhile. Both run for at least 3 s, so the pause is in the middle.
# standstill TARGET SERVER NAME ARGUMENTS...: result in NAME.json
standstill() {
    local target=$1 server=$2 name=$3 run
    shift 3
    rm -f "$name.samples"
    timeout 100 "$warp" bench --engine "$target" --workload readrandom:4 --records 100 \
        --durability memory --warmup-s 0 --samples "$name.samples" --json "$name.json" "$@" \
        >out.txt 2>err.txt &
    run=$!
    for _ in $(seq 600); do
        # The second sample of the run itself: a second of it is over.
        if [[ $(grep -c '"workload": "readrandom"' "$name.samples" 2>/dev/null) -ge 2 ]]; then
            break
        fi
        sleep 0.05
    done
    kill -STOP "$server"
    sleep 1
    kill -CONT "$server"
    wait $run
}
cat >standstill.py <<'END'
import json, sys
closed, open_, commanded = [json.load(open(name))["results"][0] for name in sys.argv[1:4]]
# The pause is 1 s. In the closed loop one operation of many thousands has it; in the open loops some
# thousand of about four, so it is seen from the 90th percentile on.
assert closed["operations"] > 2000, closed["operations"]
assert closed["latency_ns"]["max"] > 0.9e9, closed["latency_ns"]
assert closed["latency_ns"]["p99_9"] < 0.3e9, closed["latency_ns"]
for run in (open_, commanded):
    assert run["latency_ns"]["p99_9"] > 0.7e9, run["latency_ns"]
    # Half of what was due during the pause was at least half of it late.
    assert run["latency_ns"]["p90"] > 0.3e9, run["latency_ns"]
# From the real start the same pause is one operation's: the open loop shows both.
assert open_["service_ns"]["p99_9"] < 0.3e9, open_["service_ns"]
assert open_["service_ns"]["max"] > 0.9e9, open_["service_ns"]
END
pause_on() {
    local target=$1 server=$2 name=$3
    standstill "$target" "$server" "$name-closed"
    standstill "$target" "$server" "$name-open" --rate 1000
    standstill "$target" "$server" "$name-poisson" --rate poisson:1000 --depth 4096
    if python3 standstill.py "$name-closed.json" "$name-open.json" "$name-poisson.json" >why.txt 2>&1
    then good; else bad "$name: the pause: $(tail -n 1 why.txt)"; fi
}
pause_on "$target" "$ours" ours

# Debian's Redis: the same, and its log at every level.
if command -v redis-server >/dev/null; then
    free_port() {
        python3 -c 'import socket
with socket.create_server(("127.0.0.1", 0)) as s: print(s.getsockname()[1])'
    }
    for sync in everysec always; do
        redis_port=$(free_port)
        mkdir "redis-$sync"
        redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$scratch/redis-$sync" --save '' \
            --appendonly yes --appendfsync $sync >"redis-$sync.log" 2>&1 &
        redis=$!
        disown "$redis"
        children+=("$redis")
        for _ in $(seq 200); do
            redis-cli -p "$redis_port" ping >/dev/null 2>&1 && break
            sleep 0.05
        done
        if [[ $sync == everysec ]]; then
            for workload in ycsb-a ycsb-f multiget fillrandom deleterandom; do
                expect 0 "$workload runs on redis" --engine "resp://127.0.0.1:$redis_port" \
                    --workload $workload --records 1000 --operations 3000 --threads 2 \
                    --durability interval --verify full
            done
            expect 0 "redis, pipelined" --engine "resp://127.0.0.1:$redis_port" --workload ycsb-a \
                --records 1000 --operations 20000 --depth 64 --durability interval --verify full
            pause_on "resp://127.0.0.1:$redis_port" "$redis" redis
        else
            expect 0 "redis at commit" --engine "resp://127.0.0.1:$redis_port" --workload ycsb-a \
                --records 200 --operations 400 --durability commit --verify full &&
                holds "is told" grep -q "appendonly yes, appendfsync always" out.txt
        fi
        holds "nothing is left on it" test "$(redis-cli -p "$redis_port" dbsize)" = 0
    done
fi

echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
