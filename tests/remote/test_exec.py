"""A command on another machine: what it is given, what it says, and what is left of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scitex_ssh
from scitex_ssh.errors import ReachError, TunnelError
from scitex_ssh.remote import multiplex
from scitex_ssh.remote.way import Way
from tests.remote.there import There, commands, unique, wait_for


def test_output_and_status_are_the_commands_own(there: There) -> None:
    """The two streams come apart, and the exit status is exact."""
    done = there.cli("exec", "there", "echo out; echo err >&2; exit 37")
    assert (done.returncode, done.stdout, done.stderr) == (37, b"out\n", b"err\n")


@pytest.mark.parametrize("status", [124, 255])
def test_every_status_comes_through(there: There, status: int) -> None:
    """A command that ends with 255 is not taken for a failure of ssh."""
    result = scitex_ssh.exec_remote("there", f"exit {status}", ssh_opts=there.opts)
    assert (result.returncode, result.error) == (status, None)


def test_bytes_come_through_both_ways(there: There) -> None:
    """Every byte value, and more of them than a pipe holds."""
    data = bytes(range(256)) * 4096
    assert there.cli("exec", "there", "cat", input=data).stdout == data
    assert scitex_ssh.exec_remote("there", "cat", ssh_opts=there.opts, input=data).out == data


@settings(max_examples=12)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60))
def test_any_text_is_a_word_there(there: There, text: str) -> None:
    """What is quoted for a shell is that word there, whatever is in it."""
    import shlex

    result = scitex_ssh.exec_remote("there", f"printf %s {shlex.quote(text)}", ssh_opts=there.opts)
    assert result.out == text.encode()


def test_the_words_of_a_command_are_joined(there: There) -> None:
    """As ssh does it: the far side's shell reads them."""
    assert there.cli("exec", "there", "--", "echo", "-n", "$((6*7))").stdout == b"42"


def test_a_result_is_a_mapping(there: There) -> None:
    """The keys that callers of version 1 read, and more."""
    result = scitex_ssh.exec_remote("there", "echo hi", ssh_opts=there.opts)
    assert (result["success"], result["stdout"], result["stderr"]) == (True, "hi\n", "")
    assert dict(result) == result.as_dict()
    with pytest.raises(TunnelError, match="ended with 3"):
        scitex_ssh.exec_remote("there", "exit 3", ssh_opts=there.opts, check=True)


def test_what_the_configuration_is_for_people_is_not_inherited(there: There) -> None:
    """No shared connection, no forward, no terminal; the configuration of this host has them all."""
    done = there.cli("exec", "there", "test -t 0 || echo no terminal")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"no terminal\n", b"")
    assert not (there.folder / "inherited").exists()


def closed_port() -> int:
    """A port of loopback where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def mute() -> Iterator[int]:
    """The port of a server that takes connections and says nothing of SSH."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield int(server.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "flags", "slug"),
    [
        ("nowhere.invalid", [], "bastion-unresolved"),
        ("127.0.0.1:{closed}", [], "bastion-refused"),
        ("127.0.0.1:{mute}", ["-o", "ConnectTimeout=1"], "bastion-not-ssh"),
        ("there", ["-o", "PubkeyAuthentication=no"], "login-refused"),
        ("there", ["-o", "HostKeyAlias=stranger"], "known-key-missing"),
        ("there", ["-o", "HostKeyAlias=impostor"], "known-key-differs"),
        ("there", ["-J", "nowhere.invalid"], "bastion-unresolved"),
    ],
)
def test_the_cause_is_named(there: There, mute: int, host: str, flags: list[str], slug: str) -> None:
    """When ssh itself fails, the status is 255 and the error says why."""
    key = (there.folder / "key.pub").read_text()
    known = there.folder / "known_hosts"
    if "impostor" not in known.read_text():
        known.write_text(known.read_text() + f"impostor {key}")
    host = host.format(closed=closed_port(), mute=mute)
    done = there.cli("exec", *flags, host, "true")
    assert done.returncode == 255
    assert done.stderr.decode().endswith(f"  [{slug}]\n"), done.stderr
    if flags[:1] == ["-J"]:
        assert b"the name nowhere.invalid does not resolve" in done.stderr
    result = scitex_ssh.exec_remote(host, "true", ssh_opts=[*flags, *there.opts])
    assert isinstance(result.error, ReachError)
    assert (result.returncode, result.error.slug) == (255, slug)


