# The line of a key in this account's authorized_keys. $1 is add (the line is there), swap (beside each line of a
# key stands the same one with a new key) or drop (no line of it is there); $2 is 1 for a look only; $3 the key
# in base64. add: $4 the options or nothing, $5 the key with its type, $6 its comment. swap: $4 and $5 the type and
# the base64 of the new one, $6 and $7 the ids of both.
umask 077
LC_ALL=C
export LC_ALL
word=$1 look=$2 blob=$3
say() { printf 'scitex-ssh key %s\n' "$*"; }
die() {
    say "failed $*"
    exit 1
}
cd || die "there is no home"
name=.ssh/authorized_keys
[ -d .ssh ] || [ "$look" = 1 ] || mkdir -m 700 .ssh 2>/dev/null || [ -d .ssh ] || die ".ssh cannot be made"
# A link stays one: what it leads to is replaced.
file=$name
[ ! -h "$file" ] || file=$(readlink -f "$file") || die "$name leads nowhere"
# One writer at a time, where there is a flock; the folder itself is the lock, so none is left behind.
if [ -d .ssh ] && command -v flock >/dev/null 2>&1; then
    exec 9<.ssh
    flock -w 20 9 || die "$name is being changed by somebody else"
fi
[ ! -e "$file" ] || [ -r "$file" ] || die "$name cannot be read"
beside=$file.scitex-ssh.$$
trap 'rm -f "$beside"' EXIT
trap 'exit 1' HUP INT TERM

# The lines that hold a key: commented ones do not count.
lines_of() {
    [ -e "$file" ] || return 0
    blob=$1 awk '/^[ \t]*#/ { next } { for (i = 2; i <= NF; i++) if ($i == ENVIRON["blob"]) { print; next } }' "$file"
}
# Written beside, with the mode and the owner of the file, and renamed: sshd reads one of the two.
put() {
    if [ -e "$file" ]; then cp -p "$file" "$beside"; else : >"$beside"; fi || die "$name cannot be written beside"
    # Not every awk tells that its output went nowhere.
    "$@" >"$beside" && [ "$("$@" | wc -c)" -eq "$(wc -c <"$beside")" ] || die "$name cannot be written: is the disk full?"
    mv -f "$beside" "$file" || die "$name cannot be replaced"
    ! command -v restorecon >/dev/null 2>&1 || restorecon -F .ssh "$file" >/dev/null 2>&1 || :
}
text() {
    [ ! -e "$file" ] || awk 1 "$file"
}

added() {
    text | wanted=$wanted blob=$blob awk '
        /^[ \t]*#/ { print; next }
        { for (i = 2; i <= NF; i++) if ($i == ENVIRON["blob"]) { if (!done++) print ENVIRON["wanted"]; next } print }
        END { if (!done) print ENVIRON["wanted"] }'
}
swapped() {
    text | blob=$blob type=$type new=$new id=$id new_id=$new_id awk '
        { print }
        /^[ \t]*#/ { next }
        { for (i = 2; i <= NF; i++) if ($i == ENVIRON["blob"]) {
            place = index($0, ENVIRON["blob"])
            head = substr($0, 1, place - 1)
            sub(/[^ \t]+[ \t]+$/, "", head)
            gsub(ENVIRON["id"], ENVIRON["new_id"], head)
            print head ENVIRON["type"] " " ENVIRON["new"] substr($0, place + length(ENVIRON["blob"]))
            next
        } }'
}
dropped() {
    text | blob=$blob awk '
        /^[ \t]*#/ { print; next }
        { for (i = 2; i <= NF; i++) if ($i == ENVIRON["blob"]) next; print }'
}
change() {
    if [ "$look" = 1 ]; then say "would-change $1"; else
        put "$2"
        say "changed $1"
    fi
    exit 0
}

seen=$(lines_of "$blob") || die "$name cannot be read"
case $word in
add)
    options=$4 wanted="${4:+$4 }$5${6:+ $6}"
    case $seen in
    '') change "the key is in $name" added ;;
    *"
"*) : ;;
    *)
        # Whoever asks for no options takes those that somebody gave it.
        first=${seen%" $5"*}
        [ "$first" = "$seen" ] || [ "$first" = "$options" ] || [ -n "$options" ] || {
            say "ok the key is in $name, with $first"
            exit 0
        }
        case $seen in "${options:+$options }$5" | "${options:+$options }$5 "*)
            say "ok the key is in $name"
            exit 0
            ;;
        esac
        ;;
    esac
    change "the key is in $name, once, as it was asked for" added
    ;;
swap)
    type=$4 new=$5 id=$6 new_id=$7
    [ -n "$seen" ] || {
        say "missing $name"
        exit 0
    }
    [ -z "$(lines_of "$new")" ] || {
        say "ok the new key stands beside the old one in $name"
        exit 0
    }
    change "the new key stands beside the old one in $name" swapped
    ;;
drop)
    [ -n "$seen" ] || {
        say "ok the old key is not in $name"
        exit 0
    }
    change "the old key is not in $name" dropped
    ;;
esac
