#!/bin/sh
# Starts the tunnel of this folder unless it runs: one, however many ask at once. Written by scitex-ssh.
# It says nothing and waits for nothing: crontabs call it, and files that a login shell reads.
set -u
LC_ALL=C
PATH=${PATH:+$PATH:}/usr/local/bin:/usr/bin:/bin
export LC_ALL PATH
umask 022
# Whoever starts us may hold a lock by the last, and speaks by the others.
exec 6>&- 7>&- 9>&-
folder=${0%/*}
state='@state@'
keeper='@keeper@'

# A home may be shared among hosts, and the tunnel is one host's.
[ "$(uname -n)" = '@host@' ] || exit 0

# When a process began, in which run of the machine: the number alone may be another's by now. None for one that is dead
# and not yet asked about by its parent.
boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)
# shellcheck disable=SC2086  # the fields after the name, which alone may hold spaces
birth() { { read -r stat <"/proc/$1/stat" && set -- ${stat##*) } && [ "$1" != Z ] && shift 19 && echo "$1"; } 2>/dev/null; }
lives() { [ -n "$2" ] && [ "$(birth "$1")" = "$2" ] && [ "$3" = "$boot" ]; }
alive_in() { read -r pid born booted 2>/dev/null <"$1" && lives "$pid" "$born" "${booted-}"; }

# alone: true for one process at a time, and free again when that one ends, however it ends.
alone() {
    if command -v flock >/dev/null 2>&1; then
        exec 9>>"$state/lock"
        code=0
        flock -n 9 2>/dev/null || code=$?
        # 1: another has it. Else: this file system has no locks.
        case $code in 0) return 0 ;; 1) return 1 ;; esac
        exec 9>&-
    fi
    claim
}

# claim: the same where there is no flock. A link to a file with our number and time of birth is made whole or
# not at all. The highest one counts, as long as its process lives; who finds that dead takes the next, so
# that nobody ever removes what a living one may hold.
claim() {
    last=$(highest)
    if [ -n "$last" ] && alive_in "$state/held.$last"; then return 1; fi
    next=$((${last:-0} + 1))
    echo "$$ $(birth $$) $boot" >"$state/claim.$$"
    code=0
    ln "$state/claim.$$" "$state/held.$next" 2>/dev/null || code=1
    rm -f "$state/claim.$$"
    [ "$code" = 0 ] || return 1
    # Somebody was so much faster that what stood in our way is gone again.
    if [ "$(highest)" != "$next" ]; then
        rm -f "$state/held.$next"
        return 1
    fi
    [ -z "$last" ] || rm -f "$state/held.$last"
}
highest() {
    for claimed in "$state"/held.*; do echo "${claimed##*.}"; done | grep -x '[0-9]*' | sort -n | tail -n 1
}

# out_of_session COMMAND...: becomes it; where systemd ends with a login whatever that login started, it does not find this.
out_of_session() {
    if grep -q '/session-[^/]*\.scope' /proc/self/cgroup 2>/dev/null && logout_kills; then
        XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}
        export XDG_RUNTIME_DIR
        if systemd-run --user --scope --quiet true 2>/dev/null; then
            exec systemd-run --user --scope --quiet "$@"
        fi
    fi
    exec "$@"
}
logout_kills() { [ "$(loginctl show-session -p KillUserProcesses 2>/dev/null)" = KillUserProcesses=yes ]; }

(umask 077 && mkdir -p "$state") || exit 1
if [ "${1-}" = hold ]; then
    alone || exit 75
    echo "$$ $(birth $$) $boot" >"$state/pid.new" && mv -f "$state/pid.new" "$state/pid" || exit 1
    trap '' HUP
    exec sh "$folder/run" "$folder" "$state"
fi
if alive_in "$state/pid"; then exit 0; fi
# Neither of the two starts without knowing what its terminal is.
case $keeper in
screen)
    TERM=xterm out_of_session screen -dmS 'scitex-ssh-@name@' sh "$0" hold </dev/null >/dev/null 2>&1
    ;;
tmux)
    # A server of its own, which no other's end takes along.
    TERM=xterm out_of_session tmux -L 'scitex-ssh-@name@' new-session -d sh "$0" hold </dev/null >/dev/null 2>&1
    ;;
*)
    # With no terminal whose end would be its end.
    apart=
    if command -v setsid >/dev/null 2>&1; then apart=setsid; fi
    trap '' HUP
    # shellcheck disable=SC2086  # nothing, where there is none
    out_of_session $apart sh "$0" hold </dev/null >>"$state/log" 2>&1 &
    ;;
esac
