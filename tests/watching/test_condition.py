"""The condition of the books: what an operator watches, read by indexes and counted up to limits."""

from datetime import timedelta
from decimal import Decimal

import pytest

import core.watching.read
from core.asking.rights import ROOT, user
from core.billing import BillingModel
from core.caps.set_cap import NewCap, set_cap
from core.clock import utc_now
from core.database.database import Database
from core.errors import Forbidden
from core.events.parsing import RawEvent
from core.movements.top_up import TopUp, top_up
from core.schema import migrate
from core.watching.read import Condition, Count, OpenHolds, condition
from tests.conftest import DatabaseUrls, Record, Rows
from tests.sample_events import event
from tests.scene import PutAccount, PutMandate, PutSettings


def test_empty_books_have_nothing_to_tell(database: Database) -> None:
    """Books into which nothing ever came tell of no commit and no lag, and count nothing."""
    found = condition(database, ROOT)
    nothing = Count(0, more=False)
    assert (found.last_commit, found.lag_seconds, found.recent.rate) == (None, None, 0)
    assert (found.open_letters, found.parked, found.parked_events, found.suspense_events) == ([], [], 0, 0)
    assert (found.below_threshold, found.below_zero, found.above_limit, found.caps_reached) == (nothing,) * 4
    assert found.holds == OpenHolds(0, more=False, held_chf=Decimal(0), overdue_seconds=0)
    assert (found.producer_gaps, found.producer_gap_oldest_seconds, found.outcomes_waiting) == (nothing, 0, nothing)


def test_nobody_but_root_watches(database: Database) -> None:
    """The condition is of all mandates together, so that only root is answered."""
    with pytest.raises(Forbidden):
        condition(database, user("anna"))


def test_what_was_recorded_shows_rate_and_lag(database: Database, put_mandate: PutMandate, record: Record) -> None:
    """Each outcome of the last minute counts in the rate; the lag is of what was recorded, the median of it."""
    put_mandate("acme", users=["anna"])
    hour_ago = (utc_now() - timedelta(hours=1)).isoformat()
    record(*(event(mandate_id="acme", user_id="anna", event_id=f"e{n}", occurred_at=hour_ago) for n in range(3)))
    record(event(mandate_id="acme", user_id="anna", event_id="e0", occurred_at=hour_ago), RawEvent(b"garbage", "usage"))
    found = condition(database, ROOT)
    assert found.last_commit is not None
    assert (found.recent.recorded, found.recent.duplicate, found.recent.rejected) == (3, 1, 1)
    assert found.recent.rate == round(5 / 60, 3)
    assert found.lag_seconds is not None
    assert 3600 <= found.lag_seconds < 3900


def test_letters_and_parked_events_are_told_by_reason(database: Database, record: Record, rows: Rows, put_mandate: PutMandate) -> None:
    """Open letters and parked events stand by reason, with the age of the first; what is resolved isn't told."""
    put_mandate("off", enabled=False)
    record(RawEvent(b"garbage", "usage"), RawEvent(b"more", "usage"), RawEvent(b'{"event_id": "x"}', "usage"))
    record(event(mandate_id="who", event_id="p1"), event(mandate_id="off", event_id="p2"))
    rows("UPDATE dead_letters SET first_seen_at = now() - interval '1 hour' WHERE reason = 'malformed_json'")
    rows("UPDATE parked_events SET received_at = now() - interval '2 hours' WHERE event_id = 'p2'")
    found = condition(database, ROOT)
    letters = {one.reason: one for one in found.open_letters}
    assert {reason: one.number for reason, one in letters.items()} == {"malformed_json": 2, "missing_field": 1}
    assert 3600 <= letters["malformed_json"].oldest_seconds < 3900 > letters["missing_field"].oldest_seconds
    assert len(found.parked) == 2
    assert max(one.oldest_seconds for one in found.parked) >= 7200
    assert (found.parked_events, found.suspense_events, found.suspense_oldest_seconds) == (2, 0, 0)
    rows("UPDATE dead_letters SET status = 'DISCARDED', resolved_at = now(), resolved_by = 'me'")
    assert condition(database, ROOT).open_letters == []


