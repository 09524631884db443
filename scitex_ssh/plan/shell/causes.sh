# What doctor makes of a check that failed: the cause behind it, from what sshd tells whom it lets in, from
# what it does, and from its settings where the key may read them.

# What stands behind each is looked for only after something failed, so it may take its time.

# key_options: what the key's line in authorized_keys has, or "none" (sshd from 7.7 on tells it to "ssh -v").
key_options() {
    sed -n 's/^debug1: Remote: .*key options: */none /p' "$t_stage/errors" 2>/dev/null | tr -d '\r' | tail -n 1 |
        sed 's/^none \(.\)/\1/'
}

# ask_bastion PROGRAM: what the account's shell says to it there; nothing where the key may run no commands.
# No single quote may be in it. A forced command would answer with words of its own, hence the frame.
ask_bastion() {
    over bastion "exec sh -c 'echo scitex-ssh begins; $1; echo scitex-ssh ends'" 2>/dev/null | tr -d '\r' |
        sed -n '/^scitex-ssh begins$/,/^scitex-ssh ends$/{ /^scitex-ssh [a-z]*$/d; p; }'
}

# bastion_settings: the lines of sshd_config that concern our tunnels, as FILE:NUMBER:LINE, where they can be read.
bastion_settings() {
    if [ ! -e "$work/$t_name.sshd" ]; then
        # shellcheck disable=SC2016  # expanded there
        ask_bastion 'echo "me $(id -un) $(id -Gn)"; cd /etc/ssh && grep -HniE "^[[:space:]]*(AllowTcpForwarding|DisableForwarding|PermitListen|PermitOpen|GatewayPorts|UnusedConnectionTimeout|ClientAlive|Match)" sshd_config.d/*.conf sshd_config' |
            meant_for_us >"$work/$t_name.sshd"
    fi
    cat "$work/$t_name.sshd"
}
# meant_for_us: of such lines, after one with "me", our account and its groups, those that no Match keeps from
# us. What a Match asks besides the account (an address) is taken to be so: we do not know how sshd sees us.
meant_for_us() {
    awk '
        function like(pattern, name) {
            gsub(/[.]/, "[.]", pattern)
            gsub(/[$]/, "[$]", pattern)
            gsub(/[*]/, ".*", pattern)
            gsub(/[?]/, ".", pattern)
            return name ~ "^" pattern "$"
        }
        function listed(list, name, patterns, count, i, found) {
            gsub(/"/, "", list)
            count = split(list, patterns, ",")
            for (i = 1; i <= count; i++) {
                if (patterns[i] ~ /^!/) {
                    if (like(substr(patterns[i], 2), name)) return 0
                } else if (like(patterns[i], name)) found = 1
            }
            return found
        }
        function applies(text, words, count, i, what, in_group, each) {
            gsub(/=/, " ", text)
            count = split(text, words)
            for (i = 2; i <= count; i++) {
                what = tolower(words[i])
                if (what == "all") continue
                if (what == "invalid-user") return 0
                i++
                if (what == "user" && !listed(words[i], user)) return 0
                if (what == "group") {
                    in_group = 0
                    for (each in groups) if (listed(words[i], groups[each])) in_group = 1
                    if (!in_group) return 0
                }
            }
            return 1
        }
        NR == 1 { user = $2; for (i = 3; i <= NF; i++) groups[i] = $i; next }
        {
            file = text = $0
            sub(/:.*/, "", file)
            sub(/^[^:]*:[0-9]*:[ \t]*/, "", text)
            if (file != last) { last = file; ours = 1 }
            if (tolower(text) ~ /^match[ \t=]/) { ours = applies(text); next }
            if (ours) print
        }'
}
# setting NAME VALUE: the first such line, as evidence; fails where there is none.
setting() { bastion_settings | grep -iE ":[[:space:]]*$1[[:space:]=]+$2" | head -n 1 | grep .; }

# try_listen PORT: listens there for a moment, over the open connection.
try_listen() {
    over -O forward -R "localhost:$1${t_target:+:$t_target}" bastion >/dev/null 2>&1 || return 1
    over -O cancel -R "localhost:$1${t_target:+:$t_target}" bastion >/dev/null 2>&1
    return 0
}

# listens_as_asked: where more than its localhost was asked for, whether the bastion listens there (GatewayPorts).
listens_as_asked() {
    case $t_listen_host in localhost | 127.* | ::1) return 0 ;; esac
    over -O forward -R "$t_listen${t_target:+:$t_target}" bastion >/dev/null 2>&1 || return 0
    bound_at=$(ask_bastion "cat /proc/net/tcp /proc/net/tcp6" | sed -n "s/^ *[0-9]*: \([0-9A-F]*\):$(printf %04X "$t_port") 0*:0000 0A .*/\1/p")
    over -O cancel -R "$t_listen${t_target:+:$t_target}" bastion >/dev/null 2>&1
    [ -z "$bound_at" ] || ! only_loopback || problem bind-refused port="$t_port" listen="$t_listen"
}

