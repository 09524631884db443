"""A request of HTTP through a host of ssh: to where that host reaches, with no port opened here."""

from __future__ import annotations

import socket
import ssl
import subprocess
from http.client import HTTPConnection
from urllib.parse import SplitResult, urlsplit

from scitex_ssh.model.ssh_host import Host

SECONDS = 60


def send(url: str, body: bytes, headers: dict[str, str], host: Host) -> bytes:
    """Post a body, and return that of the answer, whatever its status.

    Raises:
        OSError: ssh or the gateway does not answer; the words are ssh's own, where it has any.
    """
    parts = urlsplit(url)
    name, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    where = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    options = (
        "-T",
        "-oBatchMode=yes",
        "-oConnectTimeout=15",
        "-oClearAllForwardings=yes",
        "-oLogLevel=INFO",
    )
    ours, theirs = socket.socketpair()
    ours.settimeout(SECONDS)
    command = ["ssh", *options, "-W", where, *host.arguments]
    with (
        ours,
        subprocess.Popen(
            command, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.PIPE
        ) as process,
    ):
        theirs.close()
        try:
            return _posted(ours, parts, body, headers)
        except OSError as problem:
            process.terminate()
            assert process.stderr is not None
            said = process.stderr.read().decode("utf-8", "replace").splitlines()
            # Why the far end could not go on stands before ssh's own last word.
            why = [line for line in said if "open failed" in line] or said or [str(problem)]
            raise OSError(why[-1].strip()) from problem
        finally:
            process.terminate()


def _posted(line: socket.socket, parts: SplitResult, body: bytes, headers: dict[str, str]) -> bytes:
    name = parts.hostname or ""
    connection = HTTPConnection(name, parts.port, timeout=SECONDS)
    if parts.scheme == "https":
        line = ssl.create_default_context().wrap_socket(line, server_hostname=name)
    connection.sock = line
    connection.request("POST", parts.path, body, headers)
    return connection.getresponse().read(1 << 20)
