"""`tollbook balances`: who has how much, over many mandates and users."""

from collections.abc import Callable, Sequence
from dataclasses import astuple, fields
from typing import Annotated, Any

import typer

from cli.acting import acting
from cli.context import open_database
from cli.options import AsJson, Limit, Mandates
from cli.output.json_out import print_json
from cli.output.tables import print_next_page, print_table
from core.ledger.read_balances import AccountBalance, MandateBalance, UserBalance, balances_of_user, mandate_balances, user_balances

app = typer.Typer(help="Balances over many mandates and users.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)
_AMOUNTS = ("balance", "total_balance", "warning_threshold", "credit_limit", "default_user_credit")
_AFTER = "Where the page begins: the mandate id of the last row already seen."


@app.command(epilog="Example: tollbook balances user ada")
def user(
    user: Annotated[str, typer.Argument(help="Id of the user.")],
    *,
    mandates: Mandates = None,
    after: Annotated[str, typer.Option(help=_AFTER)] = "",
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Show what pays for a user's usage in each of their mandates: their own balance or the pool's; amounts in CHF."""
    with open_database() as database:
        found = balances_of_user(database, acting(), user, mandates or None, limit=limit, after=after)
    _print(UserBalance, found, limit, lambda row: ("--after", row.mandate_id), as_json=as_json)


@app.command(epilog="Example: tollbook balances mandates --mandate acme --mandate globex")
def mandates(
    *,
    mandates: Mandates = None,
    after: Annotated[str, typer.Option(help=_AFTER)] = "",
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Show the balance of each mandate: the sum over its users or the pool, by billing model; amounts in CHF."""
    with open_database() as database:
        found = mandate_balances(database, acting(), mandates or None, limit=limit, after=after)
    _print(MandateBalance, found, limit, lambda row: ("--after", row.mandate_id), as_json=as_json)


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
    with open_database() as database:
        found = user_balances(database, acting(), mandates or None, limit=limit, after=after)
    _print(AccountBalance, found, limit, lambda row: ("--after", row.mandate_id, row.user_id), as_json=as_json)


def _print(kind: type[Any], found: Sequence[Any], limit: int, after: Callable[[Any], Sequence[str]], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    names = [field.name for field in fields(kind)]
    print_table([f"{name} CHF" if name in _AMOUNTS else name for name in names], map(astuple, found), free=("mandate_name", "user_name"))
    print_next_page(found, limit, after)
