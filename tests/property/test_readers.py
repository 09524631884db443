"""Files that people and other tools wrote are read without a hang or a crash, and keep their lines."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from scitex_ssh.bastion import bastion_program
from tests.shell.shells import Answer, Shell, prelude
from tests.shell.test_keepers import FAKE_CRONTAB

_BYTES = st.characters(min_codepoint=1, max_codepoint=255).filter(lambda c: c not in "\n\r").map(str)
_NASTY = st.sampled_from(
    [
        *("", " ", "\t", "#", "\\", "'", '"', "$(touch pwned)", "`touch pwned`", "${HOME}", "%", "\\%", "%%"),
        *(
            "-R",
            "-NR",
            "-fNTR2201:",
            "2201:localhost:22",
            "*:2201:h:22",
            "[::1]:2201:[::1]:22",
            "-o",
            "--",
            "-",
        ),
        *(
            "ssh",
            "autossh",
            "/usr/bin/ssh",
            "ssh://u@gw:22",
            "u@gw",
            "-oProxyCommand=touch pwned",
            "&&",
            ";",
            "|",
        ),
        *(
            "@reboot",
            "*/5 * * * *",
            "ExecStart=",
            "ExecStart=-@",
            "User=",
            "User=a b",
            "[Service]",
            "MAILTO=",
        ),
        *("(", "f() {", "}", "alias", ":", "-N", "%i", "%I%h", "$FLAGS", "${A}", "$(", "${"),
        *("Environment=A=b", 'Environment="FLAGS=-N -R', "EnvironmentFile=-/dev/null", "EnvironmentFile=%i"),
        *("\x1b[2J", "\r", "é", "x" * 3000, "sh -c", ">/dev/null", "2>&1", "*", "?", "~", "~/k", "before"),
    ]
)
_PART = st.one_of(_NASTY, _NASTY, st.text(_BYTES, max_size=6))
_LINE = st.lists(_PART, max_size=9).map(" ".join)
_TUNNEL = "@reboot ssh -N -R 2201:localhost:22 u@gw"
TEXTS = st.lists(st.one_of(_LINE, _LINE, st.just(_TUNNEL)), max_size=8).map("\n".join)
MANY = st.lists(TEXTS, min_size=1, max_size=5)


def stored(folder: Path, texts: list[str]) -> None:
    """Each text as a file of its own, with bytes that are no UTF-8."""
    for number, text in enumerate(texts):
        (folder / f"{number:03}").write_bytes(text.encode("latin-1", "replace"))


def play(shell: Shell, folder: Path, script: str) -> Answer:
    """The script for each file, in $f, on a machine of which nothing can be reached."""
    bin_folder = folder.parent / f"{folder.name}.bin"
    bin_folder.mkdir()
    (bin_folder / "crontab").write_text(FAKE_CRONTAB)
    (bin_folder / "crontab").chmod(0o755)
    for_each = f'for f in "$FOLDER"/*; do TABLE=$f && export TABLE\n{script}\ndone'
    env = {"FOLDER": str(folder), "TABLE": "", "HOME": str(folder)}
    text = f'{prelude()}\nforget\nme=$(id -un) work={bin_folder} older_mark="$older_mark"\n{for_each}'
    return shell.run(text, env=env, path=f"{bin_folder}:{shell.path}", cwd=bin_folder, timeout=120)


_RECORD = """
me=$(id -un)
older_units=/nonexistent older_tables=/nonexistent
cp "$f" "$work/u.service"
cp "$f" "$work/u@.service"
older_manager() { echo 'u@a-b.service loaded active running it'; }
for unit in u u@; do
    for kind in systemd systemd-user; do t_user=$me unit_command $kind "$work/$unit.service"; done
done >"$work/all"
login_commands "$me" /home/u/.profile <"$f" >>"$work/all"
cron_commands yes /etc/crontab <"$f" >>"$work/all"
cron_commands "" "crontab of $me" <"$f" >>"$work/all"
while IFS=$tab read -r kind user place command; do
    take_older "$kind" "$user" "$place" "$command" || continue
    sh -n -c "exec ssh$older_options -- $(shell_word "$older_bastion")" || echo "broken: $older_options"
    printf '%s|%s|%s|%s|%s\\n' "$kind" "$user" "$older_port" "$older_target" "$older_bastion"
done <"$work/all"
echo "end of $f"
"""
_SAID = re.compile(
    r"(systemd|systemd-user|cron|login)\|[^|\n]*\|[0-9]{1,5}\|[][A-Za-z0-9._:@/%+*-]+\|[][A-Za-z0-9._:@/%+*-]+"
)


@settings(max_examples=6)
@given(texts=MANY)
@example(texts=[_TUNNEL, f"{_TUNNEL}\n{_TUNNEL} \\", f"[Service]\nExecStart={_TUNNEL[8:]} \\\n\\\n"])
def test_units_crontabs_and_logins_are_read_or_passed_over(shell: Shell, texts: list[str]) -> None:
    """Nothing is said but tunnels in plain characters; nothing is run; every file is as it was."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "files"
        folder.mkdir()
        stored(folder, texts)
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        said = play(shell, folder, _RECORD)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        assert not list(Path(made).rglob("pwned"))
    assert (said.stderr, said.status) == ("", 0), said
    lines = said.stdout.splitlines()
    assert sum(line.startswith("end of ") for line in lines) == len(texts)
    for line in lines:
        assert line.startswith("end of ") or _SAID.fullmatch(line), line


