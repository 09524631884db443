"""A file that is there at once or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole(path: Path, mode: int) -> Iterator[BinaryIO]:
    """Give a file to write to, which takes the place of ``path`` at the end: nobody ever meets half of it.

    Raises:
        OSError: when it cannot be written; nothing is left of it then.
    """
    try:
        # Whoever collects files by their ending (*.prom) must not meet this one.
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    except OSError as problem:
        # The name that was given, and not the one that was made up beside it.
        problem.filename = str(path)
        raise
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
