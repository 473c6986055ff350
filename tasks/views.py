"""The doors for reading: whoever may write to the queue `views` may read all that the `actor` whom he names may see.

Each task is named after its view in `core.views`, takes the view's own arguments by name, and answers with what it returns.
"""

from collections.abc import Callable
from typing import Annotated, Any

from celery import shared_task
from pydantic import Field

from core.domain.billing import AlertKind
from core.domain.contract import Id, Label, RecordedEventId
from core.domain.periods import PeriodType
from core.domain.request import Asked, Day, DayOrMoment, Moment, RowId
from core.domain.rights import Actor
from core.storage.database import database
from core.storage.reading.transactions import Page
from core.views import (
    accounts,
    alerts,
    balance,
    balance_at,
    balances,
    billing_settings,
    explain,
    settings_history,
    statement,
    statistics,
    transactions,
    twins,
)
from core.views.paging import LIMIT_DEFAULT
from tasks.answer import Answer, AnsweringTask

Limit = Annotated[int, Field(strict=True)]
Offset = Annotated[int, Field(strict=True, ge=0, le=2**63 - 1)]
Year = Annotated[int, Field(strict=True, ge=1, le=9999)]
MonthNumber = Annotated[int, Field(strict=True, ge=1, le=12)]
Mandates = Annotated[list[Id], Field(min_length=1)] | None


