# The way to the bastion where it is not straight: hosts to jump over (t_jumps, a line each: "USER HOST PORT", "-" for
# no user; t_jump_keys, a path a line), and a proxy before the first of them. While one of them is looked at, its values
# stand in place of the bastion's, and $hop is its number; at rest that is the bastion's, behind the last.

is_straight() { [ "${t_hops:-0}" = 0 ] && [ -z "$t_proxy" ]; }

# each_hop COMMAND...: with each of them, the nearest first, until one fails.
each_hop() {
    hop=0 hop_code=0
    of_bastion="$t_bastion_user $t_bastion_host $t_bastion_port"
    of_login=${t_login-} of_name=${t_known_name-} of_key=$t_key
    while [ "$hop" -lt "${t_hops:-0}" ] && [ "$hop_code" = 0 ]; do
        hop=$((hop + 1))
        take_hop
        "$@" || hop_code=$?
    done
    hop=$((${t_hops:-0} + 1))
    part_login "$of_bastion"
    t_login=$of_login t_known_name=$of_name t_key=$of_key
    return "$hop_code"
}
take_hop() {
    part_login "$(printf '%s\n' "$t_jumps" | sed -n "${hop}p")"
    [ "$t_bastion_user" != - ] || t_bastion_user=$t_user
    t_login=$t_bastion_user@$t_bastion_host t_known_name=$t_bastion_host
    [ "$t_bastion_port" = 22 ] || t_known_name=[$t_bastion_host]:$t_bastion_port
    t_key=$(printf '%s\n' "$t_jump_keys" | sed -n "${hop}p")
    t_key=$(at_home "${t_key:-$of_key}")
}
part_login() {
    IFS=' ' read -r t_bastion_user t_bastion_host t_bastion_port <<EOT
$1
EOT
}

# derive_way: what the texts say of it.
# shellcheck disable=SC2034  # the texts of the program use them
derive_way() {
    t_hops=$(printf '%s\n' "$t_jumps" | grep -c .)
    t_way_notes='' t_jump_blocks='' t_jumps_json='' t_proxy_command=none t_hop_logins=''
    t_reach_timeout=$((t_connect_timeout * (t_hops + 1)))
    if [ -n "$t_proxy" ]; then
        t_way_notes="$newline# proxy: $t_proxy"
        choose_proxy_command || return
    fi
    each_hop derive_hop
}
# shellcheck disable=SC2034
derive_hop() {
    t_hop_logins=$t_hop_logins$t_login$newline
    t_way_notes="$t_way_notes$newline# jump: $t_bastion_user $t_bastion_host $t_bastion_port $t_key"
    words="\"user\": \"$t_bastion_user\", \"host\": \"$t_bastion_host\", \"port\": $t_bastion_port"
    t_jumps_json="$t_jumps_json${t_jumps_json:+, }{$words, \"key\": \"$(json_text "$t_key")\"}"
    t_jump_blocks="${t_jump_blocks}Host jump-$hop
    HostName $t_bastion_host
    Port $t_bastion_port
    User $t_bastion_user
    IdentityFile $t_folder/key-$hop
    ConnectTimeout $((t_connect_timeout * hop))
    ServerAliveInterval $((2 * t_alive_interval))
    ServerAliveCountMax $((4 * t_alive_count + 3))
    ProxyCommand $t_proxy_command
"
    t_proxy_command="ssh -F $t_folder/ssh_config -W '[%h]:%p' jump-$hop"
}

# recall_way: that of a tunnel that stands, from its own file.
recall_way() {
    t_proxy=$(written proxy) t_jumps=$(written jump | cut -d' ' -f1-3) t_jump_keys=$(written jump | cut -d' ' -f4-)
    t_hops=$(printf '%s\n' "$t_jumps" | grep -c .)
    hop=$((t_hops + 1)) t_hop_logins=$(printf '%s\n' "$t_jumps" | sed 's/^\([^ ]*\) \([^ ]*\) .*/\1@\2/')
}

# Links to the keys of the hops, as there is one to the tunnel's own.
jump_keys_are() {
    each_hop jump_key_is "$1" || return
    for link in "$1"/key-*; do
        case ${link##*/} in 'key-*') ;; *) [ "${link##*/key-}" -le "$t_hops" ] || return ;; esac
    done
}
jump_key_is() { link_is "$1/key-$hop" "$t_key"; }
put_jump_keys() { rm -f "$1"/key-* && each_hop put_jump_key "$1"; }
put_jump_key() { put_link "$1/key-$hop" "$t_key"; }
check_jump_key() { [ "$t_key" = "$of_key" ] || examine_key; }

# What is known of their host keys, as of the bastion's.
find_jump_hosts() {
    t_jump_hosts=
    each_hop find_jump_host
}
find_jump_host() {
    found_lines=$(known_lines)
    [ -n "$found_lines" ] || found_lines=$(pinned "$t_known_name" "$t_folder/known_hosts")
    t_jump_hosts=$t_jump_hosts${found_lines:+$newline$found_lines}
}

# learn_jump_host: the key of one of which none is known, as it shows it now, over those before it.
learn_jump_host() {
    [ -z "$(pinned "$t_known_name" "$t_stage/known_hosts")" ] || return 0
    check=yes
    [ "$accept_new" != 1 ] || check=accept-new
    if ! try_hop "$(compared_kinds)" -o "StrictHostKeyChecking=$check"; then
        ssh_cause "$t_stage/hop"
        return
    fi
    found_lines=$(pinned "$t_known_name" "$t_stage/known_hosts")
    print=$(printf '%s\n' "$found_lines" | print_of)
    if ! is_trusted "$print"; then
        problem host-key-differs host="$t_bastion_host" fingerprint="$print" expected="${fingerprint# }"
        return
    fi
    t_jump_hosts=$t_jump_hosts$newline$found_lines
}

# try_hop OPTION...: logs in there and out again; what ssh said is in the file hop.
try_hop() {
    place=$(mktemp -d "$work/jump.XXXXXX")
    [ "$me" = "$t_user" ] || chown "$t_user" "$place"
    as_user ssh -v -n -F "$t_stage/ssh_config" -o ControlMaster=yes -o "ControlPath=$place/master" "$@" \
        -N -f "jump-$hop" >/dev/null 2>"$t_stage/hop" || return
    as_user ssh -F none -o "ControlPath=$place/master" -O exit jump 2>/dev/null
}
hop_lets_in() { try_hop || ssh_cause "$t_stage/hop"; }

# blame_hop FILE: the words are of this hop, which its own ssh named; those of the bastion are not.
blame_hop() {
    case $words in
    *"$t_login: "* | *" $t_bastion_host port $t_bastion_port"* | *"hostname $t_bastion_host:"* | *"key for $t_known_name has changed"* | \
        *"key is known for $t_known_name and"*)
        ssh_cause "$1"
        ;;
    esac
}

