# What is wrong: the checks in the order in which SSH happens. Changes nothing. What depends on a check that
# failed is not reached, so the first failure is the cause.

# judge NAME TITLE COMMAND...: runs it; a problem that it meets is its verdict. $evidence tells what was seen.
judge() {
    name=$1 title=$2
    shift 2
    evidence='' found=''
    if [ -n "$cause" ]; then
        show_check not-reached
        return 1
    fi
    capturing=1
    "$@" || [ -n "$found" ] || found=internal
    capturing=0
    if [ -n "$found" ]; then
        cause=$found
        exit_status=50
        show_check failed
        return 1
    fi
    show_check ok
}

show_check() {
    verdict=$1
    if [ "$verdict" = failed ] && [ "${advice-}" = 1 ]; then verdict=warning; fi
    # Which tunnel is only a question where there are several.
    [ -z "${several-}" ] || title="$title ($t_name)"
    if [ "$machine" = 1 ]; then
        examined=$t_name
        [ "$any_port" = 0 ] || examined=
        tell check "$examined" name="$name" title="$title" verdict="$verdict" evidence="$evidence" slug="$found" \
            sentence="${found:+$problem_sentence}" next="${found:+$problem_next}"
        return
    fi
    printf '%-12s %-34s %s\n' "$verdict" "$title" "$evidence"
    [ -z "$found" ] || printf '%-12s %s\n%-12s Next: %s [%s]\n' '' "$problem_sentence" '' "$problem_next" "$found"
}

doctor_one() {
    cause='' capturing=0
    judge machine "this machine has what it takes" machine_is_fit
    judge key "the key can be used" key_is_fit
    judge own "your own ssh configuration is not read" own_is_out
    find_host_keys
    if [ "$any_port" = 0 ] && [ -d "$t_folder" ]; then judge keeper "the keeper is as it was set up" keeper_is_fit; fi
    doctor_way
    if [ "$any_port" = 0 ]; then
        if [ -d "$t_folder" ]; then judge steady "the bastion lets a connection last" connections_last; fi
        judge port "the bastion gives the port" each_forward port_is_ours
    fi
    judge target "the target answers here" each_forward target_is_fit
    if [ "$any_port" = 0 ] && [ -d "$t_folder" ]; then
        judge running "the tunnel's ssh is connected" ssh_is_connected
        judge proof "the port leads to the target" each_forward proof_is_there
    fi
    # What could go wrong one day is of interest when nothing is wrong now.
    if [ "$opened:$cause" = 1: ]; then
        warn take-back "a stale session is ended" can_take_back
        if [ "$any_port" = 0 ]; then
            warn range "the port is not one the bastion hands out" each_forward port_is_kept_out
            if [ -d "$t_folder" ] && [ -z "$t_unit" ]; then warn logout "it outlives a logout" survives_logout; fi
            warn exposed "the port is the bastion's alone" each_forward port_is_inside
        fi
        warn clock "the two clocks agree" clocks_agree
        warn logins "sshd here takes keys of $t_user" logins_are_strict
    fi
}

# warn NAME TITLE COMMAND...: not a cause, but worth knowing.
warn() {
    was=$exit_status
    advice=1
    held=$cause
    cause=
    judge "$@" || :
    cause=$held
    advice=0
    exit_status=$was
}

machine_is_fit() {
    evidence=$(ssh -V 2>&1)
    check_programs || return
    # That the user lingers is asked of the keeper.
    case $t_keeper in systemd-user) linger_is_on ;; *) [ -d "$t_folder" ] ;; esac && { check_keeper || return; }
    for place in /etc /etc/scitex-ssh /run "$t_state"; do
        [ -d "$place" ] || continue
        free=$(df -Pk "$place" 2>/dev/null | sed -n '2s/^[^ ]* *[0-9]* *[0-9]* *\([0-9]*\) .*/\1/p')
        [ "${free:-1000}" -ge 64 ] || problem disk-full path="$place" || return
    done
}

key_is_fit() { check_key && evidence="$t_key ($(printf '%s\n' "$public" | cut -d' ' -f1))"; }

