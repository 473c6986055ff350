"""Garbage fills neither the disk nor the room of others: dead letters are bounded in number and bytes, altogether and by queue."""

import hashlib
import threading
from collections.abc import Callable

import pytest

from core.asking.rights import ROOT
from core.config import Configuration
from core.database.database import Database
from core.dead_letters.replay import Replaying, replay_dead_letters
from core.dead_letters.sql.status import Choice
from core.events.outcome import Outcome
from core.events.parsing import RawEvent
from core.housekeeping.housekeep import housekeep
from core.ledger.opening import KnownAccounts
from core.recording.release_parked import release_parked
from core.rejection import Reason, Rejection
from tests.cli.test_cli import Run, run
from tests.conftest import Record, Rows
from tests.sample_events import body_of, event
from tests.scene import Breaches, PutMandate

__all__ = ["run"]
MakeConfig = Callable[..., Configuration]


def garbage(*names: str, origin: str = "usage.json") -> list[RawEvent]:
    """Bytes that are no event, out of this queue."""
    return [RawEvent(name.encode(), origin) for name in names]


def test_beyond_the_room_garbage_is_only_counted(record: Record, rows: Rows, make_config: MakeConfig, breaches: Breaches, run: Run) -> None:
    """Of ten letters a queue may have five: the others leave a number, their reason and the last one's hash, and are acknowledged."""
    config = make_config(dead_letters_max=10)
    outcome = record(*garbage(*(f"bad {n}" for n in range(8))), config=config)
    assert outcome.outcomes == [Outcome.REJECTED] * 8
    record(*garbage("bad 7", "bad 7"), config=config)
    assert rows("SELECT count(*) AS n FROM dead_letters") == [{"n": 5}]
    (beyond,) = rows("SELECT queue, reason, letters, bytes, last_sha256 FROM dead_letter_overflow")
    last = beyond.pop("last_sha256")
    assert beyond == {"queue": "usage.json", "reason": "malformed_json", "letters": 5, "bytes": 25}
    assert bytes(last) == hashlib.sha256(b"bad 7").digest()
    assert breaches() == {}
    assert run("deadletters", "list").err == "refused beyond these, and only counted: 5; see `tollbook deadletters overflow`\n"
    assert run("deadletters", "overflow", "--json").json[0]["letters"] == 5
    assert hashlib.sha256(b"bad 7").hexdigest() in run("deadletters", "overflow").out


def test_one_queue_leaves_room_for_the_others(record: Record, rows: Rows, make_config: MakeConfig) -> None:
    """Whatever stands in `usage.json`, a letter of `usage` is kept; tasks of one queue share its room, whatever names they make up."""
    config = make_config(dead_letters_max=10)
    record(*garbage(*(f"bad {n}" for n in range(8))), config=config)
    for n in range(8):
        record(*garbage(f"worse {n}", origin=f"usage/made-up-{n}"), config=config)
    record(*garbage("one more", origin="usage.json.dead"), config=config)
    assert rows("SELECT split_part(origin, '/', 1) AS queue, count(*) AS n FROM dead_letters GROUP BY 1 ORDER BY 1") == [
        {"queue": "usage", "n": 5}, {"queue": "usage.json", "n": 5},
    ]  # fmt: skip
    assert rows("SELECT queue, letters FROM dead_letter_overflow ORDER BY 1") == [
        {"queue": "usage", "letters": 3}, {"queue": "usage.json", "letters": 3}, {"queue": "usage.json.dead", "letters": 1},
    ]  # fmt: skip


def test_bytes_are_bounded_too(record: Record, rows: Rows, make_config: MakeConfig) -> None:
    """A few large letters fill the room as many small ones do; a smaller one may still fit."""
    config = make_config(dead_letters_bytes_max=1000)
    record(*garbage("x" * 300, "y" * 300, "z" * 100), config=config)
    assert sorted(row["body_length"] for row in rows("SELECT body_length FROM dead_letters")) == [100, 300]


def test_a_redelivery_of_what_is_kept_needs_no_room(record: Record, rows: Rows, make_config: MakeConfig) -> None:
    """It raises `attempts`, as ever, also when there is no room for another."""
    config = make_config(dead_letters_max=2)
    record(*garbage("bad", "worse", "bad"), config=config)
    record(*garbage("bad"), config=config)
    assert rows("SELECT attempts FROM dead_letters") == [{"attempts": 3}]
    assert rows("SELECT letters FROM dead_letter_overflow") == [{"letters": 1}]


