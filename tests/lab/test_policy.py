"""What the configuration of a host allows is heeded by every back end, before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import join, quote

import pytest

from .tunnels import (
    BACK_ENDS,
    PYZ,
    SCRIPTS,
    BackEnd,
    Fleet,
    Wanted,
    changed,
    cli,
    done,
    idle,
    permit,
    refused,
    untouched,
    verified,
)
from .world import World

pytestmark = pytest.mark.suites("bookworm")

SYSTEM = "/etc/scitex-ssh/config.yaml"
OWN = "/home/alice/.scitex/ssh/config.yaml"
WANTED = Wanted()
ALLOWED = "default:\n  tunnels: allow\n"
# What Python reads and a shell does not.
ANCHOR = "default: &all\n  tunnels: allow\nhosts:\n  lab9: *all\n"


@pytest.fixture
def silent(desk: World) -> Iterator[World]:
    """Give a workstation where nobody has allowed anything yet."""
    desk.workstation.sh(f"rm -rf {OWN} /root/.scitex")
    yield desk
    permit(desk.workstation)


def denied(by: BackEnd, world: World, slug: str) -> None:
    """Assert that a back end refuses for this reason, and touches nothing."""
    with untouched(world.workstation):
        result = by.setup(world, changed(WANTED, flags=("--yes",)) if not isinstance(by, Fleet) else WANTED)
    if isinstance(by, Fleet):
        assert result.status != 0
        assert f"[{slug}]" in result.stderr
    else:
        refused(result, slug)


@pytest.mark.parametrize("by", BACK_ENDS, ids=lambda by: by.name)
def test_an_administrators_deny_stands(by: BackEnd, desk: World) -> None:
    """Neither consent nor one's own file gets round it; nor does a file that is not understood."""
    host = desk.workstation
    host.write(OWN, ALLOWED, owner="alice:alice")
    host.write(SYSTEM, "# Not here.\nhosts:\n  workstation: {tunnels: deny}\ndefault:\n  tunnels: allow\n")
    denied(by, desk, "policy-denied")
    host.write(SYSTEM, "default:\n  tunels: deny\n")
    denied(by, desk, "policy-broken")
    host.write(SYSTEM, ALLOWED)
    assert verified(done(by.setup(desk, WANTED)))
    done(by.remove(desk))
    assert host.read(SYSTEM) == ALLOWED


@pytest.mark.parametrize("by", BACK_ENDS[:3], ids=lambda by: by.name)
def test_silence_is_no_yes(by: BackEnd, silent: World) -> None:
    """Where nobody can be asked, --yes is needed; it is good for one time, and not for nothing to do."""
    with untouched(silent.workstation):
        refused(by.setup(silent, WANTED), "policy-unset")
        assert done(by.setup(silent, changed(WANTED, flags=("--dry-run",)))).status == 0
    assert verified(done(by.setup(silent, changed(WANTED, flags=("--yes",)))))
    assert not silent.workstation.exists(OWN)
    assert idle(done(by.setup(silent, WANTED)))


def test_running_pyinfra_is_consent(silent: World) -> None:
    """But the caller's own no on the host, who is root there, is heard."""
    silent.workstation.write("/root/.scitex/ssh/config.yaml", "default: {tunnels: deny}\n")
    denied(Fleet(), silent, "policy-denied")
    silent.workstation.sh("rm -r /root/.scitex")
    assert verified(done(Fleet().setup(silent, WANTED)))


def test_a_shell_refuses_what_it_cannot_read(silent: World) -> None:
    """YAML beyond the small part that a shell reads is no yes; Python reads all of it."""
    silent.workstation.write(OWN, ANCHOR, owner="alice:alice")
    for by in BACK_ENDS[1:3]:
        denied(by, silent, "policy-broken")
    assert verified(done(cli(silent, "setup", *WANTED.argv)))


@pytest.mark.parametrize(
    "command", [f"{PYZ} setup", f"sh '{SCRIPTS}/setup-autossh-service.sh'"], ids=["py", "sh"]
)
def test_a_person_is_asked_once(command: str, silent: World) -> None:
    """The notice and the question at a terminal; the answer is written down, yes or no."""
    host = silent.workstation
    flags = join(["-p", "2222", "-b", WANTED.bastion]) + f" -s {WANTED.key}"

    def typed(answer: str) -> str:
        line = f"script -qec {quote(f'{command} {flags}')} /dev/null"
        with host.popen(line, user="alice") as running:
            assert running.stdin is not None
            assert running.stdout is not None
            said = ""
            while "y/n" not in said:
                letter = running.stdout.read(1)
                if not letter:
                    return said
                said += letter
            # Typed when it is asked for.
            running.stdin.write(f"{answer}\n")
            running.stdin.flush()
            return said + running.stdout.read()

    said = typed("n")
    assert "[policy-denied]" in said or "[policy-unset]" in said
    assert host.read(OWN) == "default:\n  tunnels: deny\n"
    assert "[policy-denied]" in typed("y")
    host.sh(f"rm {OWN}")
    said = typed("y")
    assert "acceptable use policy" in said
    assert "Verified: " in said
    assert host.read(OWN) == ALLOWED
    said = typed("y")
    assert "acceptable use policy" not in said
    assert "nothing to do" in said
