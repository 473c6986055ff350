"""Computing again what debits were computed from: amounts from the raw usage and the stamp, leaves from the raw usage."""

from collections.abc import Iterator

from sqlalchemy import Connection

from core.dialects.all import DIALECTS
from core.dialects.model import Reading
from core.money import ZERO
from core.prices.content import content_hash, described
from core.prices.model import RATER_VERSION, Rated, StampKind, Unpriced
from core.prices.price_event import leaves_text, priced_call, read_event
from core.prices.rate import rate
from core.prices.sql.kept import kept_rows, kept_stamps
from core.prices.sql.stamps import GIVEN_HASH, stamp_hash
from core.prices.stamped import Stamped, Stamps
from core.printable import shown
from core.verifying.sql.invariants.invariant import Breach, Unknown
from core.verifying.sql.priced_debits import PricedDebit, computed_debits, debits_with_usage

_VERSIONS = {dialect.name.value: dialect.version for dialect in DIALECTS.values()}


def wrong_amounts(connection: Connection, since: str) -> Iterator[Breach | Unknown]:
    """Debits recorded from `since` on whose computed price or provider cost isn't what their usage and their stamp give, by now as then.

    What a dialect or a rater of another version computed is unknown.
    """
    stamps = Stamps(connection)
    for page in computed_debits(connection, since):
        stamped = stamps.of({debit.stamp_id for debit in page if debit.stamp_id is not None})
        for debit in page:
            if debit.stamp_id not in stamped:
                yield _breach(debit, f"stamp {debit.stamp_id} is not there")
            elif (found := _amount_fault(debit, stamped[debit.stamp_id])) is not None:
                yield found


def _amount_fault(debit: PricedDebit, stamped: Stamped) -> Breach | Unknown | None:
    content = stamped.content
    if content.dialect is not None and _VERSIONS.get(content.dialect) != content.dialect_version:
        return Unknown(_subject(debit), f"it was read by version {content.dialect_version} of dialect {shown(content.dialect)}")
    if content.rater_version != RATER_VERSION:
        return Unknown(_subject(debit), f"it was rated by version {content.rater_version} of the rater")
    if debit.computed is not None and debit.amount != debit.price_given:
        return _breach(debit, f"it bills {debit.amount} CHF, and the price given is {debit.price_given}")
    reading = read_event(debit.event)
    if isinstance(reading, Unpriced):
        return _breach(debit, f"it was computed by stamp {debit.stamp_id}, and its usage can't be read: {reading.detail}")
    fault = _rating_fault(debit, reading, stamped)
    return None if fault is None else _breach(debit, f"by stamp {debit.stamp_id} {fault}")


def _rating_fault(debit: PricedDebit, reading: Reading | None, stamped: Stamped) -> str | None:
    content = stamped.content
    told = (debit.amount if debit.computed is None else debit.computed, debit.provider_cost, debit.provider_currency)
    if content.kind is StampKind.RATED and not content.rows:  # all of its counts are 0; the stamp doesn't tell the currency of nothing
        is_nothing = reading is not None and not any(reading.leaves.values())
        return None if is_nothing and told[0] == ZERO and not told[1] else f"it used nothing that costs, and it says {_words(*told)}"
    rated = rate(priced_call(debit.event, reading), stamped.prices)
    if isinstance(rated, Unpriced):
        return f"it has no price: {rated.reason}: {rated.detail}"
    if told != rated[:3]:
        return f"its usage gives {_words(*rated[:3])}, and it says {_words(*told)}"
    return None if rated.stamp == content else f"it is rated with {_unlike(rated, stamped)}"


def _unlike(rated: Rated, stamped: Stamped) -> str:
    pairs = zip(stamped.content._fields, stamped.content, rated.stamp, strict=True)
    return ", ".join(f"{name} {now}, not {then}" for name, then, now in pairs if then != now)


def _words(price: object, cost: object, currency: object) -> str:
    return f"{price} CHF, and no provider cost" if cost is None else f"{price} CHF, provider cost {cost} {currency}"


def wrong_leaves(connection: Connection, since: str) -> Iterator[Breach | Unknown]:
    """Debits recorded from `since` on whose leaves aren't those that their dialect reads off their usage object.

    What another version of the dialect may have read is unknown: a stamp tells the version, a debit without one that differs could be of
    any before the present one.
    """
    for page in debits_with_usage(connection, since):
        for debit in page:
            if (found := _leaves_fault(debit)) is not None:
                yield found


def _leaves_fault(debit: PricedDebit) -> Breach | Unknown | None:
    dialect = None if debit.event.call is None else debit.event.call.usage_dialect
    if dialect is None:
        return _breach(debit, "it has a usage object, and no dialect")
    version = _VERSIONS.get(dialect)
    if version is None or debit.dialect_version not in (None, version):
        return Unknown(_subject(debit), f"it was read by version {debit.dialect_version} of dialect {shown(dialect)}")
    reading = read_event(debit.event)
    found = None if reading is None or isinstance(reading, Unpriced) else leaves_text(reading)
    if found == debit.leaves:
        return None
    if debit.dialect_version is None and version > 1:
        return Unknown(_subject(debit), f"an earlier version of dialect {dialect} may have read it")
    why = f" ({reading.detail})" if isinstance(reading, Unpriced) else ""
    return _breach(debit, f"it has leaves {debit.leaves or 'none'}, and its usage object says {found or 'none'}{why}")


def changed_prices(connection: Connection) -> Iterator[Breach]:
    """Rows of the price book, and stamps, that say something else than what they are known by."""
    for row, known_by in kept_rows(connection):
        if content_hash(row) != known_by:
            yield Breach(f"row {row.id} of the price book", f"it was changed; it says {described(row)}")
    for stamp_id, stamp, known_by in kept_stamps(connection):
        if known_by != (GIVEN_HASH if stamp.kind is StampKind.GIVEN else stamp_hash(stamp)):
            yield Breach(f"stamp {stamp_id}", "it was changed")


def _subject(debit: PricedDebit) -> str:
    return f"transaction {debit.id} of mandate {debit.event.mandate_id}"


def _breach(debit: PricedDebit, detail: str) -> Breach:
    return Breach(_subject(debit), detail)
