#!/bin/bash
# Install the Debian packages that WarpEngine needs and this machine lacks. Does nothing, and
# says nothing, when all are there. Names what it installs; never asks a question.
#
# usage: install-packages.sh [--dry-run] [build|demo|bench|check|monitoring]
#   build   what `make` needs
#   demo    and the peers of the benchmark (RocksDB, LMDB)
#   bench   and all its other peers, as far as there are packages of them
#   check   and what the tests need: g++, clang with its sanitizers, python3 (the default)
#   monitoring   and a Prometheus server with its promtool, of 96 MB, and Chromium for the console
set -euo pipefail

build_packages=(gcc libc6-dev make binutils libck-dev liburing-dev libjemalloc-dev
                libxxhash-dev libzstd-dev libmicrohttpd-dev)
demo_packages=(librocksdb-dev liblmdb-dev)
# No server among them, for installing one starts it.
bench_packages=(libleveldb-dev libwiredtiger-dev libsqlite3-dev libdb5.3-dev libhiredis-dev rocksdb-tools)
check_packages=(g++ clang libclang-rt-14-dev python3 python3-prometheus-client pkg-config
                systemtap-sdt-dev)
monitoring_packages=(prometheus chromium)

dry_run=no
wanted=check
for argument in "$@"; do
    case $argument in
    --dry-run) dry_run=yes ;;
    build | demo | bench | check | monitoring) wanted=$argument ;;
    *)
        sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
done

packages=("${build_packages[@]}")
if [[ $wanted != build ]]; then
    packages+=("${demo_packages[@]}")
fi
if [[ $wanted == bench ]]; then
    packages+=("${bench_packages[@]}")
fi
if [[ $wanted == check || $wanted == monitoring ]]; then
    packages+=("${check_packages[@]}")
fi
if [[ $wanted == monitoring ]]; then
    packages+=("${monitoring_packages[@]}")
fi

if ! command -v dpkg-query >/dev/null; then
    # Not Debian. The compiler will say what is missing; we only help with the names.
    echo "packages: no dpkg here; needed, by their Debian names: ${packages[*]}"
    exit 0
fi

# WARP_PRETEND_MISSING is for trying this script with --dry-run on a complete machine.
pretend=" ${WARP_PRETEND_MISSING:-} "
missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f '${db:Status-Status} ' "$package" 2>/dev/null || true)
    if [[ $status != *installed* || $status == *not-installed* || $pretend == *" $package "* ]]; then
        missing+=("$package")
    fi
done
if [[ ${#missing[@]} -eq 0 ]]; then
    exit 0
fi
echo "packages: installing ${missing[*]}"

as_root=()
if [[ $(id -u) -ne 0 ]]; then
    if ! command -v sudo >/dev/null; then
        echo "packages: not root and no sudo; run as root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
    if [[ ! -t 0 ]]; then
        as_root=(sudo -n)
    fi
fi
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q
         --no-install-recommends "${missing[@]}")
update=("${as_root[@]}" apt-get update -q)

# The index is fetched only when it does not know a package, or when what it knows is gone.
known=yes
for package in "${missing[@]}"; do
    if ! apt-cache show "$package" >/dev/null 2>&1; then
        known=no
    fi
done
if [[ $dry_run == yes ]]; then
    if [[ $known == no ]]; then
        echo "packages: would run: ${update[*]}"
    fi
    echo "packages: would run: ${install[*]}"
    exit 0
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# A peer that this Debian does not have is one column less.
if [[ $wanted == bench && $known == no ]]; then
    "${update[@]}" >"$log" 2>&1 </dev/null || true
    for package in "${missing[@]}"; do
        if [[ " ${bench_packages[*]} " == *" $package "* ]] && ! apt-cache show "$package" >/dev/null 2>&1; then
            echo "packages: there is no $package here; going on without"
            for i in "${!install[@]}"; do
                [[ ${install[i]} == "$package" ]] && unset "install[$i]"
            done
        fi
    done
    known=yes
fi
if [[ $known == yes ]] && "${install[@]}" >"$log" 2>&1 </dev/null; then
    exit 0
fi
if "${update[@]}" >"$log" 2>&1 </dev/null && "${install[@]}" >>"$log" 2>&1 </dev/null; then
    exit 0
fi
tail -n 20 "$log" >&2
echo "packages: apt-get failed; the lines above say why" >&2
exit 1
