# The host keys of this machine: new ones beside them, which then take their place.

host_keys() { for file in /etc/ssh/ssh_host_*_key; do [ ! -f "$file.pub" ] || echo "$file"; done; }

next_are_made() { for file in $(host_keys); do [ -e "$file.next.pub" ] || return 1; done; }
make_next() {
    for file in $(host_keys); do
        [ ! -e "$file.next.pub" ] || continue
        kind=$(ssh-keygen -l -f "$file.pub" | sed 's/.*(\(.*\))$/\1/' | tr '[:upper:]' '[:lower:]')
        rm -f "$file.next"
        ssh-keygen -q -t "$kind" -N '' -C "root@$(uname -n)" -f "$file.next" </dev/null || return
    done
}

none_is_next() { for file in $(host_keys); do [ ! -e "$file.next.pub" ] || return 1; done; }
# take_next: sshd shows the new ones from now on, and has been seen to; or it is as it was.
take_next() {
    for file in $(host_keys); do
        [ -e "$file.next.pub" ] || continue
        for end in '' .pub; do
            ln -f "$file$end" "$file.former$end" && ln -f "$file.next$end" "$file.now$end" && mv -f "$file.now$end" "$file$end" || return
        done
    done
    if said=$(sshd -t 2>&1) && reload_sshd && shows_host_keys; then
        for file in $(host_keys); do rm -f "$file.former" "$file.former.pub" "$file.next" "$file.next.pub"; done
        return
    fi
    refused="${said:-it does not show the new host keys}"
    for file in $(host_keys); do
        for end in '' .pub; do [ ! -e "$file.former$end" ] || mv -f "$file.former$end" "$file$end"; done
    done
    reload_sshd
    return 1
}
# It reads its keys a moment after it was told to.
shows_host_keys() {
    own_address
    tries=0
    while :; do
        ssh-keyscan -T 5 -p "$port" "$address" >"$work/shown" 2>/dev/null
        missing=
        for file in $(host_keys); do grep -Fq " $(cut -d' ' -f2 "$file.pub")" "$work/shown" || missing=$file; done
        [ -n "$missing" ] || return 0
        tries=$((tries + 1))
        [ "$tries" -lt 5 ] || return 1
        sleep 1
    done
}
