"""What a call to another machine came to, as values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from scitex_ssh.errors import SSHError, error

# What ssh itself ends with, and what timeout(1) does.
SSH_FAILED = 255
TIMED_OUT = 124


class _Values(Mapping[str, object]):
    """A result that is a mapping, too."""

    @abstractmethod
    def as_dict(self) -> dict[str, object]:
        """The result as JSON types."""

    def __getitem__(self, key: str) -> object:
        return self.as_dict()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.as_dict())

    def __len__(self) -> int:
        return len(self.as_dict())


@dataclass(frozen=True)
class SSHResult(_Values):
    """What a command, a copy or a sync came to; also a mapping with the keys of `as_dict`.

    Attributes:
        host: where, as it was called.
        returncode: what the command ended with; 255 when ssh itself failed (then `error` says why), 124
            when it took longer than its timeout.
        out: the bytes of its standard output.
        err: the bytes of its standard error.
        error: what went wrong on the way, or None. A command that ends with a status is no error.
    """

    host: str
    returncode: int
    out: bytes = b""
    err: bytes = b""
    error: SSHError | None = None

    @property
    def success(self) -> bool:
        """True when the command ended with 0."""
        return self.returncode == 0

    @property
    def stdout(self) -> str:
        """The standard output as text; what is no UTF-8 is replaced."""
        return self.out.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """The standard error as text, with the error's words behind it."""
        return self.err.decode("utf-8", "replace") + (f"{self.error}\n" if self.error else "")

    def raise_for_error(self) -> SSHResult:
        """This result; `SSHError` when ssh failed or the command ended with another status than 0."""
        if self.error is not None:
            raise self.error
        if not self.success:
            raise error("remote-status", host=self.host, code=self.returncode)
        return self

    def as_dict(self) -> dict[str, object]:
        """The result as JSON types."""
        return {
            "host": self.host,
            "success": self.success,
            "returncode": self.returncode,
            "stdout": self.stdout,
            "stderr": self.stderr,
            "error": self.error.slug if self.error else None,
        }


@dataclass(frozen=True)
class CopyResult(SSHResult):
    """What a copy came to.

    Attributes:
        files: how many were copied whole.
        sent: how many bytes went over the line.
        failed: what was not copied, each with its cause; the first is `error`.
    """

    files: int = 0
    sent: int = 0
    failed: tuple[SSHError, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """The result as JSON types."""
        failed = [{"slug": each.slug, "message": each.sentence} for each in self.failed]
        return {**super().as_dict(), "files": self.files, "bytes": self.sent, "failed": failed}


@dataclass(frozen=True)
class ProbeResult(_Values):
    """What is so of a host; also a mapping with the keys of `as_dict`.

    Attributes:
        host: the host, as it was called.
        reachable: True when a command ran there.
        capabilities: for each program that was asked for, whether it is there; empty where the host
            could not be reached.
        returncode: what ssh ended with.
        stdout: what the far side printed.
        stderr: what was said besides.
        error: why the host could not be reached, or None.
    """

    host: str
    reachable: bool
    capabilities: dict[str, bool] = field(default_factory=dict)
    returncode: int = 0
    stdout: str = ""
    stderr: str = ""
    error: SSHError | None = None

    @property
    def ok(self) -> bool:
        """Reachable, and every program that was asked for is there."""
        return self.reachable and all(self.capabilities.values())

    @property
    def success(self) -> bool:
        """The same as `ok`."""
        return self.ok

    def has(self, name: str) -> bool:
        """Whether a program is there; False for one that was not asked for."""
        return self.capabilities.get(name, False)

    def as_dict(self) -> dict[str, object]:
        """The result as JSON types."""
        return {
            "host": self.host,
            "success": self.ok,
            "reachable": self.reachable,
            "capabilities": dict(self.capabilities),
            "returncode": self.returncode,
            "stdout": self.stdout,
            "stderr": self.stderr,
            "error": self.error.slug if self.error else None,
        }
