# Words, events and errors. Words for people go to stderr; with --machine, one line a fact goes to stdout:
# its fields parted by tabs, the first naming its kind.

have() { command -v "$1" >/dev/null 2>&1; }
say() { printf '%s\n' "$*" >&2; }
one_line() { printf '%s' "$*" | tr '\t\n\r' '   '; }
breaks=$(printf '\t\n\r')
passwd_line() { if have getent; then getent passwd "$1"; else grep "^$1:" /etc/passwd; fi; }
home_of() { passwd_line "$1" | cut -d: -f6; }

# id_of_key PUBLIC: leaves in $key_id the digits by which a session on a bastion knows a key.
id_of_key() {
    key_id=$(printf '%s\n' "$1" | ssh-keygen -l -E md5 -f - | tr -d :)
    key_id=${key_id#*MD5} key_id=${key_id%% *}
}

tell() {
    printf '%s' "$1"
    shift
    for field in "$@"; do
        case $field in *[$breaks]*) field=$(one_line "$field") ;; esac
        printf '\t%s' "$field"
    done
    printf '\n'
}

quoted() {
    case $1 in
    *[![:print:]]*) printf "'%s'" "$(printf '%s' "$1" | tr -c '[:print:]' '?')" ;;
    *) printf "'%s'" "$1" ;;
    esac
}

# event ok|changed|would-change|failed|restored TITLE
event() {
    if [ "$machine" = 1 ]; then tell event "${t_name-}" "$1" "$2"; else printf '%-13s %s\n' "$1" "$2"; fi
}

# problem SLUG [FACT=TEXT]...: an error of the catalogue; the first one sets the exit status. With as_warning it is
# only said.
problem() {
    problem_slug=$1
    shift
    for fact in "$@"; do eval "f_${fact%%=*}=\${fact#*=}"; done
    explain "$problem_slug"
    if [ "${capturing-}" = 1 ]; then
        found=$problem_slug
        return 1
    fi
    kind=error
    if [ -n "${as_warning-}" ]; then
        kind=warning
    elif [ "$exit_status" = 0 ]; then
        exit_status=$problem_status
    fi
    if [ "$machine" = 1 ]; then
        tell "$kind" "${t_name-}" "$problem_slug" "$@"
    else
        # Which tunnel is only a question where there are several.
        case ${tunnels-} in *' '*) whose=${t_name:+tunnel $t_name: } ;; *) whose= ;; esac
        say "scitex-ssh: ${as_warning:+warning: }$whose$problem_sentence"
        say "  Next: $problem_next"
        say "  [$problem_slug]"
    fi
    return 1
}

# A folder for this run, on the first of the usual places that can be written to.
make_work() {
    for place in /tmp "${TMPDIR:-/var/tmp}" /dev/shm /run; do
        case $place in *[!A-Za-z0-9._/-]*) continue ;; esac
        if work=$(mktemp -d "$place/scitex-ssh.XXXXXX" 2>/dev/null); then
            # Not secret, and the tunnel's user must reach its part of it.
            chmod 755 "$work"
            return 0
        fi
    done
    work=
    problem disk-full path=/tmp
}

tidy() {
    trap '' INT TERM HUP
    end_all_beside
    # shellcheck disable=SC2086  # the processes of status, one each
    [ -z "${jobs-}" ] || kill $jobs 2>/dev/null
    [ -z "${work-}" ] || close_masters
    [ -z "${work-}" ] || rm -rf "$work"
}

# as_user COMMAND...: as the tunnel's user, whoever we are.
as_user() {
    if [ "$me" = "$t_user" ]; then
        "$@"
    elif have runuser; then
        runuser -u "$t_user" -- "$@"
    else
        # shellcheck disable=SC2016  # expanded by the inner shell
        su -s /bin/sh "$t_user" -c 'exec "$0" "$@"' -- "$@"
    fi
}

# This program's own text, which may stand in a file that holds more, as work/program. Whoever runs it from a
# variable (program_text) has no file.
copy_program() {
    if [ -n "${program_text-}" ]; then
        printf '%s\n' "$program_text" >"$work/program"
        return
    fi
    sed -n '/^# scitex-ssh program begins$/,/^{ .*; exit; }$/p' "$0" >"$work/program" 2>/dev/null && [ -s "$work/program" ]
}