def test_a_parked_event_that_is_refused_at_its_release_is_kept(
    record: Record, rows: Rows, make_config: MakeConfig, database: Database, put_mandate: PutMandate, breaches: Breaches
) -> None:
    """It was accepted, and nobody sends it again: its bytes outlast the car park also where there is no room for letters."""
    config = make_config(dead_letters_max=2)
    parked = event(model="bad")
    record(parked, *garbage("one"), *garbage("two", origin="usage"), config=config)
    rows("ALTER TABLE transactions ADD CONSTRAINT picky CHECK (model <> 'bad')")
    put_mandate(users=["ada"])
    result = release_parked(database, config=config, known_accounts=KnownAccounts(), worker="test")
    assert result.reasons == {"data_error": 1}
    (letter,) = rows("SELECT body, reason FROM dead_letters WHERE event_id = :id", id=parked["event_id"])
    assert (bytes(letter["body"]), letter["reason"]) == (body_of(parked), "data_error")
    assert breaches() == {}


def test_what_comes_out_of_a_replayed_letter_is_kept(
    record: Record, rows: Rows, make_config: MakeConfig, database: Database, put_mandate: PutMandate, breaches: Breaches
) -> None:
    """The letter of a whole message is resolved by its replay and ages out; what is refused of it has a letter of its own by then."""
    config = make_config(dead_letters_max=2)
    wrong = {**event(), "cost": 1}
    put_mandate(users=["ada"])
    record(RawEvent(body_of([event(), wrong]), "usage.json", defect=Rejection(Reason.MALFORMED_ARGUMENTS, "of an older program")), config=config)
    replayed = replay_dead_letters(database, ROOT, Choice(), Replaying(config, "test", "olga"))
    assert dict(replayed.outcomes) == {"recorded": 1, "rejected": 1}
    assert [bytes(row["body"]) for row in rows("SELECT body FROM dead_letters WHERE status = 'OPEN'")] == [body_of(wrong)]
    assert breaches() == {}


def test_what_ages_out_makes_room(record: Record, rows: Rows, make_config: MakeConfig, owner_database: Database, breaches: Breaches) -> None:
    """The counts follow what is there, however it went."""
    config = make_config(dead_letters_max=4)
    record(*garbage("one", "two", "three"), config=config)
    rows("UPDATE dead_letters SET status = 'DISCARDED', resolved_at = now() - interval '1 year', last_seen_at = now() - interval '1 year'")
    housekeep(owner_database, config=config, worker="test")
    assert rows("SELECT letters, bytes FROM dead_letter_counts") == [{"letters": 0, "bytes": 0}]
    record(*garbage("four"), config=config)
    assert rows("SELECT letters, bytes FROM dead_letter_counts") == [{"letters": 1, "bytes": 4}]
    assert breaches() == {}


def test_recorders_and_housekeeping_never_wait_in_a_circle(
    record: Record, rows: Rows, make_config: MakeConfig, connect: Callable[[], Database]
) -> None:
    """Batches that bring the same letters in opposite order, beside a job that removes them: each ends, and the counts are right."""
    names = [f"bad {n}" for n in range(50)]
    config = make_config()
    start = threading.Barrier(3)
    failures: list[BaseException] = []

    def bring(some: list[str]) -> None:
        database = connect()
        try:
            start.wait()
            for _ in range(15):
                record(*garbage(*some), database=database, config=config)
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    def remove() -> None:
        start.wait()
        try:
            for _ in range(40):
                rows("DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters ORDER BY id LIMIT 10 FOR UPDATE SKIP LOCKED)")
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=bring, args=[names]), threading.Thread(target=bring, args=[names[::-1]]), threading.Thread(target=remove)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert rows("SELECT letters, bytes FROM dead_letter_counts") == rows(
        "SELECT count(*) AS letters, coalesce(sum(body_length), 0)::bigint AS bytes FROM dead_letters"
    )


@pytest.mark.parametrize("statement", ["INSERT INTO dead_letter_counts VALUES ('usage', -5, 0)", "DELETE FROM dead_letter_counts"])
def test_a_worker_moves_no_counts_by_itself(database: Database, statement: str) -> None:
    """They follow the letters, and nothing else."""
    from sqlalchemy import text

    from core.errors import Misconfigured

    with pytest.raises(Misconfigured, match="42501"), database.transaction() as connection:
        connection.execute(text(statement))
