"""The numbers that came: appended by each batch, merged by a job, and what is missing told with its age."""

from collections.abc import Callable, Iterable
from random import Random

import pytest

from core.config import Configuration
from core.database.database import Database
from core.database.locks import Lock, hold
from core.errors import StorageUnavailable
from core.events.outcome import BatchResult, Outcome
from core.producers import merge as merging
from core.producers.forget import forget_producers
from core.producers.look import PAUSE, look_for_missing
from core.producers.merge import Merged, merge_producers
from core.producers.model import ranges_of
from core.verifying.keep_gaps import keep_gaps
from core.verifying.reconcile import reconcile
from tests.books.threads import at_once
from tests.conftest import DatabaseUrls, Record, Rows
from tests.recording.mortal import MortalDatabase
from tests.sample_events import event
from tests.scene import PutSettings

GAPS = "SELECT producer_id, first_seq, last_seq FROM producer_gaps ORDER BY producer_id, first_seq"
FINDINGS = "SELECT subject, resolved_at IS NULL AS stands FROM reconcile_findings WHERE invariant = 'C1' ORDER BY subject"


def numbered(number: int, producer_id: str = "p1", **fields: object) -> dict[str, object]:
    """An event that is its producer's `number`."""
    return event(producer_id=producer_id, producer_seq=number, event_id=f"{producer_id}-{number}", **fields)


@pytest.fixture
def came(rows: Rows) -> Callable[..., None]:
    """Writes down that numbers came, as a batch does."""
    sql = "INSERT INTO producer_ranges (producer_id, seen, seen_at) VALUES (:name, CAST(:seen AS int8multirange), now() - CAST(:age AS interval))"

    def write(numbers: Iterable[int], producer_id: str = "p1", age: str = "0 s") -> None:
        for name, seen in ranges_of((producer_id, number) for number in numbers).items():
            rows(sql, name=name, seen=seen, age=age)

    return write


def missing(rows: Rows) -> list[tuple[object, ...]]:
    """Every gap: producer, first and last number."""
    return [tuple(row.values()) for row in rows(GAPS)]


@pytest.mark.parametrize(("numbers", "told"), [((1, 2, 3, 3, 7), "{[1,4),[7,8)}"), ((5,), "{[5,6)}"), ((4, 2, 3), "{[2,5)}")])
def test_numbers_are_written_as_ranges(numbers: tuple[int, ...], told: str) -> None:
    """Whatever their order, each number once."""
    assert ranges_of(("p", number) for number in numbers) == {"p": told}


def test_every_readable_delivery_counts_as_seen(record: Record, put_settings: PutSettings, database: Database, rows: Rows) -> None:
    """Recorded, duplicate, conflict, parked, or rejected where its number can be read: one row for each producer and batch."""
    put_settings(users=["ada"])
    readable = [numbered(1), numbered(1), numbered(2), numbered(2) | {"price_chf": "9"}, numbered(3, mandate_id="stranger")]
    outcomes = record(*readable, numbered(5, price_chf="-1"), numbered(1, "p2"), event(), b"{").outcomes
    assert [outcome.value for outcome in outcomes] == [
        *("recorded", "duplicate", "recorded", "conflict", "parked", "rejected", "recorded", "recorded", "rejected")
    ]
    assert [(row["producer_id"], row["seen"]) for row in rows("SELECT producer_id, CAST(seen AS text) AS seen FROM producer_ranges ORDER BY 1")] == [
        ("p1", "{[1,4),[5,6)}"),
        ("p2", "{[1,2)}"),
    ]
    assert merge_producers(database) == Merged(2)
    assert rows("SELECT producer_id, highest, incomplete FROM producers ORDER BY 1") == [
        {"producer_id": "p1", "highest": 5, "incomplete": True},
        {"producer_id": "p2", "highest": 1, "incomplete": False},
    ]
    assert missing(rows) == [("p1", 4, 4)]
    assert rows("SELECT FROM producer_ranges") == []


def test_events_without_numbers_leave_nothing(record: Record, put_settings: PutSettings, rows: Rows) -> None:
    """No row, nor for an event that names a producer and no number."""
    put_settings(users=["ada"])
    assert record(event(), event(producer_id="p1"), event(producer_seq=1)).outcomes == [Outcome.RECORDED] * 3
    assert rows("SELECT FROM producer_ranges") == []


