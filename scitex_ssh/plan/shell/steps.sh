# What the Steps are made of: a test changes nothing and needs no root; an apply makes it so.

owner_and_mode() { stat -c '%a %U:%G' "$1" 2>/dev/null; }

# file_is PATH MODE OWNER TEXT, TEXT being the function that prints the content
file_is() {
    [ -f "$1" ] && [ ! -L "$1" ] && [ "$(owner_and_mode "$1")" = "$2 $3" ] && same_text "$4" "$1"
}
same_text() {
    if have cmp; then "$1" | cmp -s - "$2"; else [ "$("$1" && echo .)" = "$(cat "$2" 2>/dev/null && echo .)" ]; fi
}
put_file() {
    make_way "$1" && (umask 022 && mkdir -p "${1%/*}") || return
    new=$1.new.$$
    if (umask 077 && "$4" >"$new") && chmod "$2" "$new" && chown "$3" "$new" && mv -f "$new" "$1"; then
        return 0
    fi
    rm -f "$new"
    return 1
}
# make_way PATH: a link there goes; a folder is not ours to remove, and mv would put things into it.
make_way() {
    if [ -L "$1" ]; then
        rm -f "$1"
    elif [ -d "$1" ]; then
        echo "a folder is in the way: $1" >&2
        return 1
    fi
}
show_file() {
    if [ -f "$1" ]; then
        old=$1
        [ "$(owner_and_mode "$1")" = "$2 $3" ] || show_line "# mode and owner: $(owner_and_mode "$1") -> $2 $3"
        show_line "--- $1"
    else
        old=/dev/null
        show_line "--- /dev/null"
    fi
    show_line "+++ $1 (mode $2, $3)"
    if have diff; then
        "$4" | diff -u "$old" - | sed 1,2d
    else
        "$4" | sed 's/^/+/'
    fi | while IFS= read -r line; do show_line "$line"; done
}
show_line() {
    if [ "$machine" = 1 ]; then printf 'diff\t%s\t%s\n' "$t_name" "$1"; else printf '%s\n' "$1"; fi
}

folder_is() { [ -d "$1" ] && [ ! -L "$1" ] && [ "$(owner_and_mode "$1")" = "$2 $3" ]; }
put_folder() {
    [ ! -L "$1" ] || rm -f "$1"
    (umask 022 && mkdir -p "$1") && chmod "$2" "$1" && chown "$3" "$1"
}
folder_is_empty() { [ -d "$1" ] && [ -z "$(ls -A "$1")" ]; }

link_is() { [ -L "$1" ] && [ "$(readlink "$1" && echo .)" = "$(printf '%s\n.' "$2")" ]; }
put_link() { make_way "$1" && ln -sfn "$2" "$1"; }

nothing_at() { [ ! -e "$1" ] && [ ! -L "$1" ]; }
clear_away() { rm -rf "$1"; }

# The whole machine's systemd, or the user's own.
manager() {
    if [ "${t_scope-}" = user ]; then
        as_user env XDG_RUNTIME_DIR="$t_runtime" systemctl --user "$@"
    else
        systemctl "$@"
    fi
}
unit_property() { manager show -p "$2" "$1" 2>/dev/null | sed "s/^$2=//"; }
unit_is_loaded() { [ "$(unit_property "$1" NeedDaemonReload)" != yes ]; }
reload_units() { manager daemon-reload; }
unit_is_enabled() { [ "$(manager is-enabled "$1" 2>/dev/null)" = enabled ]; }
unit_is_active() { case $(unit_property "$1" ActiveState) in active | activating | reloading) ;; *) false ;; esac; }
unit_is_current() {
    unit_is_active "$t_unit" && [ "$(cat "$t_state/config" 2>/dev/null)" = "$(digest_of_files 2>/dev/null)" ]
}
# The same sum that the supervisor wrote down when it started.
digest_of_files() {
    { cat "$t_folder/ssh_config" "$t_folder/known_hosts" "$t_folder/run" ${t_unit_file:+"$t_unit_file"} && readlink "$t_folder/key"; } |
        cksum
}
# Where systemd does not run, no unit does.
unit_is_gone() { case $(unit_property "$1" ActiveState) in inactive | '') ! unit_is_enabled "$1" ;; *) false ;; esac; }
stop_unit() {
    manager -q stop "$1" 2>/dev/null
    manager -q disable "$1" 2>/dev/null
    manager -q reset-failed "$1" 2>/dev/null
    unit_is_gone "$1"
}
