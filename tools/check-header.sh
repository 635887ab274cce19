#!/bin/sh
# Check the public header: self-contained, plain C11, also C++, under 1,500 lines; and check
# that every private header stands alone and opens with its contract.
# usage: check-header.sh   (CC and CXX from the environment)
set -eu
cd "$(dirname "$0")/.."
: "${CC:=gcc}" "${CXX:=g++}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
bad=0

lines=$(wc -l < include/warp/warp.h)
if [ "$lines" -ge 1500 ]; then
    echo "include/warp/warp.h has $lines lines; the promise is under 1,500"
    bad=1
fi
if grep -n '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' include/warp/warp.h; then
    echo "include/warp/warp.h is not self-contained"
    bad=1
fi

# The macros too must be good C and C++, so use each of them once.
cat > "$scratch/use.c" <<'END'
#include <warp/warp.h>
int use_of_warp_header(void);
int use_of_warp_header(void)
{
    struct warp_options options = WARP_OPTIONS_INIT;
    struct warp_write write = WARP_WRITE_INIT;
    struct warp_request request = WARP_REQUEST_INIT;
    struct warp_value value = WARP_VALUE_INIT;
    struct warp_recovery recovery = WARP_RECOVERY_INIT;
    struct warp_verify_options check = WARP_VERIFY_OPTIONS_INIT;
    struct warp_verify_report report = WARP_VERIFY_REPORT_INIT;
    struct warp_serve_options serve = WARP_SERVE_OPTIONS_INIT;
    struct warp_balance_options balance = WARP_BALANCE_OPTIONS_INIT;
    struct warp_balance_report balanced = WARP_BALANCE_REPORT_INIT;
    return options.size == sizeof(options) && write.size == sizeof(write) &&
           request.size == sizeof(request) && value.data == NULL &&
           recovery.size == sizeof(recovery) && check.size == sizeof(check) &&
           report.size == sizeof(report) && serve.size == sizeof(serve) &&
           balance.size == sizeof(balance) && balanced.size == sizeof(balanced);
}
END
sed '/^int use_of_warp_header(void);$/d' "$scratch/use.c" > "$scratch/use.cc"
for standard in c11 gnu11 c17; do
    "$CC" -std=$standard -Wall -Wextra -Wpedantic -Werror -Wconversion -Wstrict-prototypes \
        -Wmissing-prototypes -Iinclude -fsyntax-only "$scratch/use.c" || bad=1
done
if command -v "$CXX" >/dev/null; then
    for standard in c++11 c++17 c++20; do
        "$CXX" -std=$standard -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only \
            "$scratch/use.cc" || bad=1
    done
fi

count=0
for header in base/*.h wal/*.h routing/*.h cache/*.h shards/*.h engine/*.h tools/*.h observe/*.h serve/*.h \
    tools/inspect/*.h bench/*.h tests/lib/*.h; do
    [ -f "$header" ] || continue
    case $header in */metrics.h) continue ;; esac
    printf '#include "%s"\n' "$header" > "$scratch/alone.c"
    # A header of inline functions may leave some unused here.
    if ! "$CC" -std=gnu11 -D_GNU_SOURCE -I. -Iinclude -Wall -Wextra -Werror -Wno-unused-function \
        -fsyntax-only "$scratch/alone.c"; then
        echo "$header does not stand alone"
        bad=1
    fi
    # The contract: the same six words in the same order, each at the start of its line.
    words=$(sed -n '/\*\//q; s/^ \* \([A-Z][a-z]*\):.*/\1/p' "$header" | tr '\n' ' ')
    case $header:$words in
    tests/* | *:'Threads Lifetime Units Ordering Errors Cost ') ;;
    *)
        echo "$header: its contract says '$words', not Threads Lifetime Units Ordering Errors Cost"
        bad=1
        ;;
    esac
    count=$((count + 1))
done
if [ "$bad" = 0 ]; then
    echo "warp.h: $lines lines, C and C++; $count private headers stand alone"
fi
exit "$bad"
