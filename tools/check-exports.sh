#!/bin/sh
# Check what a shared library shows to the world: every function of warp.h, and nothing else.
# usage: check-exports.sh build/libwarp.so [WARP_API]
set -eu
library=$1
mark=${2:-WARP_API}
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Symbols that the tool chain adds by itself are nobody's interface.
nm -D --defined-only "$library" | awk '{ print $NF }' | sed 's/@.*//' |
    grep -vE '^(_init|_fini|__bss_start|_edata|_end|__(asan|ubsan|tsan|sanitizer|odr_asan)_.*)$' |
    sort -u > "$scratch/shown"
# In the header a prototype is WARP_API up to the first parenthesis, perhaps over two lines.
tr '\n' ' ' < include/warp/warp.h | grep -oE "(^| )$mark [^(;]*\(" |
    grep -oE 'warp_[a-z_]+\($' | tr -d '(' | sort -u > "$scratch/promised"

bad=0
for name in $(comm -23 "$scratch/shown" "$scratch/promised"); do
    echo "$library shows $name, which warp.h does not declare"
    bad=1
done
for name in $(comm -13 "$scratch/shown" "$scratch/promised"); do
    echo "$library lacks $name, which warp.h declares"
    bad=1
done
# An application that loads us must get its own allocator, not ours.
if command -v readelf >/dev/null && readelf -d "$library" | grep NEEDED | grep -q jemalloc; then
    echo "$library needs jemalloc; it must not, or dlopen fails in Python and Node"
    bad=1
fi
# And no HTTP, with all that it brings, unless it asked for it.
if [ "$mark" = WARP_API ] && command -v readelf >/dev/null &&
    readelf -d "$library" | grep NEEDED | grep -q microhttpd; then
    echo "$library needs libmicrohttpd, which is for libwarp-serve alone"
    bad=1
fi
if [ "$bad" = 0 ]; then
    echo "$(wc -l < "$scratch/shown") names shown, all of them declared"
fi
exit "$bad"
