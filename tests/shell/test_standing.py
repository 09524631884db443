"""What status says of a tunnel that is not up."""

from __future__ import annotations

import pytest

from tests.shell.shells import Shell, prelude

# A supervisor that tried at 1000, after a login that ended in `error` at the time given.
CONNECTING = """
work=$(mktemp -d) me=root machine=1
trap 'rm -rf "$work"' EXIT
t_name=2222 t_user=me t_bastion=u@gw t_state=$work t_folder=$work t_unit='' t_proxy='' t_jumps='' since=1000
{{
    printf 'phase connecting\\nsince 1000\\ndetail \\n'
    echo 'error {at} connect to gw port 22: Connection refused'
}} >"$work/state"
detail=$(supervisor_says detail)
not_connected
echo "$level $cause: $detail"
"""


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("997", "down bastion-refused: connecting again; before: connect to gw port 22: Connection refused"),
        ("100", "down not-up: the tunnel's ssh is connecting"),
    ],
)
def test_while_it_tries_again_the_last_cause_stands(shell: Shell, at: str, said: str) -> None:
    """A cause that came and went with every attempt would be read by chance; one of long ago is over."""
    answer = shell.run(prelude() + CONNECTING.format(at=at))
    assert answer.stderr == ""
    assert answer.stdout.strip() == said
