# What is so: one record for each tunnel of this machine.

# The ports of the tunnels that there are: ours by their folders, older ones by their units.
known_ports() {
    {
        for folder in /etc/scitex-ssh/tunnels/*/; do [ -d "$folder" ] && basename "$folder"; done
        for unit in /etc/systemd/system/autossh-tunnel-*.service; do
            [ -e "$unit" ] && basename "$unit" .service | sed 's/^autossh-tunnel-//'
        done
    } | grep -E '^[0-9]+$' | sort -n -u
}

written() { sed -n "s/^# $1: //p" "$t_folder/ssh_config" 2>/dev/null | head -n 1; }

# take_back_way: hold, or plain where a stale session could keep the port: the bastion runs no command for this key,
# or (hidepid on its /proc) a session there cannot see which process serves it.
take_back_way() {
    if grep -q '^scitex-ssh holds without a note' "$t_state/session" 2>/dev/null; then echo plain; else supervisor_says mode; fi
}

# observe PORT: the record, as one line.
observe() {
    locate "$1"
    machine=1
    t_port=$1
    t_bastion=$(written bastion)
    t_target=$(written target)
    t_user=$(written user)
    cause='' detail='' level='' adopted=''
    since=$(supervisor_says since)
    attempts=$(supervisor_says attempts)
    restarts=$(unit_property "$t_unit" NRestarts)
    restarts=$((${restarts:-0} + ${attempts:-1} - 1))
    if [ ! -d "$t_folder" ]; then
        adopted=yes
        t_bastion=$(sed -n 's/^ExecStart=.* \([^ ]*@[^ ]*\).*/\1/p' "$t_unit_file" | tail -n 1)
    fi
    weigh
    tell tunnel "$t_name" level="$level" cause="$cause" detail="$detail" bastion="$t_bastion" target="$t_target" \
        keeper="$t_keeper" adopted="$adopted" since="$since" restarts="$restarts" user="$t_user" \
        take_back="$(take_back_way)" engine="$(written engine)" key="$(written key)"
}

# weigh: level, cause and detail of one tunnel.
weigh() {
    active=$(unit_property "$t_unit" ActiveState)
    detail=$(supervisor_says detail)
    case $active in
    active | activating | reloading) ;;
    *)
        level=down cause=unit-stopped detail="the unit is ${active:-unknown} ($(unit_property "$t_unit" Result))"
        return
        ;;
    esac
    if [ -n "$adopted" ]; then
        level=running detail="made by another tool; scitex-ssh setup -p $t_name takes it over"
        return
    fi
    if [ "$me" != "$t_user" ] && [ "$me" != root ]; then
        level=running detail="only $t_user and root can prove it"
        has_connected || not_connected
        return
    fi
    t_target_host=${t_target%:*} t_target_port=${t_target##*:}
    t_target_host=${t_target_host#\[} t_target_host=${t_target_host%\]}
    if ! has_connected; then
        not_connected
        return
    fi
    if proven_lately; then
        level=verified detail="answered with this host's own key $age s ago"
        return
    fi
    dial alone localhost
    level=$(level_of "$dialled")
    remember_proof
    case $dialled in
    mine)
        detail="answers with this host's own key"
        # Written by the bastion's end of the session when another supervisor asked for the port.
        if grep -q '!' "$t_state/session" 2>/dev/null; then cause=identity-clash; fi
        [ "$(take_back_way)" != plain ] || detail="$detail; a stale session could keep the port [no-take-back]"
        ;;
    open) detail="opens a connection to the target" ;;
    forbidden) detail="the bastion does not let this key dial it back" ;;
    other) cause=wrong-host detail="another machine answers there" ;;
    closed | strange)
        detail=$(closed_problem)
        cause=$(printf '%s' "$detail" | cut -f3) detail="the port opens and closes at once"
        ;;
    lost) cause=bastion-lost detail="the bastion cannot be asked: $(last_words "$spot/way")" ;;
    *) cause=not-up detail="the bastion's port does not answer ($dialled)" ;;
    esac
}

# The cause that the last attempt met, by ssh's words.
not_connected() {
    level=down cause=not-up
    [ -n "$detail" ] || detail="the tunnel's ssh is connecting"
    printf '%s\n' "$detail" >"$work/words.$t_name"
    t_bastion_host=$t_bastion t_bastion_port='' t_login=$t_bastion t_key=$(written key) t_known_name=$t_bastion
    found=
    capturing=1
    ssh_cause "$work/words.$t_name" || :
    capturing=0
    case $found in ssh-failed) ;; *) cause=$found ;; esac
}

status_all() {
    # With --machine the records go out as they are; else they become a table.
    ports=${wanted:-$(known_ports)}
    for port in $ports; do
        locate "$port"
        if [ ! -d "$t_folder" ] && [ ! -e "$t_unit_file" ]; then
            problem no-such-tunnel name="$port"
            finish
        fi
    done
    # All at once: a bastion that hangs costs its time-out once.
    jobs=
    for port in $ports; do
        (trap - EXIT && observe "$port") >"$work/status.$port" &
        jobs="$jobs $!"
    done
    for job in $jobs; do wait "$job"; done
    for port in $ports; do
        grep -q 'level=verified' "$work/status.$port" || exit_status=50
        if [ "$machine" = 1 ]; then cat "$work/status.$port"; else print_record <"$work/status.$port"; fi
    done
    [ -n "$ports" ] || [ "$machine" = 1 ] || say "There is no tunnel on this machine."
    finish
}

print_record() {
    tr '\t' '\n' | {
        name='' level='' cause='' detail='' bastion='' target=''
        read -r _
        read -r name
        while IFS= read -r line; do
            case $line in
            level=* | cause=* | detail=* | bastion=* | target=*) eval "${line%%=*}=\${line#*=}" ;;
            esac
        done
        printf '%-6s %-10s %s -> %s  %s\n' "$name" "$level" "$bastion" "$target" "${cause:+[$cause] }$detail"
    }
}
