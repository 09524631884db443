"""The same promises of the store, on a real PostgreSQL server that several gateways share."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest
from sqlalchemy import create_engine, text

from scitex_ssh.errors import SSHError
from scitex_ssh.gateway.store import Store

from . import model, test_state_machine, test_store
from .model import POOL, SHARED, Clock, key, wish

FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path(shutil.which("postgres") or "/").parent]
pytestmark = pytest.mark.skipif(
    not (FOLDERS[-1] / "initdb").exists(), reason="no PostgreSQL here: apt-get install postgresql"
)
# About the file that SQLite has.
OF_SQLITE = {
    "test_a_token_is_kept_as_a_digest",
    "test_an_older_database_is_brought_up_to_date",
    "test_an_update_that_fails_leaves_the_older_database",
    "test_a_database_that_cannot_be",
    "test_the_password_of_a_database_is_not_told",
    "test_a_state_that_there_is_not_is_no_empty_list",
}
globals().update(
    {
        name: each
        for name, each in vars(test_store).items()
        if name in ("clock", "store") or (name.startswith("test_") and name not in OF_SQLITE)
    }
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server of its own, on a Unix socket: the folder of the socket."""
    # A short path, for the socket; the server refuses to be root's.
    folder = Path(tempfile.mkdtemp(prefix="scitex-pg-"))
    account = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    if account:
        shutil.chown(folder, **account)
    try:
        run = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder, "env": {"LC_ALL": "C"}, **account}
        data = str(folder / "data")
        subprocess.run(
            [FOLDERS[-1] / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"],
            **run,
        )
        # What is tried here is order and locks; that a commit is on the disk is the server's own promise.
        options = f"-k {folder} -c listen_addresses= -c fsync=off -c max_connections=60"
        control = [FOLDERS[-1] / "pg_ctl", "-D", data, "-l", folder / "log", "-w"]
        subprocess.run([*control, "-o", options, "start"], **run)
        try:
            yield str(folder)
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **run)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def elsewhere(server: str) -> Iterator[None]:
    """Have every test here use that server: a database for each folder."""
    made: set[str] = set()

    def database(folder: Path) -> str:
        name = f"t{crc32(str(folder).encode()):08x}"
        if name not in made:
            admin = create_engine(address("postgres"), isolation_level="AUTOCOMMIT")
            with admin.connect() as db:
                db.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                db.execute(text(f"CREATE DATABASE {name}"))
            admin.dispose()
            made.add(name)
        return address(name)

    def address(name: str) -> str:
        return f"postgresql://postgres@/{name}?host={server}"

    model.ELSEWHERE.append(database)
    yield
    model.ELSEWHERE.remove(database)


def test_the_state_machine() -> None:
    """Whatever happens in whatever order: the same model as with SQLite."""
    from hypothesis import settings
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        test_state_machine.Gateway, settings=settings(max_examples=8, stateful_step_count=20, deadline=None)
    )


def test_the_database_is_reached_as_people_write_it(tmp_path: Path) -> None:
    """postgresql:// is enough: the driver is ours to know."""
    store = Store(model.url(tmp_path), POOL)
    assert store.engine.dialect.driver == "psycopg"


def test_what_sshd_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line of a key comes from the shared database, on its own bastion and on no other."""
    from scitex_ssh.gateway import ask

    database = model.url(tmp_path)
    wanted = wish("a")
    Store(database, POOL, busy=lambda port: False).register(wanted, SHARED)
    monkeypatch.setenv("SCITEX_SSH_GATEWAY_DATABASE", database)
    for bastion, lines in (("", 1), ("another", 0)):
        monkeypatch.setenv("SCITEX_SSH_GATEWAY_BASTION", bastion)
        assert ask.main(["tunnel", *str(wanted.key).split()]) == 0
        said = capsys.readouterr().out
        assert len(said.splitlines()) == lines
        assert ('permitlisten="localhost:20000"' in said) == bool(lines)
    assert ask.main(["tunnel", *str(key()).split()]) == 0
    assert capsys.readouterr().out == ""


def test_a_server_that_is_gone_is_told(server: str) -> None:
    """One clear error, without the password."""
    with pytest.raises(SSHError) as caught:
        Store(f"postgresql://me:hunter2@/none?host={server}/nowhere", POOL, clock=Clock())
    assert caught.value.slug == "gateway-storage"
    assert "hunter2" not in str(caught.value)
