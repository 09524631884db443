# What a bastion is asked for: setup, authorize, revoke, list, status.

newline='
'
# What the tunnels' programs have to tidy up, and these have not.
close_masters() { settle_limits; }
end_all_beside() { :; }
restore_all() { :; }
forget() { :; }

gate_usage() {
    cat <<TXT
usage: $program setup [--hosts N]
       $program authorize NAME [-p PORT]... -k 'ssh-ed25519 AAAA...' [--keep] [--plain]
       $program revoke NAME [--plain]
       $program list | status [--plain]
A bastion: an account for each host, whose key may hold its own ports and do nothing else.
  -p, --port PORT      a port of the host; without one, those it has, or a free one of 20000 to 29999
  -k, --key KEY        the public half of the host's key
      --keep           keep the host's present keys and ports as well
      --hosts N        how many hosts there will be (100)
      --plain          on this very account, without root: its authorized_keys
      --dry-run        only show what would change
Exit statuses: 0 done, 1 failed, 2 usage, 3 refused, 10 configuration, 23 port taken, 50 not all hold their port.
TXT
}

# gate WORD [FLAG]...: several hosts where --name is said several times.
gate() {
    program="sh ${0##*/}"
    word=${1-}
    [ $# = 0 ] || shift
    case $word in
    setup | authorize | revoke | list | status | look | next-host-keys | take-host-keys) ;;
    -h | --help) gate_usage && exit 0 ;;
    --version) printf 'scitex-ssh %s\n' "$version" && exit 0 ;;
    *) usage_problem "it knows setup, authorize, revoke, list and status, not '$(printf '%s' "$word" | tr -c '[:print:]' '?')'" "$program" ;;
    esac
    take_gate_flags "$@"
    case $word:$count in authorize:0 | revoke:0) problem missing-field what="host" how="its name" || finish ;; esac
    prefix=
    [ "$plain" = 0 ] || prefix=plain_
    make_work || finish
    # A look needs root as well: the files of the keys are root's to list.
    root_writes=/etc/ssh
    if [ "$plain" = 0 ] && [ "$me" != root ]; then become_root "$word" "$@" || finish; fi
    case $word:$dry_run in authorize:0 | revoke:0 | setup:0 | *-host-keys:0) [ "$plain" = 1 ] || only_one || finish ;; esac
    "gate_$(echo "$word" | tr - _)"
    finish
}

usage_problem() {
    problem usage why="$1" command="$2"
    finish
}

take_gate_flags() {
    dry_run=0 plain=0 keep=0 hosts=100 count=0
    while [ $# -gt 0 ]; do
        flag=$1 value=${2-} more=1
        case $flag in
        --name=* | --port=* | --key=* | --hosts=*) value=${flag#*=} flag=${flag%%=*} more=0 ;;
        --name | --port | --key | --hosts | -p | -k) [ $# -gt 1 ] || usage_problem "$flag needs a value" "$program" ;;
        *) more=0 ;;
        esac
        shift
        [ "$more" = 0 ] || shift
        case $flag in
        --name) take_host "$value" ;;
        -p | --port) take_gate_port "$value" ;;
        -k | --key) take_public "$value" ;;
        --hosts) take_hosts "$value" ;;
        --machine) machine=1 ;;
        --dry-run) dry_run=1 ;;
        --plain) plain=1 ;;
        --keep) keep=1 ;;
        --yes) ;;
        -h | --help) gate_usage && exit 0 ;;
        -*) usage_problem "it takes no '$(printf '%s' "$flag" | tr -c '[:print:]' '?')'" "$program" ;;
        *) take_host "$flag" ;;
        esac || finish
    done
}

