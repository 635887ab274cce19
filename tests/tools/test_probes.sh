#!/bin/bash
# The probes for tracers are in the library and in the program, under the names and with as many arguments
# as docs/METRICS.md says, and no others are.
#
#   BUILD=build WARP=build/warp CC=gcc
set -uo pipefail
: "${BUILD:=build}" "${WARP:=$BUILD/warp}" "${CC:=gcc}"
root=$(cd "$(dirname "$0")/../.." && pwd)

if ! echo '#include <sys/sdt.h>' | $CC -E -x c - >/dev/null 2>&1; then
    echo "skipped: no sys/sdt.h, so there are no probes (Debian package systemtap-sdt-dev)"
    exit 77
fi
if ! command -v readelf >/dev/null; then
    echo "skipped: no readelf (Debian package binutils)"
    exit 77
fi
passed=0
failed=0
good() { passed=$((passed + 1)); }
bad() {
    failed=$((failed + 1))
    echo "FAILED: $*"
}

# What the notes say: name and number of arguments, each once.
notes() {
    readelf -n "$1" 2>/dev/null | awk '
        /Provider:/ { ours = $2 == "warp" }
        /Name:/ { name = $2 }
        /Arguments:/ && ours { print name, NF - 1 }' | sort -u
}
# What the page says, in the table below "Probes": | `name` | arguments, with commas | ...
documented() {
    sed -n '/^## Probes/,/^## /p' "$root/docs/METRICS.md" | awk -F'|' '
        $2 ~ /^ `/ { gsub(/[ `]/, "", $2); print $2, split($3, parts, ",") }' | sort -u
}

for name in put_begin put_end get_begin get_end log_flush_begin log_flush_end cold_read_begin \
    cold_read_end slot_move; do
    if documented | grep -q "^$name "; then good; else bad "$name is not in docs/METRICS.md"; fi
done
for file in "$BUILD/libwarp.so" "$WARP"; do
    if difference=$(diff <(documented) <(notes "$file")); then
        good
    else
        bad "$file and docs/METRICS.md differ: $difference"
    fi
done
echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
