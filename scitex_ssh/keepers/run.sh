#!/bin/sh
# Keeps one tunnel up: one ssh after another, for ever. Written by scitex-ssh, started by the tunnel's keeper.
#   run FOLDER STATE [FILE]   FOLDER holds the tunnel's ssh_config; what goes on is written to STATE/state;
#                             FILE, a unit, counts as configuration too (see "digest").
# SIGUSR1 wakes it: a waiting one tries at once, a connecting one begins anew.
set -u
LC_ALL=C
export LC_ALL
umask 022
# ssh starts its ProxyCommand with it, and an account may have none that runs commands.
SHELL=/bin/sh
export SHELL
folder=$1
state=$2
file=${3-}

said() { sed -n "s/^# $1: //p" "$folder/ssh_config"; }
option() { sed -n "s/^ *$1 //p" "$folder/ssh_config"; }

# What the running process was started with, so that set-up can tell whether it is current.
digest() { { cat "$folder/ssh_config" "$folder/known_hosts" "$folder/run" ${file:+"$file"}; readlink "$folder/key"; } | cksum; }

# The log, where it is ours to keep small, since we write to it for years.
trim_log() {
    [ -f "$state/log" ] && [ "$(wc -c <"$state/log")" -gt 1000000 ] || return 0
    tail -c 100000 "$state/log" >"$state/log.old" && : >"$state/log"
}

# note PHASE DETAIL: what status shows, readable by everybody, never half written. Leaves the time in $now.
note() {
    now=$(date +%s)
    {
        echo "phase $1"
        echo "since $now"
        echo "attempts $attempts"
        echo "mode $mode"
        echo "detail $2"
        echo "pause ${pause-}"
        echo "lasted $lasted"
        echo "error $error"
    } >"$state/state.new" && mv -f "$state/state.new" "$state/state"
}

# birth PID: leaves in $birth when a process began: the number alone may be another's by now. None for a dead one that
# nobody has asked about yet.
# shellcheck disable=SC2086  # the fields after the name, which alone may hold spaces
birth() {
    birth=
    { read -r stat <"/proc/$1/stat" && set -- ${stat##*) } && [ "$1" != Z ] && shift 19 && birth=$1; } 2>/dev/null
}

# Leaves in $clock the seconds since the machine booted, which nobody sets.
look_at_clock() {
    read -r clock _ 2>/dev/null </proc/uptime || clock=$(date +%s)
    clock=${clock%%.*}
}

# random BYTES
random() { od -An -v -N"$1" -tx1 /dev/urandom 2>/dev/null | tr -d ' \n'; }

# The ssh_config with the name of this supervisor in its words to the bastion, which can then tell our
# session from that of another machine with the same key.
named() { sed "s/\(RemoteCommand .*' scitex-ssh\) /\1-$name /" "$folder/ssh_config" >"$state/ssh_config"; }

# announce up|down [SECONDS]: the command that the tunnel has for it, once for each change. Nobody waits for it but, for
# so many seconds, who is about to end; after a minute it has had its time.
announce() {
    [ "$(cat "$state/told" 2>/dev/null)" != "$1" ] || return 0
    case $1 in up) hook=$on_up ;; *) hook=$on_down ;; esac
    echo "$1" >"$state/told"
    [ -n "$hook" ] || return 0
    bound=
    if command -v timeout >/dev/null 2>&1; then bound="timeout -s KILL ${2:-60}"; fi
    # Not our child: what waits for our children must not wait for it.
    (
        trap - TERM INT HUP USR1
        SCITEX_SSH_TUNNEL=${folder##*/} SCITEX_SSH_STATE=$1
        export SCITEX_SSH_TUNNEL SCITEX_SSH_STATE
        unset SCITEX_SSH_ATTEMPT
        # shellcheck disable=SC2086  # words, or nothing
        if [ -n "$bound" ] && [ -n "${2-}" ]; then
            $bound sh -c "$hook" </dev/null >&2 8>&- 9>&-
        else
            $bound sh -c "$hook" </dev/null >&2 8>&- 9>&- &
        fi
    ) || :
}

# herald PID: waits until that ssh has what it is for: its session says so, or none can run and it did not give up.
herald() {
    waits=0
    while kill -0 "$1" 2>/dev/null; do
        if grep -q '^scitex-ssh holds' "$state/session" 2>/dev/null || { [ "$mode" = plain ] && [ "$waits" -ge 4 ] && authenticated; }; then
            announce up
            return
        fi
        # One that never gets there costs nothing for it.
        if [ "$waits" -lt 120 ]; then pace=0.5; else pace=5; fi
        waits=$((waits + 1))
        sleep "$pace" 2>/dev/null || sleep 1
    done
}

# talk OUTPUT CONFIG ARGUMENT...: one ssh of this tunnel, until it ends. Leaves its status in $code.
talk() {
    output=$1 config=$2
    shift 2
    input=/dev/null
    if [ "$asking" = 1 ]; then input=$state/questions; fi
    # The key that systemd hands over, where it does.
    key=${CREDENTIALS_DIRECTORY:+$CREDENTIALS_DIRECTORY/key}
    if [ -n "$key" ] && [ -r "$key" ]; then set -- -i "$key" "$@"; fi
    : >"$state/stderr"
    : >"$output"
    (
        # What one ssh says (each visitor refused by the target is a line) must not fill the disk: beyond
        # these blocks of 512 bytes nothing is written.
        trap '' XFSZ
        ulimit -f 4096
        # VERBOSE for one line more: "Authenticated to". DEBUG1 for what the bastion says first.
        # The lock that may be open as 9 is the supervisor's alone, and must end with it.
        exec ssh -T -F "$config" -o "LogLevel=$level" "$@" <"$input" >>"$output" 2>>"$state/stderr" 8>&- 9>&-
    ) &
    child=$!
    birth "$child"
    echo "$child $birth $keeper $keeper_birth" >"$state/child"
    guard "$child" 9>&- &
    guard=$!
    if [ "$output" = "$state/session" ] && [ -n "$on_up$on_down" ]; then
        herald "$child" 8>&- 9>&- &
        herald=$!
    fi
    code=0
    wait "$child" || code=$?
    # A signal ends the wait, not the child.
    while [ "$code" -gt 128 ] && kill -0 "$child" 2>/dev/null; do
        code=0
        wait "$child" || code=$?
    done
    child=
    kill "$guard" 2>/dev/null
    guard=
    [ -z "$herald" ] || kill "$herald" 2>/dev/null
    herald=
}

# Without a program, since it is asked all the time; the line is among the first.
authenticated() {
    while read -r line; do
        case $line in "Authenticated to "*) return 0 ;; esac
    done <"$state/stderr"
    return 1
}

