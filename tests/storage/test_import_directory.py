"""The directory out of CSV files: what is good is taken over, what is not is named."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from core.domain.rights import ROOT
from core.errors import RequestRefused
from core.operations.import_directory import CHUNK_ROWS, import_directory
from core.storage.database import Database
from core.storage.directory.csv_files import RefusedRow, read_mandates, read_memberships, read_users
from core.storage.directory.mirror import Mandate, Membership, User, put_mandates, put_memberships
from tests.conftest import Rows


def written(folder: Path, text: str | bytes, name: str = "file.csv") -> Path:
    """A file with this content."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_files_are_read_whatever_the_order_of_their_columns(tmp_path: Path) -> None:
    """Columns come in any order, after a byte order mark too; empty names are none, a missing `enabled` is left open."""
    refused: list[RefusedRow] = []
    mandates = written(tmp_path, '\ufefftime_zone,enabled,label,id,name\nEurope/Zurich,no,,acme,"Acme, Inc."\n\n,1,Beta!,beta,\r\n')
    assert list(read_mandates(mandates, refused)) == [
        Mandate("acme", "Acme, Inc.", None, enabled=False, time_zone="Europe/Zurich"),
        Mandate("beta", "", "Beta!", enabled=True, time_zone=None),
    ]
    memberships = written(tmp_path, "mandate_id,user_id\nacme,ada\nacme,ada\n")
    assert set(read_memberships(memberships, refused)) == {Membership("ada", "acme", enabled=None)}
    users = written(tmp_path, "id,username,display_name\nada,,Ädä 😀\n")
    assert list(read_users(users, refused)) == [User("ada", None, "Ädä 😀")]
    assert refused == []


@pytest.mark.parametrize("text", ["TRUE", "true", "1", "yes", "Yes"])
def test_ways_to_say_enabled(tmp_path: Path, text: str) -> None:
    """All of these are enabled."""
    assert [m.enabled for m in read_memberships(written(tmp_path, f"user_id,mandate_id,enabled\na,b,{text}\n"), [])] == [True]


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ("", "header line is missing"),
        ("id,label", "missing in the header: name, time_zone; known are id, name"),
        ("id,name,label,time_zone,colour", "unknown column 'colour'"),
        ("id,name,label,time_zone,id", "id is in the header twice"),
        ("acme,Acme,,UTC", "unknown column 'acme'"),
    ],
)
def test_a_wrong_header_is_refused_at_once(tmp_path: Path, header: str, complaint: str) -> None:
    """Nothing is read from a file whose columns aren't known, and the error names the file and the column."""
    path = written(tmp_path, header)
    with pytest.raises(RequestRefused, match=complaint) as caught:
        read_mandates(path, [])
    assert str(path) in str(caught.value)


def test_bad_rows_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    """Each bad row is reported with its line, field and value; every good one is read, whatever stands before it."""
    lines = [
        b"id,name,label,enabled,time_zone",
        b",Nameless,,,",
        b"x" * 65 + b",Long,,,",
        b"bell\x07,Bell,,,",
        b"byte\xff,Byte,,,",
        b"maybe,Maybe,,perhaps,",
        b"mars,Mars,,,Mars/Olympus",
        b"short,Short",
        b'multi,"two',
        b'lines",,,',
        b"twice,Once,,,",
        b"twice,Twice,,,",
        b"good,Good,,,UTC",
    ]
    refused: list[RefusedRow] = []
    read = list(read_mandates(written(tmp_path, b"\n".join(lines)), refused))
    assert [m.id for m in read] == ["twice", "good"]
    assert [(r.line, r.field) for r in refused] == [
        (2, "id"),
        (3, "id"),
        (4, "id"),
        (5, "id"),
        (6, "enabled"),
        (7, "time_zone"),
        (8, "row"),
        (9, "name"),
        (12, "row"),
    ]
    shown = "\n".join(map(str, refused))
    assert shown.replace("\n", "").isprintable()
    assert shown.isascii()
    assert "file.csv:7: time_zone is not an IANA time zone (got 'Mars/Olympus')" in shown


def test_an_enormous_field_is_one_bad_row(tmp_path: Path) -> None:
    """What the CSV reader itself refuses is reported like any other row."""
    refused: list[RefusedRow] = []
    read = list(read_users(written(tmp_path, "id,username,display_name\na,b," + "x" * 200_000 + "\nada,,\n"), refused))
    assert [u.id for u in read] == ["ada"]
    assert [(r.line, r.field) for r in refused] == [(2, "row")]


