#!/bin/sh
# Check that every #include "..." points downward, as tools/layers.txt allows, and that a
# foreign library is named only in the room that hides it. Prints each line that breaks a
# rule, and exits 1 if there was any.
set -eu
cd "$(dirname "$0")/.."
rooms=
for room in include base wal routing cache shards observe engine serve server bench tools; do
    if [ -d "$room" ]; then rooms="$rooms $room"; fi
done
bad=0

# Word splitting of $rooms is what we want.
# shellcheck disable=SC2086
find $rooms -name '*.[ch]' -exec grep -Hn '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' {} + |
awk -F: '
    NR == FNR { sub(/#.*/, ""); if (split($0, half, ":") < 2) next
                gsub(/ /, "", half[1]); n = split(half[2], below, " ")
                ok[half[1], half[1]] = 1
                for (i = 1; i <= n; i++) ok[half[1], below[i]] = 1
                next }
    { from = $1; sub(/\/[^\/]*$/, "", from)
      to = $3; sub(/^[^"]*"/, "", to); sub(/".*/, "", to); sub(/\/[^\/]*$/, "", to)
      sub(/^warp$/, "include/warp", to)
      if (!((from, to) in ok)) { print $1 ":" $2 ": " from " may not include " to; bad = 1 } }
    END { exit bad }
' tools/layers.txt - || bad=1

# One seam per dependency: libck, liburing and the hash live in base/, the peers' libraries in
# the drivers of the benchmark. Nothing else names them.
outside() {
    # shellcheck disable=SC2086
    if find $rooms -name '*.[ch]' ! -path "$2" \
        -exec grep -Hn "^[[:space:]]*#[[:space:]]*include[[:space:]]*<$1" {} + |
        sed "s|\$|   (only in $2)|" | grep .; then
        bad=1
    fi
}
outside 'ck_' 'base/*'
outside 'liburing' 'base/*'
outside 'zstd' 'base/*'
outside 'zdict' 'base/*'
outside 'xxhash' 'base/*'
outside 'jemalloc' 'tools/*'
outside 'rocksdb' 'bench/engines/*'
outside 'lmdb' 'bench/engines/*'
for peer in leveldb wiredtiger sqlite3 'db\.h' hiredis; do
    outside "$peer" 'bench/engines/*'
done
outside 'microhttpd' 'serve/*'
exit "$bad"
