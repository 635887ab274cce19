#!/bin/bash
# The demonstration: load what this machine knows about Debian's packages into a database that is
# allowed half as much memory, look some up in memory and on disk, die by SIGKILL and have the favourites
# back, change some, die in the middle of writing, recover, prove that nothing acknowledged is
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
cap=24M             # of memory: less than the data
fit=(--path "$db" --memory-bytes "$cap")

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
    fold -s -w 70 <<<"\$ warp$line" | sed -e '$!s/$/\\/' -e '2,$s/^/    /' -e "s/^.*$/  $dim&$plain/"
    "$WARP" "$@" 2>&1 | sed -e "s:$place/::g" | fold -s -w 74 | sed -e 's/^/    /'
    status=${PIPESTATUS[0]}
    return "$status"
}
stop() {
    printf '\n%sdemo: %s%s\n' "$red" "$1" "$plain" >&2
    exit 1
}
number() { sed -e ':again' -e 's/\B[0-9]\{3\}\>/,&/; t again' <<<"$1"; }
now() { date +%s.%N; }
metric() { awk -v name="$1" '$1 == name { print $2 }' "$2"; } # NAME FILE
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }

[[ -x $WARP ]] || stop "there is no $WARP, run make first"

section "WarpEngine $("$WARP" --version | sed 's/^warp //'), on $(nproc) CPUs"
say "a database in $(df --output=fstype "$place" | tail -n 1 | tr -d ' '), durability commit: what is acknowledged is durable"

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
    show load "${fit[@]}" --segment-bytes 4M --format debian --prefix available: index || stop "the load failed"
fi
if [[ $installed -gt 0 ]]; then
    show load "${fit[@]}" --segment-bytes 4M --format debian --prefix installed: "$dpkg_status" || stop "the load failed"
fi
records=$(echo count | "$WARP" shell "${fit[@]}")
say "$(number "$records") records (packages listed twice in the same version are one record)"

# ---- tiers ----
section "2. Twice as much data as memory"
say "all keys are in memory, and of the values those that are asked for; the rest"
say "is on disk: first in the log, then in archives of compressed blocks"
show compact "${fit[@]}" || stop "the compaction failed"
"$WARP" stat "${fit[@]}" >stat.out 2>&1
awk -v raw="$(stat -c %s index)" -v disk="$(du -B1 -s "$db" | cut -f1)" \
    '/^  archives/ { files = $2; bytes = $3 " " $4 }
     END { printf "  the archives: %d, %s; all in all the directory takes %.1f MiB\n", files, bytes, disk / 1048576
           printf "  for %.1f MiB of data: a space amplification of %.2f\n", raw / 1048576, disk / raw }' stat.out
# Ask for many by name and version; the first line of each answer must have the name.
names() { # PREFIX FILE: "name key" of each paragraph
    awk -v prefix="$1" '
        function flush() { if (p != "" && v != "") print p, prefix p "=" v; p = ""; v = "" }
        /^Package: / { p = $2 } /^Version: / { v = $2 } /^$/ { flush() } END { flush() }' "$2"
}
{
    names available: index
    [[ $installed -gt 0 ]] && names installed: "$dpkg_status"
} | shuf -n 20000 --random-source=<(yes) >all
head -n 4000 all >favourites
cat favourites favourites favourites favourites all favourites >asked
mkfifo pipe
"$WARP" shell "${fit[@]}" <pipe >session 2>&1 &
writer=$!
exec 9>pipe
awk '{ print "get " $2 }' asked >&9
printf 'checkpoint\nstat\n' >&9
for _ in $(seq 300); do
    grep -q '^warp_uptime_seconds' session && break
    sleep 0.1
done
if cmp -s <(awk '{ print "Package: " $1 }' asked) <(grep '^Package: ' session); then
    ok "$(number "$(wc -l <asked)") packages asked for by name and version: all answers right"
else
    not_ok "some of $(wc -l <asked) look-ups were answered wrongly"
fi
tiers() { # FILE: who answered
    awk '$1 == "warp_gets_total" { gets = $2 } $1 == "warp_cold_gets_total" { cold = $2 }
         $1 == "warp_disk_read_seconds_sum" { sum = $2 }
         $1 == "warp_disk_read_seconds_count" { count = $2 }
         END { printf "      from memory  %6d  (%.0f %%)\n", gets - cold, gets ? (gets - cold) * 100 / gets : 0
               printf "      from disk    %6d, %.2f ms each\n", cold, count ? sum * 1000 / count : 0 }' "$1"
}

tiers session

section "3. Die by kill -KILL, and have the favourites back"
if kill -KILL "$writer" 2>/dev/null; then ok "killed"; else not_ok "it was gone already"; fi
wait "$writer" 2>/dev/null
exec 9>&-
writer=
{ sleep 1.5; awk '{ print "get " $2 }' favourites; echo stat; } | "$WARP" shell "${fit[@]}" >session 2>&1
if cmp -s <(awk '{ print "Package: " $1 }' favourites) <(grep '^Package: ' session); then
    ok "open again after $(awk -v s="$(metric warp_recovery_seconds session)" 'BEGIN { printf "%.0f", s * 1000 }') ms," \
        "with all $(number "$(metric warp_recovery_records session)") records; $(number "$(metric warp_warm_values_total session)") values were read"
    say "    back into memory by $(number "$(metric warp_warm_reads_total session)") big reads in the background"
