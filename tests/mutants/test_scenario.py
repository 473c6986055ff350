"""Days of books that are lived once, in a fixed order: what the books, the oracle and `verify` say of them agrees."""

import json
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.database.database import Database
from core.prices.fx import GivenRate, import_fx
from core.prices.model import Mode
from core.prices.modes import set_mode
from core.prices.propose import propose
from core.prices.rules import add_rule
from tests.conftest import Record, Rows
from tests.mutants.day import Day
from tests.prices.scene import accepted, offer, row
from tests.sample_events import NOW, event
from tests.scene import Breaches, PutSettings

# As they stand in the JSON: strings and numbers; ties between two units, and more digits than a float has.
PRICES = (
    *(
        '"0.0000000025"',
        '"0.0000000005"',
        '"0.0000000035"',
        "0.0000000025",
        "0.0000000035",
        "5e-10",
        "0.1234567890123456789",
        "999999.123456789",
        "999999.1234567885",
    ),
    *('"1e-30"', '"-0"', "-0.0", '"3.4E-7"', "1000000", '"000.5"'),
)
NO_PRICES = (
    *("NaN", '"NaN"', "Infinity", '"-Infinity"', "-1", '"-0.25"', "-0.000000001", '"1e400"', "1e400", '"1_000"', '"\uff11"', '" 1"', "true", '""'),
    *('"1000000.000000001"', "[1]", '"sNaN"', '"0x1"'),
)
NO_EVENTS = (
    *(b"{", b"[]", b"null", b'{"event_id": "x"}', b'{"event_id": "x", "event_id": "y", "price_chf": 1}', b"\xff\xfe", b'"' + b"x" * 70_000 + b'"'),
    *(json.dumps(event(surprise=1)).encode(), json.dumps(event(user_id="a\x00b")).encode(), json.dumps(event(user_id="\ud800")).encode()),
    *(json.dumps(event(usage={"input_tokens": count})).encode() for count in (2**63, -1, 1.5, "1", True)),
    *(json.dumps(event(occurred_at=moment)).encode() for moment in ("2024-02-28T12:00:00", "9999-01-01T00:00:00Z", "2024-02-30T00:00:00Z", 0)),
)


def priced(price: str) -> bytes:
    """An event with this price, as it is written."""
    return json.dumps(event(price_chf="PRICE")).replace('"PRICE"', price).encode()


def exact(price: str) -> Decimal:
    """The price in units of nine places, half-even."""
    return Decimal(round(Fraction(price.strip('"')) * 10**9)).scaleb(-9)


def tell(found: Iterable[str]) -> None:
    """Fails with all that was found, if anything was."""
    if lines := [f"found {one}" for one in found]:
        pytest.fail("\n".join(lines))


def test_a_day_of_books(day: Day) -> None:
    """Usage in two zones, copies, contradictions, caps, holds, parked events, refunds, amendments, switches: nothing is found."""
    day.go()
    tell(f"{what}: {told}" for what, told in day.found.items())


def test_odd_input(record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches) -> None:
    """What is a price is recorded to the last unit, what is none is one dead letter with its bytes, however often it comes."""
    put_settings(model=BillingModel.PREPAY_MANDATE)
    good, bad = [priced(price) for price in PRICES], [*(priced(price) for price in NO_PRICES), *NO_EVENTS]
    first = record(*good, *bad)
    again = record(*bad[::-1], *good)
    found = [f"price of {price}: {told} at first" for price, told in zip(PRICES, first.outcomes, strict=False) if told != "recorded"]
    found += [f"{what!r}: {told}" for what, told in zip([*NO_PRICES, *NO_EVENTS], first.outcomes[len(good) :], strict=True) if told != "rejected"]
    found += [f"another outcome of a copy: {told}" for told in again.outcomes if told not in ("duplicate", "rejected")]
    booked = {row["event_id"]: row["amount"] for row in rows("SELECT event_id, amount FROM transactions WHERE transaction_type = 'DEBIT'")}
    for price, body in zip(PRICES, good, strict=True):
        amount = booked.pop(json.loads(body)["event_id"], None)
        if amount != exact(price):
            found.append(f"price of {price}: {amount}, not {exact(price)}")
    found += [f"debit of what is none: {event_id} of {amount}" for event_id, amount in booked.items()]
    letters = {bytes(row["body"]): row["attempts"] for row in rows("SELECT body, attempts FROM dead_letters")}
    found += [f"dead letter, {letters.get(body)} attempts of 2: {body[:200]!r}" for body in bad if letters.pop(body, None) != 2]
    found += [f"dead letter of what is none: {body[:200]!r}" for body in letters]
    tell([*found, *(f"{invariant}: {samples[0]}" for invariant, samples in breaches().items())])


def test_a_day_of_prices(record: Record, rows: Rows, database: Database, put_settings: PutSettings, breaches: Breaches) -> None:
    """While another version is only proposed, calls are billed by the one that is accepted, exact until one rounding, and stamps say so."""
    put_settings()
    book = [row("large", "input", "0.0033"), row("large", "output", "0.0077"), row("small", "input", "1.1")]
    accepted(database, book)
    propose(database, ROOT, offer(row("large", "input", "99"), row("large", "output", "98")), proposed_by="olga")
    import_fx(
        database, ROOT, [GivenRate("USD", (NOW - timedelta(days=n)).date(), Decimal("0.81")) for n in (1, 2, 3)], source="test", created_by="olga"
    )
    add_rule(database, ROOT, markup_percent=Decimal("7.5"), created_by="olga")
    set_mode(database, ROOT, "acme", Mode.COMPUTED, created_by="olga", since=NOW - timedelta(days=1))
    used = [(1, 1), (7, 3), (123_457, 77), (0, 5), (13, 0)]
    calls = [
        event(provider="openai", model="large", price_chf=..., usage_dialect="canonical", usage={"input": read, "output": written})
        for read, written in used
    ]
    first = record(*calls)
    found = [f"outcome {told}, not recorded" for told in first.outcomes if told != "recorded"]
    found += [f"outcome {told} of a copy" for told in record(*calls).outcomes if told != "duplicate"]
    booked = {each["event_id"]: each["amount"] for each in rows("SELECT event_id, amount FROM transactions WHERE transaction_type = 'DEBIT'")}
    for call, (read, written) in zip(calls, used, strict=True):
        cost = (Fraction(33, 10_000) * read + Fraction(77, 10_000) * written) / 10**6
        price = Decimal(round(cost * Fraction(81, 100) * Fraction(1075, 1000) * 10**9)).scaleb(-9)
        if booked.get(call["event_id"]) != price:
            found.append(f"computed {booked.get(call['event_id'])} of {read} and {written} tokens, not {price}")
    tell([*found, *(f"{invariant}: {samples[0]}" for invariant, samples in breaches().items())])
