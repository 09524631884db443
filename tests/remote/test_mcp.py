"""What the tools of the MCP server do, asked by a real client over stdio, at a real sshd."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scitex_ssh import keys
from tests.remote.there import There, commands, free_port, standing, unique, wait_for

pytest.importorskip("fastmcp")

from fastmcp import Client
from fastmcp.client.transports import StdioTransport

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.fixture
def home(there: There, tmp_path: Path) -> Path:
    """Give a home in which all is allowed on the host, and an ssh that knows the way to it."""
    config = tmp_path / ".scitex/ssh/config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("default:\n  tunnels: allow\nhosts:\n  127.0.0.1: {exec: allow, copy: allow}\n")
    # ssh takes the home of the account, and not the one of the environment.
    wrapper = tmp_path / "bin/ssh"
    wrapper.parent.mkdir()
    known = there.folder / "known_hosts"
    wrapper.write_text(
        f"#!/bin/sh\nexec /usr/bin/ssh -i {there.folder}/key -o IdentitiesOnly=yes -o HostKeyAlias=there "
        f'-o UserKnownHostsFile={known} -o Port={there.port} "$@"\n'
    )
    wrapper.chmod(0o755)
    return tmp_path


def talk(home: Path, conversation: Callable[[Client[Any]], Awaitable[None]]) -> None:
    """Hold a conversation with a server of its own."""
    env = {"HOME": str(home), "PATH": f"{home}/bin:{PATH}"}
    words = ["-m", "scitex_ssh", "mcp", "start"]
    transport = StdioTransport(sys.executable, words, env=env, log_file=home / "stderr", keep_alive=False)

    async def hold() -> None:
        async with Client(transport, timeout=120) as client:
            await conversation(client)

    asyncio.run(hold())


async def call(client: Client[Any], tool: str, **arguments: object) -> dict[str, Any]:
    """The answer of a tool, as data."""
    answer = await client.call_tool(tool, arguments, raise_on_error=False)
    assert answer.structured_content is not None, answer.content
    assert answer.is_error == (not answer.structured_content["success"])
    return answer.structured_content


def test_a_command_is_shown_before_it_is_run(there: There, home: Path) -> None:
    """Nothing runs without the digest of what was shown; then its output and its status are told."""
    ran = home / "ran"
    wanted = {"host": "127.0.0.1", "command": f"cat; echo err >&2; touch {ran}; exit 3"}

    async def conversation(client: Client[Any]) -> None:
        shown = await call(client, "exec", **wanted, input="hello")
        assert (shown["applied"], shown["hosts"], ran.exists()) == (False, [], False)
        assert shown["events"][0]["step"].endswith(wanted["command"])
        for other in ({"input": "another"}, {"input": "hello", "timeout": 7}):
            refused = await call(client, "exec", **wanted, **other, digest=shown["digest"])
            assert ([each["slug"] for each in refused["errors"]], ran.exists()) == (["plan-changed"], False)
        done = await call(client, "exec", **wanted, input="hello", digest=shown["digest"])
        (host,) = done["hosts"]
        assert (done["applied"], done["status"], ran.exists()) == (True, 3, True)
        assert (host["stdout"], host["stderr"], host["truncated"]) == ("hello", "err\n", [])

    talk(home, conversation)


def test_what_cannot_be_done_is_not_planned(there: There, home: Path) -> None:
    """A plan that could not be applied would be a word for nothing: it is refused, with no digest."""
    host = "127.0.0.1"

    async def conversation(client: Client[Any]) -> None:
        for tool, wanted in (
            ("exec", {"host": host, "command": "a\0b"}),
            ("exec", {"host": host, "command": "\u00fc" * 50_000}),
            ("copy", {"sources": ["/etc/hostname"], "target": f"{host}:/tmp/\0"}),
            ("copy", {"sources": ["/etc/hostname"], "target": "/tmp/here"}),
        ):
            refused = await call(client, tool, **wanted)
            assert ([each["slug"] for each in refused["errors"]], refused.get("digest")) == (["usage"], None)

    talk(home, conversation)


def test_an_answer_has_room_for_so_much(there: There, home: Path) -> None:
    """Of an endless stream the begin is told, and that there was more; bytes that are no text do no harm."""
    wanted = {"host": "127.0.0.1", "command": "head -c 3000000 /dev/urandom"}

    async def conversation(client: Client[Any]) -> None:
        digest = (await call(client, "exec", **wanted))["digest"]
        (host,) = (await call(client, "exec", **wanted, digest=digest))["hosts"]
        assert host["truncated"] == ["stdout"]
        assert 20_000 < len(host["stdout"]) <= 65536
        late = {**wanted, "command": "sleep 60", "timeout": 1}
        digest = (await call(client, "exec", **late))["digest"]
        assert (await call(client, "exec", **late, digest=digest))["status"] == 124

    talk(home, conversation)


def test_a_call_that_is_given_up_ends_its_command(there: There, home: Path) -> None:
    """On the other machine, too; a second call that ran beside it is not disturbed."""
    sleep, other = f"sleep {unique()}", "sleep 2; echo done"
    host = "127.0.0.1"

    async def conversation(client: Client[Any]) -> None:
        digests = [(await call(client, "exec", host=host, command=each))["digest"] for each in (sleep, other)]
        given_up = asyncio.create_task(call(client, "exec", host=host, command=sleep, digest=digests[0]))
        beside = asyncio.create_task(call(client, "exec", host=host, command=other, digest=digests[1]))
        assert await asyncio.to_thread(wait_for, 1, sleep)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert await asyncio.to_thread(wait_for, 0, sleep), commands(sleep)
        assert (await beside)["hosts"][0]["stdout"] == "done\n"

    talk(home, conversation)


def test_a_client_that_leaves_ends_its_commands(there: There, home: Path) -> None:
    """As one that is closed in the middle of a call."""
    sleep, host = f"sleep {unique()}", "127.0.0.1"

    async def conversation(client: Client[Any]) -> None:
        digest = (await call(client, "exec", host=host, command=sleep))["digest"]
        running = asyncio.create_task(call(client, "exec", host=host, command=sleep, digest=digest))
        assert await asyncio.to_thread(wait_for, 1, sleep)
        running.cancel()

    talk(home, conversation)
    assert wait_for(0, sleep), commands(sleep)


def test_files_are_shown_before_they_are_copied(there: There, home: Path) -> None:
    """There and back; a source that was changed in between is another plan."""
    source, back = home / "a file", home / "back"
    source.write_text("one")
    host = "127.0.0.1"

    async def conversation(client: Client[Any]) -> None:
        wanted = {"sources": [str(source)], "target": f"{host}:{home}/there"}
        shown = await call(client, "copy", **wanted)
        assert "(3 bytes, " in shown["events"][0]["step"]
        source.write_text("other")
        refused = await call(client, "copy", **wanted, digest=shown["digest"])
        assert ([each["slug"] for each in refused["errors"]], (home / "there").exists()) == (
            ["plan-changed"],
            False,
        )
        digest = (await call(client, "copy", **wanted))["digest"]
        done = await call(client, "copy", **wanted, digest=digest)
        assert (done["files"], done["applied"]) == (1, True), done
        assert (home / "there").read_text() == "other"
        wanted = {"sources": [f"{host}:{home}/there"], "target": str(back)}
        await call(client, "copy", **wanted, digest=(await call(client, "copy", **wanted))["digest"])
        assert back.read_text() == "other"
        neither = await call(
            client, "copy", sources=["/etc/hostname"], target=str(home / "x"), digest="0" * 64
        )
        assert neither["success"] is False
        assert not (home / "x").exists()

    talk(home, conversation)


def test_a_host_is_probed(there: There, home: Path) -> None:
    """What is there, and what is not; a host that no policy allows is not connected to."""

    async def conversation(client: Client[Any]) -> None:
        host = "127.0.0.1"
        seen = await call(client, "probe", host=host, requires=["sh", "no-such-program"])
        assert (seen["reachable"], seen["status"]) == (True, 1)
        assert seen["capabilities"] == {"sh": True, "no-such-program": False}
        refused = await call(client, "probe", host="other.invalid")
        assert [each["slug"] for each in refused["errors"]] == ["policy-unset"]

    talk(home, conversation)


@pytest.fixture
def bastion() -> Iterator[There]:
    """Give a bastion whose account has a home of its own."""
    with standing(account=True) as there:
        yield there


def test_a_tunnel_from_a_plan_to_its_removal(bastion: There, tmp_path: Path) -> None:
    """What was shown is made, verified, shown again and removed; no answer holds a part of the key."""
    key = tmp_path / "key"
    keys.new(key)
    keys.authorize("there", key, ssh_opts=bastion.opts).raise_for_error()
    config = tmp_path / ".scitex/ssh/config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("default:\n  tunnels: allow\n")
    port = free_port()
    wanted = {
        "port": port,
        "bastion_server": f"127.0.0.1:{bastion.port}",
        "secret_key_path": str(key),
        "target": f"127.0.0.1:{bastion.port}",
        "keeper": "nohup",
        "host_key_fingerprint": keys.known.seen(_way(bastion))[0].fingerprint,
    }
    answers: list[dict[str, Any]] = []

    async def conversation(client: Client[Any]) -> None:
        async def ask(tool: str, **arguments: object) -> dict[str, Any]:
            answers.append(await call(client, tool, **arguments))
            return answers[-1]

        shown = await ask("plan", action="setup", **wanted)
        assert (shown["success"], shown["applied"], shown["changed"]) == (True, False, True), shown["errors"]
        assert (await ask("tunnel_setup", **wanted))["digest"] == shown["digest"]
        assert (await ask("tunnel_status"))["tunnels"] == []
        try:
            done = await ask("tunnel_setup", **wanted, digest=shown["digest"])
            assert (done["success"], done["applied"]) == (True, True), done["errors"]
            assert done["proofs"][0]["level"] == "verified"
            (seen,) = (await ask("tunnel_status", port=port))["tunnels"]
            assert (seen["level"], seen["keeper"]) == ("verified", "nohup")
            again = await ask("tunnel_setup", **wanted)
            assert again["changed"] is False
            stale = await ask("tunnel_remove", port=port, digest=shown["digest"])
            assert [each["slug"] for each in stale["errors"]] == ["plan-changed"]
        finally:
            gone = await ask("tunnel_remove", port=port)
            assert (await ask("tunnel_remove", port=port, digest=gone["digest"]))["applied"]
        assert (await ask("tunnel_status"))["tunnels"] == []

    talk(tmp_path, conversation)
    secret = key.read_text().splitlines()[1:-1]
    said = json.dumps(answers) + (tmp_path / "stderr").read_text()
    assert not any(line in said for line in secret)


def _way(there: There) -> Any:
    from scitex_ssh.remote.way import Way

    return Way.of("there", there.opts)