else
    not_ok "some of the favourites are not what they were"
fi
say "the favourites once more:"
tiers session

# ---- changing ----
section "4. Look one up, change some"
package=$(awk '/^Package: / { p = $2 } /^Version: / { if (p == "bash") { print p "=" $2; exit } }' "$dpkg_status" index)
[[ -n $package ]] || package=$(awk '/^Package: / { p = $2 } /^Version: / { print p "=" $2; exit }' "$dpkg_status" index)
for prefix in installed available; do
    if "$WARP" get "${fit[@]}" "$prefix:$package" >found 2>/dev/null; then
        printf '  %s$ warp get %s:%s%s\n' "$dim" "$prefix" "$package" "$plain"
        grep -E '^(Package|Status|Version|Installed-Size|Description|Depends):' found | cut -c1-72 | sed 's/^/      /'
        break
    fi
done
show put "${fit[@]}" "note:$package" "the one that I use"
expect "the one that I use" "$("$WARP" get "${fit[@]}" "note:$package")" "it reads back"
show put "${fit[@]}" --if-absent "note:$package" "another note"
expect 1 $? "a condition that does not hold writes nothing (exit status 1)"
show incr "${fit[@]}" visits 41
show incr "${fit[@]}" visits
expect 42 "$("$WARP" get "${fit[@]}" visits)" "numbers add up"
show del "${fit[@]}" "installed:$package"
"$WARP" get "${fit[@]}" "installed:$package" >/dev/null 2>&1
expect 1 $? "what is removed is gone (exit status 1)"
show put "${fit[@]}" --ttl-ms 300 "session:me" "logged in"
sleep 0.5
"$WARP" get "${fit[@]}" session:me >/dev/null 2>&1
expect 1 $? "what has expired is gone (exit status 1)"

# ---- dying ----
section "5. Die in the middle of writing, three times"
fingerprint() {
    "$WARP" dump "${fit[@]}" --format tsv 2>/dev/null | grep -v '^torture/' | LC_ALL=C sort | sha256sum
}
before=$(fingerprint)
say "16 threads put, delete and write batches of 16 keys, at durability commit;"
say "each notes in a file elsewhere what was acknowledged to it; then: kill -KILL"
for round in 1 2 3; do
    rm -f acknowledged
    "$WARP" torture-writer "${fit[@]}" --ack-file acknowledged --threads 16 --keys 500 \
        --value-bytes-max 16K --seed "$round" >writer.out 2>&1 &
    writer=$!
    for _ in $(seq 300); do
        grep -q '^A' acknowledged 2>/dev/null && break
        sleep 0.05
    done
    sleep 0.$((round + 5))
    if ! kill -KILL "$writer" 2>/dev/null; then
        cat writer.out
        stop "the writer ended before it was killed"
    fi
    wait "$writer" 2>/dev/null
    writer=
    printf '\n  %sround %s: killed after %s acknowledged writes%s\n' "$bold" "$round" \
        "$(number "$(grep -c '^A' acknowledged)")" "$plain"
    "$WARP" torture-check "${fit[@]}" --ack-file acknowledged >checked 2>&1
    status=$?
    fold -s -w 74 checked | sed -e 's/^/    /'
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
section "6. A short race: YCSB A, 100-byte values, 2 threads"
say "durability interval: the log is synced ten times a second. A few seconds say"
say "little: the README has the long runs"
if "$WARP" bench --workload ycsb-a --records 100000 --duration-s 2 --threads 2 --key-bytes 16 \
    --value-bytes 100 --durability interval --engine warp,rocksdb,lmdb \
    --path "$place/race" >race.out 2>&1; then
    sed -n '/thousand op/,/on disk/p' race.out | cut -c1-64 | grep -vE 'p99.9|afterwards' |
        (
            printf '      %-24s%10s%14s%14s\n' "" warp rocksdb lmdb
            sed 's/^ */      /' | awk '{ n = NF; c = $n; b = $(n - 1); a = $(n - 2); $n = $(n - 1) = $(n - 2) = ""
                sub(/ +$/, ""); printf "      %-24s%10s%14s%14s\n", $0, a, b, c }'
        )
    ok "the race was run, $(grep -c '^ *verified' race.out) engines gave right values"
else
    sed 's/^/      /' race.out
    not_ok "warp bench failed"
fi

show compact "${fit[@]}" || not_ok "the last compaction failed"
section "Result"
size=$(du -sh "$db" | cut -f1)
say "$(number "$records") real records, $size on disk, 3 violent deaths, $checks checks, $wrong wrong," \
    "$((SECONDS - begin)) s"
if [[ -n ${DEMO_DIRECTORY:-} ]]; then
    say "the database is in $db:  warp shell --path $db"
else
    say "try it:  $typed --help"
    say "to keep the data:  DEMO_DIRECTORY=somewhere make demo"
fi
[[ $wrong -eq 0 ]]
