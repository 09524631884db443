# The order of things: look, then check the way, then apply, then prove; and back, if it cannot be proven.

# steps_of setup|remove: the numbers of the steps of this tunnel's keeper.
steps_of() { eval "echo \$plan_${1}_$t_plan"; }

# untrue setup|remove: the numbers of the steps of this tunnel that are not true, or will not be after those before.
untrue() {
    list=
    files=
    for number in $(steps_of "$1"); do
        eval "phase=\$phase_$number"
        # A service runs with the old files until it is restarted, and what is not there cannot be proven.
        case $phase:$files:$list in
        restart:?*:* | proof:*:?*) list="$list $number" ;;
        *)
            if ! "test_$number" >/dev/null 2>&1; then
                list="$list $number"
                [ "$phase" != files ] || files=due
            fi
            ;;
        esac
    done
    echo "$list"
}

# look setup|remove COMMAND: the due steps of every tunnel, in due_N.
look() {
    any=
    for n in $tunnels; do
        described "$n"
        "$2" || { eval "due_$n=bad"; continue; }
        keep "$n"
        # The subshell must not carry the steps' variables back.
        due=$(untrue "$1")
        eval "due_$n=\$due"
        [ -z "$due" ] || any=1
    done
}

forget() {
    t_user='' t_bastion_user='' t_stage='' t_known_hosts='' t_key_id='' t_key_access='' t_port=''
    t_jumps='' t_jump_keys='' t_proxy='' t_jump_hosts='' t_hops=0
    t_bastion_host='' t_bastion_port=22 t_name='' t_forwards='' t_engine=ssh t_keepalive=default
    t_series='' t_on_up='' t_on_down='' t_alive_interval=5 t_alive_count=2 t_connect_timeout=10 t_keeper=auto t_chosen='' t_scope=system t_on_host='' t_host_keys='' t_former='' t_was='' t_older=''
}

kept="name folder unit unit_file state port bastion bastion_host bastion_port bastion_user login known_name known_hosts"
kept="$kept forwards forward_lines forward_notes forwards_json what here mark count"
kept="$kept kind listen listen_host dial where says target target_host target_port key key_json key_id key_access user engine keepalive stage"
kept="$kept host_keys alive_interval alive_count connect_timeout keeper plan scope chosen"
kept="$kept on_host service log owner host home zdot local config runtime states states_of_all state_home"
kept="$kept jumps jump_keys jump_hosts jump_blocks jumps_json way_notes hops hop_logins proxy proxy_command reach_timeout"
kept="$kept shell login_file shell_file fish_file former was older series on_up on_down on_up_json on_down_json hook_notes"
# keep N, recall N: the values of tunnel N, put by and taken up again.
keep() { for value in $kept; do eval "k_${1}_$value=\${t_$value-}"; done; }
recall() { for value in $kept; do eval "t_$value=\$k_${1}_$value"; done; }

# described N: what is given of tunnel N. Of several to as many bastions, each by the name that is left to it.
described() {
    forget
    "bind_$1"
    eval "t_name=\${named_$1:-\$t_name}"
}
# share_names: tunnels to several bastions have names in a row (2222, 2222-2). One that stands keeps its own, in whatever
# order the bastions are told now, and also where its bastion is told alone; the others take what is left.
share_names() {
    left='' later='' told=' '
    for n in $tunnels; do
        described "$n"
        told="$told$t_name "
        [ -z "$t_series" ] || left="$left $t_series:$t_name"
    done
    for n in $tunnels; do
        described "$n"
        [ -n "$t_series" ] || eval "named_$n=\$(name_in_row)"
    done
    [ -n "$left" ] || return 0
    for n in $tunnels; do
        described "$n"
        [ -n "$t_series" ] || continue
        later="$later $n"
        for name in $left; do
            if [ "${name%%:*}" = "$t_series" ] && stands_to_it "${name#*:}"; then
                share "$n" "$name"
                later=${later% *}
                break
            fi
        done
    done
    for n in $later; do
        described "$n"
        name=$t_name
        case "$left " in
        *" $t_series:$t_name "*) ;;
        *) name=${left#*" $t_series:"} name=${name%% *} ;;
        esac
        share "$n" "$t_series:$name"
    done
}
# share N SERIES:NAME
share() {
    eval "named_$1=\${2#*:}"
    left=$(for other in $left; do [ "$other" = "$2" ] || printf ' %s' "$other"; done)
}
# stands_to_it NAME [COMMAND]: the tunnel of that name leads to the bastion of this one, as whichever account; and the
# command, for which it is at hand, says so, too.
stands_to_it() {
    (
        wanted_user=${t_user:-$(default_user)} t_bastion_user=''
        find_standing "$1" && locate "$1" "$t_keeper" && [ -e "$t_folder/ssh_config" ] &&
            to_bastion <"$t_folder/ssh_config" && ${2:-:}
    )
}
# name_in_row: what the tunnel of this one's bastion is called where it was made as one of several; else nothing.
name_in_row() {
    wanted_user=${t_user:-$(default_user)}
    # Whether there is such an account is asked later.
    id -u "$wanted_user" >/dev/null 2>&1 || return 0
    candidates=$(known_names | grep "^$(in_pattern "$t_name")-[1-9][0-9]*\$")
    [ -n "$candidates" ] && ! stands_to_it "$t_name" || return 0
    for name in $candidates; do
        case $told in *" $name "*) continue ;; esac
        if stands_to_it "$name" opens_the_same; then
            echo "$name"
            return
        fi
    done
}
# opens_the_same: its first forward listens where this one's does. (What the bastion picked is told by its target.)
opens_the_same() {
    case "${t_forwards%%"$newline"*} " in
    *:0' '*) part='s/:[0-9]*\( \|$\)/\1/' ;;
    *) part='s/^\([^ ]* [^ ]*\).*/\1/' ;;
    esac
    [ "$(printf '%s\n' "$t_forwards" | sed "$part;q")" = "$(written forward | sed "$part;q")" ]
}

