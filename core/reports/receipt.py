"""The receipt of an entry: read off its stamp and the price book, every step from the usage object to the amount."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping

from core.dialects.leaves import leaves_of
from core.events.usage_object import raw_usage_as_kept
from core.ledger.read_transactions import Transaction
from core.prices.model import FxRate, SaleRule, StampContent, StampKind, Uncharged
from core.prices.receipt import Amounts, plain, receipt
from core.prices.sql import dated
from core.prices.sql.versions import rows_by_id
from core.reports.sql import explanations as sql

_OF_EVENT = ("mandate_id", "event_id", "occurred_at", "provider", "model")


def receipt_of(connection: Connection, entry: Transaction, paid: Mapping[str, object], amendments: Sequence[Any]) -> dict[str, Any] | None:
    """The receipt of the entry, which suffices to compute its amount again (docs/examples/recompute_receipt.py); None without a stamp.

    Args:
        connection: of the moment that is read.
        entry: a debit of usage; any other has no stamp.
        paid: whose balance paid and how it moved, which hold the event named, which caps it counts in.
        amendments: those of the event, in their order.
    """
    if entry.stamp_id is None:
        return None
    found = connection.execute(sql.PRICED, {"transaction_id": entry.id, "recorded_at": entry.recorded_at}).mappings().one()
    stamp = _stamp(found, entry)
    fx, rule, uncharged = _terms(connection, stamp)
    made = receipt(
        event={**{name: getattr(entry, name) for name in _OF_EVENT}, **(entry.call or {})},
        usage=None if found["shape"] is None else raw_usage_as_kept(found["shape"], found["usage_values"]).decoded(),
        leaves=leaves_of(found["leaves"]),
        stamp=stamp,
        amounts=Amounts(entry.amount, entry.price_given, entry.price_computed, entry.provider_cost, entry.provider_currency),
        rows=rows_by_id(connection, stamp.rows) if stamp.rows else (),
        fx=fx,
        fx_legs=json.loads(found["legs"], parse_float=Decimal) if found["legs"] else (),
        rule=rule,
        uncharged=uncharged,
        unpriced=entry.unpriced,
    )
    return {**made, **plain(paid), "amendments": plain([asdict(step) for step in amendments])}


def _stamp(found: RowMapping, entry: Transaction) -> StampContent:
    stamp = StampContent(**{**{name: found[name] for name in StampContent._fields}, "kind": StampKind(found["kind"]), "rows": tuple(found["rows"])})
    if stamp.kind is StampKind.GIVEN and entry.amount != entry.price_given:  # amended to a price that somebody else said
        return stamp._replace(kind=StampKind.OPERATOR)
    return stamp


def _terms(connection: Connection, stamp: StampContent) -> tuple[FxRate | None, SaleRule | None, Uncharged | None]:
    """What the stamp names beside its rows."""
    fx = dated.fx_by_id(connection, [stamp.fx_id]) if stamp.fx_id is not None else []
    rules = dated.rules_by_id(connection, [stamp.rule_id]) if stamp.rule_id is not None else []
    policies = dated.load_uncharged(connection) if stamp.uncharged_id is not None else []
    uncharged = next((policy for policy in policies if policy.id == stamp.uncharged_id), None)
    return next(iter(fx), None), next(iter(rules), None), uncharged
