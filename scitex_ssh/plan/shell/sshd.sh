# sshd of this bastion: what it is told about the accounts of the hosts, and the proof that it heard.

keys_folder=/etc/ssh/scitex-ssh
homes=/var/lib/scitex-ssh
session=/usr/local/lib/scitex-ssh/session
sshd_config=/etc/ssh/sshd_config
sshd_drop_in=/etc/ssh/sshd_config.d/10-scitex-ssh.conf

# sshd_version: major and minor, as 904 of 9.4; empty where it does not say.
sshd_version() {
    # Older ones take no -V and name themselves in their refusal.
    sshd -V 2>&1 | sed -n 's/.*OpenSSH_\([0-9]*\)\.\([0-9]*\).*/\1 \2/p' | head -n 1 | {
        read -r major minor && echo $((major * 100 + minor))
    }
}

# Everything that the texts for sshd need to know.
# shellcheck disable=SC2034  # the texts of the program use them
derive_sshd() {
    if ! have sshd; then
        problem ssh-missing program=sshd package=openssh-server
        return
    fi
    for tool in useradd:passwd ssh:openssh-client; do
        have "${tool%%:*}" || { problem ssh-missing program="${tool%%:*}" package="${tool#*:}"; return; }
    done
    number=$(sshd_version)
    t_alive=15 t_penalties='' t_startups=$hosts:30:$((hosts * 2))
    if [ "${number:-0}" -ge 902 ] && [ "$number" -le 904 ]; then t_alive=8; fi
    [ "${number:-0}" -lt 908 ] || t_penalties="PerSourcePenalties min:60 max:120$newline"
    # One for all would be asked for the accounts as well; "none" in its place has sshd complain at each login.
    t_keys_command=
    case $(sshd_says root | grep '^authorizedkeyscommand ') in
    '' | "authorizedkeyscommand none") ;;
    *) t_keys_command="    AuthorizedKeysCommand none$newline" ;;
    esac
    if includes_drop_ins; then
        t_sshd_file=$sshd_drop_in sshd_mode=644 sshd_owner=root:root sshd_text=text_sshd_drop_in
    else
        t_sshd_file=$sshd_config sshd_text=sshd_whole
        sshd_mode=$(stat -c %a "$sshd_config") sshd_owner=$(stat -c %U:%G "$sshd_config")
    fi
}

includes_drop_ins() { grep -Eiq '^[[:space:]]*Include[[:space:]].*/etc/ssh/sshd_config\.d/\*' "$sshd_config" 2>/dev/null; }

# sshd_config with our two blocks, whatever blocks of ours it has now.
sshd_whole() {
    text_sshd_head
    sed '/^# BEGIN scitex-ssh$/,/^# END scitex-ssh$/d' "$sshd_config"
    text_sshd_tail
}

sshd_text_is() { file_is "$t_sshd_file" "$sshd_mode" "$sshd_owner" "$sshd_text"; }
show_sshd_text() { show_file "$t_sshd_file" "$sshd_mode" "$sshd_owner" "$sshd_text"; }
put_sshd_text() {
    keep_sshd_text
    [ "$t_sshd_file" != "$sshd_drop_in" ] || mkdir -p "${sshd_drop_in%/*}" || return
    # Read before it is written over.
    "$sshd_text" >"$work/sshd_text" && put_file "$t_sshd_file" "$sshd_mode" "$sshd_owner" sshd_text_now
}
sshd_text_now() { cat "$work/sshd_text"; }

# What is there, and what sshd says of others than the hosts, before it is changed.
keep_sshd_text() {
    [ ! -e "$t_sshd_file" ] || cp -a "$t_sshd_file" "$work/sshd.old"
    : >"$work/sshd.kept"
    # Whatever comes of it, it is seen to anew.
    rm -f "$homes/sshd"
    sshd_for_others >"$work/others.old"
}
# sshd_back: the text that keep_sshd_text found, again in force.
sshd_back() {
    [ -e "$work/sshd.kept" ] || return 0
    if [ -e "$work/sshd.old" ]; then
        cp -a "$work/sshd.old" "$t_sshd_file.back" && mv -f "$t_sshd_file.back" "$t_sshd_file"
    else
        rm -f "$t_sshd_file"
    fi
    # It reads its configuration a moment after it was told to, and ends for good if that is damaged by then.
    sshd -t 2>/dev/null && reload_sshd >/dev/null 2>&1 && sleep 1
    event restored "what sshd was told before"
}

