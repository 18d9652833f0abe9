# What the other scripts say to a person, and how. Sourced, not run.
# Colour only on a terminal, never with NO_COLOR.

if [ -t 2 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
    bold=$(printf '\033[1m') dim=$(printf '\033[2m') red=$(printf '\033[31m')
    green=$(printf '\033[32m') plain=$(printf '\033[0m')
else
    bold='' dim='' red='' green='' plain=''
fi

# say_done TEXT SECONDS, say_failed TEXT SECONDS
say_done() { printf '%s✓%s %-44s %s%5d s%s\n' "$green" "$plain" "$1" "$dim" "$2" "$plain" >&2; }
say_failed() { printf '%s✗%s %-44s %s%5d s%s\n' "$red" "$plain" "$1" "$dim" "$2" "$plain" >&2; }

# die LINE...: the reason first, then what to type.
die() {
    printf '%s✗%s %s\n' "$red" "$plain" "$1" >&2
    shift
    [ $# -eq 0 ] || printf '  %s\n' "$@" >&2
    exit 1
}

# progress TEXT COMMAND...: runs a long step whose output only matters when it
# fails. On a terminal the seconds count up in place; elsewhere a line says
# every 15 s that it is still going.
progress() {
    local text=$1 log pid rc=0 start=$SECONDS said=0 s
    shift
    log=$(mktemp)
    "$@" >"$log" 2>&1 &
    pid=$!
    # The step ends with us: ^C must not leave it behind.
    trap 'kill "$pid" 2>/dev/null; rm -f "$log"; exit 130' INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        s=$((SECONDS - start))
        if [ -t 2 ]; then
            printf '\r%s•%s %-44s %s%5d s%s' "$bold" "$plain" "$text" "$dim" "$s" "$plain" >&2
        elif [ $((s / 15)) -gt "$said" ]; then
            said=$((s / 15))
            printf '• %-44s %5d s …\n' "$text" "$s" >&2
        fi
        sleep 0.2
    done
    wait "$pid" || rc=$?
    trap - INT TERM
    [ ! -t 2 ] || printf '\r\033[K' >&2
    if [ "$rc" -eq 0 ]; then
        say_done "$text" $((SECONDS - start))
    else
        say_failed "$text" $((SECONDS - start))
        cat "$log" >&2
    fi
    rm -f "$log"
    return "$rc"
}