def test_beyond_the_limit_there_are_at_least_so_many(database: Database, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting stops at a limit, and says so."""
    record(*(RawEvent(f"garbage {n}".encode(), "usage") for n in range(4)))
    monkeypatch.setattr(core.watching.read, "COUNTED_MAX", 3)
    (letters,) = condition(database, ROOT).open_letters
    assert (letters.number, letters.more) == (3, True)
    assert str(Count(10_000, more=True)) == "at least 10,000"


def test_accounts_beyond_their_lines_are_counted(
    database: Database, record: Record, put_settings: PutSettings, put_account: PutAccount, rows: Rows
) -> None:
    """An account is told of from the debit that took it over its line until credit takes it back; those that don't pay any more aren't."""
    put_settings("acme", users=["anna", "ben"])
    record(event(user_id="anna", price_chf="15"), event(user_id="ben", price_chf="9"))  # of a grant of 10 each
    found = condition(database, ROOT)
    assert (found.below_threshold.number, found.below_zero.number, found.above_limit.number) == (2, 1, 0)
    assert [(one.user_id, int(one.balance)) for one in found.low_accounts] == [("anna", -5), ("ben", 1)]
    payment = {"mandate_id": "acme", "account_id": found.low_accounts[0].account_id, "amount": "100", "key": "paid", "by": "me"}
    top_up(database, ROOT, TopUp.read(payment))
    assert condition(database, ROOT).below_zero.number == 0
    rows("UPDATE billing_settings SET billing_model = 'UNLIMITED'")
    assert condition(database, ROOT).below_threshold.number == 0


def test_a_pool_beyond_its_limit_is_counted(database: Database, put_settings: PutSettings, put_account: PutAccount, record: Record) -> None:
    """A postpaid pool is told of when it comes near its credit limit, and when it is beyond."""
    put_settings("acme", BillingModel.CREDIT_POSTPAY, users=["anna"])
    put_account(None, "0", credit_limit=10)
    record(event(mandate_id="acme", user_id="anna", event_id="a", price_chf="9.5"))
    assert (condition(database, ROOT).below_threshold.number, condition(database, ROOT).above_limit.number) == (1, 0)
    record(event(mandate_id="acme", user_id="anna", event_id="b", price_chf="1"))
    assert (condition(database, ROOT).below_threshold.number, condition(database, ROOT).above_limit.number) == (1, 1)


def test_an_upgrade_finds_who_is_beyond_a_line(database_urls: DatabaseUrls, database: Database, rows: Rows, put_settings: PutSettings) -> None:
    """The migration finds accounts that crossed a line before it, but none that never had credit."""
    put_settings("acme")
    rows("DROP TRIGGER keep_crossed_line ON balance_alerts")
    rows("DROP FUNCTION keep_crossed_line")
    rows("DROP TABLE crossed_lines")
    rows("DROP INDEX ix_parked_events_reason_received_at, ix_cap_alerts_reached")
    rows("UPDATE alembic_version SET version_num = '0031_completeness'")
    rows("""INSERT INTO accounts (mandate_id, user_id, account_type, opened_version, balance, warning_threshold)
            SELECT 'acme', user_id, 'USER', 1, balance, threshold
              FROM (VALUES ('low', 1, 1), ('below', -1, 1), ('rich', 9, 1), ('new', 0, 0)) AS a(user_id, balance, threshold)""")
    migrate.upgrade(database_urls.owner, database_urls.worker)
    found: Condition = condition(database, ROOT)
    assert (found.below_threshold.number, found.below_zero.number) == (2, 1)
    assert [one.user_id for one in found.low_accounts] == ["below", "low"]


def test_caps_that_are_reached_are_counted(database: Database, put_settings: PutSettings, record: Record) -> None:
    """A window whose spending has reached its limit counts, until the limit is raised; one that is near doesn't."""
    put_settings("acme", users=["anna"])
    asked = {"mandate_id": "acme", "scope": "ALL", "by": "me"}
    set_cap(database, ROOT, NewCap.read({**asked, "period": "DAY", "limit_chf": "1"}))
    set_cap(database, ROOT, NewCap.read({**asked, "period": "TOTAL", "limit_chf": "4"}))
    record(event(user_id="anna", price_chf="3.5"))
    assert condition(database, ROOT).caps_reached == Count(1, more=False)
    record(event(user_id="anna", price_chf="0.5"))
    assert condition(database, ROOT).caps_reached == Count(2, more=False)
    set_cap(database, ROOT, NewCap.read({**asked, "period": "TOTAL", "limit_chf": "40"}))
    assert condition(database, ROOT).caps_reached == Count(1, more=False)


def test_holds_are_told_until_they_end(database: Database, rows: Rows) -> None:
    """Open holds count with what they keep; the first that ended and isn't settled tells that the sweep stands still."""
    rows(
        """INSERT INTO holds (mandate_id, hold_key, user_id, amount, captured, local_date, authorised_at, expires_at)
           VALUES ('acme', 'open', 'ada', 3, 1, '2026-01-01', now(), now() + interval '1 h'),
                  ('acme', 'over', 'ada', 5, 0, '2026-01-01', now(), now() - interval '2 h')"""
    )
    holds = condition(database, ROOT).holds
    assert (holds.number, holds.held_chf) == (1, Decimal(2))
    assert 7200 <= holds.overdue_seconds < 7500


def test_gaps_and_outcomes_are_counted(database: Database, rows: Rows) -> None:
    """Gaps in what producers numbered are told with the age of the oldest, and so are outcomes that nobody was told yet."""
    rows("INSERT INTO producer_gaps (producer_id, first_seq, last_seq, since) VALUES ('p', 3, 4, now() - interval '1 h'), ('p', 9, 9, now())")
    rows("INSERT INTO outcome_messages (queue, outcome, reason, detail) VALUES ('tollbook.outcomes.p', 'rejected', 'future', '')")
    found = condition(database, ROOT)
    assert (found.producer_gaps.number, found.outcomes_waiting.number) == (2, 1)
    assert 3600 <= found.producer_gap_oldest_seconds < 3900
