"""The ways to a gateway: TLS, a proxy in front, a host of ssh, a forced command; and what is asked first."""

from __future__ import annotations

import datetime
import io
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from scitex_ssh.cli.app import app
from scitex_ssh.errors import SSHError
from scitex_ssh.gateway import client, limits, over_http, over_ssh, serve
from scitex_ssh.gateway.settings import Settings
from scitex_ssh.gateway.store import Store
from scitex_ssh.model.ssh_host import Host
from tests.remote.there import standing

from .model import POOL, key, served, token, url


def gateway(folder: Path, **settings: Any) -> tuple[Settings, Store]:
    """A gateway whose ports are all free."""
    made = Settings(url(folder), ("correct-horse",), **{"public_host": "gw.example.com", **settings})
    return made, Store(made.database, POOL, busy=lambda port: False)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1, and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(private, hashes.SHA256())
    )
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


# TLS and proxies


def test_tls_with_a_certificate(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    """A machine enrols over TLS; who does not know the certificate is told so, and sends nothing."""
    settings, store = gateway(tmp_path, certificate=certificate[0], certificate_key=certificate[1])
    made = token(store, uses=1)
    with served(settings, store) as address, pytest.MonkeyPatch.context() as patch:
        assert address.startswith("https://")
        with pytest.raises(SSHError, match=r"(?i)certificate") as caught:
            client.enrol(address, made, name="lab", key=tmp_path / "id")
        assert caught.value.slug == "gateway-unreachable"
        patch.setenv("SSL_CERT_FILE", str(certificate[0]))
        granted = client.enrol(address, made, name="lab", key=tmp_path / "id")
    assert (granted.port, granted.bastion) == (20000, "tunnel@gw.example.com")


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    """Before anything is served: a missing file, and a key that is another's."""
    other = tmp_path / "other.pem"
    other.write_text("nonsense")
    for wrong in (tmp_path / "missing.pem", other):
        settings, _ = gateway(tmp_path, certificate=certificate[0], certificate_key=wrong)
        with pytest.raises(SSHError, match="--tls-cert") as caught:
            serve.run(settings)
        assert caught.value.slug == "gateway-settings"


def _wrong_key(address: str, forwarded: str) -> None:
    headers = {"X-API-Key": "a-wrong-one", "X-Forwarded-For": forwarded, "Content-Type": "application/json"}
    request = urllib.request.Request(address, b'{"action": "register"}', headers)
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=20)


