"""The invariants of prices: orderly books break none, and whatever is changed behind the program's back shows under its number."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from core.asking.rights import ROOT
from core.database.database import Database
from core.events.outcome import BatchResult
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.movements.rerate import rerate, revert_rerating, reverting
from core.movements.rerating import Rerating
from core.movements.revert_prices import Reverting, revert_prices
from core.prices.aliases import add_alias, close_alias
from core.prices.fx import GivenRate, import_fx
from core.prices.model import Layer, Mode
from core.prices.modes import set_mode
from core.prices.rules import add_rule, close_rule
from core.prices.uncharged import add_uncharged
from core.verifying import recompute
from core.verifying.reconcile import reconcile
from core.verifying.sql import priced_debits
from core.verifying.sql.invariants.all import INVARIANTS
from core.verifying.sql.invariants.invariant import EVER, Breach, judge
from core.verifying.verify import verify
from tests.conftest import Record, Rows
from tests.prices.scene import accepted, at, row
from tests.sample_events import NOW, event
from tests.scene import Breaches, PutMandate, PutSettings

SAMPLES_MAX = 100
YESTERDAY = NOW - timedelta(days=1)
DAY_BEFORE = (YESTERDAY - timedelta(days=1)).date()


def usage(prompt: int, output: int, cached: int = 0) -> dict[str, object]:
    """What openai.responses answers."""
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + output,
    }


def call(event_id: str, mandate_id: str = "computed", *, price: str | None = None, **fields: object) -> dict[str, object]:
    """An event of version 2 of yesterday: 1,000 of input, 10 of output, 0.00525 USD."""
    told = {"provider": "openai", "model": "gpt", "usage_dialect": "openai.responses", "usage": usage(1000, 10), **fields}
    times = {"occurred_at": told.pop("occurred_at", YESTERDAY.isoformat())}
    return event(event_id=event_id, mandate_id=mandate_id, price_chf=... if price is None else price, **times, **told)


ROWS = [
    row(),
    row(leaf="output", amount="25"),
    row(leaf="cache_read", amount="0.5"),
    row("long", amount="1", from_tokens=0),
    row("long", amount="2", from_tokens=2000),
    row("long", leaf="output", amount="3", from_tokens=0),
    row("long", leaf="output", amount="4", from_tokens=2000),
    row(layer=Layer.SALE, book="gold", currency="CHF", amount="10"),
    row(layer=Layer.SALE, book="gold", currency="CHF", amount="50", leaf="output"),
]


@pytest.fixture
def book(database: Database, put_mandate: PutMandate, record: Record, rows: Rows) -> None:
    """Books with prices: each mode, an alias that was moved, tiers, a SALE book, what isn't charged, what is parked, and what was reverted."""
    for mandate in ("given", "shadow", "computed", "sold"):
        put_mandate(mandate, users=["ada"])
    accepted(database, ROWS)
    import_fx(database, ROOT, [GivenRate("USD", DAY_BEFORE, Decimal("0.8"))], source="test", created_by="olga")
    add_rule(database, ROOT, created_by="olga", markup_percent=Decimal(10))
    add_rule(database, ROOT, created_by="olga", mandate_id="sold", book="gold")
    alias = add_alias(database, ROOT, "openai", "latest", "long", approved_by="olga")
    close_alias(database, ROOT, alias.id, end=YESTERDAY - timedelta(hours=1), closed_by="olga")
    add_alias(database, ROOT, "openai", "latest", "gpt", approved_by="olga", valid_from=YESTERDAY - timedelta(hours=1))
    for mode, mandate in ((Mode.SHADOW, "shadow"), (Mode.COMPUTED, "computed"), (Mode.COMPUTED, "sold")):
        set_mode(database, ROOT, mandate, mode, created_by="olga", since=at("2020-01-01"))
    add_uncharged(database, ROOT, "failed", created_by="olga")
    add_uncharged(database, ROOT, "failed", created_by="olga", without_usage=True)
    before = (YESTERDAY - timedelta(hours=2)).isoformat()
    result = record(
        call("computed"),
        call("cached", usage=usage(1000, 0, 1000)),
        call("nothing", usage=usage(0, 0)),
        call("alias", model="latest"),
        call("before", model="latest", occurred_at=before if before[:10] == YESTERDAY.isoformat()[:10] else YESTERDAY.isoformat()),
        call("tier", model="long", usage=usage(2001, 10)),
        call("at", model="long", usage=usage(2000, 10)),
        call("failed", outcome="failed"),
        call("policy", outcome="failed", usage=..., usage_dialect=...),
        call("sold", "sold"),
        call("shadow", "shadow", price="0.007"),
        call("shadow unpriced", "shadow", price="0.007", model="unknown"),
        event(event_id="shadow v1", mandate_id="shadow", occurred_at=YESTERDAY.isoformat()),
        call("given", "given", price="0.009"),
        call("contradiction", "given", price="0.009", usage={**usage(1000, 10), "total_tokens": 1}),
        event(event_id="v1", mandate_id="given"),
        call("parked", model="unknown"),
    )
    assert [outcome.value for outcome in result.outcomes] == ["recorded"] * 16 + ["parked"]
    for number, key in enumerate(("once", "again")):
        new = [
            NewPrice.read({"mandate_id": mandate, "event_id": mandate, "price_chf": f"{number + 1}"}) for mandate in ("computed", "shadow", "given")
        ]
        amend_prices(database, ROOT, new, key=key, by="olga", worker="test")
        if key == "once":
            revert_prices(database, ROOT, Reverting(key, "olga", "test"))
    revert_prices(database, ROOT, Reverting("again", "olga", "test"))
    second = accepted(database, [row(amount="6")])
    days = (DAY_BEFORE, NOW.date() + timedelta(days=1))
    assert {delta.events for delta in rerate(database, ROOT, Rerating("r1", second, *days), by="olga", worker="test").deltas} == {1, 2}
    revert_rerating(database, ROOT, reverting("r1", "olga", "test"))
    rerate(database, ROOT, Rerating("r2", second, *days, mandate_id="sold"), by="olga", worker="test")


