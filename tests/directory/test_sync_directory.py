"""The mirror follows the application's database, and a bad source means older names and nothing else."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from core.asking.rights import ROOT
from core.config import Configuration
from core.database.database import Database
from core.directory.import_lists import import_directory
from core.directory.sql.mirror import Mandate, Membership
from core.directory.sql.requests import claim_request
from core.directory.sync import sync_directory
from core.errors import Misconfigured, RequestRefused, StorageUnavailable, TollbookError
from core.events.outcome import Outcome
from lab.postgres import PostgresServer
from tests.books.threads import at_once
from tests.conftest import Record, Rows, own_database
from tests.directory.source import ApplicationDatabase
from tests.sample_events import event

Sync = Callable[..., dict[str, int] | None]


@pytest.fixture
def source(postgres: PostgresServer) -> Iterator[ApplicationDatabase]:
    """The application's database."""
    with own_database(postgres, "template1") as urls:
        yield ApplicationDatabase(urls.owner)


@pytest.fixture
def sync(database: Database, source: ApplicationDatabase, make_config: Callable[..., Configuration]) -> Sync:
    """Synchronises the test's mirror with the application's database at once; further arguments vary the configuration."""

    def call(*, at_once: bool = True, confirmed: bool = False, **fields: Any) -> dict[str, int] | None:
        config = make_config(**{"directory_url": source.url, **fields})
        return sync_directory(database, config=config, worker="test", at_once=at_once, confirmed=confirmed)

    return call


@pytest.fixture
def mirror(rows: Rows) -> Callable[[], dict[str, list[tuple[Any, ...]]]]:
    """Reads the whole mirror."""

    def read() -> dict[str, list[tuple[Any, ...]]]:
        return {
            "mandates": [tuple(r.values()) for r in rows("SELECT id, name, label, enabled, time_zone FROM directory_mandates ORDER BY id")],
            "memberships": [tuple(r.values()) for r in rows("SELECT mandate_id, user_id, enabled FROM directory_memberships ORDER BY 1, 2")],
            "users": [tuple(r.values()) for r in rows("SELECT id, username, display_name FROM directory_users ORDER BY id")],
        }

    return read


def test_the_mirror_follows_its_source(sync: Sync, source: ApplicationDatabase, mirror: Callable[..., Any], rows: Rows) -> None:
    """New, changed and vanished rows are taken over; what has gone is disabled and keeps its names, and a repetition changes nothing."""
    source.put_mandate("acme", users=["ada", "bob"])
    source.put_mandate("beta", users=["ada"], enabled=False)
    first = sync()
    assert first == {
        "mandates": 2,
        "mandates_changed": 2,
        "mandates_refused": 0,
        "mandates_disabled": 0,
        "memberships": 3,
        "memberships_changed": 3,
        "memberships_refused": 0,
        "memberships_disabled": 0,
        "users": 2,
        "users_changed": 2,
        "users_refused": 0,
        "time_zones_unknown": 0,
    }
    again = sync()
    assert again is not None
    assert {name: n for name, n in again.items() if n} == {"mandates": 2, "memberships": 3, "users": 2}
    source.run("DELETE FROM user_mandates WHERE user_id = 'bob'; DELETE FROM users WHERE id = 'bob'; DELETE FROM mandates WHERE id = 'beta'")
    source.run("UPDATE mandates SET label = 'ACME', time_zone = 'Asia/Tokyo'; UPDATE users SET display_name = 'Ada L.'")
    source.put_mandate("gamma")
    changed = sync()
    assert changed is not None
    assert (changed["mandates_changed"], changed["memberships_disabled"], changed["users_changed"]) == (2, 1, 1)
    assert mirror() == {
        "mandates": [
            ("acme", "Acme", "ACME", True, "Asia/Tokyo"),
            ("beta", "Acme", None, False, "Europe/Zurich"),
            ("gamma", "Acme", None, True, "Europe/Zurich"),
        ],
        "memberships": [("acme", "ada", True), ("acme", "bob", False), ("beta", "ada", True)],
        "users": [("ada", "ada.name", "Ada L."), ("bob", "bob.name", None)],
    }
    runs = rows("SELECT counts, error, ended_at IS NOT NULL AS ended FROM job_runs WHERE job = 'directory.sync' ORDER BY started_at")
    assert runs == [{"counts": counts, "error": None, "ended": True} for counts in (first, again, changed)]


