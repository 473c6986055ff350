"""The backup recipe of docs/operations.md, run as it stands there into a new cluster: the roles, the rights and the books are there again."""

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from core.schema import migrate
from lab import process
from lab.postgres import OWNER, SUPERUSER, WORKER, PostgresServer
from lab.process import temporary_dir
from tests.schema.logins import execute, programs, records

OPERATIONS = Path(__file__).parents[2] / "docs/operations.md"
ENTRIES = "SELECT id, mandate_id, event_id, amount FROM transactions ORDER BY id"


def _recipe(title: str) -> str:
    """The block of shell commands below this heading."""
    found = re.search(rf"^#+ {re.escape(title)}\n.*?^```sh\n(.*?)^```$", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/operations.md has no commands below {title!r}"
    return found[1]


def _shell(commands: str, server: PostgresServer, folder: Path) -> subprocess.CompletedProcess[str]:
    variables = {
        "PATH": f"{Path(sys.executable).parent}:{programs()}:{os.environ['PATH']}",
        "DATABASE_URL": server.url(WORKER),
        "DATABASE_OWNER_URL": server.url(OWNER),
        "ADMINISTRATOR_URL": server.url(SUPERUSER, "postgres"),
    }
    return subprocess.run(["/bin/sh", "-eu", "-c", commands], cwd=folder, env=variables, text=True, capture_output=True, check=False)


@contextmanager
def _server(folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(folder, fast=True)
    server.start()
    try:
        yield server
    finally:
        server.stop("immediate")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for servers and dumps."""
    with temporary_dir("tollbook-restore-") as made:
        yield made


@pytest.fixture(scope="module")
def old(folder: Path) -> Iterator[PostgresServer]:
    """A server with books in which something is recorded, and their dump in the folder."""
    with _server(folder / "old") as server:
        migrate.upgrade(server.url(OWNER), server.url(WORKER))
        assert records(server.url(WORKER))
        done = _shell(_recipe("A dump"), server, folder)
        assert done.returncode == 0, done.stderr
        yield server


def _is_whole(old: PostgresServer, new: PostgresServer) -> bool:
    """Whether the new server's books are the old ones, for both logins, and a worker records into them."""
    assert migrate.check(new.url(OWNER), new.url(WORKER)) == []
    assert execute(new.url(OWNER), ENTRIES) == execute(old.url(OWNER), ENTRIES)
    return records(new.url(WORKER))


def test_the_recipe_for_a_dump_restores_into_a_new_cluster(old: PostgresServer, folder: Path) -> None:
    """Every command of it succeeds, without a superuser, and a worker records then."""
    with _server(folder / "recipe") as new:
        done = _shell(_recipe("Restoring a dump"), new, folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert _is_whole(old, new)


def test_the_backup_of_the_compose_file_is_whole_and_the_oldest_go(old: PostgresServer, folder: Path) -> None:
    """It writes a dump that restores, leaves nothing half written behind when it fails, and keeps as many as it is told to."""
    backups = folder / "backups"
    backups.mkdir()
    for day in (1, 2, 3):
        (backups / f"tollbook-2026010{day}T000000Z.dump").touch()
    where = urlsplit(old.url(OWNER))
    variables = {
        "PATH": f"{programs()}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(old.port),
        "PGUSER": OWNER,
        "PGDATABASE": "tollbook",
        "PGPASSWORD": where.password or "",
        "BACKUPS_DIR": str(backups),
        "BACKUPS_KEPT": "2",
    }
    script = ["/bin/sh", str(OPERATIONS.parents[1] / "deploy/backup.sh")]
    refused = subprocess.run(script, env={**variables, "PGPASSWORD": "wrong"}, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert len(list(backups.iterdir())) == 3
    done = subprocess.run(script, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *_, kept, made = sorted(backups.iterdir())
    assert (len(list(backups.iterdir())), kept.name) == (2, "tollbook-20260103T000000Z.dump")
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    with _server(folder / "from-backup") as new:
        shutil.copy(made, folder / "books.dump")
        restored = _shell(_recipe("Restoring a dump"), new, folder)
        assert restored.returncode == 0, restored.stdout + restored.stderr
        assert _is_whole(old, new)


@pytest.mark.parametrize("options", [[], ["--no-owner"], ["--no-owner", "--no-acl"]], ids=" ".join)
@pytest.mark.parametrize("login", [SUPERUSER, OWNER])
def test_a_dump_restored_otherwise_is_told_and_mended(login: str, options: list[str], old: PostgresServer, folder: Path) -> None:
    """Whatever of owners, roles and rights was lost: the check doesn't call it well, and the upgrade, with the SQL it prints, mends it."""
    with _server(folder / f"otherwise-{login}{''.join(options)}") as new:
        subprocess.run([programs() / "pg_restore", *options, "-d", new.url(login), folder / "books.dump"], check=False, capture_output=True)
        assert migrate.check(new.url(OWNER), new.url(WORKER))
        for _ in range(2):
            done = _shell("tollbook db upgrade", new, folder)
            assert "tollbook db upgrade" not in done.stderr
            if done.returncode:
                execute(new.url(SUPERUSER), *done.stdout.splitlines())
        assert done.returncode == 0, done.stderr
        assert _is_whole(old, new)


def test_the_recipe_for_a_base_backup_restores_the_whole_cluster(old: PostgresServer, folder: Path) -> None:
    """Roles and rights come with it: the check is content at once."""
    done = _shell(_recipe("A base backup"), old, folder)
    assert done.returncode == 0, done.stderr
    process.make_directory(folder / "base")
    (folder / "books.base").rename(folder / "base/data")
    account = process.server_account()
    for path in [folder / "base/data", *(folder / "base/data").rglob("*")]:
        shutil.chown(path, account.user_id, account.group_id)
    process.write_private(folder / "base/server.json", (folder / "old/server.json").read_text())
    with _server(folder / "base") as new:
        assert _is_whole(old, new)
