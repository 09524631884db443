# The key of a host's tunnels: $1 is show or make, $2 its path (~/ is the home of its user), $3 the user (by default
# who runs this; through sudo, its caller), $4 a comment. Only the public half is ever printed.
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
if [ "$1" = make ] && ! as_user test -e "$path"; then
    as_user mkdir -p -m 700 "${path%/*}" && as_user ssh-keygen -q -t ed25519 -N '' -C "$4" -f "$path" </dev/null || exit
fi
as_user test -e "$path" || exit 0
public=$(as_user ssh-keygen -y -P '' -f "$path" </dev/null) || exit
printf 'public\t%s\n' "$public"