# guard PID: ends an ssh that hangs where neither ConnectTimeout nor ServerAlive looks, which begin to
# and cease to count with the banner and the login: a name service or a key exchange that never answers.
# Where the session on the bastion answers questions, it goes on to ask whether the connection lives.
guard() {
    nap='' beside=''
    trap 'kill $nap $beside 2>/dev/null; exit' TERM
    stage=login waited=0
    # A word to end that came before the line above was lost.
    while kill -0 "$1" 2>/dev/null; do
        # A busy bastion takes its time to start a session, and a second login would cost it more.
        if [ "$stage" = login ] && authenticated; then stage='answer from its session' waited=0 patience=$((3 * usual)); fi
        if [ "$stage" != login ]; then
            if [ "$asking" = 0 ]; then exit; fi
            if grep -q '^scitex-ssh hears' "$output" && aside; then question "$1"; fi
        fi
        if [ "$waited" -ge "$patience" ]; then
            echo "no $stage within $patience s" >>"$state/stderr"
            kill "$1"
            exit
        fi
        # One of many whose bastion is busy must not be busy with that.
        pace=1
        if [ "$waited" -ge 2 ] && [ $((patience - waited)) -ge 3 ]; then pace=3; fi
        doze "$pace"
        waited=$((waited + pace))
    done
}

# What the session said stays to be read, what it answers goes to a file of its own: that, ssh has open.
aside() {
    cat "$output" >"$output.new" && ln -f "$output" "$state/answers" && mv -f "$output.new" "$output" && output=$state/answers
}

doze() {
    sleep "$1" &
    nap=$!
    wait "$nap"
}

