"""A key from its making to a tunnel that it holds, and to the next one in its place."""

from __future__ import annotations

import pytest

from .tunnels import PYZ, cli, done, verified
from .world import World

pytestmark = pytest.mark.suites("bookworm")


def test_a_tunnels_key_is_made_let_in_and_renewed(desk: World) -> None:
    """By its one line for one port, which runs no commands; the tunnel stands with the new key, too."""
    desk.workstation.sh("rm -f /home/alice/.ssh/made*")
    key = "/home/alice/.ssh/made"

    def keys(*words: str) -> str:
        return desk.workstation.sh(f"{PYZ} key {' '.join(words)}", user="alice").stdout

    keys("new", key)
    said = keys("authorize", "tunnel@bastion", "-k", key, "-p", "2304", "-n", "lab1")
    assert "lab1 may hold port 2304 as tunnel." in said
    assert f"tunnel@bastion lets {key} in" in said
    assert "changed" not in keys("authorize", "tunnel@bastion", "-k", key, "-p", "2304", "-n", "lab1")
    lines = desk.bastion.read("/home/tunnel/.ssh/authorized_keys").splitlines()
    (line,) = [each for each in lines if each.endswith(" scitex-ssh-lab1")]
    assert line.startswith(
        'restrict,port-forwarding,permitlisten="localhost:2304",permitopen="localhost:2304",'
    )
    setup = ("setup", "-p", "2304", "-b", "tunnel@bastion", "-s", key)
    assert verified(done(cli(desk, *setup)))
    # The key itself runs no commands there; alice's own may edit the file.
    keys("rotate", "-i", "/home/alice/.ssh/id_ed25519", "tunnel@bastion", "-k", key)
    assert line not in desk.bastion.read("/home/tunnel/.ssh/authorized_keys")
    assert "accepted" in keys("check", "tunnel@bastion", key)
    done(cli(desk, "remove", "-p", "2304"))
    assert verified(done(cli(desk, *setup)))


def test_a_password_lets_the_first_key_in(desk: World) -> None:
    """As with ssh-copy-id, ssh asks for it; it is asked once, and the key is tried without it."""
    desk.workstation.sh("rm -f /home/alice/.ssh/made* /home/alice/asked")
    desk.bastion.sh("useradd -m -s /bin/sh guest && echo guest:open-sesame | chpasswd")
    ask = "#!/bin/sh\necho asked >>/home/alice/asked\necho open-sesame\n"
    desk.workstation.write("/home/alice/ask", ask, mode="755", owner="alice:alice")
    try:
        said = desk.workstation.sh(
            f"""
            export SSH_ASKPASS=~/ask SSH_ASKPASS_REQUIRE=force
            {PYZ} key new ~/.ssh/made
            {PYZ} key authorize -o PreferredAuthentications=password guest@bastion -k ~/.ssh/made.pub
            """,
            user="alice",
        ).stdout
        assert "guest@bastion lets /home/alice/.ssh/made in" in said
        assert desk.workstation.read("/home/alice/asked") == "asked\n"
        assert desk.bastion.sh("stat -c '%a %U' ~guest/.ssh ~guest/.ssh/authorized_keys").stdout == (
            "700 guest\n600 guest\n"
        )
    finally:
        desk.bastion.sh("userdel -rf guest", check=False)
