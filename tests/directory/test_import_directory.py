"""The directory out of CSV files: what is good is taken over, what is not is named."""

import time
import tracemalloc
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from core.asking.rights import ROOT
from core.database.database import Database
from core.directory.csv_files import RefusedRow, read_mandates, read_memberships, read_users
from core.directory.import_files import import_directory_files
from core.directory.import_lists import CHUNK_ROWS, ImportedDirectory, import_directory
from core.directory.sql.mirror import Mandate, Membership, User, put_mandates, put_memberships
from core.errors import RequestRefused
from tests.conftest import Rows

Entry = TypeVar("Entry")
MEMBERSHIPS = 40_000  # of which a process that remembered each would hold eleven megabytes


def entries(read: Iterable[tuple[int, Entry]]) -> list[Entry]:
    """What was read, without the lines."""
    return [entry for _, entry in read]


def fail(row: RefusedRow) -> None:
    """Nothing is to be refused."""
    raise AssertionError(str(row))


def written(folder: Path, text: str | bytes, name: str = "file.csv") -> Path:
    """A file with this content."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_files_are_read_whatever_the_order_of_their_columns(tmp_path: Path) -> None:
    """Columns come in any order, after a byte order mark too; empty names are none, a missing `enabled` is left open."""
    refused: list[RefusedRow] = []
    mandates = written(tmp_path, '\ufefftime_zone,enabled,label,id,name\nEurope/Zurich,no,,acme,"Acme, Inc."\n\n,1,Beta!,beta,\r\n')
    assert entries(read_mandates(mandates, refused.append)) == [
        Mandate("acme", "Acme, Inc.", None, enabled=False, time_zone="Europe/Zurich"),
        Mandate("beta", "", "Beta!", enabled=True, time_zone=None),
    ]
    memberships = written(tmp_path, "mandate_id,user_id\nacme,ada\nacme,ada\n")
    assert set(entries(read_memberships(memberships, refused.append))) == {Membership("ada", "acme", enabled=None)}
    users = written(tmp_path, "id,username,display_name\nada,,Ädä 😀\n")
    assert entries(read_users(users, refused.append)) == [User("ada", None, "Ädä 😀")]
    assert refused == []


@pytest.mark.parametrize("text", ["TRUE", "true", "1", "yes", "Yes"])
def test_ways_to_say_enabled(tmp_path: Path, text: str) -> None:
    """All of these are enabled."""
    assert [m.enabled for m in entries(read_memberships(written(tmp_path, f"user_id,mandate_id,enabled\na,b,{text}\n"), fail))] == [True]


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
        read_mandates(path, fail)
    assert str(path) in str(caught.value)


def test_bad_rows_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    """Each bad row is reported with its line, field and value; every good one is read, whatever stands before it."""
    lines = [
        b"id,name,label,enabled,time_zone",
        b",Nameless,,,",
        b"x" * 129 + b",Long,,,",
        b"bell\x07,Bell,,,",
        b"byte\xff,Byte,,,",
        b"maybe,Maybe,,perhaps,",
        b"mars,Mars,,,Mars/Olympus",
        b"short,Short",
        b'multi,"two',
        b'lines",,,',
        b"good,Good,,,UTC",
    ]
    refused: list[RefusedRow] = []
    read = list(read_mandates(written(tmp_path, b"\n".join(lines)), refused.append))
    assert [(line, m.id) for line, m in read] == [(11, "good")]
    assert [(r.line, r.field) for r in refused] == [
        (2, "id"),
        (3, "id"),
        (4, "id"),
        (5, "id"),
        (6, "enabled"),
        (7, "time_zone"),
        (8, "row"),
        (9, "name"),
    ]
    shown = "\n".join(map(str, refused))
    assert shown.replace("\n", "").isprintable()
    assert shown.isascii()
    assert "file.csv:7: time_zone is not an IANA time zone that this program knows (got 'Mars/Olympus')" in shown


def test_an_enormous_field_is_one_bad_row(tmp_path: Path) -> None:
    """What the CSV reader itself refuses is reported like any other row."""
    refused: list[RefusedRow] = []
    read = entries(read_users(written(tmp_path, "id,username,display_name\na,b," + "x" * 200_000 + "\nada,,\n"), refused.append))
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
        import_directory_files(database, ROOT, mandates=written(tmp_path, f"{header}\n{cells}\n"), refuse=fail)
    assert rows("SELECT id, name, label, time_zone, enabled FROM directory_mandates ORDER BY id DESC") == [
        {"id": "old", "name": "", "label": None, "time_zone": None, "enabled": False},
        {"id": "new", "name": "New", "label": None, "time_zone": None, "enabled": True},
    ]
    header = "user_id,mandate_id,enabled\n"
    for cells in ("ada,acme,no\nada,beta,no\nbob,acme,yes\n", "ada,acme,\nada,beta,yes\nbob,acme,no\nbob,beta,\n"):
        import_directory_files(database, ROOT, memberships=written(tmp_path, header + cells), refuse=fail)
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


def test_of_rows_with_one_id_the_first_counts(database: Database, rows: Rows, tmp_path: Path) -> None:
    """A later row with other content is refused and named, wherever it stands; the same row again is none the worse."""
    refused: list[RefusedRow] = []
    mandates = written(tmp_path, "id,name,label,time_zone\nacme,Once,,\nbeta,Beta,,\nacme,Once,,\nacme,Twice,,\nbeta,Beta,B,UTC\n", "mandates.csv")
    memberships = written(tmp_path, "user_id,mandate_id,enabled\nada,acme,no\nbob,acme,\nada,acme,\nbob,acme,\n", "memberships.csv")
    done = import_directory_files(database, ROOT, mandates=mandates, memberships=memberships, refuse=refused.append)
    assert done == ImportedDirectory(mandates=3, memberships=3, users=0)
    assert [(Path(r.file).name, r.line, r.value) for r in refused] == [
        ("memberships.csv", 4, "'acme,ada'"),
        ("mandates.csv", 5, "'acme'"),
        ("mandates.csv", 6, "'beta'"),
    ]
    assert {(r.field, r.reason) for r in refused} == {("row", "has the id of an earlier row and other content")}
    assert rows("SELECT id, name, label FROM directory_mandates ORDER BY id") == [
        {"id": "acme", "name": "Once", "label": None},
        {"id": "beta", "name": "Beta", "label": None},
    ]
    assert rows("SELECT user_id, enabled FROM directory_memberships ORDER BY 1") == [
        {"user_id": "ada", "enabled": False},
        {"user_id": "bob", "enabled": True},
    ]


def test_a_wrong_header_in_one_file_leaves_the_others_alone(database: Database, rows: Rows, tmp_path: Path) -> None:
    """Every header is looked at before anything is taken over."""
    users, mandates = written(tmp_path, "id,username,display_name\nada,,\n", "users.csv"), written(tmp_path, "id,colour\n", "mandates.csv")
    with pytest.raises(RequestRefused, match="unknown column 'colour'"):
        import_directory_files(database, ROOT, mandates=mandates, users=users, refuse=fail)
    assert rows("SELECT FROM directory_users") == []


def test_an_import_keeps_what_somebody_else_has_just_made_of_enabled(connect: Callable[[], Database], rows: Rows, tmp_path: Path) -> None:
    """A file without `enabled` waits for another import's rows, and keeps what that one has made of them."""
    first, second = connect(), connect()
    import_directory(first, ROOT, memberships=[Membership("ada", "acme", enabled=True)])
    memberships = written(tmp_path, "user_id,mandate_id\nada,acme\n")
    with ThreadPoolExecutor(1) as threads:
        with first.transaction() as connection:
            put_memberships(connection, [Membership("ada", "acme", enabled=False)])
            waiting = threads.submit(import_directory_files, second, ROOT, memberships=memberships, refuse=fail)
            deadline = time.monotonic() + 10
            while not rows("SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()"):
                assert time.monotonic() < deadline
        waiting.result(10)
    assert rows("SELECT enabled FROM directory_memberships") == [{"enabled": False}]


def test_an_import_remembers_no_row(database: Database, rows: Rows, tmp_path: Path) -> None:
    """However many memberships a file has, the process holds a block of it at a time: not one word for each row."""
    lines = (f"user-{n},mandate-{n % 1000}\n" for n in range(MEMBERSHIPS))
    path = written(tmp_path, "user_id,mandate_id\n" + "".join(lines))
    import_directory_files(database, ROOT, memberships=written(tmp_path, "user_id,mandate_id\nada,acme\n", "one.csv"), refuse=fail)
    tracemalloc.start()
    try:
        import_directory_files(database, ROOT, memberships=path, refuse=fail)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2**21
    assert rows("SELECT count(*) AS n FROM directory_memberships") == [{"n": MEMBERSHIPS + 1}]


def test_a_header_that_is_not_csv_is_refused(tmp_path: Path) -> None:
    """What the CSV reader itself refuses in the header is one line for the operator, not the program's end."""
    with pytest.raises(RequestRefused, match="the header is not CSV"):
        read_users(written(tmp_path, "id," + "x" * 200_000 + "\n"), fail)
