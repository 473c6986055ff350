"""The doors for movements of money; only who may write to the queue `movements` may ask. Each is safe to repeat, by its key if it has one."""

from typing import Any

from celery import shared_task

from core.config import configuration
from core.domain.rights import ROOT
from core.operations.adjust import Adjustment, adjust
from core.operations.open_account import AccountOpening, open_account
from core.operations.refund import Refund, refund
from core.operations.set_account_enabled import AccountEnabling, set_account_enabled
from core.operations.set_credit_limit import CreditLimit, set_credit_limit
from core.operations.switch_billing_model import ModelSwitch, switch_billing_model
from core.operations.top_up import TopUp, top_up
from core.storage.database import database
from tasks.answer import Answer, WaitingTask


@shared_task(base=WaitingTask, name="movement.top_up", bind=True)
def run_top_up(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Credits a payment and answers with the entry; see `core.operations.top_up`. A replay answers with the first result."""
    return self.answer(arguments, lambda: top_up(database(), ROOT, TopUp.read(fields)))  # type: ignore[no-any-return]


@shared_task(base=WaitingTask, name="movement.adjust", bind=True)
def run_adjust(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Sets a balance right and answers with the entry; see `core.operations.adjust`. A replay answers with the first result."""
    return self.answer(arguments, lambda: adjust(database(), ROOT, Adjustment.read(fields)))  # type: ignore[no-any-return]


@shared_task(base=WaitingTask, name="movement.refund", bind=True)
def run_refund(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Gives an entry back, whole or in part, and answers with the new one; see `core.operations.refund`. A replay answers with the first result."""
    return self.answer(arguments, lambda: refund(database(), ROOT, Refund.read(fields)))  # type: ignore[no-any-return]


@shared_task(base=WaitingTask, name="movement.open_account", bind=True)
def run_open_account(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Opens an account if it isn't there, and answers with it; see `core.operations.open_account`. A replay says that it existed."""
    return self.answer(arguments, lambda: open_account(database(), ROOT, AccountOpening.read(fields), config=configuration()))  # type: ignore[no-any-return]


@shared_task(base=WaitingTask, name="movement.set_account_enabled", bind=True)
def run_set_account_enabled(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Enables or disables an account; see `core.operations.set_account_enabled`. A replay answers with the first result."""
    return self.answer(arguments, lambda: set_account_enabled(database(), ROOT, AccountEnabling.read(fields)))  # type: ignore[no-any-return]


@shared_task(base=WaitingTask, name="movement.set_credit_limit", bind=True)
def run_set_credit_limit(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Sets a pool's credit limit; see `core.operations.set_credit_limit`. A replay answers with the first result."""
    return self.answer(arguments, lambda: set_credit_limit(database(), ROOT, CreditLimit.read(fields)))  # type: ignore[no-any-return]


@shared_task(base=WaitingTask, name="movement.switch_billing_model", bind=True)
def run_switch_billing_model(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Switches the billing model, balances with it; see `core.operations.switch_billing_model`. A replay answers with the first result."""
    return self.answer(arguments, lambda: switch_billing_model(database(), ROOT, ModelSwitch.read(fields)))  # type: ignore[no-any-return]
