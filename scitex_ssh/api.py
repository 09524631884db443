"""The Python API: what the commands do, as functions that return values."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scitex_ssh import defaults, policy
from scitex_ssh.backends import local as this_machine
from scitex_ssh.errors import Exit, InputError, SSHError
from scitex_ssh.model import Destination, Port, Tunnel, TunnelName
from scitex_ssh.model.text import shown
from scitex_ssh.model.tunnel import FORWARD_FIELDS
from scitex_ssh.plan.program import bind, which
from scitex_ssh.plan.report import Line, Report

if TYPE_CHECKING:
    from scitex_ssh.health.fixes import Fix

Tell = Callable[[Line], None]


def _silent(line: Line) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Result(Mapping[str, object]):
    """What a call did; also a mapping with the keys of `as_dict`.

    Attributes:
        status: the exit status that the command ends with (`scitex_ssh.errors.Exit`).
        report: everything that was said.
    """

    status: int
    report: Report

    @property
    def success(self) -> bool:
        """True when the exit status is 0."""
        return self.status == 0

    @property
    def error(self) -> SSHError | None:
        """The first error, or None."""
        return self.report.errors[0] if self.report.errors else None

    @property
    def changed(self) -> bool:
        """True when something was changed (or would be, in a dry run)."""
        return self.report.changed

    def raise_for_error(self) -> Result:
        """This result, or its first error raised."""
        if self.error is not None:
            raise self.error
        return self

    def as_dict(self) -> dict[str, object]:
        """The result as JSON types, the same as ``--json`` prints (docs/reference/json.md)."""
        return {"success": self.success, **self.report.as_dict()}

    def __getitem__(self, key: str) -> object:
        return self.as_dict()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.as_dict())

    def __len__(self) -> int:
        return len(self.as_dict())


def setup(
    port: object = None,
    bastion_server: object = None,
    secret_key_path: object = None,
    *,
    target: object = None,
    user: object = None,
    engine: object = "ssh",
    keeper: object = None,
    keepalive: object = None,
    name: object = None,
    remote: object = None,
    local: object = None,
    dynamic: object = None,
    remote_socket: object = None,
    jump: object = None,
    jump_key: object = None,
    proxy: object = None,
    on_up: object = None,
    on_down: object = None,
    accept_new_host_key: bool = False,
    host_key_fingerprint: str | Sequence[str] | None = None,
    accept_listening: bool = False,
    dry_run: bool = False,
    consent: bool | None = False,
    tell: Tell = _silent,
) -> Result:
    """Keep a reverse tunnel from ``port`` of the bastion to ``target`` on this machine, and prove it.

    Args:
        port: 1024 to 65535 (below only for root on the bastion); not needed where another forward is given.
        bastion_server: ``[user@]host[:port]``; by default as ``scitex-ssh config show`` tells. Several
            (``a,b`` or a list) are a tunnel each: the first is called as one alone would be, the others
            ``2222-2`` and so on. What cannot be proven is undone, and the others stay.
        secret_key_path: a private key without passphrase; by default as told there.
        target: ``host:port`` or the path of a Unix socket, by default ``localhost:22``.
        name: what the tunnel is called; by default its port.
        remote: forwards besides, as OpenSSH's -R takes them: one, or a list of them.
        local: the same for -L.
        dynamic: the same for -D.
        remote_socket: instead of a port, a Unix socket of the bastion: its path, or a name in its /tmp.
        user: the account that keeps the tunnel, by default the caller (through sudo, its caller).
        engine: ``ssh`` or ``autossh``.
        keeper: what keeps it alive: ``auto``, ``systemd``, ``systemd-user``, ``cron``, ``profile``,
            ``nohup``, ``screen`` or ``tmux`` (docs/reference/keepers.md); by default as told there.
        keepalive: ``fast``, ``default``, ``patient`` or ``INTERVALxCOUNT`` (seconds, probes).
        jump: hosts to jump over on the way to the bastion, the nearest first: ``a,b`` or a list of them.
        jump_key: the key for the first of them, or a list of keys in their order; by default the tunnel's.
        proxy: for the first connection of the way, ``http://proxy.example.com:3128`` or
            ``socks5://proxy.example.com:1080``.
        on_up: a command, of one line for the shell, that is run once whenever the tunnel has come up, as its
            user; by default as ``scitex-ssh config show`` tells.
        on_down: the same when it is lost.
        accept_new_host_key: trust the bastion's host key, and those of jump hosts, where none is known.
        host_key_fingerprint: ``SHA256:...``; trust it only if this is its fingerprint. A list where
            there are jump hosts.
        accept_listening: be content where the bastion does not let the key dial the port back.
        dry_run: change nothing; the result holds the diff. Only a tunnel that is in place is dialled.
        consent: True says that the rules of the networks concerned permit the tunnel. It is needed
            where no configuration says anything of tunnels (``scitex-ssh policy allow tunnels`` says it
            once), and helps against no deny. None: not to raise ``policy-unset`` at once; where there is
            something to be done, the result then holds it.
        tell: called with each line of the report as soon as it is known.

    Raises:
        InputError: for input that cannot be right; nothing was touched.
        PolicyError: where it is not allowed; nothing was touched.
    """
    tunnels = each_described(
        port,
        bastion_server,
        secret_key_path,
        target=target,
        user=user,
        engine=engine,
        keeper=keeper,
        keepalive=keepalive,
        name=name,
        remote=remote,
        local=local,
        dynamic=dynamic,
        remote_socket=remote_socket,
        jump=jump,
        jump_key=jump_key,
        proxy=proxy,
        on_up=_hook(on_up, "on_up"),
        on_down=_hook(on_down, "on_down"),
    )
    flags = [
        *(["--accept-new-host-key"] if accept_new_host_key else []),
        *map(_fingerprint, _several(host_key_fingerprint)),
        *(["--accept-listening"] if accept_listening else []),
        *(["--dry-run"] if dry_run else []),
    ]
    granted = _granted(consent or (None if dry_run else consent))
    return _result(this_machine.run("setup", map(bind, tunnels), flags, tell, granted))


def status(port: object = None, *, name: object = None, wait: float = 0, tell: Tell = _silent) -> Result:
    """What is so of one tunnel (by its port or its name), or of all; each is proven anew.

    The result's exit status is 50 when any is not verified, 1 when there is no such tunnel.

    Args:
        wait: seconds to wait for every tunnel to be verified; the last look is what is returned.
    """
    flags = _which(port, name)
    deadline = time.monotonic() + wait
    while True:
        report = this_machine.run("status", (), flags, tell)
        if report.status != Exit.UNHEALTHY or time.monotonic() >= deadline:
            return _result(report)
        time.sleep(min(0.5, max(0.0, deadline - time.monotonic())))


def remove(
    port: object = None,
    *,
    name: object = None,
    bastion: object = None,
    dry_run: bool = False,
    tell: Tell = _silent,
) -> Result:
    """Remove the tunnel of that name, or those on ``port``, without a trace; exit status 1 for none.

    Args:
        bastion: ``[user@]host[:port]``; of the tunnels on ``port`` only the one to it.

    Raises:
        InputError: for a port, a name or a bastion that cannot be one, or for neither of the first two.
    """
    flags = ["--must-exist", *(["--dry-run"] if dry_run else [])]
    wanted = named(port, name)
    if bastion is not None and name is not None:
        raise InputError("usage", why="-n names one tunnel, so -b is not for it", command="scitex-ssh remove")
    there = None if bastion is None else Destination.parse(bastion)
    return _result(this_machine.run("remove", [which(wanted, there)], flags, tell))


def named(port: object, name: object) -> TunnelName | Port:
    """What tells the tunnel from others: its name or its port; `InputError` for neither, or for both."""
    if name is None and port is None:
        raise InputError("missing-field", what="port", how="-p, or -n with a name")
    if name is not None and port is not None:
        why = "a tunnel that stands is told by its port (-p) or by its name (-n), not by both"
        raise InputError("usage", why=why, command="scitex-ssh status")
    return Port(port) if name is None else TunnelName(name)


def _which(port: object, name: object) -> list[str]:
    """The flags that name one tunnel, or none."""
    if port is None and name is None:
        return []
    return [f"--{kind}={value}" for kind, value in which(named(port, name)).items()]


def doctor(
    port: object = None,
    bastion_server: object = None,
    secret_key_path: object = None,
    *,
    target: object = None,
    user: object = None,
    name: object = None,
    fix: bool | Callable[[Fix], bool] = False,
    accept_new_host_key: bool = False,
    tell: Tell = _silent,
    **more: object,
) -> Result:
    """Find what is wrong with the tunnel on ``port``, or with the way that a new one would take.

    With a port or a name alone, the tunnel that stands there is examined; with ``bastion_server`` and
    ``secret_key_path`` (and if wanted a port) the one that is described. Without ``fix`` nothing is changed.
    The result's exit status is 50 when something is wrong; ``result["checks"]`` holds the checks, in the
    order in which SSH happens. ``more`` are the other fields of a description, as `setup` takes them.

    Args:
        fix: put right what is safe to, and look again: the mode of the key, of the home and of ``~/.ssh``,
            the bastion's host key, lingering, a disabled unit. True takes all but the host key; a function
            is asked for each. What was done is an event of the result.
        accept_new_host_key: with ``fix=True``: take the host key of a bastion that is not known, too.
        tell: called with each line of the report as soon as it is known.

    Raises:
        InputError: for input that cannot be right.
        TunnelError: ``step-failed`` for a fix that could not be done.
    """
    if accept_new_host_key and fix is not True:
        why = "--accept-new-host-key is for --fix"
        raise InputError("usage", why=why, command="scitex-ssh doctor")
    if bastion_server is None and secret_key_path is None and (port is not None or name is not None):
        if target is not None or user is not None or any(more.values()):
            why = "what describes a new tunnel wants -b and -s; else the one that stands is examined"
            raise InputError("usage", why=why, command="scitex-ssh doctor")
        flags, tunnel = _which(port, name), None
    else:
        # Any port does for the description of a way on which none was asked for.
        known = port is not None or any(more.get(field) for field in FORWARD_FIELDS)
        way = port if known else 65535
        tunnel = described(way, bastion_server, secret_key_path, target=target, user=user, name=name, **more)
        flags = [] if known else ["--any-port"]

    def examine() -> Report:
        return this_machine.run("doctor", [] if tunnel is None else [bind(tunnel)], flags, tell)

    seen = examine()
    if not fix:
        return _result(seen)
    from scitex_ssh.health.fixes import about
    from scitex_ssh.health.mend import mend

    take = fix if callable(fix) else lambda offer: accept_new_host_key or not offer.shown
    wanted = str(name or port)
    return _result(mend(seen, examine, lambda check: about(tunnel, check.tunnel or wanted), take, tell))


def bundle(file: str | os.PathLike[str], examined: Result) -> Path:
    """Write what `doctor` saw, all tunnels, and their files, as a .tar.gz without secrets; that path.

    Look through it before you send it: it names hosts, accounts and paths.

    Args:
        file: readable by its owner alone; there at once, or not at all.
        examined: what `doctor` returned.

    Raises:
        OSError: where it cannot be written.
    """
    from scitex_ssh.health import bundle as support

    path = Path(file)
    words = "\n".join(each.text for each in examined.report.checks)
    support.write(path, support.contents(examined.as_dict(), status().as_dict(), words))
    return path


def metrics(seen: Result, file: str | os.PathLike[str] | None = None) -> str:
    """What `status` saw, in the Prometheus text format.

    Args:
        seen: what `status` returned.
        file: written, too, at once and readable by all: for node_exporter's textfile collector.

    Raises:
        OSError: where it cannot be written.
    """
    from scitex_ssh.health import metrics as prometheus

    text = prometheus.text(seen.report.observations)
    if file is not None:
        prometheus.write(Path(file), text)
    return text


def described(port: object, bastion_server: object, secret_key_path: object, **more: object) -> Tunnel:
    """As `each_described`, where only one bastion can be meant; of those that are not given, the first."""
    first, *others = each_described(port, bastion_server, secret_key_path, **more)
    if others and bastion_server is not None:
        raise InputError("bad-destination", value=shown(str(others[0].bastion)), why="one is enough here")
    return first


def each_described(
    port: object, bastion_server: object, secret_key_path: object, **more: object
) -> tuple[Tunnel, ...]:
    """What describes a tunnel, once a bastion; what was not given is taken from the environment or a file.

    Raises:
        InputError: for what is missing or cannot be right.
    """
    if more.get("jump_key") is not None:
        more["jump_key"] = [key_path(each) for each in _several(more["jump_key"])]
    for name in ("keeper", "keepalive"):
        if name in more:
            more[name] = _given(more[name], name, f"--{name}")
    return Tunnel.one_a_bastion(
        port,
        _given(bastion_server, "bastion", "-b"),
        key_path(_given(secret_key_path, "key", "-s")),
        **more,
    )


def key_path(path: object) -> object:
    """A relative path made absolute; ``~/`` stays, and means the home of the tunnel's user."""
    if isinstance(path, os.PathLike):
        path = os.fspath(path)
    if not isinstance(path, str) or not path or path.startswith(("~", "/")):
        return path
    return str(Path.cwd() / path)


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _granted(consent: bool | None) -> str:
    """What the policy says of tunnels on this machine, in the word for the program."""
    names = policy.this_host()
    policy.check("tunnels", *names, consent=consent is not False)
    allowed = consent or policy.answer("tunnels", *names).verdict == "allow"
    return "1" if allowed else "unset"


def _fingerprint(text: str) -> str:
    if not text.startswith("SHA256:") or text == "SHA256:":
        why = f"{shown(text)} is not a fingerprint (SHA256:...)"
        raise InputError("usage", why=why, command="scitex-ssh setup")
    return f"--host-key-fingerprint={text}"


def _given(value: object, name: str, flag: str) -> object:
    if value is not None:
        return value
    found = defaults.of(name)
    if found.value is None:
        how = f"{flag}, or set {defaults.VARIABLES[name]}"
        raise InputError("missing-field", what=name, how=how)
    return found.value


def _hook(value: object, name: str) -> object:
    return defaults.of(name).value if value is None else value


def _result(report: Report) -> Result:
    return Result(report.status, report)
