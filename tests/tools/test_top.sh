#!/bin/bash
# `warp top` beside a process that has the database open: in a pipe, in a terminal of 80 by 24, as JSON, when
# that process is stopped, dead or was never there.
#
#   WARP=build/warp
set -uo pipefail
: "${WARP:=build/warp}"
WARP=$(readlink -f "$WARP")
scratch=$(mktemp -d)
cd "$scratch" || exit 3
passed=0
failed=0
shell_process=
finish() {
    if [[ -n $shell_process ]]; then
        kill -CONT "$shell_process" 2>/dev/null
        kill -KILL "$shell_process" 2>/dev/null
    fi
    wait 2>/dev/null
    rm -rf "$scratch"
}
trap finish EXIT
good() { passed=$((passed + 1)); }
bad() {
    failed=$((failed + 1))
    echo "FAILED: $*"
}
has() { if [[ $1 == *"$2"* ]]; then good; else bad "no [$2] in [${1:0:900}]"; fi; }
until_true() {
    local left=$(($1 * 20))
    shift
    while ! "$@"; do
        left=$((left - 1))
        [[ $left -gt 0 ]] || return 1
        sleep 0.05
    done
}
lines_are() { [[ $(wc -l <"$1") -ge $2 ]]; }

# ---- usage, and what is not there ----
for arguments in "-n 0" "-n x" "-i 0" "-i 0.01" "-i 4000" "-i x" "a b" "--nonsense"; do
    # Words are what is wanted.
    # shellcheck disable=SC2086
    "$WARP" top $arguments >/dev/null 2>error </dev/null
    if [[ $? -eq 2 ]]; then good; else bad "top $arguments is not refused: $(cat error)"; fi
done
out=$("$WARP" top -n 1 -i 0.1 nowhere)
if [[ $? -eq 1 ]]; then good; else bad "the status of what is not there"; fi
has "$out" "nowhere  absent"

# ---- beside a process at work ----
mkfifo pipe
"$WARP" shell --path db --durability interval --shards 3 --slow-us 1 --hot-keys <pipe >out 2>&1 &
shell_process=$!
exec 7>pipe
for i in $(seq 300); do echo "put key-$i value"; done >&7
until_true 60 lines_are out 300 || bad "the database does not open"
published() { "$WARP" metrics --path db 2>/dev/null | grep -q '^warp_puts_total 300$'; }
until_true 20 published || bad "300 puts are not published"
(for _ in $(seq 100); do
    for i in $(seq 20); do echo "put key-$i value"; done
    for i in $(seq 20); do echo "get key-$i"; done
    sleep 0.05
done >&7) &
writer=$!
"$WARP" top -n 3 -i 0.5 db >text 2>error </dev/null
if [[ $? -eq 0 ]]; then good; else bad "its status: $(cat error)"; fi
"$WARP" top -n 3 -i 0.5 --json db >json 2>error </dev/null
wait "$writer"
if grep -q $'\033' text; then bad "escape codes in a pipe"; else good; fi
if [[ $(grep -c '^gets/s' text) -eq 3 && $(grep -c '^$' text) -ge 3 ]]; then good; else bad "not three blocks: $(cat text)"; fi
if awk 'length > 100 { exit 1 }' text; then good; else bad "a line is too long: $(awk 'length > 100' text)"; fi
text=$(cat text)
has "$text" "db  running, pid $shell_process"
has "$text" "pressure 0, calm"
has "$text" "slow calls: "
has "$text" "hot keys:  key-"
# Where everything is slow, the last ones may all be gets.
if grep -qE '(put|get) key-' text; then good; else bad "no slow call with its key in [$text]"; fi
for shard in 0 1 2; do
    if grep -qE "^$shard +[0-9]+ " text; then good; else bad "no shard $shard"; fi
