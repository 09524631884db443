# What is so: one record for each tunnel of this machine.

# The names of the tunnels that there are: ours by their folders, older ones by their units.
known_names() {
    {
        for folder in /etc/scitex-ssh/tunnels/*/; do [ -d "$folder" ] && basename "$folder"; done
        for t_user in $(whose); do own_names; done
        for unit in /etc/systemd/system/autossh-tunnel-*.service; do
            [ -e "$unit" ] && basename "$unit" .service | sed 's/^autossh-tunnel-//'
        done
    } | grep -E '^[a-z0-9][a-z0-9_.-]*$' | sort -u | sort -n
}

# The user's own that are kept on this host; a home may be shared.
own_names() {
    t_name=
    own_places
    grep -ls "^# keeper: .* on $t_host\$" "$t_config"/scitex-ssh/tunnels/*/ssh_config | sed 's|/ssh_config$||; s|.*/||'
}

written() { sed -n "s/^# $1: //p" "${t_was:-$t_folder}/ssh_config" 2>/dev/null; }

# take_back_way: hold, or plain where a stale session could keep the port: the bastion runs no command for this key,
# or (hidepid on its /proc) a session there cannot see which process serves it.
take_back_way() {
    if grep -q '^scitex-ssh holds without a note' "$t_state/session" 2>/dev/null; then echo plain; else supervisor_says mode; fi
}

# recall_bastion: the bastion of a tunnel that stands, in its parts.
recall_bastion() {
    t_bastion=$(written bastion)
    recall_way
    t_bastion_user=${t_bastion%@*}
    rest=${t_bastion#*@}
    case $rest in
    \[*\]) t_bastion_host=${rest#\[} t_bastion_host=${t_bastion_host%\]} t_bastion_port=22 ;;
    \[*) t_bastion_host=${rest#\[} t_bastion_host=${t_bastion_host%\]*} t_bastion_port=${rest##*:} ;;
    *:*) t_bastion_host=${rest%:*} t_bastion_port=${rest#*:} ;;
    *) t_bastion_host=$rest t_bastion_port=22 ;;
    esac
}

# jump_list: the hosts of $t_jumps as -J takes them.
jump_list() {
    printf '%s\n' "$t_jumps" | while IFS=' ' read -r user host port; do
        [ -n "$host" ] || continue
        [ "$port" = 22 ] && port= || port=:$port
        printf '%s@%s%s,' "$user" "$(bracketed "$host")" "$port"
    done | sed 's/,$//'
}

# observe NAME: the record, as one line.
observe() {
    locate "$1"
    machine=1
    recall_bastion
    t_forwards=$(written forward)
    [ -n "$t_forwards" ] || t_forwards="remote localhost:$1 localhost:22"
    t_user=$(written user)
    derive_forwards
    cause='' detail='' level='' adopted='' seen_levels=''
    since=$(supervisor_says since)
    attempts=$(supervisor_says attempts)
    restarts=0
    [ -z "$t_unit" ] || restarts=$(unit_property "$t_unit" NRestarts)
    restarts=$((${restarts:-0} + ${attempts:-1} - 1))
    if [ ! -d "$t_folder" ] && [ -n "$t_unit" ]; then
        adopted=yes older_port='' t_target=''
        unit_command systemd "$t_unit_file" >"$work/commands.$t_name"
        IFS=$tab read -r kind user place command <"$work/commands.$t_name" && take_older "$kind" "$user" "$place" "$command" &&
            t_bastion=$older_bastion t_target=$older_target t_forwards="remote localhost:$older_port $older_target"
    fi
    # Its last words of trouble, as a sentence of the catalogue where they are known; it may be over.
    error_at='' error='' next_retry='' uptime=''
    read_error
    weigh
    if [ "$(supervisor_says phase)" = waiting ] && [ -n "$since" ]; then
        pause=$(supervisor_says pause)
        next_retry=$((since + (${pause:-0} + 9) / 10))
    elif [ "$level" != down ] && has_connected; then
        uptime=$(($(date +%s) - since))
        [ "$uptime" -ge 0 ] || uptime=0
    fi
    find_process
    tell tunnel "$t_name" level="$level" cause="$cause" detail="$detail" bastion="$t_bastion" target="$t_target" \
        keeper="$t_keeper" \
        forwards="$(printf '%s' "$t_forwards" | tr '\n' ',')" levels="${seen_levels# }" \
        adopted="$adopted" pid="$pid" started="$started" since="$since" restarts="$restarts" user="$t_user" \
        error="$error" error_at="$error_at" next_retry="$next_retry" uptime="$uptime" \
        jumps="$(jump_list)" proxy="$t_proxy" take_back="$(take_back_way)" engine="$(written engine)" key="$(written key)"
}

# find_process: the number of the process that keeps the tunnel, and when it began (Unix time), in $pid and $started.
find_process() {
    started=''
    if [ -n "$t_unit" ]; then pid=$(unit_property "$t_unit" MainPID); else pid=$(held_pid); fi
    case $pid in '' | 0 | *[!0-9]*) pid='' && return ;; esac
    booted=$(sed -n 's/^btime //p' /proc/stat 2>/dev/null)
    born=$(birth "$pid")
    [ -z "$booted" ] || [ -z "$born" ] || started=$((booted + born / $(getconf CLK_TCK 2>/dev/null || echo 100)))
}

read_error() {
    words=$(supervisor_says error)
    error_at=${words%% *}
    case $error_at in '' | *[!0-9]*) error_at='' && return ;; esac
    printf '%s\n' "${words#* }" >"$work/error.$t_name"
    t_login=$t_bastion t_key=$(written key) t_known_name=$t_bastion
    found=
    capturing=1
    ssh_cause "$work/error.$t_name" || :
    capturing=0
    case $found in '' | ssh-failed) error=${words#* } ;; *) error=$problem_sentence ;; esac
}

