#!/bin/bash
# Install into an empty folder, and build an application against what lies there: with
# pkg-config shared and static, with CMake if there is one, by dlopen; then uninstall and see
# that nothing is left.
# usage: check-install.sh     (OUT, CC, MAKE from the environment)
set -euo pipefail
cd "$(dirname "$0")/.."
: "${CC:=gcc}" "${MAKE:=make}" "${OUT:=build}" "${MODE:=release}"
if [[ $MODE != release ]]; then
    echo "only a release build is installed"
    exit 77
fi
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
prefix=$stage/prefix

# OUT is what release calls BUILD.
env -u MAKEFLAGS -u MFLAGS "$MAKE" --no-print-directory BUILD="$OUT" MODE=release PREFIX="$prefix" install >/dev/null

cat >"$stage/application.c" <<'END'
#include <stdio.h>
#include <string.h>
#include <warp/warp.h>

int main(int argc, char **argv)
{
    struct warp *db = NULL;
    struct warp_slice key = { "key", 3 }, value = { "value", 5 };
    char buffer[8];
    size_t bytes = 0;

    if (argc != 2 || warp_open(argv[1], NULL, &db) != 0 ||
        warp_put(db, key, value, NULL, NULL) != 0 ||
        warp_get(db, key, buffer, sizeof(buffer), &bytes, NULL) != 0 || bytes != 5 ||
        memcmp(buffer, "value", 5) != 0 || warp_close(&db) != 0) {
        return 1;
    }
    printf("warp %s\n", warp_version());
    return 0;
}
END

passed=0
if command -v pkg-config >/dev/null; then
    export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
    # Word splitting of what pkg-config says is what it is for.
    # shellcheck disable=SC2046
    "$CC" -o "$stage/shared" "$stage/application.c" $(pkg-config --cflags --libs warp)
    LD_LIBRARY_PATH=$prefix/lib "$stage/shared" "$stage/data-shared"
    # shellcheck disable=SC2046
    "$CC" -o "$stage/static" "$stage/application.c" $(pkg-config --cflags warp) \
        "$prefix/lib/libwarp.a" $(pkg-config --static --libs-only-l --libs-only-other warp |
            sed 's/-lwarp //')
    "$stage/static" "$stage/data-static"
    passed=$((passed + 2))
fi

if command -v pkg-config >/dev/null && [[ -f $prefix/lib/pkgconfig/warp-serve.pc ]]; then
    cat >"$stage/server.c" <<'END'
#include <warp/warp.h>

int main(int argc, char **argv)
{
    struct warp *db = NULL;
    struct warp_metrics_server *server = NULL;
    int served = argc == 2 && warp_open(argv[1], NULL, &db) == 0 &&
                 warp_metrics_serve(db, NULL, &server) == 0 &&
                 warp_metrics_server_port(server) > 0;

    warp_metrics_server_stop(&server);
    return warp_close(&db) != 0 || !served;
}
END
    # shellcheck disable=SC2046
    "$CC" -o "$stage/served" "$stage/server.c" $(pkg-config --cflags --libs warp-serve)
    LD_LIBRARY_PATH=$prefix/lib "$stage/served" "$stage/data-served"
    # shellcheck disable=SC2046
    "$CC" -o "$stage/served-static" "$stage/server.c" $(pkg-config --cflags warp-serve) \
        "$prefix/lib/libwarp-serve.a" "$prefix/lib/libwarp.a" \
        $(pkg-config --static --libs-only-l --libs-only-other warp-serve |
            sed 's/-lwarp-serve //; s/-lwarp //')
    "$stage/served-static" "$stage/data-served-static"
    passed=$((passed + 2))
fi

if command -v cmake >/dev/null; then
    cat >"$stage/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.13)
project(application C)
find_package(WarpEngine 0.1 REQUIRED)
add_executable(shared application.c)
target_link_libraries(shared WarpEngine::warp)
add_executable(static application.c)
target_link_libraries(static WarpEngine::warp_static)
END
    if ! cmake -S "$stage" -B "$stage/cmake" -DCMAKE_PREFIX_PATH="$prefix" \
        -DCMAKE_C_COMPILER="$CC" >"$stage/cmake.log" 2>&1 ||
        ! cmake --build "$stage/cmake" >>"$stage/cmake.log" 2>&1; then
        tail -n 20 "$stage/cmake.log"
        exit 1
    fi
    "$stage/cmake/shared" "$stage/data-cmake-shared"
    "$stage/cmake/static" "$stage/data-cmake-static"
    passed=$((passed + 2))
fi

for file in man/man1/warp.1 man/man1/warp-bench.1 man/man3/warp.h.3 man/man7/warp-durability.7 \
    man/man7/warp-metrics.7 bash-completion/completions/warp zsh/site-functions/_warp; do
    if [[ ! -s $prefix/share/$file ]]; then
        echo "not installed: $file"
        exit 1
    fi
done
passed=$((passed + 1))

if [[ -x $prefix/bin/warp ]]; then
    "$prefix/bin/warp" --help >/dev/null
    passed=$((passed + 1))
fi

env -u MAKEFLAGS -u MFLAGS "$MAKE" --no-print-directory BUILD="$OUT" MODE=release PREFIX="$prefix" uninstall >/dev/null
if find "$prefix" -type f -o -type l | grep .; then
    echo "uninstall left the files above"
    exit 1
fi
passed=$((passed + 1))
echo "$passed passed, 0 failed"
