"""Tunnels that other tools made are seen where they stand, and left as they are."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from scitex_ssh.backends.shell import generic_program
from tests.shell.shells import Answer, Shell, prelude
from tests.shell.test_keepers import FAKE_CRONTAB

COMMANDS = {
    '/usr/bin/autossh -M 0 -N -o "Compression=yes" -i /k -R 2222:localhost:22 u@gw': "2222 localhost:22 u@gw",
    "autossh -M 0 -f -N -o ServerAliveInterval=30 -i ~/.ssh/k -R 2222:localhost:22 u@gw >/dev/null 2>&1": (
        "2222 localhost:22 u@gw"
    ),
    "root /usr/bin/ssh -fNR 0.0.0.0:2200:127.0.0.1:22 gw": "2200 127.0.0.1:22 gw",
    "/usr/bin/ssh -N -R [::]:2203:h:22 -p 2022 gw": "2203 h:22 gw",
    "/usr/bin/ssh -R2204:h:22 gw sleep 9": "2204 h:22 gw",
    "/usr/bin/ssh -NTR2205:[::1]:22 -oPort=2022 -- gw": "2205 [::1]:22 gw",
    "sleep 60 && autossh -M 0 -f -N -i '/k k' -R '*:2206:localhost:22' ssh://u@gw:2022": (
        "2206 localhost:22 u@gw:2022"
    ),
    'pgrep -f "autossh.*-R 2207:localhost:22" >/dev/null || autossh -M 20000 -fNR 2207:localhost:22 gw': (
        "2207 localhost:22 gw"
    ),
    '/bin/sh -c "exec /usr/bin/ssh -N -R 2208:localhost:22 gw"': "2208 localhost:22 gw",
    "ssh gw -N -R 2209:localhost:22 &": "2209 localhost:22 gw",
    "ssh gw uptime": "",
    'ssh -R 2210:localhost:22 "g w"': "",
    "ssh -R 2210:localhost:22 'unfinished": "",
    "/usr/bin/ssh -N -L 5:h:5 gw": "",
    "/usr/bin/ssh -N -R 1080 gw": "",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_read_as_ssh_reads_it(shell: Shell, command: str) -> None:
    """Its port on the bastion, its target and its bastion; or it is no such tunnel."""
    script = f"""{prelude()}
me=$(id -un) older_user=$me
read_command {shlex.quote(command)} && echo "$older_port $older_target $older_bastion"
:"""
    answer = shell.run(script)
    assert (answer.stdout.strip(), answer.stderr) == (COMMANDS[command], "")


ALONE = {
    "ssh -N -R 1:h:2 gw": True,
    "sleep 9; exec ssh -N -R 1:h:2 gw >/dev/null 2>&1 &": True,
    'pgrep -f "x" >/dev/null || autossh -M 0 -f -N -R 1:h:2 gw': True,
    "ssh -N -R 1:h:2 -R 3:h:4 gw": False,
    "ssh -N -R 1:h:2 -D 1080 gw": False,
    "ssh -N -R 1:h:2 -o 'RemoteForward 3 h:4' gw": False,
    "/home/u/first.sh; ssh -N -R 1:h:2 gw": False,
    "ssh -f -N -R 1:h:2 gw; /home/u/then.sh": False,
    "ssh -f -N -R 1:h:2 gw && /home/u/then.sh": False,
    "while true; do ssh -N -R 1:h:2 gw; done": False,
}


@pytest.mark.parametrize("command", ALONE)
def test_what_does_more_than_the_tunnel_is_not_taken_over(shell: Shell, command: str) -> None:
    """Whoever stops it would stop the rest as well."""
    script = f"""{prelude()}
me=$(id -un) older_user=$me
read_command {shlex.quote(command)} && echo "alone${{older_alone:-not}}"
:"""
    answer = shell.run(script)
    assert (answer.stdout.strip(), answer.stderr) == ("alone1" if ALONE[command] else "alonenot", "")


UNIT = """\
[Service]
User=alice
ExecStart=/usr/bin/autossh -M 0 -N \\
    -i /home/alice/k \\
    -R 2301:localhost:22 tunnel@gw
