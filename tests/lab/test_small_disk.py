"""A full disk: PostgreSQL refuses, or ends, and keeps what it told is committed."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from lab.postgres import OWNER, PostgresServer
from lab.process import ServerFailed, temporary_dir
from lab.small_disk import SmallDisk
from tests.mounting import needs_mount


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    """A disk of 256 MiB."""
    with temporary_dir() as folder, SmallDisk(folder / "disk", mib=256) as disk:
        yield disk


@pytest.fixture
def server(disk: SmallDisk) -> Iterator[PostgresServer]:
    """A server on it, with a table `told`."""
    server = PostgresServer(disk.folder / "postgres")
    server.start()
    with psycopg.connect(server.url(OWNER)) as connection:
        connection.execute("CREATE TABLE told (n int PRIMARY KEY, filler text)")
    yield server
    server.kill()


def insert(server: PostgresServer, told: list[int], n: int) -> None:
    """Commits `n` rows of 4 KiB, one after the other, and notes which it was told of."""
    with psycopg.connect(server.url(OWNER), autocommit=True) as connection:
        for _ in range(n):
            number = told[-1] + 1 if told else 1
            connection.execute("INSERT INTO told SELECT %s, string_agg(md5(random()::text), '') FROM generate_series(1, 128)", [number])
            told.append(number)


def log_without_end(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Writes to the log alone."""
    while True:
        connection.execute("SELECT pg_logical_emit_message(true, 'test', repeat('x', 1000000))")


@needs_mount
def test_a_full_disk_is_refused_with_53100_and_freed_it_works(disk: SmallDisk, server: PostgresServer) -> None:
    """With nothing left PostgreSQL answers 53100; as soon as there is room, the same server goes on, and nothing told is missing."""
    told: list[int] = []
    insert(server, told, 10)
    disk.fill()
    assert disk.left_kib == 0
    with pytest.raises(psycopg.errors.DiskFull) as caught:
        insert(server, told, 1000)
    assert caught.value.sqlstate == "53100"
    disk.free()
    insert(server, told, 100)
    with psycopg.connect(server.url(OWNER)) as connection:
        assert [n for (n,) in connection.execute("SELECT n FROM told ORDER BY n")] == told


@needs_mount
def test_with_no_room_for_its_log_the_server_ends_and_starts_again(disk: SmallDisk, server: PostgresServer) -> None:
    """A log (WAL) that can't be written ends every session; with room again the server starts, and nothing told is missing."""
    told: list[int] = []
    insert(server, told, 100)
    with psycopg.connect(server.url(OWNER), autocommit=True) as connection:
        disk.fill(left_kib=64)
        with pytest.raises(psycopg.OperationalError):
            log_without_end(connection)
        assert connection.closed
    disk.free()
    server.stop("immediate")
    server.start()
    insert(server, told, 100)
    with psycopg.connect(server.url(OWNER)) as connection:
        assert [n for (n,) in connection.execute("SELECT n FROM told ORDER BY n")] == told


@needs_mount
def test_a_disk_leaves_what_it_is_told_to(disk: SmallDisk) -> None:
    """Filled but for 100 KiB it takes no 200, which it takes again when it is freed."""
    (disk.folder / "before").write_bytes(bytes(1_000_000))
    disk.fill(left_kib=100)
    assert disk.left_kib == 100
    with pytest.raises(OSError, match="No space"):
        (disk.folder / "much").write_bytes(bytes(200 * 1024))
    disk.free()
    (disk.folder / "much").write_bytes(bytes(200 * 1024))


@needs_mount
def test_a_disk_of_which_a_file_is_open_is_unmounted_too() -> None:
    """Whoever still holds a file of it doesn't keep it mounted, and its folder can be removed."""
    with temporary_dir() as folder:
        with SmallDisk(folder / "disk", mib=1) as disk:
            held = (disk.folder / "held").open("wb")
        with held:
            assert not disk.folder.is_mount()
            disk.folder.rmdir()


def test_who_may_not_mount_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where mounting is refused the error says what it needs."""
    monkeypatch.setattr("lab.process.ENVIRONMENT", {"PATH": str(tmp_path)})
    (tmp_path / "mount").write_text("#!/bin/sh\necho only root can do that >&2; exit 32\n")
    (tmp_path / "mount").chmod(0o755)
    with pytest.raises(ServerFailed, match=r"mount of .*/disk is not possible here, which needs root's rights: only root can do that"):
        SmallDisk(tmp_path / "disk", mib=1).__enter__()
