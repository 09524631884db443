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
    if [ "$machine" = 1 ]; then
        tell check "$t_name" name="$name" title="$title" verdict="$verdict" evidence="$evidence" slug="$found" \
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
    find_host_keys
    if [ "$any_port" = 0 ] && [ -d "$t_folder" ]; then judge keeper "the keeper is as it was set up" keeper_is_fit; fi
    doctor_way
    if [ "$any_port" = 0 ]; then
        judge port "the bastion gives the port" each_forward port_is_ours
    fi
    judge target "the target answers here" each_forward target_is_fit
    if [ "$any_port" = 0 ] && [ -d "$t_folder" ]; then
        judge running "the tunnel's ssh is connected" ssh_is_connected
        judge proof "the port leads to the target" each_forward proof_is_there
    fi
    if [ "$opened" = 1 ]; then
        warn take-back "a stale session can be ended" can_take_back
        [ "$any_port" = 1 ] || warn range "the port is not one the bastion hands out" each_forward port_is_kept_out
    fi
    finish
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
    { [ ! -d "$t_folder" ] || check_keeper; } || return
    for place in /etc /run; do
        free=$(df -Pk "$place" 2>/dev/null | sed -n '2s/^[^ ]* *[0-9]* *[0-9]* *\([0-9]*\) .*/\1/p')
        [ "${free:-1000}" -ge 64 ] || problem disk-full path="$place" || return
    done
}

key_is_fit() { check_key && evidence="$t_key ($(printf '%s\n' "$public" | cut -d' ' -f1))"; }

# The way is tried once; how far it came tells the verdict of every check on it.
doctor_way() {
    reached=0 opened=0 way_found=''
    if [ -z "$cause" ]; then
        capturing=1
        found=
        if check_bastion; then opened=1 reached=9; else way_found=$found reached=$(stage_of "$found"); fi
        capturing=0
    fi
    passed 1 resolve "the bastion's name resolves" "$t_bastion_host"
    passed 2 connect "its port takes connections" "$t_bastion_host port $t_bastion_port"
    passed 3 speak "it speaks SSH" "$(sed -n 's/.*remote software version //p' "$t_stage/errors" 2>/dev/null | tr -d '\r')"
    passed 4 host-key "its host key is the known one" "$(sed -n 's/^debug1: Server host key: //p' "$t_stage/errors" 2>/dev/null | tr -d '\r')"
    passed 5 login "it lets the key in" "$t_login"
}

stage_of() {
    case $1 in
    bastion-unresolved) echo 1 ;;
    bastion-refused | bastion-timeout | bastion-unroutable) echo 2 ;;
    bastion-not-ssh | bastion-closed | ssh-failed) echo 3 ;;
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

port_is_ours() {
    check_port || return
    ! on_bastion || add_evidence "port $t_port: $dialled"
}
target_is_fit() { check_target && add_evidence "${t_target:-$t_listen}"; }
add_evidence() { evidence="$evidence${evidence:+, }$1"; }

keeper_is_fit() {
    if [ -z "$t_unit" ]; then
        held_is_fit
        return
    fi
    evidence="$t_unit $(unit_property "$t_unit" ActiveState)"
    case $(unit_property "$t_unit" LoadState) in
    masked)
        problem unit-masked unit="$t_unit"
        return
        ;;
    esac
    if ! [ -e "$t_unit_file" ]; then
        problem unit-missing unit="$t_unit" name="$t_name"
        return
    fi
    if ! unit_is_enabled "$t_unit"; then
        problem unit-disabled unit="$t_unit"
        return
    fi
    if ! unit_is_active "$t_unit"; then
        problem unit-stopped unit="$t_unit" why="$(unit_property "$t_unit" Result)"
        return
    fi
    unit_is_current || problem unit-outdated unit="$t_unit"
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
        problem keeper-stopped keeper="$t_keeper" name="$t_name" start="sh $t_folder/start"
        return
    fi
    evidence="process $(held_pid)"
    held_is_current || problem keeper-outdated name="$t_name"
}

ssh_is_connected() {
    tries=0
    while ! has_connected; do
        tries=$((tries + 1))
        if [ "$tries" -ge 30 ]; then
            problem not-up name="$t_name" seconds=3 log="$t_log" why="$(supervisor_says detail)"
            return
        fi
        sleep 0.1 2>/dev/null || sleep 1
    done
    evidence="attempt $(supervisor_says attempts)"
}

proof_is_there() {
    prove over
    add_evidence "$dialled"
    case $dialled in
    mine | open) check_bound ;;
    forbidden) not_proven ;;
    other) problem wrong-host port="$t_port" ;;
    closed | strange) closed_problem ;;
    *) problem not-up name="$t_name" seconds=10 log="$t_log" why="the bastion answers \"$dialled\"" ;;
    esac
}

can_take_back() {
    evidence="the bastion runs commands for this key, and they see what serves them"
    # A login shell is sshd's own child; hidepid on /proc would keep that from it.
    # shellcheck disable=SC2016  # expanded on the bastion
    case $(over bastion 'test -r /proc/$PPID/comm && echo scitex-ssh can' 2>/dev/null) in
    *"scitex-ssh can"*) ;;
    *) evidence='' && problem no-take-back login="$t_login" ;;
    esac
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
    t_forwards=$(written forward)
    t_key=$(written key) t_user=$(written user) t_engine=$(written engine) t_keepalive=$(written keepalive)
}

# doctor_all: of the tunnel on $wanted, if there is one, else of the one that is described.
doctor_all() {
    forget
    if [ -n "$wanted" ]; then
        t_name=${wanted# }
        locate "$t_name"
        if [ ! -d "$t_folder" ]; then
            problem no-such-tunnel name="$t_name"
            finish
        fi
        recall_standing
    else
        bind_1
    fi
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
