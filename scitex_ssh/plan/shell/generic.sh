# The flags of a program that is told its tunnel: the rules of the Python model, once more in shell.
# tests/differential holds the two to the same answers.

printable() { case $1 in *[[:cntrl:]]*) return 1 ;; esac; }

# take_port TEXT WHAT: into $taken
take_port() {
    case $1 in
    '' | 0* | *[!0-9]* | ??????*) bad_port "$@" || return ;;
    esac
    [ "$1" -le 65535 ] || bad_port "$@" || return
    taken=$1
}
bad_port() { problem bad-port value="$(quoted "$1")" what="$2"; }

# take_address SLUG TEXT DEFAULT: host and port into $taken_host and $taken_port
take_address() {
    slug=$1 whole=$2 port=$3 named=$3
    case $whole in
    \[*)
        rest=${whole#\[}
        host=${rest%%\]*}
        case $host in *\[*) host='' ;; esac
        case $host in *:*) ;; *) bad_brackets || return ;; esac
        case ${rest#"$host"} in
        \]) ;;
        \]:*) port=${rest#*\]:} named=1 ;;
        *) bad_brackets || return ;;
        esac
        ;;
    *:*:*) refuse_address "an IPv6 address goes into [brackets]" || return ;;
    *:*) host=${whole%:*} port=${whole#*:} named=1 ;;
    *) host=$whole ;;
    esac
    host_reason
    [ -z "$reason" ] || refuse_address "$reason" || return
    [ -n "$named" ] || refuse_address "it names no port" || return
    take_port "$port" "$(quoted "$whole")" || return
    taken_host=$host taken_port=$port
}
refuse_address() { problem "$slug" value="$(quoted "$whole")" why="$1"; }
bad_brackets() { refuse_address "brackets hold an IPv6 address"; }

# host_reason: why $host is none, into $reason; or $host as ssh looks for it in a known_hosts file.
host_reason() {
    reason=
    case $host in
    '') reason="it names no host" && return ;;
    *[[:cntrl:]]*) reason="it holds a control character" && return ;;
    -*) reason="a host cannot begin with '-'" && return ;;
    esac
    host=$(printf '%s' "$host" | tr '[:upper:]' '[:lower:]')
    case $host in
    *:*) is_ipv6 "$host" && canonical_ipv6 || reason=${reason:-"$(quoted "$host") is not an IPv6 address"} ;;
    *[!0-9.]*)
        label='[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?'
        printf '%s' "$host" | grep -Eq "^$label(\.$label)*\.?\$" &&
            [ ${#host} -le 253 ] || reason="$(quoted "$host") is not a host name"
        ;;
    *)
        octet='(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
        printf '%s' "$host" | grep -Eq "^$octet(\.$octet){3}\$" || reason="$(quoted "$host") is not an IPv4 address"
        ;;
    esac
}

# is_ipv6 TEXT: hexadecimal groups, eight of them or fewer with one "::"; all eight into $groups, as ":1:2:...:8:".
is_ipv6() {
    case $1 in *[!0-9a-f:]* | *:::* | *::*::* | :[!:]* | *[!:]: | *[!:][!:][!:][!:][!:]*) return 1 ;; esac
    # Every group behind its colon, and zeros for what "::" leaves out.
    front=:${1%%::*} zeros='' back=''
    case $1 in *::*) zeros=:0 back=:${1#*::} ;; esac
    [ "$front" != : ] || front=
    [ "$back" != : ] || back=
    while [ -n "$zeros" ]; do
        case $front$zeros$back in *:*:*:*:*:*:*:*:*) break ;; *) zeros=$zeros:0 ;; esac
    done
    case $front$zeros$back in
    *:*:*:*:*:*:*:*:*:*) return 1 ;;
    *:*:*:*:*:*:*:*:*) groups=$(printf '%s:' "$front$zeros$back" | sed 's/:0*\([0-9a-f]\)/:\1/g') ;;
    *) return 1 ;;
    esac
}