# Two runs at once would undo each other's work.
only_one() {
    have flock || return 0
    if [ "$me" != root ]; then
        # The home itself is locked, so that no file is left behind.
        lock=$(home_of "$me")
        # Who has none has nothing there that two could change.
        [ -r "$lock" ] || return 0
        exec 9<"$lock" && take_lock
        return
    fi
    for lock in /run/lock /run; do [ ! -d "$lock" ] || break; done
    lock=$lock/scitex-ssh.lock
    exec 9>"$lock" && take_lock
}
# seconds: since this machine booted. Not by the clock of the day, which may be set meanwhile.
seconds() {
    read -r seconds _ 2>/dev/null </proc/uptime || seconds=$(date +%s)
    echo "${seconds%%.*}"
}

# busybox has no -w, and some file systems have no locks: then nobody can be kept out, and 1 is not the answer.
take_lock() {
    deadline=$(($(seconds) + 60))
    while :; do
        code=0
        flock -n 9 2>/dev/null || code=$?
        [ "$code" = 1 ] || return 0
        if [ "$(seconds)" -ge "$deadline" ]; then
            problem busy lock="$lock"
            return
        fi
        sleep 0.2 2>/dev/null || sleep 1
    done
}

# The same program again in a service of its own, where a tunnel that stands is about to be changed: whoever
# logged in through that tunnel loses the terminal with it, and the change must be proven or undone all the same.
detach() {
    # Installed it may be where it does not run.
    [ -z "${SCITEX_SSH_DETACHED-}" ] && have systemd-run && [ -d /run/systemd/system ] && copy_program || return 0
    # Without root the user's own systemd, where there is one that answers.
    ours=
    if [ "$me" != root ]; then
        export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"
        ours=--user
        # systemctl has a way of its own to it, systemd-run needs the bus.
        [ -S "$XDG_RUNTIME_DIR/bus" ] && systemctl --user show -p Version >/dev/null 2>&1 || return 0
    fi
    exec 9>&-
    exit_status=0
    detached=scitex-ssh-$$.service
    # KillMode: what it starts to keep a tunnel outlives it.
    # shellcheck disable=SC2086  # nothing, as root
    systemd-run $ours -q --wait --pipe --collect -p KillMode=process --unit="$detached" --working-directory="$PWD" -E SCITEX_SSH_DETACHED=1 \
        -E "SCITEX_SSH_STOP=${SCITEX_SSH_STOP:=$work/stop}" -E "SUDO_USER=${SUDO_USER-}" -E "PATH=$PATH" -E "HOME=${HOME-}" \
        -E "XDG_CONFIG_HOME=${XDG_CONFIG_HOME-}" -E "XDG_STATE_HOME=${XDG_STATE_HOME-}" \
        -E "SCITEX_SSH_CONFIG_HOME=${SCITEX_SSH_CONFIG_HOME-}" -E "SCITEX_SSH_STATE_HOME=${SCITEX_SSH_STATE_HOME-}" \
        -E "ZDOTDIR=${ZDOTDIR-}" -E "SCITEX_SSH_ZDOTDIR=${SCITEX_SSH_ZDOTDIR-}" \
        sh "$work/program" "$@" || exit_status=$?
    finish
}

