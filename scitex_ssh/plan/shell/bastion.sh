# The way to the bastion, tried before anything is touched: one connection, over which the rest is asked.

# stage: this tunnel's ssh_config in the folder of this run, for the time before it is installed. A trial is nothing to
# tell anybody of.
stage() {
    t_stage=$work/$t_name
    mkdir -p "$t_stage" && text_ssh_config | sed -e "s|$t_folder|$t_stage|g" -e '/^# on_/d' >"$t_stage/ssh_config"
    if [ -n "$t_known_hosts$t_jump_hosts" ]; then text_known_hosts; fi >"$t_stage/known_hosts"
    ln -sfn "$t_key" "$t_stage/key"
    put_jump_keys "$t_stage"
    [ "$me" = "$t_user" ] || chown -R "$t_user" "$t_stage"
}

# over OPTION...: ssh over the connection that open_master opened
over() { as_user ssh -n -F "$t_stage/ssh_config" -o "ControlPath=$t_stage/master" "$@"; }

# The kind of key that the bastion shows to whom knows none: the one that people compare.
compared_kinds() {
    kinds=ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256
    ! ssh -Q key | grep -qx ssh-ed25519 || kinds=ssh-ed25519,$kinds
    printf %s "-oHostKeyAlgorithms=$kinds"
}

open_master() {
    check=yes
    if [ "$accept_new" = 1 ] && [ -z "$t_known_hosts" ]; then check=accept-new; fi
    if [ -z "$t_known_hosts" ]; then set -- "$(compared_kinds)" "$@"; fi
    as_user ssh -v -n -F "$t_stage/ssh_config" -o ControlMaster=yes -o "ControlPath=$t_stage/master" \
        -o "StrictHostKeyChecking=$check" "$@" -N -f bastion >/dev/null 2>"$t_stage/errors"
}

close_masters() {
    for master in "$work"/*/master; do
        [ -S "$master" ] || continue
        ssh -F none -o "ControlPath=$master" -O exit bastion 2>/dev/null
    done
}

# The bastion's key, of whatever kind, that has the fingerprint given. It still has to prove that it has it.
key_of_fingerprint() {
    ssh-keyscan -T 5 -p "$t_bastion_port" "$t_bastion_host" 2>/dev/null </dev/null | plain_lines "$t_known_name" |
        while IFS= read -r line; do
            ! is_trusted "$(printf '%s\n' "$line" | print_of)" || printf '%s\n' "$line"
        done
}

# print_of: the fingerprints of the lines that it reads; is_trusted PRINT: one that was given, or any will do.
print_of() { ssh-keygen -l -f - 2>/dev/null | cut -d' ' -f2; }
is_trusted() { [ -z "$fingerprint" ] || case "$fingerprint " in *" $1 "*) ;; *) false ;; esac; }

# check_bastion: lets us in, with the host key that we know. Leaves the connection open.
check_bastion() {
    stage
    each_hop learn_jump_host || return
    if open_master; then
        [ -z "$t_known_hosts" ] || return 0
        t_known_hosts=$(pinned "$t_known_name" "$t_stage/known_hosts")
        print=$(printf '%s\n' "$t_known_hosts" | print_of)
        ! is_trusted "$print" || return 0
        # It may be that of a key of another kind.
        t_known_hosts=
        is_straight && t_known_hosts=$(key_of_fingerprint)
        if [ -n "$t_known_hosts" ]; then
            close_masters
            # The old one takes its socket away as it leaves, and must not take the new one's.
            for _ in 1 2 3 4 5; do [ ! -S "$t_stage/master" ] || sleep 0.2 2>/dev/null || sleep 1; done
            stage
            if open_master; then return 0; fi
        fi
        problem host-key-differs host="$t_bastion_host" fingerprint="$print" expected="${fingerprint# }"
        return
    fi
    each_hop hop_lets_in || return
    ssh_cause "$t_stage/errors"
}

last_words() { tr -d '\r' <"$1" | grep -v -e '^debug' -e '^OpenSSH_' -e '^[[:space:]]*$' | tail -n 1; }

# ssh_cause FILE: the problem that ssh's words in FILE tell.
ssh_cause() {
    talk=$1
    words=$(tr -d '\r' <"$talk")
    if [ "${t_hops:-0}" != 0 ] && [ "$hop" -gt "$t_hops" ]; then each_hop blame_hop "$1" || return; fi
    # sed's word for the last key offered by the server: "debug1: Server host key: TYPE FINGERPRINT"
    print=$(sed -n 's/^debug1: Server host key: //p' "$1" | tr -d '\r' | tail -n 1)
    set -- host="$t_bastion_host" port="$t_bastion_port" login="$t_login" key="$t_key"
    is_straight || ! way_cause || return
    case $words in
    *"REMOTE HOST IDENTIFICATION HAS CHANGED"*) problem host-key-changed "$@" known_name="$t_known_name" name="$t_name" ;;
    *"host key is known for"*) problem host-key-unknown "$@" fingerprint="$print" ;;
    *"Host key verification failed"*) problem host-key-changed "$@" known_name="$t_known_name" name="$t_name" ;;
    *"account has expired"* | *"assword has expired"* | *"assword change required"*) problem account-expired "$@" ;;
    *"Permission denied ("* | *"Too many authentication failures"*) problem key-not-accepted "$@" ;;
    *"Could not resolve hostname"*) problem bastion-unresolved "$@" ;;
    "identity-clash"*) problem identity-clash port="$t_port" ;;
    *"remote port forwarding failed for listen path"*) problem socket-refused "$@" socket="$t_mark" ;;
    *"remote port forwarding failed"*)
        problem port-refused "$@" port="$(printf '%s\n' "$words" | sed -n 's/.*for listen port \([0-9]*\).*/\1/p' | tail -n 1)"
        ;;
    *"ould not request local forwarding"* | *"cannot listen to port"* | *"bind "*"ddress already in use"*)
        problem local-port-taken port="$(printf '%s\n' "$words" | sed -n 's/^.*cannot listen to port: \([0-9]*\).*/\1/p' | tail -n 1)"
        ;;
    *"port "*": Connection refused"*) problem bastion-refused "$@" ;;
    # Said by sshd itself to whom it turns away.
    *"Exceeded MaxStartups"*) problem bastion-full "$@" ;;
    *"Not allowed at this time"*) problem bastion-penalty "$@" ;;
    # By the account rules of the bastion (PAM), after the key was taken.
    *"Server accepts key"*"onnection closed by"*)
        grep -v 'onnection closed by' "$talk" >"$talk.said"
        print=$(last_words "$talk.said")
        problem account-refused "$@" why="${print:-it gives no reason}"
        ;;
    *"banner line 0: "* | *"imed out during banner exchange"* | *"banner line contains invalid"* | *"invalid format"* | *"Bad packet length"*)
        problem bastion-not-ssh "$@"
        ;;
    *"onnection timed out"* | *"peration timed out"*) problem bastion-timeout "$@" ;;
    *"No route to host"* | *"etwork is unreachable"* | *"annot assign requested address"*)
        problem bastion-unroutable "$@" why="$(printf '%s\n' "$words" | sed -n 's/^ssh: .*: //p' | tail -n 1)"
        ;;
    *"onnection closed by"* | *"onnection reset by"*) problem bastion-closed "$@" ;;
    *) problem ssh-failed "$@" why="$(last_words "$talk")" config="$t_folder/ssh_config" ;;
    esac
}