def test_a_jump_host_is_passed(there: There) -> None:
    """By -J, and by the configuration; the jump's ssh reads the same configuration."""
    assert there.cli("exec", "-J", "there", "there2", "echo in").stdout == b"in\n"
    assert there.cli("exec", "behind", "echo in").stdout == b"in\n"
    assert there.cli("probe", "-J", "there", "there2").stdout == b"reachable  there2\n"
    lost = there.cli("probe", "-J", "nowhere.invalid", "there2")
    assert (lost.returncode, b"the name nowhere.invalid does not resolve" in lost.stderr) == (2, True)


def test_many_hosts_at_once(there: There) -> None:
    """Each line has its host before it; the summary and the status tell who failed."""
    script = "echo one; echo two >&2; exit 0"
    done = there.cli("exec", "there,behind,nowhere.invalid", script)
    assert sorted(done.stdout.decode().splitlines()) == ["behind          | one", "there           | one"]
    said = done.stderr.decode()
    assert "there           | two\n" in said
    assert said.endswith("2 of 3 hosts: done; bastion-unresolved: nowhere.invalid\n"), said
    assert done.returncode == 255


def test_many_hosts_from_python(there: There) -> None:
    """The results are in the order of the hosts, with the bytes as they came; lines are told where wanted."""
    hosts = ["behind", "nowhere.invalid", "there"]
    done = scitex_ssh.exec_many(hosts, "printf 'no end'; exit 3", ssh_opts=there.opts)
    assert [(each.host, each.returncode, each.out) for each in done] == [
        ("behind", 3, b"no end"),
        ("nowhere.invalid", 255, b""),
        ("there", 3, b"no end"),
    ]
    told: list[tuple[str, str, bytes]] = []
    scitex_ssh.exec_many(
        ["there"], "echo a; printf b >&2", ssh_opts=there.opts, tell=lambda *said: told.append(said)
    )
    assert sorted(told) == [("there", "stderr", b"b"), ("there", "stdout", b"a")]


def test_json_is_one_object(there: There) -> None:
    """For programs: every host with what it said, and nothing else on stdout."""
    done = there.cli("exec", "--json", "there,nowhere.invalid", "echo hi; exit 4")
    said = json.loads(done.stdout)
    assert (done.returncode, said["status"], said["success"]) == (4, 4, False)
    assert [(each["host"], each["returncode"], each["stdout"], each["error"]) for each in said["hosts"]] == [
        ("there", 4, "hi\n", None),
        ("nowhere.invalid", 255, "", "bastion-unresolved"),
    ]


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("command", ["a\0b", "half a \ud800"])
def test_a_command_that_no_command_line_holds_is_refused(there: There, command: str, plain: bool) -> None:
    """Before anything is connected to."""
    with pytest.raises(scitex_ssh.InputError, match="hold"):
        scitex_ssh.exec_remote("nowhere.invalid", command, plain=plain)


def test_a_dry_run_connects_to_nothing(there: There) -> None:
    """It names the host and the command."""
    done = there.cli("exec", "--dry-run", "nowhere.invalid", "rm -rf /")
    assert done.returncode == 0
    # With the words that lead there, as they would be typed.
    assert done.stdout.decode() == (
        f"would run on nowhere.invalid: rm -rf /\n  ssh -F {there.config} -- nowhere.invalid\n"
    )
    for command, words in (("exec", ["nowhere.invalid", "true"]), ("copy", ["a", "nowhere.invalid:b"])):
        body = json.loads(there.cli(command, "--dry-run", "--json", *words).stdout)
        assert (body["command"], body["success"], body["status"]) == (command, True, 0)
        assert body["would"][0].startswith("would ")