# name_refusal: why the bastion does not let us listen on a port that nobody holds.
name_refusal() {
    options=$(key_options)
    case " $options " in
    '  ' | *" port-forwarding "*) ;;
    *)
        problem key-no-forwarding login="$t_login" evidence="$options"
        return
        ;;
    esac
    if evidence=$(setting DisableForwarding yes || setting AllowTcpForwarding '(no|local)'); then
        problem forwarding-off login="$t_login" evidence="$evidence"
        return
    fi
    case " $options " in
    *" permitlisten "*)
        problem key-listens-elsewhere login="$t_login" port="$t_port"
        return
        ;;
    esac
    if evidence=$(setting PermitListen ''); then
        problem listen-limited login="$t_login" port="$t_port" evidence="$evidence"
        return
    fi
    # Its settings cannot be read: so by what it does.
    for other in $((t_port + 1)) $((t_port - 1)) 20022; do
        if [ "$other" -ge 1024 ] && [ "$other" -le 65535 ] && try_listen "$other"; then
            problem listen-limited login="$t_login" port="$t_port" evidence="port $other is let, $t_port is not"
            return
        fi
    done
    evidence="it lets the key dial ports, but listen on none that was tried"
    [ "$dialled" != forbidden ] || evidence="it lets the key neither listen nor dial"
    problem forwarding-off login="$t_login" evidence="$evidence"
}

# name_hidden: a port on which we may not listen and that we may not dial.
name_hidden() {
    if try_listen $((t_port + 1)) || try_listen 20022; then
        problem port-refused port="$t_port" login="$t_login"
        return
    fi
    name_refusal
}

# name_dial_limit: why the bastion does not let us dial the port that we hold.
name_dial_limit() {
    case " $(key_options) " in
    *" permitlisten "*" permitopen "* | *" permitopen permitlisten "*) problem not-proven port="$t_port" ;;
    *" permitopen "*) problem permitopen-alone port="$t_port" login="$t_login" ;;
    *)
        evidence=$(setting PermitOpen '' || setting AllowTcpForwarding '(no|remote)' || setting DisableForwarding yes) ||
            evidence="the key's own line does not limit it"
        problem dial-limited port="$t_port" login="$t_login" evidence="$evidence"
        ;;
    esac
}

# other_ssh: a process of this machine that forwards the port and is none of ours: "PID COMMAND".
other_ssh() {
    for process in /proc/[0-9]*; do
        line=$({ tr '\000' ' ' <"$process/cmdline"; } 2>/dev/null)
        case $line in
        '' | *"/etc/scitex-ssh/"* | *"$work"* | *sshd*) continue ;;
        esac
        # By its first word: the port may stand in anybody's arguments.
        case ${line%% *} in ssh | autossh | */ssh | */autossh) ;; *) continue ;; esac
        # Said on its command line, or by the user's own configuration.
        if printf '%s' "$line" | grep -Eq -- " -[A-Za-z0-9]*R ?([^ ]*:)?$t_port:" || own_forward; then
            echo "process ${process#/proc/}, $line"
            return 0
        fi
    done
    return 1
}
own_forward() { as_user ssh -G "$t_bastion_host" 2>/dev/null </dev/null | grep -Eq "^remoteforward ([^ ]*:|\[.*\]:)?$t_port "; }

# name_holder: who holds the port that answers with our own host key, while our ssh is not connected.
name_holder() {
    if holder=$(other_ssh); then
        problem port-held-here port="$t_port" evidence="$(one_line "$holder")"
    else
        problem cloned-host port="$t_port"
    fi
}

# last_session: "held" while the last session of this key and port is still there, by its own note.
last_session() {
    word=$(sed -n 's/^ *RemoteCommand \(.* scitex-ssh\) release \(.*\)/\1 ask \2/p' "$t_stage/ssh_config" | sed 's/%%/%/g')
    over bastion "$word" 2>/dev/null
}

# user_setting NAME: what the user's own ssh configuration has for the bastion.
user_setting() { as_user ssh -G "$t_bastion_host" 2>/dev/null </dev/null | sed -n "s/^$1 //p" | head -n 1; }