def test_an_application_with_quoted_camel_case(sync: Sync, source: ApplicationDatabase, mirror: Callable[..., Any]) -> None:
    """Any tables fit through the three SELECTs: quoted names, ids that are numbers or UUIDs, further columns, semicolons and comments."""
    source.run("""
        CREATE TABLE "Mandate" ("mandateId" uuid, title text, "isActive" int, "timeZone" text, plan text);
        CREATE TABLE "UserMandate" ("userId" bigint, "mandateId" uuid, enabled boolean);
        INSERT INTO "Mandate" VALUES ('0199c0de-7a11-7000-8000-000000000000', '100 %', 1, 'UTC', 'gold');
        INSERT INTO "UserMandate" VALUES (7, '0199c0de-7a11-7000-8000-000000000000', true);
    """)
    sync(
        directory_mandates_select='SELECT "mandateId" AS id, title AS name, NULL AS label, "isActive" AS enabled, "timeZone" AS time_zone, plan'
        " FROM \"Mandate\" WHERE title LIKE '%\\%';\n",
        directory_memberships_select='SELECT "userId" AS user_id, "mandateId" AS mandate_id, enabled FROM "UserMandate" -- all of them',
    )
    assert mirror()["mandates"] == [("0199c0de-7a11-7000-8000-000000000000", "100 %", None, True, "UTC")]
    assert mirror()["memberships"] == [("0199c0de-7a11-7000-8000-000000000000", "7", True)]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        (
            {"directory_mandates_select": "SELECT id, name, label, enabled FROM mandates"},
            "TOLLBOOK_DIRECTORY_MANDATES_SELECT: column answer.time_zone does not exist.*must give the columns id, name, label, enabled, time_zone",
        ),
        ({"directory_users_select": "SELECT id, user_name FROM users"}, 'USERS_SELECT: column "user_name" does not exist .*"users.username"'),
        ({"directory_memberships_select": "SELECT * FROM members"}, 'MEMBERSHIPS_SELECT: relation "members" does not exist'),
        ({"directory_users_select": "DELETE FROM users"}, "USERS_SELECT: syntax error"),
        ({"directory_users_select": "SELECT 1 AS id, 'x' AS username, nextval('more') AS display_name"}, "USERS_SELECT: .*read-only"),
        ({"directory_mandates_select": "SELECT id, name, label, 'maybe' AS enabled, time_zone FROM mandates"}, 'MANDATES_SELECT: .*boolean: "maybe"'),
        ({"directory_url": "postgresql://nobody:wrong@{host}/postgres"}, "DIRECTORY_URL can't be used"),
        ({"directory_url": "mysql://host/app"}, "DIRECTORY_URL names mysql"),
        ({"directory_url": None}, "DIRECTORY_URL is not set"),
    ],
)
def test_a_wrong_source_is_named(sync: Sync, source: ApplicationDatabase, mirror: Callable[..., Any], fields: dict[str, Any], complaint: str) -> None:
    """The error names the variable, and the column that is missing or wrong; the mirror stays, and nothing can be written there."""
    source.put_mandate("acme", users=["ada"])
    source.run("CREATE SEQUENCE more")
    sync()
    before = mirror()
    source.run("UPDATE mandates SET name = 'Other'")
    if fields.get("directory_url"):
        fields = {"directory_url": fields["directory_url"].replace("{host}", source.url.split("@")[1].split("/")[0])}
    with pytest.raises(Misconfigured, match=complaint):
        sync(**fields)
    assert mirror() == before


def test_a_source_that_is_down_or_slow_changes_nothing(sync: Sync, source: ApplicationDatabase, mirror: Callable[..., Any], rows: Rows) -> None:
    """No answer, or none in time, leaves the mirror as it is, and the run says why; afterwards all is well again."""
    source.put_mandate("acme", users=["ada"])
    sync()
    before = mirror()
    source.run("UPDATE mandates SET name = 'Other'")
    with pytest.raises(StorageUnavailable, match="can't answer"):
        sync(directory_url="postgresql://app:secret@127.0.0.1:1/app")
    with pytest.raises(StorageUnavailable, match=r"no whole answer within 0\.5 s"):
        sync(directory_timeout_seconds=0.5, directory_memberships_select="SELECT user_id, mandate_id, enabled FROM user_mandates, pg_sleep(30)")
    trickle = "SELECT n::text AS id, repeat('x', 20000) AS username, pg_sleep(0.1)::text AS display_name FROM generate_series(1, 100) AS n"
    with pytest.raises(StorageUnavailable, match=r"no whole answer within 0\.5 s"):
        sync(directory_timeout_seconds=0.5, directory_users_select=trickle)
    assert mirror() == before
    errors = [row["error"] for row in rows("SELECT error FROM job_runs WHERE error IS NOT NULL ORDER BY started_at")]
    assert len(errors) == 3
    assert not any("secret" in error for error in errors)
    sync()
    assert mirror()["mandates"][0][1] == "Other"


