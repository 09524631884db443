# The proof of each kind of forward: what is dialled, and from where.

# prove over|alone: who answers behind the current forward, in $dialled (see "dial").
prove() {
    case $t_kind:$t_listen in
    remote:/*) dial_socket "$1" ;;
    remote:*) dial "$1" "$t_dial" ;;
    socks:*) dial_proxy "$1" ;;
    local:*) dial_local ;;
    dynamic:*) dial_dynamic ;;
    esac
}

# dial_socket over|alone: a Unix socket of the bastion, brought to a port of this machine for the while: ssh before
# 9.4 has no -W for a socket.
dial_socket() {
    new_spot
    keep_target_keys "$spot/keys"
    for _ in 1 2 3 4 5; do
        carry_socket "$1" && break
    done
    if [ -z "$carried" ]; then
        dialled=lost
        return
    fi
    if [ -s "$spot/keys" ]; then
        dial_here "$carried" localhost
    else
        dial_here_plain "$carried" localhost
    fi
    # What sshd said of the socket stands in the words of the ssh that asked for it.
    case $1 in over) said=$t_stage/errors ;; *) said=$spot/way ;; esac
    case $dialled in closed) way_words "$(grep 'open failed' "$said" | tail -n 1)" ;; esac
    drop_socket "$1"
}
# carry_socket over|alone: into $carried the port, or nothing if it is taken.
carry_socket() {
    carried=$((20000 + 0x$(od -An -v -N2 -tx1 /dev/urandom | tr -d ' \n') % 12000))
    ! listens_here "$carried" || { carried=; return 1; }
    case $1 in
    over) over -O forward -L "localhost:$carried:$t_listen" bastion >/dev/null 2>"$spot/way" || { carried=; return 1; } ;;
    *)
        open_beside "$t_folder/ssh_config" "$spot/way" -L "localhost:$carried:$t_listen" || { carried=; return 1; }
        ;;
    esac
}
drop_socket() {
    case $1 in
    over) over -O cancel -L "localhost:$carried:$t_listen" bastion >/dev/null 2>&1 ;;
    *)
        close_beside
        ;;
    esac
}

# open_beside CONFIG WORDS OPTION...: one more connection to the bastion, in the background until close_beside or the
# end of this run (close_masters), with that forward. Not a job of this shell, whose child would outlive it.
open_beside() {
    beside_config=$1 beside_words=$2
    shift 2
    beside=$(mktemp -d "$work/beside.XXXXXX")
    [ "$me" = "$t_user" ] || chown "$t_user" "$beside"
    as_user ssh -f -n -N -F "$beside_config" -o ControlMaster=yes -o "ControlPath=$beside/master" \
        -o ExitOnForwardFailure=yes "$@" bastion >/dev/null 2>"$beside_words"
}
close_beside() { as_user ssh -F none -o "ControlPath=$beside/master" -O exit bastion 2>/dev/null; }

# ssh_here PORT HOST OPTION...: the words of an ssh to a port of this machine, in $spot/words.
ssh_here() {
    code=0
    here_port=$1 here_host=$2
    shift 2
    as_user ssh -n -T -F none -l "$t_user" -o BatchMode=yes -o PreferredAuthentications=none -o ControlPath=none \
        -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null -o UpdateHostKeys=no -o LogLevel=INFO \
        "$@" -p "$here_port" "$here_host" true >/dev/null 2>"$spot/words" || code=$?
}

# dial_here PORT HOST: the host key of whom answers there is the target's own, or not.
dial_here() {
    ssh_here "$1" "$2" -o HostKeyAlias=scitex-ssh-target -o "UserKnownHostsFile=$spot/keys" -o ConnectTimeout=10
    case $code:$(cat "$spot/words") in
    0:* | *"Permission denied ("*) dialled=mine ;;
    *"Host key verification failed"*) dialled=other ;;
    *"banner line contains invalid"* | *"invalid format"*) dialled=strange ;;
    *"imed out during banner"*) dialled=silent ;;
    *"onnection refused"*) dialled=none ;;
    *) dialled=closed ;;
    esac
}

# dial_here_plain PORT HOST: somebody answers there, in whatever language, or keeps silent without hanging up.
dial_here_plain() {
    if have bash && have timeout; then
        # Says nothing: many a service hangs up on who does not speak its language.
        code=0
        timeout 5 bash -c "$listen_only" dial "$2" "$1" 2>/dev/null || code=$?
        case $code in 3) dialled=none ;; 4) dialled=closed ;; *) dialled=open ;; esac
        return
    fi
    ssh_here "$1" "$2" -o UserKnownHostsFile=/dev/null -o ConnectTimeout=3
    case $code:$(cat "$spot/words") in
    *"onnection refused"* | *"No route"* | *"nreachable"*) dialled=none ;;
    *"verification failed"* | *"ermission denied"* | *"banner line"* | *"invalid format"* | *"imed out during banner"*) dialled=open ;;
    *) dialled=closed ;;
    esac
}

# shellcheck disable=SC2016  # expanded by bash
listen_only='{ IFS= read -r -t 2 -n 1 -u 3; code=$?; if [ "$code" = 1 ]; then exit 4; fi; exit 0; } 3<>"/dev/tcp/$1/$2"
exit 3'

# dial_local: the local end opens, and what it leads to takes the connection.
dial_local() {
    new_spot
    refusals=$(grep -c 'open failed' "$t_state/stderr" 2>/dev/null)
    dial_here_plain "$t_port" "$t_dial"
    [ "$dialled" = closed ] || return 0
    # Our own ssh tells whether there was nobody, or somebody who hung up.
    if [ "$(grep -c 'open failed' "$t_state/stderr" 2>/dev/null)" = "$refusals" ]; then
        dialled=open
    else
        by_far_words
    fi
}

# What our own ssh said last of a connection that the bastion did not make.
far_words() { grep 'open failed' "$t_state/stderr" 2>/dev/null | tail -n 1 | sed 's/^channel [0-9]*: open failed: //' | tr -d '\r'; }
by_far_words() { case $(far_words) in *"administratively prohibited"*) dialled=forbidden ;; esac; }

# dial_proxy over|alone: the bastion's end of a SOCKS proxy greets as one does; it is this machine's ssh that answers.
dial_proxy() {
    new_spot
    # shellcheck disable=SC2046  # the words of the command
    { printf '\005\001\000' && sleep 3 & echo $! >"$spot/nap"; wait; } | {
        as_user $(way "$1") -W "$(bracketed "$t_dial"):$t_port" bastion 2>"$spot/way" | head -c 2 | od -An -tx1 | tr -d ' \n' >"$spot/output"
        kill "$(cat "$spot/nap")" 2>/dev/null
    }
    case $(cat "$spot/output") in
    0500) dialled=open ;;
    ?*) dialled=other ;;
    *) way_words "$(cat "$spot/way")" ;;
    esac
}

# dial_dynamic: a SOCKS5 request through this machine's end reaches sshd on the bastion. (That the proxy greets would
# show nothing of the bastion: our own ssh says it, and says also "connected" before it is.)
dial_dynamic() {
    new_spot
    if ! have bash || ! have timeout; then
        # Nothing here speaks to a port and can be told what to say.
        dialled=forbidden
        return
    fi
    for there in localhost "$t_bastion_host"; do
        greeting=$(timeout 10 bash -c "$socks_request" socks "$t_dial" "$t_port" "$there" "$t_bastion_port" 2>/dev/null)
        case $greeting in
        SSH-*)
            dialled=open
            return
            ;;
        esac
    done
    # That the bastion tried is proof enough of the way to it.
    dialled=closed
    case $(far_words) in
    *"administratively prohibited"*) dialled=forbidden ;;
    *"connect failed"*) dialled=open ;;
    esac
}
# shellcheck disable=SC2016  # expanded by bash
socks_request='exec 3<>"/dev/tcp/$1/$2" || exit 1
printf "\5\1\0" >&3
[ "$(dd bs=1 count=2 <&3 2>/dev/null | od -An -tx1 | tr -d " \n")" = 0500 ] || exit 1
printf "\5\1\0\3\\$(printf %o ${#3})%s\\$(printf %o $(($4 / 256)))\\$(printf %o $(($4 % 256)))" "$3" >&3
dd bs=1 count=10 <&3 >/dev/null 2>&1
dd bs=1 count=4 <&3 2>/dev/null'

# bound_wrongly: the bastion listens elsewhere than it was asked to (GatewayPorts), by what its own session said
# when it took the port: into $bound. Unknown where no word is spoken.
bound_wrongly() {
    bound=
    on_bastion || return 1
    case $t_listen in /*) return 1 ;; esac
    bound_at=$(tr -d '\r' <"$t_state/session" 2>/dev/null | sed -n 's/^scitex-ssh bound //p' | tr ' ' '\n' |
        grep ":$(printf %04X "$t_port")\$" | sed 's/:.*//')
    [ -n "$bound_at" ] || return 1
    case $t_listen_host in
    localhost | 127.* | ::1)
        # Another program may have the port on one address of its own; on all of them it is ours.
        if printf '%s\n' "$bound_at" | grep -Eqx '0+'; then bound="every address"; fi
        ;;
    *)
        if only_loopback; then bound="its localhost"; fi
        ;;
    esac
    [ -n "$bound" ]
}
# Of the addresses in $bound_at, as /proc/net has them.
only_loopback() { ! printf '%s\n' "$bound_at" | grep -Evqx '[0-9A-F]{6}7F|7F[0-9A-F]{6}|0{24}01000000|0{31}1'; }
check_bound() {
    bound_wrongly || return 0
    case $bound in
    "every address") problem bind-exposed port="$t_port" ;;
    *) problem bind-refused port="$t_port" listen="$t_listen" ;;
    esac
}