# The same program again, as root. Does not return when it could be done.
become_root() {
    path=${root_writes:-/etc/scitex-ssh}
    if ! have sudo; then
        problem sudo-missing path="$path" user="$me"
        return
    fi
    # pyinfra becomes root by itself where it is told to, and not where it is not.
    if [ -n "${program_text-}" ] || ! copy_program; then
        problem script-unreadable
        return
    fi
    ask=-n
    if (: </dev/tty) 2>/dev/null; then ask=; fi
    rooted=0
    set -- sh "$work/program" "$@"
    set -- env "SCITEX_SSH_ROOTED=$work/rooted" "SCITEX_SSH_STOP=${SCITEX_SSH_STOP:=$work/stop}" \
        "SCITEX_SSH_CONFIG_HOME=${XDG_CONFIG_HOME-}" "SCITEX_SSH_STATE_HOME=${XDG_STATE_HOME-}" \
        "SCITEX_SSH_ZDOTDIR=${ZDOTDIR-}" "$@"
    rooting=1
    if [ -n "$ask" ]; then
        # In the background, so that a signal to us, which may not be passed on to root's process, is heard.
        sudo -n "$@" &
        rooting=$!
        wait "$rooting" || rooted=$?
    else
        sudo -p "scitex-ssh needs root to write $path. Password of %p: " "$@" || rooted=$?
    fi
    rooting=
    if [ -e "$work/rooted" ]; then
        exit_status=$rooted
        finish
    fi
    problem sudo-denied path="$path" user="$me"
}

finish() {
    if [ -n "${SCITEX_SSH_ROOTED-}" ]; then echo "$exit_status" >"$SCITEX_SSH_ROOTED"; fi
    tidy
    trap - EXIT
    exit "$exit_status"
}

# Whoever started us wants an end, and has no other way to say so.
stopped() { [ -n "${SCITEX_SSH_STOP-}" ] && [ -e "$SCITEX_SSH_STOP" ]; }

# quietly COMMAND...: does it and keeps its words. A signal waits for its end: what is said meanwhile is kept, too.
quietly() {
    within=1
    "$@" >"$work/words" 2>&1 && quiet=0 || quiet=$?
    within=
    [ -z "${signalled-}" ] || interrupted
    return "$quiet"
}

# A signal came. Root's process, if it is at work, puts back what was there, and it says so.
interrupted() {
    if [ -n "${within-}" ]; then
        signalled=1
        return
    fi
    trap '' INT TERM HUP
    interrupting=1
    # It may have come while a look was on whose words nobody wants, or a cause was only sought.
    [ ! -e /proc/self/fd/6 ] || exec >&6
    [ ! -e /proc/self/fd/7 ] || exec 2>&7
    capturing='' as_warning=''
    if [ -n "${rooting-}" ]; then
        : >"$SCITEX_SSH_STOP"
        [ "$rooting" = 1 ] || wait "$rooting"
        if [ -s "$work/rooted" ]; then
            exit_status=$(cat "$work/rooted")
            finish
        fi
    fi
    if [ -n "${detached-}" ]; then
        : >"$SCITEX_SSH_STOP"
        while systemctl $ours -q is-active "$detached"; do sleep 1; done
    fi
    [ -z "${applying-}" ] || restore_all
    t_name=
    problem interrupted
    finish
}

# The terminal is gone. What was started as root or detached goes on: it may be the very change that took the
# terminal away, and it proves or undoes itself.
hung_up() {
    [ -n "${rooting-}${detached-}" ] || interrupted
    # Put off until what is being done is over.
    [ -z "${within-}" ] || return 0
    exit 129
}

begin() {
    # ssh starts its ProxyCommand with $SHELL, which may be a csh; root's PATH may lack sbin after su.
    SHELL=/bin/sh
    PATH=$PATH:/usr/sbin:/sbin
    export SHELL PATH
    unset CDPATH
    umask 022
    exit_status=0
    machine=0
    work=
    me=$(id -un)
    # Where we speak, whatever a part of us has its own words sent to. Nothing that outlives us may have these.
    [ ! -e /proc/self/fd/1 ] || exec 6>&1
    [ ! -e /proc/self/fd/2 ] || exec 7>&2
    trap tidy EXIT
    trap interrupted INT TERM
    trap hung_up HUP
    # Whoever reads us ("| head") has enough: what was begun is brought to its end all the same.
    trap 'exec >/dev/null 6>/dev/null' PIPE
    # Nobody may be listening any more to one that was detached; it goes on.
    if [ -n "${SCITEX_SSH_DETACHED-}" ]; then trap '' PIPE; fi
    if [ -n "${SCITEX_SSH_ROOTED-}" ]; then : >"$SCITEX_SSH_ROOTED"; fi
}