# canonical_ipv6: $groups into $host, the longest run of zeros (the first of them) as "::".
canonical_ipv6() {
    case $groups in
    :0:0:0:0:0:0:0:*) ;;
    :0:0:0:0:0:0:* | :0:0:0:0:0:ffff:*)
        # ::ffff:1.2.3.4 and ::1.2.3.4, which every program writes in another way.
        reason="that is an IPv4 address, which goes without brackets"
        return 1
        ;;
    esac
    for zeros in :0:0:0:0:0:0:0:0 :0:0:0:0:0:0:0 :0:0:0:0:0:0 :0:0:0:0:0 :0:0:0:0 :0:0:0 :0:0; do
        case $groups in
        *"$zeros":*)
            front=${groups%%"$zeros":*} back=${groups#*"$zeros":}
            host=${front#:}::${back%:}
            return 0
            ;;
        esac
    done
    host=${groups#:} host=${host%:}
}

# take_destination SLUG TEXT: into $taken_user, $taken_host, $taken_port
take_destination() {
    slug=$1 rest=$2 taken_user=
    case $2 in
    *@*)
        taken_user=${2%@*} rest=${2##*@}
        printf '%s' "$taken_user" | grep -Eq '^[A-Za-z0-9_.][A-Za-z0-9_.+-]{0,63}$' && printable "$taken_user" ||
            { problem "$slug" value="$(quoted "$2")" why="$(quoted "$taken_user") is not a user name"; return; }
        ;;
    esac
    take_address "$1" "$rest" 22
}
take_bastion() {
    take_destination bad-destination "$1" &&
        t_bastion_user=$taken_user t_bastion_host=$taken_host t_bastion_port=$taken_port
}

# take_bastions TEXT: one, or several with commas between them; more, to the lines of $given_bastions.
take_bastions() {
    bastions_left=$1,
    while [ -n "$bastions_left" ]; do
        bastion=${bastions_left%%,*} bastions_left=${bastions_left#*,}
        take_bastion "$bastion" || return
        case "$newline$given_bastions" in
        *" $t_bastion_host $t_bastion_port$newline"*)
            problem bad-destination value="$(quoted "$bastion")" why="it is given twice"
            return
            ;;
        esac
        given_bastions="$given_bastions${t_bastion_user:--} $t_bastion_host $t_bastion_port$newline"
    done
}

# take_jumps TEXT: hosts with commas between them, into t_jumps
take_jumps() {
    jumps_left=$1, jumps_taken='' jumps_count=0
    while [ -n "$jumps_left" ]; do
        jump=${jumps_left%%,*} jumps_left=${jumps_left#*,}
        if [ "$jumps_count" = 8 ]; then
            problem bad-jump value="$(quoted "$jump")" why="there are 8 before it"
            return
        fi
        take_destination bad-jump "$jump" || return
        jumps_count=$((jumps_count + 1))
        jumps_taken=$jumps_taken${jumps_taken:+$newline}${taken_user:--}' '$taken_host' '$taken_port
    done
    t_jumps=$jumps_taken
}
# take_jump_key PATH: one more, to t_jump_keys
take_jump_key() {
    own_key=$t_key
    take_key "$1" || return
    t_jump_keys=$t_jump_keys${t_jump_keys:+$newline}$t_key
    t_key=$own_key
}

# take_proxy URL
take_proxy() {
    case $1 in
    http://*@* | socks5://*@*) problem bad-proxy value="what was given" why="it holds a name or a password" ;;
    http://* | socks5://*) take_address bad-proxy "${1#*://}" '' && t_proxy=${1%%:*}://$(bracketed "$taken_host"):$taken_port ;;
    *) problem bad-proxy value="$(quoted "$1")" why="it begins with neither http:// nor socks5://" ;;
    esac
}

take_key() {
    why='' path=$1
    # shellcheck disable=SC2088  # a path beginning with these two characters is meant
    case $1 in
    '') why="it is empty" ;;
    /* | "~/"*) ;;
    "~"*) why="only ~/ stands for a home folder" ;;
    *) path=$(pwd -P)/$1 ;;
    esac
    case $path in
    *[[:cntrl:]]*) why="it holds a control character" ;;
    */) why="it names a folder" ;;
    *[!\ -~]*) is_text "$path" || why="it holds a control character, or is not valid UTF-8" ;;
    esac
    [ ${#path} -le 4095 ] || why="it is longer than 4095 bytes"
    [ -z "$why" ] || { problem bad-key-path value="$(quoted "$1")" why="$why"; return; }
    t_key=$path
}

# is_text TEXT: valid UTF-8 without a control character (U+0080 to U+009F) or a line break (U+2028, U+2029).
is_text() {
    more='[89ab][0-9a-f]'
    printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n' | grep -Eqx "([2-6].|7[0-9a-e]|c2[ab].|(c[3-9a-f]|d.)$more|\
e0[ab].$more|e280([89b].|a[0-7a-f])|e28[1-9a-f]$more|e2[9ab].$more|e[13-9a-cef]$more$more|ed[89].$more|\
f0[9ab].$more$more|f[123]$more$more$more|f48.$more$more)*"
}

take_user() {
    printf '%s' "$1" | grep -Eq '^[A-Za-z_][A-Za-z0-9_.-]{0,31}$' && printable "$1" ||
        { problem bad-user value="$(quoted "$1")" why="that is not how accounts are named"; return; }
    t_user=$1
}

# shellcheck disable=SC2034
take_keepalive() {
    t_connect_timeout=10
    case $1 in
    fast) t_alive_interval=2 t_alive_count=2 t_connect_timeout=6 ;;
    default) t_alive_interval=5 t_alive_count=2 ;;
    patient) t_alive_interval=20 t_alive_count=4 t_connect_timeout=30 ;;
    *)
        printf '%s' "$1" | grep -Eq '^[1-9][0-9]{0,3}x[1-9][0-9]{0,2}$' && printable "$1" &&
            [ "${1%x*}" -le 3600 ] && [ "${1#*x}" -le 100 ] ||
            { problem bad-keepalive value="$(quoted "$1")" why="it is no profile and no IxC"; return; }
        t_alive_interval=${1%x*} t_alive_count=${1#*x}
        ;;
    esac
    # The profile that these numbers are has its name.
    case $1 in 5x2) t_keepalive=default ;; *) t_keepalive=$1 ;; esac
}

