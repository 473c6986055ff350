"""The rollup: each batch counted exactly once, in the local days of its usage, whatever happens around it."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, text

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.errors import NotFound, StorageUnavailable
from core.statistics import roll_up as rollup_module
from core.statistics.read_progress import rollup_status
from core.statistics.rebuild import Rebuild, rebuild_statistics
from core.statistics.roll_up import Rollup, roll_up_usage
from core.statistics.sql.statistics import Taken, count_pending, hold_statistics
from tests.books.threads import at_once
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutSettings

NOTHING = Rollup(0, 0, 0, complete=True)
ALL = """
    SELECT mandate_id, account_id, period_type, period_start, provider, model, feature_code, event_count, cost, billed_cost, refunded,
           input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens
      FROM usage_statistics ORDER BY 1, 2, 3, 4, 5, 6, 7
"""
DAYS = "SELECT period_start AS day, sum(event_count)::int AS events FROM usage_statistics WHERE period_type = 'DAY' GROUP BY 1 ORDER BY 1"
SURPLUS = """
    INSERT INTO usage_statistics (mandate_id, account_id, period_type, period_start, provider, model, feature_code)
    VALUES ('acme', 99, 'DAY', '2020-01-01', 'p', 'm', 'f'), ('gone', 99, 'DAY', '2020-01-01', 'p', 'm', 'f')
"""
Connect = Callable[[], Database]


@pytest.fixture
def roll_up(database: Database) -> Callable[[], Rollup]:
    """Rolls up in the test's database."""
    return partial(roll_up_usage, database)


def sums(rows: Rows, period_type: str) -> dict[date, tuple[int, Decimal]]:
    """Events and cost by the start of each period of this type."""
    found = rows(
        "SELECT period_start, sum(event_count)::int AS n, sum(cost) AS cost FROM usage_statistics WHERE period_type = :type GROUP BY 1",
        type=period_type,
    )
    return {row["period_start"]: (row["n"], row["cost"]) for row in found}