def test_books_with_prices_are_in_order(book: object, breaches: Breaches, rows: Rows, release: Callable[[], BatchResult]) -> None:
    """Amounts as by hand, and no invariant is broken: before and after what was parked is recorded."""
    amounts = {r["event_id"]: r["amount"] for r in rows("SELECT event_id, amount FROM transactions WHERE reference_type = 'WORKFLOW'")}
    assert amounts["computed"] == Decimal("0.004620000")  # (1000 x 5 + 10 x 25) / 10^6 x 0.8 x 1.1
    assert amounts["tier"] == Decimal("0.003556960")  # (2001 x 2 + 10 x 4) / 10^6 x 0.8 x 1.1
    assert amounts["at"] == Decimal("0.001786400")  # (2000 x 1 + 10 x 3) / 10^6 x 0.8 x 1.1
    assert amounts["sold"] == Decimal("0.010500000")
    assert amounts["failed"] == amounts["policy"] == 0
    assert breaches() == {}


def test_what_was_parked_and_released_counts_once(
    book: object, database: Database, breaches: Breaches, rows: Rows, release: Callable[[], BatchResult]
) -> None:
    """An event without a price becomes a debit once its model has one, and is parked no more."""
    accepted(database, [row("unknown"), row("unknown", leaf="output", amount="25")])
    assert [outcome.value for outcome in release().outcomes] == ["recorded"]
    assert rows("SELECT 1 FROM parked_events") == []
    assert breaches() == {}