# Shown, since it is what makes "ssh bastion" by hand and the tunnel differ.
own_is_out() {
    evidence=$(own_settings | tr '\n' ' ' | sed 's/ $//; s/ /, /g')
    case $evidence in
    '') evidence="it has nothing for $t_bastion_host" ;;
    *) evidence="it has $evidence for $t_bastion_host" ;;
    esac
}

# The way is tried once; how far it came tells the verdict of every check on it.
doctor_way() {
    [ -n "$cause" ] || stage
    each_hop judge_hop
    reached=0 opened=0 way_found=''
    if [ -z "$cause" ]; then
        capturing=1
        found=
        if check_bastion; then opened=1 reached=9; else name_way || :; way_found=$found reached=$(stage_of "$found"); fi
        capturing=0
    fi
    passed 1 resolve "the bastion's name resolves" "$t_bastion_host"
    passed 2 connect "its port takes connections" "$t_bastion_host port $t_bastion_port"
    passed 3 speak "it speaks SSH" "$(bastion_version)"
    passed 4 host-key "its host key is the known one" "$(sed -n 's/^debug1: Server host key: //p' "$t_stage/errors" 2>/dev/null | tr -d '\r')"
    passed 5 login "it lets the key in" "$t_login"
}

judge_hop() { judge "jump-$hop" "the jump host lets the key in" jump_is_fit || :; }
jump_is_fit() {
    evidence=$t_login
    hop_lets_in
}
stage_of() {
    case $1 in
    bastion-unresolved | bastion-alias) echo 1 ;;
    bastion-refused | bastion-timeout | bastion-unroutable | bastion-banned | bastion-filtered) echo 2 ;;
    bastion-not-ssh | bastion-closed | bastion-full | bastion-penalty | ssh-failed) echo 3 ;;
    jump-* | proxy-*) echo 2 ;;
    host-key-*) echo 4 ;;
    *) echo 5 ;;
    esac
}

# passed NUMBER NAME TITLE EVIDENCE: the verdict of one check of the way.
passed() {
    number=$1
    words=$4
    judge "$2" "$3" way_verdict
}
way_verdict() {
    if [ "$number" -ne "$reached" ]; then
        evidence=$words
        return 0
    fi
    # Its sentence still stands: nothing was asked since.
    found=$way_found
    return 1
}

