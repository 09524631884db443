# What the configuration says of tunnels on this machine. A shell cannot read YAML, so it reads a small part
# of it, and refuses a file with anything else in it: that may be a deny.

system_policy=/etc/scitex-ssh/config.yaml

# fault WHERE WHY: why the file is not understood, and 1.
fault() {
    place=$1 why=$2
    return 1
}

# verdict_in WHERE TEXT: "action: verdict" into $action and $found, each action once in its mapping.
verdict_in() {
    action=${2%%:*} found=${2#*: }
    case $found in \"*\") found=${found#\"} found=${found%\"} ;; \'*\') found=${found#\'} found=${found%\'} ;; esac
    case $action in
    tunnels | exec | copy | attach | forward) ;;
    *) fault "$1" "line $number is not understood" || return ;;
    esac
    case $2 in "$action: "*) ;; *) fault "$1" "line $number is not understood" || return ;; esac
    case $found in allow | deny) ;; *) fault "$1.$action" "$(quoted "$found") is neither allow nor deny" || return ;; esac
    case $seen in *" $1.$action "*) fault "$1.$action" "'$action' is there twice" || return ;; esac
    seen="$seen$1.$action "
    [ "$action" = tunnels ] || return 0
    case $1 in
    default) default=$found ;;
    *)
        # A deny of any name of this machine counts.
        case " $names " in *" $host "*) [ "$for_host" = deny ] || for_host=$found at_host=$1.tunnels ;; esac
        ;;
    esac
}

# verdicts_in WHERE TEXT: the same of "{action: verdict, ...}".
verdicts_in() {
    list=${2#\{} list=${list%\}}
    case $list in *[!\ ]*) ;; *) return 0 ;; esac
    while :; do
        item=${list%%,*}
        item=${item#"${item%%[! ]*}"} item=${item%"${item##*[! ]}"}
        verdict_in "$1" "$item" || return
        case $list in *,*) list=${list#*,} ;; *) return 0 ;; esac
    done
}

# name_in TEXT: the name of a host, without its quotes, into $name and (in small letters) $host.
name_in() {
    name=$1
    case $1 in \"*\") name=${1#\"} name=${name%\"} ;; \'*\') name=${1#\'} name=${name%\'} ;; esac
    case $name in '' | *[!A-Za-z0-9_.:-]*) fault hosts "line $number is not understood" || return ;; esac
    case $seen in *" hosts.$name "*) fault "hosts.$name" "'$name' is there twice" || return ;; esac
    seen="$seen""hosts.$name "
    host=$(printf %s "$name" | tr '[:upper:]' '[:lower:]')
}

# top_line TEXT: a line that begins at its left edge.
top_line() {
    key=${1%%:*} rest=${1#"${1%%:*}"} section=
    case $key in
    default | hosts | bastion | key | keeper | keepalive | on_up | on_down) ;;
    *) fault '' "line $number is not understood" || return ;;
    esac
    case $seen in *" $key "*) fault '' "line $number: '$key' is there twice" || return ;; esac
    seen="$seen$key "
    case $key:$rest in
    default:: | hosts::) section=$key outer='' inner='' ;;
    default:": {"*"}") verdicts_in default "${rest#: }" ;;
    hosts:": {}") ;;
    default:* | hosts:*) fault "$key" "line $number is not understood" ;;
    *:": "[A-Za-z0-9_./~]*)
        # A colon and a blank within would make it a mapping.
        case ${rest#: } in *": "* | *:) fault "$key" "line $number is not understood" ;; esac
        ;;
    *:": \""*\" | *:": '"*\')
        rest=${rest#: ?}
        case ${rest%?} in '' | *[\"\'\\]*) fault "$key" "line $number is not understood" ;; esac
        ;;
    *) fault "$key" "line $number is not understood" ;;
    esac
}

# inner_line INDENT TEXT: a line below default or hosts.
inner_line() {
    case $section in
    default)
        [ "${outer:=$1}" = "$1" ] || fault default "line $number is not understood" || return
        verdict_in default "$2"
        ;;
    hosts)
        if [ "${outer:=$1}" = "$1" ]; then
            inner=
            case $2 in
            *": {"*"}") name_in "${2%%: \{*}" && verdicts_in "hosts.$name" "{${2#*: \{}" && inner=none ;;
            *:) name_in "${2%:}" ;;
            *) fault hosts "line $number is not understood" ;;
            esac
        elif [ ${#1} -gt ${#outer} ] && [ "${inner:=$1}" = "$1" ]; then
            verdict_in "hosts.$name" "$2"
        else
            fault hosts "line $number is not understood"
        fi
        ;;
    *) fault '' "line $number is not understood" ;;
    esac
}