# was_tried: what is judged was said to this program, and not to a supervisor.
was_tried() { case $talk in "${t_stage:-none}"/*) ;; *) false ;; esac; }

# way_cause: the problem of a link behind a hop or a proxy, by $words; fails where it is another.
way_cause() {
    before=$(printf '%s\n' "$t_hop_logins" | sed -n "$((hop - 1))p" 2>/dev/null)
    # Not tried hop by hop, so nothing tells which it was.
    [ "$t_hops" -le 1 ] || was_tried || before="one of the jump hosts"
    reason=$(printf '%s\n' "$words" | sed -n 's/^.*open failed: //p' | tail -n 1)
    set -- host="$t_bastion_host" port="$t_bastion_port" hop="$before"
    case $hop:$words in
    *"stdio forwarding failed"*)
        case $reason in
        "administratively prohibited"*) problem jump-forbidden "$@" ;;
        *) problem jump-dead-end "$@" why="${reason#connect failed: }" ;;
        esac
        ;;
    1:*) proxy_cause && return 1 ;;
    *"imed out during banner exchange"*) problem jump-dead-end "$@" why="it does not answer in time" ;;
    *) return 1 ;;
    esac
    return 0
}

# The proxy is spoken to by a program of its own: nc of OpenBSD, or what else there is.
choose_proxy_command() {
    proxy=${t_proxy#*://}
    proxy_host=${proxy%:*} proxy_port=${proxy##*:}
    proxy_host=${proxy_host#\[} proxy_host=${proxy_host%\]}
    # These two hand it on as it is, and would leave nothing of an IPv6 address to be told from the port.
    first=$(printf '%s\n' "$t_jumps" | sed -n '1s/^[^ ]* \([^ ]*\) .*/\1/p')
    case ${first:-$t_bastion_host} in *:*) first='[%h]' ;; *) first=%h ;; esac
    case ${t_proxy%%:*}:$(proxy_tools) in
    http:*nc_openbsd*) t_proxy_command="nc -X connect -x '$proxy' %h %p" ;;
    socks5:*nc_openbsd*) t_proxy_command="nc -X 5 -x '$proxy' %h %p" ;;
    *" ncat"*) t_proxy_command="ncat --proxy '$proxy' --proxy-type ${t_proxy%%:*} %h %p" ;;
    http:*" socat"*) t_proxy_command="socat - 'PROXY:$(bracketed "$proxy_host"):$first:%p,proxyport=$proxy_port'" ;;
    http:*" corkscrew"*) t_proxy_command="corkscrew '$proxy_host' $proxy_port $first %p" ;;
    *) problem proxy-tool-missing proxy="$t_proxy" ;;
    esac
}
proxy_tools() {
    # Other programs of that name know no proxy.
    ! have nc || ! nc -h 2>&1 </dev/null | grep -q -e '-X proto' || printf ' nc_openbsd'
    for tool in ncat socat corkscrew; do ! have "$tool" || printf ' %s' "$tool"; done
}

# proxy_cause: succeeds where nothing is known of the proxy to be wrong.
proxy_cause() {
    [ -n "$t_proxy" ] || return 0
    refusal=$(printf '%s\n' "$words" | sed -n \
        -e '/^Ncat: Proxy connection failed: /d; /^Ncat: Could not resolve proxy /d' \
        -e 's/^nc: Proxy error: //p; s/^nc: connection failed, //p; s/^nc: //p; s/^Ncat: //p' \
        -e 's/^.* E \(CONNECT .*\)/\1/p; s/^Proxy could not open connection to [^:]*: *//p' | tail -n 1)
    if [ -n "$refusal" ]; then
        problem proxy-refused host="$t_bastion_host" port="$t_bastion_port" proxy="$t_proxy" why="$refusal"
        return
    fi
    was_tried || return 0
    case $words in *" by UNKNOWN "* | *"during banner exchange"* | *"closed by remote host"*) ;; *) return 0 ;; esac
    # Its program says nothing of a proxy that is not there. Asked of ssh, whose words tell why not.
    as_user ssh -n -F none -o BatchMode=yes -o ConnectTimeout=5 -o PreferredAuthentications=none -o ControlPath=none \
        -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -p "$proxy_port" "$proxy_host" true \
        >/dev/null 2>"$work/proxy"
    why=$(sed -n 's/^ssh: .*: //p' "$work/proxy" | tr -d '\r' | tail -n 1)
    if [ -n "$why" ]; then
        problem proxy-unreachable proxy="$t_proxy" why="$why"
        return
    fi
    problem proxy-refused host="$t_bastion_host" port="$t_bastion_port" proxy="$t_proxy" why="it gives no reason"
}
