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
    "su - alice -c 'ssh -f -N -R 1:h:2 gw'": False,
    "sudo -u alice ssh -f -N -R 1:h:2 gw": False,
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
    """Units, crontabs, what a login and a boot run: each once, none of ours, nothing changed."""
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
    (tmp_path / ".bashrc").write_text("ssh -f -N -R 2305:localhost:22 gw\n")
    (tmp_path / "rc.local").write_text(
        "#!/bin/sh\nsu - alice -c 'ssh -f -N -R 2306:localhost:22 gw'\nexit 0\n"
    )
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    script = f"""{prelude()}
older_units={tmp_path}/units older_tables='/nonexistent {tmp_path}/cron.d/*' older_boots={tmp_path}/rc.local
own_places() {{ t_home={tmp_path} t_config={tmp_path}/config t_zdot={tmp_path} t_fish_file=/nonexistent; }}
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
        "2305": ("down", "gw", "localhost:22", "login"),
        "2306": ("down", "gw", "localhost:22", "login"),
    }
    assert all(facts["adopted"] == "yes" and "made elsewhere" in facts["detail"] for _, facts in found)
    assert "setup leaves it: its command does more" in dict(found)["2306"]["detail"]
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


TEMPLATE = """\
[Service]
User=%i
Environment=WHERE=gw "FLAGS=-N -T"
EnvironmentFile=-{folder}/%p-%i
ExecStart=/usr/bin/autossh -M 0 $FLAGS -i %h/k -R ${{PORT}}:localhost:22 tunnel@$WHERE
"""


def _listed(shell: Shell, script: str) -> list[list[str]]:
    answer = shell.run(f"{prelude()}\nolder_tables='' older_boots='' older_units=''\n{script}")
    assert answer.stderr == ""
    return [line.split("\t") for line in answer.stdout.splitlines()]


def test_each_unit_of_a_template_is_listed(shell: Shell, tmp_path: Path) -> None:
    """By its link or because it runs, specifiers and environment filled in; the template is none."""
    units, wants = tmp_path / "units", tmp_path / "units/multi-user.target.wants"
    wants.mkdir(parents=True)
    (units / "lab@.service").write_text(TEMPLATE.format(folder=tmp_path))
    (wants / "lab@root.service").symlink_to(units / "lab@.service")
    (tmp_path / "lab-root").write_text("# mine\nPORT='2311'\n")
    (tmp_path / "lab-nobody").write_text("PORT=2312\nWHERE=other\n")
    script = f"""