# question PID: asks the session on the bastion, every few seconds, until that ssh ends. Silence alone does not tell a
# connection that died from a line that stalls; a new connection beside it does.
question() {
    soon=$(((interval + 1) / 2)) enough=$((interval * (count + 1) + 2))
    silent=0 tried=0 due=''
    mkdir -p "$state/beside"
    rm -f "$state/beside/busy"
    while kill -0 "$1" 2>/dev/null; do
        if [ "$silent" = 0 ]; then
            : >"$output"
            echo >&8
            doze "$soon"
            silent=$soon
            if heard; then silent=0 && doze "$((interval - soon))"; else look_beside "$1"; fi
        else
            doze 1
            silent=$((silent + 1))
            if heard; then silent=0 tried=0 due=''; else look_beside "$1"; fi
        fi
    done
    exit
}

heard() {
    line=
    read -r line <"$output"
    case $line in *!*) echo '!' >>"$state/session" ;; esac
    [ -n "$line" ]
}

# look_beside PID: what is next for an ssh that is silent. A new connection on which the bastion speaks shows that the
# line carries; then TCP would have sent again what was lost by the time that the silence has doubled. What is silent
# after that, or for longer than a line may be, is ended, here and on the bastion.
look_beside() {
    if [ "$tried" = 1 ] && [ -z "$due" ] && grep -q 'Remote protocol version' "$state/beside/stderr"; then
        # That was at most a second ago.
        due=$((2 * silent - 1))
        if [ "$due" -gt "$enough" ]; then due=$enough; fi
    fi
    if [ -e "$state/beside/busy" ]; then return; fi
    if [ -z "$due" ]; then
        set -- try "$1"
    elif [ "$silent" -ge "$due" ]; then
        set -- replace "$1"
    else
        return
    fi
    tried=1
    : >"$state/beside/busy"
    : >"$state/beside/stderr"
    beside "$@" &
    beside=$!
}

# beside WHAT PID: one new connection. "try" only makes it; "replace" has the bastion end the silent one.
beside() {
    child='' guard='' asking=0 main=$state state=$state/beside answers=$output mine=$name
    trap 'kill $guard $child 2>/dev/null; exit' TERM
    named
    ended=1
    case $1 in
    try) level=DEBUG1 && talk "$state/answer" "$state/ssh_config" bastion exit ;;
    replace) take_back && ended=0 ;;
    esac
    pause=2
    if ! authenticated; then
        complain "$main" "the connection is silent, and a new one fails: $(grep -v '^debug1: ' "$state/stderr" | tail -n 1 | tr -d '\r')"
        case $(cat "$state/stderr") in *"Permission denied ("* | *"Host key verification failed"*) pause=30 ;; esac
        sleep "$pause" &
        child=$!
        wait "$child"
    elif [ "$1" = replace ] && { [ "$ended" = 0 ] || ! output=$answers heard; }; then
        echo "the connection was silent, while new ones came through" >>"$main/stderr"
        kill "$2"
    fi
    rm -f "$state/busy"
    exit
}

# complain STATE WORDS: what is wrong while the connection itself says nothing, for status.
complain() {
    { grep -v '^error ' "$1/state" && echo "error $(date +%s) $2"; } >"$1/state.beside" && mv -f "$1/state.beside" "$1/state"
}

# telling: says again what an ssh said, and leaves it in the file "words" and the line that tells most in $why. Over jump
# hosts the last are those of an ssh that only lost its way to the bastion, and the last of one that we ended says so.
telling() {
    : >"$state/words"
    : >"$state/why"
    words=$state/words why=$state/why awk '
        { sub(/\r$/, "") }
        /^Authenticated to / || /^Transferred: / || /^Bytes per second: / { next }
        { print >ENVIRON["words"]; print }
        /^Killed by signal / { next }
        /./ { near = $0 }
        /^the connection was silent/ { silent = $0 }
        / UNKNOWN / || /^kex_exchange_identification: .*closed by remote host/ { next }
        /^stdio forwarding failed/ { lost = 1 }
        /./ { far = $0 }
        sub(/^channel [0-9]*: open failed: /, "") { refused = "stdio forwarding failed: open failed: " $0 }
        END { print(silent != "" ? silent : lost ? refused : far != "" ? far : near) >ENVIRON["why"] }
    ' "$state/stderr" >&2
    IFS= read -r why <"$state/why" || why=
}

# What a connection's session is asked comes through a pipe with a name. Leaves in $mute whether there is none.
open_questions() {
    mute=0
    [ -p "$state/questions" ] || mkfifo "$state/questions" 2>/dev/null
    if [ -p "$state/questions" ] && [ -w "$state/questions" ]; then exec 8<>"$state/questions"; else mute=1; fi
}