def test_an_import_is_repeatable_and_follows_its_source(database: Database, rows: Rows) -> None:
    """The mirror has what the last import said; what it didn't name stays."""
    acme = Mandate("acme", "Acme", None, enabled=True, time_zone=None)
    for _ in range(2):
        done = import_directory(
            database, ROOT, mandates=[acme], memberships=[Membership("ada", "acme", enabled=True)], users=[User("ada", "ada.l", None)]
        )
        assert (done.mandates, done.memberships, done.users) == (1, 1, 1)
    import_directory(database, ROOT, memberships=[Membership("ada", "acme", enabled=False)])
    assert rows("SELECT user_id, enabled FROM directory_memberships") == [{"user_id": "ada", "enabled": False}]
    assert rows("SELECT name, enabled FROM directory_mandates") == [{"name": "Acme", "enabled": True}]
    assert rows("SELECT username FROM directory_users") == [{"username": "ada.l"}]


def test_enabled_stays_where_it_is_not_given(database: Database, rows: Rows, tmp_path: Path) -> None:
    """An empty or absent `enabled` keeps what the mirror has and makes new rows true; other empty cells clear, given values count."""
    for header, cells in (("enabled,time_zone,id,name,label", "no,UTC,old,Old,OLD"), ("id,name,label,time_zone", "old,,,\nnew,New,,")):
        import_directory(database, ROOT, mandates=read_mandates(written(tmp_path, f"{header}\n{cells}\n"), []))
    assert rows("SELECT id, name, label, time_zone, enabled FROM directory_mandates ORDER BY id DESC") == [
        {"id": "old", "name": "", "label": None, "time_zone": None, "enabled": False},
        {"id": "new", "name": "New", "label": None, "time_zone": None, "enabled": True},
    ]
    header = "user_id,mandate_id,enabled\n"
    for cells in ("ada,acme,no\nada,beta,no\nbob,acme,yes\n", "ada,acme,\nada,beta,yes\nbob,acme,no\nbob,beta,\n"):
        import_directory(database, ROOT, memberships=read_memberships(written(tmp_path, header + cells), []))
    found = rows("SELECT user_id, mandate_id, enabled FROM directory_memberships ORDER BY user_id, mandate_id")
    assert [tuple(row.values()) for row in found] == [("ada", "acme", False), ("ada", "beta", True), ("bob", "acme", False), ("bob", "beta", True)]


def test_enabled_stays_as_somebody_else_has_just_made_it(connect: Callable[[], Database], rows: Rows) -> None:
    """An import that waits for another one's rows keeps what that one has made of `enabled`, not what stood there before."""
    first, second = connect(), connect()
    acme = Mandate("acme", "Acme", None, enabled=True, time_zone=None)
    import_directory(first, ROOT, mandates=[acme], memberships=[Membership("ada", "acme", enabled=True)])
    with ThreadPoolExecutor(1) as threads:
        with first.transaction() as connection:
            put_memberships(connection, [Membership("ada", "acme", enabled=False)])
            put_mandates(connection, [replace(acme, enabled=False)])
            open_ended = [replace(acme, name="Acme Inc.", enabled=None)]
            waiting = threads.submit(import_directory, second, ROOT, mandates=open_ended, memberships=[Membership("ada", "acme", enabled=None)])
            deadline = time.monotonic() + 10
            while not rows("SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()"):
                assert time.monotonic() < deadline
        waiting.result(10)
    assert rows("SELECT name, enabled FROM directory_mandates") == [{"name": "Acme Inc.", "enabled": False}]
    assert rows("SELECT enabled FROM directory_memberships") == [{"enabled": False}]


def test_more_rows_than_a_chunk_are_imported(database: Database, rows: Rows) -> None:
    """Chunks are invisible: every row arrives, one given twice too."""
    users = [User(f"user-{n}", None, None) for n in range(CHUNK_ROWS + 10)]
    assert import_directory(database, ROOT, users=iter([*users, users[0], users[0]])).users == CHUNK_ROWS + 12
    assert rows("SELECT count(*) AS n FROM directory_users") == [{"n": CHUNK_ROWS + 10}]
