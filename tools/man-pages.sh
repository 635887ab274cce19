#!/bin/bash
# Makes the manual pages from what the program and the header say of themselves: `make docs` writes
# them, `make check` compares. warp-durability(7) is written by hand, warp-metrics(7) is
# metrics-doc.sh's.
#
# usage: man-pages.sh warp.1 | warp-bench.1 | warp.h.3      (WARP=build/warp: the program)
set -euo pipefail
cd "$(dirname "$0")/.."
: "${WARP:=build/warp}"
version=$(sed -n 's/^#define WARP_VERSION_\(MAJOR\|MINOR\|PATCH\) //p' include/warp/warp.h | paste -sd.)

# What awk needs of the pages' language: escape(text) gives a line that means just itself.
escape='
function escape(text) {
    gsub(/\\/, "\\e", text); gsub(/-/, "\\-", text)
    if (text ~ /^[.\x27]/) text = "\\&" text
    return text
}'

# The text of a --help on standard input. common=1: the options of every command, and only those.
from_help() {
    awk -v common="${1:-0}" "$escape"'
    function verbatim(on) {
        if (on != fixed) print on ? ".RS\n.nf" : ".fi\n.RE"
        fixed = on
    }
    function option(line,    head, text) {
        verbatim(0)
        head = line; sub(/^ +/, "", head); text = ""
        if (match(head, /   *[^ ]/)) { text = substr(head, RSTART); head = substr(head, 1, RSTART - 1) }
        else if (substr(line, 26, 1) == " " && length(line) > 26) { text = substr(line, 27); head = substr(line, 3, 23) }
        sub(/^ +/, "", text); sub(/ +$/, "", head)
        printf ".TP\n.B %s\n", escape(head)
        if (text != "") print escape(text)
        tagged = 1; empty = text == ""
    }
    /^Options of every command:/ { every = 1; next }
    every && /^$/ { every = 0; next }
    every != common { next }
    /^Exit status:|^exit:/ { next }
    tolower($0) ~ /^usage: / { usage = 1; verbatim(1) }
    usage && /^$/ { usage = 0; verbatim(0); print ".PP"; next }
    usage { line = $0; sub(/^(Usage|usage): /, "", line); sub(/^       /, "", line); print escape(line); next }
    /^$/ { verbatim(0); tagged = 0; pending = 1; next }
    /^  +-/ { pending = 0; option($0); next }
    tagged && match($0, /^ +/) && RLENGTH >= 18 { line = $0; sub(/^ +/, "", line); print escape(line); next }
    /^[a-z]+$/ { verbatim(0); tagged = 0; pending = 0; printf ".SS %s\n", toupper(substr($0, 1, 1)) substr($0, 2); next }
    /^ +/ { if (pending) { verbatim(0); print ".PP" } pending = 0; verbatim(1); line = $0; sub(/^  /, "", line); print escape(line); next }
    { verbatim(0); if (pending || tagged) print ".PP"; pending = tagged = 0; print escape($0) }
    END { verbatim(0) }'
}

head_of() { # NAME SECTION SUMMARY
    printf '.\\" Made by tools/man-pages.sh: do not edit.\n'
    printf '.TH %s %s "" "WarpEngine %s" "WarpEngine"\n.SH NAME\n%s \\- %s\n' \
        "$(tr '[:lower:]' '[:upper:]' <<<"$1" | sed 's/-/\\-/g')" "$2" "$version" \
        "$(sed 's/-/\\-/g' <<<"$1")" "$3"
}

page_warp() {
    local command
    head_of warp 1 "a concurrent, durable key\\-value store, from the command line"
    cat <<'EOT'
.SH SYNOPSIS
.B warp
.I command
.RI [ option ...]
.RI [ argument ...]
.SH DESCRIPTION
.B warp
works with the databases of WarpEngine: it reads and writes records, loads and dumps, checks, repairs,
backs up, shows what a running engine does, and measures. A database is a directory, which
.B \-\-path
names; without it that is
.IR ./warp\-data .
A command that writes opens it for itself; while a process has it open, others can read its metrics and
check it, but not open it.
.PP
.BI "warp help " command
and
.BI warp " command " \-\-help
say what is in this page of one command,
.B warp \-\-version
says which version it is.
.SH COMMANDS
EOT
    "$WARP" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\)  *\(.*\)/\1 \2/p' |
        while read -r command summary; do
            printf '.SS warp %s\n' "$(sed 's/-/\\-/g' <<<"$command")"
            if [[ $command == bench ]]; then
                printf '%s: see\n.BR warp\\-bench (1).\n' "${summary^}"
            else
                "$WARP" "$command" --help </dev/null | from_help 0
            fi
        done
    printf '.SH OPTIONS OF EVERY COMMAND\n'
    "$WARP" get --help | from_help 1
    cat <<'EOT'