take_keeper() {
    case $1 in
    auto | systemd | systemd-user | cron | profile | nohup | screen | tmux) t_keeper=$1 ;;
    *) problem bad-keeper value="$(quoted "$1")" ;;
    esac
}

# take_hook TEXT: into $taken
take_hook() {
    why=
    case $1 in
    *[[:cntrl:]]*) why="it holds a control character" ;;
    *[!\ -~]*) is_text "$1" || why="it holds a control character, or is not valid UTF-8" ;;
    *[!\ ]*) ;;
    *) why="it is empty" ;;
    esac
    [ ${#1} -le 1000 ] || why="it is longer than 1000 bytes"
    [ -z "$why" ] || { problem bad-hook value="$(quoted "$1")" why="$why"; return; }
    taken=$1
}

take_engine() {
    case $1 in
    ssh | autossh) t_engine=$1 ;;
    *) problem bad-engine value="$(quoted "$1")" ;;
    esac
}

usage() {
    case $word in
    setup)
        cat <<TXT
usage: $program -p PORT -b [USER@]BASTION[:PORT] -s KEY [FLAG]...
Keeps a reverse SSH tunnel: port PORT of the bastion leads to sshd on this machine. Proves it, or undoes it.
  -p, --port PORT            the port on the bastion, 1024 to 65535
  -b, --bastion DESTINATION  the bastion (or SCITEX_SSH_BASTION_SERVER); given again, one more with its own tunnel
  -s, --secret-key KEY       a private key without a passphrase (or SCITEX_SSH_SECRET_KEY_PATH)
      --target HOST:PORT     what the port leads to (localhost:22), or the path of a Unix socket
      --remote-socket NAME   instead of a port: a Unix socket of the bastion, by its path or a name in its /tmp
  -R, -L, -D FORWARD         more forwards (or others), as ssh takes them; each may be given several times
  -n, --name NAME            what the tunnel is called (its port)
  -J, --jump HOST,HOST       hosts to jump over on the way to the bastion, the nearest first
      --jump-key KEY         the key for one of them, once each in their order (the one of -s)
      --proxy URL            a proxy, http://proxy.example.com:3128 or socks5://..., for the first connection of the way
      --user USER            the account that keeps the tunnel (you; through sudo, its caller)
      --keeper KEEPER        systemd (needs root), systemd-user, cron, profile, nohup, screen, tmux;
                             auto (the default): the first of the first four that will do
      --engine ssh|autossh   what holds the connection (ssh)
      --keepalive PROFILE    fast, default, patient or INTERVALxCOUNT
      --on-up COMMAND        run whenever the tunnel has come up, once, as the tunnel's user
      --on-down COMMAND      the same when it is lost
      --accept-new-host-key  trust the bastion's host key where none is known
      --host-key-fingerprint SHA256:...  trust it only if this is its fingerprint
      --accept-listening     be content where the bastion does not let the key dial the port back
      --dry-run              only show what would change
      --yes                  the rules of the networks concerned permit it: do not ask
