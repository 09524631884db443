# The values of one tunnel: t_name, t_forwards, t_bastion_host and so on are given; the rest follows from them here.

# The account that a tunnel without one is for: through sudo the caller, else whoever runs this.
default_user() {
    if [ "$me" = root ] && [ -n "${SUDO_USER-}" ]; then printf '%s' "$SUDO_USER"; else printf '%s' "$me"; fi
}

bracketed() { case $1 in *:*) printf '[%s]' "$1" ;; *) printf '%s' "$1" ;; esac; }
json_text() {
    case $1 in
    *[\\\"]*) printf '%s' "$1" | sed 's/\\/\\\\/g; s/"/\\"/g' ;;
    *) printf '%s' "$1" ;;
    esac
}

# locate NAME [KEEPER]: where the parts of a tunnel are; without KEEPER it is the one that keeps a tunnel of that
# name now, else systemd.
# shellcheck disable=SC2034  # the texts and steps of the program use them
locate() {
    if [ -n "${2-}" ]; then
        t_keeper=$2
    elif ! find_standing "$1"; then
        t_keeper=systemd
    fi
    t_name=$1
    t_plan=$(printf %s "$t_keeper" | tr - _)
    t_scope=system t_on_host=''
    t_folder=/etc/scitex-ssh/tunnels/$1
    t_unit=autossh-tunnel-$1.service
    t_unit_file=/etc/systemd/system/$t_unit
    t_state=/run/scitex-ssh/$1
    t_service=$t_unit t_log="journalctl -u $t_unit -n 20"
    case $t_keeper in systemd | foreground | auto) ;; *) own_places && own_parts "$t_keeper" ;; esac
    # In the foreground there is no unit, and the folder is one of this run.
    [ -z "${foreground-}" ] || t_unit='' t_unit_file='' t_folder=$foreground t_state=$foreground/state
}

# derive: everything that follows from what is given, on a machine that can keep the tunnel.
derive() { fill_in && check_keeper && check_programs && check_key && find_host_keys; }

# shellcheck disable=SC2034  # the texts of the program use them
fill_in() {
    [ -n "$t_user" ] || t_user=$(default_user)
    case $t_user in
    [!A-Za-z_]* | *[!A-Za-z0-9_.-]*)
        problem bad-user value="'$t_user'" why="its name cannot stand in a unit file"
        return
        ;;
    esac
    if ! id -u "$t_user" >/dev/null 2>&1; then
        problem bad-user value="'$t_user'" why="this machine has no such account"
        return
    fi
    wanted_user=$t_user
    choose_keeper && locate "$t_name" "$t_keeper" || return
    find_former
    [ -n "$t_bastion_user" ] || t_bastion_user=$t_user
    t_login=$t_bastion_user@$t_bastion_host
    t_bastion=$t_bastion_user@$(bracketed "$t_bastion_host")
    t_known_name=$t_bastion_host
    if [ "$t_bastion_port" != 22 ]; then
        t_bastion=$t_bastion:$t_bastion_port
        t_known_name=[$t_bastion_host]:$t_bastion_port
    fi
    keep_picked
    derive_forwards || return
    find_older
    t_key=$(at_home "$t_key")
    t_key_json=$(json_text "$t_key")
    t_on_up_json=$(json_text "$t_on_up") t_on_down_json=$(json_text "$t_on_down")
    t_hook_notes="${t_on_up:+$newline# on_up: $t_on_up}${t_on_down:+$newline# on_down: $t_on_down}"
    t_key_access=$(text_credential)
    derive_way
}

# at_home PATH: with the home of the tunnel's user in place of "~".
at_home() {
    # shellcheck disable=SC2088  # a path beginning with these two characters is meant
    case $1 in "~/"*) printf '%s/%s' "$(home_of "$t_user")" "${1#??}" ;; *) printf '%s' "$1" ;; esac
}

