#!/bin/sh
# Written by scitex-ssh. What a tunnel's key runs on this bastion, whatever it asks for: authorized_keys(5), command=.
# $1 is the list of the key's ports (2201,2202), $2 the id of the key. Of what the client asks for
# (SSH_ORIGINAL_COMMAND) only these are taken, each if it is one of those that may be: the word, the name of the
# supervisor that speaks, and which of the key's own ports is meant. Nothing of it is ever run.
set -uf
LC_ALL=C
PATH=/usr/local/bin:/usr/bin:/bin
export LC_ALL PATH
ports=$1 id=$2 asked=${SSH_ORIGINAL_COMMAND-}
unset SSH_ORIGINAL_COMMAND
# The words behind the last quote of: exec sh -c '...' scitex-ssh-NAME hold PORT ID
asked=${asked##*\'}
# shellcheck disable=SC2086  # to be parted into words, which set -f keeps from being file names
set -- ${asked:-}
word=${2-} port=${3-} name=${1-}
case $name in scitex-ssh) name= ;; scitex-ssh-*) name=${name#scitex-ssh-} ;; *) word= ;; esac
case $name in *[!A-Za-z0-9_.-]* | ?????????????????????????????????*) word= ;; esac
case $port in '' | *[!0-9,]*) port=${ports%%,*} ;; esac
# Each of them must be the key's own.
# shellcheck disable=SC2046  # parted into numbers
set -- $(echo "$port" | tr , ' ')
for each in "$@"; do
    case ",$ports," in *",$each,"*) ;; *) port=${ports%%,*} ;; esac
done
case $port in *[0-9]*) ;; *) port=${ports%%,*} ;; esac
case $word in
hold | release) ;;
*)
    echo "scitex-ssh: this key holds a port of this bastion, and does nothing else." >&2
    exit 1
    ;;
esac
exec sh -c '@take_back@' "scitex-ssh${name:+-$name}" "$word" "$port" "$id"
