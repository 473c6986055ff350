"""Authorising holds: an amount kept for a call before it is made, in full or not at all, whoever else asks at the same time."""

from collections.abc import Sequence
from datetime import datetime
from time import perf_counter

from core.asking.rights import Actor, require_root
from core.billing import BillingModel
from core.caps.counters import caps_of
from core.caps.free import is_free
from core.caps.judge import Counters, lock_counters
from core.caps.model import Caps, Spending
from core.checks.model import Refusal
from core.config import Configuration
from core.database.database import Database
from core.errors import RequestRefused, StorageUnavailable, TollbookError
from core.holds.answer import HoldAnswer, answer_of
from core.holds.estimate import estimated
from core.holds.judge import Asked, judge
from core.holds.question import HoldQuestion
from core.holds.sql import authorise as sql
from core.ledger.meet_mandates import meet, settings_of
from core.ledger.open_accounts import find_accounts_of, open_accounts_of
from core.ledger.opening import KnownAccounts, OpeningAlone
from core.ledger.sql.accounts import Holder
from core.metrics import HOLD_SECONDS, HOLDS
from core.prices.load import prices_of
from core.prices.model import Unpriced
from core.settings.model import BillingSettings

Answers = list[HoldAnswer | RequestRefused]


def authorise(
    database: Database,
    actor: Actor,
    asked: HoldQuestion,
    *,
    config: Configuration,
    known_accounts: KnownAccounts | None = None,
    clock: datetime | None = None,
) -> HoldAnswer:
    """Keeps what is asked for, of the balance of whoever pays, if it is there: as `authorise_all` of this one question.

    Raises:
        Conflict: the key was used for something else.
    """
    (answer,) = authorise_all(database, actor, [asked], config=config, known_accounts=known_accounts, clock=clock)
    if isinstance(answer, TollbookError):
        raise answer
    return answer


def authorise_all(
    database: Database,
    actor: Actor,
    questions: Sequence[HoldQuestion],
    *,
    config: Configuration,
    known_accounts: KnownAccounts | None = None,
    clock: datetime | None = None,
) -> Answers:
    """Answers each question, one after the other, in one transaction: in full or not at all, and refusals are not kept.

    Concurrent holds of an account together never exceed what it has available, where it blocks. As a check does, it first opens settings,
    account and grant that are missing; a mandate that may have none is allowed as UNLIMITED, and nothing is kept. The same question again
    under its key is answered with what became of the hold, and changes nothing, so a replay is safe.

    Args:
        database: the books.
        actor: root.
        questions: no two under one key of a mandate.
        config: under which rules accounts are opened.
        known_accounts: account ids met before by this process; shared by its threads.
        clock: the present time (aware); None: the database's own.

    Returns:
        One answer for each question, in their order: a Conflict where its key was used for something else.
    """
    require_root(actor, "authorise a hold")
    started = perf_counter()
    known = known_accounts or KnownAccounts()
    with database.transaction() as connection:
        authorising = _Authorising(OpeningAlone(connection, config, known), questions, clock)
        answers = authorising.answers()
    known.add(authorising.learned)
    HOLD_SECONDS.observe(perf_counter() - started)
    for answer in answers:
        HOLDS.labels(_label(answer)).inc()
    return answers


def _label(answer: HoldAnswer | RequestRefused) -> str:
    if isinstance(answer, RequestRefused):
        return "conflict"
    return "allowed" if answer.allowed else answer.reason or str(answer.state)


