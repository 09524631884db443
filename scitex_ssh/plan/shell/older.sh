# Tunnels that other tools or people made, as they stand in units, crontabs and the files of a boot or a login. One of
# them is told by four lines: its kind (systemd, systemd-user, cron, login), the user whom it runs as, its place (a
# file, or "crontab") and the command.
older_units="/etc/systemd/system /usr/local/lib/systemd/system"
older_tables="/etc/crontab /etc/cron.d/*"
older_boots="/etc/rc.local /etc/rc.d/rc.local"
older_mark="# before scitex-ssh: "
tab=$(printf '\t')

# older_commands: the commands there that call ssh or autossh, a line each, with tabs between the four.
older_commands() {
    for folder in $older_units; do
        for unit in "$folder"/*.service; do unit_command systemd "$unit"; done
    done
    (
        for t_user in $(whose); do
            t_name=
            own_places
            for unit in "$t_config"/systemd/user/*.service; do unit_command systemd-user "$unit"; done
            { block_files && echo "$t_config/fish/config.fish"; } | while IFS= read -r file; do login_file "$t_user" "$file"; done
        done
    )
    for file in $older_boots; do login_file root "$file"; done
    for table in $older_tables; do
        place=$table
        [ ! -f "$table" ] || cron_commands yes "$place" <"$table"
    done
    ! have crontab || for owner in $(whose); do crontab_of "$owner" 2>/dev/null | cron_commands "" "crontab of $owner"; done
}
# crontab_of USER: its lines; another's only for root.
crontab_of() {
    if [ "$1" = "$me" ]; then
        read_crontab
    elif [ "$me" = root ]; then
        crontab -u "$1" -l
    fi
}
# unit_command KIND FILE: ours say so. Of a template, each of its units.
unit_command() {
    [ -f "$2" ] && ! is_of_package "$2" && ! grep -q '^# Written by scitex-ssh' "$2" || return 0
    case $2 in
    *@.service)
        units_of_template "$@" | while IFS= read -r unit; do tell_unit "$1" "$2" "$unit"; done
        ;;
    *) tell_unit "$1" "$2" "${2##*/}" ;;
    esac
}
# Another name of what came with the system.
is_of_package() { [ -L "$1" ] && case $(readlink "$1") in /lib/systemd/* | /usr/lib/systemd/*) ;; *) false ;; esac }
# units_of_template KIND FILE: those that are enabled or run, and have no file of their own.
units_of_template() {
    older_kind=$1 older_user=${t_user-} stem=${2%.service}
    {
        for known in "${2%/*}"/*.wants/"${stem##*/}"?*.service; do [ ! -L "$known" ] || echo "${known##*/}"; done
        older_manager list-units --state=active,activating,reloading --plain --no-legend "${stem##*/}*.service" 2>/dev/null </dev/null | cut -d' ' -f1
    } | sort -u | while IFS= read -r unit; do
        case $unit in "${stem##*/}"?*.service) [ -f "${2%/*}/$unit" ] || printf '%s\n' "$unit" ;; esac
    done
}
# tell_unit KIND FILE UNIT
tell_unit() {
    unit_file=$2 unit_kind=$1
    # Specifiers mean the manager's user, not the unit's.
    if [ "$1" = systemd-user ]; then manager_is=$t_user; else manager_is=root; fi
    runs_as=$(joined "$2" | sed -n 's/^[[:space:]]*User=//p' | tail -n 1 | unit_words root "$3")
    if [ "$1" = systemd-user ] || [ -z "$runs_as" ]; then runs_as=$manager_is; fi
    joined "$2" | sed -n 's/^[[:space:]]*ExecStart=[-@:+!]*//p' | unit_words "$manager_is" "$3" |
        with_values "$(unit_values "$2" "$manager_is" "$3")" |
        calls_ssh | while IFS= read -r line; do tell "$unit_kind" "$runs_as" "${unit_file%/*}/$3" "$line"; done
}
# A command that goes on in the next line, as one; systemd's own characters for what is meant.
joined() { sed -e :more -e '/\\$/!b' -e N -e 's/\\\n/ /' -e 'b more' "$1"; }
# unit_words USER UNIT: systemd's specifiers, for what they mean in that unit of that user's manager.
unit_words() {
    case $2 in *@*) instance=${2#*@} ;; *) instance=.service ;; esac
    instance=${instance%.service}
    tr '\t' ' ' | USER_IS=$1 HOME_IS=$(home_of "$1") UNIT=${2%.service} INSTANCE=$instance PATH_OF=$(unescaped "$instance") awk '
        BEGIN {
            means["%"] = "%"; means["h"] = ENVIRON["HOME_IS"]; means["u"] = ENVIRON["USER_IS"]
            means["i"] = ENVIRON["INSTANCE"]; means["I"] = ENVIRON["PATH_OF"]
            means["N"] = ENVIRON["UNIT"]; means["n"] = ENVIRON["UNIT"] ".service"
            means["p"] = ENVIRON["UNIT"]; sub(/@.*/, "", means["p"])
        }
        {
            line = ""
            for (rest = $0; (at = index(rest, "%")) > 0; rest = substr(rest, at + 2)) {
                letter = substr(rest, at + 1, 1)
                line = line substr(rest, 1, at - 1) (letter in means ? means[letter] : "%" letter)
            }
            print line rest
        }'
}
# As systemd-escape -u: "-" is a slash, and what has no letter is written \x2d.
unescaped() {
    case $1 in
    *\\*) systemd-escape -u -- "$1" 2>/dev/null || printf '%s' "$1" ;;
    *) printf '%s' "$1" | tr - / ;;
    esac
}
# unit_values FILE USER UNIT: its environment, NAME=VALUE a line; of files only those that we may read.
unit_values() {
    joined "$1" | sed -n 's/^[[:space:]]*Environment=//p' | unit_words "$2" "$3" | xargs -r -n 1 printf '%s\n' 2>/dev/null
    joined "$1" | sed -n 's/^[[:space:]]*EnvironmentFile=-\{0,1\}//p' | unit_words "$2" "$3" | while IFS= read -r values; do
        cat "$values" 2>/dev/null
    done | grep -E '^[A-Za-z_][A-Za-z0-9_]*='
}
# with_values VALUES: $NAME and ${NAME} in the lines that it reads, replaced.
with_values() {
    VALUES=$1 awk '
        BEGIN {
            count = split(ENVIRON["VALUES"], lines, "\n")
            for (i = 1; i <= count; i++) {
                at = index(lines[i], "=")
                value = substr(lines[i], at + 1)
                if (value ~ /^".*"$/ || value ~ /^\047.*\047$/) value = substr(value, 2, length(value) - 2)
                if (at > 1) means[substr(lines[i], 1, at - 1)] = value
            }
        }
        {
            line = ""
            rest = $0
            while (match(rest, /\$([A-Za-z_][A-Za-z0-9_]*|[{][A-Za-z_][A-Za-z0-9_]*[}])/)) {
                name = word = substr(rest, RSTART, RLENGTH)
                gsub(/[^A-Za-z0-9_]/, "", name)
                line = line substr(rest, 1, RSTART - 1) (name in means ? means[name] : word)
                rest = substr(rest, RSTART + RLENGTH)
            }
            print line rest
        }'
}
calls_ssh() { grep -E "(^|[[:space:]/\"'])(auto)?ssh[[:space:]]"; }