# What the owner of the tables may change, with triggers and constraints out of the way, and the invariants that see it.
OF = " WHERE event_id = :event AND reference_type = 'WORKFLOW'"
STANDING = " WHERE id = (SELECT max(id) FROM transactions WHERE event_id = :event AND transaction_type = 'DEBIT')"
# 2,001 of input and 10 of output by the rows from 0 on, and all that is said of it to match.
AT_LOW_TIER = """
    UPDATE transactions t SET stamp_id = o.stamp_id, provider_cost = 0.002031, amount = 0.00178728 FROM transactions o
     WHERE t.event_id = :event AND o.event_id = 'at'
"""
PARKED_TOO = """
    INSERT INTO parked_events SELECT p.* FROM parked_events o, jsonb_populate_record(o, '{"event_id": "computed"}') AS p
"""
TAMPERINGS = [
    ("P1", "computed", "UPDATE transactions SET amount = amount + 0.000000001" + OF),
    ("P1", "computed", "UPDATE transactions SET amount = amount + 0.000000001" + STANDING),
    ("P1", "computed", "UPDATE transactions SET provider_cost = provider_cost + 1e-18" + STANDING),
    ("P1", "computed", "UPDATE transactions SET provider_currency = 'EUR'" + OF),
    ("P1", "computed", "UPDATE transactions SET provider_cost = NULL, provider_currency = NULL" + OF),
    ("P1", "computed", "UPDATE transactions SET stamp_id = 4711" + OF),
    ("P1", "computed", "UPDATE transactions t SET stamp_id = o.stamp_id FROM transactions o WHERE t.event_id = :event AND o.event_id = 'sold'"),
    ("P1", "tier", "UPDATE transactions SET stamp_id = (SELECT stamp_id FROM transactions WHERE event_id = 'at')" + OF),
    ("P1", "tier", AT_LOW_TIER),
    ("P1", "computed", "UPDATE transactions SET occurred_at = occurred_at - interval '3 days'" + OF),
    ("P1", "shadow", "UPDATE transactions SET price_computed = price_computed + 0.000000001" + OF),
    ("P1", "shadow", "UPDATE transactions SET amount = 1" + OF),
    ("P1", "failed", "UPDATE transactions SET amount = 1" + OF),
    ("P1", "policy", "UPDATE transactions SET amount = 1" + OF),
    ("P1", "nothing", "UPDATE transactions SET amount = 1" + OF),
    ("P1", "computed", "UPDATE fx_rates SET rate = 0.9"),
    ("P1", "computed", "UPDATE fx_rates SET rate_date = rate_date + 1"),
    ("P1", "computed", "UPDATE sale_rules SET markup_percent = 11 WHERE markup_percent = 10"),
    ("P1", "computed", "UPDATE price_rows SET amount = 6 WHERE amount = 5"),
    ("P1", "alias", "UPDATE price_aliases SET valid = tstzrange(now(), NULL) WHERE model = 'gpt'"),
    ("P2", "given", "UPDATE transactions SET leaves = 'input=999,output=10'" + OF),
    ("P2", "computed", "UPDATE transactions SET leaves = NULL" + STANDING),
    ("P2", "contradiction", "UPDATE transactions SET leaves = 'input=1000,output=10'" + OF),
    ("P2", "given", "UPDATE transactions SET usage_values = replace(usage_values, '1010', '1011')" + OF),
    ("P3", "", "UPDATE price_rows SET amount = 6 WHERE amount = 5"),
    ("P3", "", "UPDATE price_rows SET valid = tstzrange(NULL, now()) WHERE amount = 0.5"),
    ("P3", "", "UPDATE price_rows SET source = 'elsewhere' WHERE amount = 0.5"),
    ("P3", "", "UPDATE price_book SET valid = tstzrange(NULL, now()) WHERE row_id = 1"),
    ("P3", "", "DELETE FROM price_book WHERE row_id = (SELECT id FROM price_rows WHERE amount = 0.5)"),
    ("P3", "", "UPDATE price_versions SET row_count = 10"),
    ("P3", "", "INSERT INTO price_book SELECT version_id, 4711, key_hash, tier, valid FROM price_book LIMIT 1"),
    ("P3", "", "UPDATE stamps SET fx_id = NULL WHERE fx_id IS NOT NULL"),
    ("P3", "", "UPDATE stamps SET rows = '{}'"),
    ("P4", "", "UPDATE stamps SET rows = rows[1:1] WHERE cardinality(rows) = 2"),
    ("P4", "computed", "UPDATE transactions SET leaves = 'input=1000,output=10,web_search=1'" + OF),
    ("P5", "computed", PARKED_TOO),
    ("P5", "", "WITH told AS (SELECT set_config('tollbook.knows_prices', 'yes', true)) DELETE FROM parked_events USING told"),
    ("P5", "computed", "DELETE FROM transactions" + OF),
    ("P5", "", "UPDATE batches SET recorded = recorded + 1 WHERE recorded > 0"),
    ("P6", "given", "UPDATE transactions SET amount = amount + 1" + STANDING),
    ("P6", "computed", "UPDATE transactions SET provider_cost = 1" + STANDING),
    ("P6", "shadow", "UPDATE transactions SET local_date = local_date + 1" + STANDING),
    ("P6", "shadow", "UPDATE transactions SET stamp_id = 1, price_computed = NULL" + STANDING),
    ("P6", "alias", "UPDATE transactions SET provider_cost = 1" + STANDING),
    ("P6", "given", "UPDATE amendments SET idempotency_key = 'other' || number WHERE event_id = :event AND operation = 'amend_prices'"),
    ("I2", "given", "UPDATE transactions SET amount = amount + 1" + OF),
    ("I2", "shadow", "UPDATE transactions SET price_given = price_given + 1" + OF),
    ("I2", "computed", "UPDATE transactions SET price_given = 1" + OF),
    ("I2", "computed", "UPDATE transactions SET stamp_id = 1" + OF),
    ("I2", "computed", "UPDATE transactions SET stamp_id = NULL" + OF),
    ("I2", "shadow v1", "UPDATE transactions SET amount = 1" + OF),
    ("I2", "given", "UPDATE transactions SET usage_values = replace(usage_values, '1000', '1001')" + OF),
    ("I2", "given", "UPDATE transactions SET outcome = 'failed'" + OF),
    ("I2", "given", "UPDATE usage_shapes SET shape = replace(shape, 'total', 'sum')"),
]  # fmt: skip