class Viewed(Asked):
    """What every reader says: as whom he asks."""

    actor: Actor

    def arguments(self) -> dict[str, Any]:
        """The arguments of the view beside the actor, by name."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "actor"}


class OfAccount(Viewed):
    """Which account."""

    account_id: RowId


class OfMandate(Viewed):
    """Which mandate."""

    mandate_id: Id


class OfHolder(OfMandate):
    """Which user in the mandate; without one its pool, or the mandate as a whole."""

    user_id: Id | None = None


class OfUser(Viewed):
    """Which user, in which mandates; without them in all."""

    user_id: Id
    mandate_ids: Mandates = None


class OfMandates(Viewed):
    """Which mandates; without them all."""

    mandate_ids: Mandates = None


class Listed(Asked):
    """Which rows of a list."""

    limit: Limit = LIMIT_DEFAULT
    offset: Offset = 0


class After(Asked):
    """Which rows of a list by mandate id."""

    limit: Limit = LIMIT_DEFAULT
    after: Label = ""


class Paged(Viewed):
    """Which page of transactions."""

    limit: Limit = LIMIT_DEFAULT
    before: tuple[Moment, RowId] | None = None
    first: Day | None = None
    last: Day | None = None

    def arguments(self) -> dict[str, Any]:
        """As ever, with the page as one."""
        arguments = super().arguments()
        return {name: value for name, value in arguments.items() if name not in Page._fields} | {
            "page": Page(*(arguments[name] for name in Page._fields))
        }


class AccountPage(Paged, OfAccount):
    """Which page, of which account."""


class MandatePage(Paged, OfMandate):
    """Which page, of which mandate."""


class MandatesPage(Paged, OfMandates):
    """Which page, of which mandates."""


class UserPage(Paged, OfUser):
    """Which page, of which user."""


class AccountsList(OfMandate, Listed):
    """Which accounts, of which mandate."""

    after: Label | None = None


class History(OfMandate, Listed):
    """Which versions of the settings, of which mandate."""

    before: RowId | None = None


class SettingsList(OfMandates, Listed):
    """Which settings, of which mandates."""

    after: Label | None = None


class UserAfter(OfUser, After):
    """Which rows, of which user."""


class MandatesAfter(OfMandates, After):
    """Which rows, of which mandates."""


class AccountsAfter(OfMandates):
    """Which user accounts, of which mandates."""

    limit: Limit = LIMIT_DEFAULT
    after: tuple[Label, Label] = ("", "")


class At(OfHolder):
    """At the end of which day, or at which moment."""

    at: DayOrMoment


class SomeStatistics(Viewed):
    """Which rows of statistics; all of them without a limit."""

    limit: Limit | None = None
    after: tuple[Day, Label, Label, Label] | None = None


class Stored(OfAccount, SomeStatistics):
    """Which stored statistics of an account."""

    period_type: PeriodType
    year: Year
    month: MonthNumber | None = None


class Days(OfAccount):
    """Which local days of an account."""

    first: Day
    last: Day


class Periods(OfHolder, SomeStatistics):
    """Which periods of a mandate, or of one user in it."""

    by: PeriodType
    first: Day
    last: Day


class Month(OfMandate):
    """Which month of a mandate, by any day of it, and as of when."""

    month: Day
    as_of: Moment | None = None


class OfTransaction(Viewed):
    """Which transaction."""

    transaction_id: RowId


class OfEvent(OfMandate):
    """Which recorded event of a mandate."""

    event_id: RecordedEventId


class Alerts(OfMandates, Listed):
    """Which alerts."""

    kind: AlertKind | None = None
    since: Moment | None = None
    waiting: bool = False
    before: RowId | None = None


class TwinsAfter(OfMandates):
    """Which groups of twins: of which mandates and local days, and what makes a group."""

    first: Day
    last: Day
    seconds: Annotated[int, Field(strict=True)] = twins.SECONDS_DEFAULT
    at_least: Annotated[int, Field(strict=True, le=2**63 - 1)] = twins.AT_LEAST_DEFAULT
    limit: Limit = LIMIT_DEFAULT
    after: tuple[Label, Offset] = ("", 0)


VIEWS: dict[str, tuple[type[Viewed], Callable[..., object]]] = {
    "view.settings_of": (OfMandate, billing_settings.settings_of),
    "view.list_settings": (SettingsList, billing_settings.list_settings),
    "view.settings_history": (History, settings_history.settings_history),
    "view.account": (OfAccount, accounts.account),
    "view.holder_account": (OfHolder, accounts.holder_account),
    "view.accounts_of": (AccountsList, accounts.accounts_of),
    "view.balance": (OfHolder, balance.balance),
    "view.balance_at": (At, balance_at.balance_at),
    "view.balances_of_user": (UserAfter, balances.balances_of_user),
    "view.mandate_balances": (MandatesAfter, balances.mandate_balances),
    "view.user_balances": (AccountsAfter, balances.user_balances),
    "view.transactions_of_account": (AccountPage, transactions.transactions_of_account),
    "view.movements_of_account": (AccountPage, transactions.movements_of_account),
    "view.transactions_of_mandate": (MandatePage, transactions.transactions_of_mandate),
    "view.transactions_of_mandates": (MandatesPage, transactions.transactions_of_mandates),
    "view.transactions_of_user": (UserPage, transactions.transactions_of_user),
    "view.user_transactions": (MandatesPage, transactions.user_transactions),
    "view.statistics_of_account": (Stored, statistics.statistics_of_account),
    "view.computed_statistics": (Days, statistics.computed_statistics),
    "view.statistics_of": (Periods, statistics.statistics_of),
    "view.list_alerts": (Alerts, alerts.list_alerts),
    "view.statement": (Month, statement.statement),
    "view.twins": (TwinsAfter, twins.twins),
    "view.explain": (OfTransaction, explain.explain),
    "view.explain_event": (OfEvent, explain.explain_event),
}


def _open(name: str, question: type[Viewed], view: Callable[..., object]) -> None:
    """Makes the task: it reads and writes nothing, so a replay answers anew."""

    def seen(fields: dict[str, Any]) -> object:
        asked = question.read(fields)
        return view(database(), asked.actor, **asked.arguments())

    @shared_task(base=AnsweringTask, name=name, bind=True)
    def door(self: Any, *arguments: Any, **fields: Any) -> Answer:
        return self.answer(arguments, lambda: seen(fields))  # type: ignore[no-any-return]


for _name, (_question, _view) in VIEWS.items():
    _open(_name, _question, _view)