# cron_commands HAS_USER PLACE: of the crontab that it reads, without the times, nor what stands behind a % for the
# command to read (\% is one).
cron_commands() {
    PLACE=$2 awk -v has_user="$1" -v user_of="${2##* }" '
        /^[ \t]*(#|$)/ || /^[ \t]*["\047]?[A-Za-z_][A-Za-z0-9_]*["\047]?[ \t]*=/ { next }
        {
            user = user_of
            sub(/^[ \t]+/, "")
            for (times = /^@/ ? 1 : 5; times > 0; times--) if (!sub(/^[^ \t]+[ \t]+/, "")) next
            if (has_user) {
                user = $1
                if (!sub(/^[^ \t]+[ \t]+/, "")) next
            }
            gsub(/\\%/, "\001")
            sub(/%.*/, "")
            gsub(/\001/, "%")
            gsub(/\t/, " ")
            if (user ~ /^[A-Za-z_][A-Za-z0-9_.-]*$/) print "cron\t" user "\t" ENVIRON["PLACE"] "\t" $0
        }' | calls_ssh
}

# login_file USER FILE: the commands of a file that a boot or a login runs.
login_file() {
    place=$2
    [ ! -f "$2" ] || [ ! -r "$2" ] || login_commands "$1" "$place" <"$2"
}
# login_commands USER PLACE: of the lines that it reads, but for those that only name a command (an alias, a function) and
# for what was set aside.
login_commands() {
    joined - | OWNER=$1 PLACE=$2 awk '
        inside { if ($0 ~ /^[ \t]*[}]/ || $0 ~ /^end/) inside = 0; next }
        /^[ \t]*(#|$)/ || /^[ \t]*:([ \t]|$)/ || /^[ \t]*(alias|abbr|export|set|echo|printf)[ \t]/ { next }
        /^[ \t]*(function[ \t]+[A-Za-z_]|[A-Za-z_][A-Za-z0-9_.:-]*[ \t]*[(][)])/ { inside = $0 !~ /[}][ \t;]*$/; next }
        {
            sub(/^[ \t]+/, "")
            gsub(/\t/, " ")
            if (sub(/^[({] */, "")) sub(/ *;? *[)}] *&? *$/, "")
            print "login\t" ENVIRON["OWNER"] "\t" ENVIRON["PLACE"] "\t" $0
        }' | calls_ssh
}

