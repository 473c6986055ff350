"""The balance check: whether an AI call may be made, asked before it is."""

from dataclasses import dataclass
from decimal import Decimal
from time import perf_counter

from sqlalchemy import Connection

from core.asking.request import Cost, Question
from core.asking.rights import Actor, is_root, require_member
from core.billing import BillingModel
from core.checks.model import Refusal, Standing
from core.checks.sql import find_standing
from core.config import Configuration
from core.database.database import Database
from core.directory.sql.members import find_member
from core.errors import NotFound
from core.events.contract import Id
from core.ledger.meet_mandates import admit
from core.ledger.open_accounts import open_accounts_of
from core.ledger.opening import KnownAccounts, OpeningAlone
from core.metrics import CHECK_SECONDS, CHECKS
from core.money import ZERO
from core.printable import shown


class BalanceQuestion(Question):
    """May this user make a call that will cost about so much (CHF)? 0 asks for nothing but an account that isn't overdrawn."""

    user_id: Id
    estimated_cost: Cost = ZERO


@dataclass(frozen=True, slots=True)
class BalanceCheck:
    """The answer; amounts in CHF. `current_balance` is that of the account which pays, none under UNLIMITED, where nobody does."""

    allowed: bool
    reason: Refusal | None
    current_balance: Decimal | None
    required_amount: Decimal
    billing_model: BillingModel


def check_balance(database: Database, actor: Actor, asked: BalanceQuestion, *, config: Configuration) -> BalanceCheck:
    """Answers by the balances that are committed now; reserves nothing, so calls at the same time may together overdraw.

    Reads without a lock. Only where settings or accounts are missing, and only for root, it first opens them as recording does: default settings
    of a mandate that may have some, the user's account with its grant, and the pool where it pays. A mandate that may have
    none is allowed as UNLIMITED, and nothing is written; nor is it under UNLIMITED. Others are answered about enabled members alone,
    and need no more than the account that pays. A replay opens nothing anew.

    Raises:
        Forbidden: the actor may not ask about this user.
        NotFound: the actor isn't root, and the user is no enabled member, or what pays for them isn't there yet, which they may not open.
    """
    require_member(actor, asked.mandate_id, asked.user_id, "check the balance")
    started = perf_counter()
    with database.transaction() as connection:
        standing = find_standing(connection, asked.mandate_id, asked.user_id)
        if not is_root(actor):
            _require_answerable(connection, asked, standing)
    if is_root(actor) and (standing is None or not standing.complete):
        with database.transaction() as connection:
            standing = _opened(OpeningAlone(connection, config, KnownAccounts()), asked)
    answer = _answer(standing, asked.estimated_cost)
    CHECK_SECONDS.observe(perf_counter() - started)
    CHECKS.labels(answer.reason or "allowed").inc()
    return answer


def _require_answerable(connection: Connection, asked: BalanceQuestion, standing: Standing | None) -> None:
    """Returns if there is an answer without anything opened; to others no mandate of which the user isn't a member tells anything."""
    if standing is None or not standing.answerable or find_member(connection, asked.mandate_id, asked.user_id) is None:
        raise NotFound(f"mandate {shown(asked.mandate_id)} has no account that pays for user {shown(asked.user_id)}")


def _opened(opening: OpeningAlone, asked: BalanceQuestion) -> Standing | None:
    """The standing after everything is there that may be; none for a mandate that may have no settings."""
    settings = admit(opening, asked.mandate_id)
    if settings is None:
        return None
    if settings.billing_model is not BillingModel.UNLIMITED:
        open_accounts_of(opening, {(asked.mandate_id, asked.user_id)}, {asked.mandate_id: settings})
    return find_standing(opening.connection, asked.mandate_id, asked.user_id)


def _answer(standing: Standing | None, cost: Decimal) -> BalanceCheck:
    if standing is None:
        return BalanceCheck(True, None, None, cost, BillingModel.UNLIMITED)
    refusal, payer = standing.refusal(cost), standing.payer
    return BalanceCheck(refusal is None, refusal, payer.balance if payer else None, cost, standing.billing_model)
