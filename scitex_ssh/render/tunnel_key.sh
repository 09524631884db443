# The key of a host's tunnels: $1 is a word, $2 its path (~/ is the home of its user), $3 the user (by default who
# runs this; through sudo, its caller), $4 a comment. Only public halves are ever printed. The words:
#   show  the key that is there           look  that, who the user is, and the host keys of this machine
#   make  one, where there is none        next  one beside it, to take its place
#   take  the next one's place: the former one stays beside it until drop, or comes back by back
set -u
LC_ALL=C
export LC_ALL
me=$(id -un)
user=$3
if [ -z "$user" ]; then
    user=$me
    [ "$me" != root ] || user=${SUDO_USER:-root}
fi
path=$2
# shellcheck disable=SC2088  # a path beginning with these two characters is meant
case $path in "~/"*) path=$(getent passwd "$user" | cut -d: -f6)/${path#??} ;; esac
as_user() {
    if [ "$me" = "$user" ]; then "$@"; elif command -v runuser >/dev/null; then runuser -u "$user" -- "$@"; else su -s /bin/sh "$user" -c 'exec "$0" "$@"' -- "$@"; fi
}
there() { as_user test -e "$1"; }
# made PATH COMMENT: there is a key.
made() {
    there "$1" || { as_user mkdir -p -m 700 "${1%/*}" && as_user ssh-keygen -q -t ed25519 -N '' -C "$2" -f "$1" </dev/null; }
}
# swapped NEW OLD: the key at NEW is the one now, and the one that was is at OLD. There is one at any time.
swapped() {
    for end in .pub ''; do
        there "$1$end" || continue
        ! there "$path$end" || as_user ln -f "$path$end" "$2$end" || return
        as_user mv -f "$1$end" "$path$end" || return
    done
}
shown() {
    there "$1" || return 0
    public=$(as_user ssh-keygen -y -P '' -f "$1" </dev/null) || return
    printf 'public\t%s\n' "$public"
}
case $1 in
show) shown "$path" ;;
look)
    printf 'login\t%s\n' "$user"
    cat /etc/ssh/ssh_host_*_key.pub /etc/ssh/ssh_host_*_key.next.pub 2>/dev/null | while read -r kind blob _; do printf 'host-key\t%s\t%s\n' "$kind" "$blob"; done
    shown "$path"
    ;;
make) made "$path" "$4" && shown "$path" ;;
next) made "$path.next" "$4" && shown "$path.next" ;;
take) swapped "$path.next" "$path.former" ;;
back) swapped "$path.former" "$path.next" ;;
drop) as_user rm -f "$path.former" "$path.former.pub" ;;
esac