# take_older KIND USER PLACE COMMAND: that one is the current one, in $older_... False where it is no tunnel from a
# port of a bastion.
take_older() {
    older_kind=$1 older_user=$2 older_place=$3 older_command=$4
    case $3 in *[![:print:]]*) return 1 ;; esac
    read_command "$4"
}

# read_command COMMAND: as the shell and ssh read it. Into $older_port, $older_target, $older_listen (what -R was told),
# $older_bastion and $older_options (those that lead to the bastion, quoted); $older_alone is empty where it does more.
# $older_by_config tells that there is no -R, and an ssh_config has the forward.
read_command() {
    older_port='' older_target='' older_bastion='' older_listen='' older_options='' older_alone=1 older_by_config='' older_idle=''
    program='' option='' segment=1
    # Run by another account than the file's, whose processes are not looked for.
    case $1 in "su "* | */su\ * | runuser\ * | */runuser\ *) older_alone='' ;; esac
    words=$(words_of "$1")
    while IFS= read -r word; do
        if [ -z "$program" ]; then
            begin_command
        elif [ -n "$option" ]; then
            take_option "$option" "$word"
            option=
        else
            case $word in
            -?*) take_cluster "${word#-}" ;;
            ';' | '&&' | '||' | '|') older_alone='' && break ;;
            '&' | '>'* | '<'* | [0-9]'>'* | '') ;;
            *)
                # Behind it stands a command for the bastion, or the shell's own words.
                case $older_bastion:$word in
                :*) older_bastion=${word%;} ;;
                *) ! printf '%s\n' "$words" | grep -Eqx '.*;|&&?|[|]+' || older_alone='' ;;
                esac
                ;;
            esac
        fi
    done <<EOT
