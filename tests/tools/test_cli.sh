#!/bin/bash
# Every command of the program as a shell meets it: output, exit status, pipes, bad input.
#
# usage: test_cli.sh        WARP=build/warp
set -uo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
WARP=${WARP:-$root/build/warp}
[[ $WARP = /* ]] || WARP=$PWD/$WARP
scratch=$(mktemp -d "${TMPDIR:-/tmp}/warp-cli-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 3
passed=0
failed=0

good() { passed=$((passed + 1)); }
bad() {
    failed=$((failed + 1))
    printf 'FAILED line %s: %s\n' "${BASH_LINENO[1]}" "$1"
}

# status WANTED COMMAND...: run, keep stdout in $out and stderr in $err, compare the status.
status() {
    local wanted=$1 got
    shift
    "$@" >stdout 2>stderr
    got=$?
    out=$(tr -d '\0' <stdout)
    err=$(tr -d '\0' <stderr)
    if [[ $got -eq $wanted ]]; then
        good
    else
        bad "status $got, not $wanted: $* | $out | $err"
    fi
}
# same WANTED GOT
same() { if [[ $1 == "$2" ]]; then good; else bad "wanted [$1], got [$2]"; fi; }
has() { if [[ $1 == *"$2"* ]]; then good; else bad "[$1] has no [$2]"; fi; }
same_file() { if cmp -s "$1" "$2"; then good; else bad "$1 and $2 differ"; fi; }
json() { if python3 -m json.tool <<<"$1" >/dev/null 2>&1; then good; else bad "no JSON: $1"; fi; }

# ---- the program ----
status 0 "$WARP" --help
for command in put get del incr load dump stat metrics top exporter gravity verify checkpoint compact salvage backup restore shell bench; do
    has "$out" "  $command "
done
same "" "$(grep -c torture stdout | grep -v '^0$')"
status 0 "$WARP" --version
has "$out" "warp 0."
status 2 "$WARP"
status 2 "$WARP" putt
has "$err" "did you mean 'put'"
status 2 "$WARP" delete
has "$err" "did you mean 'del'"
status 2 "$WARP" xyzzyxyzzy
has "$err" "no command"
for command in put get del incr load dump stat metrics top exporter gravity checkpoint compact salvage backup restore shell verify bench; do
    status 0 "$WARP" "$command" --help
    has "${out,,}" "usage: warp $command"
done
status 0 "$WARP" help put
has "$out" "Usage: warp put"

# ---- usage errors ----
status 2 "$WARP" put
status 2 "$WARP" put onlykey
status 2 "$WARP" put a b c
status 2 "$WARP" put --nonsense a b
has "$err" "--nonsense"
status 2 "$WARP" put --path
status 2 "$WARP" put --ttl-ms soon a b
status 2 "$WARP" put --if-absent --if-present a b
status 2 "$WARP" put --durability hopefully a b
status 2 "$WARP" put --shards 0 a b
status 2 "$WARP" put --shards 1000 a b
status 2 "$WARP" put --memory-bytes lots a b
status 2 "$WARP" put --segment-bytes lots a b
status 3 "$WARP" put --path odd --segment-bytes 3M a b
status 0 "$WARP" put --path small-files --segment-bytes 1M a b
if [[ $(stat -c %s small-files/log-0000000000000000.warp) -le 1100000 ]]; then
    good
else
    bad "--segment-bytes 1M makes small log files"
fi
status 2 "$WARP" put --key-hex zz b
status 2 "$WARP" get
status 2 "$WARP" get a b
status 2 "$WARP" get --hex --json a
status 2 "$WARP" incr
status 2 "$WARP" incr a 1 2
status 2 "$WARP" incr a x
status 2 "$WARP" load --format xml
status 2 "$WARP" load --batch 0
status 2 "$WARP" dump extra
status 2 "$WARP" dump --format auto
status 2 "$WARP" stat extra
status 2 "$WARP" stat --shards=0
status 2 "$WARP" stat --shards --metrics
status 2 "$WARP" gravity
status 2 "$WARP" gravity pull
status 2 "$WARP" gravity plan one two
status 2 "$WARP" gravity off --keys file one
status 2 "$WARP" shell extra
status 2 "$WARP" checkpoint extra
status 2 "$WARP" compact extra
status 2 "$WARP" backup
status 2 "$WARP" backup one two
status 2 "$WARP" backup --list --verify there
status 2 "$WARP" backup --delete 0 there
status 2 "$WARP" backup --limit fast there
status 2 "$WARP" backup --backup 1 there
status 2 "$WARP" restore
status 2 "$WARP" restore there --backup x
if [[ -e warp-data ]]; then bad "a usage error made a database"; else good; fi

# ---- put, get, del, incr ----
status 3 "$WARP" get --path none key
has "$err" "none"
if [[ -e none ]]; then bad "get made a database"; else good; fi
status 3 "$WARP" del --path none key
status 0 "$WARP" put greeting "hello, world"
same "" "$out"
status 0 "$WARP" get greeting
same "hello, world" "$out"
same 12 "$(stat -c %s stdout)"
status 1 "$WARP" get absent
same "" "$out"
status 0 "$WARP" put --json greeting again
json "$out"
has "$out" '"written":true'
sequence=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["sequence"])' "$out")
status 0 "$WARP" get --json greeting
json "$out"
has "$out" '"value":"again"'
has "$out" "\"sequence\":$sequence"
status 1 "$WARP" get --json absent
json "$out"
has "$out" '"found":false'
status 1 "$WARP" put --if-absent greeting no
status 1 "$WARP" put --json --if-absent greeting no
json "$out"
status 1 "$WARP" put --if-present nothing no
status 1 "$WARP" put --if-sequence $((sequence + 1)) greeting no
status 0 "$WARP" put --if-sequence "$sequence" greeting third
status 1 "$WARP" put --if-value again greeting no
status 0 "$WARP" put --if-value third greeting fourth
same fourth "$("$WARP" get greeting)"
status 1 "$WARP" del --if-value third greeting
status 0 "$WARP" del --if-value fourth greeting
status 1 "$WARP" del greeting
status 1 "$WARP" del --json greeting
json "$out"
status 0 "$WARP" put --ttl-ms 200 short lived
sleep 0.4
status 1 "$WARP" get short
status 0 "$WARP" put -- --odd-key --odd-value
status 0 "$WARP" get -- --odd-key
same "--odd-value" "$out"
status 0 "$WARP" incr n
same 1 "$out"
status 0 "$WARP" incr n 41
same 42 "$out"
status 0 "$WARP" incr n -50
same -8 "$out"
status 0 "$WARP" incr --json n
json "$out"
has "$out" '"number":-7'
status 1 "$WARP" incr --if-absent n
"$WARP" put word seven
status 3 "$WARP" incr word
status 0 "$WARP" incr m -9223372036854775808
status 3 "$WARP" incr m -1
status 2 "$WARP" incr m 99999999999999999999
status 3 "$WARP" put --read-only a b

# ---- bytes ----
head -c 300000 /dev/urandom >random
status 0 "$WARP" put bytes --file random
status 0 "$WARP" get bytes
same_file stdout random
status 0 "$WARP" put bytes2 - <random
"$WARP" get bytes2 | cmp -s - random && good || bad "through a pipe"
printf '' | "$WARP" put empty - && good || bad "an empty value"
status 0 "$WARP" get empty
same 0 "$(stat -c %s stdout)"
status 0 "$WARP" put --key-hex 00ff10 x
status 0 "$WARP" get --key-hex --hex 00FF10
same 78 "$out"
status 0 "$WARP" get --key-hex --json 00ff10
json "$out"
has "$out" '"key_base64":"AP8Q"'
status 3 "$WARP" put big --file none
status 3 "$WARP" put "" value
head -c 33554433 /dev/zero >toolarge
status 3 "$WARP" put big --file toolarge
head -c 33554432 /dev/zero >largest
status 0 "$WARP" put --path large big --file largest
"$WARP" get --path large big | cmp -s - largest && good || bad "the largest value"
rm -f toolarge largest

# ---- load and dump: round trips ----
python3 - <<'PY'
import base64, json, random
random.seed(7)
seen = {}
for i in range(3000):
    key = bytes(random.randrange(256) for _ in range(random.randrange(1, 40)))
    seen[key] = bytes(random.randrange(256) for _ in range(random.choice((0, 1, 7, 100, 3000))))
for i in range(256):
    seen[bytes([i])] = bytes([i, 10, 9, 92, 48, 13])
for i in range(2000):
    seen[("schlüssel %d \"\\\t\n" % i).encode()] = ("wert \U0001f600 %d" % i).encode()
with open("records.ndjson", "w") as out:
    for key, value in seen.items():
        r = {}
        for name, data in (("key", key), ("value", value)):
            try:
                r[name] = data.decode()
            except UnicodeDecodeError:
                r[name + "_base64"] = base64.b64encode(data).decode()
        out.write(json.dumps(r, ensure_ascii=len(r) % 2 == 0) + "\n")

PY
status 0 "$WARP" load --path a records.ndjson
has "$out" "loaded"
status 0 "$WARP" dump --path a
LC_ALL=C sort stdout >a.ndjson
same "$(wc -l <records.ndjson)" "$(wc -l <a.ndjson)"
python3 - <<'PY' && good || bad "dump is not what was loaded"
import base64, json
def read(name):
    result = {}
    for line in open(name, encoding="utf-8"):
        r = json.loads(line)
        part = lambda n: r[n].encode() if n in r else base64.b64decode(r[n + "_base64"])
        assert part("key") not in result
        result[part("key")] = part("value")
    return result
assert read("records.ndjson") == read("a.ndjson")
PY
status 0 bash -c "'$WARP' dump --path a | '$WARP' load --path b -"
"$WARP" dump --path b | LC_ALL=C sort >b.ndjson
same_file a.ndjson b.ndjson
status 0 "$WARP" dump --path a --format tsv --output a.tsv
has "$out" "dumped"
status 0 "$WARP" load --path c --format tsv a.tsv
"$WARP" dump --path c | LC_ALL=C sort >c.ndjson
same_file a.ndjson c.ndjson
status 0 "$WARP" load --path d --batch 100 --json a.tsv
json "$out"
has "$out" "\"records\":$(wc -l <a.ndjson)"
"$WARP" dump --path d | LC_ALL=C sort >d.ndjson
same_file a.ndjson d.ndjson
if [[ -e a.tsv.partial ]]; then bad "a partial file was left"; else good; fi
status 0 bash -c "'$WARP' dump --path a --format tsv --prefix schl | '$WARP' load --path e --prefix schl --format tsv -"
same 2000 "$(echo count | "$WARP" shell --path e)"

# a time to live survives ndjson
"$WARP" put --path ttl --ttl-ms 86400000 k v
"$WARP" dump --path ttl >ttl.ndjson
has "$(cat ttl.ndjson)" '"expires_at_ms":'
"$WARP" load --path ttl2 ttl.ndjson >/dev/null
# A time to live is given relative to now, so the moment may move by what the commands take.
if python3 -c '
import json, sys
one, two = (json.load(open(name)) for name in sys.argv[1:])
drift = one.pop("expires_at_ms") - two.pop("expires_at_ms")
sys.exit(one != two or abs(drift) > 60000)' ttl.ndjson <("$WARP" dump --path ttl2); then
    good
else
    bad "expiry did not survive: $(cat ttl.ndjson) against $("$WARP" dump --path ttl2)"
fi
status 0 "$WARP" dump --path ttl --format tsv
has "$err" "expire"
echo '{"key":"gone","value":"x","expires_at_ms":1}' >gone.ndjson
status 0 "$WARP" load --path ttl2 gone.ndjson
has "$out" "expired"

# whole objects under one of their fields
printf '{"id":"x","n":[1,2]}\n{"id":7}\n' >objects.ndjson
status 0 "$WARP" load --path objects --key id objects.ndjson
same '{"id":"x","n":[1,2]}' "$("$WARP" get --path objects x)"
same '{"id":7}' "$("$WARP" get --path objects 7)"

# Debian control files
cat >control <<'CONTROL'
Package: bash
Version: 5.2.15-2+b2
Architecture: amd64
Description: GNU Bourne Again SHell
 Bash is an sh-compatible command language interpreter.
 .
 And more.

Package: zlib1g
Architecture: amd64
Version: 1:1.2.13

Package: noversion
CONTROL
status 0 "$WARP" load --path debian control
has "$out" "loaded 3 records"
status 0 "$WARP" get --path debian bash=5.2.15-2+b2
same "$(sed -n 1,7p control)" "$out"
status 0 "$WARP" get --path debian noversion
status 0 "$WARP" dump --path debian --format debian --output control2
status 0 "$WARP" load --path debian2 control2
same "$("$WARP" dump --path debian | LC_ALL=C sort)" "$("$WARP" dump --path debian2 | LC_ALL=C sort)"
status 0 "$WARP" load --path debian3 --key Package,Architecture control
status 0 "$WARP" get --path debian3 zlib1g=amd64
status 0 "$WARP" dump --path debian3 --format debian --key Package,Architecture
status 3 "$WARP" dump --path debian3 --format debian
"$WARP" put --path debian foreign value
status 3 "$WARP" dump --path debian --format debian --output control3
if [[ -e control3 || -e control3.partial ]]; then bad "a failed dump left a file"; else good; fi
status 0 "$WARP" dump --path debian --format debian --skip-bad
has "$err" "1 records left out"
if [[ -s /var/lib/dpkg/status ]]; then
    status 0 "$WARP" load --path dpkg --prefix installed: /var/lib/dpkg/status
    status 0 "$WARP" dump --path dpkg --prefix installed: --format debian
    same "$(grep -c ^Package: /var/lib/dpkg/status)" "$(grep -c ^Package: stdout)"
    same "$(sed '/^$/d' /var/lib/dpkg/status | LC_ALL=C sort | sha256sum)" \
        "$(sed '/^$/d' stdout | LC_ALL=C sort | sha256sum)"
fi

# ---- bad input ----
printf '{"key":"a","value":"1"}\n{"key":"b"}\n{"key":"c","value":"3"}\n' >bad.ndjson
status 3 "$WARP" load --path bad bad.ndjson
has "$err" "bad.ndjson:2: there is no value"
has "$out" "stopped after 1 records"
status 0 "$WARP" load --path bad2 --skip-bad bad.ndjson
has "$err" "bad.ndjson:2:"
has "$out" "1 bad ones skipped"
same 3 "$("$WARP" get --path bad2 c)"
status 3 bash -c "'$WARP' load --path bad3 - <bad.ndjson"
has "$err" "standard input:2:"
printf 'words without form\n' >words
status 3 "$WARP" load --path bad words
has "$err" "--format"
printf '\x1f\x8b\x08\x00' >some.gz
status 3 "$WARP" load --path bad some.gz
has "$err" "zcat"
status 3 "$WARP" load --path bad nowhere.tsv
status 2 "$WARP" load --path bad --key x --format tsv bad.ndjson
: >nothing
status 0 "$WARP" load --path bad nothing
has "$out" "loaded 0 records"
status 3 bash -c "'$WARP' dump --path a >/dev/full"
has "$err" "output"
status 3 "$WARP" dump --path a --output nodir/x

# ---- stat ----
status 0 "$WARP" stat --path a
has "$out" "records"
status 0 "$WARP" stat --path a --json
json "$out"
same "$(wc -l <a.ndjson)" "$(python3 -c 'import json, sys; print(json.load(open("stdout"))["records"])')"
same True "$(python3 -c 'import json; d = json.load(open("stdout")); print(d["recovery"]["clean"] and d["disk"]["log"]["files"] >= 1 and len(d["metrics"]) > 5)')"
status 0 "$WARP" stat --path a --metrics
has "$out" "# TYPE warp_"
status 3 "$WARP" stat --path none
# what a page of 80 columns must hold
"$WARP" stat --path a | sed '/^Counters/,$d' | awk 'length > 80' >wide
same "" "$(cat wide)"
has "$("$WARP" stat --path a)" "newest              none yet"

# ---- backup and restore ----
for i in $(seq 200); do printf 'key%s\tvalue%s\n' "$i" "$i"; done >backed.tsv
status 0 "$WARP" load --path backed --format tsv backed.tsv
before=$(cd backed && cksum MANIFEST log-* | sort)
status 3 "$WARP" backup --path nowhere pool
status 0 "$WARP" backup --path backed pool
has "$out" "backup 1: "
same "" "$err"
same "$before" "$(cd backed && cksum MANIFEST log-* | sort)"
status 0 "$WARP" put --path backed late comer
status 0 "$WARP" backup --path backed pool --json --limit 100M
json "$out"
has "$out" '"number":2'
status 0 "$WARP" backup --list pool
same 2 "$(wc -l <<<"$out")"
status 0 "$WARP" backup --list pool --json
json "$out"
status 0 "$WARP" backup --verify pool
status 0 "$WARP" backup --verify pool --backup 2 --json
same '{"whole":true}' "$out"
status 1 "$WARP" backup --verify pool --backup 7
has "$err" "no backup 7"
status 0 "$WARP" restore pool --path again
has "$out" "backup 2 is restored"
same "$("$WARP" dump --path backed | sort)" "$("$WARP" dump --path again | sort)"
status 0 "$WARP" verify --path again
status 0 "$WARP" restore pool --path earlier --backup 1 --json
json "$out"
status 1 "$WARP" get --path earlier late
same value7 "$("$WARP" get --path earlier key7)"
status 3 "$WARP" restore pool --path again
has "$err" "not empty"
status 1 "$WARP" restore pool --path third --backup 9
status 3 "$WARP" restore nowhere --path third
status 3 "$WARP" backup --path backed again
has "$err" "database"
status 3 "$WARP" put --path pool a b
has "$err" "backups"
sleep 20 | "$WARP" shell --path backed >/dev/null &
holder=$!
for i in $(seq 100); do grep -q . backed/LOCK && break || sleep 0.1; done
status 3 "$WARP" backup --path backed pool
has "$err" "open already"
kill "$holder" 2>/dev/null
wait "$holder" 2>/dev/null
damaged=$(ls pool/log-*.pool | tail -1)
printf 'x' | dd of="$damaged" bs=1 seek=4200 conv=notrunc 2>/dev/null
status 1 "$WARP" backup --verify pool
has "$err" "$(basename "$damaged")"
status 3 "$WARP" restore pool --path third
has "$err" "$(basename "$damaged")"
if ls third/MANIFEST 2>/dev/null; then bad "a damaged backup was restored"; else good; fi
last=$(basename "$(ls pool/backup-*.warp | tail -1)" | sed 's/backup-0*//; s/\.warp//')
status 0 "$WARP" backup --delete "$((16#$last))" pool
status 1 "$WARP" backup --delete "$((16#$last))" pool
status 0 "$WARP" backup --verify pool

# ---- compact ----
pad=$(printf 'some words that are always the same %.0s' {1..30})
for round in 1 2 3 4 5 6 7; do # more than one log file, of 64 MiB; half of round 1 stays alive
    status 0 "$WARP" load --path compact --format tsv \
        <(seq $((round == 1 ? 1 : 10001)) 20000 | sed "s/.*/key&\tvalue&-$round $pad/")
done
status 0 "$WARP" compact --path compact
has "$out" "10,000 records moved, "
has "$out" " files removed, the log and the archives now take "
same "value7-1 $pad" "$("$WARP" get --path compact key7)"
if ls compact/archive-*.warp >/dev/null 2>&1; then good; else bad "no archive was made"; fi
status 0 "$WARP" compact --path compact --json
same "True" "$(python3 -c 'import json; d = json.load(open("stdout")); print(d["disk_bytes"] > 0 and d["records"] == 0)')"
status 3 "$WARP" compact --path none
if [[ -e none ]]; then bad "compact made a database"; else good; fi
same "ok" "$(echo compact | "$WARP" shell --path compact)"
status 0 "$WARP" verify --path compact

# ---- checkpoint ----
status 0 "$WARP" load --path checkpoint --format tsv <(seq 1 500 | sed 's/.*/key&\tvalue&/')
status 0 "$WARP" checkpoint --path checkpoint
has "$out" "checkpoint 1: 500 records, "
has "$out" "the next opening replays the log from position "
status 0 "$WARP" checkpoint --path checkpoint --json
json "$out"
has "$out" '{"number":2,"begin":'
has "$out" '"records":500,"bytes":'
status 3 "$WARP" checkpoint --path none
if [[ -e none ]]; then bad "checkpoint made a database"; else good; fi
status 3 "$WARP" checkpoint --path checkpoint --read-only
has "$err" "read"
status 0 "$WARP" stat --path checkpoint
has "$out" "newest              number 2, made "
has "$out" "index               500 records in "
has "$out" "value on disk only  500 records"
has "$out" "the next one        "
status 0 "$WARP" stat --path checkpoint --json
json "$out"
same "500 2 500 True" "$(python3 -c 'import json; d = json.load(open("stdout")); print(d["tiers"]["disk_records"], d["checkpoint"]["number"], d["checkpoint"]["records"], d["recovery"]["next_bytes"] > 4096 and d["disk"]["checkpoint"]["files"] == 2)')"
same "value7" "$("$WARP" get --path checkpoint key7)"
same "ok" "$(echo checkpoint | "$WARP" shell --path checkpoint)"
same '{"checkpoint":true}' "$(echo checkpoint | "$WARP" shell --path checkpoint --json)"
status 0 "$WARP" verify --path checkpoint
has "$out" "checkpoint 4: 500 records"
status 0 "$WARP" verify --path checkpoint --recovery-estimate
has "$out" "number 4, "
status 0 "$WARP" verify --path checkpoint --recovery-estimate --json
json "$out"
printf 'x' | dd of=checkpoint/checkpoint-0000000000000004.warp bs=1 seek=4100 conv=notrunc 2>/dev/null
status 1 "$WARP" verify --path checkpoint --json
json "$out"
has "$out" '"file":"checkpoint-0000000000000004.warp"'
same "value7" "$("$WARP" get --path checkpoint key7)"

# ---- shell ----
cat >script <<'SCRIPT'
# a comment
put 'a b' "c\td\x21"
get "a b"
put k v 100000
get k

incr n 5
incr n -7
get missing
del k
del k
put bin "\xff\0"
get bin
count
flush
stat
help
quit
get never
SCRIPT
status 0 bash -c "'$WARP' shell --path shell <script"
has "$out" "$(printf 'ok\nc\td!\nok\nv\n5\n-2\n(absent)\nok\n(absent)\nok\n"\\xff\\x00"\n3\nok\n')"
if [[ $out == *"warp>"* ]]; then bad "a prompt in a pipe"; else good; fi
status 3 bash -c "printf 'nonsense\nput\nput k %s\nget \"open\nput after ok\n' v | '$WARP' shell --path shell"
same ok "$("$WARP" get --path shell after)"
same v "$("$WARP" get --path shell k)"
"$WARP" shell --path shell --json <<<$'get k\ncount\nincr n\nput k w\nget missing\nflush\nstat' >lines
while IFS= read -r line; do json "$line"; done <lines
same 7 "$(wc -l <lines)"
status 3 bash -c "echo 'put a b' | '$WARP' shell --path shell --read-only"

# ---- one process at a time, and what is no database ----
mkfifo pipe
"$WARP" shell --path busy <pipe >answer 2>&1 &
shell_process=$!
exec 9>pipe
echo count >&9
for _ in $(seq 400); do # until it has the database; looking with a command could take it first
    [[ -s answer ]] && break
    sleep 0.05
done
status 3 "$WARP" put --path busy k v
has "$err" "$shell_process"
status 3 "$WARP" get --path busy k
status 0 "$WARP" stat --path busy
has "$out" "running: open in pid "
status 0 "$WARP" stat --path busy --json
has "$out" '"source":{"state":"running"'
status 0 "$WARP" stat --path busy --metrics
has "$out" "warp_uptime_seconds "
status 0 "$WARP" metrics --path busy --shards
has "$out" 'warp_shard_slots{shard="0"}'
status 0 "$WARP" stat --path busy --shards
has "$out" "Shards of busy, as process $shell_process has them"
status 3 "$WARP" gravity plan busy
has "$err" "$shell_process"
exec 9>&-
wait "$shell_process"
status 0 "$WARP" put --path busy k v
: >file
status 3 "$WARP" put --path file k v
mkdir foreign
echo "not ours" >foreign/MANIFEST
status 3 "$WARP" get --path foreign k
status 3 "$WARP" put --path foreign k v
same "not ours" "$(cat foreign/MANIFEST)"
if [[ $(id -u) -ne 0 ]]; then
    mkdir closed
    chmod 0 closed
    status 3 "$WARP" put --path closed k v
    chmod 700 closed
fi

# ---- shards and slots ----
status 3 "$WARP" gravity plan none
same no "$([[ -e none ]] && echo yes || echo no)"
# Tags make slots heavy; with two shards slots are dealt in turn, so shard 0 has what is even.
heavy() { # N: tags whose slot shard 0 has, so many of them
    python3 -c '
import sys, binascii
found = 0
for i in range(100000):
    tag = "tag-%d" % i
    if binascii.crc_hqx(tag.encode(), 0) % 16384 % 2 == 0:
        print(tag)
        found += 1
        if found == int(sys.argv[1]):
            break' "$1"
}
heavy 20 >tags
while read -r tag; do
    for i in 1 2 3; do printf '{%s}%d\t%s\n' "$tag" "$i" "some bytes to weigh"; done
done <tags >spread.tsv
status 0 "$WARP" load --path spread --shards 2 --format tsv spread.tsv
status 0 "$WARP" stat --path spread --shards=2 --json
json "$out"
same "60 0 2.0 bytes" "$(python3 -c '
import json, sys
s = json.load(sys.stdin)
print(s["shards"][0]["records"], s["shards"][1]["records"], s["lambda"], s["basis"])' <<<"$out")"
status 0 "$WARP" stat --path spread --shards=2
has "$out" "lambda              2.000"
status 0 "$WARP" gravity plan spread --shards 2
has "$out" "from shard 0 to shard 1: it weighs"
has "$out" "lambda 2.000"
has "$out" "none of which was made"
status 0 "$WARP" gravity plan --path spread --shards 2 --json
json "$out"
same "10 0 10 2.0 1.0" "$(python3 -c '
import json, sys
s = json.load(sys.stdin)
print(s["planned"], s["moved"], len(s["moves"]), s["lambda"], s["lambda_planned"])' <<<"$out")"
status 0 "$WARP" stat --path spread --shards=2 # a plan changes nothing
has "$out" "lambda              2.000"
status 3 "$WARP" gravity apply spread --shards 2 --read-only
status 0 "$WARP" gravity apply spread --shards 2 --quiet
same 1 "$(wc -l <stdout)"
has "$out" "1.000 after 10 moves of 10"
status 0 "$WARP" stat --path spread --shards=2
has "$out" "lambda              1.000"
status 0 "$WARP" gravity apply spread --shards 2
has "$out" "after 0 moves of 0"
status 0 "$WARP" dump --path spread --shards 2 --format tsv
same 60 "$(wc -l <stdout)"
# By requests: all of one slot is too heavy to be moved anywhere, and is said to be.
tag=$(head -1 tags)
for i in 1 2 3; do echo "{$tag}$i"; done >requests
status 0 "$WARP" gravity plan spread --shards 2 --keys requests
has "$out" "no shard could bear it better"
has "$out" "by requests"
has "$out" "after 0 moves"
status 0 "$WARP" gravity plan spread --shards 2 --keys - --json <requests
json "$out"
has "$out" '"weighed_by":"keys"'
status 3 "$WARP" gravity plan spread --shards 2 --keys /dev/null
status 3 "$WARP" gravity plan spread --shards 2 --keys nothing
status 0 "$WARP" gravity off spread --shards 2
has "$out" "slots are dealt in turn"
status 0 "$WARP" stat --path spread --shards=2
has "$out" "lambda              2.000"
# The number of shards of a database is only a map.
status 0 "$WARP" stat --path spread --shards=8 --json
same "8 60" "$(python3 -c '
import json, sys
s = json.load(sys.stdin)
print(len(s["shards"]), sum(x["records"] for x in s["shards"]))' <<<"$out")"
status 0 "$WARP" gravity plan spread --shards 1
has "$out" "after 0 moves"

# ---- verify, as the other commands end ----
status 0 "$WARP" verify --path a
status 3 "$WARP" verify --path none

# one that somebody has open: checked all the same
mkfifo commands
"$WARP" shell --path a <commands >shell-out 2>&1 &
process=$!
exec 9>commands
echo "put held value" >&9
for _ in $(seq 200); do
    grep -q ok shell-out && break # not by opening it: who comes first would keep the shell out
    sleep 0.05
done
status 0 "$WARP" verify --path a
has "$out" "a is open, by "
has "$out" "OK: no damage"
same "" "$err" # no bar where nobody looks
status 0 "$WARP" verify --path a --json
json "$out"
has "$out" '"in_use":true'
status 3 "$WARP" verify --path a --log
has "$err" "is open already, by "
status 3 "$WARP" salvage --path a --to from-held
has "$err" "a is open, by "
exec 9>&-
wait "$process"
status 0 "$WARP" verify --path a --mb-per-s 500
status 2 "$WARP" verify --path a --mb-per-s fast

# ---- salvage ----
seq 5000 | sed 's/.*/key&\tvalue of &/' >salvage.tsv
status 0 "$WARP" load --path sick --durability interval salvage.tsv
status 0 "$WARP" del --path sick key17
status 0 "$WARP" salvage --path sick --to well
has "$out" "COMPLETE: "
same 4999 "$(echo count | "$WARP" shell --path well)"
status 0 "$WARP" verify --path well
same_file <("$WARP" dump --path sick | sort) <("$WARP" dump --path well | sort)
printf 'XXXX' | dd of=sick/log-0000000000000000.warp bs=1 seek=100000 conv=notrunc 2>/dev/null
rm sick/MANIFEST
status 3 "$WARP" get --path sick key1
has "$err" "MANIFEST is missing"
status 1 "$WARP" salvage --path sick --to part --losses losses
has "$out" "damaged: log-0000000000000000.warp, offset "
has "$out" "LOSSES: "
has "$out" "MANIFEST is missing"
has "$(cat losses)" '{"kind":"range","matters":true,"file":"log-0000000000000000.warp"'
count=$(echo count | "$WARP" shell --path part)
if [[ $count -ge 4990 && $count -lt 5000 ]]; then good; else bad "$count records"; fi
status 1 "$WARP" get --path part key17
status 1 "$WARP" salvage --path sick --to anew --json
json "$out"
has "$out" '"complete":false'
status 3 "$WARP" salvage --path sick --to part
status 2 "$WARP" salvage --path sick --to sick
status 2 "$WARP" salvage --path sick
status 3 "$WARP" salvage --path foreign --to from-foreign

# ---- a writer that is killed loses nothing that it acknowledged ----
for level in commit interval; do
    for round in 1 2 3; do
        rm -f ack
        "$WARP" torture-writer --path "kill-$level" --ack-file ack --threads 4 --keys 50 \
            --value-bytes-max 20K --seed "$round" --durability "$level" >writer 2>&1 &
        process=$!
        for _ in $(seq 200); do
            [[ $(wc -l 2>/dev/null <ack) -gt 400 ]] && break
            sleep 0.02
        done
        kill -KILL "$process"
        wait "$process" 2>/dev/null
        if [[ $level == commit ]]; then
            status 0 "$WARP" torture-check --path "kill-$level" --ack-file ack --json
        else
            status 0 "$WARP" torture-check --path "kill-$level" --ack-file ack --allow-tail-loss --json
        fi
        json "$out"
        has "$out" '"violations":0'
    done
done
# what was not closed can be read without being changed, by several at once
rm -f ack
"$WARP" torture-writer --path unclean --ack-file ack --threads 2 --keys 50 >writer 2>&1 &
process=$!
for _ in $(seq 200); do
    [[ $(wc -l 2>/dev/null <ack) -gt 400 ]] && break
    sleep 0.02
done
kill -KILL "$process"
wait "$process" 2>/dev/null
before=$(cat unclean/log-* unclean/MANIFEST | sha256sum)
status 0 "$WARP" stat --path unclean --json
same False "$(python3 -c 'import json; print(json.load(open("stdout"))["recovery"]["clean"])')"
{ echo count && sleep 2; } | "$WARP" shell --path unclean --read-only >count &
reader=$!
for _ in $(seq 100); do
    [[ -s count ]] && break
    sleep 0.02
done
status 0 "$WARP" dump --path unclean
same "$(cat count)" "$(wc -l <stdout)"
status 3 "$WARP" put --path unclean k v
wait "$reader"
same "$before" "$(cat unclean/log-* unclean/MANIFEST | sha256sum)"
status 0 "$WARP" torture-check --path unclean --ack-file ack

# values leave memory, but keys that do not fit are refused, and what was written before stays
seq 200000 | sed 's/.*/key&\t0123456789012345678901234567890123456789/' >many.tsv
status 0 "$WARP" load --path roomy --memory-bytes 16M many.tsv
same 200000 "$(echo count | "$WARP" shell --path roomy)"
long=$(printf '%0120d' 0)
sed -i "s/^key/key$long/" many.tsv
status 3 "$WARP" load --path small --memory-bytes 16M many.tsv
has "$err" "memory"
stopped=$(sed -n 's/^stopped after \([0-9,]*\) records.*/\1/p' <<<"$out" | tr -d ,)
same "$stopped" "$(echo count | "$WARP" shell --path small)"

# and the checker notices what it is there to notice
"$WARP" torture-writer --path liar --ack-file ack --threads 1 --keys 5 --duration-s 1 >/dev/null
status 0 "$WARP" torture-check --path liar --ack-file ack
key=$("$WARP" dump --path liar | python3 -c '
import json, sys
print(next(k for k in (json.loads(l)["key"] for l in sys.stdin) if "/key/" in k))')
"$WARP" del --path liar "$key"
status 1 "$WARP" torture-check --path liar --ack-file ack
has "$err" "VIOLATION"
"$WARP" put --path liar "$key" "version 1 filler 0"
status 1 "$WARP" torture-check --path liar --ack-file ack
"$WARP" torture-writer --path half --ack-file ack --threads 1 --keys 5 --duration-s 1 >/dev/null
key=$("$WARP" dump --path half | python3 -c '
import json, sys
print(next(k for k in (json.loads(l)["key"] for l in sys.stdin) if "/batch/" in k and k.endswith("/3")))')
"$WARP" del --path half "$key"
status 1 "$WARP" torture-check --path half --ack-file ack
has "$err" "half there"

echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
