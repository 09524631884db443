# The accounts of the hosts on this bastion: one each, for a key that may hold its own ports.

# place NAME: where the parts of a host are.
# shellcheck disable=SC2034  # the texts and steps of the program use them
place() {
    t_name=$1
    if [ "$plain" = 1 ]; then
        t_home=$(home_of "$me") t_owner=$me:$(id -gn) t_account=$me
        t_key_file=$t_home/.ssh/authorized_keys t_session=$t_home/.config/scitex-ssh/session
    else
        t_account=t-$1 t_home=$homes/$1 t_key_file=$keys_folder/t-$1 t_session=$session
    fi
}

# What a line of ours says.
line_ports() { sed -n 's/.*,command="exec [^ ]* \([0-9,]*\) [0-9a-f]*" .*/\1/p'; }
line_keys() { sed -n 's/.*,command="exec [^"]*" \([^ ]* [^ ]*\) scitex-ssh-[^ ]*$/\1/p'; }
# lines_of NAME: the lines of a host.
lines_of() {
    if [ "$plain" = 1 ]; then
        grep -E "^restrict,.*,command=\"exec [^\"]*/session [^\"]*\" [^ ]* [^ ]* scitex-ssh-$1\$" "$t_key_file" 2>/dev/null
    else
        cat "$keys_folder/t-$1" 2>/dev/null
    fi
}
known_hosts_of_bastion() {
    if [ "$plain" = 1 ]; then
        sed -n 's/^restrict,.*,command="exec [^"]*\/session [^"]*" [^ ]* [^ ]* scitex-ssh-\([^ ]*\)$/\1/p' "$t_key_file" 2>/dev/null | sort -u
    else
        for file in "$keys_folder"/t-*; do [ ! -f "$file" ] || echo "${file##*/t-}"; done
    fi
}
# all_lines: what each line of each host says: its name, its ports, and its key in two words. In one go, since a
# bastion may have hundreds, and a process for each of them is what takes time.
all_lines() {
    if [ "$plain" = 1 ]; then
        set -- "$t_key_file"
    else
        set -- "$keys_folder"/t-*
    fi
    # What is no file is a pattern without a match, or goes just now.
    [ -f "$1" ] || return 0
    awk '/^restrict,.*,command="exec [^"]*\/session [0-9,]* [0-9a-f]*" [^ ]* [^ ]* scitex-ssh-[^ ]*$/ {
        print substr($NF, 12), $(NF - 4), $(NF - 2), $(NF - 1)
    }' "$@" 2>/dev/null
}
# taken_ports: every port that a host has, with its name.
taken_ports() { all_lines | awk '{ for (i = split($2, port, ","); i > 0; i--) if (!seen[$1, port[i]]++) print port[i], $1 }'; }
ports_of() { lines_of "$1" | line_ports | tr ',' '\n' | grep . | awk '!seen[$0]++' | paste -s -d , -; }

