"""Replaying dead letters: what could not be recorded is tried once more, in the very same way."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from core.asking.rights import Actor, require_root
from core.config import Configuration
from core.database.database import Database, savepoint
from core.database.server import server_time
from core.dead_letters.reopened import LETTERS_MAX, OpenedLetter, open_letters
from core.dead_letters.sql.status import (
    Choice,
    KeptLetter,
    count_letters,
    hold_decisions,
    lock_letters,
    refuse_again,
    resolve_letters,
    take_letters,
    unknown_letters,
)
from core.errors import BadData, NotFound
from core.ledger.opening import KnownAccounts
from core.ledger.sql.batches import BatchKind
from core.recording.batch import Settle, dead_letter_of, settle_batch
from core.recording.delivery import Delivery
from core.recording.settle import settle, settle_isolating
from core.recording.work import Settled, Work


@dataclass(slots=True)
class Replay:
    """What a replay came to: letters, and the outcomes of the events in them."""

    letters: int = 0  # that were open and meant
    replayed: int = 0
    still_open: int = 0
    not_whole: int = 0  # of which only the first 256 KiB are kept, so that they can't be replayed
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)  # why events were refused again

    @property
    def done(self) -> int:
        """How many letters have been looked at so far."""
        return self.replayed + self.still_open + self.not_whole


@dataclass(frozen=True, slots=True)
class Replaying:
    """How letters are replayed: by whom, under which rules, and whether anything is kept."""

    config: Configuration
    worker: str
    by: str
    accept_late: bool = False
    dry_run: bool = False
    clock: Callable[[], datetime] | None = None
    known_accounts: KnownAccounts = field(default_factory=KnownAccounts)


def replay_dead_letters(
    database: Database, actor: Actor, choice: Choice, how: Replaying, progress: Callable[[Replay], None] = lambda _: None
) -> Replay:
    """Records the events of every open letter that is meant, through the very same recording as intake, up to 200 letters a transaction.

    A letter whose events now have an outcome becomes REPLAYED in that transaction; what is refused again stays open, with the
    new reason and one attempt more. Running it twice, or at once with another or with intake, is harmless; after a crash
    it can be run again. With `dry_run` all of it happens and is taken back, in transactions of their own.

    Raises:
        NotFound: a letter that is named by id does not exist.
        StorageUnavailable: the database can't answer now; what was committed stays, call again.
    """
    require_root(actor, "replay dead letters")
    with database.snapshot() as connection:
        if unknown := unknown_letters(connection, choice.ids):
            raise NotFound(f"there is no dead letter {unknown[0]}")
        letters, last_id = count_letters(connection, choice)
    total, after_id = Replay(letters), 0
    while True:
        try:
            part, after_id = _replay_part(settle, database, choice, how, after_id, last_id)
        except BadData:
            part, after_id = _replay_part(settle_isolating, database, choice, how, after_id, last_id)
        if part.done == 0:
            return total
        total.replayed += part.replayed
        total.still_open += part.still_open
        total.not_whole += part.not_whole
        total.outcomes += part.outcomes
        total.reasons += part.reasons
        progress(total)


class _TakenBack(Exception):
    """The dry run of a part is over."""


def _replay_part(settle: Settle, database: Database, choice: Choice, how: Replaying, after_id: int, last_id: int) -> tuple[Replay, int]:
    """Replays the next letters after `after_id` in one transaction, and tells which was the last."""
    part = Replay()
    with database.transaction() as connection:
        hold_decisions(connection)
        taken = take_letters(connection, choice, after_id, last_id, LETTERS_MAX)
        whole = [letter for letter in taken if letter.is_whole]
        opened = open_letters(whole)
        looked_at = _looked_at(taken, whole, opened)
        part.not_whole = sum(not letter.is_whole for letter in looked_at)
        learned = {}
        if opened:
            with suppress(_TakenBack), savepoint(connection):
                learned = _record(connection, settle, opened, how, part).accounts
                if how.dry_run:
                    raise _TakenBack
    if not how.dry_run:
        how.known_accounts.add(learned)
    return part, looked_at[-1].id if looked_at else after_id


def _looked_at(taken: list[KeptLetter], whole: list[KeptLetter], opened: list[OpenedLetter]) -> list[KeptLetter]:
    """Those of `taken` that come before the first whole one that this transaction has no room for."""
    if len(opened) == len(whole):
        return taken
    return taken[: taken.index(whole[len(opened)])]


def _record(connection: Connection, settle: Settle, opened: list[OpenedLetter], how: Replaying, part: Replay) -> Settled:
    now = how.clock() if how.clock else server_time(connection)
    judged = [one.judged(now, how.config.lateness_days, accept_late=how.accept_late) for one in opened]
    deliveries = [delivery for of_letter in judged for delivery in of_letter]

    def settle_and_lock(work: Work, chosen: list[Delivery]) -> Settled:
        settled = settle(work, chosen)
        lock_letters(connection, [one.letter.id for one in opened])
        return settled

    settled = settle_batch(
        connection,
        deliveries,
        settle_and_lock,
        config=how.config,
        known_accounts=how.known_accounts,
        worker=how.worker,
        kind=BatchKind.REPLAY,
        letters=len(opened),
    )
    refused = [one.refused(of_letter) for one, of_letter in zip(opened, judged, strict=True)]
    refuse_again(connection, [(one.letter.id, dead_letter_of(d)) for one, d in zip(opened, refused, strict=True) if d is not None])
    resolved = [one.resolution(of_letter) for one, of_letter, d in zip(opened, judged, refused, strict=True) if d is None]
    resolve_letters(connection, resolved, how.by)
    part.replayed, part.still_open = len(resolved), len(opened) - len(resolved)
    part.outcomes.update(d.outcome.value for d in deliveries if d.outcome is not None)
    part.reasons.update(d.rejection.reason.value for d in deliveries if d.rejection is not None)
    return settled
