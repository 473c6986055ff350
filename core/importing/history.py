"""The past entries of an import: history, which shows what happened and moves nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Generic, TypeVar

from core.asking.sql import Operation
from core.errors import RequestRefused
from core.events.model import UsageEvent
from core.events.payload import PAYLOAD_HASHES, payload_hash
from core.importing.files import BookFile
from core.importing.model import PastEntry, read_entry
from core.importing.sql.accounts import find_holders
from core.importing.sql.entries import IMPORT, claim_operations, claim_past_events, find_entries, find_past_events
from core.importing.work import Importing
from core.ledger.entry import Entry
from core.ledger.kinds import kind_of
from core.ledger.post import post
from core.ledger.sql.batches import Batch, begin_batch, write_batch
from core.ledger.sql.event_keys import StoredHash
from core.ledger.sql.transactions import UsageDebit, insert_usage, next_transaction_ids
from core.printable import shown
from core.record_files import Fields
from core.recording.delivery import CLOCK_SKEW
from core.settings.model import BillingSettings

HISTORY = "history"
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
Past = TypeVar("Past", UsageEvent, PastEntry)
Key = tuple[str, str]  # mandate id, and event id or the entry's key


@dataclass(frozen=True, slots=True)
class _Line(Generic[Past]):
    """An entry with where it stands, the id that it gets if it is new, and the account that it is about."""

    number: int
    id: int
    entry: Past
    account_id: int
    settings: BillingSettings


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some lines by what identifies their entries: usage by its event, the rest by the entry."""

    usage: dict[Key, _Line[UsageEvent]]
    others: dict[Key, _Line[PastEntry]]


def import_history(work: Importing, file: BookFile) -> None:
    """Every entry of the file is in the books afterwards, as it was, with no balance account.

    Usage claims its event's key, so that a later delivery of the event is a duplicate. A line is wrong whose account doesn't
    exist, whose key was claimed with other content, or whose event came through a queue, and so moved a balance here.
    """
    for lines in work.chunks(file):
        chunk = _read(work, file, lines)
        batch = begin_batch(work.connection)
        written = _write_usage(work, file, chunk.usage, batch) if chunk.usage else []
        written += _write_others(work, file, chunk.others, batch) if chunk.others else []
        if written:
            work.batch_ids.append(batch.id)
            write_batch(work.connection, batch, worker=work.worker, kind=IMPORT, transaction_ids=written)
        work.transaction_count.given += len(chunk.usage) + len(chunk.others)
        work.transaction_count.new += len(written)


def _read(work: Importing, file: BookFile, lines: list[tuple[int, Fields]]) -> _Chunk:
    """The entries whose lines are right and whose accounts exist."""
    entries = list(_entries(work, file, lines))
    settings = work.settings_of(entry.mandate_id for _, entry in entries)
    accounts = find_holders(work.connection, [(entry.mandate_id, entry.user_id) for _, entry in entries])
    chunk = _Chunk({}, {})
    for transaction_id, (number, entry) in zip(next_transaction_ids(work.connection, len(entries)), entries, strict=True):
        account_id = accounts.get((entry.mandate_id, entry.user_id))
        if account_id is None:
            work.wrong(file, number, _without_account(entry))
            continue
        own = settings[entry.mandate_id]
        if isinstance(entry, UsageEvent):
            first = chunk.usage.setdefault((entry.mandate_id, entry.event_id), _Line(number, transaction_id, entry, account_id, own)).number
        else:
            first = chunk.others.setdefault((entry.mandate_id, entry.key), _Line(number, transaction_id, entry, account_id, own)).number
        if first != number:
            work.wrong(file, number, f"{_named(entry)} stands in line {first} already")
    return chunk


def _entries(work: Importing, file: BookFile, lines: list[tuple[int, Fields]]) -> Iterator[tuple[int, UsageEvent | PastEntry]]:
    latest = work.begun_at + CLOCK_SKEW
    for number, fields in lines:
        try:
            entry = read_entry(fields)
        except RequestRefused as refused:
            work.wrong(file, number, str(refused))
            continue
        if _EARLIEST <= entry.occurred_at <= latest:
            yield number, entry
        else:
            work.wrong(file, number, f"occurred_at: '{entry.occurred_at.isoformat()}' is not between 1970 and now")


