#!/bin/bash
# The demonstration: load what this machine knows about Debian's packages, look some up, change
# some, die by SIGKILL in the middle of writing, recover, prove that nothing acknowledged is
# missing, then race RocksDB and LMDB for a few seconds. Called by `make demo`.
#
# usage: demo.sh      WARP=build/warp   DEMO_DIRECTORY=where (default: a temporary one, removed)
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
typed=${WARP:-build/warp} # as the last line shows it
WARP=${WARP:-$root/build/warp}
[[ $WARP = /* ]] || WARP=$PWD/$WARP
lists=${APT_LISTS:-/var/lib/apt/lists}
dpkg_status=${DPKG_STATUS:-/var/lib/dpkg/status}
begin=$SECONDS
writer=

if [[ -n ${DEMO_DIRECTORY:-} ]]; then
    place=$DEMO_DIRECTORY
    mkdir -p "$place" || exit 3
else
    place=$(mktemp -d "${TMPDIR:-/tmp}/warp-demo-XXXXXX") || exit 3
fi
finish() {
    [[ -n $writer ]] && kill -KILL "$writer" 2>/dev/null
    [[ -z ${DEMO_DIRECTORY:-} ]] && rm -rf "$place"
}
trap finish EXIT
cd "$place" || exit 3
db=$place/packages

if [[ -t 1 ]]; then
    bold=$'\033[1m' dim=$'\033[2m' green=$'\033[32m' red=$'\033[31m' plain=$'\033[0m'
else
    bold='' dim='' green='' red='' plain=''
fi
checks=0
wrong=0
section() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
say() { printf '  %s\n' "$*"; }
ok() {
    checks=$((checks + 1))
    printf '  %sok%s  %s\n' "$green" "$plain" "$*"
}
not_ok() {
    checks=$((checks + 1))
    wrong=$((wrong + 1))
    printf '  %sWRONG%s  %s\n' "$red" "$plain" "$*"
}
# expect WANTED GOT SENTENCE
expect() { if [[ $1 == "$2" ]]; then ok "$3"; else not_ok "$3: wanted '$1', got '$2'"; fi; }
# show ARGUMENT...: print the command as one would type it, run it, indent what it says.
show() {
    local status word line=
    for word in "$@"; do
        word=${word//"$place/"/}
        [[ $word == *[!-+=:,./_A-Za-z0-9]* ]] && word="'$word'"
        line+=" $word"
    done
    printf '  %s$ warp%s%s\n' "$dim" "$line" "$plain"
    "$WARP" "$@" 2>&1 | sed 's/^/      /'
    status=${PIPESTATUS[0]}
    return "$status"
}
stop() {
    printf '\n%sdemo: %s%s\n' "$red" "$1" "$plain" >&2
    exit 1
}
number() { sed -e ':again' -e 's/\B[0-9]\{3\}\>/,&/; t again' <<<"$1"; }
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }

[[ -x $WARP ]] || stop "there is no $WARP, run make first"

section "WarpEngine $("$WARP" --version | sed 's/^warp //'), on $(nproc) CPUs"
say "a database in $(df --output=fstype "$place" | tail -n 1 | tr -d ' '), durability commit:" \
    "every acknowledged write is on stable storage"

# ---- the data ----
section "1. Real data: what this machine knows about Debian"
for index in "$lists"/*_Packages*; do
    [[ -s $index ]] || continue
    case $index in
    *.diff* | *_partial*) continue ;;
    *_Packages) cat "$index" ;;
    *.lz4) lz4cat -q "$index" 2>/dev/null || /usr/lib/apt/apt-helper cat-file "$index" ;;
    *.gz) zcat "$index" ;;
    *.xz) xzcat "$index" ;;
    *.zst) zstdcat -q "$index" ;;
    *) continue ;;
    esac
    echo
done >index 2>/dev/null
available=$(grep -c '^Package:' index)
installed=$(grep -c '^Package:' "$dpkg_status" 2>/dev/null)
installed=${installed:-0}
if [[ $available -gt 0 ]]; then
    say "package index: $(number "$available") paragraphs, $(du -h --apparent-size index | cut -f1)"
else
    say "package index: none here (apt-get update would fetch it), going on without"
fi
say "installed packages: $(number "$installed") paragraphs"
[[ $((available + installed)) -gt 0 ]] || stop "this machine has neither a package index nor dpkg's status"
if [[ $available -gt 0 ]]; then
    show load --path "$db" --format debian --prefix available: index || stop "the load failed"
fi
if [[ $installed -gt 0 ]]; then
    show load --path "$db" --format debian --prefix installed: "$dpkg_status" || stop "the load failed"
fi
records=$(echo count | "$WARP" shell --path "$db")
say "$(number "$records") records (packages listed twice in the same version are one record)"

# ---- looking up ----
section "2. Look some up"
package=$(awk '/^Package: / { p = $2 } /^Version: / { if (p == "bash") { print p "=" $2; exit } }' "$dpkg_status" index)
[[ -n $package ]] || package=$(awk '/^Package: / { p = $2 } /^Version: / { print p "=" $2; exit }' "$dpkg_status" index)
for prefix in installed available; do
    if "$WARP" get --path "$db" "$prefix:$package" >found 2>/dev/null; then
        printf '  %s$ warp get %s:%s%s\n' "$dim" "$prefix" "$package" "$plain"
        grep -E '^(Package|Status|Version|Installed-Size|Description|Depends):' found | cut -c1-72 | sed 's/^/      /'
        break
    fi
done
# Ask for many by name and version; the first line of each answer must have the name.
names() { # PREFIX FILE: "name key" of each paragraph
    awk -v prefix="$1" '
        function flush() { if (p != "" && v != "") print p, prefix p "=" v; p = ""; v = "" }
        /^Package: / { p = $2 } /^Version: / { v = $2 } /^$/ { flush() } END { flush() }' "$2"
}
{
    names available: index
    [[ $installed -gt 0 ]] && names installed: "$dpkg_status"
} | shuf -n 20000 --random-source=<(yes) >asked
start=$(now)
awk '{ print "get " $2 }' asked | "$WARP" shell --path "$db" | grep '^Package: ' >answers
seconds=$(since "$start")
if cmp -s <(awk '{ print "Package: " $1 }' asked) answers; then
    ok "$(number "$(wc -l <asked)") packages asked for by name and version through a pipe:" \
        "all answers right, $seconds s with opening"
else
    not_ok "some of $(wc -l <asked) look-ups were answered wrongly"
fi

# ---- changing ----
section "3. Change some"
show put --path "$db" "note:$package" "the one that I use"
expect "the one that I use" "$("$WARP" get --path "$db" "note:$package")" "it reads back"
show put --path "$db" --if-absent "note:$package" "another note"
expect 1 $? "a condition that does not hold writes nothing (exit status 1)"
show incr --path "$db" visits 41
show incr --path "$db" visits
expect 42 "$("$WARP" get --path "$db" visits)" "numbers add up"
show del --path "$db" "installed:$package"
"$WARP" get --path "$db" "installed:$package" >/dev/null 2>&1
expect 1 $? "what is removed is gone (exit status 1)"
show put --path "$db" --ttl-ms 300 "session:me" "logged in"
sleep 0.5
"$WARP" get --path "$db" session:me >/dev/null 2>&1
expect 1 $? "what has expired is gone (exit status 1)"

# ---- dying ----
section "4. Die in the middle of writing, three times"
fingerprint() {
    "$WARP" dump --path "$db" --format tsv 2>/dev/null | grep -v '^torture/' | LC_ALL=C sort | sha256sum
}
before=$(fingerprint)
say "16 threads put, delete and write batches of 16 keys, at durability commit; each notes in"
say "a file outside the database what was acknowledged to it; then comes  kill -KILL"
for round in 1 2 3; do
    rm -f acknowledged
    "$WARP" torture-writer --path "$db" --ack-file acknowledged --threads 16 --keys 500 \
        --value-bytes-max 16K --seed "$round" >writer.out 2>&1 &
    writer=$!
    for _ in $(seq 300); do
        grep -q '^A' acknowledged 2>/dev/null && break
        sleep 0.05
    done
    sleep 1.$round
    if ! kill -KILL "$writer" 2>/dev/null; then
        cat writer.out
        stop "the writer ended before it was killed"
    fi
    wait "$writer" 2>/dev/null
    writer=
    printf '\n  %sround %s: killed after %s acknowledged writes%s\n' "$bold" "$round" \
        "$(number "$(grep -c '^A' acknowledged)")" "$plain"
    "$WARP" torture-check --path "$db" --ack-file acknowledged >checked 2>&1
    status=$?
    sed 's/^/      /' checked
    if [[ $status -eq 0 ]]; then
        ok "every acknowledged write is there, every batch is whole"
    else
        not_ok "the check ended with $status"
    fi
done
expect "$before" "$(fingerprint)" "the $(number "$records") packages are, byte for byte, as before"
if show verify --path "$db"; then
    ok "every checksum of every file is right"
else
    not_ok "warp verify found something"
fi

# ---- racing ----
section "5. A short race: half reads, half writes, Zipf 0.99 (YCSB A), 100-byte values, 2 threads"
race=(bench --workload ycsb-a --records 200000 --duration-s 4 --threads 2 --key-bytes 16
    --value-bytes 100 --durability interval --engine warp,rocksdb,lmdb --path "$place/race")
say "durability interval: the log is synced ten times a second; a few seconds say little, the"
say "README has the long runs"
if show "${race[@]}"; then
    ok "the race was run"
else
    not_ok "warp bench failed"
fi

section "Result"
size=$(du -sh "$db" | cut -f1)
say "$(number "$records") real records, $size on disk, 3 violent deaths, $checks checks, $wrong wrong," \
    "$((SECONDS - begin)) s"
if [[ -n ${DEMO_DIRECTORY:-} ]]; then
    say "the database is in $db:  warp shell --path $db"
else
    say "try it:  $typed --help     DEMO_DIRECTORY=somewhere make demo  keeps the data"
fi
[[ $wrong -eq 0 ]]