@pytest.mark.parametrize(
    ("words", "slug"),
    [
        (("exec", "--dry-run", "there", "true"), "policy-denied"),
        (("copy", "--dry-run", "a", "there:b"), "policy-denied"),
        (("attach", "--dry-run", "there"), "policy-denied"),
        (("attach", "--dry-run", "there2", "--session", "a b"), "usage"),
        (("attach", "--dry-run", "there2", "--session", "a", "sh"), "usage"),
        (("copy", "--dry-run", "a", "b"), "usage"),
    ],
)
def test_a_dry_run_shows_nothing_that_would_be_refused(
    there: There, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], slug: str
) -> None:
    """What cannot be right or is forbidden is refused, as it is without --dry-run."""
    config = tmp_path / "config.yaml"
    config.write_text("hosts: {there: {exec: deny, copy: deny, attach: deny}}\n")
    monkeypatch.setenv("SCITEX_SSH_CONFIG", str(config))
    for flags in (words, tuple(word for word in words if word != "--dry-run")):
        done = there.cli(*flags)
        assert (done.stdout, done.stderr.endswith(f"[{slug}]\n".encode())) == (b"", True), done.stderr


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--timeout", "nan"], "nan s"),
        (["--timeout", "inf"], "inf s"),
        (["--ssh-opts", "other"], "'other' is none"),
        (["--ssh-opts", "-vN"], "-N is not for this"),
        (["--ssh-opts=-i"], "option -i requires argument"),
        (["--ssh-opts=-Z"], "option -Z not recognized"),
        (["-i", "/none"], "no key file '/none'"),
        (["--ssh-opts=-F/none"], "no configuration '/none'"),
    ],
)
def test_flags_that_cannot_be_meant_are_refused(there: There, flags: list[str], why: str) -> None:
    """Before anything is connected to; ssh would pass over some of them, and wait for ever by others."""
    done = there.cli("exec", *flags, "there", "true")
    assert (done.returncode, done.stdout) == (2, b"")
    assert why in done.stderr.decode()
    assert done.stderr.endswith(b"[usage]\n")


def test_what_ssh_says_of_its_configuration_is_its_own(there: There, tmp_path: Path) -> None:
    """It has no log yet then; what a command says in like words is the command's."""
    broken = tmp_path / "config"
    broken.write_text("Host *\n  Nonsense yes\n")
    for flags in (
        ["-o", "Nonsense=yes"],
        ["-o", "Port=x"],
        [f"--ssh-opts=-F{broken}"],
        ["-J", "there", "-o", "x"],
    ):
        done = there.cli("exec", *flags, "there", "true")
        assert done.returncode == 255, flags
        assert done.stderr.endswith(b"[remote-unreachable]\n"), done.stderr
    done = there.cli("exec", "there", "echo 'bash: line 1: no: command not found' >&2; exit 255")
    assert (done.returncode, done.stderr) == (255, b"bash: line 1: no: command not found\n")


def test_a_timeout_ends_the_command(there: There) -> None:
    """On both sides, with the status of timeout(1)."""
    sleep = f"sleep {unique()}"
    done = there.cli("exec", "--timeout", "2", "there", f"{sleep}; echo never")
    assert (done.returncode, done.stdout) == (124, b"")
    assert b"[remote-timeout]" in done.stderr
    assert wait_for(0, sleep)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, "ssh", "sshd"])