def _write_usage(work: Importing, file: BookFile, lines: dict[Key, _Line[UsageEvent]], batch: Batch) -> list[int]:
    """Writes the usage that is new, and returns its transaction ids."""
    for (mandate_id, _), line in lines.items():
        work.totals[mandate_id].transactions.add(1, -_price(line.entry))
    hashes = [payload_hash(line.entry) for line in lines.values()]
    won = claim_past_events(work.connection, list(lines), hashes, [line.id for line in lines.values()])
    if len(won) < len(lines):
        _compare(work, file, {key: line for key, line in lines.items() if key not in won})
    if won:
        debits = [UsageDebit(i, own.entry, own.account_id, None, own.settings, _price(own.entry)) for key, i in won.items() for own in [lines[key]]]
        insert_usage(work.connection, debits, batch.id)
    return list(won.values())


def _price(event: UsageEvent) -> Decimal:
    assert event.price_chf is not None  # history has version 1 of the contract, which requires it
    return event.price_chf


def _compare(work: Importing, file: BookFile, lines: dict[Key, _Line[UsageEvent]]) -> None:
    """Usage whose event the books know must be the same there, and history as well."""
    found = find_past_events(work.connection, list(lines))
    earlier: dict[int, _Line[UsageEvent]] = {}
    for key, line in lines.items():
        stored = found[key]
        if stored.recorded_at == work.begun_at:
            work.wrong(file, line.number, f"{_named(line.entry)} stands in an earlier line")
        elif _same(line.entry, stored) and stored.transaction_id is not None:
            earlier[stored.transaction_id] = line
        else:
            work.wrong(file, line.number, f"{_named(line.entry)} is in the books with other content, as transaction {stored.transaction_id}")
    times = {stored.transaction_id: stored.recorded_at for stored in found.values()}
    standing = find_entries(work.connection, [(i, at) for i in earlier if (at := times[i]) is not None])
    for transaction_id, line in earlier.items():
        entry = standing.get(transaction_id)
        if entry is not None and entry.is_history:
            work.totals[line.entry.mandate_id].transactions_in_books.add(1, entry.amount)
        else:
            advice = "take it out of the file and of the opening balance"
            work.wrong(file, line.number, f"{_named(line.entry)} was delivered to these books, and is transaction {transaction_id}: {advice}")


def _same(event: UsageEvent, stored: StoredHash) -> bool:
    return stored.hash_version in PAYLOAD_HASHES and payload_hash(event, stored.hash_version) == stored.payload_hash


def _write_others(work: Importing, file: BookFile, lines: dict[Key, _Line[PastEntry]], batch: Batch) -> list[int]:
    """Writes what is new of the rest, and returns its transaction ids."""
    operations = {key: Operation(key[0], HISTORY, key[1], line.entry.content()) for key, line in lines.items()}
    claimed = claim_operations(work.connection, list(operations.values()), [line.id for line in lines.values()])
    entries, earlier = [], []
    for key, line in lines.items():
        claim = claimed[key]
        work.totals[key[0]].transactions.add(1, line.entry.delta)
        if claim.is_new:
            entries.append(_entry(line))
        elif claim.recorded_at == work.begun_at:
            work.wrong(file, line.number, f"{_named(line.entry)} stands in an earlier line")
        elif claim.content_hash != operations[key].content_hash:
            work.wrong(file, line.number, f"{_named(line.entry)} is in the books with other content, as transaction {claim.transaction_id}")
        else:
            earlier.append((key[0], claim))
    written = post(work.connection, entries, {}, batch.id).transaction_ids if entries else []
    standing = find_entries(work.connection, [(claim.transaction_id, claim.recorded_at) for _, claim in earlier]) if earlier else {}
    for mandate_id, claim in earlier:
        if claim.transaction_id in standing:
            work.totals[mandate_id].transactions_in_books.add(1, standing[claim.transaction_id].amount)
    return written


def _entry(line: _Line[PastEntry]) -> Entry:
    old = line.entry
    return Entry(
        line.settings,
        kind_of(old.transaction_type, old.reference_type),
        line.account_id,
        None,
        old.amount,
        old.description,
        old.created_by_user_id,
        old.key,
        occurred_at=old.occurred_at,
        id=line.id,
    )


def _named(entry: UsageEvent | PastEntry) -> str:
    return f"event_id: {shown(entry.event_id)}" if isinstance(entry, UsageEvent) else f"id: {shown(entry.id)}"


def _without_account(entry: UsageEvent | PastEntry) -> str:
    absent = "is neither in the accounts to be imported nor in the books"
    if entry.user_id is None:
        return f"user_id: is missing, and the pool of mandate {shown(entry.mandate_id)} {absent}"
    return f"user_id: the account of {shown(entry.user_id)} in mandate {shown(entry.mandate_id)} {absent}"