def test_an_answer_that_disables_too_much_needs_confirmation(sync: Sync, source: ApplicationDatabase, mirror: Callable[..., Any]) -> None:
    """More than 10 and more than 20 % of the enabled rows of a kind are disabled only when an operator confirms it; else nothing changes."""
    source.run("INSERT INTO mandates SELECT n, 'M', NULL, true, 'UTC' FROM generate_series(101, 160) AS n")
    source.run("INSERT INTO user_mandates SELECT n, 101, true FROM generate_series(101, 140) AS n")
    sync()
    source.run("DELETE FROM user_mandates WHERE user_id <= '110'")
    assert (counts := sync()) is not None
    assert counts["memberships_disabled"] == 10  # of 40, but no more than 10
    source.run("UPDATE mandates SET enabled = false WHERE id <= '112'")
    assert (counts := sync()) is not None
    assert counts["mandates_disabled"] == 12  # more than 10, but no more than 20 % of 60
    before = mirror()
    source.run("DELETE FROM user_mandates WHERE user_id <= '121'; INSERT INTO mandates VALUES ('new', 'N', NULL, true, NULL)")
    with pytest.raises(RequestRefused, match=r"would disable 11 of 30 enabled memberships, more than 20 %.*tollbook directory sync --confirm"):
        sync()
    assert mirror() == before
    assert sync(directory_disabled_percent_max=50) is not None
    source.run("TRUNCATE mandates")
    with pytest.raises(RequestRefused, match="would disable 49 of 49 enabled mandates"):
        sync()
    assert (counts := sync(confirmed=True)) is not None
    assert counts["mandates_disabled"] == 49


def test_rows_that_cannot_be_used_are_left_out(sync: Sync, source: ApplicationDatabase, mirror: Callable[..., Any]) -> None:
    """Rows without a usable id are counted, not taken; names are cleaned, NULL isn't enabled, and of one pair given twice the enabled one counts."""
    source.run("ALTER TABLE mandates DROP CONSTRAINT mandates_pkey, ALTER id DROP NOT NULL")
    source.run(
        "INSERT INTO mandates VALUES (NULL, 'x', '', true, ''), ('', 'x', '', true, ''), (%s, 'x', '', true, ''), (E'a\\nb', 'x', '', true, ''),"
        " ('acme', E'Ac\\u0007me\\t', '', NULL, 'Mars'), ('beta', NULL, %s, true, '')",
        ["x" * 129, "y" * 300],
    )
    source.run("INSERT INTO user_mandates VALUES ('ada', 'beta', false), ('ada', 'beta', true), ('ada', 'beta', NULL), ('Ädä 😀', 'beta', true)")
    assert (counts := sync()) is not None
    assert (counts["mandates"], counts["mandates_refused"], counts["memberships"]) == (6, 4, 4)
    assert mirror()["mandates"] == [("acme", "Acme", None, False, "Mars"), ("beta", "", "y" * 256, True, None)]
    source.run("UPDATE mandates SET enabled = true WHERE id = 'acme'")
    assert (sync() or {})["time_zones_unknown"] == 1  # of a disabled mandate it doesn't matter
    assert mirror()["memberships"] == [("beta", "ada", True), ("beta", "Ädä 😀", True)]