# sshd_says USER: its whole configuration for that user, from here.
sshd_says() { sshd -T -C "user=$1,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22" 2>/dev/null; }
# What holds for others must stay as it was, so that no operator is locked out: all but what is meant for all.
sshd_for_others() {
    for other in root ${SUDO_USER:-}; do sshd_says "$other" | grep -Ev '^(maxstartups|persourcepenalties) '; done
}

# The same state may be found on another day: what sshd was given when it was last seen to work.
sshd_digest() { cat "$sshd_config" "${sshd_drop_in%/*}"/*.conf 2>/dev/null | cksum; }
sshd_is_current() { [ "$(cat "$homes/sshd" 2>/dev/null)" = "$(sshd_digest)" ]; }

# renew_sshd: checked, told, and tried. What it says on stdout is the reason of a failure.
renew_sshd() {
    if ! said=$(sshd -t 2>&1); then
        refused="$(printf '%s\n' "$said" | head -n 1)"
        return 1
    fi
    overruled && return 1
    if [ -e "$work/others.old" ] && ! sshd_for_others | cmp -s - "$work/others.old"; then
        refused="it would change more than the accounts of the hosts"
        return 1
    fi
    reload_sshd || { refused="it could not be reloaded" && return 1; }
    fresh_login || return 1
    sshd_digest >"$homes/sshd"
}

# A Match block that stands before ours, or the lists of who may log in, can have the last word.
overruled() {
    sshd_says scitex-ssh >"$work/sshd.says"
    text_sshd_match | sed 1d | while read -r keyword value; do
        grep -Fqix "$keyword $value" "$work/sshd.says" || echo "$keyword"
    done >"$work/sshd.lost"
    [ -s "$work/sshd.lost" ] || return 1
    refused="another part of its configuration has the last word on $(tr '\n' ' ' <"$work/sshd.lost" | sed 's/ $//')"
}

reload_sshd() {
    if [ ! -d /run/systemd/system ]; then
        kill -HUP "$(cat /run/sshd.pid)"
        return
    fi
    for unit in ssh.service sshd.service; do
        if unit_is_active "$unit"; then
            systemctl reload "$unit"
            return
        fi
    done
    # Where a socket starts it anew for each connection, it reads its configuration each time.
    systemctl -q is-active ssh.socket || systemctl -q is-active sshd.socket
}

# own_address: where sshd listens, seen from here.
own_address() {
    address=$(sshd -T 2>/dev/null | sed -n 's/^listenaddress //p' | head -n 1)
    port=${address##*:} address=${address%:*}
    port=${port:-22}
    case $address in 0.0.0.0 | '') address=127.0.0.1 ;; '[::]') address=::1 ;; \[*) address=${address#\[} address=${address%\]} ;; esac
}

# fresh_login: a key made now, for the account that is there for it, is let in and runs its forced command.
fresh_login() {
    login_key=$work/login
    ssh-keygen -q -t ed25519 -N '' -C scitex-ssh -f "$login_key" || { refused="ssh-keygen made no key" && return 1; }
    login_file=$keys_folder/scitex-ssh
    (umask 077 && printf 'restrict,command="exec echo scitex-ssh let in" %s\n' "$(cat "$login_key.pub")" >"$login_file") &&
        chown root:scitex-ssh "$login_file" && chmod 640 "$login_file"
    sed 's/^/scitex-ssh-bastion /' /etc/ssh/ssh_host_*_key.pub >"$work/login.known"
    own_address
    tries=0
    while :; do
        answer=$(ssh -n -T -F none -i "$login_key" -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes \
            -o PreferredAuthentications=publickey -o StrictHostKeyChecking=yes -o HostKeyAlias=scitex-ssh-bastion \
            -o "UserKnownHostsFile=$work/login.known" -o GlobalKnownHostsFile=/dev/null -o ControlPath=none \
            -o ConnectTimeout=5 -p "$port" scitex-ssh@"$address" 2>"$work/login.said")
        [ "$answer" != "scitex-ssh let in" ] || break
        tries=$((tries + 1))
        # It may be at reading its configuration just now.
        [ "$tries" -lt 5 ] || break
        sleep 1
    done
    rm -f "$login_file"
    [ "$answer" = "scitex-ssh let in" ] && return
    lists=$(grep -Ei '^(allow|deny)(users|groups) ' "$work/sshd.says" | tr '\n' ';')
    refused="a fresh login for the group scitex-ssh failed: ${lists:+$lists }$(grep . "$work/login.said" | tail -n 1)"
    return 1
}