@pytest.mark.parametrize(("proxy", "seen"), [("", "127.0.0.1"), ("127.0.0.1", "198.51.100.9")])
def test_a_proxy_is_believed_only_when_told(
    proxy: str, seen: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who is wrong too often is who the proxy says; without --proxy nobody chooses his address."""
    settings, store = gateway(tmp_path, proxy=proxy)
    with served(settings, store) as address:
        _wrong_key(address, "198.51.100.9")
    assert f"auth failed: ip={seen} " in caplog.text


# From a host of ssh


@contextmanager
def ssh_with(config: Path, folder: Path) -> Iterator[None]:
    """Have ssh read another configuration than this user's."""
    real = shutil.which("ssh")
    wrapper = folder / "bin" / "ssh"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {real} -F {config} "$@"\n')
    wrapper.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
        yield


@pytest.mark.skipif(not shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin"), reason="no sshd here")
def test_over_a_host_of_ssh(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    """HTTP, and TLS, from where that host stands; its words where it does not let us."""
    made = {"": gateway(tmp_path)}
    tls = tmp_path / "tls"
    tls.mkdir()
    made["s"] = gateway(tls, certificate=certificate[0], certificate_key=certificate[1])
    with standing() as there, ssh_with(there.config, tmp_path), pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(certificate[0]))
        for number, (settings, store) in enumerate(made.values()):
            with served(settings, store) as address:
                path = tmp_path / f"id{number}"
                granted = client.enrol(address, token(store), name="lab", key=path, over_ssh="there")
                assert (granted.port, granted.name) == (20000, "lab")
                with pytest.raises(SSHError) as caught:
                    client.enrol(address, "wrong", name="lab", key=tmp_path / "other", over_ssh="there")
                assert caught.value.slug == "gateway-token"
        with pytest.raises(OSError, match="resolve hostname"):
            over_http.send("http://127.0.0.1:1/", b"", {}, Host.parse("nowhere.invalid"))
        with pytest.raises(OSError, match="open failed"):
            over_http.send("http://127.0.0.1:1/", b"", {}, Host.parse("there"))


# A script


SHELLS = [words for words in (["dash"], ["bash", "--posix"], ["busybox", "sh"]) if shutil.which(words[0])]


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
@pytest.mark.parametrize("interpreter", SHELLS, ids=lambda words: words[0])
def test_a_script_enrols_by_curl(interpreter: list[str], tmp_path: Path) -> None:
    """It gets its port and goes on to set the tunnel up; what the gateway refuses, it tells in its words."""
    settings, store = gateway(tmp_path, public_host="gw.invalid")
    made = token(store, uses=1)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with served(settings, store) as address:
        result = CliRunner().invoke(app, ["gateway", "script", address])
        assert result.exit_code == 0
        (tmp_path / "enrol.sh").write_text(result.stdout)

        def run(said: str, *more: str) -> subprocess.CompletedProcess[str]:
            words = [*interpreter, str(tmp_path / "enrol.sh"), "--token-file", "-", "--yes", *more]
            return subprocess.run(
                words, env=environment, input=said, capture_output=True, text=True, timeout=60
            )

        assert run(made, "--dry-run").returncode == 2
        refused = run("nonsense")
        assert refused.returncode == 1
        assert "[gateway-answer]" in refused.stderr
        assert "gateway-token" in refused.stderr
        done = run(made, "--target", f"localhost:{address.rpartition(':')[2]}")
    assert "Enrolled: port 20000 of tunnel@gw.invalid:22.\n" in done.stderr
    # The rest is the set-up of a tunnel, which this one cannot be.
    assert done.returncode == 20
    assert "gw.invalid" in done.stderr
    assert store.machines("active")[0].port == 20000


@pytest.mark.parametrize("wrong", ["ftp://x", "https://", "ssh://-oProxyCommand=x", "nonsense"])
def test_a_script_for_no_gateway_is_refused(wrong: str) -> None:
    """One error, and no half script."""
    result = CliRunner().invoke(app, ["gateway", "script", wrong])
    assert isinstance(result.exception, SSHError)
    assert result.stdout == ""


# What is asked before anything is sent


@contextmanager
def watched() -> Iterator[tuple[str, socket.socket]]:
    """An address that nobody may call, and the socket that would know."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield f"http://127.0.0.1:{server.getsockname()[1]}", server


def setup(folder: Path, *words: str, policy: str = "") -> Result:
    """Give a set-up by a gateway."""
    config = folder / "config.yaml"
    config.write_text(policy)
    environment = {"SCITEX_SSH_CONFIG": str(config), "HOME": str(folder)}
    return CliRunner().invoke(app, ["setup", *words], env=environment)


@pytest.mark.parametrize(
    ("words", "policy", "slug"),
    [
        ((), "", "policy-unset"),
        (("--yes",), "default: {tunnels: deny}\n", "policy-denied"),
        (("--yes", "--target", "a:b:c"), "", "bad-target"),
        (("--yes", "--keeper", "nonsense"), "", "bad-keeper"),
        (("--yes", "-b", "x@y"), "", "usage"),
        (("--yes", "-p", "2222"), "", "usage"),
        (("--yes", "--dry-run"), "", "usage"),
        (("--yes", "--token-file", "/nowhere"), "", "file-failed"),
        (("--yes", "--over-ssh", "-oProxyCommand=x"), "", "bad-ssh-host"),
    ],
)
def test_what_is_not_permitted_or_not_right_is_not_sent(
    words: tuple[str, ...], policy: str, slug: str, tmp_path: Path
) -> None:
    """Neither a word to the gateway nor a key here, before the policy and every flag are known."""
    with watched() as (address, server):
        result = setup(tmp_path, "--gateway", address, *words, policy=policy)
        with pytest.raises(SSHError) as caught:
            raise result.exception or AssertionError(result.output)
        assert caught.value.slug == slug
        with pytest.raises(BlockingIOError):
            server.accept()
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


# The forced command


def session(monkeypatch: pytest.MonkeyPatch, word: str, said: str, public: str) -> int:
    """One session of sshd that asks to be enrolled; its exit status."""
    monkeypatch.setenv("SSH_ORIGINAL_COMMAND", word)
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.9 50000 192.0.2.1 22")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(said.encode())))
    return over_ssh.main(public.split())


def test_sessions_have_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So many from one address in a minute, right or wrong; the others are told when to come again."""
    settings, store = gateway(tmp_path)
    monkeypatch.setenv("SCITEX_SSH_GATEWAY_DATABASE", settings.database)
    monkeypatch.setattr(limits, "SESSIONS", 3)
    public, made = str(key()), token(store)
    assert session(monkeypatch, "enrol", json.dumps({"token": made, "name": "lab"}), public) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "lab"
    assert session(monkeypatch, "status", "", public) == 0
    capsys.readouterr()
    assert session(monkeypatch, "enrol", "", public) == 3
    said = json.loads(capsys.readouterr().out)["error"]
    assert said["slug"] == "gateway-limit"
    assert said["facts"]["address"] == "192.0.2.9"