# weigh: level, cause and detail of one tunnel.
weigh() {
    detail=$(supervisor_says detail)
    if [ -z "$t_unit" ]; then
        if keeper_is_up; then active=active; else active=stopped; fi
    else
        active=$(unit_property "$t_unit" ActiveState)
    fi
    case $active in
    active | activating | reloading) ;;
    stopped)
        level=down cause=keeper-stopped detail="its process does not run; sh $t_folder/start starts it"
        return
        ;;
    *)
        level=down cause=unit-stopped detail="the unit is ${active:-unknown} ($(unit_property "$t_unit" Result))"
        return
        ;;
    esac
    if [ -n "$adopted" ]; then
        if [ -z "$older_port" ]; then level=running detail="made elsewhere, in $t_unit_file"; else weigh_older; fi
        return
    fi
    if [ "$me" != "$t_user" ] && [ "$me" != root ]; then
        level=running detail="only $t_user and root can prove it"
        has_connected || not_connected
        return
    fi
    if ! has_connected; then
        not_connected
        return
    fi
    if proven_lately; then
        level=verified detail="answered with this host's own key $age s ago"
        seen_levels=$(printf '%s\n' "$t_forwards" | sed 's/.*/verified/' | tr '\n' ' ')
        return
    fi
    all_mine=1
    each_forward weigh_forward
    if [ "$level" = verified ]; then
        remember_proof
        # Written by the bastion's end of the session when another supervisor asked for the port.
        if grep -q '!' "$t_state/session" 2>/dev/null; then cause=identity-clash; fi
        case $(take_back_way):$t_mark in
        plain:[0-9]*) detail="$detail; a stale session could keep the port [no-take-back]" ;;
        esac
    fi
}

# weigh_forward: the current one; what is worst of all is the tunnel's.
weigh_forward() {
    prove alone
    seen=$(level_of "$dialled") one_cause='' one_detail=''
    case $dialled in
    mine) one_detail="answers with this host's own key" ;;
    open) one_detail="opens a connection to the target" ;;
    forbidden) one_detail="the bastion does not let this key dial it back" ;;
    other) one_cause=wrong-host one_detail="another machine answers there" ;;
    closed | strange)
        one_detail=$(closed_problem)
        one_cause=$(printf '%s' "$one_detail" | cut -f3) one_detail="the port opens and closes at once"
        ;;
    lost) one_cause=bastion-lost one_detail="the bastion cannot be asked: $(last_words "$spot/way")" ;;
    *) one_cause=not-up one_detail="the bastion's port does not answer ($dialled)" ;;
    esac
    [ "$dialled" = mine ] || all_mine=0
    if [ "$seen" = verified ] && bound_wrongly; then
        seen=down one_detail="the bastion opened it on $bound"
        case $bound in "every address") one_cause="bind-exposed" ;; *) one_cause="bind-refused" ;; esac
    fi
    seen_levels="$seen_levels $seen"
    case $level:$seen in
    :* | verified:listening | verified:down | listening:down)
        [ "$t_count" = 1 ] || one_detail="$t_listen: $one_detail"
        level=$seen cause=$one_cause detail=$one_detail
        ;;
    esac
}

# The cause that the last attempt met, by ssh's words.
not_connected() {
    level=down cause=not-up why=$detail
    if [ -z "$detail" ]; then
        detail="the tunnel's ssh is connecting"
        if tries_again; then detail="connecting again; before: $why"; fi
    fi
    printf '%s\n' "$why" >"$work/words.$t_name"
    t_bastion_host=$t_bastion t_bastion_port='' t_login=$t_bastion t_key=$(written key) t_known_name=$t_bastion
    found=
    capturing=1
    ssh_cause "$work/words.$t_name" || :
    capturing=0
    case $found in ssh-failed) ;; *) cause=$found ;; esac
}

# tries_again: the last attempt ended a moment ago (no pause is longer), by the words in $why.
tries_again() {
    words=$(supervisor_says error)
    case ${words%% *} in '' | *[!0-9]*) return 1 ;; esac
    [ $((since - ${words%% *})) -le 60 ] && why=${words#* }
}

status_all() {
    # With --machine the records go out as they are; else they become a table.
    names=${wanted:-$(known_names)} ours=
    : >"$work/older"
    for each_name in $names; do
        locate "$each_name"
        [ ! -d "$t_folder" ] && [ ! -e "$t_unit_file" ] || { ours="$ours $each_name"; continue; }
        older_records "$each_name" >"$work/one"
        if [ ! -s "$work/one" ]; then
            problem no-such-tunnel name="$each_name"
            finish
        fi
        cat "$work/one" >>"$work/older"
    done
    names=$ours
    [ -n "$wanted" ] || older_records >"$work/older"
    # All at once: a bastion that hangs costs its time-out once.
    jobs=
    for each_name in $names; do
        (trap - EXIT && observe "$each_name") >"$work/status.$each_name" &
        jobs="$jobs $!"
    done
    for job in $jobs; do wait "$job"; done
    jobs=
    for each_name in $names; do
        grep -q 'level=verified' "$work/status.$each_name" || exit_status=50
        if [ "$machine" = 1 ]; then cat "$work/status.$each_name"; else print_record <"$work/status.$each_name"; fi
    done
    ! grep -qv 'level=verified' "$work/older" || exit_status=50
    if [ "$machine" = 1 ]; then
        cat "$work/older"
    else
        while IFS= read -r line; do printf '%s\n' "$line" | print_record; done <"$work/older"
    fi
    [ -n "$names" ] || [ -s "$work/older" ] || [ "$machine" = 1 ] || say "There is no tunnel on this machine."
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