_SWAP = """
older_kind=cron older_place="crontab of $me" older_user=$me
was=$(sed -n '/^@reboot ssh/{p;q;}' "$f")
cp "$f" "$f.was"
if [ -n "$was" ]; then
    swap_line "$was" "$older_mark$was" && cp "$f" "$f.gone" || echo "not set aside: $f"
    swap_line "$older_mark$was" "$was" || echo "not put back: $f"
fi
"""


@settings(max_examples=6)
@given(texts=MANY)
@example(texts=[f"a\n{_TUNNEL}\n\n \t\n{_TUNNEL}"])
def test_a_line_is_set_aside_and_put_back(shell: Shell, texts: list[str]) -> None:
    """The first such line, and no byte of the others but the line break that cron wants at the end."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "files"
        folder.mkdir()
        stored(folder, texts)
        said = play(shell, folder, f"case $f in *.was | *.gone) continue ;; esac\n{_SWAP}")
        assert (said.stdout, said.stderr) == ("", "")
        for number, _ in enumerate(texts):
            path = folder / f"{number:03}"
            was, now = Path(f"{path}.was").read_bytes(), path.read_bytes()
            lines = was.split(b"\n")
            index = next((at for at, line in enumerate(lines) if line.startswith(b"@reboot ssh")), None)
            if index is None:
                assert now == was
                continue
            ended = was if was.endswith(b"\n") else was + b"\n"
            assert now == ended
            lines = ended.split(b"\n")
            lines[index] = b"# before scitex-ssh: " + lines[index]
            assert Path(f"{path}.gone").read_bytes() == b"\n".join(lines)


_BLOCK = """
t_name=2222
text_block() { block_begins; echo; echo "* * * * * sh '/a b/start' 100\\\\%"; block_ends; echo; }
cp "$f" "$f.was"
put_in_crontab text_block && crontab_has text_block || echo "not put: $f"
take_from_crontab && crontab_lacks || echo "not taken: $f"
[ -e "$f" ] || : >"$f"
"""


@settings(max_examples=6)
@given(texts=MANY)
def test_lines_of_ours_in_a_crontab_come_and_go(shell: Shell, texts: list[str]) -> None:
    """They are there and away again, and of the others no byte is lost."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "files"
        folder.mkdir()
        stored(folder, texts)
        said = play(shell, folder, f"case $f in *.was) continue ;; esac\n{_BLOCK}")
        assert (said.stdout, said.stderr) == ("", "")
        for number, _ in enumerate(texts):
            path = folder / f"{number:03}"
            was = Path(f"{path}.was").read_bytes()
            assert path.read_bytes() == (was if was.endswith(b"\n") or not was else was + b"\n")


_OURS = (
    'restrict,port-forwarding,permitlisten="localhost:{0}",permitopen="localhost:{0}",'
    'command="exec /home/t/session {0} 0a1b" ssh-ed25519 AAAA{0} scitex-ssh-{1}'
)
_KEYS = st.sampled_from(
    [
        _OURS.format(2201, "lab1"),
        _OURS.format(2202, "lab2"),
        _OURS.format(2203, "lab1") + " ",
        "# " + _OURS.format(2204, "lab1"),
        "ssh-ed25519 AAAA scitex-ssh-lab1",
        'command="exec /x/session 2201 0a" ssh-rsa BBBB scitex-ssh-lab1',
        "ssh-ed25519 AAAAC3 me@home\r",
        "\t",
    ]
)
KEY_FILES = st.lists(st.one_of(_KEYS, _KEYS, _LINE), max_size=8).map("\n".join)


@settings(max_examples=6)
@given(texts=st.lists(KEY_FILES, min_size=1, max_size=6))
@example(texts=[_OURS.format(2201, "lab1")])
def test_authorized_keys_keep_the_lines_of_others(shell: Shell, texts: list[str]) -> None:
    """Of a host's lines its ports are read; without them, the file has every other line as it was."""
    script = """
for f in "$FOLDER"/*; do
    t_key_file=$f t_name=lab1 plain=1
    echo "file $(ports_of lab1) $(taken_ports | tr ' \\n' ':,')"
    other_lines >"$work/out" && mv "$work/out" "$f"
done"""
    with tempfile.TemporaryDirectory() as made:
        folder, work = Path(made) / "files", Path(made) / "work"
        folder.mkdir()
        work.mkdir()
        stored(folder, texts)
        env = {"FOLDER": str(folder), "HOME": made}
        said = shell.run(bastion_program(f"work={work}\n{script}\nexit"), env=env, timeout=120)
        left = [(folder / f"{number:03}").read_bytes() for number, _ in enumerate(texts)]
    assert said.stderr == ""
    for text, after, line in zip(texts, left, said.stdout.splitlines(), strict=True):
        lines = text.encode("latin-1", "replace").split(b"\n")
        ours = _OURS.format(2201, "lab1").encode()
        kept = [each for each in lines if each != ours]
        assert after.rstrip(b"\n") == b"\n".join(kept).rstrip(b"\n"), lines
        assert line.split(" ")[1] == ("2201" if ours in lines else "")
