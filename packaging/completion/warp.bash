# Completion of warp(1) for bash. What there is to complete, the program's own --help says, so a
# command or an option that is new is known at once.
#
# Install as PREFIX/share/bash-completion/completions/warp, or: . warp.bash

_warp_commands() {
    "$1" --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p'
}

# Options at the beginning of a line of --help.
_warp_options() {
    "$@" --help 2>/dev/null </dev/null | sed -n 's/^ \{1,4\}\(--[a-z][a-z0-9-]*\).*/\1/p' | sort -u
    echo --help
}

# What can follow the option $3 of the command $2; nothing: a file or a number.
_warp_values() {
    case $2:$3 in
    *:--durability) echo memory interval commit ;;
    bench:--workload)
        "$1" bench --help 2>/dev/null | sed -n '/--workload/,/--records/s/^      \([a-z][a-z-]*\) .*/\1/p'
        ;;
    bench:--engine)
        "$1" bench --help 2>/dev/null | sed -n 's/.*Engines in this build: //p'
        ;;
    bench:--distribution) echo uniform zipfian latest hotspot ;;
    bench:--cache-policy) echo s3fifo fifo clock lru sieve ;;
    bench:--key-form) echo scattered decimal ;;
    bench:--verify) echo quick full ;;
    load:--format) echo auto ndjson tsv debian ;;
    dump:--format) echo ndjson tsv debian ;;
    esac
}

_warp() {
    local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local command= values

    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "$(_warp_commands "$program") help --help --version" -- "$current")
        return
    fi
    command=${COMP_WORDS[1]}
    if [[ $command == help ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_warp_commands "$program")" -- "$current")
        return
    fi
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_warp_options "$program" "$command")" -- "$current")
        return
    fi
    values=$(_warp_values "$program" "$command" "$before")
    if [[ -n $values ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$values" -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
}

complete -o filenames -F _warp warp