@pytest.mark.parametrize("stdin", ["null", "pipe"])
def test_nothing_is_left_running(there: There, how: signal.Signals | str, stdin: str) -> None:
    """Whoever is ended, our process, ssh or the connection: the command ends, and what it started."""
    sleep = f"sleep {unique()}"
    # The second is in the background, with no stream of the connection.
    command = f"{sleep} >/dev/null 2>&1 </dev/null & {sleep}; echo never"
    pipe = subprocess.DEVNULL if stdin == "null" else subprocess.PIPE
    with (
        subprocess.Popen(
            there.argv("exec", "there", command), stdin=pipe, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as call,
        ended(call),
    ):
        assert wait_for(2, sleep)
        if isinstance(how, signal.Signals):
            call.send_signal(how)
        else:
            os.kill(process_of(call.pid, there, how), signal.SIGKILL)
        assert wait_for(0, sleep), commands(sleep)
        out, err = call.communicate(timeout=30)
    assert out == b""
    if how in (signal.SIGINT, "ssh", "sshd"):
        assert call.returncode == (130 if how == signal.SIGINT else 255), err
        assert b"  [" in err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_running_on_many_hosts(there: There, how: signal.Signals) -> None:
    """What has begun ends, and what waits for its turn does not begin."""
    sleep = f"sleep {unique()}"
    words = there.argv("exec", "--parallel", "2", "there,there2,behind", f"{sleep}; echo never")
    with (
        subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as call,
        ended(call),
    ):
        assert wait_for(2, sleep)
        call.send_signal(how)
        assert wait_for(0, sleep), commands(sleep)
        out, _ = call.communicate(timeout=30)
        time.sleep(1)
        assert commands(sleep) == []
    assert out == b""
    assert call.returncode == (130 if how == signal.SIGINT else -how)


def test_a_timeout_is_each_hosts_own(there: There) -> None:
    """The one that is late is told; the others have what they came to."""
    sleep = f"sleep {unique()}"
    done = there.cli(
        "exec", "--timeout", "3", "there,behind", f'[ -n "$SSH_CONNECTION" ] && echo in && {sleep}'
    )
    assert done.returncode == 124
    assert sorted(done.stdout.decode().splitlines()) == ["behind | in", "there  | in"]
    assert done.stderr.decode().endswith("0 of 2 hosts: done; remote-timeout: there, behind\n")
    assert wait_for(0, sleep)


@contextmanager
def ended(call: subprocess.Popen[bytes]) -> Iterator[None]:
    """A call that does not outlive its test."""
    try:
        yield
    except BaseException:
        call.kill()
        raise


def process_of(call: int, there: There, kind: str) -> int:
    """The ssh that a call has started, or the sshd that runs its command."""
    if kind == "ssh":
        (ssh,) = [child for child in children(call) if name(child) == "ssh"]
        return ssh
    below = children(there.sshd)
    # Between the listener and the shell stands one process or, for an ordinary user, two.
    while not any(name(child) == "sh" for each in below for child in children(each)):
        below = [child for each in below for child in children(each)]
        assert below
    return next(each for each in below if any(name(child) == "sh" for child in children(each)))


def name(pid: int) -> str:
    """What a process is called."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def parent(pid: int) -> int:
    """The process that started one, 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def children(pid: int) -> list[int]:
    """The processes that one has started."""
    return [int(each.name) for each in Path("/proc").glob("[0-9]*") if parent(int(each.name)) == pid]


def test_what_outlives_its_command_may(there: There, tmp_path: Path) -> None:
    """A command that ends by itself leaves in the background what it put there, as with ssh."""
    sleep = f"sleep {unique()}"
    result = scitex_ssh.exec_remote(
        "there", f"{sleep} >/dev/null 2>&1 </dev/null & echo $!", ssh_opts=there.opts
    )
    assert result.success
    time.sleep(0.5)
    assert commands(sleep) == [sleep]
    os.kill(int(result.stdout), signal.SIGKILL)


def test_a_reader_that_has_enough_ends_it(there: There) -> None:
    """A broken pipe on our side ends an endless command on the other, without a traceback."""
    with subprocess.Popen(
        there.argv("exec", "there", "yes; :"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as call:
        assert call.stdout is not None
        assert call.stdout.read(4) == b"y\ny\n"
        call.stdout.close()
        call.wait(timeout=60)
        assert call.stderr is not None
        assert b"Traceback" not in call.stderr.read()


def test_a_shared_connection_is_used_again_and_goes(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second call finds the first's; its socket is private; what is closed is gone."""
    runtime = there.folder / "run"
    runtime.mkdir(exist_ok=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    ask = "echo $SSH_CONNECTION"
    answers = {
        scitex_ssh.exec_remote("there", ask, ssh_opts=there.opts, multiplex=True).stdout for _ in range(3)
    }
    (answer,) = answers
    assert scitex_ssh.exec_remote("there", ask, ssh_opts=there.opts).stdout != answer
    (place,) = (runtime / "scitex-ssh").iterdir()
    assert place.is_socket()
    assert place.parent.stat().st_mode & 0o777 == 0o700
    way = Way.of("there", there.opts)
    assert multiplex.close(way)
    deadline = time.monotonic() + 20
    while place.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not place.exists()
    assert not multiplex.close(way)


def test_a_shared_connection_that_was_killed_is_made_again(
    there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that was left over is no error, and its command still ends with its caller."""
    runtime = there.folder / "run2"
    runtime.mkdir(exist_ok=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    way = Way.of("there", there.opts)
    place = multiplex.shared(way)
    check = ["ssh", "-F", "none", "-o", f"ControlPath={place}", "-O", "check", "x"]
    said = subprocess.run(check, capture_output=True, text=True, timeout=60).stderr
    pid = int(said.partition("pid=")[2].partition(")")[0])
    os.kill(pid, signal.SIGKILL)
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.01)
    sleep = f"sleep {unique()}"
    done = scitex_ssh.exec_remote(
        "there", f"{sleep}; echo never", ssh_opts=there.opts, multiplex=True, timeout=2
    )
    assert done.returncode == 124
    assert wait_for(0, sleep)
    assert multiplex.close(way)


def test_a_folder_of_somebody_else_is_refused(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket where others can write could be theirs."""
    runtime = there.folder / "run3"
    (runtime / "scitex-ssh").mkdir(parents=True)
    (runtime / "scitex-ssh").chmod(0o777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    with pytest.raises(TunnelError, match="not ours alone"):
        multiplex.shared(Way.of("there", there.opts))


def test_a_policy_is_asked_first(there: There, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it forbids is not tried: by the host's name, or by the address that the name stands for."""
    config = tmp_path / "config.yaml"
    monkeypatch.setenv("SCITEX_SSH_CONFIG", str(config))
    for denied in ("there", "127.0.0.1"):
        config.write_text(f"hosts: {{{denied}: {{exec: deny}}}}\n")
        with pytest.raises(scitex_ssh.PolicyError) as caught:
            scitex_ssh.exec_remote("there", "true", ssh_opts=there.opts)
        assert caught.value.slug == "policy-denied"
    config.write_text("hosts: {other: {exec: deny}}\n")
    assert scitex_ssh.exec_remote("there", "true", ssh_opts=there.opts).success
    with pytest.raises(scitex_ssh.PolicyError, match="says"):
        scitex_ssh.exec_remote("there", "true", ssh_opts=there.opts, consent=False)


@pytest.mark.parametrize(
    "host", ["", "-oProxyCommand=id", "a b", "a\nb", "u@h:0", "h:70000", "$(id)", "a;b", "@h"]
)
def test_what_is_no_host_is_refused(there: There, host: str) -> None:
    """Nothing that a shell or ssh could take for something else reaches them."""
    done = there.cli("exec", "--", host, "true")
    assert done.returncode == 2
    assert b"[bad-ssh-host]" in done.stderr


def test_probe(there: There) -> None:
    """Reached or not, and what is there, in three statuses."""
    done = there.cli("probe", "there", "--requires", "sh")
    assert (done.returncode, done.stdout) == (0, b"reachable  there\nthere      sh\n")
    done = there.cli("probe", "there", "--requires", "sh", "--requires", "no such $(id)")
    assert (done.returncode, done.stdout.splitlines()[2:]) == (1, [b"missing    no such $(id)"])
    done = there.cli("probe", "nowhere.invalid", "--requires", "sh")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"[bastion-unresolved]" in done.stderr
    said = json.loads(there.cli("probe", "--json", "there", "--requires", "sh").stdout)
    assert (said["reachable"], said["capabilities"], said["status"]) == (True, {"sh": True}, 0)
    result = scitex_ssh.probe_remote("there", requires=["sh", "nothing"], ssh_opts=there.opts)
    assert (result.ok, result.has("sh"), result.has("nothing"), result["reachable"]) == (
        False,
        True,
        False,
        True,
    )


def test_all_of_it_from_many_threads(there: There, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call has its own answer, also where they share one connection that none of them has made yet."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(there.folder))

    def one(number: int) -> tuple[str, bool, int]:
        said = scitex_ssh.exec_remote(
            "there",
            f"cat; echo {number}",
            input=f"in {number} ",
            ssh_opts=there.opts,
            multiplex=number % 2 == 0,
        )
        seen = scitex_ssh.probe_remote("there", requires=["sh"], ssh_opts=there.opts, multiplex=True)
        (tmp_path / f"from{number}").write_text(str(number))
        done = scitex_ssh.copy_to(
            "there", str(tmp_path / f"from{number}"), str(tmp_path / f"to{number}"), ssh_opts=there.opts
        )
        return said.stdout, seen.ok, done.files

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(one, range(6)))
    multiplex.close(Way.of("there", there.opts))
    assert found == [(f"in {number} {number}\n", True, 1) for number in range(6)]
    assert [(tmp_path / f"to{number}").read_text() for number in range(6)] == list("012345")