.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
The key is absent, the condition does not hold, or a check has failed.
.TP
.B 2
Wrong usage.
.TP
.B 3
An error, which is told on standard error.
.SH FILES
.TP
.I warp\-data
The database, if
.B \-\-path
names no other: its log, checkpoints, archive, and METRICS, which other processes read.
.SH EXAMPLES
.nf
warp put \-\-path shop fruit:1 apple
warp get \-\-path shop fruit:1
xzcat records.ndjson.xz | warp load \-\-path shop \-\-key id \-
warp verify \-\-path shop && warp backup create \-\-path shop backups
.fi
.SH SEE ALSO
.BR warp\-bench (1),
.BR warp.h (3),
.BR warp\-durability (7),
.BR warp\-metrics (7)
EOT
}

page_bench() {
    local name help before=
    head_of warp-bench 1 "measure WarpEngine, alone or beside other engines"
    printf '.SH SYNOPSIS\n'
    "$WARP" bench --help | sed -n '1,/^$/p' | from_help 0
    cat <<'EOT'
.SH DESCRIPTION
.B warp bench
runs a workload against WarpEngine and, side by side, other engines, and checks every value that it
reads. Each engine has a process of its own; they take turns, run by run. What is told is, of each run
and in the medians of all of them, operations per second, latency from the mean to the maximum, CPU
time, memory, and bytes on disk, and what it was measured on. Engines are those whose libraries were there
when this program was built:
.BR rocksdb ", " lmdb ", " leveldb ", " wiredtiger ", " sqlite ", " bdb ;
.BR bound ,
a bare hash table, shows what the driver itself can do; and
.BI resp:// host : port
is a server that speaks Redis's protocol.
.B warp bench \-\-help
says which there are.
.PP
In a closed loop a thread starts an operation when the last one has ended. In an open loop
.RB ( \-\-rate )
operations are due at times that were fixed in advance, and their latency counts from then: a server that
stands still is seen by all that were due meanwhile, not only by the one that waited.
.SH OPTIONS
EOT
    "$WARP" bench --help | sed -e '1,/Engines in this build/d' -e '/^and servers that speak/d' | from_help 0
    # "a | b --c [options]" are two, of which the second has an option that makes it another.
    "$WARP" bench --help | sed -n 's/^ *warp bench \([a-z].*\) \[options\].*/\1/p' | tr '|' '\n' |
        while read -ra words; do
        help=$("$WARP" bench "${words[@]}" --help </dev/null)
        if [[ $help != "$before" ]]; then # two of them may have one text
            name=${words[0]^^}
            [[ ${#words[@]} -gt 1 ]] && name+=" ${words[*]:1}"
            printf '.SH WARP BENCH %s\n' "${name//-/\\-}"
            from_help 0 <<<"$help"
        fi
        before=$help
    done
    cat <<'EOT'
.SH EXIT STATUS
.TP
.B 0
Done; of a comparison: the second result is nowhere slower.
.TP
.B 1
Wrong data was read; of a comparison: the second result is slower, or the two have nothing in common.
.TP
.B 2
Wrong usage.
.TP
.B 3
An error, or a run that failed.
.SH EXAMPLES
.nf
warp bench \-\-engine warp,rocksdb,lmdb \-\-workload ycsb\-a,get \-\-repeat 5 \-\-plot result
warp bench \-\-workload ycsb\-b \-\-rate poisson:20000 \-\-duration\-s 10 \-\-hgrm result.hgrm
warp bench \-\-workload ycsb\-b \-\-limit\-p99\-us 1000
warp bench \-\-repeat 5 \-\-json new.json && warp bench \-\-compare old.json new.json
.fi
.SH SEE ALSO
.BR warp (1),
.BR warp\-durability (7)
EOT
}

# The head of the header, then section by section what is above each function, and its prototype.
page_header() {
    head_of warp.h 3 "a concurrent, durable, embedded key\\-value engine"
    printf '.SH SYNOPSIS\n.nf\n.B #include <warp/warp.h>\n.PP\nLink with \\fB\\-lwarp\\fR; pkg\\-config: warp, warp\\-serve.\n.fi\n.SH DESCRIPTION\n'
    awk "$escape"'
    # The lines of a comment, without its marks, paragraph by paragraph.
    function comment(text,    n, i, lines, line, table) {
        n = split(text, lines, "\n")
        for (i = 1; i <= n; i++) {
            line = lines[i]
            if (line ~ /^ *$/) { if (table) print ".fi"; table = 0; print ".PP"; continue }
            if (!table && line ~ /^   /) { print ".nf"; table = 1 }
            if (table && line !~ /^   /) { print ".fi"; table = 0 }
            if (!table && match(line, /^[A-Z][a-z]+: +/)) {
                printf ".TP\n.B %s\n%s\n", substr(line, 1, index(line, ":") - 1), escape(substr(line, RLENGTH + 1))
                while (i < n && lines[i + 1] ~ /^           *[^ ]/) { i++; line = lines[i]; sub(/^ +/, "", line); print escape(line) }
                continue
            }
            print escape(line)
        }
        if (table) print ".fi"
    }
    function flush_functions() {
        if (said == "" && protos == "") return
        if (protos != "") {
            if (!shown[section]++) printf ".SS %s\n", toupper(substr(section, 1, 1)) substr(section, 2)
            printf ".PP\n.nf\n%s.fi\n", protos
            if (said != "") { print ".RS"; comment(said); print ".RE" }
        }
        said = protos = ""
    }
    NR == 1 && /^\/\*/ { inside = head = 1; text = ""; next }
    /^\/\* ---- / { flush_functions(); section = $0; sub(/^\/\* ---- /, "", section); sub(/ -+ \*\/$/, "", section); next }
    !inside && /^\/\*.*\*\/ *$/ { flush_functions(); said = $0; sub(/^\/\* */, "", said); sub(/ *\*\/ *$/, "", said); next }
    !inside && /^\/\*/ { flush_functions(); inside = 1; text = $0; sub(/^\/\* */, "", text); if (text == "") fresh = 1; else fresh = 0; next }
    inside {
        end = /\*\//
        line = $0; sub(/ *\*\/ *$/, "", line); sub(/^ \* ?/, "", line); if (line == " ") line = ""
        if (line ~ /^ \*$/) line = ""
        if (!(end && line ~ /^ *$/)) text = (fresh || text == "") ? (fresh ? line : text line) : text "\n" line
        fresh = 0
        if (end) {
            inside = 0
            if (head) { sub(/^warp\/warp.h - [^\n]*\n+/, "", text); sub(/the table is below, at enum warp_durability/, "see warp-durability(7)", text); comment(text); head = 0; print ".SH FUNCTIONS" }
            else said = text
        }
        next
    }
    /^WARP_(SERVE_)?API / || /^typedef / { proto = 1 }
    proto {
        line = $0; serve = line ~ /^WARP_SERVE_API/; sub(/^WARP_(SERVE_)?API /, "", line)
        protos = protos "\\fB" escape(line) "\\fR\n"
        if ($0 ~ /;/) proto = 0
        next
    }
    /^$/ { flush_functions(); next }
    # What belongs to a structure or an enumeration is in the header.
    { if (protos != "") flush_functions(); said = "" }
    END { flush_functions() }' include/warp/warp.h
    cat <<'EOT'
.SH NOTES
Structures, their fields, units and defaults, and the codes of answers and errors are in the header itself,
.IR warp/warp.h .
.SH SEE ALSO
.BR warp (1),
.BR warp\-durability (7),
.BR warp\-metrics (7)
EOT
}

# No paragraph begins where a section has just begun.
tidy() {
    awk '/^\.PP$/ { if (last !~ /^\.(SH|SS|PP)/) waiting = 1; next }
        waiting { if ($0 !~ /^\.(SH|SS|TP)/) print ".PP"; waiting = 0 }
        { print; last = $0 }'
}

case ${1:-} in
warp.1) page_warp | tidy ;;
warp-bench.1) page_bench | tidy ;;
warp.h.3) page_header | tidy ;;
*)
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
