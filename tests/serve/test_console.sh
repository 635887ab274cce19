#!/bin/bash
# The console of the exporter in a real browser, under load: see console_test.py.
#
#   WARP=build/warp  BUILD=build  CHROMIUM=chromium
#   CONSOLE_SHOTS=DIR   where pictures of it are put; none by default
set -uo pipefail
: "${BUILD:=build}" "${WARP:=$BUILD/warp}" "${CONSOLE_SHOTS:=}"
WARP=$(readlink -f "$WARP")
load=$(readlink -f "$BUILD/tests/console_load")
here=$(cd "$(dirname "$0")" && pwd)
if "$WARP" exporter x 2>&1 </dev/null --connections 1 | grep -q "built without"; then
    echo "the program was built without libmicrohttpd"
    exit 77
fi
chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome)}
if [[ -z $chromium ]]; then
    echo "SKIPPED: NO BROWSER, THE CONSOLE IS NOT TESTED (Debian package chromium; make check-monitoring installs it)"
    exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
shots=()
if [[ -n $CONSOLE_SHOTS ]]; then
    mkdir -p "$CONSOLE_SHOTS"
    shots=("$(readlink -f "$CONSOLE_SHOTS")")
fi
PYTHONDONTWRITEBYTECODE=1 python3 "$here/console_test.py" "$chromium" "$WARP" "$load" "$scratch" "${shots[@]}"
