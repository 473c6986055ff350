"""The books and the model in the same words, so that they can be compared whole."""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from core.database.database import Database
from lab.agreement.usage_objects import written
from lab.oracle.books import Books
from lab.oracle.entries import Entry, Event, Stood

_AMENDED = "DEBIT AMENDMENT"
_TOKENS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
_ACCOUNTS = """
    SELECT mandate_id, coalesce(user_id, '') AS holder, balance, warning_threshold, grant_due, enabled
      FROM accounts WHERE mandate_id = ANY(:mandates) ORDER BY id
"""
_LEDGER = """
    SELECT t.mandate_id, t.transaction_type || ' ' || t.reference_type AS kind, coalesce(a.user_id, '') AS about,
           CASE WHEN t.balance_account_id IS NOT NULL THEN coalesce(b.user_id, '') END AS payer, t.amount, t.settings_version, t.event_id,
           t.occurred_at, t.local_date, o.transaction_type || ' ' || o.reference_type AS of_kind, o.event_id AS of_event, o.amount AS of_amount,
           t.price_given, t.price_computed, t.provider_cost, t.provider_currency, t.leaves, t.unpriced, h.time_zone
      FROM transactions t JOIN accounts a ON a.id = t.account_id LEFT JOIN accounts b ON b.id = t.balance_account_id
      JOIN billing_settings_history h ON h.mandate_id = t.mandate_id AND h.version = t.settings_version
      LEFT JOIN transactions o ON o.id = t.reverses_id WHERE t.mandate_id = ANY(:mandates)
"""
_STATISTICS = """
    SELECT s.*, a.user_id FROM usage_statistics s JOIN accounts a ON a.id = s.account_id AND a.mandate_id = s.mandate_id
     WHERE s.mandate_id = ANY(:mandates)
"""
_MEASURES = """
    SELECT m.*, a.user_id FROM usage_measures m JOIN accounts a ON a.id = m.account_id AND a.mandate_id = m.mandate_id
     WHERE m.mandate_id = ANY(:mandates)
"""
_SETTINGS = """
    SELECT h.mandate_id, h.version, h.billing_model, h.default_user_credit, h.warning_threshold_percent, h.time_zone, s.version AS present
      FROM billing_settings_history h LEFT JOIN billing_settings s
        ON (s.mandate_id, s.version, s.billing_model, s.default_user_credit, s.warning_threshold_percent, s.time_zone)
         = (h.mandate_id, h.version, h.billing_model, h.default_user_credit, h.warning_threshold_percent, h.time_zone)
     WHERE h.mandate_id = ANY(:mandates) ORDER BY h.mandate_id, h.version
"""
_KEYS = """
    SELECT k.mandate_id, k.event_id, t.event_id AS of_event, t.reference_type FROM event_keys k
      LEFT JOIN transactions t ON t.id = k.transaction_id AND t.recorded_at = k.recorded_at WHERE k.mandate_id = ANY(:mandates)
"""
_PARKED = "SELECT mandate_id, event_id, CASE WHEN priced_under > 0 THEN reason END AS reason FROM parked_events WHERE mandate_id = ANY(:mandates)"
_DEAD = "SELECT body, attempts FROM dead_letters WHERE mandate_id = ANY(:mandates)"
_PENDING = "SELECT count(*)::int AS n FROM rollup_pending"


def body_of(event: Event) -> bytes:
    """The event as its producer sends it, the same bytes each time."""
    provider, model, feature = event.names
    fields: dict[str, object] = {
        "event_id": event.event_id,
        "mandate_id": event.mandate,
        "user_id": event.user,
        "price_chf": None if event.price is None else f"{event.price:f}",
        "occurred_at": event.at.astimezone(UTC).isoformat(),
        "provider": provider,
        "model": model,
        "feature_code": feature,
        "usage": dict(zip(_TOKENS, event.tokens, strict=True)),
    }
    if (call := event.call) is not None:
        fields |= {"operation_id": call.operation, "outcome": call.outcome, "service_tier": call.tier}
        if call.dialect is not None and call.leaves is not None:
            fields |= {"usage_dialect": call.dialect, "usage": written(call.dialect, dict(call.leaves), contradicts=call.contradicts)}
    if event.hold is not None:
        fields |= {"hold_key": event.hold[0], "hold_final": event.hold[1]}
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def told_by_books(database: Database, mandates: Iterable[str]) -> dict[str, Any]:
    """Everything that the database has of these mandates, at one moment."""
    with database.snapshot() as connection:

        def read(sql: str) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.execute(text(sql), {"mandates": list(mandates)}).mappings()]

        return {
            "accounts": _accounts(read(_ACCOUNTS), mandates),
            "settings": _settings(read(_SETTINGS), mandates),
            "ledger": Counter(tuple(_of_ledger(row).values()) for row in read(_LEDGER)),
            "statistics": dict(map(_of_statistics, read(_STATISTICS))),
            "measures": {(_group(row), row["measure"], row["currency"]): row["total"] for row in read(_MEASURES)},
            "keys": {((row["mandate_id"], row["event_id"]), row["of_event"], row["reference_type"]) for row in read(_KEYS)},
            "parked": {((row["mandate_id"], row["event_id"]), row["reason"]) for row in read(_PARKED)},
            "dead": {bytes(row["body"]): row["attempts"] for row in read(_DEAD)},
            "pending": read(_PENDING)[0]["n"],
        }


