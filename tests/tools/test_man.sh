#!/bin/bash
# The manual pages and the completions say what the program and the header say: nothing is missing,
# nothing is there that is not, and the pages are well formed.
# usage: test_man.sh     (WARP: the program)
set -u
: "${WARP:=build/warp}"
[[ $WARP = /* ]] || WARP=$PWD/$WARP
cd "$(dirname "$0")/../.." || exit 3
export WARP
scratch=$(mktemp -d) || exit 3
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0
good() { passed=$((passed + 1)); }
bad() {
    failed=$((failed + 1))
    echo "FAILED: $*"
}
check() { # SENTENCE COMMAND...
    local sentence=$1
    shift
    if "$@" >"$scratch/why" 2>&1; then good; else bad "$sentence: $(head -n 3 "$scratch/why")"; fi
}
flags_of() { grep -oE '(^|[^a-zA-Z0-9-])--[a-z][a-z0-9-]*' | grep -oE -- '--[a-z][a-z0-9-]*' | sort -u; }
# A page as plain words: \- is -, and font changes are nothing.
plain() { sed -e 's/\\-/-/g' -e 's/\\f[A-Z]//g' -e 's/\\e/\\/g' -e 's/^\.[A-Z]* //' "$1"; }

commands=$("$WARP" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p')
[[ -n $commands ]] || bad "--help names no commands"

# Each command and each option has its place, by name, so that whoever adds one is told which.
for command in $commands; do
    page=docs/man/warp.1
    if plain docs/man/warp.1 | grep -qx "warp $command"; then
        good
    else
        bad "docs/man/warp.1 does not have the command 'warp $command': run 'make docs'"
    fi
    [[ $command == bench ]] && page=docs/man/warp-bench.1
    "$WARP" "$command" --help </dev/null >"$scratch/help"
    missing=$(comm -23 <(flags_of <"$scratch/help") <(plain $page | flags_of) | paste -sd' ')
    if [[ -z $missing ]]; then
        good
    else
        bad "$page does not have, of 'warp $command': $missing: run 'make docs'"
    fi
done
# Those that `warp bench` has besides: "a | b --c [options]".
"$WARP" bench --help | sed -n 's/^ *warp bench \([a-z].*\) \[options\].*/\1/p' | tr '|' '\n' >"$scratch/besides"
while read -ra words; do
    missing=$(comm -23 <("$WARP" bench "${words[@]}" --help </dev/null | flags_of) <(plain docs/man/warp-bench.1 | flags_of) | paste -sd' ')
    if [[ -z $missing ]]; then good; else bad "docs/man/warp-bench.1 does not have, of 'warp bench ${words[*]}': $missing: run 'make docs'"; fi
done <"$scratch/besides"
# And the other way: no page names an option that no command has.
{
    "$WARP" --help
    for command in $commands; do "$WARP" "$command" --help </dev/null; done
    while read -ra words; do
        "$WARP" bench "${words[@]}" --help </dev/null
    done <"$scratch/besides"
} | flags_of >"$scratch/known"
for page in warp.1 warp-bench.1; do
    stale=$(comm -13 "$scratch/known" <(plain docs/man/$page | flags_of) | paste -sd' ')
    if [[ -z $stale ]]; then good; else bad "docs/man/$page names what no command has: $stale: run 'make docs'"; fi
done

# Word by word they are what is made of the program and the header.
for page in warp.1 warp-bench.1 warp.h.3; do
    if tools/man-pages.sh $page 2>"$scratch/why" | diff docs/man/$page - >"$scratch/diff"; then
        good
    else
        bad "docs/man/$page is not what 'make docs' makes: $(sed -n '2,4p' "$scratch/diff")"
    fi
done
for name in $(grep -oE '\bwarp_[a-z_]+\(' include/warp/warp.h | tr -d '(' | sort -u); do
    if plain docs/man/warp.h.3 | grep -q "\b$name\b"; then good; else bad "warp.h(3) does not have $name: run 'make docs'"; fi
done
for word in WARP_MEMORY WARP_INTERVAL WARP_COMMIT WARP_ENOSPC; do
    check "warp-durability(7) has no $word" grep -q "$word" docs/man/warp-durability.7
    check "the header has no $word" grep -q "\b$word\b" include/warp/warp.h
done

# Well formed. mandoc is the stricter of the two.
for page in docs/man/*.[1-9]; do
    if command -v mandoc >/dev/null; then
        mandoc -T lint -W warning "$page" 2>&1 | grep -v 'missing date' >"$scratch/lint"
        if [[ -s $scratch/lint ]]; then bad "$page: $(head -n 3 "$scratch/lint")"; else good; fi
    fi
    if command -v groff >/dev/null; then
        groff -man -ww -T utf8 "$page" 2>&1 >/dev/null | grep -v 'cannot adjust\|can.t break' >"$scratch/lint"
        if [[ -s $scratch/lint ]]; then bad "$page: $(head -n 3 "$scratch/lint")"; else good; fi
    fi
    for other in $(sed -n '/^\.SH SEE ALSO/,$s/^\.BR \([a-z.\\-]*\) (\([0-9]\)).*/\1.\2/p' "$page" | sed 's/\\//g'); do
        check "$page refers to a page that is not there: $other" test -f "docs/man/$other"
    done
done

# Completion, asked as the shells ask.
cat >"$scratch/ask.bash" <<'END'
. packaging/completion/warp.bash
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMPREPLY=()
_warp
printf '%s\n' "${COMPREPLY[@]}"
END
ask() { bash "$scratch/ask.bash" "$WARP" "$@" | sort -u; }
missing=$(comm -23 <(tr ' ' '\n' <<<"$commands" | sort) <(ask "") | paste -sd' ')
if [[ -z $missing ]]; then good; else bad "bash does not complete: $missing"; fi
check "bash completes a beginning" test "$(ask sal)" = salvage
for command in $commands; do
    missing=$(comm -23 <("$WARP" "$command" --help </dev/null | sed -n 's/^  \(--[a-z][a-z0-9-]*\).*/\1/p' | sort -u) \
        <(ask "$command" --) | paste -sd' ')
    if [[ -z $missing ]]; then good; else bad "bash does not complete, of 'warp $command': $missing"; fi
done
check "bash completes levels" test "$(ask put --durability i)" = interval
check "bash completes workloads" test "$(ask bench --workload readr)" = readrandom
check "bash completes engines" test "$(ask bench --engine war)" = warp
touch "$scratch/a file"
check "bash completes files" test "$(ask load "$scratch/a f")" = "$scratch/a file"
if command -v zsh >/dev/null; then
    cat >"$scratch/ask.zsh" <<'END'
_describe() { print -l -- ${(P)2} }
compadd() { shift; print -l -- $@ }
_files() { print files }
ask() {
    words=("$@")
    CURRENT=$#
    . packaging/completion/_warp
}
ask "$@"
END
    ask_zsh() { zsh -f "$scratch/ask.zsh" "$WARP" "$@" | sort -u; }
    missing=$(comm -23 <(tr ' ' '\n' <<<"$commands" | sort) <(ask_zsh "" | sed 's/:.*//' | sort) | paste -sd' ')
    if [[ -z $missing ]]; then good; else bad "zsh does not complete: $missing"; fi
    for command in put bench; do
        missing=$(comm -23 <("$WARP" "$command" --help </dev/null | sed -n 's/^  \(--[a-z][a-z0-9-]*\).*/\1/p' | sort -u) \
            <(ask_zsh "$command" --) | paste -sd' ')
        if [[ -z $missing ]]; then good; else bad "zsh does not complete, of 'warp $command': $missing"; fi
    done
    check "zsh completes levels" test "$(ask_zsh put --durability "" | paste -sd' ')" = "commit interval memory"
fi

# What `make install` installs, it installs somewhere that the tools look.
for file in warp.1 warp-bench.1 warp.h.3 warp-durability.7 warp-metrics.7; do
    check "the Makefile does not install $file" grep -q "$file" Makefile
done

echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
