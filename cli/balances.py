"""`tollbook balances`: who has how much, over many mandates and users."""

from dataclasses import fields
from typing import Annotated

import typer

from cli.asking import ask
from cli.options import AsJson, Limit, Mandates
from cli.output.show import Listing, show_rows
from core.ledger.read_balances import (
    AccountBalance,
    LowBalance,
    MandateBalance,
    UserBalance,
    balances_of_user,
    low_balances,
    mandate_balances,
    user_balances,
)

app = typer.Typer(help="Balances over many mandates and users.", add_completion=False, rich_markup_mode=None)
_AMOUNTS = ("balance", "total_balance", "held", "available", "warning_threshold", "credit_limit", "default_user_credit")
_MANDATES_AFTER = "Where the page begins: the mandate id of the last row already seen."


_LESS = ("mandate_name", "user_name", "default_user_credit", "credit_limit", "held", "warning_threshold", "user_id")
_NAMES = ("mandate_name", "user_name")


def _listing(kind: type[UserBalance | MandateBalance | AccountBalance], *ids: str) -> Listing:
    """Every field of this kind of balance; `ids` name the fields that a page goes on after."""
    columns = [(f"{field.name} CHF" if field.name in _AMOUNTS else field.name, field.name) for field in fields(kind)]
    headings = {name: heading for heading, name in columns}
    less, free = ([headings[name] for name in chosen if name in headings] for chosen in (_LESS, _NAMES))
    return Listing(*columns, of=kind, free=free, less=less, after=lambda row: ("--after", *(getattr(row, name) for name in ids)))


_OF_USER = _listing(UserBalance, "mandate_id")
_OF_MANDATES = _listing(MandateBalance, "mandate_id")
_OF_USERS = _listing(AccountBalance, "mandate_id", "user_id")


_LOW = Listing(
    ("account", "account_id"),
    ("mandate", "mandate_id"),
    ("holder", lambda low: low.user_name or "the pool"),
    ("balance CHF", "balance"),
    ("held CHF", "held"),
    ("available CHF", "available"),
    ("warns at CHF", "warning_threshold"),
    ("credit limit CHF", "credit_limit"),
    ("billing model", "billing_model"),
    "beyond",
    of=LowBalance,
    free=("holder",),
    less=("billing model", "credit limit CHF", "held CHF", "account"),
    after=lambda last: ("--after", str(last.account_id)),
    hint="no account that pays warns",
)


@app.callback(invoke_without_command=True, epilog="Example: tollbook balances --low --mandate acme")
def balances(
    context: typer.Context,
    *,
    low: Annotated[bool, typer.Option("--low", help="The accounts, pools too, that are at or below the line at which they warn.")] = False,
    mandates: Mandates = None,
    after: Annotated[int | None, typer.Option(min=1, metavar="ID", help="Where the page begins: the account of the last row already seen.")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Show balances over many mandates and users; with --low those that warn, are overdrawn or beyond their limit, by account."""
    if context.invoked_subcommand is not None:
        return
    if not low:
        raise typer.BadParameter("name --low, or one of the commands user, mandates and users")
    show_rows(ask(low_balances, mandates or None, limit=limit, after=after), _LOW, limit, as_json=as_json)


@app.command(epilog="Example: tollbook balances user ada")
def user(
    user: Annotated[str, typer.Argument(help="Id of the user.")],
    *,
    mandates: Mandates = None,
    after: Annotated[str, typer.Option(help=_MANDATES_AFTER)] = "",
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Show what pays for a user's usage in each of their mandates: their own balance or the pool's; amounts in CHF."""
    show_rows(ask(balances_of_user, user, mandates or None, limit=limit, after=after), _OF_USER, limit, as_json=as_json)


@app.command(epilog="Example: tollbook balances mandates --mandate acme --mandate globex")
def mandates(
    *,
    mandates: Mandates = None,
    after: Annotated[str, typer.Option(help=_MANDATES_AFTER)] = "",
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Show the balance of each mandate: the sum over its users or the pool, by billing model; amounts in CHF."""
    show_rows(ask(mandate_balances, mandates or None, limit=limit, after=after), _OF_MANDATES, limit, as_json=as_json)


@app.command(epilog="Example: tollbook balances users --mandate acme")
def users(
    *,
    mandates: Mandates = None,
    after: Annotated[
        tuple[str, str], typer.Option(metavar="MANDATE USER", help="Where the page begins: mandate and user id of the last row already seen.")
    ] = ("", ""),
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Show every user's own account in every mandate; amounts in CHF. It warns only where it pays."""
    show_rows(ask(user_balances, mandates or None, limit=limit, after=after), _OF_USERS, limit, as_json=as_json)