older_manager() {{ [ "$1" != list-units ] || echo 'lab@nobody.service loaded active running it'; }}
for unit in {units}/*.service; do unit_command systemd "$unit"; done"""
    command = "/usr/bin/autossh -M 0 -N -T -i {home}/k -R {port}:localhost:22 tunnel@{where}"
    assert _listed(shell, script) == [
        [
            "systemd",
            "nobody",
            f"{units}/lab@nobody.service",
            command.format(home="/root", port=2312, where="other"),
        ],
        ["systemd", "root", f"{units}/lab@root.service", command.format(home="/root", port=2311, where="gw")],
    ]


WORDS = {
    "%i %p %N %n %u": "lab-a lab lab@lab-a lab@lab-a.service root",
    "%I 100%% %z": "lab/a 100% %z",
}


@pytest.mark.parametrize("text", WORDS)
def test_specifiers_are_read_as_systemd_reads_them(shell: Shell, text: str) -> None:
    """What is none of them stays."""
    script = f"printf '%s\\n' {shlex.quote(text)} | unit_words root lab@lab-a.service"
    assert _listed(shell, script) == [[WORDS[text]]]


LOGIN = """\
# ssh -N -R 2320:localhost:22 gw
alias gw='ssh -N -R 2320:localhost:22 gw'
tunnel() {
    ssh -N -R 2320:localhost:22 gw
}
function other { ssh -N -R 2320:localhost:22 gw; }
: # before scitex-ssh: ssh -f -N -R 2320:localhost:22 gw
echo run ssh -N -R 2320:localhost:22 gw
[ -t 0 ] || ssh -f -N -R 2321:localhost:22 gw
if ! pgrep autossh >/dev/null; then
    autossh -M 0 -f -N -R 2322:localhost:22 gw
fi
(ssh -N -R 2323:localhost:22 gw >/dev/null 2>&1 &)
ssh -f -N \\
    -R 2324:localhost:22 gw
"""


def test_the_files_of_a_login_are_read(shell: Shell, tmp_path: Path) -> None:
    """What it runs, not what it only names; what cannot be set aside alone is left, with the reason."""
    (tmp_path / ".profile").write_text(LOGIN)
    script = f"""
me=$(id -un) work={tmp_path}
what_config_says() {{ :; }}
older_commands() {{ login_file "$me" {tmp_path}/.profile; }}
for port in 2320 2321 2322 2323 2324; do tell $port "$(older_on $port)" "$(why_left_on $port)"; done"""
    place, more = str(tmp_path / ".profile"), "its command does more than hold this one forward"
    assert _listed(shell, script) == [
        ["2320", "", ""],
        ["2321", place, f" ({more})"],
        ["2322", place, ""],
        ["2323", place, ""],
        ["2324", place, " (its command is not a line of its own)"],
    ]


CONFIG = """\
Host one
    HostName gw.example.com
    RemoteForward 2331 localhost:22
Host two
    RemoteForward *:2332 [::1]:22
    LocalForward 8080 h:80
Host proxy
    RemoteForward 1080
"""
BY_CONFIG = {
    ("systemd", "ssh -N -F {} one"): "2331:localhost:22 2331 localhost:22 one",
    ("systemd", "autossh -M 0 -NT -F {} two"): (
        "*:2332:[::1]:22 2332 [::1]:22 two: an ssh_config has more forwards for it than this one"
    ),
    ("cron", "autossh -M 0 -f -N -F {} one"): (
        "2331:localhost:22 2331 localhost:22 one: "
        "its forward stands in an ssh_config, so its ssh cannot be told from others"
    ),
    ("systemd", "ssh -N -F {} -R 2333:localhost:22 one"): (
        "2333:localhost:22 2333 localhost:22 one: an ssh_config has more forwards for it than this one"
    ),
    # A person who logs in.
    ("login", "ssh -F {} one"): "",
    ("systemd", "ssh -N -F {} proxy"): "",
    ("systemd", "ssh -N -F {} nowhere"): "",
}


@pytest.mark.parametrize(("kind", "command"), BY_CONFIG)
def test_a_forward_of_an_ssh_config_is_found(shell: Shell, tmp_path: Path, kind: str, command: str) -> None:
    """As its own ssh would read it; whether it can be taken over is told."""
    (tmp_path / "config").write_text(CONFIG)
    script = f"""
me=$(id -un)
if take_older {kind} "$me" /place {shlex.quote(command.format(tmp_path / "config"))}; then
    left=$(why_left)
    echo "$older_listen $older_port $older_target $older_bastion${{left:+: $left}}"
fi"""
    expected = BY_CONFIG[kind, command]
    assert _listed(shell, script) == ([[expected]] if expected else [])


@pytest.mark.parametrize(
    ("target", "told"), [("/usr/lib/systemd/system/x.service", 0), ("/srv/x.service", 1)]
)
def test_a_packages_unit_is_nobodys_tunnel(shell: Shell, tmp_path: Path, target: str, told: int) -> None:
    """By another name it is passed over; a unit that was linked from elsewhere is looked at."""
    (tmp_path / "file").write_text("[Service]\nExecStart=/usr/bin/ssh -N -R 2307:localhost:22 gw\n")
    (tmp_path / "alias.service").symlink_to(tmp_path / "file")
    look = f"readlink() {{ echo {target}; }}\nunit_command systemd {tmp_path}/alias.service"
    answer = shell.run(f"{prelude()}\n{look}")
    assert (answer.stdout.count("2307"), answer.stderr) == (told, "")