# name_login_refusal: the key is not let in. As somebody whom the user's own configuration names?
name_login_refusal() {
    user=$(user_setting user)
    if [ -n "$user" ] && [ "$user" != "$t_bastion_user" ]; then
        cp "$t_stage/errors" "$t_stage/errors.first"
        if open_master -o "User=$user"; then
            problem wrong-user login="$t_login" user="$user"
            return
        fi
        cp "$t_stage/errors.first" "$t_stage/errors"
    fi
}

# name_unresolved: a name that only the user's own configuration knows?
name_unresolved() {
    host=$(user_setting hostname)
    if [ -n "$host" ] && [ "$host" != "$t_bastion_host" ]; then
        port=$(user_setting port)
        real=$(user_setting user)@$(bracketed "$host")
        [ "$port" = 22 ] || real=$real:$port
        problem bastion-alias host="$t_bastion_host" real="$real"
    fi
}

# refusals: how often a firewall has told this machine "unreachable" (ICMP); a closed port says it by TCP.
refusals() {
    {
        sed -n 's/^Icmp: [0-9]* [0-9]* [0-9]* \([0-9]*\) .*/\1/p' /proc/net/snmp
        sed -n 's/^Icmp6InDestUnreachs[[:space:]]*//p' /proc/net/snmp6
    } 2>/dev/null | tr '\n' ' '
}
name_refused() {
    before=$(refusals)
    as_user ssh -n -F "$t_stage/ssh_config" -o ConnectTimeout=5 -N bastion >/dev/null 2>&1
    [ "$(refusals)" = "$before" ] || problem bastion-banned host="$t_bastion_host" port="$t_bastion_port"
}
name_timeout() {
    ! have ping || ! ping -c 2 -W 2 "$t_bastion_host" >/dev/null 2>&1 ||
        problem bastion-filtered host="$t_bastion_host" port="$t_bastion_port"
}

# name_way: what stands behind the problem that the way met, which is in $found; without more, it is that.
name_way() {
    case $found in
    key-not-accepted) name_login_refusal ;;
    bastion-unresolved) name_unresolved ;;
    bastion-refused) name_refused ;;
    bastion-timeout) name_timeout ;;
    esac
}

# name_target: nothing listens where the port leads to. Does this machine's sshd listen elsewhere?
name_target() {
    case $t_target_host in localhost | 127.0.0.1 | ::1) ;; *) return ;; esac
    ports=$(sed -n 's/^[[:space:]]*[Pp][Oo][Rr][Tt][[:space:]=]\{1,\}\([0-9]\{1,5\}\).*/\1/p' \
        /etc/ssh/sshd_config /etc/ssh/sshd_config.d/*.conf 2>/dev/null)
    for port in $ports; do
        if [ "$port" != "$t_target_port" ] && listens_here "$port"; then
            problem target-elsewhere target="$t_target" port="$port"
            return
        fi
    done
}

# own_settings: which settings the user's own ssh configuration has for the bastion that could matter to ssh.
own_settings() {
    as_user ssh -G "$t_bastion_host" >"$work/$t_name.own" 2>/dev/null </dev/null || { echo "an error" && return; }
    ssh -F none -G "$t_bastion_host" >"$work/$t_name.none" 2>/dev/null </dev/null
    for name in hostname port proxycommand proxyjump controlmaster controlpath remoteforward localforward dynamicforward; do
        [ "$(sed -n "s/^$name //p" "$work/$t_name.own")" = "$(sed -n "s/^$name //p" "$work/$t_name.none")" ] || echo "$name"
    done
}

# silent_ssh SECONDS: one connection that says nothing by itself for so long; what was heard is in .quiet.
silent_ssh() {
    as_user ssh -v -n -F "$t_stage/ssh_config" -o ServerAliveInterval=0 -N bastion >/dev/null 2>"$work/$t_name.quiet" &
    quiet=$!
    waited=0
    while [ "$waited" -lt "$1" ] && kill -0 "$quiet" 2>/dev/null; do
        ! grep -q 'keepalive@openssh.com' "$work/$t_name.quiet" || break
        sleep 1
        waited=$((waited + 1))
    done
    kill "$quiet" 2>/dev/null
    wait "$quiet" 2>/dev/null
}

# half_rate: sshd 9.2 to 9.4 ask half as often as they are told whether a client is still there.
half_rate() { case $(bastion_version) in *OpenSSH_9.[234]p* | *OpenSSH_9.[234]) ;; *) false ;; esac; }
bastion_version() { sed -n 's/.*remote software version //p' "$t_stage/errors" 2>/dev/null | tr -d '\r' | tail -n 1; }
