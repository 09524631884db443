"""What must be true on a bastion, for itself and for each host that it knows."""

from __future__ import annotations

from scitex_ssh.plan.step import Plan, Step, absent, directory, write_file
from scitex_ssh.render.authorized_keys import LINE, SESSION, session
from scitex_ssh.render.sshd_config import DROP_IN, GROUP, HEAD_BLOCK, KEYS, MATCH, TAIL_BLOCK
from scitex_ssh.render.template import Template

ROOT = "root:root"
HOMES = "/var/lib/scitex-ssh"
# As a plain step of a shell text has it.
_KEY_OWNER = '"root:$t_account"'

TEXTS = {
    "line": LINE,
    "sshd_drop_in": DROP_IN,
    "sshd_head": HEAD_BLOCK,
    "sshd_tail": TAIL_BLOCK,
    "sshd_match": Template(MATCH),
}


def ready() -> Plan:
    """The bastion can be given hosts: sshd locks their accounts down, and has been seen to."""
    return Plan(
        (
            _step("group", f"group {GROUP}", "group_is", "put_group", "files"),
            directory(KEYS, mode="711", owner=ROOT),
            directory(HOMES, mode="711", owner=ROOT),
            directory(SESSION.rpartition("/")[0], mode="755", owner=ROOT),
            write_file(SESSION, "session", Template(session()), mode="755", owner=ROOT),
            _step("account", f"account {GROUP}, which proves logins", "prover_is", "put_prover", "files"),
            _step(
                "sshd_text",
                "file @sshd_file@",
                "sshd_text_is",
                "put_sshd_text",
                "files",
                show="show_sshd_text",
            ),
            _step(
                "sshd_current",
                "sshd runs with it, and lets a fresh login in",
                "sshd_is_current",
                "renew_sshd",
                "restart",
            ),
        ),
        {"session": Template(session())},
    )


def next_host_keys() -> Plan:
    """New host keys stand beside those of the machine, for everybody to be told of them."""
    return Plan(
        (_step("host_keys", "new host keys, not shown yet", "next_are_made", "make_next", "files"),), {}
    )


def take_host_keys() -> Plan:
    """The new host keys take the place of the old ones; sshd has been seen to show them."""
    return Plan(
        (_step("host_keys", "sshd shows the new host keys", "none_is_next", "take_next", "files"),), {}
    )


def authorize() -> Plan:
    """A host's account, and the line of its key."""
    return Plan(
        (
            _step("account", "account @account@", "account_is", "put_account", "files"),
            directory("@home@", mode="700", owner="@account@:@account@"),
            _step("limit", "limit of @account@'s processes", "limit_is", "put_limit", "files"),
            Step(
                "key_file",
                Template("file @key_file@"),
                f'file_is "$t_key_file" 640 {_KEY_OWNER} text_key_file',
                f"put_key_file {_KEY_OWNER}",
                "files",
                f'show_file "$t_key_file" 640 {_KEY_OWNER} text_key_file',
                Template("@key_file@"),
                Template("@lines@\n"),
            ),
        ),
        {"key_file": Template("@lines@\n")},
    )


def revoke() -> Plan:
    """Nothing is left of a host: key, sessions and account go, then its ports are looked at."""
    return Plan(
        (
            absent("@key_file@"),
            _step("sessions_ended", "no session of @account@", "no_sessions", "end_sessions", "files"),
            _step("limit", "no limit for @account@", "limit_is_gone", "drop_limit", "files"),
            _step("account", "no account @account@", "account_is_gone", "drop_account", "files"),
            absent("@home@"),
            _step("port_free", "nobody holds port @ports@", "ports_are_free", "wait_ports_free", "proof"),
        ),
        {},
    )


def plain_authorize() -> Plan:
    """The same on an account that is not root's to give: a line in its own authorized_keys."""
    return Plan(
        (
            directory("@home@/.ssh", mode="700", owner="@owner@"),
            directory("@home@/.config/scitex-ssh", mode="755", owner="@owner@"),
            write_file(
                "@home@/.config/scitex-ssh/session",
                "session",
                Template(session()),
                mode="755",
                owner="@owner@",
            ),
            _plain_keys(),
        ),
        {"session": Template(session())},
    )


def plain_revoke() -> Plan:
    """The line goes, the session that holds its ports is ended, and the ports are looked at."""
    return Plan(
        (
            _plain_keys(),
            _step("sessions_ended", "no session of @name@", "no_plain_session", "end_plain_session", "files"),
            _step("port_free", "nobody holds port @ports@", "ports_are_free", "wait_ports_free", "proof"),
        ),
        {},
    )


def _plain_keys() -> Step:
    arguments = '"$t_key_file" 600 "$t_owner" plain_keys_text'
    return Step(
        "key_file",
        Template("file @key_file@"),
        f"plain_keys_are {arguments}",
        f"put_file {arguments}",
        "files",
        f"show_file {arguments}",
        Template("@key_file@"),
        Template("@lines@"),
    )


def _step(kind: str, title: str, test: str, apply: str, phase: str, show: str = "") -> Step:
    return Step(kind, Template(title), test, apply, phase, show)


PLANS = {
    "ready": ready(),
    "next_host_keys": next_host_keys(),
    "take_host_keys": take_host_keys(),
    "authorize": authorize(),
    "revoke": revoke(),
    "plain_authorize": plain_authorize(),
    "plain_revoke": plain_revoke(),
}
