"""The gateway over SSH: what the forced command of a key that asks to be enrolled runs."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace

from scitex_ssh.errors import SSHError, error
from scitex_ssh.gateway import limits
from scitex_ssh.gateway.registration import Caller
from scitex_ssh.gateway.service import Service, granted, opened, way
from scitex_ssh.gateway.settings import Settings, environment
from scitex_ssh.render.authorized_keys import PublicKey

BYTES = 32 * 1024
WORDS = ("enrol", "port", "way", "status")


def main(arguments: list[str]) -> int:
    """Answer one session; the arguments are the key that sshd let in, type and body."""
    word = os.environ.get("SSH_ORIGINAL_COMMAND", "").strip()
    try:
        key = PublicKey.parse(" ".join(arguments))
        answer = _answer(word, key)
    except SSHError as problem:
        if word == "enrol":
            print(json.dumps({"error": {"slug": problem.slug, "facts": problem.facts}}))
        print(f"scitex-ssh gateway: {problem}", file=sys.stderr)
        return int(problem.status)
    short = {"port": answer["port"], "way": way(answer)}
    print(short.get(word) or json.dumps(answer))
    return 0


def _answer(word: str, key: PublicKey) -> dict[str, object]:
    if word not in WORDS:
        raise error("gateway-request", why=f"the command is one of {', '.join(WORDS)}")
    settings = Settings.of(environment(os.environ))
    service = Service(settings, opened(settings))
    limits.session(service.store, _address())
    caller = Caller(address=_address(), proven=True)
    if word == "status":
        machine = service.store.holder(key.fingerprint)
        return granted(machine, service.bastion(machine.bastion))
    said = _said()
    token = said.pop("token", "")
    if not isinstance(token, str):
        raise error("gateway-request", why="the token is no text")
    answer = service.enrol({**said, "public_key": str(key)}, replace(caller, token=token))
    if answer["state"] == "pending":
        raise error("gateway-pending", name=answer["name"])
    return answer


def _said() -> dict[str, object]:
    """What came on the standard input: an object of JSON, or a token alone, or nothing."""
    text = sys.stdin.buffer.read(BYTES + 1)
    if len(text) > BYTES:
        raise error("gateway-request", why=f"more than {BYTES} bytes were sent")
    try:
        words = text.decode("utf-8").strip()
        if not words.startswith("{"):
            return {"token": words}
        said = json.loads(words)
    except ValueError as problem:
        raise error("gateway-request", why="what was sent is no JSON") from problem
    except RecursionError as problem:
        raise error("gateway-request", why="what was sent is too deep") from problem
    known = {"token", "name", "login", "host_keys"}
    if not isinstance(said, dict) or not set(said) <= known:
        raise error("gateway-request", why=f"an object with {', '.join(sorted(known))} is expected")
    return said


def _address() -> str:
    """Where the session comes from, as sshd says it."""
    return os.environ.get("SSH_CONNECTION", "").partition(" ")[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