# roster [NAME]...: these hosts or all, one a line: ports, those that somebody listens on, keys and their prints.
# It fails where a port of one is not held.
roster() {
    if [ $# -gt 0 ]; then printf '%s\n' "$@"; else known_hosts_of_bastion; fi >"$work/names"
    all_lines >"$work/lines"
    # The fingerprints of all keys at once, each told by the name behind its key.
    awk '{ print $3, $4, $1 }' "$work/lines" | ssh-keygen -l -f - >"$work/prints" 2>/dev/null
    listening_here >"$work/listening"
    awk -v machine="$machine" -v account="$([ "$plain" = 0 ] || echo "$me")" '
        function added(list, sign, word) { return list (list == "" ? "" : sign) word }
        at == "listening" { split($2, part, ":"); listening[part[2]] = 1 }
        at == "prints" { prints[$3] = added(prints[$3], " ", $2) }
        at == "lines" {
            keys[$1] = added(keys[$1], ";", $3 " " $4)
            count = split($2, port, ",")
            for (i = 1; i <= count; i++) {
                if (seen[$1, port[i]]++) continue
                ports[$1] = added(ports[$1], ",", port[i])
                if (sprintf("%04X", port[i]) in listening) holds[$1] = added(holds[$1], ",", port[i])
            }
        }
        at == "names" {
            if (holds[$1] != ports[$1]) away = 1
            if (machine == 1)
                printf "host\t%s\taccount=%s\tports=%s\tholds=%s\tkeys=%s\tprints=%s\n", $1,
                    (account == "" ? "t-" $1 : account), ports[$1], holds[$1], keys[$1], prints[$1]
            else
                printf "%-28s %-20s %-20s %s\n", $1, ports[$1], (holds[$1] == "" ? "-" : holds[$1]), prints[$1]
        }
        END { exit away }
    ' at=listening "$work/listening" at=prints "$work/prints" at=lines "$work/lines" at=names "$work/names"
}

# make_lines: the line of each of the host's keys, in t_lines.
make_lines() {
    t_lines='' t_permits=''
    for port in $(echo "$t_ports" | tr ',' ' '); do
        t_permits="$t_permits${t_permits:+,}permitlisten=\"localhost:$port\",permitopen=\"localhost:$port\""
    done
    while IFS= read -r t_public; do
        [ -n "$t_public" ] || continue
        id_of_key "$t_public"
        t_key_id=$key_id
        t_lines="$t_lines${t_lines:+$newline}$(text_line)"
    done <<TXT
$t_publics
TXT
}

group_is() { getent group scitex-ssh >/dev/null; }
put_group() { groupadd --system scitex-ssh; }

# made_as ACCOUNT HOME: it exists as it was made.
made_as() {
    entry=$(getent passwd "$1") || return 1
    case $entry in *":$2:/bin/sh") ;; *) return 1 ;; esac
    # No password: neither one that fits, nor a lock, which sshd would heed without PAM.
    [ "$me" != root ] || [ "$(getent shadow "$1" | cut -d: -f2)" = '*' ]
}
# make_as ACCOUNT HOME WORDS OPTION...: sshd runs a forced command by the login shell, so that must be one.
make_as() {
    made=$1 where=$2 words=$3
    shift 3
    if id -u "$made" >/dev/null 2>&1; then
        usermod -s /bin/sh -d "$where" -p '*' "$made"
    else
        useradd --system -M -d "$where" -s /bin/sh -p '*' -c "$words" "$@" "$made"
    fi
}
prover_is() { made_as scitex-ssh "$homes" && [ "$(id -gn scitex-ssh)" = scitex-ssh ]; }
put_prover() { make_as scitex-ssh "$homes" "scitex-ssh" -g scitex-ssh; }

is_ours() { case " $(id -Gn "$1" 2>/dev/null) " in *" scitex-ssh "*) ;; *) return 1 ;; esac; }
account_is() { is_ours "$t_account" && made_as "$t_account" "$t_home"; }
put_account() { make_as "$t_account" "$t_home" "scitex-ssh $t_name" -U -G scitex-ssh; }
account_is_gone() { ! id -u "$t_account" >/dev/null 2>&1 && ! getent group "$t_account" >/dev/null; }
drop_account() {
    if id -u "$t_account" >/dev/null 2>&1; then userdel "$t_account" || return; fi
    ! getent group "$t_account" >/dev/null || groupdel "$t_account"
}