def _accounts(found: Iterable[dict[str, Any]], mandates: Iterable[str]) -> dict[str, list[tuple[Any, ...]]]:
    accounts: dict[str, list[tuple[Any, ...]]] = {mandate: [] for mandate in mandates}
    for row in found:
        accounts[row["mandate_id"]].append((row["holder"], row["balance"], row["warning_threshold"], row["grant_due"], row["enabled"]))
    return accounts


def _settings(found: Iterable[dict[str, Any]], mandates: Iterable[str]) -> dict[str, list[tuple[Any, ...]]]:
    settings: dict[str, list[tuple[Any, ...]]] = {mandate: [] for mandate in mandates}
    for row in found:
        rules = (row["billing_model"], row["default_user_credit"], row["warning_threshold_percent"], row["time_zone"])
        settings[row["mandate_id"]].append((row["version"], *rules, row["present"] is not None))
    return settings


def _group(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["mandate_id"], row["user_id"], row["period_type"], row["period_start"], (row["provider"], row["model"], row["feature_code"])


def _of_statistics(row: dict[str, Any]) -> tuple[Any, Any]:
    return _group(row), (row["event_count"], row["cost"], row["billed_cost"], row["refunded"], tuple(row[name] for name in _TOKENS))


def _of_ledger(row: dict[str, Any]) -> dict[str, Any]:
    """Of an entry that happened when it was written neither moment nor day can be told beforehand, but the day must be that of the moment.

    What takes the place of a debit keeps that one's day, which the model tells.
    """
    row["day_is_right"] = row["local_date"] == row["occurred_at"].astimezone(ZoneInfo(row.pop("time_zone"))).date() or row["kind"] == _AMENDED
    row["leaves"] = frozenset() if row["leaves"] is None else frozenset(row["leaves"].split(","))
    if row["event_id"] is None:
        row["occurred_at"] = row["local_date"] = None
    return row


def told_by_model(model: Books, mandates: Iterable[str]) -> dict[str, Any]:
    """The same of the model."""
    present = {mandate: model.mandates[mandate] for mandate in mandates if mandate in model.mandates}
    accounts: dict[str, list[tuple[Any, ...]]] = {mandate: [] for mandate in mandates}
    settings: dict[str, list[tuple[Any, ...]]] = {mandate: [] for mandate in mandates}
    for mandate, own in present.items():
        accounts[mandate] = [(user, a.balance, a.threshold, a.grant_due, a.enabled) for user, a in own.accounts.items()]
        last = len(own.versions)
        settings[mandate] = [(n, v.model, v.credit, v.percent, v.zone, n == last) for n, v in enumerate(own.versions, 1)]
    return {
        "accounts": accounts,
        "settings": settings,
        "ledger": Counter(_entry(mandate, entry) for mandate, own in present.items() for entry in own.ledger),
        "statistics": model.statistics,
        "measures": model.measures,
        "keys": {(key, key[1], "WORKFLOW") for key in model.keys},
        "parked": {(key, model.reasons.get(key)) for key in model.parked},
        "dead": {body_of(event): attempts for event, attempts in model.dead.items()},
        "pending": len(model.pending),
    }


def _entry(mandate: str, entry: Entry) -> tuple[Any, ...]:
    of: tuple[str | None, str | None, Decimal | None] = (None, None, None)
    if entry.of is not None:
        of = (entry.of.kind, entry.of.event.event_id if entry.of.event else None, entry.of.amount)
    event_id, at = (entry.event.event_id, entry.event.at) if entry.event else (None, None)
    stood = Stood() if entry.bill is None else entry.bill.stood
    beside = (stood.given, stood.computed, stood.cost, stood.currency, frozenset(f"{leaf}={count}" for leaf, count in stood.leaves), stood.unpriced)
    return (mandate, entry.kind, entry.about, entry.payer, entry.amount, entry.version, event_id, at, entry.day, *of, *beside, True)