# check_port: free on the bastion, or ours, and we may listen on it.
check_port() {
    on_bastion || return 0
    case $t_listen in
    /*)
        check_socket
        return
        ;;
    *:0)
        pick_port
        return
        ;;
    esac
    other=$(tunnel_beside)
    if [ -n "$other" ]; then
        problem port-of-tunnel port="$t_port" name="$other"
        return
    fi
    dial over "$t_dial"
    case $dialled in
    mine)
        tunnel_is_ours && return
        release_port && return
        other=$(older_on "$t_port")
        problem port-taken port="$t_port" evidence="another ssh of this machine forwards it already${other:+, started by $other$(why_left_on "$t_port")}"
        ;;
    other) problem port-taken port="$t_port" evidence="an SSH server with another host key answers there" ;;
    strange) problem port-taken port="$t_port" evidence="what answers there does not speak SSH" ;;
    closed)
        tunnel_is_ours && return
        release_port && return
        problem port-taken port="$t_port" evidence="what answers there closes the connection"
        ;;
    silent)
        # Trying to listen would tell nothing: who holds one of the two addresses of "localhost" leaves the other.
        tunnel_is_ours && return
        release_port && return
        case $answer in
        *"scitex-ssh nothing held"*)
            problem port-taken port="$t_port" evidence="what listens there does not answer, and is no session of this tunnel"
            ;;
        *) problem port-stale port="$t_port" ;;
        esac
        ;;
    none)
        tunnel_is_ours && return
        try_port && return
        problem forwarding-refused port="$t_port" login="$t_login"
        ;;
    *)
        tunnel_is_ours && return
        release_port || try_port && return
        case $answer in
        *"scitex-ssh nothing held"*)
            problem port-taken port="$t_port" evidence="something listens there that this key may not dial"
            ;;
        *"scitex-ssh nothing"*) problem forwarding-refused port="$t_port" login="$t_login" ;;
        *) problem port-refused port="$t_port" login="$t_login" ;;
        esac
        ;;
    esac
}

tunnel_is_ours() { [ "$t_keeper" != foreground ] && { keeper_is_up || former_is_up; }; }

# Listens on the port for a moment, over the open connection.
try_port() {
    over -O forward -R "$t_listen${t_target:+:$t_target}" bastion >/dev/null 2>&1 || return 1
    over -O cancel -R "$t_listen${t_target:+:$t_target}" bastion >/dev/null 2>&1
    return 0
}

# tunnel_beside: the name of another tunnel of this machine that has the current port of this bastion.
tunnel_beside() {
    # Also from the foreground, whose own folder is elsewhere.
    for other in "${t_folder%/*}"/*/ssh_config /etc/scitex-ssh/tunnels/*/ssh_config; do
        other=${other%/*}
        [ "$other" != "$t_folder" ] && [ "$other" != "$t_was" ] && grep -Eq "^# forward: (remote|socks) [^ ]*:$t_port( |\$)" "$other/ssh_config" 2>/dev/null &&
            (t_bastion_user='' && to_bastion <"$other/ssh_config") && echo "${other##*/}" && return
    done
}

# check_socket: nobody listens on it, or it is ours. A file that a session left behind is taken away.
check_socket() {
    dial_socket over
    if tunnel_is_ours || release_port; then return 0; fi
    case $dialled in
    none | closed | forbidden) ;;
    *) problem port-taken port="$t_listen" evidence="a session of this account that is not this tunnel's listens there" ;;
    esac
}

# Ends the last session of this very key and port that is still there. What the bastion said is in $answer.
release_port() {
    answer=$(over release 2>/dev/null)
    # A pattern: the account's own shell start-up may print things of its own.
    case $answer in *"scitex-ssh released held"*) return 1 ;; *"scitex-ssh released"*) ;; *) return 1 ;; esac
}
