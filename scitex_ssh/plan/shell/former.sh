# Another keeper has the tunnel: how it gives it up, and gets it back when the new one cannot be proven. Whose things
# they are does it: root what is the whole machine's, the user what is the user's own.

# find_former: who else than $t_keeper keeps the tunnel, in $t_former ("cron alice", "systemd -").
find_former() {
    t_former='' t_was=''
    case $t_keeper in
    foreground) return 0 ;;
    systemd) wanted_keeper="systemd -" ;;
    *) wanted_keeper="$t_keeper $t_user" ;;
    esac
    t_former=$(standing "$t_name" | grep -vFx -e "$wanted_keeper" | head -n 1)
    # Where what is known of the tunnel stands.
    if [ -n "$t_former" ] && [ ! -d "$t_folder" ]; then t_was=$(as_former && echo "$t_folder"); fi
    return 0
}
former_is_up() { [ -n "$t_former" ] && (as_former && keeper_is_up); }
no_former() { [ -z "$t_former" ]; }
show_former() { show_line "# $(name_of_former) has it: that ends before ${t_keeper} starts, and goes when ${t_keeper} is proven"; }
name_of_former() { case $t_former in older*) printf '%s\n' "$t_older" | sed -n 3p ;; *) echo "${t_former%% *}" ;; esac; }

# In a subshell: the places are the former's.
as_former() {
    case $t_former in
    older*)
        recall_older
        t_user=$older_user t_keeper=older
        own_places
        return
        ;;
    "systemd -") ;;
    *) t_user=${t_former#* } ;;
    esac
    locate "$t_name" "${t_former%% *}"
}

# check_former: we may end it.
check_former() {
    case $me:$t_former in root:* | *: | "$me:"*" $me") return 0 ;; esac
    case $t_former in older*) path=$(name_of_former) ;; *) path=/etc/systemd/system/autossh-tunnel-$t_name.service ;; esac
    if ! have sudo; then
        problem sudo-missing path="$path" user="$me"
        return
    fi
    sudo -n true 2>/dev/null || { (: </dev/tty) 2>/dev/null && sudo -v -p "scitex-ssh needs root to take $path away. Password of %p: "; } ||
        problem sudo-denied path="$path" user="$me"
}
# Apart from a terminal, nobody can be asked.
former_needs_password() { case $me:$t_former in root:*) return 1 ;; *" -") ! sudo -n true 2>/dev/null ;; *) return 1 ;; esac; }

# former_does snapshot|retire|drop|restore: by whoever may.
former_does() {
    shares=
    if [ "$t_scope" = user ] && [ "$t_former" != "systemd -" ]; then shares=1; fi
    set -- "$1" "$t_name" "$t_former" "$work/former-$t_name/kept" "$shares" "$machine" "$t_older"
    case $me:$t_former in
    root:*" -" | "$me:"*" $me")
        (trap - EXIT && former_part "$@")
        return
        ;;
    esac
    copy_program || return
    { sed '$d' "$work/program" && echo '{ make_work && former_part "$@"; exit; }'; } >"$work/part"
    # It is theirs, so that they can take away what is in it.
    mkdir -p "${4%/*}"
    if [ "$me" = root ]; then
        (
            as_former
            chown "$t_user" "${4%/*}"
            as_user env HOME="$t_home" XDG_CONFIG_HOME="$t_config" XDG_STATE_HOME="$t_state_home" ZDOTDIR="$t_zdot" sh "$work/part" "$@"
        )
    else
        sudo sh "$work/part" "$@"
    fi
}

former_part() {
    t_name=$2 t_former=$3 old=$4 shares=$5 machine=$6 t_older=$7
    as_former
    if [ "$t_keeper" = older ]; then
        older_part "$1" "$old"
        return
    fi
    case $1 in
    snapshot) snapshot_to "$old" ;;
    retire)
        # Its files stay until the proof. (No folder is no folder to be taken away.)
        : >"$old/retired" && t_folder='' && take_down files
        ;;
    drop)
        rm -rf "$old"
        # What the new one has, too, is not the former's any more.
        t_state=''
        [ -z "$shares" ] || t_folder=''
        take_down files && take_down reload
        ;;
    restore)
        [ ! -e "$old/retired" ] || put_back
        rm -rf "$old"
        ;;
    esac
}

# take_down PHASE: what is due of that in the steps of a removal.
take_down() {
    for number in $(steps_of remove); do
        eval "phase=\$phase_$number"
        [ "$phase" = "$1" ] || continue
        "test_$number" >/dev/null 2>&1 || "apply_$number" || return
    done
}

# The former is proven to be needed no more.
drop_former() {
    [ -n "$t_former" ] || return 0
    case $t_former in
    older*) title="what kept it, in $(name_of_former), is set aside" ;;
    *) title="no trace of ${t_former%% *}, which kept it" ;;
    esac
    if quietly former_does drop; then
        event changed "$title"
    else
        problem step-failed title="$title" why="$(grep . "$work/words" | tail -n 1)"
    fi
}