TXT
        ;;
    remove)
        cat <<TXT
usage: $program -p PORT [-b BASTION] | -n NAME [--dry-run]
Removes the tunnels on the port PORT of their bastions (of BASTION alone), or the one of that name, without a trace.
TXT
        ;;
    status)
        cat <<TXT
usage: $program [-p PORT | -n NAME]
Shows the tunnels of this machine, and proves each. Exit status 50 when one is not verified.
TXT
        ;;
    *)
        cat <<TXT
usage: $program setup|status|remove [FLAG]...
This machine has no Python that the whole of scitex-ssh $version could run on, so this is its shell part:
  setup -p PORT -b BASTION -s KEY   keep a reverse SSH tunnel, and prove it
  status [-p PORT]                  show the tunnels, and prove each
  remove -p PORT                    remove one
Each answers --help.
TXT
        ;;
    esac
    printf 'Exit statuses: 0 done, 1 failed, 2 usage, 3 refused, 10 configuration, 20 unreachable, 21 not authorised,\n'
    printf '22 host key, 23 port taken, 50 not verified, 130 interrupted.\n'
}

takes_value() {
    case $1 in
    -J | --jump | --jump-key | --proxy | -R | -L | -D | -n | --name | --remote-socket | -p | --port | -b | --bastion | -s | --secret-key | --target | --user | --keeper | --engine | --keepalive | --on-up | --on-down | --host-key-fingerprint) ;;
    *) return 1 ;;
    esac
}

# take_flags FLAG...: t_port and so on, or a problem and the end.
take_flags() {
    dry_run=0 accept_new=0 accept_listening=0 must_exist=1 wait_seconds=30 wanted='' fingerprint='' yes=0
    t_key='' given_bastions='' short_target='' given_socket='' given_remote='' given_local='' given_dynamic=''
    forget
    while [ $# -gt 0 ]; do
        flag=$1 value=${2-}
        shift
        case $flag in
        --*=*)
            # --yes=no would else be --yes.
            takes_value "${flag%%=*}" || usage_problem "it takes no '$(printf '%s' "$flag" | tr -c '[:print:]' '?')'" "$program"
            value=${flag#*=} flag=${flag%%=*}
            ;;
        -[pbsnJRLD]?*) value=${flag#??} flag=${flag%"${flag#??}"} ;;
        *)
            if takes_value "$flag"; then
                [ $# -gt 0 ] || usage_problem "$flag needs a value" "$program"
                shift
            fi
            ;;
        esac
        case $word:$flag in
        *:-h | *:--help) usage && exit 0 ;;
        *:--version) printf 'scitex-ssh %s\n' "$version" && exit 0 ;;
        *:--machine) machine=1 ;;
        *:-p | *:--port) take_port "$value" -p && t_port=$taken ;;
        *:-n | *:--name) take_name "$value" ;;
        setup:-R) take_forward -R "$value" && given_remote=$given_remote${given_remote:+$newline}$taken ;;
        setup:-L) take_forward -L "$value" && given_local=$given_local${given_local:+$newline}$taken ;;
        setup:-D) take_forward -D "$value" && given_dynamic=$given_dynamic${given_dynamic:+$newline}$taken ;;
        setup:--remote-socket) take_remote_socket "$value" && given_socket=$taken ;;
        setup:-b | setup:--bastion) take_bastions "$value" ;;
        remove:-b | remove:--bastion) take_bastion "$value" ;;
        setup:-s | setup:--secret-key) take_key "$value" ;;
        setup:-J | setup:--jump) take_jumps "$value" ;;
        setup:--jump-key) take_jump_key "$value" ;;
        setup:--proxy) take_proxy "$value" ;;
        setup:--target) take_target "$value" && short_target=$taken ;;
        setup:--user) take_user "$value" ;;
        setup:--keeper) take_keeper "$value" ;;
        setup:--engine) take_engine "$value" ;;
        setup:--keepalive) take_keepalive "$value" ;;
        setup:--on-up) take_hook "$value" && t_on_up=$taken ;;
        setup:--on-down) take_hook "$value" && t_on_down=$taken ;;
        setup:--accept-new-host-key) accept_new=1 ;;
        setup:--host-key-fingerprint) take_fingerprint "$value" ;;
        setup:--accept-listening) accept_listening=1 ;;
        setup:--dry-run | remove:--dry-run) dry_run=1 ;;
        setup:--yes | remove:--yes) yes=1 ;;
        *) usage_problem "it takes no '$(printf '%s' "$flag" | tr -c '[:print:]' '?')'" "$program" ;;
        esac || finish
    done
}

