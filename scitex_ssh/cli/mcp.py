"""The commands for the server that speaks the Model Context Protocol."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING, Any

import click

from scitex_ssh import policy
from scitex_ssh.cli import present
from scitex_ssh.cli.app import SETTINGS
from scitex_ssh.errors import Exit, SSHError, error

if TYPE_CHECKING:
    from types import ModuleType

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")
_CONFIG = {"mcpServers": {"scitex-ssh": {"command": "scitex-ssh", "args": ["mcp", "start"]}}}


@click.group("mcp", context_settings=SETTINGS)
def mcp() -> None:
    """Serve the tools for programs that speak the Model Context Protocol (needs scitex-ssh[mcp])."""


@mcp.command("start")
def start() -> int:
    """Serve on standard input and output until the client leaves."""
    _server().start()
    return Exit.DONE


@mcp.command("list-tools")
@_json
def list_tools(as_json: bool) -> int:
    """List the tools, with what each may do."""
    tools = _tools()
    if as_json:
        present.envelope("mcp list-tools", {"success": True, "tools": tools})
        return Exit.DONE
    for tool in tools:
        kind = "reads" if tool["annotations"]["readOnlyHint"] else "writes"
        print(f"{tool['name']:15} {kind:7} {tool['description'].splitlines()[0]}")
    return Exit.DONE


@mcp.command("doctor")
def doctor() -> int:
    """Tell whether the server can be started here, and whether it would be let do anything."""
    tools = _tools()
    print(f"{'ok':8} fastmcp is here, and the server has {len(tools)} tools")
    try:
        policy.check("tunnels", *policy.this_host())
    except SSHError as problem:
        print(f"{'warning':8} tunnel_setup would be refused: {problem}")
        return Exit.DONE
    print(f"{'ok':8} the policy allows tunnels on this machine")
    return Exit.DONE


@mcp.command("show-installation")
@_json
def show_installation(as_json: bool) -> int:
    """Show what a client's configuration needs."""
    if as_json:
        install = {"install": "pip install 'scitex-ssh[mcp]'", "config": _CONFIG}
        present.envelope("mcp show-installation", {"success": True, **install})
        return Exit.DONE
    print("pip install 'scitex-ssh[mcp]', then in the client's configuration:")
    print(json.dumps(_CONFIG, indent=2))
    return Exit.DONE


def _tools() -> list[dict[str, Any]]:
    import asyncio

    listed = asyncio.run(_server().server().list_tools())
    return [tool.to_mcp_tool().model_dump(mode="json", by_alias=True, exclude_none=True) for tool in listed]


def _server() -> ModuleType:
    try:
        from scitex_ssh.mcp import server
    except ImportError as problem:
        if (problem.name or "").partition(".")[0] not in ("fastmcp", "pydantic", "mcp"):
            raise
        version = platform.python_version()
        what = "the MCP server"
        raise error("extra-missing", what=what, package="fastmcp", version=version, extra="mcp") from problem
    return server