each_due() { eval "echo \"\$due_$1\""; }

show_plan() {
    for n in $tunnels; do
        due=$(each_due "$n")
        [ "$due" != bad ] || continue
        recall "$n"
        [ "$1" = remove ] || [ -n "$t_known_hosts" ] || t_known_hosts="# the host key of $t_known_name, pinned when you confirm it"
        for number in $due; do
            event would-change "$("title_$number")"
            "show_$number"
        done
        [ -n "$due" ] || event ok "nothing to do"
    done
}

report_idle() {
    for n in $tunnels; do
        [ "$(each_due "$n")" != bad ] || continue
        recall "$n"
        event ok "nothing to do"
        [ "$1" = remove ] || result "$(cat "$work/$t_name.level")"
    done
}

# result LEVEL
result() {
    if [ "$machine" = 1 ]; then
        tell result "$t_name" "$1" "$t_bastion" "$t_target" "$t_what$t_here"
    elif [ "$1" = verified ]; then
        say "Verified: $t_what$t_here."
    else
        say "Listening, not proven: $t_what$t_here, but the bastion does not let this key dial it."
    fi
}

setup_all() {
    not_denied || finish
    if [ "$dry_run" = 0 ] && ! only_one; then finish; fi
    share_names
    look setup derive
    if [ "$dry_run" = 1 ]; then
        show_plan setup
        finish
    fi
    if [ "$exit_status" != 0 ] && [ -z "$any" ]; then finish; fi
    if [ -z "$any" ]; then
        report_idle setup
        finish
    fi
    consented || finish
    if needs_root && ! become_root "$@"; then finish; fi
    if stands_already; then detach "$@"; fi
    ready='' stand=''
    for n in $tunnels; do
        due=$(each_due "$n")
        recall "$n"
        if [ "$due" = bad ]; then continue; fi
        if [ -z "$due" ]; then
            event ok "nothing to do"
            result "$(cat "$work/$t_name.level")"
            stand="$stand $n"
            continue
        fi
        if check_former && each_forward check_target && check_bastion && each_forward check_port && derive_forwards && keep "$n" && prove_beside; then
            eval "due_$n=\$(untrue setup)"
            ready="$ready $n"
        fi
    done
    applying=$ready
    for n in $ready; do
        recall "$n"
        snapshot_to "$work/old-$t_name"
        [ -z "$t_former" ] || former_does snapshot
    done
    for phase in files reload service restart; do apply_phase "$phase"; done
    end_all_beside
    for n in $applying; do
        recall "$n"
        if wait_verified; then
            event ok "$("title_$(steps_of setup | sed 's/.* //')")"
            result "$proven"
            [ -z "$t_chosen" ] || say_keeper
            warn_of_logout
            commit "$n"
            drop_former
            stand="$stand $n"
        else
            undo "$n"
        fi
    done
    say_who_stands
    finish
}

