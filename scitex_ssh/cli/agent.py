"""The agent: a machine's tunnel by a gateway, held in the foreground."""

from __future__ import annotations

from typing import Any

import click

from scitex_ssh import api
from scitex_ssh.cli import enrol, forward, present
from scitex_ssh.errors import Exit, error


@click.command("agent")
@enrol.options
@click.option(
    "-s", "--secret-key", metavar="PATH", help="A private key.  [default: one of the gateway's own]"
)
@click.option("--target", metavar="HOST:PORT", help="What the port leads to.  [default: localhost:22]")
@click.option("--keepalive", metavar="PROFILE", help="fast, default, patient, or INTERVALxCOUNT.")
@click.option("--accept-new-host-key", is_flag=True, help="Trust the bastion's host key where none is known.")
@click.option("-d", "--daemon", is_flag=True, help="Hand it over to this machine's own keeper, and return.")
def agent(secret_key: str | None, daemon: bool, **flags: Any) -> int:
    """Enrol this machine at a gateway, and hold its tunnel until Ctrl-C.

    Whoever types it says that the rules of the networks permit the tunnel. With -d it is what
    scitex-ssh setup --gateway does: systemd, cron or whatever else is here keeps the tunnel for good.
    """
    asked = {name: flags.pop(name) for name in ("gateway", "over_ssh", "token_file", "machine")}
    if asked["gateway"] is None:
        raise error("missing-field", what="gateway", how="--gateway URL")
    granted = enrol.enrolled(asked, secret_key, flags, yes=True, terminal=False, name="scitex-ssh agent")
    fields = {"target": flags["target"], "keepalive": flags["keepalive"]}
    trust = enrol.trust(granted, flags)
    if daemon and granted.old is not None:
        why = "ssh-tunnel-gateway forgets who does not call, so have systemd run it without -d"
        raise error("usage", why=why, command="scitex-ssh agent")
    if daemon:
        accept = {"accept_new_host_key": flags["accept_new_host_key"], **trust}
        result = api.setup(
            granted.port, granted.bastion, granted.key, consent=True, tell=present.line, **fields, **accept
        )
        return present.finish("agent", result, False)
    tunnel = api.described(granted.port, granted.bastion, granted.key, keeper="auto", **fields)
    words = ["--accept-new-host-key"] if flags["accept_new_host_key"] else []
    words += [f"--host-key-fingerprint={each}" for each in trust.get("host_key_fingerprint", ())]
    enough = granted.old.remind() if granted.old is not None else None
    try:
        return int(forward.held(tunnel, words)) or Exit.DONE
    finally:
        if enough is not None:
            enough()
