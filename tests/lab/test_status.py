"""Status tells what is so of all tunnels, soon, to people and to programs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate
from prometheus_client.parser import text_string_to_metric_families

from .faults import silence, unsilence
from .tunnels import PYZ, Wanted, cli, done, wait_verified
from .world import World

pytestmark = pytest.mark.suites("bookworm")

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/reference/status.schema.json").read_text())


def _tunnels(printed: str) -> list[dict[str, Any]]:
    """What status printed, as the schema has it and without a field that the schema does not name."""
    body = json.loads(printed)
    validate(body, SCHEMA)
    assert set(body) == set(SCHEMA["properties"])
    fields = set(SCHEMA["properties"]["tunnels"]["items"]["properties"])
    assert all(set(each) == fields for each in body["tunnels"])
    return list(body["tunnels"])


def test_a_hung_bastion_costs_its_timeout_once(desk: World) -> None:
    """Four tunnels to a bastion that swallows every packet take as long as one; the error is in words."""
    for port in (2222, 2223, 2224, 2225):
        done(cli(desk, "setup", *Wanted(port).argv))
    silence(desk.bastion)
    try:
        # By now the supervisors know that it is gone.
        desk.workstation.wait_for("[ $(grep -lE '^error [0-9]' /run/scitex-ssh/*/state | wc -l) = 4 ]", 90)
        began = time.monotonic()
        one = cli(desk, "status", "-p", "2222", "--json")
        alone = time.monotonic() - began
        began = time.monotonic()
        four = cli(desk, "status", "--json")
        together = time.monotonic() - began
    finally:
        unsilence(desk.bastion)
    # The next test finds its port free only when none of these sessions is stale.
    for port in (2222, 2223, 2224, 2225):
        wait_verified(desk, port, 90)
    assert together < alone + 15, (alone, together)
    assert one.status == four.status == 50
    seen = _tunnels(four.stdout)
    assert [each["port"] for each in seen] == [2222, 2223, 2224, 2225]
    for each in seen:
        assert each["level"] == "down"
        assert each["error"]
        assert abs(each["error_at"] - time.time()) < 120
        assert each["uptime"] is None


def test_both_scopes_are_told_together_and_waited_for(desk: World) -> None:
    """The machine's and alice's own: a cause and the next try in words, and --wait as long as it takes."""
    done(cli(desk, "setup", *Wanted(2222).argv))
    done(cli(desk, "setup", *Wanted(2223).argv, "--keeper", "nohup"))
    seen = _tunnels(cli(desk, "status", "--json").stdout)
    keepers = [(each["port"], each["keeper"], each["level"]) for each in seen]
    assert keepers == [(2222, "systemd", "verified"), (2223, "nohup", "verified")]
    desk.bastion.sh("systemctl stop ssh; pkill -x sshd", check=False)
    try:
        desk.workstation.wait_for(
            "[ $(scitex-ssh status | grep -c 'refused.* next try in') = 2 ]", 60, user="alice"
        )
        began = time.monotonic()
        late = cli(desk, "status", "--wait", "3", "--json")
        assert time.monotonic() - began >= 3
        desk.bastion.sh("systemd-run -q --on-active=3 systemctl start ssh")
        began = time.monotonic()
        soon = cli(desk, "status", "--wait", "80", "--json")
        assert time.monotonic() - began < 60
    finally:
        desk.bastion.sh("systemctl start ssh")
    # One that is just trying again is not up; why it was not before stands beside it.
    down = _tunnels(late.stdout)
    assert (late.status, [each["level"] for each in down]) == (50, ["down", "down"])
    assert {each["cause"] for each in down} <= {"bastion-refused", "not-up"}
    assert all("nothing listens on its port 22" in each["error"] for each in down)
    assert (soon.status, {each["level"] for each in _tunnels(soon.stdout)}) == (0, {"verified"})


def test_watch_leaves_the_terminal_as_it_was(desk: World) -> None:
    """On a terminal the table has a screen of its own; Ctrl-C and a word to end give the old one back."""
    done(cli(desk, "setup", *Wanted().argv))
    for signal in ("INT", "TERM"):
        seen = desk.workstation.sh(
            f"script -qec 'timeout --foreground -s {signal} 6 {PYZ} status --watch --every 1; echo ended $?' "
            "/dev/null </dev/null",
            user="alice",
            check=False,
            timeout=60,
        ).stdout
        begun, table, ended = seen.find("\x1b[?1049h"), seen.find("verified"), seen.rfind("\x1b[?1049l")
        assert 0 <= begun < table < ended, seen
        assert seen.rfind("\x1b[?25h") > seen.rfind("\x1b[?25l")


def test_watch_into_a_pipe_and_metrics_into_a_file(desk: World) -> None:
    """As JSON each look is an object on its line; the file of metrics is what Prometheus can read."""
    done(cli(desk, "setup", *Wanted().argv))
    desk.workstation.sh("install -d -o alice /tmp/collector")
    script = f"timeout -s INT 8 {PYZ} status --watch --every 1 --json --prometheus /tmp/collector/ssh.prom"
    lines = desk.workstation.sh(script, user="alice", check=False, timeout=60).stdout.splitlines()
    assert len(lines) >= 2
    assert all(_tunnels(line)[0]["level"] == "verified" for line in lines)
    assert _tunnels(lines[-1])[0]["uptime"] >= _tunnels(lines[0])[0]["uptime"] >= 0
    metrics = {
        sample.name: sample.value
        for family in text_string_to_metric_families(desk.workstation.read("/tmp/collector/ssh.prom"))
        for sample in family.samples
    }
    assert metrics["scitex_ssh_tunnel_up"] == 1
    assert desk.workstation.sh("ls -A /tmp/collector; rm -r /tmp/collector").stdout.split() == ["ssh.prom"]


def test_metrics_that_cannot_be_written_are_one_error(desk: World) -> None:
    """A folder that does not exist is said in one sentence, never as a traceback."""
    result = cli(desk, "status", "--prometheus", "/nowhere/ssh.prom")
    assert result.status == 1
    assert "[file-failed]" in result.stderr
    assert "Traceback" not in result.stderr
