"""A host to reach: an sshd of its own on loopback, for whoever runs the tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.remote.there import There, standing


@pytest.fixture(scope="session")
def there() -> Iterator[There]:
    """Give a host that this user may log in to."""
    if not shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"):
        pytest.skip("sshd is not installed (package openssh-server)")
    with standing() as host:
        yield host