@pytest.mark.parametrize("seed", range(12))
def test_what_is_missing_is_what_did_not_come(seed: int, database: Database, came: Callable[..., None], rows: Rows) -> None:
    """In any order, with repetitions, in batches of any size, merged after any of them: the gaps are what never came."""
    random = Random(seed)
    seen: dict[str, set[int]] = {"p1": set(), "p2": set()}
    for _ in range(25):
        name = random.choice(list(seen))
        first = random.randint(1, 60)
        batch = random.sample(range(first, first + 12), random.randint(1, 9))
        came(batch, name)
        seen[name].update(batch)
        if random.random() < 0.4:
            merge_producers(database)
    merge_producers(database)
    expected = [(name, number) for name in sorted(seen) for number in range(1, max(seen[name], default=0)) if number not in seen[name]]
    assert [(name, number) for name, first, last in missing(rows) for number in range(first, last + 1)] == expected  # type: ignore[call-overload,operator]
    whole = rows("SELECT producer_id, highest, incomplete FROM producers ORDER BY 1")
    assert [(row["producer_id"], row["highest"]) for row in whole] == [(name, max(numbers)) for name, numbers in seen.items() if numbers]
    assert [row["producer_id"] for row in whole if row["incomplete"]] == sorted({name for name, _ in expected})


def test_a_gap_is_as_old_as_the_first_later_number(database: Database, came: Callable[..., None], rows: Rows) -> None:
    """And keeps its age when a part of it comes."""
    came([1, 2], age="4 hours")
    came([9], age="2 hours")
    came([20], age="1 hour")
    merge_producers(database)
    came([5])
    merge_producers(database)
    ages = "SELECT first_seq, last_seq, round(extract(epoch FROM now() - since) / 3600) AS hours FROM producer_gaps ORDER BY 1"
    assert [tuple(map(int, row.values())) for row in rows(ages)] == [(3, 4, 2), (6, 8, 2), (10, 19, 1)]