# say_who_stands: of several, where some failed. They are undone, or as they were; the others stay.
say_who_stands() {
    standing_now='' missing=''
    for n in $tunnels; do
        described "$n"
        each_named="${t_bastion_user:+$t_bastion_user@}$(bracketed "$t_bastion_host")"
        [ "$t_bastion_port" = 22 ] || each_named=$each_named:$t_bastion_port
        each_named="$t_name ($each_named)"
        case "$stand " in
        *" $n "*) standing_now="$standing_now${standing_now:+, }$each_named" ;;
        *) missing="$missing${missing:+, }$each_named" ;;
        esac
    done
    t_name=
    [ -n "$standing_now" ] && [ -n "$missing" ] || return 0
    as_warning=1
    problem not-all-stand standing="$standing_now" missing="$missing" || as_warning=
}

# stands_already: one of the tunnels that are due to change is up (and nobody has to be asked for a password).
stands_already() {
    for n in $tunnels; do
        case $(each_due "$n") in '' | bad) continue ;; esac
        recall "$n"
        if former_needs_password; then return 1; fi
        if keeper_is_up || former_is_up; then return 0; fi
    done
    return 1
}

# needs_root: a tunnel that is due to change is the whole machine's, and we are not root.
needs_root() {
    [ "$me" != root ] || return 1
    for n in $tunnels; do
        case $(each_due "$n") in '' | bad) continue ;; esac
        recall "$n"
        if [ "$t_scope" = system ]; then return 0; fi
    done
    return 1
}

# apply_phase PHASE: the steps of a set-up that are not true, over all tunnels that are still in.
apply_phase() {
    for n in $applying; do
        recall "$n"
        for number in $(steps_of setup); do
            eval "phase=\$phase_$number"
            [ "$phase" = "$1" ] || continue
            if stopped; then interrupted; fi
            "test_$number" >/dev/null 2>&1 && continue
            title=$("title_$number")
            if quietly "apply_$number"; then
                event changed "$title"
            else
                event failed "$title"
                words=$(grep . "$work/words" | tail -n 1)
                if disk_is_full; then
                    problem disk-full path="$t_folder"
                else
                    problem step-failed title="$title" why="${words:-it said nothing}"
                fi
                undo "$n"
                break
            fi
        done
    done
}

# Tried, since a shell's own printf only speaks of an "I/O error".
disk_is_full() {
    [ -d "$t_folder" ] || return 1
    (cat /bin/sh >"$t_folder/room") 2>&1 | grep -q "No space left"
}

# snapshot_to FOLDER: what is there before.
snapshot_to() {
    old=$1
    mkdir -p "$old"
    [ ! -d "$t_folder" ] || cp -a "$t_folder" "$old/folder"
    if [ -e "$t_unit_file" ] || [ -L "$t_unit_file" ]; then cp -a "$t_unit_file" "$old/unit"; fi
    if [ "$t_scope" = user ]; then snapshot_own; fi
    [ -n "$t_unit" ] || return 0
    if unit_is_enabled "$t_unit"; then : >"$old/enabled"; fi
    if unit_is_active "$t_unit"; then : >"$old/active"; fi
}

commit() { drop_from_applying "$1"; }
undo() {
    drop_from_applying "$1"
    restore
}
drop_from_applying() {
    rest=
    for other in $applying; do [ "$other" = "$1" ] || rest="$rest $other"; done
    applying=$rest
}