done
if grep -E '^puts/s' text | grep -qvE '^puts/s (0|-) '; then good; else bad "no puts in [$text]"; fi
if python3 - <<'END'; then good; else bad "the JSON: $(head -c 600 json)"; fi
import json
looks = [json.loads(line) for line in open("json")]
assert len(looks) == 3
pairs = 0
for before, now in zip(looks, looks[1:]):
    assert now["state"] == "running" and now["age_s"] < 60
    if now["interval_s"] is None:
        continue
    took = now["values"]["warp_uptime_seconds"] - before["values"]["warp_uptime_seconds"]
    assert abs(took - now["interval_s"]) < 1e-5, (took, now["interval_s"])
    for name, rate in now["rates"].items():
        grown = now["values"][name] - before["values"][name]
        assert abs(grown / took - rate) <= 0.01 + abs(rate) * 1e-3, (name, grown, took, rate)
    pairs += 1
assert pairs >= 1
assert any(look["rates"].get("warp_puts_total", 0) > 0 for look in looks)
END

# ---- the same from stat ----
"$WARP" stat --json --path db >json 2>error
if python3 - <<'END'; then good; else bad "stat: $(cat error) $(head -c 600 json)"; fi
import json
stat = json.load(open("json"))
assert stat["source"]["state"] == "running"
times = stat["times_s"]["warp_write_seconds"]
assert times["count"] == stat["metrics"]["warp_write_seconds_count"] > 300
assert 0 < times["p50"] <= times["p99"] <= times["p999"] <= times["max"] <= times["sum"]
END

# ---- in a terminal ----
if python3 - "$WARP" <<'END'; then good; else bad "in a terminal"; fi
import fcntl, os, pty, re, struct, sys, termios, time
pid, terminal = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    os.execv(sys.argv[1], [sys.argv[1], "top", "-i", "0.2", "db"])
text = b""
end = time.monotonic() + 30
pressed = False
while time.monotonic() < end:
    try:
        more = os.read(terminal, 65536)
    except OSError:
        break
    if not more:
        break
    text += more
    if text.count(b"\033[H") >= 4 and not pressed:
        modes = termios.tcgetattr(terminal)[3]
        assert not modes & termios.ICANON, "it waits for whole lines"
        os.write(terminal, b"q")
        pressed = True
_, status = os.waitpid(pid, 0)
assert status == 0, status
text = text.decode()
assert text.startswith("\033[?1049h\033[?25l") and text.endswith("\033[?25h\033[?1049l"), repr(text[-60:])
screens = text.split("\033[H")[1:]
assert len(screens) >= 4
for screen in screens:
    lines = re.sub(r"\033\[[?0-9]*[A-Za-z]", "", screen).split("\r\n")
    assert len(lines) <= 24, len(lines)
    assert max(map(len, lines)) <= 80, max(lines, key=len)
assert "gets/s" in screens[-1] and "hot keys:  key-" in screens[-1] and "shard" in screens[-1] and "slow calls" in screens[-1]
END

# ---- stopped: what it shows is what is published ----
kill -STOP "$shell_process"
stopped() { "$WARP" top -n 1 -i 0.1 db | grep -q "^db  stopped"; }
if until_true 20 stopped; then good; else bad "it is not seen to be stopped"; fi
"$WARP" metrics --path db | grep -v '^#' >metrics
"$WARP" top -n 1 -i 0.1 --json db >json
if python3 - <<'END'; then good; else bad "other numbers than the metrics"; fi
import json
values = json.loads(open("json").read())["values"]
metrics = dict(line.split() for line in open("metrics") if "{" not in line)
assert len(values) > 90
for name, value in values.items():
    assert abs(float(metrics[name]) - value) <= 1e-9 * max(1, abs(value)), (name, value, metrics[name])
END
kill -CONT "$shell_process"
kill -KILL "$shell_process"
wait "$shell_process" 2>/dev/null
shell_process=
exec 7>&-
died() { "$WARP" top -n 1 -i 0.1 db | grep -q "^db  died"; }
if until_true 20 died; then good; else bad "it is not seen to be dead"; fi
has "$("$WARP" top -n 1 -i 0.1 db)" "puts/s -"
echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