check_programs() {
    if ! have ssh; then
        problem ssh-missing program=ssh package=openssh-client
        return
    fi
    if [ "$t_engine" = autossh ] && ! have autossh; then
        problem ssh-missing program=autossh package=autossh
        return
    fi
    case ${ssh_is:=$(ssh -V 2>&1)} in
    OpenSSH_[1-6].* | OpenSSH_7.[0-5][!0-9]*) problem ssh-too-old version="$ssh_is" ;;
    esac
}

check_key() {
    each_hop check_jump_key && examine_key || return
    id_of_key "$public"
    t_key_id=$key_id
    # Root may not read a key on a home behind root_squash: the unit then reads the home itself. So it does with
    # the keys of hops, since systemd hands over one.
    # shellcheck disable=SC2034
    if [ "$t_hops" -gt 0 ] || { [ "$me" = root ] && ! head -c 1 "$t_key" >/dev/null 2>&1; }; then
        t_key_access=$(text_readable_home)
    fi
}

# The key must do without anybody: there, private, readable, closed to others, without a passphrase.
examine_key() {
    if ! as_user test -e "$t_key"; then
        # A folder on the way that only its owner may enter looks just like a missing file.
        problem key-missing key="$t_key"
        return
    fi
    if ! as_user test -f "$t_key"; then
        problem key-invalid key="$t_key"
        return
    fi
    if ! as_user test -r "$t_key"; then
        problem key-unreadable key="$t_key" user="$t_user"
        return
    fi
    case $(as_user head -c 200 "$t_key" 2>/dev/null | tr -d '\000') in
    "ssh-"* | "ecdsa-"* | "sk-"*)
        problem key-public key="$t_key"
        return
        ;;
    esac
    public=$(as_user ssh-keygen -y -P '' -f "$t_key" 2>&1 </dev/null) || {
        case $public in
        *"UNPROTECTED PRIVATE KEY"* | *"bad permissions"*)
            problem key-too-open key="$t_key" mode="$(as_user stat -L -c %a "$t_key")"
            ;;
        *"incorrect passphrase"*) problem key-locked key="$t_key" ;;
        *) problem key-invalid key="$t_key" ;;
        esac
        return
    }
}

# What is known of the bastion's host keys: as given, by the user's own known_hosts, by the system's, else as pinned.
find_host_keys() {
    find_jump_hosts
    if [ -n "${t_host_keys-}" ]; then
        # A fleet has them from the bastion itself.
        t_known_hosts=$(printf '%s\n' "$t_host_keys" | sed "s/^/$t_known_name /" | plain_lines "$t_known_name")
        return
    fi
    t_known_hosts=$(known_lines)
    if [ -z "$t_known_hosts" ]; then t_known_hosts=$(pinned "$t_known_name" "${t_was:-$t_folder}/known_hosts"); fi
    return 0
}

known_lines() {
    home=$(home_of "$t_user")
    for known in "$home/.ssh/known_hosts" "$home/.ssh/known_hosts2" /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2; do
        as_user test -r "$known" && as_user ssh-keygen -F "$t_known_name" -f "$known" 2>/dev/null
    done | plain_lines "$t_known_name"
}

# pinned NAME FILE: the lines of that name in a known_hosts file of ours.
pinned() {
    [ -e "$2" ] || return 0
    while IFS= read -r line; do
        case $line in "$1 "* | "@"*" $1 "*) printf '%s\n' "$line" ;; esac
    done <"$2"
}

# plain_lines NAME: known_hosts lines with that name in place of theirs (hashed or not), sorted, each once.
plain_lines() {
    while read -r first second third fourth _; do
        case $first in
        '#'* | '') ;;
        @*) printf '%s %s %s %s\n' "$first" "$1" "$third" "$fourth" ;;
        *) printf '%s %s %s\n' "$1" "$second" "$third" ;;
        esac
    done | LC_ALL=C sort -u
}
