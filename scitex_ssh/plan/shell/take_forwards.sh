# Forwards as flags describe them: the rules of model/forward.py, once more in shell.

# take_forward FLAG TEXT: into $taken, as a line of t_forwards
take_forward() {
    forward_flag=$1 whole=$2
    printable "$whole" && is_plain_ascii "$whole" || refuse_forward "it is not plain text" || return
    part_list "$whole" || refuse_forward "it is not made of parts with colons between them" || return
    case $forward_flag:$part_1 in
    -R:/*)
        take_socket "$part_1" bad-forward || return
        taken_listen=$taken
        forward_target 2 && taken="remote $taken_listen $taken"
        return
        ;;
    *:/*)
        refuse_forward "it listens on a port"
        return
        ;;
    esac
    bind=localhost next=1
    case $parts:$part_3:$forward_flag:$part_2 in
    [45]:* | 3:/*) next=2 ;;
    2::-L:* | 2::*:/*) ;;
    2:*) next=2 ;;
    esac
    if [ "$next" = 2 ]; then
        forward_host "$part_1" anywhere || return
        bind=$taken
    fi
    eval "port=\$part_$next"
    case $forward_flag:$port in
    -R:0) ;;
    *) take_port "$port" "$(quoted "$whole")" || return ;;
    esac
    listen=$(bracketed "$bind"):$port
    next=$((next + 1))
    case $forward_flag:$((parts >= next)) in
    -D:0) taken="dynamic $listen" ;;
    -R:0) taken="socks $listen" ;;
    -D:1) refuse_forward "a proxy has no target" ;;
    -R:1) forward_target "$next" && taken="remote $listen $taken" ;;
    -L:*) forward_target "$next" && taken="local $listen $taken" ;;
    esac
}
refuse_forward() { problem bad-forward value="$(quoted "$whole")" flag="$forward_flag" why="$1"; }
is_plain_ascii() { case $1 in *[!\ -~]*) return 1 ;; esac; }

# part_list TEXT: what stands between colons, brackets left alone: how many into $parts, each into $part_N.
part_list() {
    rest=$1 parts=0
    part_1='' part_2='' part_3='' part_4='' part_5=''
    [ -n "$rest" ] || return 1
    while :; do
        parts=$((parts + 1))
        case $rest in
        \[*\]*) part=${rest%%\]*}] ;;
        *) part=${rest%%:*} ;;
        esac
        case ${part#\[} in *\[*) return 1 ;; esac
        case $part in \[*\]) ;; \[* | *\]*) return 1 ;; esac
        rest=${rest#"$part"}
        # What a sixth would be is as wrong as a fifth.
        [ "$parts" -gt 5 ] || eval "part_$parts=\$part"
        case $rest in
        '')
            [ "$parts" -le 5 ] || parts=5
            return 0
            ;;
        :*) rest=${rest#:} ;;
        *) return 1 ;;
        esac
    done
}

# forward_host TEXT [anywhere]: into $taken, IPv6 without its brackets
forward_host() {
    case ${2-}:$1 in
    anywhere: | 'anywhere:*')
        taken='*'
        return
        ;;
    esac
    host=$1
    case $1 in
    \[*)
        host=${1#\[} host=${host%\]}
        case $host in *:*) ;; *) refuse_forward "brackets hold an IPv6 address" || return ;; esac
        ;;
    esac
    host_reason
    [ -z "$reason" ] || refuse_forward "$reason" || return
    taken=$host
}

# forward_target N: the target that begins with part N, into $taken
forward_target() {
    eval "first=\$part_$1"
    case $((parts - $1)):$first in
    0:/*) take_socket "$first" bad-forward ;;
    1:*)
        forward_host "$first" || return
        first=$(bracketed "$taken")
        eval "port=\$part_$(($1 + 1))"
        take_port "$port" "$(quoted "$whole")" && taken=$first:$taken
        ;;
    *) refuse_forward "its target must be HOST:PORT or the path of a socket" ;;
    esac
}

# take_socket PATH SLUG
take_socket() {
    case $1 in
    [!/]* | *[!A-Za-z0-9_.+/-]* | *//* | */ | '') ;;
    *)
        taken=$1
        [ "${#1}" -gt 90 ] || return 0
        ;;
    esac
    slug=$2
    problem "$slug" value="$(quoted "$1")" flag="${forward_flag--R}" \
        why="$(quoted "$1") is not the path of a socket (at most 90 plain characters)"
}

