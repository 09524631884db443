#!/bin/sh
# Enrols this machine at a gateway, then keeps the tunnel that it gets. Made by scitex-ssh gateway script.
#   sh FILE [--token-file TOKEN] [FLAG]...   TOKEN - is standard input; the flags are those of
#                                            setup-autossh-service.sh, but for -p and -b
set -u
enrol_url=@url@ enrol_scheme=@scheme@ enrol_host=@host@ enrol_port=@port@ enrol_user=@user@

# enrol_end STATUS SLUG SENTENCE NEXT
enrol_end() {
    printf 'scitex-ssh: %s\n  Next: %s\n  [%s]\n' "$3" "$4" "$2" >&2
    exit "$1"
}

case " $* " in *" --dry-run "*) enrol_end 2 usage "a dry run changes nothing, and to enrol is a change." \
    "run it without --dry-run." ;; esac
enrol_token=
if [ "${1-}" = --token-file ] && [ $# -ge 2 ]; then
    if [ "$2" = - ]; then enrol_token=$(cat); else enrol_token=$(cat -- "$2") || enrol_end 10 file-failed \
        "the token in $2 cannot be read." "check the path, and who owns it."; fi
    shift 2
fi

enrol_key=${SCITEX_SSH_SECRET_KEY_PATH:-$HOME/.ssh/scitex-ssh-$enrol_host}
if [ ! -f "$enrol_key" ]; then
    (umask 077 && mkdir -p "${enrol_key%/*}") && ssh-keygen -q -t ed25519 -N '' -C '' -f "$enrol_key" || exit 10
fi

# What the gateway answers: PORT USER HOST PORT. The token goes by no argument, which others could read.
case $enrol_scheme in
ssh)
    enrol_answer=$(printf '%s\n' "$enrol_token" | ssh -T -i "$enrol_key" -o IdentitiesOnly=yes -o BatchMode=yes \
        -o ConnectTimeout=15 -o ControlPath=none -p "$enrol_port" -l "$enrol_user" -- "$enrol_host" way) || exit $?
    ;;
*)
    enrol_name=$(uname -n | sed 's/\..*//' | tr -cd 'A-Za-z0-9_-')
    enrol_public=$(ssh-keygen -y -P '' -f "$enrol_key") || exit 10
    enrol_answer=$(printf '{"public_key": "%s", "token": "%s", "name": "%s"}' "$enrol_public" "$enrol_token" \
        "$enrol_name" | curl -sS --max-time 60 -H 'Accept: text/plain' -H 'Content-Type: application/json' \
        --data-binary @- "$enrol_url/v1/enrol") || exit 20
    ;;
esac
expr "$enrol_answer" : '[0-9][0-9]* [^ ]* [^ ]* [0-9][0-9]*$' >/dev/null || enrol_end 1 gateway-answer \
    "the answer of $enrol_url cannot be understood: $(printf %s "$enrol_answer" | tr -c '[:print:]' ' ')." \
    "ask its admin, who sees it in its log."

# enrol_flags PORT USER HOST PORT FLAG...: a gateway that does not know its own name has the one by which it was asked.
enrol_flags() {
    enrol_at=$3
    [ "$3" != - ] || enrol_at=$enrol_host
    case $enrol_at in *:*) enrol_at="[$enrol_at]" ;; esac
    enrol_tunnel=$1 enrol_bastion=$2@$enrol_at:$4
}
# shellcheck disable=SC2086  # four words, which were looked at
enrol_flags $enrol_answer
printf 'Enrolled: port %s of %s.\n' "$enrol_tunnel" "$enrol_bastion" >&2
set -- -p "$enrol_tunnel" -b "$enrol_bastion" -s "$enrol_key" "$@"

# From here on: the set-up of a tunnel.