$words
EOT
    case $older_bastion in ssh://*) older_bastion=${older_bastion#ssh://} older_bastion=${older_bastion%/} ;; esac
    if [ -z "$older_listen" ] && [ -n "$older_idle" ] && [ -n "$older_bastion" ]; then listen_by_config; fi
    case $older_listen in
    \[*\]:*:*) rest=${older_listen#\[*\]:} ;;
    *:*:*:*\]:* | *:*:*:*) rest=${older_listen#*:} ;;
    *:*:*) rest=$older_listen ;;
    *) return 1 ;;
    esac
    # "2222:[::1]:22" has no address before its port.
    case $older_listen in [0-9]*:\[*) rest=$older_listen ;; esac
    older_port=${rest%%:*} older_target=${rest#*:}
    case $older_port in '' | *[!0-9]* | ??????*) return 1 ;; esac
    case $older_bastion$older_target in *[!]A-Za-z0-9._:@/%+*[-]*) return 1 ;; esac
    [ -n "$older_bastion" ]
}
# what_config_says: what its ssh would do besides its -R; nothing where we may not ask as its user.
what_config_says() {
    [ "$me" = root ] || [ "$me" = "$older_user" ] || return 0
    (t_user=$older_user && as_user sh -c "exec ssh -G$older_options -- $(shell_word "$older_bastion")") 2>/dev/null </dev/null
}
# listen_by_config: the forward that its ssh_config has, as -R would be told it.
listen_by_config() {
    older_by_config=1
    older_listen=$(what_config_says | sed -n -e '/\[socks\]:0$/d' -e 's/^remoteforward \([^/ ]*\) \([^/ ]*\)$/\1:\2/p' | head -n 1 |
        sed -e 's/\[\([^]:]*\)\]/\1/g')
}
# why_left: why the current one is not taken over, or nothing.
why_left() {
    if [ -z "$older_alone" ]; then
        echo "its command does more than hold this one forward"
        return
    fi
    case $older_kind:$older_by_config in
    cron:1 | login:1)
        echo "its forward stands in an ssh_config, so its ssh cannot be told from others"
        return
        ;;
    login:*)
        if ! line_of_older | grep -q .; then
            echo "its command is not a line of its own"
            return
        fi
        ;;
    esac
    # Of -R nothing is said there, as it is not asked with it.
    [ "$(what_config_says | grep -c -e '^remoteforward ' -e '^localforward ' -e '^dynamicforward ')" = "${older_by_config:-0}" ] ||
        echo "an ssh_config has more forwards for it than this one"
}

# What stands before ssh may only wait, look, or start it.
begin_command() {
    case $word in
    ssh | */ssh) program=ssh && return ;;
    autossh | */autossh) program=autossh && return ;;
    esac
    if [ "$segment" = 1 ]; then
        case ${word##*/} in sleep | pgrep | pidof | flock | nohup | setsid | exec | env | timeout | *=*) ;; *) older_alone= ;; esac
    fi
    segment=0
    case $word in '&&' | '||' | *';' | exec | env | nohup | setsid | *=*) segment=1 ;; esac
}
# words_of COMMAND: a line each, as a shell parts them. One that is a command itself stands for all.
words_of() {
    parted=$(printf '%s\n' "$1" | xargs printf '%s\n' 2>/dev/null) || return
    if ! printf '%s\n' "$parted" | grep -Eqx '(.*/)?(auto)?ssh'; then
        inner=$(printf '%s\n' "$parted" | grep -E '(^|[ /;&|])(auto)?ssh ' | head -n 1)
        [ -z "$inner" ] || parted=$(printf '%s\n' "$inner" | xargs printf '%s\n' 2>/dev/null)
    fi
    printf '%s\n' "$parted"
}
# take_cluster LETTERS: "fNR" with its value in the next word, or behind it.
take_cluster() {
    letters=$1
    while [ -n "$letters" ]; do
        behind=${letters#?} letter=${letters%"${letters#?}"} letters=${letters#?}
        case $program:$letter in
        *:N) older_idle=1 ;;
        autossh:M | *:[BbcDEeFIiJLlmOoPpQRSWw])
            if [ -n "$behind" ]; then take_option "$letter" "$behind"; else option=$letter; fi
            return
            ;;
        esac
    done
}
# take_option LETTER VALUE
take_option() {
    case $1 in
    R) if [ -n "$older_listen" ]; then older_alone=''; else older_listen=$2; fi ;;
    D | L | w) older_alone= ;;
    o)
        case $2 in [Rr][Ee][Mm][Oo][Tt][Ee][Ff]* | [Ll][Oo][Cc][Aa][Ll][Ff]* | [Dd][Yy][Nn][Aa][Mm][Ii][Cc]*) older_alone= ;; esac
        older_options="$older_options -o $(shell_word "$2")"
        ;;
    F | I | J | b | c | i | l | m | p)
        # shellcheck disable=SC2088,SC2016  # as they stand in the text
        case $2 in
        "~/"*) set -- "$1" "$(home_of "$older_user")/${2#??}" ;;
        '$HOME/'*) set -- "$1" "$(home_of "$older_user")/${2#??????}" ;;
        esac
        older_options="$older_options -$1 $(shell_word "$2")"
        ;;
    esac
}
shell_word() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