class _TakenBack(Exception):
    """The change was looked at."""


def broken_by(owner: Database, event_id: str, tampering: str) -> dict[str, list[Breach]]:
    """What breaks by a change, which is taken back."""
    found: dict[str, list[Breach]] = {}
    with suppress(_TakenBack), owner.transaction() as connection:
        for table in ("price_rows", "price_book", "price_versions", "price_aliases", "fx_rates", "sale_rules"):
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        connection.execute(text("ALTER TABLE price_book DROP CONSTRAINT ex_price_book_overlap"))
        changed = connection.execute(text(tampering), {"event": event_id} if ":event" in tampering else {}).rowcount
        assert changed > 0, tampering
        verdicts = [judge(connection, invariant, SAMPLES_MAX) for invariant in INVARIANTS]
        found = {verdict.invariant: verdict.samples for verdict in verdicts if verdict.violations}
        raise _TakenBack
    return found


@pytest.mark.parametrize("invariant", sorted({invariant for invariant, _, _ in TAMPERINGS}))
def test_tampering_with_prices_is_reported(book: object, owner_database: Database, rows: Rows, invariant: str) -> None:
    """Whatever is changed behind the program's back breaks the invariant that guards it, which names the entry."""
    for guard, event_id, tampering in TAMPERINGS:
        if guard != invariant:
            continue
        found = broken_by(owner_database, event_id, tampering)
        assert invariant in found, (tampering, found)
        if ":event" in tampering and invariant == "P1":
            entries = rows("SELECT id FROM transactions WHERE event_id = :event AND transaction_type = 'DEBIT'", event=event_id)
            subjects = tuple(f"transaction {entry['id']} of mandate" for entry in entries)
            assert any(breach.subject.startswith(subjects) for breach in found["P1"]), (tampering, found)


_COMPUTED = """
    SELECT count(*) AS computed, count(*) FILTER (WHERE s.kind = 'policy') AS policies
      FROM transactions t JOIN stamps s ON s.id = t.stamp_id WHERE s.kind IN ('rated', 'policy')
"""


