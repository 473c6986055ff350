"""What must be true of the books after a torture run: judged from what the producers' journals say, and from rows of the tables.

It knows nothing of the product: no line of `core`, no SQL. Rows are dictionaries by the names of their columns; amounts are francs. What may or
may not have arrived (a *maybe*) is right either way; what certainly arrived is in the books, once, as it was sent.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, NamedTuple

from lab.oracle.entries import NOTHING, UNIT

Row = Mapping[str, Any]
Key = tuple[str, str]
BAD = re.compile(rb"bad-[a-z0-9-]+")
NAMES = ("provider", "model", "feature_code", "usage_dialect", "service_tier", "hold_key")
COUNTS = ("input_tokens", "output_tokens")  # of usage without a dialect
LETTER_BYTES = 256 * 1024  # of a dead letter's body that are kept


class Variant(NamedTuple):
    """What an event says: two messages of one key that differ in it can't both be recorded."""

    user: str
    price: Decimal | None
    at: datetime
    names: tuple[str | None, ...]
    used: str


@dataclass(slots=True)
class Expectation:
    """What was sent: by key the variants and whether one certainly arrived; by id what is no event, and the reason it must be refused for."""

    variants: dict[Key, dict[Variant, bool]] = field(default_factory=lambda: defaultdict(dict))
    bad: dict[bytes, tuple[str, bool, bytes]] = field(default_factory=dict)
    ways: Counter[str] = field(default_factory=Counter)  # messages that certainly arrived, by producer and by kind
    good: int = 0  # deliveries of events that certainly arrived
    events: int = 0  # the same, and those of what is no event
    maybe: int = 0  # deliveries of which nobody knows

    @property
    def copies(self) -> int:
        """Deliveries of events that certainly arrived beyond the first of each key."""
        return self.good - sum(any(variants.values()) for variants in self.variants.values())

    def deliver(self, body: str, *, sure: bool) -> None:
        """One event of a message."""
        self.good += sure
        self.events, self.maybe = self.events + sure, self.maybe + (not sure)
        fields = json.loads(body)
        found = self.variants[fields["mandate_id"], fields["event_id"]]
        variant = _variant(fields)
        found[variant] = found.get(variant, False) or sure

    def refuse(self, body: str, reason: str, *, sure: bool) -> None:
        """Something that is no event."""
        self.events, self.maybe = self.events + sure, self.maybe + (not sure)
        found = BAD.search(body.encode())
        assert found is not None, f"no id in {body[:100]}"
        self.bad[found.group()] = reason, sure, body.encode()