# older_processes: the ssh of the current one, and what started it and would start it again, the outermost last.
older_processes() {
    sought=$older_listen
    [ -z "$older_by_config" ] || sought=$older_bastion
    grep -lsF -e "$sought" /proc/[0-9]*/cmdline | while IFS= read -r file; do
        process=${file%/cmdline}
        [ "$(stat -c %U "$process" 2>/dev/null)" = "$older_user" ] || continue
        case $({ tr '\000' '\n' <"$file" | head -n 1; } 2>/dev/null) in ssh | */ssh | autossh | */autossh) ;; *) continue ;; esac
        process=${process#/proc/}
        echo "$process"
        while :; do
            process=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$process/status" 2>/dev/null)
            [ "${process:-1}" -gt 1 ] && [ "$process" != $$ ] && grep -qsF -e "$sought" "/proc/$process/cmdline" || break
            case $(cat "/proc/$process/comm" 2>/dev/null) in sh | dash | bash | autossh | flock | timeout) echo "$process" ;; *) break ;; esac
        done
    done | awk '!seen[$0]++'
}

# older_runs: its unit is active; of a crontab's line, an ssh with its -R runs.
older_runs() {
    case $older_kind in
    cron | login) [ -n "$(older_processes)" ] ;;
    *) older_manager -q is-active "${older_place##*/}" 2>/dev/null ;;
    esac
}
older_manager() {
    if [ "$older_kind" = systemd-user ]; then
        (t_user=$older_user && as_user env XDG_RUNTIME_DIR="/run/user/$(id -u "$older_user")" systemctl --user "$@")
    else
        systemctl "$@"
    fi
}

# dial_older: the port of the current one is dialled as its own ssh would reach the bastion.
dial_older() {
    t_user=$older_user t_target=$older_target t_port=$older_port t_hops=0
    t_target_host=${t_target%:*} t_target_port=${t_target##*:}
    t_target_host=${t_target_host#\[} t_target_host=${t_target_host%\]}
    t_dial=localhost
    t_stage=$(mktemp -d "$work/older.XXXXXX") && chmod 755 "$t_stage"
    : >"$t_stage/errors"
    # "-W ADDRESS bastion" are the words that it is called with.
    echo "exec ssh -o BatchMode=yes -o ConnectTimeout=10 -o ControlMaster=no -o ControlPath=none$older_options \"\$1\" \"\$2\" -- $(shell_word "$older_bastion")" \
        >"$t_stage/way"
    dial older "$t_dial"
}

# weigh_older: level and detail of the current one. That its process runs is no proof, and a port that answers with this
# host's own key is one.
weigh_older() {
    runs=
    if older_runs; then runs=1; fi
    if [ "$me" = root ] || [ "$me" = "$older_user" ]; then dial_older; else dialled=unasked; fi
    case $dialled:$runs in
    mine:*) level=verified detail="answers with this host's own key" ;;
    open:1) level=verified detail="opens a connection to the target" ;;
    unasked:1) level=running detail="only $older_user and root can prove it" ;;
    forbidden:1) level=running detail="the bastion does not let its key dial the port back" ;;
    lost:1) level=running detail="the bastion cannot be asked: $(last_words "$spot/way")" ;;
    other:*) level=down cause=wrong-host detail="another machine answers there" ;;
    *:1) level=down cause=not-up detail="its ssh runs, but the port does not lead here" ;;
    *) level=down cause=keeper-stopped detail="it does not run" ;;
    esac
    left=$(why_left)
    detail="made elsewhere, in $older_place; $detail${left:+; setup leaves it: $left}"
}

