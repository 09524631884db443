# The proof: dialled from the bastion's side, the port answers with the host key of the tunnel's target.

# The host keys of the target, as lines of a known_hosts file for the name scitex-ssh-target.
target_keys() {
    case $t_target in
    localhost:22 | 127.0.0.1:22 | \[::1\]:22)
        cat /etc/ssh/ssh_host_*_key.pub 2>/dev/null | sed 's/^/scitex-ssh-target /'
        ;;
    esac
}
# scan_target FILE: asked of the target itself; what went wrong is in FILE.errors. Each kind of key costs a
# connection, and sshd from 9.8 on holds every one against its source (PerSourcePenalties): so one if it will do.
scan_target() {
    for kind in ed25519 ecdsa,rsa; do
        ssh-keyscan -T 5 -t "$kind" -p "$t_target_port" "$t_target_host" 2>"$1.errors" </dev/null >"$1.said"
        sed -n 's/^[^#][^ ]* /scitex-ssh-target /p' "$1.said" >"$1"
        [ ! -s "$1" ] || return 0
        # What does not greet as SSH does has no other key either.
        grep -q '^#.* SSH-' "$1.said" "$1.errors" || break
    done
    return 1
}

# keep_target_keys FILE: its keys, from its files or by asking it once a run. Empty where it does not speak SSH.
keep_target_keys() {
    target_keys >"$1"
    [ ! -s "$1" ] && [ -n "$t_target_port" ] || return 0
    kept_keys=$work/keys.$(printf %s "$t_target" | tr -c 'A-Za-z0-9.-' _)
    if ! cp "$kept_keys" "$1" 2>/dev/null; then
        scan_target "$1"
        cp "$1" "$kept_keys"
    fi
}