@dataclass(slots=True)
class Findings:
    """What is wrong, in words, by kind."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    drifted: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        """Every one."""
        return [*self.lost, *self.doubled, *self.drifted]


def _variant(fields: Mapping[str, Any]) -> Variant:
    price = fields.get("price_chf")
    at = datetime.fromisoformat(fields["occurred_at"]).astimezone(UTC)
    return Variant(
        fields["user_id"], None if price is None else quantised(price), at, tuple(fields.get(name) for name in NAMES), _used(fields.get("usage"))
    )


def _used(usage: Mapping[str, Any] | None) -> str:
    return json.dumps(usage or {}, sort_keys=True)


def quantised(price: str) -> Decimal:
    """A price as the books keep it: nine places, half-even; minus nothing is nothing."""
    return Decimal(price).quantize(UNIT, ROUND_HALF_EVEN) + NOTHING


def judge_events(sent: Expectation, debits: Iterable[Row], parked: Iterable[Row], letters: Iterable[Row]) -> Findings:
    """Each event that certainly arrived is recorded, once, as it was sent; each other variant of it and all that is no event, refused; none waits.

    Args:
        sent: of all producers.
        debits: DEBIT entries of usage (WORKFLOW), with `user_id` of whom they are about and `price_sent`, as the event had it.
        parked: parked events.
        letters: dead letters.
    """
    found, booked = Findings(), dict[Key, Variant]()
    for debit in debits:
        key = debit["mandate_id"], debit["event_id"]
        if key in booked:
            found.doubled.append(f"{key} is recorded twice")
        elif key not in sent.variants:
            found.doubled.append(f"{key} is recorded, and nobody sent it")
        booked[key] = _booked(debit)
    found.lost.extend(f"event {row['event_id']} of {row['mandate_id']} is still parked: {row['reason']}" for row in parked)
    conflicts = _judge_letters(found, sent, letters)
    for key, variants in sent.variants.items():
        _judge_key(found, key, variants, booked.get(key), conflicts[key])
    return found


def _judge_letters(found: Findings, sent: Expectation, letters: Iterable[Row]) -> dict[Key, Counter[Variant]]:
    """Judges what is refused as no event; by key the contents that were refused as other than the first."""
    conflicts: dict[Key, Counter[Variant]] = defaultdict(Counter)
    refused = dict[bytes, str]()
    for letter in letters:
        if letter["reason"] == "conflict":
            conflicts[letter["mandate_id"], letter["event_id"]][_variant(json.loads(bytes(letter["body"])))] += 1
        elif (bad := BAD.search(bytes(letter["body"]))) is not None:
            if bad.group() in refused:
                found.doubled.append(f"{bad.group()!r} is refused twice")
            refused[bad.group()] = letter["reason"]
            if bad.group() in sent.bad and not _same(bytes(letter["body"]), sent.bad[bad.group()][2]):
                found.drifted.append(f"{bad.group()!r} is kept as {bytes(letter['body'])[:200]!r}")
        else:
            found.lost.append(f"refused as {letter['reason']}: {bytes(letter['body'])[:200]!r}")
    for bad_id, (reason, sure, _) in sent.bad.items():
        if bad_id not in refused and sure:
            found.lost.append(f"{bad_id!r} is no dead letter, and should be one for {reason}")
        elif refused.get(bad_id, reason) != reason:
            found.drifted.append(f"{bad_id!r} is refused as {refused[bad_id]}, and should be as {reason}")
    found.doubled.extend(f"{bad_id!r} was refused, and nobody sent it" for bad_id in refused.keys() - sent.bad.keys())
    found.doubled.extend(f"{key} has a conflict, and nobody sent it" for key in conflicts.keys() - sent.variants.keys())
    return conflicts


def _same(kept: bytes, sent: bytes) -> bool:
    """Whether these bytes were sent: as they are, or in JSON that says the same, which a client may write in its own way."""
    if kept == sent[:LETTER_BYTES]:
        return True
    try:
        return bool(json.loads(kept) == json.loads(sent))
    except ValueError:
        return False


def _booked(debit: Row) -> Variant:
    usage = {name: debit[name] for name in COUNTS if debit[name] is not None}
    if debit["shape"] is not None:
        values = debit["usage_values"]
        usage = json.loads(debit["shape"] % tuple(values.split("\n") if values else ()))
    return Variant(debit["user_id"], debit["price_sent"], debit["occurred_at"].astimezone(UTC), tuple(debit[name] for name in NAMES), _used(usage))


def _judge_key(found: Findings, key: Key, variants: Mapping[Variant, bool], booked: Variant | None, conflicts: Counter[Variant]) -> None:
    if booked is None and any(variants.values()):
        found.lost.append(f"{key} is not recorded")
    if booked is not None and booked not in variants:
        found.drifted.append(f"{key} is recorded as {booked}, and was sent as {list(variants)}")
    for variant, sure in variants.items():
        if sure and booked is not None and variant != booked and not conflicts[variant]:
            found.lost.append(f"{key} was also sent as {variant}, of which there is no dead letter")
    for variant in conflicts:
        if conflicts[variant] and (variant not in variants or variant == booked):
            found.drifted.append(f"{key} has a conflict {variant}; it was sent as {list(variants)} and is recorded as {booked}")


def judge_balances(accounts: Iterable[Row], entries: Iterable[Row]) -> Iterator[str]:
    """The balance of each account is the sum of the entries on it.

    Args:
        accounts: with id and balance.
        entries: by `balance_account_id` and `transaction_type`, the sum of their amounts.
    """
    sums: dict[int, Decimal] = defaultdict(lambda: NOTHING)
    for entry in entries:
        if entry["balance_account_id"] is not None:
            sums[entry["balance_account_id"]] += -entry["amount"] if entry["transaction_type"] == "DEBIT" else entry["amount"]
    for account in accounts:
        if account["balance"] != sums[account["id"]]:
            yield f"account {account['id']} has {account['balance']}, its entries say {sums[account['id']]}"


def judge_statistics(entries: Iterable[Row], statistics: Iterable[Row]) -> Iterator[str]:
    """Events and cost of each day, month and year of an account are those of its debits, corrections included.

    Args:
        entries: by `account_id`, `local_date`, `transaction_type` and `reference_type` (WORKFLOW, AMENDMENT): `count` and `amount`. What takes a
            debit back counts in that debit's day.
        statistics: by `account_id`, `period_type` and `period_start`: `event_count` and `cost`.
    """
    counted: dict[tuple[int, str, date], tuple[int, Decimal]] = defaultdict(lambda: (0, NOTHING))
    for entry in entries:
        day: date = entry["local_date"]
        events = entry["count"] if entry["reference_type"] == "WORKFLOW" else 0
        cost = entry["amount"] if entry["transaction_type"] == "DEBIT" else -entry["amount"]
        for period, start in (("DAY", day), ("MONTH", day.replace(day=1)), ("YEAR", day.replace(month=1, day=1))):
            had = counted[entry["account_id"], period, start]
            counted[entry["account_id"], period, start] = had[0] + events, had[1] + cost
    stored = {(row["account_id"], row["period_type"], row["period_start"]): (row["event_count"], row["cost"]) for row in statistics}
    for key in sorted(counted.keys() | stored.keys(), key=str):
        if counted[key] != stored.get(key, (0, NOTHING)):
            yield f"statistics of {key} say {stored.get(key)}, the ledger says {counted[key]}"


def judge_batches(batches: Row, debits: int, parked: int, sent: Expectation) -> Iterator[str]:
    """What the batches say is what the books hold, and no less than what certainly arrived.

    Args:
        batches: the sums of all outcomes.
        debits: how many events are recorded.
        parked: how many are parked.
        sent: of all producers.
    """
    outcomes = Counter({name: int(batches[name] or 0) for name in ("recorded", "duplicate", "conflict", "rejected", "parked", "released")})
    if outcomes["recorded"] != debits:
        yield f"the batches have recorded {outcomes['recorded']} events, the ledger has {debits}"
    if outcomes["parked"] < parked:
        yield f"the batches have parked {outcomes['parked']} events, and {parked} are parked"
    if outcomes["duplicate"] + outcomes["conflict"] < sent.copies:
        yield f"of {sent.copies} further deliveries {outcomes['duplicate']} are duplicates and {outcomes['conflict']} conflicts"
    seen = sum(outcomes[name] for name in ("recorded", "duplicate", "conflict", "rejected", "parked"))
    if seen < sent.events:
        yield f"{sent.events} events certainly arrived, the batches have seen {seen}"