# older_records [PORT]: a record of status for each of them, or for the one on that port.
older_records() {
    older_commands >"$work/commands"
    number=0
    while IFS=$tab read -r kind user place command; do
        # Those have a name of ours, and are looked at by it.
        case $place in "${older_units%% *}"/autossh-tunnel-*) continue ;; esac
        take_older "$kind" "$user" "$place" "$command" || continue
        [ -z "${1-}" ] || [ "$1" = "$older_port" ] || continue
        number=$((number + 1))
        (trap - EXIT && older_record) >"$work/older.$number" &
    done <"$work/commands"
    wait
    while [ "$number" -gt 0 ]; do
        cat "$work/older.$number"
        number=$((number - 1))
    done | sort -n -k 2
}
older_record() {
    machine=1 cause=
    weigh_older
    tell tunnel "$older_port" level="$level" cause="$cause" detail="$detail" bastion="$older_bastion" \
        target="$older_target" keeper="$older_kind" forwards="remote localhost:$older_port $older_target" levels="$level" \
        adopted=yes since= restarts=0 user="$older_user" error= error_at= next_retry= uptime= take_back= engine= key=
}

# older_on PORT: where a tunnel of others is that has that port of some bastion.
older_on() {
    older_commands | while IFS=$tab read -r kind user place command; do
        if take_older "$kind" "$user" "$place" "$command" && [ "$older_port" = "$1" ]; then echo "$older_place"; fi
    done | head -n 1
}
# why_left_on PORT: the reason of that one, in brackets.
why_left_on() {
    older_commands | while IFS=$tab read -r kind user place command; do
        if take_older "$kind" "$user" "$place" "$command" && [ "$older_port" = "$1" ]; then why_left | sed 's/.*/ (&)/'; break; fi
    done
}

# The way from there to here: "former.sh" with one of those as the former keeper, in $t_older.

# find_older: the one that has a port which is wanted, on the same bastion, and does nothing else.
find_older() {
    t_older=
    [ -z "$t_former" ] && [ "$t_keeper" != foreground ] || return 0
    older_commands >"$work/commands"
    while IFS=$tab read -r kind user place command; do
        [ "$place" != "$t_unit_file" ] && take_older "$kind" "$user" "$place" "$command" && [ -n "$older_alone" ] || continue
        case "$t_forward_notes$newline" in *"# forward: remote "*":$older_port "*) ;; *) continue ;; esac
        is_same_bastion && [ -z "$(why_left)" ] || continue
        t_older=$kind$newline$user$newline$place$newline$command t_former="older -"
        case $kind:$place in login:/etc/*) ;; systemd-user:* | cron:"crontab of "* | login:*) t_former="older $user" ;; esac
        ! older_runs || break
    done <"$work/commands"
}
# By what its ssh would do, and by the addresses: a person may call it otherwise.
is_same_bastion() {
    says=$(what_config_says)
    host=$(printf '%s\n' "$says" | sed -n 's/^hostname //p') port=$(printf '%s\n' "$says" | sed -n 's/^port //p')
    [ "${port:-22}" = "$t_bastion_port" ] || return 1
    [ "$host" != "$t_bastion_host" ] || return 0
    have getent && addresses_of "$host" | grep -qFx -e "$(addresses_of "$t_bastion_host")"
}
addresses_of() { getent ahosts "$1" | cut -d' ' -f1 | sort -u; }

# recall_older: from $t_older.
recall_older() {
    { read -r kind && read -r user && IFS= read -r place && IFS= read -r command; } <<EOT
$t_older
EOT
    take_older "$kind" "$user" "$place" "$command"
}

# older_part snapshot|retire|drop|restore FOLDER: as "former_part", by whoever may.
older_part() {
    old=$2
    recall_older
    case $1:$older_kind in
    snapshot:*) snapshot_older ;;
    retire:cron | retire:login) [ -s "$old/line" ] && : >"$old/retired" && swap_line "$(cat "$old/line")" "$(aside_of_older)" && end_older ;;
    retire:*)
        : >"$old/retired"
        older_manager -q stop "${older_place##*/}" && older_manager -q disable "${older_place##*/}"
        ;;
    drop:cron | drop:login) rm -rf "$old" ;;
    drop:*)
        rm -rf "$old"
        if [ -e "$older_place" ] || [ -L "$older_place" ]; then mv -f "$older_place" "$older_place.before-scitex-ssh"; fi
        older_manager daemon-reload
        # autossh fails when it is stopped.
        older_manager reset-failed "${older_place##*/}" 2>/dev/null || :
        ;;
    restore:*)
        [ ! -e "$old/retired" ] || restore_older
        rm -rf "$old"
        ;;
    esac
}
snapshot_older() {
    mkdir -p "$old"
    if older_runs; then : >"$old/active"; fi
    case $older_kind in
    cron | login) line_of_older >"$old/line" && [ -s "$old/line" ] ;;
    *)
        # A unit of a template has no file, which stays for the others.
        [ ! -e "$older_place" ] || cp -a "$older_place" "$old/unit"
        [ "$(older_manager is-enabled "${older_place##*/}" 2>/dev/null)" != enabled ] || : >"$old/enabled"
        ;;
    esac
}
restore_older() {
    case $older_kind in
    cron | login)
        swap_line "$(aside_of_older)" "$(cat "$old/line")" || echo "$older_place is not as it was" >&2
        [ ! -e "$old/active" ] || older_runs || start_older
        ;;
    *)
        [ -e "$older_place" ] || [ ! -e "$old/unit" ] || cp -a "$old/unit" "$older_place"
        older_manager daemon-reload
        [ ! -e "$old/enabled" ] || older_manager -q enable "${older_place##*/}"
        [ ! -e "$old/active" ] || older_manager start "${older_place##*/}"
        ;;
    esac
}
# As cron would.
start_older() {
    apart=
    ! have setsid || apart=setsid
    # shellcheck disable=SC2086  # nothing, where there is none
    (t_user=$older_user && cd "$(home_of "$t_user")" && as_user env HOME="$(home_of "$t_user")" LOGNAME="$t_user" PATH=/usr/bin:/bin $apart \
        sh -c "$older_command" </dev/null >/dev/null 2>&1 6>&- 7>&- 9>&- &)
}
end_older() {
    for signal in TERM TERM TERM KILL; do
        # The outermost first, which would start it again.
        # shellcheck disable=SC2046  # the processes, one each
        kill -s "$signal" $(older_processes | sed '1!G;h;$!d') 2>/dev/null
        for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            older_runs || return 0
            sleep 0.1 2>/dev/null || sleep 1
        done
    done
    echo "its ssh does not end" >&2
    return 1
}