take_host() {
    why=
    case $1 in
    '' | [!a-z0-9]* | *[!a-z0-9-]*) why="it holds something else" ;;
    *) [ ${#1} -le 28 ] || why="it is longer" ;;
    esac
    [ -z "$why" ] || { problem bad-host value="$(quoted "$1")" why="$why"; return; }
    count=$((count + 1))
    eval "k_${count}_name=\$1 k_${count}_ports= k_${count}_publics="
}
bad_gate_port() { problem bad-port value="$(quoted "$1")" what="a host of a bastion"; }
take_gate_port() {
    [ "$count" -gt 0 ] || usage_problem "the name of the host comes first" "$program"
    case $1 in '' | 0* | *[!0-9]* | ??????*) bad_gate_port "$1" || return ;; esac
    [ "$1" -le 65535 ] || bad_gate_port "$1" || return
    [ "$1" -ge 1024 ] || { problem port-privileged port="$1" user="the account of a host"; return; }
    eval "k_${count}_ports=\${k_${count}_ports}\${k_${count}_ports:+,}\$1"
}
take_public() {
    [ "$count" -gt 0 ] || usage_problem "the name of the host comes first" "$program"
    case $1 in *"PRIVATE KEY"*) problem bad-public-key value="what was given" why="it is a private key, keep it secret" || return ;; esac
    # shellcheck disable=SC2086  # parted into words; none of them is a pattern
    case $1 in
    *[!A-Za-z0-9+/=@.\ _:-]*) kind='' ;;
    *) set -- "$1" $1 && kind=${2-} blob=${3-} ;;
    esac
    case $kind in
    ssh-ed25519 | ssh-rsa | ecdsa-sha2-nistp256 | ecdsa-sha2-nistp384 | ecdsa-sha2-nistp521) ;;
    sk-ssh-ed25519@openssh.com | sk-ecdsa-sha2-nistp256@openssh.com) ;;
    *) problem bad-public-key value="$(quoted "$1")" why="one line 'ssh-ed25519 AAAA...' is needed, without options" || return ;;
    esac
    printf '%s %s\n' "$kind" "$blob" | ssh-keygen -l -f - >/dev/null 2>&1 ||
        { problem bad-public-key value="$(quoted "$1")" why="its base64 part is damaged"; return; }
    eval "k_${count}_publics=\${k_${count}_publics}\${k_${count}_publics:+\$newline}\$kind' '\$blob"
}
take_hosts() {
    case $1 in
    [1-9] | [1-9][0-9] | [1-9][0-9][0-9] | [1-9][0-9][0-9][0-9]) hosts=$1 ;;
    *) usage_problem "--hosts takes a number from 1 to 9999" "$program" ;;
    esac
    # Never fewer than by default (10), for whoever else logs in.
    [ "$hosts" -ge 10 ] || hosts=10
}

# take_up N: host number N of the flags.
take_up() {
    eval "t_ports=\$k_${1}_ports t_publics=\$k_${1}_publics"
    eval "place \"\$k_${1}_name\""
}

# converge PLAN: what is not true is made true, or shown.
converge() {
    eval "steps=\$plan_$1"
    files='' did=''
    for number in $steps; do
        eval "phase=\$phase_$number"
        # What is there only after the files are, cannot be true before.
        case $dry_run:$phase:$files in 1:restart:due) ;; *) "test_$number" >/dev/null 2>&1 && continue ;; esac
        did=1
        title=$("title_$number")
        if [ "$dry_run" = 1 ]; then
            [ "$phase" != files ] || files=due
            # What is to be seen at the end is no change.
            [ "$phase" = proof ] || event would-change "$title"
            "show_$number"
            continue
        fi
        refused=
        if "apply_$number" >"$work/words" 2>&1; then
            event changed "$title"
        else
            event failed "$title"
            [ -n "$refused" ] || refused=$(grep . "$work/words" | tail -n 1)
            return 1
        fi
    done
    [ -n "$did" ] || event ok "nothing to do"
}

gate_setup() {
    t_name=bastion
    if [ "$plain" = 1 ]; then
        event ok "nothing to do: on a plain account there is nothing to set up"
        return
    fi
    derive_sshd || return
    # Half of it would be worse than a late answer.
    trap '' INT TERM HUP
    converge ready && return
    sshd_back
    problem sshd-refused why="${refused:-it said nothing}"
}

# For a fleet: what each is told of in time (look), before sshd shows it.
gate_next_host_keys() {
    t_name=bastion
    converge next_host_keys || problem sshd-refused why="${refused:-it said nothing}"
}
gate_take_host_keys() {
    t_name=bastion
    trap '' INT TERM HUP
    converge take_host_keys || problem sshd-refused why="${refused:-it said nothing}"
}

is_ready() { [ "$plain" = 1 ] || { derive_sshd && ready_is_true; }; }
ready_is_true() {
    for number in $plan_ready; do
        "test_$number" >/dev/null 2>&1 || return 1
    done
}

gate_authorize() {
    # Not all of it: another number of hosts, say, is no reason to refuse one.
    if [ "$plain" = 0 ] && { ! group_is || [ ! -e "$homes/sshd" ] || [ ! -x "$session" ]; }; then
        # A dry run shows what would be, on a machine that is no bastion yet.
        [ "$dry_run" = 1 ] || { problem bastion-not-ready; return; }
    fi
    number_of_host=0 done_with=
    while [ "$number_of_host" -lt "$count" ]; do
        number_of_host=$((number_of_host + 1))
        take_up "$number_of_host"
        authorize_one || :
    done
    settle_limits
    # shellcheck disable=SC2086  # names
    [ "$dry_run" = 1 ] || [ -z "$done_with" ] || roster $done_with || :
}

