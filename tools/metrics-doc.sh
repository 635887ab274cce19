#!/bin/bash
# Makes what is to be read about the metrics from the tables in observe/catalogue.h: `make docs`
# writes it, `make check` compares.
#
# usage: metrics-doc.sh            docs/METRICS.md
#        metrics-doc.sh --man      docs/man/warp-metrics.7
set -euo pipefail
cd "$(dirname "$0")/.."

# table NAME: its rows, fields between tabs: name, kind, unit, help, worry. The preprocessor makes them
# strings side by side, which become one.
table() {
    local arguments='f, name, kind, unit, help, worry' kind='#kind' unit=unit
    if [[ $1 == WARP_HISTOGRAM_METRICS ]]; then
        arguments='f, name, help, worry' kind='"histogram"' unit='"seconds"'
    fi
    {
        echo '#include "observe/catalogue.h"'
        echo "#define ROW($arguments) @row name \"<TAB>\" $kind \"<TAB>\" $unit \"<TAB>\" help \"<TAB>\" worry"
        echo "$1(ROW)"
    } | ${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -I. -Iinclude -E -P -x c - | tr '\n' ' ' |
        sed 's/@row /\n@row /g' | sed -n -e 's/^@row "//' -e T -e 's/" *"//g' -e 's/" *$//' \
        -e 's/<TAB>/\t/g' -e p
}

page() {
    printf '| name | kind | unit | what it says | when to worry |\n|---|---|---|---|---|\n'
    table "$1" | awk -F'\t' '{ printf "| `%s` | %s | %s | %s | %s |\n", $1, $2, $3, $4, $5 }'
}

manual() {
    table "$1" | awk -F'\t' '{
        gsub(/-/, "\\-"); sub(/^\./, "\\\\&.", $4)
        printf ".TP\n.BR %s \" (%s, %s)\"\n%s\n", $1, $2, $3, $4
        if ($5 != "") printf ".br\n.I When to worry:\n%s\n", $5 }'
}

if [[ ${1:-} == --man ]]; then
    version=$(sed -n 's/^#define WARP_VERSION_\(MAJOR\|MINOR\|PATCH\) //p' include/warp/warp.h | paste -sd.)
    cat <<EOT
.\\" Made from observe/catalogue.h by tools/metrics-doc.sh: do not edit.
.TH WARP\\-METRICS 7 "" "WarpEngine $version" "WarpEngine"
.SH NAME
warp\\-metrics \\- what a WarpEngine database says about itself
.SH DESCRIPTION
A database that is open for writing keeps a file
.I METRICS
in its directory, for other processes to read; see
.BR "warp metrics" ,
.B warp stat
and
.BR "warp exporter" .
In its own process
.BR warp_metrics_render ()
says the same. Names, kinds and units follow the rules of Prometheus. Counters begin at 0 when the
database is opened.
.SH METRICS OF A DATABASE
EOT
    manual WARP_METRICS
    echo '.SH HISTOGRAMS'
    manual WARP_HISTOGRAM_METRICS
    cat <<'EOT'
.SH METRICS OF A SHARD
Exported on request only: with the label
.BR shard ,
or as
.BR "warp metrics \-\-shards" .
EOT
    manual WARP_SHARD_METRICS
    echo '.SH WHAT THE EXPORTER ADDS'
    manual WARP_WATCH_METRICS
    manual WARP_EXPORTER_METRICS
    cat <<'EOT'
.SH FILES
.TP
.I METRICS
The snapshots. It can be removed at any time; a process that has the database open makes it anew.
.SH SEE ALSO
.BR warp (1)
EOT
    exit 0
fi

cat <<'EOT'
# Metrics

What `warp_metrics_render()`, `warp metrics`, `warp stat` and the exporter say, in Prometheus text format
0.0.4. This page, warp-metrics(7) and the tests are made from the tables in
[observe/catalogue.h](../observe/catalogue.h); a test (`tests/engine/test_metrics.c`) moves every one of
them, and fails for one that it does not move. Counters begin at 0 when the database is opened.

## Of a database

EOT
page WARP_METRICS
cat <<'EOT'

and `warp_build_info`, a gauge of 1 with the engine's version and its way to the disk as labels.

## How long things took

Histograms with 22 buckets from 250 ns to 10 s. The engine's own have 64 buckets to a power of two, those of
calls 16; a time that is within 1.6 %, or 6.3 %, of a bound may be counted in the next bucket.

EOT
page WARP_HISTOGRAM_METRICS
cat <<'EOT'

## Of each shard

On request only (`warp metrics --shards`, `/metrics?shards=1`), with the label `shard`. Do not add them to
those above: most of these are their sums.

EOT
page WARP_SHARD_METRICS
cat <<'EOT'

## What the exporter adds

Of each database that it watches, whatever state that is in:

EOT
page WARP_WATCH_METRICS
cat <<'EOT'

and `warp_database_state`, a gauge with the label `state`: 1 for the state that the database is in, 0 for all
others (absent, broken, opening, running, stopped, late, closed, died: see below). Of itself:

EOT
page WARP_EXPORTER_METRICS
cat tools/metrics-doc.md