# Where logind gives each account a slice, the account's processes have a limit: a stolen key that opens one
# connection after another takes its own host's room, and nobody else's.
limit_file() { uid=$(id -u "$t_account" 2>/dev/null) && echo "/etc/systemd/system/user-$uid.slice.d/50-scitex-ssh.conf"; }
limit_text() { printf '# Written by scitex-ssh for %s.\n[Slice]\nTasksMax=64\nMemoryMax=256M\n' "$t_account"; }
limit_is() {
    [ -d /run/systemd/system ] || return 0
    file=$(limit_file) && file_is "$file" 644 root:root limit_text
}
put_limit() {
    file=$(limit_file) && put_folder "${file%/*}" 755 root:root && put_file "$file" 644 root:root limit_text && limits_owed=1
}
# Its number is known as long as the account is.
limit_is_gone() { file=$(limit_file) || return 0 && nothing_at "${file%/*}"; }
drop_limit() { file=$(limit_file) && clear_away "${file%/*}" && limits_owed=1; }
# settle_limits: systemd hears of them once for all hosts, since each time takes it long.
settle_limits() {
    [ -n "${limits_owed-}" ] && [ -d /run/systemd/system ] || return 0
    limits_owed=
    said=$(reload_units 2>&1) || problem bastion-step title="limits of the hosts' processes" why="${said:-it said nothing}"
}

# put_key_file OWNER: what the sessions of the line before were allowed, the new one may not allow.
put_key_file() {
    former=
    [ ! -e "$t_key_file" ] || former=1
    put_file "$t_key_file" 640 "$1" text_key_file || return
    [ -z "$former" ] || [ "$keep" = 1 ] || cut_sessions
}
# Those that the line before let in; the host itself is back at once, by the new one. Twice, for one that was let
# in just before.
cut_sessions() {
    for _ in 1 2; do
        # shellcheck disable=SC2046  # numbers
        no_sessions || kill -KILL $(processes) 2>/dev/null
        sleep 0.3 2>/dev/null || sleep 1
    done
    forgive_manager
}

# processes: those of the account. (The folder in /proc of a session is root's, for it is not dumpable.)
processes() {
    uid=$(id -u "$t_account" 2>/dev/null) || return 0
    grep -lE "^Uid:[[:space:]]+${uid}[[:space:]]" /proc/[0-9]*/status 2>/dev/null | sed 's|^/proc/\([0-9]*\)/.*|\1|'
}
no_sessions() { [ -z "$(processes)" ]; }
# Twice none: one that was let in just before the key went may not be the account's yet.
end_sessions() {
    quiet=0 tries=0
    while [ "$quiet" -lt 2 ] && [ "$tries" -lt 50 ]; do
        tries=$((tries + 1))
        # shellcheck disable=SC2046  # numbers
        if no_sessions; then quiet=$((quiet + 1)); else quiet=0 && kill -KILL $(processes) 2>/dev/null; fi
        sleep 0.2 2>/dev/null || sleep 1
    done
    forgive_manager
    no_sessions
}
# logind had given the account a manager of its own, which did not expect to be killed.
forgive_manager() {
    [ ! -d /run/systemd/system ] || systemctl -q reset-failed "user@$(id -u "$t_account").service" 2>/dev/null || :
}

ports_are_free() { for port in $(echo "$t_ports" | tr ',' ' '); do ! listens_here "$port" || return 1; done; }
wait_ports_free() {
    tries=0
    until ports_are_free; do
        tries=$((tries + 1))
        if [ "$tries" -ge 25 ]; then
            echo "something listens on port $port"
            return 1
        fi
        sleep 0.2 2>/dev/null || sleep 1
    done
}

# On a plain account every process is the same user's: which session is the host's, its hold has written down.
plain_keys_text() { [ -z "$t_lines" ] || printf '%s\n' "$t_lines"; }
plain_keys_are() { if [ -z "$t_lines" ] && nothing_at "$1"; then return 0; fi && file_is "$@"; }
notes_of() {
    for port in $(echo "$t_ports" | tr ',' ' '); do
        for id in $t_ids; do echo "$t_home/.cache/scitex-ssh/$(uname -n)-$port-$id"; done
    done
}
held_by_note() { [ -r "$1" ] && read -r pid start _ <"$1" && [ "$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d' ' -f20)" = "$start" ]; }
no_plain_session() { for note in $(notes_of); do ! held_by_note "$note" || return 1; done; }
end_plain_session() {
    for note in $(notes_of); do
        if held_by_note "$note"; then kill "$pid"; fi
        rm -f "$note"
    done
}