def test_it_is_due_after_its_interval_or_when_an_unknown_mandate_sends(
    sync: Sync, source: ApplicationDatabase, record: Record, rows: Rows, database: Database
) -> None:
    """Asked by the schedule, the source is read at first, after the interval, after a failure, or after a pause when events were parked."""
    source.put_mandate("acme")
    assert sync(at_once=False) is not None
    assert sync(at_once=False) is None
    rows("UPDATE job_runs SET started_at = started_at - interval '301 s', ended_at = ended_at - interval '301 s'")
    assert sync(at_once=False) is not None
    rows("UPDATE job_runs SET started_at = started_at - interval '90 s', ended_at = ended_at - interval '90 s'")
    assert sync(at_once=False) is None
    assert record(event(mandate_id="unknown")).outcomes == [Outcome.PARKED]
    assert sync(at_once=False) is not None
    assert sync(at_once=False) is None, "the pause is not over"
    rows("UPDATE job_runs SET started_at = started_at - interval '20 s', ended_at = ended_at - interval '6 s'")
    assert sync(at_once=False) is None, "a long sync pauses ten times as long as it took"
    rows("UPDATE job_runs SET started_at = started_at + interval '13 s'")
    assert sync(at_once=False) is None
    rows("UPDATE job_runs SET started_at = ended_at")
    assert sync(at_once=False) is not None
    with suppress(TollbookError):
        sync(directory_users_select="nonsense")
    assert sync(at_once=False) is None
    rows("UPDATE job_runs SET started_at = started_at - interval '61 s', ended_at = ended_at - interval '61 s'")
    rows("DELETE FROM parked_events")
    assert sync(at_once=False) is not None


def test_of_many_syncs_at_once_one_is_done(
    connect: Callable[[], Database], source: ApplicationDatabase, make_config: Callable[..., Configuration], rows: Rows
) -> None:
    """Several workers asked by several beats read the source once."""
    config = make_config(directory_url=source.url)
    source.put_mandate("acme")

    def one(database: Database) -> dict[str, int] | None:
        return sync_directory(database, config=config, worker="test")

    done = at_once(*[partial(one, connect()) for _ in range(6)])
    assert sum(counts is not None for counts in done) == 1
    assert len(rows("SELECT FROM job_runs")) == 1


def test_of_many_requests_one_is_granted(connect: Callable[[], Database], rows: Rows) -> None:
    """Over all workers one asks for a sync, and after the pause the next one may."""

    def claim(database: Database) -> bool:
        with database.transaction() as connection:
            return claim_request(connection, "test")

    assert sorted(at_once(*[partial(claim, connect()) for _ in range(6)])) == [False] * 5 + [True]
    rows("UPDATE job_runs SET started_at = started_at - interval '6 s'")
    assert claim(connect())
    assert len(rows("SELECT FROM job_runs")) == 1


def test_a_sync_and_imports_do_not_wait_in_a_circle(
    sync: Sync, source: ApplicationDatabase, connect: Callable[[], Database], mirror: Callable[..., Any]
) -> None:
    """A sync that disables and changes many rows beside imports of the same rows ends without a deadlock."""
    source.run("INSERT INTO mandates SELECT 'm' || n, 'M', NULL, true, NULL FROM generate_series(1, 300) AS n")
    source.run("INSERT INTO user_mandates SELECT 'u' || n, 'm1', n % 2 = 0 FROM generate_series(1, 300) AS n")

    def imported(database: Database) -> None:
        for _ in range(10):
            import_directory(
                database,
                ROOT,
                mandates=[Mandate(f"m{n}", "I", None, enabled=True, time_zone=None) for n in range(300, 0, -1)],
                memberships=[Membership(f"u{n}", "m1", enabled=True) for n in range(400, 0, -1)],
            )

    def synchronised() -> None:
        for _ in range(10):
            sync(confirmed=True)

    at_once(synchronised, lambda: imported(connect()), lambda: imported(connect()))
    sync(confirmed=True)
    assert [row[2] for row in mirror()["memberships"]].count(True) == 150


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_million_memberships_in_bounded_memory(sync: Sync, source: ApplicationDatabase, rows: Rows) -> None:
    """A million memberships are read, taken over and read again, while this process grows by less than 50 MiB."""
    source.run("INSERT INTO mandates SELECT 'm' || n, 'M', NULL, true, 'UTC' FROM generate_series(1, 1000) AS n")
    source.run("INSERT INTO user_mandates SELECT gen_random_uuid(), 'm' || 1 + n % 1000, true FROM generate_series(1, 1000000) AS n")
    source.run("INSERT INTO users SELECT user_id, 'name of ' || user_id, NULL FROM user_mandates")
    before = peak_mib()
    assert (counts := sync(directory_timeout_seconds=300)) is not None
    assert counts["memberships_changed"] == 1_000_000
    assert (counts := sync(directory_timeout_seconds=300)) is not None
    assert counts["memberships_changed"] == 0
    assert peak_mib() - before < 50
    assert rows("SELECT count(*) n FROM directory_memberships WHERE enabled") == [{"n": 1_000_000}]


def peak_mib() -> float:
    """The most memory that this process has ever held, in MiB."""
    with open("/proc/self/status") as status:  # noqa: PTH123 - no folder of anybody's
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))