# need TEXT WHAT HOW
need() { [ -n "$1" ] || problem missing-field what="$2" how="$3" || finish; }

# shellcheck disable=SC2034
bind_1() { recall given; }

# generic COMMAND|'' ARGUMENT...: with '', the command is the first argument.
generic() {
    program="sh ${0##*/}"
    word=$1
    shift
    if [ -z "$word" ]; then
        case ${1-} in
        setup | status | remove) word=$1 && shift && program="$program $word" ;;
        tunnel) shift && generic '' "$@" ;;
        -h | --help) usage && exit 0 ;;
        --version) printf 'scitex-ssh %s\n' "$version" && exit 0 ;;
        '') usage_problem "it needs a command" "$program" ;;
        *) usage_problem "there is no command '$(printf '%s' "$1" | tr -c '[:print:]' '?')' here: setup, status and remove are" "$program" ;;
        esac
        set -- "$word" "$@"
        set_aside=1
    else
        set -- "$word" "$@"
        set_aside=0
    fi
    shift
    take_flags "$@"
    # Given again to the same program as root: that one knows its command, or is told it.
    [ "$set_aside" = 0 ] || set -- "$word" "$@"
    case $word:$t_port:$t_name in
    setup:*) ;;
    *:?*:?*) usage_problem "a tunnel that stands is told by its port (-p) or by its name (-n), not by both" "$program" ;;
    esac
    case $word in
    setup) defaults "$@" ;;
    remove)
        need "$t_port$t_name" port "-p, or -n with a name"
        [ -z "$t_name" ] || [ -z "$t_bastion_host" ] || usage_problem "-n names one tunnel, so -b is not for it" "$program"
        run_generic remove_all "$@"
        ;;
    status)
        [ -z "$t_port" ] || [ -n "$t_name" ] || t_name=$(tunnels_on "$t_port")
        wanted=$t_name && run_generic status_all
        ;;
    esac
}

defaults() {
    # Given again to the same program as root, where this variable may not be.
    if [ -z "$given_bastions" ] && [ -n "${SCITEX_SSH_BASTION_SERVER-}" ]; then
        take_bastions "$SCITEX_SSH_BASTION_SERVER" || finish
        set -- "$@" -b "$SCITEX_SSH_BASTION_SERVER"
    fi
    first_bastion
    given_port=$t_port
    [ -n "$t_key" ] || [ -z "${SCITEX_SSH_SECRET_KEY_PATH-}" ] || take_key "$SCITEX_SSH_SECRET_KEY_PATH" || finish
    assemble || finish
    need "$t_bastion_host" bastion "-b, or set SCITEX_SSH_BASTION_SERVER"
    need "$t_key" key "-s, or set SCITEX_SSH_SECRET_KEY_PATH"
    set -- "$@" -s "$t_key"
    other_bastions
    run_generic setup_all "$@"
}

first_bastion() {
    [ -n "$given_bastions" ] || return 0
    part_login "${given_bastions%%"$newline"*}"
    [ "$t_bastion_user" != - ] || t_bastion_user=
}
# other_bastions: the same for each of the others, under that name with a number behind it.
other_bastions() {
    tunnels=1 number=1 base_name=$t_name others=${given_bastions#*"$newline"}
    [ -z "$others" ] || t_series=$t_name
    keep given
    [ -z "$others" ] || only_there || finish
    while [ -n "$others" ]; do
        number=$((number + 1))
        part_login "${others%%"$newline"*}"
        others=${others#*"$newline"}
        [ "$t_bastion_user" != - ] || t_bastion_user=
        t_port=$given_port
        take_name "$base_name-$number" && assemble || finish
        keep "given_$number"
        eval "bind_$number() { recall given_$number; }"
        tunnels="$tunnels $number"
    done
    recall given
}
only_there() {
    forward_flag=-L here=$given_local
    [ -n "$here" ] || forward_flag=-D here=$given_dynamic
    [ -z "$here" ] || problem bad-forward flag="$forward_flag" value="$(quoted "$(printf '%s\n' "$here" | sed 's/^[^ ]* //; s/ .*//; q')")" \
        why="of two bastions each has a tunnel, and only one can listen on a port of this machine"
}

run_generic() {
    tunnels=${tunnels:-1}
    keep given
    make_work || finish
    "$@"
}