# One connection, until it ends. Leaves its status in $ended, its last words in $why, and in $held whether a
# session of it held the port.
connect() {
    attempts=$((attempts + 1))
    trim_log
    note connecting ""
    look_at_clock
    born=$clock
    asking=0
    if [ "$mode" != hold ]; then
        talk "$state/session" "$folder/ssh_config" -N tunnel
    elif [ "$deaf" = 1 ]; then
        talk "$state/session" "$state/ssh_config" hold
    else
        asking=1
        # What ssh itself finds dead is the last resort here: a line on which nothing else comes through either.
        talk "$state/session" "$state/ssh_config" -o "ServerAliveInterval=$((2 * interval))" \
            -o "ServerAliveCountMax=$((4 * count + 3))" hold
    fi
    ended=$code
    look_at_clock
    lived=$((clock - born))
    telling
    [ -z "$why" ] || error="$((now + lived)) $why"
    # How long the last connections lasted that the bastion ended, one after the other.
    case $why in *" closed by "*) lasted="$lived ${lasted% * *}" ;; *) lasted='' ;; esac
    # A login is a dozen round trips, which take their time on a bad line.
    if authenticated; then patience=$usual; else case $why in "no login within "*) patience=$((3 * usual)) ;; esac fi
    case $why in "no answer from its session "*) deaf=1 ;; esac
    held=0
    [ ! -e "$state/told" ] || announce down
    # Other words are an account's that runs no commands.
    if [ -s "$state/session" ] && grep -q '^scitex-ssh holds' "$state/session"; then held=1 mine=$name; else : >"$state/session"; fi
}

# The session of this key that still holds the port is ended on the bastion. True if the port is free.
take_back() {
    asking=0
    # Under no name it ends whichever session it finds: ours, of before this start.
    if [ -n "$mine" ]; then config=$state/ssh_config; else config=$folder/ssh_config; fi
    talk "$state/answer" "$config" release
    answer=$(cat "$state/answer")
    case $answer in
    "scitex-ssh released ") echo "the bastion ended this tunnel's last session, which held the port" >&2 ;;
    "scitex-ssh rival "*)
        # It came after ours. To end it would be to be ended by it, and so on: the last to come has the port.
        why="identity-clash: another machine with the same key holds the port"
        echo "$why" >&2
        return 1
        ;;
    *) return 1 ;;
    esac
}

# attempt: one connection, and a second at once if only our own last session was in the way.
attempt() {
    # What made a bastion run no command may have passed.
    if [ "$lived" -ge 600 ]; then mode=hold deaf=$mute; fi
    connect
    case $mode:$why in
    hold:*"remote port forwarding failed"*) if take_back; then connect; fi ;;
    esac
    # A bastion that runs no commands for this key: hold the port without a session, as ssh -N does.
    if [ "$mode" = hold ] && [ "$held" = 0 ] && [ "$lived" -lt 20 ] && authenticated; then
        case $ended:$(cat "$state/words") in
        255:*"exec request failed"* | 255:*"channel 0: open failed"* | [0-9]:* | [0-9][0-9]:* | 1[01][0-9]:* | 12[0-7]:*)
            echo "the bastion runs no command for this key: the port is held without a session" >&2
            mode=plain
            connect
            ;;
        esac
    fi
}

# Tenths of a second before the next attempt: soon and uneven for what heals by itself, long for what a
# person must mend (a wrong key tried every second gets a whole site locked out by PerSourcePenalties).
delay() {
    if [ "$lived" -ge 30 ]; then fails=0; fi
    fails=$((fails + 1))
    # The next of a row of numbers that begins elsewhere on each machine.
    chaos=$(((chaos * 1103515245 + 12345) % 2147483648))
    chance=$((chaos / 65536 % 256))
    # Low enough that no network that comes up has to tell us so.
    case $fails in 1) pause=2 ;; 2) pause=8 ;; 3) pause=16 ;; *) pause=30 ;; esac
    pause=$((pause + pause * chance / 768))
    # An attempt that took its time was a pause by itself.
    if [ "$pause" -gt 2 ]; then pause=$((pause - 10 * lived)); fi
    if [ "$pause" -lt 2 ]; then pause=2; fi
    case $why in
    *"Permission denied ("* | *"Host key verification failed"* | identity-clash*) pause=$((300 + chance / 3)) ;;
    esac
    pause=$((pause + chance / 64))
    if [ "$woken" = 1 ]; then pause=0 fails=0; fi
    woken=0
}