def test_a_merge_that_dies_has_done_nothing_or_all_of_it(
    database_urls: DatabaseUrls, config: Configuration, came: Callable[..., None], rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed right before any of its commits, what that transaction was to merge is still there; the next run merges it once."""
    monkeypatch.setattr("core.producers.sql.merging.ROWS_MAX", 1)
    for numbers in ([1, 2], [5], [4, 9]):
        came(numbers)
    mortal = MortalDatabase(database_urls.worker, config)
    for commits_left in (0, 1, 0):
        left = len(rows("SELECT FROM producer_ranges"))
        mortal.commits_left = commits_left
        with pytest.raises(StorageUnavailable):
            merge_producers(mortal)
        assert len(rows("SELECT FROM producer_ranges")) == left - commits_left
    merge_producers(mortal)
    mortal.dispose()
    assert missing(rows) == [("p1", 3, 3), ("p1", 6, 8)]


def test_of_two_merges_at_once_one_does_the_work(database: Database, connect: Callable[[], Database], came: Callable[..., None], rows: Rows) -> None:
    """The second leaves it to the first, which holds the lock; together they merge everything once."""
    for number in range(1, 41, 2):
        came([number])
    with database.transaction() as connection:
        hold(connection, Lock.PRODUCERS)
        assert merge_producers(connect()) == Merged()
    databases = [connect() for _ in range(4)]
    at_once(*(lambda one=one: merge_producers(one) for one in databases))
    merge_producers(database)
    assert missing(rows) == [("p1", number, number) for number in range(2, 39, 2)]


def test_a_run_is_bounded_and_the_next_goes_on(database: Database, came: Callable[..., None], rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too much for one transaction is left for later ones, and a row that is too large by itself goes alone."""
    monkeypatch.setattr("core.producers.sql.merging.ROWS_MAX", 3)
    for number in range(1, 11):
        came([number])
    merge_producers(database, transactions_max=2)
    assert rows("SELECT highest FROM producers") == [{"highest": 6}]
    monkeypatch.setattr("core.producers.sql.merging.BYTES_MAX", 1)
    merge_producers(database)
    assert rows("SELECT highest FROM producers") == [{"highest": 10}]


def test_a_producer_of_random_numbers_is_bounded(database: Database, came: Callable[..., None], rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than so many gaps the first stay; from there on nobody looks, which is told and is a finding. So is a gap that falls to pieces."""
    monkeypatch.setattr(merging, "GAPS_MAX", 5)
    came(range(10, 1000, 10))
    assert merge_producers(database).told_changed
    assert [(row[1], row[2]) for row in missing(rows)] == [(1, 9), (11, 19), (21, 29), (31, 39), (41, 49)]
    assert rows("SELECT highest, untracked_from FROM producers") == [{"highest": 990, "untracked_from": 51}]
    came([3, 5, 7, 2000])
    merge_producers(database)
    assert [(row[1], row[2]) for row in missing(rows)] == [(1, 2), (4, 4), (6, 6), (8, 9), (11, 19)]
    assert rows("SELECT highest, untracked_from FROM producers") == [{"highest": 2000, "untracked_from": 21}]
    assert keep_gaps(database) == (1, 0)
    came(range(1, 3000))
    merge_producers(database)
    assert missing(rows) == []
    assert rows("SELECT incomplete FROM producers") == [{"incomplete": True}]


def test_more_producers_than_there_is_room_for_are_counted(
    database: Database, came: Callable[..., None], rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are known go on; where gaps are many altogether, further ones of one producer are fewer."""
    monkeypatch.setattr(merging, "PRODUCERS_MAX", 2)
    monkeypatch.setattr(merging, "CROWD", 3)
    monkeypatch.setattr(merging, "GAPS_MAX_WHERE_CROWDED", 1)
    for name in ("p1", "p2", "p3"):
        came([2, 4, 6], name)
    assert merge_producers(database).without_room == 1
    assert missing(rows) == [("p1", 1, 1), ("p2", 1, 1)]
    came([8], "p1")
    assert merge_producers(database) == Merged(1)
    assert rows("SELECT highest, untracked_from FROM producers ORDER BY producer_id") == [
        {"highest": 8, "untracked_from": 3},
        {"highest": 6, "untracked_from": 3},
    ]


def test_a_gap_that_is_old_is_a_finding_until_it_fills(database: Database, came: Callable[..., None], rows: Rows) -> None:
    """Told by its producer; young gaps aren't. What comes later resolves it at once, and the nightly check finds the same."""
    came([1, 3], "old", "2 hours")
    came([1, 3], "young", "5 minutes")
    merge_producers(database)
    assert look_for_missing(database, 3600)
    assert keep_gaps(database) == (1, 0)
    assert not look_for_missing(database, 3600)
    assert rows(FINDINGS) == [{"subject": "producer old", "stands": True}]
    counts = reconcile(database, worker="test", at_once=True)
    assert counts is not None
    assert counts["C1"] == 1
    came([2], "old")
    assert merge_producers(database).told_changed
    assert keep_gaps(database) == (0, 1)
    assert rows(FINDINGS) == [{"subject": "producer old", "stands": False}]


def test_what_workers_of_the_release_before_recorded_is_no_gap(
    record: Record, put_settings: PutSettings, database: Database, came: Callable[..., None], rows: Rows
) -> None:
    """They append no numbers: before a gap is told, the ledger is asked for it; what is there fills it, the rest is told."""
    put_settings(users=["ada"])
    record(*(numbered(number) for number in range(1, 8)))
    rows("DELETE FROM producer_ranges")
    came([10], age="2 hours")
    merge_producers(database)
    assert missing(rows) == [("p1", 1, 9)]
    assert look_for_missing(database, 3600)
    assert missing(rows) == [("p1", 8, 9)]
    came([20], age="90 minutes")
    merge_producers(database)
    assert not look_for_missing(database, 3600), "the ledger is read at most every ten minutes"
    assert look_for_missing(database, 3600, pause=PAUSE * 0)
    assert rows("SELECT count(*) AS looked FROM producer_gaps WHERE looked_at IS NOT NULL") == [{"looked": 2}]


def test_producers_that_were_not_seen_for_long_are_forgotten(database: Database, came: Callable[..., None], rows: Rows) -> None:
    """With their gaps; others stay."""
    came([2], "gone", "91 days")
    came([2], "here", "89 days")
    merge_producers(database)
    assert forget_producers(database, 90) == 1
    assert missing(rows) == [("here", 1, 1)]
    assert forget_producers(database, 90) == 0


def test_what_was_kept_for_long_makes_no_gaps_of_a_producer_that_is_forgotten(
    record: Record, release: Callable[..., BatchResult], put_settings: PutSettings, database: Database, came: Callable[..., None], rows: Rows
) -> None:
    """An event that was parked for months tells nothing of the numbers before its own; of a producer that is known its number counts."""
    record(numbered(7, "gone"), numbered(7, "here"))
    rows("DELETE FROM producer_ranges")
    came(range(1, 7), "here")
    merge_producers(database)
    put_settings(users=["ada"])
    assert release().outcomes == [Outcome.RECORDED] * 2
    merge_producers(database)
    assert rows("SELECT producer_id, highest FROM producers") == [{"producer_id": "here", "highest": 7}]
    assert missing(rows) == []
