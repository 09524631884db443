# Runs a command on the far side, and ends it with all that it started when whoever asked for it is gone: without
# a terminal, sshd itself lets it run on. Sent as text with every call, so that nothing is installed there.
#   $1  the command, for the account's own shell     $2  lifeline: our stdin is held open by the caller, and ends
#   with it. parent: our stdin is the command's, and sshd's process, our parent, ends with the connection.
watch() {
    trap "" TERM HUP INT
    if [ "$1" = lifeline ]; then
        while read -r _; do :; done
    else
        while kill -0 "$PPID"; do sleep 1; done
    fi
    kill -TERM "$group"
    sleep 3
    kill -KILL "$group"
}

# 3 is for the watch to read, 4 for the command.
if [ "$2" = lifeline ]; then exec 3<&0 4</dev/null; else exec 4<&0 3</dev/null; fi
# sshd has made us the leader of a group of our own. Where something between us has not, no group is ours to end,
# and the command is left alone, as ssh would.
group=-$$
watcher=
if kill -0 "$group" 2>/dev/null; then
    watch "$2" <&3 3<&- 4<&- >/dev/null 2>&1 &
    watcher=$!
fi
"${SHELL:-/bin/sh}" -c "$1" <&4 3<&- 4<&-
status=$?
# Some shells have a word to say about a process that was killed.
exec 2>/dev/null
[ -z "$watcher" ] || kill -KILL "$watcher"
exit "$status"