authorize_one() {
    if [ "$plain" = 0 ] && id -u "$t_account" >/dev/null 2>&1 && ! is_ours "$t_account"; then
        problem account-foreign account="$t_account"
        return
    fi
    present=$(lines_of "$t_name" | line_keys)
    had=$(ports_of "$t_name")
    if [ "$keep" = 1 ] && [ -n "$present" ]; then
        t_publics=$(printf '%s\n%s\n' "$present" "$t_publics" | awk 'NF && !seen[$0]++')
        t_ports=$(printf '%s,%s\n' "$had" "$t_ports" | tr ',' '\n' | awk 'NF && !seen[$0]++' | paste -s -d , -)
    fi
    [ -n "$t_publics" ] || t_publics=$present
    [ -n "$t_publics" ] || { problem missing-field what="key" how="-k"; return; }
    [ -n "$t_ports" ] || t_ports=$had
    [ -n "$t_ports" ] || choose_port
    check_ports || return
    make_lines
    if [ "$plain" = 1 ]; then
        others=$(other_lines)
        check_elsewhere || return
        t_lines=$others${others:+$newline}$t_lines
    fi
    if converge "${prefix}authorize"; then
        done_with="$done_with $t_name"
    else
        problem bastion-step title="$title" why="${refused:-it said nothing}"
    fi
}

# check_elsewhere: sshd takes the first line of a key, so one without limits above ours would lift them.
check_elsewhere() {
    while IFS= read -r key; do
        case $newline$others in *" ${key#* }"*) ;; *"$newline$key"*) ;; *) continue ;; esac
        problem key-elsewhere name="$t_name" path="$t_key_file"
        return
    done <<TXT
$t_publics
TXT
}

# The lines of a plain account's file that are not this host's, as they are.
other_lines() {
    [ -e "$t_key_file" ] || return 0
    # Where there are no others, grep fails as well.
    if lines_of "$t_name" >"$work/lines"; then grep -Fvxf "$work/lines" "$t_key_file" || :; else cat "$t_key_file"; fi
}

# choose_port: by the name, so that it is mostly the same wherever it is asked; the next free one if it is taken.
choose_port() {
    taken=" $(taken_ports | cut -d' ' -f1 | tr '\n' ' ')"
    t_ports=$((20000 + $(printf %s "$t_name" | cksum | cut -d' ' -f1) % 10000))
    tries=0
    while [ "$tries" -lt 10000 ]; do
        case $taken in *" $t_ports "*) ;; *) listens_here "$t_ports" || return 0 ;; esac
        tries=$((tries + 1))
        t_ports=$((t_ports + 1))
        [ "$t_ports" -lt 30000 ] || t_ports=20000
    done
}

check_ports() {
    clash=
    taken_ports >"$work/taken"
    range=$(cat /proc/sys/net/ipv4/ip_local_port_range 2>/dev/null)
    reserved=$(cat /proc/sys/net/ipv4/ip_local_reserved_ports 2>/dev/null)
    for port in $(echo "$t_ports" | tr ',' ' '); do
        other=$(sed -n "s/^$port //p" "$work/taken" | grep -vx "$t_name" | head -n 1)
        [ -z "$other" ] || { problem port-of-other port="$port" other="$other"; return; }
        if [ "$port" -ge "${range%%[!0-9]*}" ] && [ "$port" -le "${range##*[!0-9]}" ] && ! is_reserved "$port"; then
            problem port-ephemeral port="$port" range="$(echo "$range" | tr -s '\t ' '-')"
            return
        fi
    done
}
is_reserved() {
    for part in $(echo "$reserved" | tr ',' ' '); do
        [ "$1" -lt "${part%-*}" ] || [ "$1" -gt "${part#*-}" ] || return 0
    done
    return 1
}

gate_revoke() {
    number_of_host=0
    while [ "$number_of_host" -lt "$count" ]; do
        number_of_host=$((number_of_host + 1))
        take_up "$number_of_host"
        revoke_one || :
    done
    settle_limits
}

revoke_one() {
    if [ "$plain" = 1 ]; then
        [ -n "$(lines_of "$t_name")" ] || { problem no-such-host name="$t_name"; return; }
    elif nothing_at "$t_key_file"; then
        # One that was revoked half-way is finished.
        is_ours "$t_account" || { problem no-such-host name="$t_name"; return; }
    fi
    t_ports=$(ports_of "$t_name")
    t_ids=$(lines_of "$t_name" | sed -n 's/.*,command="exec [^ ]* [0-9,]* \([0-9a-f]*\)" .*/\1/p')
    if [ "$plain" = 1 ]; then t_lines=$(other_lines); fi
    converge "${prefix}revoke" || { problem revoke-failed name="$t_name" title="$title" why="${refused:-it said nothing}"; return; }
    [ "$dry_run" = 1 ] || event ok "nobody holds port $t_ports any more"
}

gate_list() {
    place none
    [ "$machine" = 1 ] || printf '%-28s %-20s %-20s %s\n' NAME PORTS HELD KEYS
    roster || [ "$word" != status ] || exit_status=50
    t_name=bastion
}

gate_status() {
    gate_list
    if is_ready; then
        event ok "this bastion is set up"
    else
        problem bastion-not-ready
    fi
}

# look: everything that a fleet asks of a bastion at once: its hosts, its own host keys, and what it lacks.
gate_look() {
    gate_list
    dry_run=1
    gate_setup
    cat /etc/ssh/ssh_host_*_key.pub /etc/ssh/ssh_host_*_key.next.pub 2>/dev/null | while read -r kind blob _; do tell host-key "$kind" "$blob"; done
}