def test_what_another_version_read_or_rated_is_unknown(book: object, database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program with another version of the dialect or of the rater says that it can't tell, and reports no breach."""
    ((computed, policies),) = (row.values() for row in rows(_COMPUTED))
    counts = {v.invariant: (v.violations, v.unknown) for v in verify(database, ROOT)}
    assert counts["P1"] == counts["P2"] == (0, 0)
    monkeypatch.setattr(recompute, "RATER_VERSION", 2)
    (verdict,) = [v for v in verify(database, ROOT) if v.invariant == "P1"]
    assert (verdict.violations, verdict.unknown) == (0, computed)
    monkeypatch.undo()
    monkeypatch.setitem(recompute._VERSIONS, "openai.responses", 2)
    counts = {v.invariant: (v.violations, v.unknown) for v in verify(database, ROOT)}
    assert counts["P1"] == (0, computed - policies)  # what is free without usage was read by no dialect
    assert counts["P2"][0] == 0


def test_rules_that_were_closed_later_still_explain_what_was_billed(book: object, database: Database, rows: Rows, breaches: Breaches) -> None:
    """An end that is told afterwards changes nothing of what was recorded before."""
    for rule in rows("SELECT id FROM sale_rules"):
        close_rule(database, ROOT, rule["id"], end=YESTERDAY - timedelta(days=100), closed_by="olga")
    (open_alias,) = rows("SELECT id FROM price_aliases WHERE upper_inf(valid)")
    close_alias(database, ROOT, open_alias["id"], end=YESTERDAY - timedelta(minutes=1), closed_by="olga")
    import_fx(database, ROOT, [GivenRate("USD", DAY_BEFORE, Decimal("0.9"))], source="test", created_by="olga", replace=True)
    accepted(database, [row(amount="7")])
    assert breaches() == {}


def test_the_nightly_check_looks_at_prices_too(book: object, database: Database, rows: Rows) -> None:
    """A changed amount is a finding of P1, and gone once it is set right."""
    rows("UPDATE transactions SET amount = amount + 1" + OF, event="cached")
    rows("UPDATE accounts SET balance = balance - 1 WHERE mandate_id = 'computed'")
    found = reconcile(database, worker="test", at_once=True)
    assert found is not None
    assert (found["P1"], found["I2"], found["I3"]) == (1, 0, 0)
    rows("UPDATE transactions SET amount = amount - 1" + OF, event="cached")
    found = reconcile(database, worker="test", at_once=True)
    assert found is not None
    assert (found["P1"], found["findings_gone"] > 0) == (0, True)


def test_a_copy_without_what_version_2_tells_is_refused_and_is_no_breach(book: object, record: Record, breaches: Breaches) -> None:
    """It has the hash of version 1 that the recorded event would have, and moved nothing all the same."""
    told = {name: value for name, value in call("given", "given", price="0.009").items() if name not in ("usage", "usage_dialect")}
    result = record(json.dumps(told).encode())
    assert [outcome.value for outcome in result.outcomes] == ["conflict"]
    assert breaches() == {}


def test_debits_come_a_page_at_a_time(book: object, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, no more than a page of them is in memory."""
    monkeypatch.setattr(priced_debits, "PAGE_ROWS", 3)
    for debits in (priced_debits.computed_debits, priced_debits.debits_with_usage):
        with database.snapshot() as connection:
            sizes = [len(page) for page in debits(connection, EVER)]
        assert set(sizes[:-1]) == {3}
        assert len(sizes) > 3


@pytest.mark.parametrize("mode", ["computed", "shadow"])
def test_what_escaped_its_mode_is_reported(record: Record, put_settings: PutSettings, rows: Rows, breaches: Breaches, mode: str) -> None:
    """A worker that knows no modes bills what was given: each such debit is named once the mode is a minute older than it."""
    put_settings("acme", users=["ada"])
    record(event())
    later = "INSERT INTO price_modes (mandate_id, mode, since, created_by, created_at) VALUES ('acme', :mode, now() - interval '1 day', 'olga', {})"
    rows(later.format("now() - interval '10 seconds'"), mode="given")
    assert not breaches()
    rows(later.format("now() - interval '2 minutes'").replace("1 day", "2 hours"), mode=mode)
    assert breaches().keys() == {"P4"}


@pytest.mark.parametrize("mode", ["given", "shadow"])
def test_what_was_recorded_right_after_a_change_of_mode_is_no_breach(
    record: Record, put_settings: PutSettings, rows: Rows, breaches: Breaches, mode: str
) -> None:
    """Computed for an hour, then given: what is billed as given in the minute after that is right, though it may as well have been read before."""
    put_settings("acme", users=["ada"])
    later = "INSERT INTO price_modes (mandate_id, mode, since, created_by, created_at) VALUES ('acme', :mode, now() - interval {}, 'olga', {})"
    rows(later.format("'2 hours'", "now() - interval '2 hours'"), mode="computed")
    rows(later.format("'90 minutes'", "now()"), mode=mode)
    record(event(usage_dialect="openai.chat", usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}))
    assert breaches() == {}