# check_target: something answers there. On this machine a look will do, which no sshd holds against us. Where this
# machine listens itself, its port must be free.
check_target() {
    case $t_kind in
    local | dynamic)
        tunnel_is_ours || ! listens_here "$t_port" || problem local-port-taken port="$t_port"
        return
        ;;
    socks) return 0 ;;
    esac
    case $t_target in
    /*)
        as_user test -S "$t_target" && as_user test -w "$t_target" || problem target-refused target="$t_target"
        return
        ;;
    esac
    case $t_target_host in
    localhost | 127.0.0.1 | ::1)
        if [ -r /proc/net/tcp ]; then
            listens_here "$t_target_port" || problem target-refused target="$t_target"
            return
        fi
        ;;
    esac
    # Asked of ssh, whose words tell why not, and not of ssh-keyscan, which has none.
    as_user ssh -n -F none -o BatchMode=yes -o ConnectTimeout=5 -o PreferredAuthentications=none -o ControlPath=none \
        -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -p "$t_target_port" "$t_target_host" true \
        >/dev/null 2>"$work/target"
    case $(cat "$work/target") in
    *"onnection refused"* | *"No route"* | *"onnection timed out"* | *"nreachable"* | *"not resolve hostname"*)
        problem target-refused target="$t_target"
        ;;
    esac
}

# listens_here PORT: some process listens there on a loopback address or on any.
listens_here() { listening_here "$(printf %04X "$1")" >/dev/null; }
# listening_here [HEX]: the lines of such sockets, of that port or of all (proc_net_tcp(5): addresses in the machine's
# byte order, 0A is LISTEN).
listening_here() {
    case $(printf '\1\0' | od -An -tx2 | tr -d ' ') in
    0001) here='[0-9A-F]{6}7F|0{8}|0{32}|0{24}01000000|0{16}FFFF0000[0-9A-F]{6}7F' ;;
    *) here='[0-9A-F]+' ;;
    esac
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -E "^ *[0-9]+: ($here):${1:-[0-9A-F]+} [0-9A-F]+:0000 0A "
}

# What a port means that is taken and closed at once: the target is gone, or its sshd drops us.
closed_problem() {
    if ! on_bastion; then
        problem far-end-refused listen="$t_listen" bastion="$t_bastion" why="$(far_words)"
    elif [ "$t_target_port" = 22 ] && listens_here 22; then
        problem target-drops target="$t_target"
    else
        problem target-refused target="$t_target"
    fi
}

# How the proof reaches the bastion: over the open connection, or with one of its own.
way() {
    case $1 in
    over) printf 'ssh -F %s/ssh_config -o ControlPath=%s/master' "$t_stage" "$t_stage" ;;
    older) printf 'sh %s/way' "$t_stage" ;;
    *) printf 'ssh %s -F %s/ssh_config' "$quick" "$t_folder" ;;
    esac
}

# find_quick: the option for a key exchange that takes a tenth of the processor, in $quick. OpenSSH 9 prefers sntrup761,
# for what must stay secret for decades; a dial says nothing that is secret.
find_quick() {
    [ -z "${quick+set}" ] || return 0
    fips=0 quick=
    read -r fips 2>/dev/null </proc/sys/crypto/fips_enabled || :
    case $fips:${ssh_is:=$(ssh -V 2>&1)} in 0:OpenSSH_9.*) quick='-o KexAlgorithms=^curve25519-sha256' ;; esac
}

# dial over|alone ADDRESS: who answers at that address and the tunnel's port, seen from the bastion.
#   mine      the target's own host key            other     an SSH server with another key
#   strange   something that is not SSH            open      (target without SSH) the connection stays open
#   closed    taken, then closed                   silent    taken, then nothing
#   none      nobody listens                       forbidden the bastion does not let this key dial it
#   lost      the bastion could not be asked
dial() {
    # One folder a dial: two run side by side.
    new_spot
    keep_target_keys "$spot/keys"
    if [ ! -s "$spot/keys" ]; then
        dial_plain "$@"
        return
    fi
    dial_ssh "$@"
    if [ "$dialled" = other ] && scan_target "$spot/scanned"; then
        # The target's sshd may use keys that are not the files in /etc/ssh.
        mv -f "$spot/scanned" "$spot/keys"
        dial_ssh "$@"
    fi
}

new_spot() {
    find_quick
    spot=$(mktemp -d "$work/dial.XXXXXX") && chmod 755 "$spot"
    # Written by the user's ssh; the keys beside it are not the user's to change.
    : >"$spot/way"
    [ "$me" = "$t_user" ] || chown "$t_user" "$spot/way"
}

dial_ssh() {
    code=0
    # The tunnel's own user: a name that does not exist would be penalised by newer sshd.
    # shellcheck disable=SC2086  # an option, or nothing
    as_user ssh $quick -n -T -F none -l "$t_user" -o BatchMode=yes -o PreferredAuthentications=none \
        -o StrictHostKeyChecking=yes -o HostKeyAlias=scitex-ssh-target -o "UserKnownHostsFile=$spot/keys" \
        -o GlobalKnownHostsFile=/dev/null -o UpdateHostKeys=no -o ControlPath=none -o LogLevel=INFO \
        -o "ConnectTimeout=$((10 * (${t_hops:-0} + 1)))" \
        -o "ProxyCommand=$(way "$1") -W $(bracketed "$2"):$t_port bastion 2>$spot/way" \
        scitex-ssh-target true >/dev/null 2>"$spot/words" || code=$?
    case $code:$(cat "$spot/words") in
    0:* | *"Permission denied ("*) dialled=mine ;;
    *"Host key verification failed"*) dialled=other ;;
    *"banner line contains invalid"* | *"invalid format"*) dialled=strange ;;
    *) way_words "$(cat "$spot/words" "$spot/way" 2>/dev/null)" ;;
    esac
}

way_words() {
    case $1 in
    # Over an open connection the reason stands in the words of the ssh that opened it.
    *"refused by peer"*)
        case $(grep 'open failed' "$t_stage/errors" | tail -n 1) in
        *"administratively prohibited"*) dialled=forbidden ;;
        *) dialled=none ;;
        esac
        ;;
    *"administratively prohibited"*) dialled=forbidden ;;
    *"open failed"*) dialled=none ;;
    *"stdio forwarding failed"*) dialled=none ;;
    *"imed out during banner"*) dialled=silent ;;
    *"ermission denied"* | *"Could not resolve"* | *"onnection refused"* | *"imed out"* | *"nreachable"* | *"No route"* | \
        *"erification failed"* | *"not responding"*)
        dialled=lost
        ;;
    *) dialled=closed ;;
    esac
}

# A target that is not sshd: the connection opens, and is not closed within two seconds.
dial_plain() {
    began=$(seconds)
    # shellcheck disable=SC2046  # the words of the command
    { sleep 3 & echo $! >"$spot/nap"; wait; } | {
        as_user $(way "$1") -W "$(bracketed "$2"):$t_port" bastion >"$spot/output" 2>"$spot/way"
        kill "$(cat "$spot/nap")" 2>/dev/null
    }
    if [ -s "$spot/output" ] || [ $(($(seconds) - began)) -ge 2 ]; then dialled=open; else way_words "$(cat "$spot/way")"; fi
}

# level_of DIALLED: the word for it in status.
level_of() { case $1 in mine | open) echo verified ;; forbidden) echo listening ;; *) echo down ;; esac; }

supervisor_says() { sed -n "s/^$1 //p" "$t_state/state" 2>/dev/null; }

# This very connection answered less than five seconds ago. Whoever asks every second would otherwise have
# this machine's sshd refuse the tunnel's users: to it, all of them and the proof come from localhost.
proven_lately() {
    read -r proof proof_of 2>/dev/null <"$t_state/proof" || return 1
    case $proof in '' | *[!0-9]*) return 1 ;; esac
    age=$(($(date +%s) - proof))
    [ "$age" -ge 0 ] && [ "$age" -lt 5 ] && [ "$proof_of" = "$(connection)" ]
}

# The folder is the user's: root must not follow a link that lies there. A dry run leaves nothing behind.
remember_proof() {
    [ "$all_mine" = 1 ] && [ "${dry_run-0}" = 0 ] || return 0
    proven_lately || echo "$(date +%s) $(connection)" | as_user sh -c 'cat >"$1"' sh "$t_state/proof" 2>/dev/null || :
}

# What tells one connection of the tunnel from the next.
connection() { cat "$t_state/config" "$t_state/child" 2>/dev/null | cksum | tr ' ' -; }

is_verified() {
    keeper_is_up && has_connected || return 1
    if proven_lately; then
        echo verified >"$work/$t_name.level"
        return 0
    fi
    proven=verified all_mine=1
    each_forward is_proven || return
    remember_proof
    echo "$proven" >"$work/$t_name.level"
}
is_proven() {
    prove alone
    [ "$dialled" = mine ] || all_mine=0
    case $dialled in
    mine | open) ! bound_wrongly ;;
    forbidden) proven=listening && [ "$accept_listening" = 1 ] ;;
    *) false ;;
    esac
}

# The supervisor's ssh has the port: its session says so or, where none can run, it logged in and did not give up,
# as it would at once when the port is refused.
has_connected() {
    [ "$(supervisor_says phase)" = connecting ] || return 1
    grep -q '^scitex-ssh holds' "$t_state/session" 2>/dev/null && return
    grep -q '^Authenticated to ' "$t_state/stderr" 2>/dev/null &&
        [ $(($(date +%s) - $(supervisor_says since))) -ge 2 ]
}

# wait_verified: until the proof of every forward is there, or the cause why it cannot come is known. Leaves the
# level of the worst in $proven.
wait_verified() {
    reach=alone
    [ -z "${t_stage-}" ] || ! over -O check bastion 2>/dev/null || reach=over
    deadline=$(($(seconds) + wait_seconds))
    dialled='' proven=verified proven_forwards=' ' why=''
    while [ "$(seconds)" -lt "$deadline" ]; do
        if stopped; then interrupted; fi
        # What the last attempt met; while one is under way nothing stands there.
        said=$(supervisor_says detail)
        why=${said:-$why}
        if has_connected; then
            # Not in "code": a dial has its own in that. What is seen counts, however long the looking took.
            outcome=0
            each_forward proven_now || outcome=$?
            [ "$outcome" = 2 ] || return "$outcome"
        elif [ "$(supervisor_says phase)" = waiting ] && [ "$(supervisor_says pause)" -ge 300 ]; then
            # Nothing that waiting would heal.
            supervisor_says detail >"$work/$t_name.words"
            ssh_cause "$work/$t_name.words"
            return
        fi
        sleep 0.1 2>/dev/null || sleep 1
    done
    if ! keeper_is_up; then
        if [ -n "$t_unit" ]; then
            problem service-failed unit="$t_service" why="it ended with $(unit_property "$t_unit" Result)" log="$t_log"
        else
            problem service-failed unit="$t_service" why="${why:-it ended}" log="$t_log"
        fi
        return
    fi
    case $why in
    *"forwarding failed"* | *"local forwarding"*)
        printf '%s\n' "$why" >"$work/$t_name.words"
        ssh_cause "$work/$t_name.words"
        return
        ;;
    esac
    problem not-up name="$t_name" seconds="$wait_seconds" log="$t_log" why="${why:-the bastion answers \"$dialled\"}"
}

# proven_now: the current forward is proven (0), cannot be (1, the problem is told) or is not yet (2).
proven_now() {
    # One dial: before we listened, check_port found nobody on either of the addresses of "localhost", and
    # each dial is held against this machine's own address by sshd from 9.8 on (PerSourcePenalties).
    case $proven_forwards in *" $each "*) return 0 ;; esac
    prove "$reach"
    case $dialled in
    mine | open) check_bound || return 1 ;;
    forbidden)
        proven=listening
        [ "$accept_listening" = 1 ] || not_proven || return 1
        ;;
    other)
        problem wrong-host port="$t_port"
        return 1
        ;;
    closed | strange)
        closed_problem
        return 1
        ;;
    *) return 2 ;;
    esac
    proven_forwards="$proven_forwards$each "
}
not_proven() {
    case $t_kind in
    remote | socks) problem not-proven port="$t_port" ;;
    *) problem far-end-refused listen="$t_listen" bastion="$t_bastion" why="$(far_words)" ;;
    esac
}
