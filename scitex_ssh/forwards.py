"""The Python API of forwards for a while: for as long as a block runs, or in the background until stopped."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from scitex_ssh import __version__, api, policy
from scitex_ssh.api import Result, Tell
from scitex_ssh.backends import local as this_machine
from scitex_ssh.errors import Exit, error
from scitex_ssh.keepers import FRAGMENTS, PLANS
from scitex_ssh.model import Tunnel, TunnelName
from scitex_ssh.model.discovery import MOST_BYTES, local_forwards
from scitex_ssh.model.tunnel import default_name
from scitex_ssh.plan.program import bind, program
from scitex_ssh.plan.report import Line, Observation, Proof, Report, read_line
from scitex_ssh.remote.session import die_with_parent

# Those in the background are tunnels of the keeper nohup, known among others by the beginning of their names.
PREFIX = "forward-"

__all__ = ["begin", "hold", "running", "stop"]


def _silent(line: Line) -> None:
    """Nobody listens."""


@contextmanager
def hold(
    bastion_server: object = None,
    secret_key_path: object = None,
    *,
    local: str | Sequence[str] = (),
    dynamic: str | Sequence[str] = (),
    remote: str | Sequence[str] = (),
    discovery: str | Path | None = None,
    service: Sequence[str] = (),
    accept_new_host_key: bool = False,
    consent: bool = True,
    tell: Tell = _silent,
    **more: object,
) -> Iterator[Result]:
    """Hold forwards while the block runs: proven when it begins, made anew when they break, gone after it.

    ``more`` are the other fields of a description, as `setup` takes them: ``jump``, ``proxy``, ``keepalive``.

    Args:
        local: ``[BIND:]PORT:HOST:PORT`` as ssh's -L takes it: one, or a list of them.
        dynamic: ``[BIND:]PORT``, the same for -D.
        remote: the same for -R, from the bastion to here.
        discovery: a JSON file with a node and its ports: each becomes the same port here.
        service: of that file's ports only these.
        accept_new_host_key: trust the bastion's host key where none is known.
        consent: False refuses where no policy allows it, as for a caller who may not decide that.
        tell: called with each line of the report as soon as it is known, by another thread.

    Raises:
        InputError: for input that cannot be right; nothing was touched.
        PolicyError: where it is not allowed; nothing was touched.
        SSHError: where they cannot be made; nothing is left of them.
    """
    tunnel = described(
        bastion_server,
        secret_key_path,
        name="forward",
        local=local,
        dynamic=dynamic,
        remote=remote,
        discovery=discovery,
        service=service,
        **more,
    )
    permit(tunnel, consent)
    flags = ["--accept-new-host-key"] if accept_new_host_key else []
    with started(tunnel, flags) as process:
        report, decided = Report(), threading.Event()

        def read() -> None:
            assert process.stdout is not None
            for text in process.stdout:
                said = read_line(text)
                if said is not None:
                    report.lines.append(said)
                    tell(said)
                if isinstance(said, Proof):
                    decided.set()
            decided.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            decided.wait()
            if not report.proofs:
                raise next(iter(report.errors), None) or error("internal", why="it ended without a word")
            yield Result(Exit.DONE, report)
        finally:
            # It ends what it holds; that it does not come back is for the caller to see.
            process.terminate()
            process.wait()
            reader.join()


def begin(
    bastion_server: object = None,
    secret_key_path: object = None,
    *,
    name: str | None = None,
    local: str | Sequence[str] = (),
    dynamic: str | Sequence[str] = (),
    remote: str | Sequence[str] = (),
    discovery: str | Path | None = None,
    service: Sequence[str] = (),
    accept_new_host_key: bool = False,
    consent: bool = True,
    tell: Tell = _silent,
    **more: object,
) -> Result:
    """Begin forwards in the background: proven, or undone. They end by `stop`, or with the machine.

    Arguments and errors are those of `hold`, but for:

    Args:
        name: what they are called; by default of what they are (``local-5432``).
    """
    tunnel = described(
        bastion_server,
        secret_key_path,
        name=name,
        keeper="nohup",
        local=local,
        dynamic=dynamic,
        remote=remote,
        discovery=discovery,
        service=service,
        **more,
    )
    permit(tunnel, consent)
    return begun(tunnel, name, ["--accept-new-host-key"] if accept_new_host_key else [], tell)


def running() -> Result:
    """Those in the background, each proven anew; the exit status is 50 when one is not verified."""
    seen = api.status()
    seen.report.lines = [
        each
        for each in seen.report.lines
        if not isinstance(each, Observation) or each.tunnel.startswith(PREFIX)
    ]
    healthy = all(each.level == "verified" for each in seen.report.observations)
    status = int(Exit.DONE) if seen.status == Exit.UNHEALTHY and healthy else seen.status
    seen.report.status = status
    return Result(status, seen.report)


def stop(name: str = "all", *, tell: Tell = _silent) -> Result:
    """End those in the background that are called so, or ``all``; the first failure is the exit status.

    Raises:
        InputError: for a name that cannot be one.
    """
    if name == "all":
        names = [TunnelName(each.tunnel) for each in running().report.observations]
    else:
        names = [_full(name)]
    results = [api.remove(name=each, tell=tell) for each in names]
    status = next((each.status for each in results if each.status), int(Exit.DONE))
    lines = [line for each in results for line in each.report.lines]
    return Result(status, Report(lines, status))


def described(
    bastion_server: object,
    secret_key_path: object,
    *,
    name: object,
    discovery: str | Path | None = None,
    service: Sequence[str] = (),
    local: str | Sequence[str] = (),
    **more: object,
) -> Tunnel:
    """The forwards as a tunnel; raises `InputError`."""
    wanted = [local] if isinstance(local, str) else list(local)
    if discovery is not None:
        wanted += local_forwards(_read(Path(discovery)), str(discovery), tuple(service))
    return api.described(None, bastion_server, secret_key_path, name=name, local=wanted, **more)


def permit(tunnel: Tunnel, consent: bool = True) -> None:
    """Whoever types the command says yes to it; a deny stays one."""
    policy.check("forward", tunnel.bastion.host, consent=consent)
    if any(each.on_bastion for each in tunnel.forwards):
        policy.check("tunnels", *policy.this_host(), consent=consent)


def begun(tunnel: Tunnel, name: str | None, flags: Sequence[str], tell: Tell) -> Result:
    """Set it up in the background, proven or undone, as any tunnel."""
    named = replace(tunnel, name=_full(name or default_name(tunnel.forwards)))
    report = this_machine.run("setup", [bind(named)], flags, tell, granted="1")
    return Result(report.status, report)


@contextmanager
def started(tunnel: Tunnel, flags: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """The tunnel's program, in the foreground, in a session of its own; its standard output is its lines."""
    with tempfile.TemporaryDirectory(prefix="scitex-ssh-") as made:
        folder = Path(made)
        # The program's own folder is cleared by it as it ends.
        text = program(
            PLANS,
            FRAGMENTS,
            entry='main foreground "$@"',
            tunnels=[bind(tunnel)],
            extra=("main",),
            version=__version__,
        )
        (folder / "program").write_text(text, encoding="utf-8")
        (folder / "tunnel").mkdir()
        command = ["sh", str(folder / "program"), "--machine", f"--foreground={folder}/tunnel", *flags]
        # So that a Ctrl-C ends it once, by us.
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # And a kill that leaves us no time to do so ends it, too.
            preexec_fn=die_with_parent,
        ) as process:
            yield process


def _full(name: str) -> TunnelName:
    return TunnelName(name if name.startswith(PREFIX) else PREFIX + name)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise error("bad-discovery", path=path, why=f"it is larger than {MOST_BYTES} bytes")
        return content.decode("utf-8-sig")
    except OSError as problem:
        raise error("bad-discovery", path=path, why=(problem.strerror or "").lower()) from problem
    except UnicodeDecodeError as problem:
        raise error("bad-discovery", path=path, why="it is not UTF-8") from problem