# Whether the bastion gives the port, as a set-up would ask, but nothing is ended for it.
port_is_ours() {
    on_bastion || return 0
    case $t_listen in
    /*)
        check_port || return
        add_evidence "$t_listen"
        return
        ;;
    esac
    settle
    dial over "$t_dial"
    add_evidence "port $t_port: $dialled"
    # Ours holds it; whether it leads here is the proof's to say.
    ! has_connected || return 0
    other=$(tunnel_beside)
    if [ -n "$other" ]; then
        problem port-of-tunnel port="$t_port" name="$other"
        return
    fi
    case $dialled in
    mine) name_holder ;;
    other) problem port-taken port="$t_port" evidence="an SSH server with another host key answers there" ;;
    strange) problem port-taken port="$t_port" evidence="what answers there does not speak SSH" ;;
    none) if try_port; then listens_as_asked; else name_refusal; fi ;;
    *) [ "$dialled" = forbidden ] && try_port || port_is_held ;;
    esac
}
port_is_held() {
    case $(last_session)$dialled in
    *"scitex-ssh ours"*) problem port-stale port="$t_port" ;;
    *"scitex-ssh nothing held"*) problem port-taken port="$t_port" evidence="it is no session of this tunnel" ;;
    *"scitex-ssh nothing"*) name_refusal ;;
    *silent) problem port-stale port="$t_port" ;;
    *closed) problem port-taken port="$t_port" evidence="what answers there closes the connection" ;;
    *) name_hidden ;;
    esac
}
target_is_fit() {
    if ! check_target; then
        name_target
        return 1
    fi
    add_evidence "${t_target:-$t_listen}"
}
add_evidence() { evidence="$evidence${evidence:+, }$1"; }

# settle: a tunnel that is about to connect has three seconds to do so.
settle() {
    tries=0
    while [ "$tries" -lt 30 ] && [ "$(supervisor_says phase)" = connecting ] && ! has_connected; do
        tries=$((tries + 1))
        sleep 0.1 2>/dev/null || sleep 1
    done
}

# The bastion closed one connection after the other, each after the same time.
connections_last() {
    # shellcheck disable=SC2046  # the words of the line
    set -- $(supervisor_says lasted)
    evidence="nothing else is known"
    [ $# -ge 2 ] && [ "$1" -ge 2 ] || return 0
    if [ $(($1 - $2)) -le 1 ] && [ $(($2 - $1)) -le 1 ]; then
        problem connection-ended login="$t_login" seconds="$1" count="$#"
    fi
}

keeper_is_fit() {
    if [ -z "$t_unit" ]; then
        held_is_fit
        return
    fi
    if [ "$t_keeper" = systemd-user ] && ! linger_is_on; then
        problem linger-missing user="$t_user"
        return
    fi
    evidence="$t_unit $(unit_property "$t_unit" ActiveState)"
    if [ "$(unit_property "$t_unit" LoadState)" = masked ]; then
        problem unit-masked unit="$t_unit"
        return
    fi
    if ! [ -e "$t_unit_file" ]; then
        problem unit-missing unit="$t_unit" name="$t_name"
        return
    fi
    if ! unit_is_enabled "$t_unit"; then
        problem unit-disabled unit="$t_unit"
        return
    fi
    if [ "$(unit_property "$t_unit" Result)" = start-limit-hit ]; then
        problem unit-start-limited unit="$t_unit"
        return
    fi
    if unit_is_failing; then
        problem unit-failing unit="$t_unit" why="$(unit_property "$t_unit" Result), status $(unit_property "$t_unit" ExecMainStatus)"
        return
    fi
    if ! unit_is_active "$t_unit"; then
        problem unit-stopped unit="$t_unit" why="$(unit_property "$t_unit" Result)"
        return
    fi
    unit_is_current || problem unit-outdated unit="$t_unit"
}

# systemd starts it again and again: the supervisor itself ends only when it is told to.
unit_is_failing() {
    [ "$(unit_property "$t_unit" SubState)" != auto-restart ] || return 0
    before=$(unit_property "$t_unit" NRestarts)
    [ "${before:-0}" -ge 2 ] || return 1
    sleep 2
    [ "$(unit_property "$t_unit" NRestarts)" != "$before" ]
}

held_is_fit() {
    case $t_keeper in
    cron) if ! crontab_has text_crontab; then problem keeper-lines-missing place="the crontab" name="$t_name"; fi ;;
    profile)
        if shell_is_posix; then file_has "$t_login_file" text_profile; else file_has "$t_fish_file" text_fish; fi ||
            problem keeper-lines-missing place="$t_login_file" name="$t_name"
        ;;
    esac || return
    if ! held_pid >/dev/null; then
        survives_logout || return
        problem keeper-stopped keeper="$t_keeper" name="$t_name" start="sh $t_folder/start"
        return
    fi
    evidence="process $(held_pid)"
    held_is_current || problem keeper-outdated name="$t_name"
}

survives_logout() { ! logout_ends_it || problem keeper-logout keeper="$t_keeper" user="$t_user"; }

ssh_is_connected() {
    settle
    if ! has_connected; then
        why=$(supervisor_says detail)
        problem not-up name="$t_name" seconds=3 log="$t_log" why="${why:-it is still connecting}"
        return
    fi
    evidence="attempt $(supervisor_says attempts)"
}

proof_is_there() {
    prove over
    add_evidence "$dialled"
    case $dialled in
    mine | open) check_bound ;;
    forbidden) if on_bastion; then name_dial_limit; else not_proven; fi ;;
    other) problem wrong-host port="$t_port" ;;
    closed | strange) closed_problem ;;
    *) problem not-up name="$t_name" seconds=10 log="$t_log" why="the bastion answers \"$dialled\"" ;;
    esac
}

can_take_back() {
    evidence="the bastion runs commands for this key, and they see what serves them"
    # hidepid on /proc would keep the sshd of the session from it.
    # shellcheck disable=SC2016  # expanded on the bastion
    [ -z "$(ask_bastion 'test -r /proc/$PPID/comm && echo can')" ] || return 0
    # Then all hangs on the bastion noticing by itself that a client is gone.
    silent_ssh 12
    if ! grep -q 'keepalive@openssh.com' "$work/$t_name.quiet"; then
        evidence=''
        problem no-take-back login="$t_login" seconds="$waited"
    elif half_rate; then
        evidence="after $waited s the bastion asked whether we are there"
        problem half-rate version="$(bastion_version)"
    else
        evidence="the bastion runs no command, but asked after $waited s whether we are there"
    fi
}

# Seen from here, where only the bastion itself should reach it.
port_is_inside() {
    case $t_kind:$t_listen in remote:localhost:* | socks:localhost:*) ;; *) return 0 ;; esac
    evidence="$t_bastion_host port $t_port does not answer from here"
    settings=$(setting GatewayPorts yes)
    has_connected || [ -n "$settings" ] || return 0
    seen=$(ssh-keyscan -T 3 -p "$t_port" "$t_bastion_host" 2>&1 </dev/null | grep -c 'SSH-')
    [ "$seen" = 0 ] && [ -z "$settings" ] ||
        problem port-exposed host="$t_bastion_host" port="$t_port" evidence="${settings:-it answers from here}"
}

clocks_agree() {
    there=$(ask_bastion 'date +%s')
    here=$(date +%s)
    evidence="the bastion does not tell its own"
    case $there in '' | *[!0-9]*) return 0 ;; esac
    off=$((here - there))
    evidence="they differ by $off s"
    [ "$off" -gt -120 ] && [ "$off" -lt 120 ] || problem clock-off seconds="$off"
}

# What anybody could have written, sshd does not believe (StrictModes): then nobody gets in through the tunnel.
logins_are_strict() {
    evidence="nobody else can write to its authorized_keys"
    [ "$t_target" = localhost:22 ] || { evidence="the target is another" && return; }
    own_home=$(home_of "$t_user")
    for place in "$own_home" "$own_home/.ssh" "$own_home/.ssh/authorized_keys"; do
        case $(as_user stat -L -c %A "$place" 2>/dev/null) in
        ?????w* | ????????w*)
            problem home-too-open path="$place" user="$t_user"
            return
            ;;
        esac
    done
}

port_is_kept_out() {
    case $t_kind:$t_port in local:* | dynamic:* | *:/*) return 0 ;; esac
    range=$(over bastion 'cat /proc/sys/net/ipv4/ip_local_port_range' 2>/dev/null | tr '\t' ' ')
    case $range in [0-9]*' '[0-9]*) ;; *) range='32768 60999' ;; esac
    evidence="it hands out $range"
    [ "$t_port" -lt "${range% *}" ] || [ "$t_port" -gt "${range#* }" ] || problem port-ephemeral port="$t_port" range="$range"
}

# The values of a tunnel that stands, from its own files.
recall_standing() {
    recall_bastion
    recall_way
    t_forwards=$(written forward)
    t_key=$(written key) t_user=$(written user) t_engine=$(written engine) t_keepalive=$(written keepalive)
}

# doctor_all: of each tunnel in $wanted, if there is one, else of the one that is described.
doctor_all() {
    if [ -z "$wanted" ]; then
        share_names
        described 1
        doctor_bound
    fi
    several=
    case $wanted in *[![:space:]]*[[:space:]]*[![:space:]]*) several=1 ;; esac
    for doctored in $wanted; do
        forget
        t_name=$doctored
        locate "$t_name"
        if [ ! -d "$t_folder" ]; then
            problem no-such-tunnel name="$t_name"
            finish
        fi
        recall_standing
        doctor_bound
    done
    finish
}
doctor_bound() {
    capturing=0 accept_new=0
    [ -n "$t_user" ] || t_user=$(default_user)
    [ "$t_keeper" != auto ] || t_keeper=systemd
    if [ "$me" != root ] && [ "$me" != "$t_user" ]; then
        problem not-yours user="$t_user"
        finish
    fi
    fill_in || finish
    doctor_one
}
