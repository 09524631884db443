# What a tunnel forwards: t_forwards, a line each ("remote localhost:2222 localhost:22"). One of them is the
# current one, whose parts are in t_kind, t_listen, t_target and so on; at rest that is the first.

# each_forward COMMAND...: runs it with each forward as the current one, until one fails; then the first is it again.
each_forward() {
    each=0 each_code=0
    while [ "$each" -lt "$t_count" ]; do
        each=$((each + 1))
        current_forward "$each"
        "$@" || { each_code=$?; break; }
    done
    current_forward 1
    return "$each_code"
}

count_forwards() {
    t_count=0
    while IFS= read -r counted; do [ -z "$counted" ] || t_count=$((t_count + 1)); done <<EOT
$t_forwards
EOT
}

# current_forward NUMBER
current_forward() {
    nth=0
    while IFS=' ' read -r t_kind t_listen t_target; do
        nth=$((nth + 1))
        [ "$nth" != "$1" ] || break
    done <<EOT
$t_forwards
EOT
    split_listen
    t_target_host=${t_target%:*} t_target_port=${t_target##*:}
    t_target_host=${t_target_host#\[} t_target_host=${t_target_host%\]}
    case $t_target in /* | '') t_target_host='' t_target_port='' ;; esac
    case $t_kind in
    remote | socks) t_where="port $t_port of $t_bastion" ;;
    *) t_where="$t_listen here" ;;
    esac
    case $t_kind:$t_listen in
    remote:localhost:* | socks:localhost:*) ;;
    remote:* | socks:*) t_where="$t_listen of $t_bastion" ;;
    esac
    case $t_listen in *:0) t_where="a port that $t_bastion picks" ;; esac
    case $t_kind in
    remote) t_says="$t_where leads to $t_target" ;;
    socks) t_says="$t_where is a SOCKS proxy into this machine's network" ;;
    local) t_says="$t_where leads to $t_target as $t_bastion sees it" ;;
    dynamic) t_says="$t_where is a SOCKS proxy through $t_bastion" ;;
    esac
}

# A socket has no port; its path stands for one in words. t_dial is where it is reached.
split_listen() {
    case $t_listen in
    /*) t_listen_host='' t_port=$t_listen ;;
    *)
        t_listen_host=${t_listen%:*} t_port=${t_listen##*:}
        t_listen_host=${t_listen_host#\[} t_listen_host=${t_listen_host%\]}
        ;;
    esac
    case $t_listen_host in '*' | 0.0.0.0 | ::) t_dial=localhost ;; *) t_dial=$t_listen_host ;; esac
}

on_bastion() { case $t_kind in remote | socks) ;; *) return 1 ;; esac; }

# derive_forwards: everything that the texts and words say of the forwards.
# shellcheck disable=SC2034  # the texts of the program use them
derive_forwards() {
    count_forwards
    t_forward_lines='' t_forward_notes='' t_forwards_json='' t_what='' t_mark=''
    each_forward derive_forward || return
    [ -n "$t_mark" ] || t_mark=$t_name
    t_here=
    case $t_count:$t_kind in 1:remote) t_here=" on this machine" ;; esac
}
derive_forward() {
    case $t_kind in
    remote) line="RemoteForward $t_listen $t_target" ;;
    socks) line="RemoteForward $t_listen" ;;
    local) line="LocalForward $t_listen $t_target" ;;
    dynamic) line="DynamicForward $t_listen" ;;
    esac
    json="{\"kind\": \"$t_kind\", \"listen\": \"$t_listen\", \"target\": \"$t_target\"}"
    t_forward_lines="$t_forward_lines${t_forward_lines:+$newline    }$line"
    t_forward_notes="$t_forward_notes${t_forward_notes:+$newline}# forward: $t_kind $t_listen${t_target:+ $t_target}"
    t_forwards_json="$t_forwards_json${t_forwards_json:+, }$json"
    t_what="$t_what${t_what:+, }$t_says"
    if on_bastion; then
        t_mark="$t_mark${t_mark:+,}$t_port"
        case $t_port in
        /* | 0) ;;
        *)
            if [ "$t_port" -lt 1024 ] && [ "$t_bastion_user" != root ]; then
                problem port-privileged port="$t_port" user="$t_bastion_user"
                return
            fi
            ;;
        esac
    fi
}
newline='
'

# keep_picked: a port that the bastion picked at an earlier set-up is asked for again.
keep_picked() {
    case "$t_forwards$newline" in *:0' '* | *:0"$newline"*) ;; *) return 0 ;; esac
    t_forwards=$(
        number=0
        printf '%s\n' "$t_forwards" | while IFS=' ' read -r kind listen target; do
            number=$((number + 1))
            case $listen in
            *:0)
                was=$(written forward | sed -n "${number}p")
                port=${was#"$kind ${listen%:0}:"}
                port=${port%"${target:+ $target}"}
                case $port in *[!0-9]* | '') ;; *) listen=${listen%:0}:$port ;; esac
                ;;
            esac
            printf '%s\n' "$kind $listen${target:+ $target}"
        done
    )
}

# pick_port: the bastion picks a free port for the current forward, which is from now on this tunnel's. (Asked for anew
# at every start, it would be another one each time.)
pick_port() {
    open_beside "$t_stage/ssh_config" "$t_stage/picked" -R "$t_listen${t_target:+:$t_target}"
    picked=$(sed -n 's/^Allocated port \([0-9]*\) .*/\1/p' "$t_stage/picked")
    close_beside
    if [ -z "$picked" ]; then
        problem forwarding-refused port=0 login="$t_login"
        return
    fi
    t_forwards=$(printf '%s\n' "$t_forwards" | sed "${each}s/:0\( \|\$\)/:$picked\1/")
}

# tunnels_on PORT: the names of the tunnels that are on that port of their bastions, a line each; where there is none, that
# which one would have. With $t_bastion_host those on that bastion alone, which may be none.
tunnels_on() {
    found_names=$(
        {
            on_port "$1" /etc/scitex-ssh/tunnels
            for t_user in $(whose); do
                t_name=
                own_places
                on_port "$1" "$t_config/scitex-ssh/tunnels" | while IFS= read -r folder; do
                    ! grep -qs "^# keeper: .* on $t_host\$" "$folder/ssh_config" || echo "$folder"
                done
            done
            # Of an older tool, or damaged: nothing but its name tells.
            for folder in "/etc/scitex-ssh/tunnels/$1" "/etc/systemd/system/autossh-tunnel-$1.service"; do
                [ -n "$t_bastion_host" ] || [ ! -e "$folder" ] || echo "/$1"
            done
        } | sed 's|.*/||' | sort -u | sort -n
    )
    if [ -n "$found_names" ] || [ -z "$t_bastion_host" ]; then echo "${found_names:-$1}"; fi
}
# on_port PORT FOLDER: the tunnels of the folder that are on it.
on_port() {
    grep -Els "^# forward: (remote|socks) [^ ]*:$1( |\$)" "$2"/*/ssh_config | while IFS= read -r found; do
        if to_bastion <"$found"; then echo "${found%/*}"; fi
    done
}
to_bastion() {
    [ -n "$t_bastion_host" ] || return 0
    address=$(bracketed "$t_bastion_host")
    [ "$t_bastion_port" = 22 ] || address=$address:$t_bastion_port
    if [ -n "$t_bastion_user" ]; then
        grep -Fqx "# bastion: $t_bastion_user@$address"
    else
        grep -q "^# bastion: [^@]*@$(in_pattern "$address")\$"
    fi
}
