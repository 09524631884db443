"""The MCP server, started as a client starts it and asked by a real client over stdio."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from scitex_ssh.api import Result
from scitex_ssh.errors import SSHError
from scitex_ssh.plan.report import Event, Report

pytest.importorskip("fastmcp")

from fastmcp import Client
from fastmcp.client.transports import StdioTransport

from scitex_ssh.mcp import plans

START = [sys.executable, "-m", "scitex_ssh", "mcp", "start"]
TUNNEL = {"port": 2222, "bastion_server": "u@gw", "secret_key_path": "/no/such/key"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home without a policy."""
    return tmp_path


def talk(home: Path, conversation: Callable[[Client[Any]], Awaitable[None]]) -> None:
    """Hold a conversation with a server of its own."""
    env = {"HOME": str(home), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    transport = StdioTransport(START[0], START[1:], env=env, log_file=home / "stderr", keep_alive=False)

    async def hold() -> None:
        async with Client(transport, timeout=120) as client:
            await conversation(client)

    asyncio.run(hold())


async def slugs(client: Client[Any], tool: str, **arguments: object) -> list[str]:
    """The errors of a call that is refused, which is told as an error, with the next move in words too."""
    answer = await client.call_tool(tool, arguments, raise_on_error=False)
    assert answer.is_error
    body = answer.structured_content
    assert body is not None, answer.content
    assert not body["success"]
    assert json.loads(answer.content[0].text) == body  # type: ignore[union-attr]
    assert all(problem["next"] for problem in body["errors"])
    return [problem["slug"] for problem in body["errors"]]


def allow(home: Path, verdict: str = "allow") -> None:
    """Write a policy for tunnels."""
    path = home / ".scitex/ssh/config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"default:\n  tunnels: {verdict}\n")


HINTS = {
    # read-only, destructive
    "tunnel_setup": (False, True),
    "tunnel_remove": (False, True),
    "tunnel_status": (True, False),
    "doctor": (True, False),
    "plan": (True, False),
    "render": (True, False),
    "exec": (False, True),
    "copy": (False, True),
    "probe": (True, False),
}


def test_the_tools_their_hints_and_the_policy(home: Path) -> None:
    """What writes says that it does; where nobody has allowed it, nothing is planned nor applied."""

    async def conversation(client: Client[Any]) -> None:
        tools = {tool.name: tool for tool in await client.list_tools()}
        assert set(tools) == set(HINTS)
        for name, tool in tools.items():
            hints = tool.annotations
            assert hints is not None
            assert (hints.read_only_hint, hints.destructive_hint) == HINTS[name]
            assert tool.description
            assert tool.output_schema is not None
            assert set(tool.output_schema["required"]) == {"version", "command", "success", "status"}
        schema = tools["tunnel_setup"].input_schema
        assert schema["required"] == ["port"]
        assert schema["properties"]["port"]["maximum"] == 65535
        # No argument is a consent.
        assert "consent" not in schema["properties"]
        for verdict, slug in (("", "policy-unset"), ("deny", "policy-denied"), ("maybe", "policy-broken")):
            if verdict:
                allow(home, verdict)
            for tool, more in (
                ("tunnel_setup", {}),
                ("plan", {"action": "setup"}),
                ("tunnel_setup", {"digest": "0"}),
            ):
                assert await slugs(client, tool, **TUNNEL, **more) == [slug]
            for tool, arguments in (
                ("exec", {"host": "lab1", "command": "true", "digest": "0"}),
                ("copy", {"sources": ["lab1:x"], "target": str(home / "x")}),
                ("probe", {"host": "lab1"}),
            ):
                wanted = "policy-broken" if slug == "policy-broken" else "policy-unset"
                assert await slugs(client, tool, **arguments) == [wanted]
        allow(home)
        assert (await slugs(client, "tunnel_setup", **TUNNEL))[0] in ("systemd-missing", "key-missing")

    talk(home, conversation)


def test_a_hostile_client_gets_answers(home: Path) -> None:
    """Wrong types, values that mean something elsewhere, a megabyte, an unknown tool; then it still works."""
    allow(home)

    async def conversation(client: Client[Any]) -> None:
        for arguments in (
            {},
            {"port": "no"},
            {"port": 0},
            {"port": 2**70},
            {"port": [2222]},
            {"port": 2222, "engine": "mosh"},
            {"port": 2222, "surprise": 1},
            {"port": 2222, "bastion_server": {"$ne": ""}},
            {"port": 2222, "bastion_server": "x" * 1_000_000},
            {"port": 2222, "bastion_server": "u@gw", "secret_key_path": "/" + "k" * 1_000_000},
        ):
            answer = await client.call_tool("tunnel_setup", arguments, raise_on_error=False)
            assert answer.is_error, arguments
            said = "".join(getattr(part, "text", "") for part in answer.content)
            assert "Traceback" not in said
        for value, slug in (("-oProxyCommand=touch pwned", "bad-destination"), ("a\nb", "bad-destination")):
            assert await slugs(client, "plan", action="setup", **{**TUNNEL, "bastion_server": value}) == [
                slug
            ]
        assert await slugs(client, "render", action="setup", **{**TUNNEL, "target": "$(id)"}) == [
            "bad-target"
        ]
        way = {"jump": "a,b:2200", "jump_key": ["/k1"], "proxy": "http://p:1"}
        answer = await client.call_tool(
            "render", {"action": "setup", **TUNNEL, **way, "bastion_server": "u@gw,u@gw2"}
        )
        assert answer.structured_content is not None
        script = answer.structured_content["script"]
        assert "t_jumps='- a 22\n- b 2200' t_jump_keys=/k1 t_proxy=http://p:1" in script
        assert ("t_name=2222 " in script, "t_name=2222-2 " in script) == (True, True)
        for part, slug in (({"jump": "-o"}, "bad-jump"), ({"proxy": "ftp://p:1"}, "bad-proxy")):
            assert await slugs(client, "render", action="setup", **{**TUNNEL, **part}) == [slug]
        with pytest.raises(Exception, match="nonsense"):
            await client.call_tool("nonsense", {})
        # Two at once each get their own answer; one that is given up leaves a server that answers.
        asked = (client.call_tool("render", {"action": "status", "port": port}) for port in (2001, 2002))
        answers = await asyncio.gather(*asked)
        for port, answer in zip((2001, 2002), answers):
            assert answer.structured_content is not None
            assert f"t_port={port}" in answer.structured_content["script"]
        given_up = asyncio.create_task(client.call_tool("doctor", TUNNEL, raise_on_error=False))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert await slugs(client, "tunnel_remove", port=2999) == ["no-such-tunnel"]

    talk(home, conversation)
    assert not list(home.glob("**/pwned"))


WRONG: list[Any] = [
    {"$ne": ""},
    [[]],
    "\0",
    "-oProxyCommand=touch pwned",
    "x" * 200_000,
    2**70,
]


def test_no_tool_takes_what_it_cannot_mean(home: Path) -> None:
    """Each argument of each tool in turn is a thing that it cannot be: no answer is a trace."""
    allow(home)
    path = home / ".scitex/ssh/config.yaml"
    path.write_text("default: {tunnels: allow, exec: allow, copy: allow}\n")
    given = {
        "port": 2222,
        "bastion_server": "u@gw.invalid",
        "secret_key_path": "/no/such/key",
        "action": "setup",
        "host": "lab1.invalid",
        "command": "true",
        "sources": ["/etc/hostname"],
        "target": "lab1.invalid:x",
    }

    async def conversation(client: Client[Any]) -> None:
        for tool in await client.list_tools():
            known = tool.input_schema["properties"]
            needed = {name: given[name] for name in tool.input_schema.get("required", ())}
            for name in known:
                for value in WRONG:
                    stale = {"digest": "0"} if "digest" in known else {}
                    wrong = {**needed, **stale, name: value}
                    answer = await client.call_tool(tool.name, wrong, raise_on_error=False)
                    said = "".join(getattr(part, "text", "") for part in answer.content)
                    assert "Traceback" not in said
                    assert "[internal]" not in said, (tool.name, name, str(value)[:40], said)
                    body = answer.structured_content or {}
                    assert not body.get("applied")
        assert await slugs(client, "tunnel_remove", port=2999) == ["no-such-tunnel"]

    talk(home, conversation)
    assert not list(home.glob("**/pwned"))


def test_nothing_but_the_protocol_is_on_standard_output(home: Path) -> None:
    """Each line is one JSON-RPC message; words that are none do not end the server."""
    hello = {
        "protocolVersion": "2025-03-26",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}),
        json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        "this is no JSON",
        json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "tunnel_status"}}),
    ]
    with subprocess.Popen(
        START,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"HOME": str(home), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n".join(lines) + "\n")
        process.stdin.flush()
        said = []
        while not any(message.get("id") == 2 for message in said):
            said.append(json.loads(process.stdout.readline()))
        process.stdin.close()
        assert process.wait(60) == 0
        assert process.stdout.read() == ""
    assert {message["jsonrpc"] for message in said} == {"2.0"}
    assert "result" in next(message for message in said if message.get("id") == 2)


# Plan, digest, apply


def test_what_is_applied_is_what_was_shown() -> None:
    """The digest of a plan applies it; of another plan, or of other arguments, it applies nothing."""
    done: list[bool] = []
    files = ["a"]

    def call(dry_run: bool) -> Result:
        done.append(dry_run)
        kind = "would-change" if dry_run else "changed"
        return Result(0, Report([Event("2222", kind, name) for name in files]))

    shown = plans.planned({"port": 2222}, call)
    assert (shown["applied"], done) == (False, [True])
    digest = str(shown["digest"])
    applied = plans.applied({"port": 2222}, call, digest)
    assert (applied["applied"], applied["changed"], done) == (True, True, [True, True, False])
    for arguments, now in (({"port": 2223}, ["a"]), ({"port": 2222}, ["a", "b"])):
        files[:] = now
        with pytest.raises(SSHError) as caught:
            plans.applied(arguments, call, digest)
        assert caught.value.slug == "plan-changed"
    assert done.count(False) == 1


def test_without_the_package_the_command_says_so() -> None:
    """As on Python 3.9 and in the .pyz."""
    program = "import sys; sys.modules['fastmcp'] = None; from scitex_ssh.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", program, "mcp", "start"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (10, "")
    assert done.stderr.endswith("[extra-missing]\n")
