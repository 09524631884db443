# What a tunnel's session runs on the bastion, sent over ssh as one line: no line here may need its line
# break, and there is no single quote. $1 is the word, $2 what the tunnel holds here (ports, paths of sockets,
# commas between them; its name where it holds nothing), $3 the id of the tunnel's key; $0 is scitex-ssh, or
# scitex-ssh-NAME with the name of the supervisor that speaks and has held the port before.
#   hold     writes down which sshd process serves this very session, then blocks; it answers each line with a dot.
#   release  ends the process that the last hold of this key and port wrote down, if it still is that one.
#            Told a name, it ends only that supervisor's: one of another machine that has the same key came
#            later, and gets to know of it by an exclamation mark from its own hold.
#   ask      only tells whether that process is still there.
# sshd's user processes are not dumpable, so ss and lsof show an ordinary user nothing: hence the note.
# A busy bastion has thousands of sockets, and a shell reads a byte at a time: so grep finds the line.
umask 077;
note=$HOME/.cache/scitex-ssh/$(uname -n)-$(echo "${2%%,*}" | tr / _)-$3;
name=${0#scitex-ssh}; name=${name#-};
# shellcheck disable=SC2086 # the words of the line, the number of a field
field() { read -r l 2>/dev/null <"/proc/$1/stat" || return 1; n=$2; set -- ${l##*) }; [ "$1" != Z ] || return 1; shift $n; echo "$1"; };
server() { p=$PPID; while [ "${p:-0}" -gt 1 ]; do read -r c <"/proc/$p/comm" || return 1; case $c in sshd*) echo "$p"; return;; esac; p=$(field "$p" 1); done; return 1; };
still() { [ -n "$start" ] && [ "$(field "$pid" 19)" = "$start" ]; };
# shellcheck disable=SC2034,SC2046 # columns that are passed over; ports and paths are words
held() { for w in $(echo "$1" | tr , " "); do case $w in
/*) grep -F -e " $w" /proc/net/unix | while read -r i a b s t u n p; do if [ "$s" = 00010000 ] && [ "$p" = "$w" ]; then echo "$w"; fi; done;;
*[!0-9]*) ;;
*) h=$(printf %04X "$w"); cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep ":$h 0*:0000 0A " | while read -r i a r; do echo "$a"; done;;
esac; done; };
case $1 in
ask)
  pid=; start=; read -r pid start last 2>/dev/null <"$note"; if still; then answer=ours; else answer=nothing; fi; echo "scitex-ssh $answer $([ -z "$(held "$2")" ] || echo held)";;
hold)
  rm -f "$note.rival";
  if p=$(server); then mkdir -p "${note%/*}" && echo "$p $(field "$p" 19) $name" >"$note.new" && mv -f "$note.new" "$note" && echo "scitex-ssh holds"; else echo "scitex-ssh holds without a note"; fi;
  # shellcheck disable=SC2046 # on one line
  echo "scitex-ssh bound" $(held "$2");
  echo "scitex-ssh hears";
  while if [ -e "$note.rival" ]; then printf "!"; else printf .; fi; do read -r l || sleep 30; done;;
release)
  pid=; start=; read -r pid start last 2>/dev/null <"$note";
  answer=nothing; if still; then answer=released; if [ -n "$name" ] && [ "$name" != "$last" ]; then answer=rival; : >"$note.rival"; else kill "$pid"; fi; fi;
  i=0; while [ $answer = released ] && still && [ $i -lt 30 ]; do [ $i -ne 10 ] || kill -9 "$pid"; sleep 0.1 2>/dev/null || sleep 1; i=$((i+1)); done;
  i=0; while [ $answer = released ] && [ -n "$(held "$2")" ] && [ $i -lt 20 ]; do sleep 0.1 2>/dev/null || sleep 1; i=$((i+1)); done;
  [ $answer = rival ] || rm -f "$note";
  for w in $(echo "$2" | tr , " "); do case $answer:$w in rival:*) ;; *:/*) if [ -S "$w" ] && [ -z "$(held "$w")" ]; then rm -f "$w" && answer=released; fi;; esac; done;
  echo "scitex-ssh $answer $([ -z "$(held "$2")" ] || echo held)";;
esac
