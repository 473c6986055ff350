"""The balance check: whether an AI call may be made, asked before it is."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from time import perf_counter

from sqlalchemy import Connection

from core.asking.request import Cost, Question
from core.asking.rights import Actor, is_root, require_member
from core.billing import BillingModel
from core.caps.judge import CapRefusal
from core.caps.model import Spending
from core.checks.judge_caps import CapsSay, judge_caps
from core.checks.model import Refusal, Standing
from core.checks.sql import find_standing
from core.config import Configuration
from core.database.database import Database
from core.directory.sql.members import find_member
from core.errors import NotFound
from core.events.contract import Id, Name
from core.ledger.meet_mandates import admit
from core.ledger.open_accounts import open_accounts_of
from core.ledger.opening import KnownAccounts, OpeningAlone
from core.metrics import CHECK_SECONDS, CHECKS
from core.money import ZERO
from core.printable import shown


class BalanceQuestion(Question):
    """May this user make a call that will cost about so much (CHF)? 0 asks for nothing but an account that isn't overdrawn.

    What it names of provider, model and feature is what caps on these are judged by.
    """

    user_id: Id
    estimated_cost: Cost = ZERO
    provider: Name | None = None
    model: Name | None = None
    feature_code: Name | None = None


@dataclass(frozen=True, slots=True)
class BalanceCheck:
    """The answer; amounts in CHF.

    Attributes:
        allowed: whether the call may be made.
        reason: why not.
        current_balance: of the account which pays; None under UNLIMITED, where nobody does.
        required_amount: what the call is expected to cost.
        billing_model: by which it is paid.
        held: what open holds keep of that balance.
        available: what may still be used or held of a balance, or of a credit limit; None: there is no bound.
        cap: the cap that is reached, and when it opens, where that is the reason.
        unjudged_caps: ids of refusing caps on a provider, model or feature that the question doesn't name.
    """

    allowed: bool
    reason: Refusal | None
    current_balance: Decimal | None
    required_amount: Decimal
    billing_model: BillingModel
    held: Decimal | None = None
    available: Decimal | None = None
    cap: CapRefusal | None = None
    unjudged_caps: tuple[int, ...] = ()


def check_balance(
    database: Database,
    actor: Actor,
    asked: BalanceQuestion,
    *,
    config: Configuration,
    known_accounts: KnownAccounts | None = None,
    clock: datetime | None = None,
) -> BalanceCheck:
    """Answers by the balances and counters that are committed now; reserves nothing, so calls at the same time may together overdraw.

    Reads without a lock. Only where settings or accounts are missing, and only for root, it first opens them as recording does: default settings
    of a mandate that may have some, the user's account with its grant, and the pool where it pays. A mandate that may have
    none is allowed as UNLIMITED, and nothing is written; nor is it under UNLIMITED. Others are answered about enabled members alone,
    and need no more than the account that pays. A replay opens nothing anew. What refuses is, in this order, a disabled account, the
    balance or credit limit, a cap.

    Args:
        database: under the worker's login.
        actor: as whom it is asked.
        asked: the question.
        config: the rules by which accounts are opened.
        known_accounts: where caps are remembered between checks of one process; None: they are read anew.
        clock: the present time (aware), by which holds are over and windows of caps run; None: the database's own.

    Raises:
        Forbidden: the actor may not ask about this user.
        NotFound: the actor isn't root, and the user is no enabled member, or what pays for them isn't there yet, which they may not open.
    """
    require_member(actor, asked.mandate_id, asked.user_id, "check the balance")
    started = perf_counter()
    known = known_accounts or KnownAccounts()
    with database.transaction() as connection:
        standing = find_standing(connection, asked.mandate_id, asked.user_id, clock)
        if not is_root(actor):
            _require_answerable(connection, asked, standing)
        answer = None if is_root(actor) and (standing is None or not standing.complete) else _answer(connection, standing, asked, known, clock)
    if answer is None:
        with database.transaction() as connection:
            standing = _opened(OpeningAlone(connection, config, KnownAccounts()), asked, clock)
            answer = _answer(connection, standing, asked, known, clock)
    CHECK_SECONDS.observe(perf_counter() - started)
    CHECKS.labels(answer.reason or "allowed").inc()
    return answer


def _require_answerable(connection: Connection, asked: BalanceQuestion, standing: Standing | None) -> None:
    """Returns if there is an answer without anything opened; to others no mandate of which the user isn't a member tells anything."""
    if standing is None or not standing.answerable or find_member(connection, asked.mandate_id, asked.user_id) is None:
        raise NotFound(f"mandate {shown(asked.mandate_id)} has no account that pays for user {shown(asked.user_id)}")


def _opened(opening: OpeningAlone, asked: BalanceQuestion, clock: datetime | None) -> Standing | None:
    """The standing after everything is there that may be; none for a mandate that may have no settings."""
    settings = admit(opening, asked.mandate_id)
    if settings is None:
        return None
    if settings.billing_model is not BillingModel.UNLIMITED:
        open_accounts_of(opening, {(asked.mandate_id, asked.user_id)}, {asked.mandate_id: settings})
    return find_standing(opening.connection, asked.mandate_id, asked.user_id, clock)


def _answer(connection: Connection, standing: Standing | None, asked: BalanceQuestion, known: KnownAccounts, clock: datetime | None) -> BalanceCheck:
    cost = asked.estimated_cost
    if standing is None:
        return BalanceCheck(True, None, None, cost, BillingModel.UNLIMITED)
    reason, caps = standing.refusal(cost), CapsSay()
    if reason is None:
        spending = Spending(asked.mandate_id, asked.user_id, asked.provider, asked.model, asked.feature_code)
        caps = judge_caps(connection, standing, spending, known, clock)
        reason = None if caps.refusal is None else Refusal.CAP_EXCEEDED
    balance, held = (None, None) if standing.payer is None else (standing.payer.balance, standing.payer.held)
    books = balance, cost, standing.billing_model, held, standing.available
    return BalanceCheck(reason is None, reason, *books, caps.refusal, caps.unjudged)