# read_policy FILE: allow, deny or nothing into $verdict, and where it stands into $place; or 1, with $place and $why.
read_policy() {
    verdict='' place='' why='' seen=' ' section='' number=0 default='' for_host='' at_host='' name=''
    if [ ! -f "$1" ] || ! (: <"$1") 2>/dev/null; then
        why=unreadable
        return 1
    fi
    [ "$(tr -d '\12\15\40-\176\200-\377' <"$1" | wc -c)" -eq 0 ] || fault '' "it holds a tab or a control character" || return
    while IFS= read -r line || [ -n "$line" ]; do
        number=$((number + 1))
        line=${line%"$(printf '\r')"}
        case $line in *[!\ ]*) ;; *) continue ;; esac
        indent=${line%%[! ]*}
        text=${line#"$indent"}
        case $text in \#*) continue ;; esac
        text=${text%%" #"*}
        text=${text%"${text##*[! ]}"}
        case $text in *[!\ -~]*) fault '' "line $number is not understood" || return ;; esac
        case $number:$line in 1:---) continue ;; esac
        if [ -z "$indent" ]; then top_line "$text"; else inner_line "$indent" "$text"; fi || return
    done <"$1"
    verdict=${for_host:-$default}
    place=${at_host:-default.tunnels}
}

user_policy() {
    case ${SCITEX_SSH_CONFIG-} in
    '') printf '%s/.scitex/ssh/config.yaml' "${HOME:-$(home_of "$me")}" ;;
    "~/"*) printf '%s/%s' "${HOME:-$(home_of "$me")}" "${SCITEX_SSH_CONFIG#??}" ;;
    *) printf %s "$SCITEX_SSH_CONFIG" ;;
    esac
}

# ask_policy FILE WHO: 1 and a problem where it denies, or is not understood; $granted where it allows.
ask_policy() {
    folder=${1%/*}
    if [ ! -e "$1" ] && [ ! -L "$1" ]; then
        [ ! -d "$folder" ] || [ -x "$folder" ] || problem policy-unreadable path="$1" why="permission denied"
        return
    fi
    if ! read_policy "$1"; then
        case $why in
        unreadable) problem policy-unreadable path="$1" why="it is no plain file that $me can read" ;;
        *) problem policy-broken path="$1" why="${place:+$place: }$why" ;;
        esac
        return
    fi
    case $verdict in
    allow) granted=1 ;;
    deny) problem policy-denied action=tunnels host="${names%% *}" path="$1" place="$place" who="$2" ;;
    esac
}

# not_denied: no file denies tunnels here. What made this program may have looked ($granted), and as root only
# the administrator's file is looked at again: the caller's own was, before.
not_denied() {
    [ -z "$granted" ] || return 0
    names=${this_host:=$(uname -n)}
    case $names in *[[:upper:]]*) names=$(printf '%s' "$names" | tr '[:upper:]' '[:lower:]') ;; esac
    case $names in *.*) names="${names%%.*} $names" ;; esac
    ask_policy "$system_policy" "the administrator of this machine" || return
    if [ -n "${SCITEX_SSH_ROOTED-}${SCITEX_SSH_DETACHED-}" ]; then
        granted=1
    else
        ask_policy "$(user_policy)" "its owner" || return
        granted=${granted:-unset}
    fi
}

# consented: a policy allows it, or somebody says yes to it.
consented() {
    if [ "$granted" = 1 ] || [ "$yes" = 1 ] || [ -n "${SCITEX_SSH_ROOTED-}${SCITEX_SSH_DETACHED-}" ]; then return; fi
    if [ "$machine" = 0 ] && [ -t 0 ] && [ -t 2 ]; then
        text_notice >&2
        printf '%s [y/n] ' "$(text_question)" >&2
        read -r said
        case $said in
        [yY] | [yY][eE][sS])
            record allow || :
            return 0
            ;;
        [nN] | [nN][oO]) record deny ;;
        esac
    fi
    problem policy-unset action=tunnels host="$(uname -n)"
}

# record VERDICT: the answer, where there is no file yet: to change one takes more than a shell.
record() {
    file=$(user_policy)
    if [ -e "$file" ] || [ -L "$file" ]; then
        say "To be asked no more, write into $file:  default: {tunnels: $1}"
    else
        mkdir -p "${file%/*}" && printf 'default:\n  tunnels: %s\n' "$1" >"$file" && say "Written down in $file."
    fi
}