# Its line as it is set aside. In a shell's file it stays a command, which an "if" around it may need.
aside_of_older() { printf '%s%s%s' "$(case $older_kind in login) echo ': ' ;; esac)" "$older_mark" "$(cat "$old/line")"; }

# The crontab or file that holds the current one, and its line there.
table_of_older() { case $older_place in /*) cat "$older_place" ;; *) crontab_of "$older_user" ;; esac; }
line_of_older() {
    case $older_kind:$older_place in
    login:*) set -- login_commands "$older_user" "$older_place" ;;
    *:/*) set -- cron_commands yes "$older_place" ;;
    *) set -- cron_commands "" "$older_place" ;;
    esac
    table_of_older | grep ssh | while IFS= read -r line; do
        if [ "$(printf '%s\n' "$line" | "$@")" = "$older_kind$tab$older_user$tab$older_place$tab$older_command" ]; then
            printf '%s\n' "$line"
            break
        fi
    done
}
# swap_line OLD NEW: the first such line of that crontab, and no other.
swap_line() {
    swap=$(mktemp -d "${work:-/tmp}/older.XXXXXX") && table_of_older >"$swap/old" || return
    swapped=0
    while IFS= read -r line || [ -n "$line" ]; do
        if [ "$line" = "$1" ] && [ "$swapped" = 0 ]; then line=$2 swapped=1; fi
        # cron takes no crontab whose last line does not end.
        printf '%s\n' "$line"
    done <"$swap/old" >"$swap/new"
    if [ "$swapped" = 0 ]; then
        echo "its line is not in $older_place any more" >&2
        code=1
    else
        code=0
        put_table "$swap/new" || code=1
    fi
    rm -rf "$swap"
    return "$code"
}
put_table() {
    case $older_place in [!/]*)
        crontab "$1"
        return
        ;;
    esac
    # Often a link to where a person keeps such files. A name with a dot is none that cron reads.
    table=$(readlink -f "$older_place") && cp -p "$table" "$table.new.$$" && cat "$1" >"$table.new.$$" && mv -f "$table.new.$$" "$table"
}
