"""What a deploy of the gateway asks for, before it touches a bastion."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pyinfra")

from scitex_ssh.errors import SSHError
from scitex_ssh.operations import gateway


def test_a_folder_without_what_is_needed_is_named(tmp_path: Path) -> None:
    """Pip itself too has to be there, since the bastion's Python may be without."""
    (tmp_path / "scitex_ssh-2.0.0-py3-none-any.whl").touch()
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(SSHError) as caught:
            gateway.wheels_in(str(folder))
        assert caught.value.slug == "gateway-wheels"
        assert "of pip" in caught.value.sentence
    (tmp_path / "pip-26.0-py3-none-any.whl").touch()
    assert len(gateway.wheels_in(str(tmp_path))) == 2
