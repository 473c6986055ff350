"""`tollbook accounts`: who holds balances."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from cli.acting import acting
from cli.context import find_servers, open_database
from cli.options import AsJson, By, Key, Limit, Offset, login
from cli.output.json_out import print_json
from cli.output.tables import print_fields, print_next_page, print_table
from core.ledger import read_accounts as accounts
from core.movements.open_account import AccountOpening, open_account
from core.movements.set_account_enabled import AccountEnabling, set_account_enabled
from core.movements.set_credit_limit import CreditLimit, set_credit_limit

app = typer.Typer(
    help="Accounts: one pool per mandate, and one account per user in it.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)
Mandate = Annotated[str, typer.Argument(help="Id of the mandate.")]
AfterUser = Annotated[str | None, typer.Option("--after", help="Where the page begins: the user id of the last row already seen, '' of the pool.")]
OfUser = Annotated[str | None, typer.Option("--user", help="Id of the user whose account it is; without one the mandate's pool.")]


@app.command("list", epilog="Example: tollbook accounts list acme")
def list_all(mandate: Mandate, limit: Limit = 100, offset: Offset = 0, after: AfterUser = None, as_json: AsJson = False) -> None:
    """List a mandate's accounts, the pool first, then its users' by id; with --json every field of each."""
    with open_database() as database:
        found = accounts.accounts_of(database, acting(), mandate, limit=limit, offset=offset, after=after)
    if as_json:
        print_json(found)
        return
    columns = ("id", "type", "user", "name", "balance CHF", "warns at CHF", "credit limit CHF", "enabled")
    rows = [(a.id, a.account_type, a.user_id, a.user_name, a.balance, a.warning_threshold, a.credit_limit, a.enabled) for a in found]
    print_table(columns, rows, free=("name",))
    print_next_page(found, limit, lambda last: ("--after", last.user_id or ""))


@app.command(epilog="Example: tollbook accounts show --mandate acme --user ada")
def show(
    account: Annotated[int | None, typer.Argument(help="Id of the account.")] = None,
    *,
    mandate: Annotated[str | None, typer.Option(help="Id of the mandate, in place of the account's.")] = None,
    user: OfUser = None,
    as_json: AsJson = False,
) -> None:
    """Show one account: by its id, a user's in a mandate, or the mandate's pool; amounts in CHF."""
    if (account is None) == (mandate is None) or (account is not None and user is not None):
        raise typer.BadParameter("name an account's id, or --mandate and maybe --user")
    with open_database() as database:
        if mandate is not None:
            found = accounts.holder_account(database, acting(), mandate, user)
        else:
            found = accounts.account(database, acting(), int(account or 0))
    if as_json:
        print_json(found)
    else:
        print_fields(asdict(found), free=("mandate_name", "user_name"))


@app.command("open", epilog="Example: tollbook accounts open acme --user ada")
def open_one(mandate: Mandate, *, user: OfUser = None, as_json: AsJson = False) -> None:
    """Open a user's account or the mandate's pool before its first use, with the grant where one is due; says if it existed."""
    asked = AccountOpening.read({"mandate_id": mandate, "user_id": user})
    config = find_servers()
    with open_database() as database:
        done = open_account(database, acting(), asked, config=config)
    if as_json:
        print_json(done)
    else:
        print_fields(asdict(done))


@app.command(epilog="Example: tollbook accounts enable acme --user ada --key ticket-4711")
def enable(mandate: Mandate, *, key: Key, user: OfUser = None, by: By = None, as_json: AsJson = False) -> None:
    """Enable a user's account or the mandate's pool."""
    _set_enabled(mandate, user, {"enabled": True, "key": key, "by": by or login()}, as_json=as_json)


@app.command(epilog="Example: tollbook accounts disable acme --user ada --key ticket-4711")
def disable(mandate: Mandate, *, key: Key, user: OfUser = None, by: By = None, as_json: AsJson = False) -> None:
    """Disable a user's account or the mandate's pool: usage that happened is still recorded, a balance check refuses."""
    _set_enabled(mandate, user, {"enabled": False, "key": key, "by": by or login()}, as_json=as_json)


@app.command("credit-limit", epilog="Example: tollbook accounts credit-limit acme 500 --key ticket-4711")
def credit_limit(
    mandate: Mandate,
    limit: Annotated[str, typer.Argument(help="CHF, at least 0, that the pool may owe under CREDIT_POSTPAY; `none` for no limit.")],
    *,
    key: Key,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Set how much a mandate's pool may owe; a limit below its present debt raises an alert."""
    asked = {"mandate_id": mandate, "credit_limit": None if limit.lower() == "none" else limit, "key": key, "by": by or login()}
    with open_database() as database:
        account = accounts.holder_account(database, acting(), mandate, None)
        done = set_credit_limit(database, acting(), CreditLimit.read({**asked, "account_id": account.id}))
    if as_json:
        print_json(done)
    else:
        print_fields(asdict(done))


def _set_enabled(mandate: str, user: str | None, asked: Mapping[str, object], *, as_json: bool) -> None:
    with open_database() as database:
        account = accounts.holder_account(database, acting(), mandate, user)
        done = set_account_enabled(database, acting(), AccountEnabling.read({**asked, "mandate_id": mandate, "account_id": account.id}))
    if as_json:
        print_json(done)
    else:
        print_fields(asdict(done))
