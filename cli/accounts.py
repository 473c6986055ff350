"""`tollbook accounts`: who holds balances."""

from typing import Annotated

import typer

from cli.asking import ask, move
from cli.context import find_servers
from cli.options import AsJson, By, Key, Limit, Mandate, Offset, OfUser
from cli.output.show import Listing, show, show_rows
from core.ledger import read_accounts as accounts
from core.ledger.sql.shown_accounts import Account
from core.movements.open_account import AccountOpening, open_account
from core.movements.set_account_enabled import AccountEnabling, set_account_enabled
from core.movements.set_credit_limit import CreditLimit, set_credit_limit

app = typer.Typer(
    help="Accounts: one pool per mandate, and one account per user in it.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)
AfterUser = Annotated[str | None, typer.Option("--after", help="Where the page begins: the user id of the last row already seen, '' of the pool.")]
_LISTING = Listing(
    "id",
    ("type", "account_type"),
    ("user", "user_id"),
    ("name", "user_name"),
    ("balance CHF", "balance"),
    ("held CHF", "held"),
    ("available CHF", "available"),
    ("warns at CHF", "warning_threshold"),
    ("credit limit CHF", "credit_limit"),
    "enabled",
    of=Account,
    free=("name",),
    less=("type", "enabled", "credit limit CHF", "held CHF", "warns at CHF", "id", "name"),
    after=lambda last: ("--after", last.user_id or ""),
    hint="accounts come with the first usage, or with `tollbook accounts open`",
)


@app.command("list", epilog="Example: tollbook accounts list acme")
def list_all(mandate: Mandate, limit: Limit = 100, offset: Offset = 0, after: AfterUser = None, as_json: AsJson = False) -> None:
    """List a mandate's accounts, the pool first, then its users' by id; with --json every field of each."""
    show_rows(ask(accounts.accounts_of, mandate, limit=limit, offset=offset, after=after), _LISTING, limit, as_json=as_json)


@app.command("show", epilog="Example: tollbook accounts show --mandate acme --user ada")
def show_one(
    account: Annotated[int | None, typer.Argument(help="Id of the account.")] = None,
    *,
    mandate: Annotated[str | None, typer.Option(help="Id of the mandate, in place of the account's.")] = None,
    user: OfUser = None,
    as_json: AsJson = False,
) -> None:
    """Show one account: by its id, a user's in a mandate, or the mandate's pool; amounts in CHF."""
    if (account is None) == (mandate is None) or (account is not None and user is not None):
        raise typer.BadParameter("name an account's id, or --mandate and maybe --user")
    found = ask(accounts.account, account or 0) if mandate is None else ask(accounts.holder_account, mandate, user)
    show(found, as_json=as_json, free=("mandate_name", "user_name"))


@app.command("open", epilog="Example: tollbook accounts open acme --user ada")
def open_one(mandate: Mandate, *, user: OfUser = None, as_json: AsJson = False) -> None:
    """Open a user's account or the mandate's pool before its first use, with the grant where one is due; says if it existed."""
    asked = AccountOpening.read({"mandate_id": mandate, "user_id": user})
    show(ask(open_account, asked, config=find_servers()), as_json=as_json)


@app.command(epilog="Example: tollbook accounts enable acme --user ada --key ticket-4711")
def enable(mandate: Mandate, *, key: Key, user: OfUser = None, by: By = "", as_json: AsJson = False) -> None:
    """Enable a user's account or the mandate's pool."""
    show(move(set_account_enabled, AccountEnabling, mandate, user, enabled=True, key=key, by=by), as_json=as_json)


@app.command(epilog="Example: tollbook accounts disable acme --user ada --key ticket-4711")
def disable(mandate: Mandate, *, key: Key, user: OfUser = None, by: By = "", as_json: AsJson = False) -> None:
    """Disable a user's account or the mandate's pool: usage is still recorded and takes its hold, checks and new holds refuse."""
    show(move(set_account_enabled, AccountEnabling, mandate, user, enabled=False, key=key, by=by), as_json=as_json)


@app.command("credit-limit", epilog="Example: tollbook accounts credit-limit acme 500 --key ticket-4711")
def credit_limit(
    mandate: Mandate,
    limit: Annotated[str, typer.Argument(help="CHF, at least 0, that the pool may owe under CREDIT_POSTPAY; `none` for no limit.")],
    *,
    key: Key,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Set how much a mandate's pool may owe; a limit below its present debt raises an alert."""
    given = None if limit.lower() == "none" else limit
    show(move(set_credit_limit, CreditLimit, mandate, None, credit_limit=given, key=key, by=by), as_json=as_json)
