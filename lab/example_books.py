"""Books to look at: four weeks of the demo's mandates, made by the product itself without brokers and workers."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from core.asking.rights import ROOT
from core.caps.set_cap import NewCap, set_cap
from core.config import Configuration
from core.database.database import Database
from core.events.parsing import RawEvent
from core.holds.authorise import authorise
from core.holds.question import HoldQuestion
from core.ledger.opening import KnownAccounts
from core.ledger.read_accounts import holder_account
from core.ledger.read_transactions import transactions_of_mandate
from core.movements.adjust import Adjustment, adjust
from core.movements.refund import Refund, refund
from core.movements.set_credit_limit import CreditLimit, set_credit_limit
from core.movements.top_up import TopUp, top_up
from core.recording.record_usage import record_usage
from core.statistics.roll_up import roll_up_usage
from core.verifying.reconcile import reconcile
from lab.demo.directory import BROOK, MANDATES, USERS, open_books
from lab.demo.prices import open_prices
from lab.demo.traffic import Call, Event, event_of, synthetic_day

DAYS = 28
BY = "finance@tollbook"
_BATCH = 500
_TOKENS_TIMES = 25  # long contexts: amounts that one sees
_BUSY = (1.0, 0.96, 1.1, 0.9, 0.78, 0.22, 0.14)  # share of the calls that happen, Monday to Sunday


def fill(database: Database, config: Configuration, now: datetime) -> None:
    """Fills empty books: usage of the four weeks before now, payments, corrections, holds, caps, letters and what waits."""
    open_books(database, config)
    open_prices(database, now - timedelta(days=DAYS), now)
    for mandate in MANDATES[1:3]:
        _move_pool(database, mandate.id, "25", "invoice 2026-117")
    _caps(database)
    known = KnownAccounts()
    _record(database, config, known, _usage(now))
    _move_pool(database, "harbour", "40", "invoice 2026-131")
    pool = holder_account(database, ROOT, "harbour", None).id
    adjust(database, ROOT, Adjustment.read({**_asked("harbour", "ticket 88"), "account_id": pool, "amount": "-2.5", "reason": "Rebate paid twice"}))
    sakura = holder_account(database, ROOT, "sakura", None).id
    set_credit_limit(database, ROOT, CreditLimit.read({**_asked("sakura", "contract 9"), "account_id": sakura, "credit_limit": "30"}))
    newest = transactions_of_mandate(database, ROOT, "harbour")
    given_back = max((one for one in newest if one.event_id), key=lambda one: one.amount)
    refund(database, ROOT, Refund.read({**_asked("harbour", "ticket 91"), "transaction_id": given_back.id, "reason": "Answer was cut off"}))
    _record(database, config, known, _what_fails(now))
    for number in range(3):
        asked = {"mandate_id": BROOK.id, "user_id": USERS[BROOK.id][number], "amount": "0.25", "key": f"call-{number}"}
        authorise(database, ROOT, HoldQuestion.read(asked), config=config)
    while not roll_up_usage(database).complete:
        pass
    reconcile(database, worker="lab", at_once=True)


def _asked(mandate_id: str, key: str) -> dict[str, Any]:
    return {"mandate_id": mandate_id, "key": key, "by": BY}


def _move_pool(database: Database, mandate_id: str, amount: str, key: str) -> None:
    top_up(database, ROOT, TopUp.read({**_asked(mandate_id, key), "amount": amount, "description": "Bank transfer"}))


def _caps(database: Database) -> None:
    asked: list[dict[str, object]] = [
        {"mandate_id": "harbour", "period": "MONTH", "limit_chf": "60"},
        {"mandate_id": "sakura", "period": "MONTH", "limit_chf": "40", "action": "ALERT"},
        {"mandate_id": "alpenblick", "period": "TOTAL", "limit_chf": "80", "dimension": "model", "value": "claude-sonnet-5-5"},
    ]
    for one in asked:
        set_cap(database, ROOT, NewCap.read({**one, "by": BY}))


def _usage(now: datetime) -> Iterator[Event]:
    """The demo's calls, spread over four weeks: fewer at weekends."""
    for call in synthetic_day(now):
        at = call.at - timedelta(days=call.number % DAYS)
        if (call.number // DAYS) % 100 >= 100 * _BUSY[at.weekday()]:
            continue
        tokens = min(call.context_tokens * _TOKENS_TIMES, 180_000)
        yield event_of(replace(call, at=at, context_tokens=tokens, generated_tokens=min(call.generated_tokens * _TOKENS_TIMES, 8_000)))


def _what_fails(now: datetime) -> Iterator[Event | bytes]:
    """Letters, and an event whose mandate nobody knows yet."""
    whole = event_of(Call(3, now, 900, 90)) | {"event_id": "late-1"}
    yield b"{no json"
    yield {**whole, "price_chf": "-1"}
    yield {**whole, "event_id": "late-2", "price_chf": "NaN"}
    for number in range(4):
        yield {**whole, "event_id": f"new-{number}", "mandate_id": "nordlicht", "user_id": "eva@nordlicht", "price_chf": "0.02"}


def _record(database: Database, config: Configuration, known: KnownAccounts, events: Iterable[Event | bytes]) -> None:
    for batch in _in_batches(events):
        bodies = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in batch]
        record_usage(database, [RawEvent(body, "lab") for body in bodies], config=config, known_accounts=known, worker="lab")


def _in_batches(events: Iterable[Event | bytes]) -> Iterator[Sequence[Event | bytes]]:
    batch: list[Event | bytes] = []
    for one in events:
        batch.append(one)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch
