"""How long a set-up waits for its proof, and what it makes of one that came late."""

from __future__ import annotations

from tests.shell.shells import Shell, prelude

# The dial ends as ssh does where the host key was right; by then the time is over.
LATE = """
work=$(mktemp -d) me=root machine=0 exit_status=0 wait_seconds=30
trap 'rm -rf "$work"' EXIT
t_name=2222 t_user=root t_bastion=u@gw t_forwards='remote localhost:2222 localhost:22'
t_unit='' t_service=it t_log=log
t_state=$work t_folder=$work t_stage=''
: >"$work/session"
derive_forwards
seconds() { if [ -e "$work/dialled" ]; then echo 100; else echo 1; fi; }
has_connected() { :; }
keeper_is_up() { :; }
target_keys() { echo 'scitex-ssh-target ssh-ed25519 AAAA'; }
as_user() { : >"$work/dialled"; echo 'u@gw: Permission denied (publickey).' >&2; return 255; }
accept_listening=0
wait_verified
echo "status $?, $dialled"
"""


def test_a_proof_that_came_late_is_a_proof(shell: Shell) -> None:
    """On a busy machine one dial takes longer than there was left: what it has seen counts all the same."""
    answer = shell.run(prelude() + LATE)
    assert (answer.stdout.strip(), answer.stderr) == ("status 0, mine", "")