def test_usage_is_added_up_by_day_month_and_year(roll_up: Callable[[], Rollup], record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """Per provider, model and feature, `unknown` where the event doesn't say: events, cost, billed cost, tokens."""
    put_settings(users=["ada"])
    named = {"provider": "p", "model": "m", "feature_code": "f", "occurred_at": "2026-03-31T12:00:00Z"}
    tokens = dict.fromkeys(("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens"), 3)
    clock = partial(datetime.fromisoformat, "2026-04-02T00:00:00Z")
    record(event(price_chf="0.1", usage=tokens, **named), event(price_chf="0.2", usage={"input_tokens": 1}, **named), clock=clock)
    record(event(price_chf="0.4", **{**named, "occurred_at": "2026-04-01T12:00:00Z"}), event(occurred_at="2026-04-01T13:00:00Z"), clock=clock)
    assert roll_up() == Rollup(2, 4, 8, complete=True)
    (march,) = rows("SELECT * FROM usage_statistics WHERE period_type = 'MONTH' AND period_start = '2026-03-01'")
    assert [march[name] for name in ("provider", "model", "feature_code", "event_count", "cost", "billed_cost", "refunded")] == [
        *("p", "m", "f", 2),
        *(Decimal("0.3"), Decimal("0.3"), 0),
    ]
    assert [march[name] for name in tokens] == [4, 3, 3, 3, 3]
    (unknown,) = rows(
        "SELECT event_count FROM usage_statistics WHERE period_type = 'YEAR' AND provider || model || feature_code = 'unknownunknownunknown'"
    )
    assert unknown == {"event_count": 1}
    assert sums(rows, "YEAR") == {date(2026, 1, 1): (4, Decimal("0.95"))}


@pytest.mark.parametrize("model", BillingModel)
def test_billed_is_what_moved_a_balance(
    model: BillingModel, roll_up: Callable[[], Rollup], record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches
) -> None:
    """Usage that nobody pays costs as much, and nothing of it is billed."""
    put_settings(model=model, users=["ada"])
    record(event(price_chf="3"))
    roll_up()
    billed = Decimal(0) if model is BillingModel.UNLIMITED else Decimal(3)
    assert rows("SELECT DISTINCT cost, billed_cost FROM usage_statistics") == [{"cost": Decimal(3), "billed_cost": billed}]
    assert breaches() == {}


@pytest.mark.parametrize(
    ("zone", "start", "hours", "events"),
    [
        ("Europe/Zurich", "2026-03-29T00:00:00+01:00", 23, 23),
        ("Europe/Zurich", "2026-10-25T00:00:00+02:00", 25, 25),
        ("Australia/Lord_Howe", "2026-04-05T00:00:00+11:00", 24.5, 25),
        ("Asia/Kolkata", "2026-05-01T00:00:00+05:30", 24, 24),
        ("America/Santiago", "2025-09-07T01:00:00-03:00", 23, 23),  # it begins at one o'clock
        ("Asia/Beirut", "2026-03-29T01:00:00+03:00", 23, 23),
        ("UTC", "2024-02-29T00:00:00+00:00", 24, 24),
        ("Pacific/Kiritimati", "2025-12-31T00:00:00+14:00", 24, 24),
        ("Etc/GMT+12", "2025-12-31T00:00:00-12:00", 24, 24),
        ("Pacific/Apia", "2011-12-31T00:00:00+14:00", 24, 24),  # the day before it never was
    ],
)
def test_each_event_is_in_one_local_day(
    zone: str, start: str, hours: float, events: int, roll_up: Callable[[], Rollup], record: Record, rows: Rows, put_settings: PutSettings,
    breaches: Breaches, make_config: Callable[..., Any]
) -> None:  # fmt: skip
    """Days of 23, 24½ and 25 hours, half-hour zones, days without midnight, leap days, year ends at the date line: one event an hour."""
    put_settings(users=["ada"], time_zone=zone)
    begin = datetime.fromisoformat(start)
    end = begin + timedelta(hours=hours)
    clock = lambda: end + timedelta(days=1)  # noqa: E731
    moments = [begin - timedelta(microseconds=1), *[begin + timedelta(hours=n) for n in range(events)], end]
    record(*[event(occurred_at=moment.isoformat()) for moment in moments], clock=clock, config=make_config(lateness_days=9999))
    roll_up()
    found = {row["day"]: row["events"] for row in rows(DAYS)}
    assert found.pop(begin.date()) == events
    assert sorted(found.values()) == [1, 1]
    assert sum(n for n, _ in sums(rows, "MONTH").values()) == sum(n for n, _ in sums(rows, "YEAR").values()) == events + 2
    assert breaches() == {}


def test_a_changed_zone_counts_from_then_on(roll_up: Callable[[], Rollup], record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """What is recorded stays in its day, before or after a rollup; a rebuild doesn't move it."""
    put_settings(users=["ada"], time_zone="Pacific/Kiritimati")
    moment, clock = "2025-12-31T11:00:00Z", partial(datetime.fromisoformat, "2026-01-02T00:00:00Z")
    record(event(occurred_at=moment), clock=clock)
    roll_up()
    record(event(occurred_at=moment), clock=clock)
    rows("UPDATE billing_settings SET time_zone = 'Etc/GMT+12', version = 2")
    record(event(occurred_at=moment), clock=clock)
    roll_up()
    assert [(row["day"], row["events"]) for row in rows(DAYS)] == [(date(2025, 12, 30), 1), (date(2026, 1, 1), 2)]
    assert {start: n for start, (n, _) in sums(rows, "YEAR").items()} == {date(2025, 1, 1): 1, date(2026, 1, 1): 2}


def test_late_usage_changes_its_own_periods(roll_up: Callable[[], Rollup], record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """An event of last year that comes after last year was rolled up is added to last year."""
    put_settings(users=["ada"])
    clock = partial(datetime.fromisoformat, "2026-02-01T00:00:00Z")
    for moment in ("2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z", "2025-12-31T01:00:00Z"):
        record(event(occurred_at=moment), clock=clock)
        assert roll_up().batches == 1
    assert {start: n for start, (n, _) in sums(rows, "YEAR").items()} == {date(2025, 1, 1): 2, date(2026, 1, 1): 1}
    assert {row["day"]: row["events"] for row in rows(DAYS)} == {date(2025, 12, 31): 2, date(2026, 1, 1): 1}


def test_a_second_run_finds_nothing(roll_up: Callable[[], Rollup], record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """Nothing is counted twice, nothing is written."""
    put_settings(users=["ada"])
    record(event(), event(event_id="once"))
    record(event(event_id="once"), b"no event")
    assert roll_up().events == 2
    before = rows("SELECT * FROM usage_statistics ORDER BY 1, 2, 3")
    assert roll_up() == NOTHING
    assert rows("SELECT * FROM usage_statistics ORDER BY 1, 2, 3") == before


def test_a_backlog_is_counted_in_parts(
    roll_up: Callable[[], Rollup], record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many transactions as it takes, bounded by batches and by events; a batch above the bound is counted alone."""
    put_settings(users=["ada"])
    for size in (1, 5, 1, 1, 1, 2):
        record(*[event() for _ in range(size)])
    monkeypatch.setattr(rollup_module, "BATCHES_MAX", 2)
    monkeypatch.setattr(rollup_module, "ENTRIES_MAX", 3)
    monkeypatch.setattr(rollup_module, "TRANSACTIONS_MAX", 2)
    assert roll_up() == Rollup(4, 8, 6, complete=False)
    assert breaches() == {}
    assert roll_up() == Rollup(2, 3, 3, complete=True)
    assert breaches() == {}


def test_the_ids_of_batches_may_interleave(
    database: Database, connect: Connect, roll_up: Callable[[], Rollup], record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches
) -> None:
    """Of two batches whose ids lie among each other's, the one that is pending is counted, and then the other."""
    put_settings(users=["ada"])
    record(*[event(price_chf="1") for _ in range(6)])
    (batch,) = rows("SELECT id FROM batches")
    rows("UPDATE transactions SET batch_id = 999 WHERE reference_type = 'WORKFLOW' AND id % 2 = 0")
    rows("INSERT INTO batches SELECT (jsonb_populate_record(b, '{\"id\": 999}')).* FROM batches b")
    assert roll_up().events == 3
    rows("INSERT INTO rollup_pending VALUES (999)")
    assert roll_up().events == 3
    assert rows("SELECT DISTINCT event_count, cost FROM usage_statistics") == [{"event_count": 6, "cost": Decimal(6)}]
    assert batch["id"] != 999


def test_a_rollup_that_dies_has_counted_nothing(
    database: Database, connect: Connect, roll_up: Callable[[], Rollup], record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches,
    monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Its session ends before the commit: what it took is pending again, and the next one counts it once."""
    put_settings(users=["ada"])
    record(event(price_chf="1"))

    def die(connection: Connection, **bounds: int) -> Taken:
        taken = count_pending(connection, **bounds)
        assert taken.batches == 1
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with connect().transaction() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        return taken

    monkeypatch.setattr(rollup_module, "count_pending", die)
    with pytest.raises(StorageUnavailable):
        roll_up()
    monkeypatch.undo()
    assert rows(ALL) == []
    assert rollup_status(database, ROOT).pending_batches == 1
    assert roll_up().events == 1
    assert rows("SELECT DISTINCT cost FROM usage_statistics") == [{"cost": Decimal(1)}]
    assert breaches() == {}


def test_rollups_at_once_count_each_batch_once(connect: Connect, record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches) -> None:
    """Four rollups beside four recorders, again and again: in the end every event is counted once, and nobody failed."""
    put_settings(users=["ada"])
    put_settings("pool", BillingModel.PREPAY_MANDATE, users=["ada"])
    databases = [connect() for _ in range(8)]
    for _ in range(5):
        recorders = [
            partial(record, *[event(mandate_id=m, model=f"m{n}") for m in ("acme", "pool") for n in range(5)], database=one) for one in databases[:4]
        ]
        at_once(*recorders, *[partial(roll_up_usage, one) for one in databases[4:]])
    while not roll_up_usage(databases[0]).complete:
        pass
    assert rows("SELECT sum(event_count)::int AS n FROM usage_statistics WHERE period_type = 'DAY'") == [{"n": 200}]
    assert breaches() == {}


def test_a_rollup_leaves_the_rest_to_who_is_at_it(
    database: Database, connect: Connect, record: Record, rows: Rows, put_settings: PutSettings
) -> None:
    """While somebody else counts, a second one returns at once with nothing done and says that it isn't complete."""
    put_settings(users=["ada"])
    record(event())
    with connect().transaction() as connection:
        hold_statistics(connection)
        assert roll_up_usage(database) == Rollup(0, 0, 0, complete=False)
    assert roll_up_usage(database).batches == 1


def test_what_commits_late_is_counted_late(database: Database, connect: Connect, record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """A batch that took its ids before another and commits after the rollup of that other is counted by the next one."""
    put_settings(users=["ada"])
    record(event(price_chf="1"))
    with connect().transaction() as connection:
        connection.execute(
            text("""
            WITH entry AS (
                INSERT INTO transactions (mandate_id, account_id, balance_account_id, transaction_type, amount, reference_type, description,
                                          occurred_at, local_date, settings_version, batch_id)
                SELECT mandate_id, account_id, NULL, 'DEBIT', 10, 'WORKFLOW', 'd', occurred_at, local_date, 1, nextval('batches_id_seq')
                  FROM transactions WHERE reference_type = 'WORKFLOW' RETURNING id, batch_id
            ), batch AS (
                INSERT INTO batches (id, worker, committed_at, recorded, first_transaction_id, last_transaction_id)
                SELECT batch_id, 'late', now(), 1, id, id FROM entry RETURNING id
            )
            INSERT INTO rollup_pending SELECT id FROM batch
        """)
        )
        record(event(price_chf="1"))
        assert roll_up_usage(database) == Rollup(2, 2, 3, complete=True)
    assert roll_up_usage(database).events == 1
    assert rows("SELECT DISTINCT cost, billed_cost FROM usage_statistics") == [{"cost": Decimal(12), "billed_cost": Decimal(2)}]


def test_no_sum_is_too_large(roll_up: Callable[[], Rollup], record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches) -> None:
    """As many tokens and francs as events may name, more than once: no type overflows, the rollup commits, and the sums are exact."""
    put_settings(model=BillingModel.UNLIMITED, users=["ada"])
    most = {"usage": {"input_tokens": 2**53 - 1}, "price_chf": "1000000"}
    record(*[event(**most) for _ in range(1500)])
    rows("UPDATE transactions SET amount = 10000000000 WHERE reference_type = 'WORKFLOW'")
    assert roll_up().events == 1500
    (row,) = rows("SELECT DISTINCT cost, input_tokens FROM usage_statistics")
    assert row == {"cost": 1500 * Decimal(10**10), "input_tokens": 1500 * (2**53 - 1)}
    assert set(breaches()) <= {"I2"}  # the amounts were raised behind the program's back


def test_a_rebuild_of_statistics_in_order_writes_nothing(
    database: Database, roll_up: Callable[[], Rollup], record: Record, rows: Rows, put_settings: PutSettings
) -> None:
    """Not even the time of the last change moves."""
    put_settings(users=["ada"])
    put_settings("free", BillingModel.UNLIMITED, users=["ada"])
    record(event(), event(mandate_id="free", model="m"))
    roll_up()
    record(event())
    before = rows("SELECT * FROM usage_statistics ORDER BY 1, 2, 3")
    assert rebuild_statistics(database, ROOT) == Rebuild(2, 6, 0, 0)
    assert rows("SELECT * FROM usage_statistics ORDER BY 1, 2, 3") == before
    assert roll_up().events == 1


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM usage_statistics",
        "UPDATE usage_statistics SET cost = cost + 1, output_tokens = 7 WHERE period_type = 'MONTH'",
        "UPDATE usage_statistics SET period_start = period_start + 1",
        SURPLUS,
    ],
)
def test_a_rebuild_gives_the_identical_table(
    damage: str, database: Database, roll_up: Callable[[], Rollup], record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches
) -> None:
    """Whatever became of the statistics, they are as the rollup had made them."""
    put_settings(users=["ada", "bob"])
    record(*[event(user_id=user, model=model, price_chf="0.1") for user in ("ada", "bob") for model in ("m", "n")])
    roll_up()
    before = rows(ALL)
    rows(damage)
    done = rebuild_statistics(database, ROOT)
    assert done.rows_written + done.rows_removed > 0
    assert rows(ALL) == before
    assert breaches() == {}


def test_a_rebuild_leaves_other_mandates_alone(
    database: Database, roll_up: Callable[[], Rollup], record: Record, rows: Rows, put_settings: PutSettings
) -> None:
    """Of the one that is named alone the statistics are set right; one that nobody knows is an error."""
    for mandate in ("acme", "other"):
        put_settings(mandate, users=["ada"])
        record(event(mandate_id=mandate))
    roll_up()
    rows("UPDATE usage_statistics SET cost = 77")
    assert rebuild_statistics(database, ROOT, "acme") == Rebuild(1, 3, 3, 0)
    assert rows("SELECT DISTINCT mandate_id FROM usage_statistics WHERE cost = 77") == [{"mandate_id": "other"}]
    with pytest.raises(NotFound, match="mandate 'nobody' has neither billing settings nor statistics"):
        rebuild_statistics(database, ROOT, "nobody")


def test_rebuilds_beside_rollups_and_recording_count_right(
    connect: Connect, record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches
) -> None:
    """Everything at once: recording goes on, and in the end every event is counted once."""
    put_settings(users=["ada"])
    databases = [connect() for _ in range(6)]
    for _ in range(6):
        at_once(
            *[partial(record, *[event() for _ in range(20)], database=one) for one in databases[:2]],
            *[partial(roll_up_usage, one) for one in databases[2:4]],
            *[partial(rebuild_statistics, one, ROOT) for one in databases[4:]],
        )
    assert roll_up_usage(databases[0]).complete
    assert rows("SELECT sum(event_count)::int AS n FROM usage_statistics WHERE period_type = 'YEAR'") == [{"n": 240}]
    assert breaches() == {}


def test_the_status_tells_what_is_pending(database: Database, roll_up: Callable[[], Rollup], record: Record, put_settings: PutSettings) -> None:
    """Batches, their events and how long the oldest has waited; nothing once they are counted."""
    put_settings(users=["ada"])
    record(event(), event())
    record(event())
    before = rollup_status(database, ROOT)
    assert (before.pending_batches, before.pending_events) == (2, 3)
    assert before.oldest_committed_at is not None
    assert before.oldest_seconds >= 0
    roll_up()
    assert rollup_status(database, ROOT) == type(before)(0, 0, None, 0.0, None)
