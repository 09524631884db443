"""The forced command runs its own program, and takes from the client only what it may choose."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scitex_ssh.render.authorized_keys import session
from scitex_ssh.render.take_back import remote_command
from scitex_ssh.render.template import Template
from tests.shell.shells import Shell

KEY_ID = "0123456789abcdef0123456789abcdef"


class Line:
    """A key's line on a bastion: ports 2201 and 2202."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self.shell = shell
        self.home = folder
        self.path = folder / "session"
        # In place of the program behind it: what it would be given.
        text = session()
        head, _, tail = text.rpartition("exec sh -c '")
        arguments = tail.rpartition("' ")[2]
        self.path.write_text(f"{head}printf '%s|' {arguments}")

    def ask(self, asked: str | None) -> subprocess.CompletedProcess[str]:
        """What comes of what a client asks for; None is a shell."""
        return subprocess.run(
            [*self.shell.command, str(self.path), "2201,2202", KEY_ID],
            env={"PATH": self.shell.path, "HOME": str(self.home)}
            | ({} if asked is None else {"SSH_ORIGINAL_COMMAND": asked}),
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=30,
        )


@pytest.fixture
def line(shell: Shell, tmp_path: Path) -> Line:
    """Give such a line."""
    return Line(shell, tmp_path)


def sent(word: str, port: object, name: str = "") -> str:
    """What our own client sends."""
    text = Template(remote_command(word)).fill({"mark": str(port), "key_id": "f" * 32}).replace("%%", "%")
    head, _, tail = text.rpartition("' scitex-ssh ")
    return f"{head}' scitex-ssh{name} {tail}"


@pytest.mark.parametrize("word", ["hold", "release"])
@pytest.mark.parametrize("port", [2201, 2202])
@pytest.mark.parametrize("name", ["", "-a1b2c3"])
def test_our_own_client_is_understood(line: Line, word: str, port: int, name: str) -> None:
    """The word, the name and the port; the key's id is the line's own."""
    assert line.ask(sent(word, port, name)).stdout == f"scitex-ssh{name}|{word}|{port}|{KEY_ID}|"


def test_a_tunnel_of_several_ports_names_them_all(line: Line) -> None:
    """As they are, if each is the line's own."""
    assert line.ask(sent("hold", "2201,2202")).stdout == f"scitex-ssh|hold|2201,2202|{KEY_ID}|"


@pytest.mark.parametrize("mark", ["2201,2203", "/tmp/socket", "2201,/tmp/socket", ",", "web"])
def test_another_port_or_a_path_is_the_lines_own(line: Line, mark: str) -> None:
    """Somebody else's port cannot be released, and no file removed."""
    assert line.ask(sent("release", mark)).stdout == f"scitex-ssh|release|2201|{KEY_ID}|"
    # And a single one.
    assert line.ask(sent("release", 2203)).stdout == f"scitex-ssh|release|2201|{KEY_ID}|"


@pytest.mark.parametrize(
    "asked",
    [
        None,
        "",
        "id",
        "sh",
        "/usr/lib/openssh/sftp-server",
        "scp -f /etc/passwd",
        "exec sh -c 'id' scitex-ssh",
        "exec sh -c 'id' scitex-ssh shell 2201 x",
        "exec sh -c 'id' bash hold 2201 x",
        "exec sh -c 'id' scitex-ssh-$(touch${IFS}pwned) hold 2201 x",
        "exec sh -c 'id' scitex-ssh-`touch pwned` hold 2201 x",
        "exec sh -c 'id' scitex-ssh-/../x hold 2201 x",
        "exec sh -c 'id' scitex-ssh-" + "a" * 33 + " hold 2201 x",
        "-c hold",
        "* * *",
        "'\n' scitex-ssh\nid\n",
    ],
)
def test_whatever_else_is_refused(line: Line, asked: str | None) -> None:
    """No program of the client's runs, and it is told so."""
    done = line.ask(asked)
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr == "scitex-ssh: this key holds a port of this bastion, and does nothing else.\n"
    assert {path.name for path in line.home.iterdir()} == {"session"}


@pytest.mark.parametrize(
    "tail", [" scitex-ssh hold $(touch pwned)", " scitex-ssh hold 2202;touch", " scitex-ssh hold * *"]
)
def test_what_follows_the_word_is_never_run(line: Line, tail: str) -> None:
    """It names a port of the line, or is passed over."""
    assert line.ask(f"exec sh -c 'id'{tail}").stdout == f"scitex-ssh|hold|2201|{KEY_ID}|"
    assert {path.name for path in line.home.iterdir()} == {"session"}


def test_the_program_is_whole(shell: Shell, tmp_path: Path) -> None:
    """As it is written on a bastion, any sh reads it; release finds nothing to release."""
    path = tmp_path / "session"
    path.write_text(session())
    done = subprocess.run(
        [*shell.command, str(path), "2201", KEY_ID],
        env={"PATH": shell.path, "HOME": str(tmp_path), "SSH_ORIGINAL_COMMAND": sent("release", 2201)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("scitex-ssh nothing \n", "", 0)