"""
OURS = "# Written by scitex-ssh: setup changes it.\n" + UNIT.replace("2301", "2399")


def test_units_and_crontabs_are_listed(shell: Shell, tmp_path: Path) -> None:
    """System units, a user's units, both kinds of crontabs: each once, none of ours, nothing changed."""
    for folder in ("units", "config/systemd/user", "cron.d", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "units/lab.service").write_text(UNIT)
    (tmp_path / "units/ours.service").write_text(OURS)
    (tmp_path / "units/autossh-tunnel-2398.service").write_text(UNIT.replace("2301", "2398"))
    (tmp_path / "config/systemd/user/mine.service").write_text(UNIT.replace("2301", "2302"))
    (tmp_path / "cron.d/tunnel").write_text(
        "@reboot root ssh -N -R 2303:localhost:22 gw\n# ssh -R 1:h:2 gw\n"
    )
    (tmp_path / "table").write_text("5 4 * * 0 true\n@reboot autossh -f -N -R 2304:localhost:22 u@gw\n")
    (tmp_path / "bin/crontab").write_text(FAKE_CRONTAB)
    (tmp_path / "bin/crontab").chmod(0o755)
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    script = f"""{prelude()}
older_units={tmp_path}/units older_tables='/nonexistent {tmp_path}/cron.d/*'
own_places() {{ t_config={tmp_path}/config; }}
whose() {{ echo "$me"; }}
me=$(id -un)
work={tmp_path}/work
mkdir "$work"
dial_older() {{ dialled=none; }}
older_records
echo "place $(older_on 2303)"
"""
    env = {"TABLE": str(tmp_path / "table")}
    answer = shell.run(script, env=env, path=f"{tmp_path}/bin:{shell.path}")
    assert answer.stderr == ""
    *records, place = answer.stdout.splitlines()
    found = [
        (line.split("\t")[1], dict(each.partition("=")[::2] for each in line.split("\t")[2:]))
        for line in records
    ]
    seen = {
        name: (facts["level"], facts["bastion"], facts["target"], facts["keeper"]) for name, facts in found
    }
    assert seen == {
        "2301": ("down", "tunnel@gw", "localhost:22", "systemd"),
        "2302": ("down", "tunnel@gw", "localhost:22", "systemd-user"),
        "2303": ("down", "gw", "localhost:22", "cron"),
        "2304": ("down", "u@gw", "localhost:22", "cron"),
    }
    assert all(facts["adopted"] == "yes" and "made elsewhere" in facts["detail"] for _, facts in found)
    assert place == f"place {tmp_path}/cron.d/tunnel"
    assert {path: path.read_text() for path in before} == before


def test_status_shows_it_and_remove_leaves_it(shell: Shell, tmp_path: Path) -> None:
    """The whole program: listed with exit status 50, by its port too; a removal says where it was made."""
    (tmp_path / "table").write_text("@reboot autossh -f -N -R 2304:localhost:22 u@gw\n")
    (tmp_path / "crontab").write_text(FAKE_CRONTAB)
    (tmp_path / "crontab").chmod(0o755)

    def run(*words: str) -> Answer:
        env = {"TABLE": str(tmp_path / "table"), "HOME": str(tmp_path)}
        return shell.run(generic_program(), *words, env=env, path=f"{tmp_path}:{shell.path}")

    shown = run("status", "-p", "2304")
    assert (shown.status, shown.stderr) == (50, "")
    assert "made elsewhere, in crontab of " in shown.stdout
    removed = run("remove", "-p", "2304")
    assert (removed.status, removed.stdout) == (10, "")
    assert "[made-elsewhere]" in removed.stderr
    assert (tmp_path / "table").read_text().startswith("@reboot autossh")