# The state that the snapshots found, again.
restore() {
    old=$work/old-$t_name restored='' again=
    for kept_up in "$old/active" "$old/held" "$work/former-$t_name/kept/active" "$work/former-$t_name/kept/held"; do
        [ ! -e "$kept_up" ] || again=1
    done
    # It was the former's, which comes back by itself.
    [ ! -e "$work/former-$t_name/kept/retired" ] || rm -f "$old/held"
    same_as_before || { put_back && restored=1; }
    if [ -d "$work/former-$t_name" ]; then former_does restore && restored=1; fi
    [ -n "$restored" ] || return 0
    if [ "$again" = 1 ]; then again=$(trap - EXIT && seen_again); fi
    event restored "what was there before$again"
}
# seen_again: whether the tunnel of before works again, in words. Whoever waits for the end is not kept waiting.
seen_again() {
    [ -z "${signalled-}${interrupting-}" ] && ! stopped || return 0
    if [ -n "$t_former" ]; then as_former; fi
    [ "$t_keeper" = older ] || { recall_standing && derive_forwards; } || return 0
    accept_listening=1 proven='' reach=alone deadline=$(($(date +%s) + 10))
    until works_again; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            printf '; its tunnel has not answered within 10 s'
            return
        fi
        sleep 0.3 2>/dev/null || sleep 1
    done
    case $proven in listening) printf '; its port is listened on again, which is all that its key can prove' ;; *) printf '; its tunnel answers again' ;; esac
}
works_again() {
    if [ "$t_keeper" != older ]; then
        is_verified
        return
    fi
    cause='' level=''
    weigh_older
    [ "$level" = verified ]
}
put_back() {
    if [ -n "$t_unit" ]; then
        [ -e "$old/active" ] || manager -q stop "$t_unit" 2>/dev/null
        [ -e "$old/enabled" ] || manager -q disable "$t_unit" 2>/dev/null
    fi
    [ "$t_scope" = system ] || let_go
    rm -rf "$t_folder"
    [ ! -d "$old/folder" ] || cp -a "$old/folder" "$t_folder"
    if [ -n "$t_unit" ]; then restore_unit; fi
    if [ "$t_scope" = user ]; then restore_own; else rmdir /etc/scitex-ssh/tunnels /etc/scitex-ssh /run/scitex-ssh 2>/dev/null; fi
    return 0
}
restore_unit() {
    rm -f "$t_unit_file"
    if [ -e "$old/unit" ] || [ -L "$old/unit" ]; then cp -a "$old/unit" "$t_unit_file"; fi
    manager daemon-reload
    manager -q reset-failed "$t_unit" 2>/dev/null
    [ ! -e "$old/enabled" ] || manager -q enable "$t_unit"
    [ ! -e "$old/active" ] || manager restart "$t_unit" 2>/dev/null
}
same_as_before() {
    if [ "$t_scope" = user ] && ! own_as_before; then return 1; fi
    if [ -d "$old/folder" ]; then diff -r "$old/folder" "$t_folder" >/dev/null 2>&1; else nothing_at "$t_folder"; fi &&
        if [ -e "$old/unit" ]; then cmp -s "$old/unit" "$t_unit_file"; else nothing_at "$t_unit_file"; fi
}
restore_all() { for n in $applying; do recall "$n" && restore; done; }

# spread: where a tunnel is named by its port alone, all that are on it, each by its name.
spread() {
    spread_out=
    for n in $tunnels; do
        forget
        "bind_$n"
        if [ -n "$t_name" ]; then
            spread_out="$spread_out $n"
            continue
        fi
        part=0
        for spread_name in $(tunnels_on "$t_port"); do
            part=$((part + 1))
            eval "bind_${n}_$part() { t_name=$spread_name; }"
            spread_out="$spread_out ${n}_$part"
        done
        [ "$part" != 0 ] || problem no-such-tunnel name="$t_port to $(bracketed "$t_bastion_host")" || :
    done
    tunnels=$spread_out
}

located() {
    locate "$t_name"
    [ "$t_scope" = system ] || [ "$me" = "$t_user" ] || problem keeper-user keeper="$t_keeper" user="$t_user"
}

remove_all() {
    if [ "$dry_run" = 0 ] && ! only_one; then finish; fi
    spread
    if [ "$exit_status" != 0 ]; then finish; fi
    look remove located
    if [ "$must_exist" = 1 ]; then
        for n in $tunnels; do
            [ "$(each_due "$n")" != bad ] || continue
            recall "$n"
            nothing_at "$t_folder" && nothing_at "$t_unit_file" && unit_is_gone "$t_unit" || continue
            place=$(older_on "$t_name")
            if [ -n "$place" ]; then problem made-elsewhere name="$t_name" place="$place"; else problem no-such-tunnel name="$t_name"; fi
        done
        if [ "$exit_status" != 0 ]; then finish; fi
    fi
    if [ "$dry_run" = 1 ]; then
        show_plan remove
        finish
    fi
    if [ -z "$any" ]; then
        report_idle remove
        finish
    fi
    if needs_root && ! become_root "$@"; then finish; fi
    # Whoever came through it loses the terminal, and half of the work is no use to anybody.
    if stands_already; then
        detach "$@"
        trap '' HUP PIPE
    fi
    applying=
    for n in $tunnels; do
        [ "$(each_due "$n")" != bad ] || continue
        recall "$n"
        snapshot_to "$work/old-$t_name"
        applying="$applying $n"
    done
    for phase in files reload; do remove_phase "$phase"; done
    applying=
    finish
}

# Like apply_phase, but nothing comes back: what is half removed is removed further by the next run.
remove_phase() {
    for n in $applying; do
        recall "$n"
        for number in $(steps_of remove); do
            eval "phase=\$phase_$number"
            if [ "$phase" = "$1" ] && ! "test_$number" >/dev/null 2>&1; then
                title=$("title_$number")
                if quietly "apply_$number"; then
                    event changed "$title"
                else
                    event failed "$title"
                    problem step-failed title="$title" why="$(grep . "$work/words" | tail -n 1)"
                fi
            fi
        done
    done
}