class _Authorising:
    """One transaction that authorises, from its first statement to its last. The order of its steps is that of all locks of the books."""

    def __init__(self, opening: OpeningAlone, questions: Sequence[HoldQuestion], clock: datetime | None) -> None:
        keys = {(question.mandate_id, question.key) for question in questions}
        assert len(keys) == len(questions), "no two questions of one transaction have the same key"
        self._opening, self._connection, self._clock = opening, opening.connection, clock
        self._questions = questions
        self.learned: dict[Holder, int] = {}

    def answers(self) -> Answers:
        """Writes what is granted, and answers each question."""
        asked = self._met()
        new = [one.new_hold() for one in asked if one.unpriced is None and one.settings is not None]
        written = sql.write_holds(self._connection, new, self._clock) if new else {}
        for one in asked:
            one.written = written.get(one.key)
        before = {one.key for one in asked if one.written is None}
        found = sql.find_holds(self._connection, before, self._clock) if before else {}
        standings = self._standings(asked)
        caps = self._caps(asked)
        judged = [one for one in asked if one.written is not None]
        counters = self._counters(judged, caps)
        held = judge(judged, standings.accounts, caps, counters, self._is_free)
        refused = [one.key for one in judged if one.reason is not None]
        if refused:
            sql.take_back(self._connection, refused)
        sql.add_held(self._connection, held)
        if counters is not None:
            counters.save()
        accounts, now = standings.accounts, standings.now
        return [answer_of(one, found.get(one.key), accounts, caps.get(one.question.mandate_id), now) for one in asked]

    def _met(self) -> list[Asked]:
        """The questions with settings, accounts (opened where they may be) and prices."""
        mandates = meet(self._opening, {question.mandate_id for question in self._questions})
        admitted = {question.mandate_id for question in self._questions} - mandates.unknown.keys()
        settings = settings_of(self._opening, mandates, admitted)
        accounts = self._accounts(settings)
        asked = []
        for question in self._questions:
            own = settings.get(question.mandate_id)
            user, pool = (accounts.get((question.mandate_id, user_id)) for user_id in (question.user_id, None))
            asked.append(Asked(question, own, user, pool, question.amount))
        if any(question.amount is None for question in self._questions):
            self._price(asked)
        return asked

    def _accounts(self, settings: dict[str, BillingSettings]) -> dict[Holder, int]:
        """The accounts that the questions are about: open wherever somebody pays; under UNLIMITED none is opened."""
        paying: set[Holder] = set()
        free: set[Holder] = set()
        for question in self._questions:
            own = settings.get(question.mandate_id)
            if own is not None:
                (free if own.billing_model is BillingModel.UNLIMITED else paying).add((question.mandate_id, question.user_id))
        accounts: dict[Holder, int] = {}
        if free:
            accounts |= find_accounts_of(self._opening, free, settings).accounts
        if paying:
            opened = open_accounts_of(self._opening, paying, settings)
            accounts |= opened.accounts
            self.learned = opened.learned
        return accounts

    def _price(self, asked: list[Asked]) -> None:
        now, token = sql.priced_at(self._connection, self._clock)
        prices = prices_of(self._connection, token)
        for one in asked:
            if one.amount is None:
                price = estimated(one.question, prices, now)
                if isinstance(price, Unpriced):
                    one.unpriced, one.reason = price, Refusal.UNPRICED_MODEL
                else:
                    one.amount, one.price_version = price.price, prices.version_id

    def _standings(self, asked: list[Asked]) -> sql.Standings:
        """How all accounts stand, now that those that are to pay are locked."""
        mandate_of = {i: one.question.mandate_id for one in asked for i in (one.user, one.pool) if i is not None}
        standings = sql.read_standings(self._connection, mandate_of, self._clock)
        if standings.mandates != mandate_of:
            self._opening.known_accounts.forget()
            raise StorageUnavailable("accounts are not those met before: the database was restored under this worker")
        return standings

    def _caps(self, asked: list[Asked]) -> dict[str, Caps]:
        settings = {one.question.mandate_id: one.settings for one in asked if one.settings is not None}
        return caps_of(self._connection, settings.values(), self._opening.known_accounts)

    def _is_free(self, spending: Spending) -> bool:
        return is_free(self._connection, spending, self._clock)

    def _counters(self, new: list[Asked], caps: dict[str, Caps]) -> Counters | None:
        """The counters of the caps that new holds count in, locked; none where there are no caps."""
        counted = [
            (caps[one.question.mandate_id], one.spending, one.written.local_date)
            for one in new
            if one.written is not None and one.question.mandate_id in caps
        ]
        zones = {one.question.mandate_id: one.time_zone for one in new}
        return lock_counters(self._connection, counted, zones, self._clock) if counted else None
