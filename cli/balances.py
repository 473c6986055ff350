"""`tollbook balances`: who has how much, over many mandates and users."""

from dataclasses import fields
from typing import Annotated

import typer

from cli.asking import ask
from cli.options import AsJson, Limit, Mandates
from cli.output.show import Listing, show_rows
from core.ledger.read_balances import AccountBalance, MandateBalance, UserBalance, balances_of_user, mandate_balances, user_balances

app = typer.Typer(help="Balances over many mandates and users.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)
_AMOUNTS = ("balance", "total_balance", "held", "available", "warning_threshold", "credit_limit", "default_user_credit")
_MANDATES_AFTER = "Where the page begins: the mandate id of the last row already seen."


def _listing(kind: type[UserBalance | MandateBalance | AccountBalance], *ids: str) -> Listing:
    """Every field of this kind of balance; `ids` name the fields that a page goes on after."""
    columns = [(f"{field.name} CHF" if field.name in _AMOUNTS else field.name, field.name) for field in fields(kind)]
    return Listing(*columns, free=("mandate_name", "user_name"), after=lambda row: ("--after", *(getattr(row, name) for name in ids)))


_OF_USER = _listing(UserBalance, "mandate_id")
_OF_MANDATES = _listing(MandateBalance, "mandate_id")
_OF_USERS = _listing(AccountBalance, "mandate_id", "user_id")


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