# take_remote_socket TEXT: a path, or a name in the bastion's /tmp, into $taken
take_remote_socket() {
    forward_flag=--remote-socket
    path=$1
    ! is_name "$1" || path=/tmp/scitex-ssh-$1
    take_socket "$path" bad-forward
}

is_name() { case $1 in [!a-z0-9]* | *[!a-z0-9_.-]* | '') return 1 ;; *) [ "${#1}" -le 63 ] ;; esac; }

# take_target TEXT: HOST:PORT or the path of a socket, into $taken
take_target() {
    case $1 in
    /*) take_socket "$1" bad-target ;;
    *) take_address bad-target "$1" '' && taken=$(bracketed "$taken_host"):$taken_port ;;
    esac
}

# take_name TEXT
take_name() {
    if ! is_name "$1"; then
        problem bad-name value="$(quoted "$1")" why="it would not do as a file name"
    elif [ "$1" = default ]; then
        problem bad-name value="$(quoted "$1")" why="it is the word for no name at all"
    else
        t_name=$1
    fi
}

# add_forward LINE: to t_forwards
add_forward() {
    t_forwards=$t_forwards${t_forwards:+$newline}$1
}

# assemble: the flags of one tunnel, as t_forwards and t_name.
# shellcheck disable=SC2154  # take_flags set them
assemble() {
    if [ -n "$short_target" ] && [ -z "$t_port$given_socket" ]; then
        problem missing-field what=port how="-p (--target goes with it)"
        return
    fi
    target=${short_target:-localhost:22}
    t_forwards=${t_port:+remote localhost:$t_port $target}
    [ -z "$given_socket" ] || add_forward "remote $given_socket $target"
    for lines in "$given_remote" "$given_local" "$given_dynamic"; do
        [ -z "$lines" ] || add_forward "$lines"
    done
    need "$t_forwards" port -p
    if [ "$(printf '%s\n' "$t_jump_keys" | grep -c .)" -gt "$(printf '%s\n' "$t_jumps" | grep -c .)" ]; then
        problem bad-jump value="$(quoted "$(printf '%s\n' "$t_jump_keys" | tail -n 1)")" why="it is a key without a host"
        return
    fi
    count_forwards
    t_bastion=''
    seen_forwards=' ' first_port='' first_socket='' ports=' '
    each_forward combine || return
    [ -n "$t_name" ] || default_name || return
    case $t_name in
    *[!0-9]*) ;;
    *)
        case $ports in
        *" $t_name "*) ;;
        *) problem bad-name value="$(quoted "$t_name")" why="a number is the name of a port" ;;
        esac
        ;;
    esac
}

combine() {
    side=here
    ! on_bastion || side=there
    ports="$ports$t_port "
    # Two that the bastion picks a port for are one to ssh if they are the same in all else.
    opens=$t_port
    [ "$t_port" != 0 ] || opens=$t_kind:$t_listen:$t_target
    case $seen_forwards in
    *" $side:$opens "*)
        problem bad-forward flag=-R value="$(quoted "$t_listen")" why="it is wanted twice in one tunnel"
        return
        ;;
    esac
    seen_forwards="$seen_forwards$side:$opens "
    case $side:$t_port in
    there:/*) first_socket=${first_socket:-$t_port} ;;
    there:0) ;;
    there:*) first_port=${first_port:-$t_port} ;;
    esac
    case $t_port in
    /* | 0) ;;
    *)
        if [ "$t_port" -lt 1024 ] && [ "$side" = here ]; then
            problem local-port-privileged port="$t_port"
            return
        fi
        login_user=${t_bastion_user:-${t_user:-root}}
        if [ "$t_port" -lt 1024 ] && [ "$login_user" != root ]; then
            problem port-privileged port="$t_port" user="$login_user"
            return
        fi
        ;;
    esac
}

default_name() {
    case $first_port:$first_socket:$t_kind:$t_port in
    [0-9]*) t_name=$first_port ;;
    :/*)
        name=${first_socket##*/}
        take_name "${name#scitex-ssh-}"
        ;;
    *:0) problem missing-field what=name how="--name (the bastion picks the port)" ;;
    *:local:*) t_name=local-$t_port ;;
    *) t_name=socks-$t_port ;;
    esac
}