rest() {
    note waiting "$why"
    sleep "$((pause / 10)).$((pause % 10))" 2>/dev/null 9>&- &
    napper=$!
    wait "$napper" || kill "$napper" 2>/dev/null
    napper=
}

wake() {
    if [ -n "$napper" ]; then fails=0; else woken=1; fi
    [ -z "$napper" ] || kill "$napper" 2>/dev/null
    if [ -z "$child" ]; then return; fi
    if authenticated; then woken=0; else kill "$child" 2>/dev/null; fi
}

leave() {
    trap '' TERM INT HUP USR1
    # shellcheck disable=SC2086  # those of them that there are
    insist $napper $guard $herald $child &
    wait
    rm -f "$state/child"
    [ ! -e "$state/told" ] || announce down 2
    exit 0
}

# insist PID...: ends them. Again and again, since a process that was forked a moment ago can lose a signal.
insist() {
    for signal in TERM TERM TERM TERM TERM TERM TERM TERM TERM TERM TERM TERM TERM TERM TERM TERM KILL; do
        alive=
        for process; do
            if kill -s "$signal" "$process"; then alive=1; fi
            # A stopped one would never hear of it.
            kill -s CONT "$process"
        done 2>/dev/null
        [ -n "$alive" ] || return
        sleep 0.1 2>/dev/null || sleep 1
    done
}

# An ssh that outlived the supervisor that started it (kill -9) would hold the port for ever.
sweep() {
    read -r orphan born parent parent_born 2>/dev/null <"$state/child" || return 0
    birth "$orphan"
    [ -n "$born" ] && [ "$birth" = "$born" ] || return 0
    birth "$parent"
    [ "$birth" = "$parent_born" ] || kill "$orphan" 2>/dev/null
}

attempts=0 fails=0 child='' napper='' guard='' herald='' mode=hold level=VERBOSE asking=0 pause='' why='' lived=0 held=0 woken=0 mine='' lasted='' error='' keeper=$$
chaos=$((0x0$(random 3) + $$))
on_up=$(said on_up) on_down=$(said on_down)
# The bastion's own stand before those of jump hosts, what holds for all at the end.
usual=$(option ConnectTimeout | head -n 1)
usual=$((${usual:-10} + 10))
patience=$usual
interval=$(option ServerAliveInterval | tail -n 1)
interval=${interval:-5}
count=$(option ServerAliveCountMax | tail -n 1)
count=${count:-2}
case ${SCITEX_SSH_ATTEMPT-} in
'')
    # The start: note which configuration this process has; then be, or start, what tries again.
    digest >"$state/config"
    sweep
    [ ! -e "$state/told" ] || announce down
    name=$(random 6)
    name=${name:-$$}
    named
    if [ "$(said engine)" = autossh ]; then
        rm -f "$state/attempts"
        # POLL caps autossh's back-off at 10 s, GATETIME=0 makes a failing first try one like any other.
        AUTOSSH_PATH=$folder/run AUTOSSH_GATETIME=0 AUTOSSH_POLL=10 AUTOSSH_PORT=0 SCITEX_SSH_ATTEMPT=$name
        export AUTOSSH_PATH AUTOSSH_GATETIME AUTOSSH_POLL AUTOSSH_PORT SCITEX_SSH_ATTEMPT
        exec autossh -M 0 "$folder" "$state"
    fi
    trap leave TERM INT HUP
    trap wake USR1
    open_questions
    deaf=$mute
    birth "$keeper"
    keeper_birth=$birth
    while :; do
        attempt
        delay
        rest
    done
    ;;
*)
    exec 9>&-
    # Under autossh: one attempt; 255 makes autossh try again, whatever ended this one.
    name=$SCITEX_SSH_ATTEMPT
    keeper=$PPID
    birth "$keeper"
    keeper_birth=$birth
    trap leave TERM INT HUP
    trap wake USR1
    open_questions
    read -r attempts mode deaf lived patience mine 2>/dev/null <"$state/attempts" ||
        attempts=0 mode=hold deaf=$mute lived=0 patience=$usual mine=
    attempt
    echo "$attempts $mode $deaf $lived $patience $mine" >"$state/attempts"
    delay
    [ "$pause" -lt 300 ] || rest
    note waiting "$why"
    exit 255
    ;;
esac
