"""`tollbook explain`: where a transaction came from, and what became of it."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.acting import acting
from cli.context import open_database
from cli.options import AsJson
from cli.output.json_out import print_json
from cli.output.tables import print_fields, print_table
from core.ledger.kinds import GRANT
from core.ledger.read_transactions import Transaction
from core.ledger.sql.shown_accounts import Account
from core.reports.explain import Explanation, explain_event
from core.reports.explain import explain as explain_transaction

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_FREE = ("description", "mandate", "about", "balance of")


@app.command(epilog="Example: tollbook explain 4711")
def explain(
    transaction: Annotated[int | None, typer.Argument(help="Id of the transaction.")] = None,
    *,
    mandate: Annotated[str | None, typer.Option(help="With --event: the mandate that the event is of.")] = None,
    event: Annotated[str | None, typer.Option(help="In place of a transaction: id of the event whose usage debit is meant.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what one transaction is, what asked for it, under which settings, the balance before and after it, and its corrections.

    The balances are those in the order of recording; amounts in CHF.
    """
    if (transaction is None) != (event is not None and mandate is not None) or (mandate is None) != (event is None):
        raise typer.BadParameter("name a transaction, or --mandate and --event")
    with open_database() as database:
        if transaction is not None:
            found = explain_transaction(database, acting(), transaction)
        else:
            found = explain_event(database, acting(), str(mandate), str(event))
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: Explanation) -> None:
    entry = found.transaction
    hidden = (
        "mandate_id",
        "mandate_name",
        "account_id",
        "account_type",
        "account_user_id",
        "user_id",
        "user_name",
        "balance_account_id",
        "settings_version",
        "batch_id",
        "operation_key",
    )
    shown = {name: value for name, value in asdict(entry).items() if name not in hidden and value is not None}
    _section("the entry", {"mandate": f"{entry.mandate_name} ({entry.mandate_id})", "about": _holder(found.account), **shown})
    if found.balance_account is None:
        typer.echo("\nIt moved no balance.")
    else:
        balances = {"balance before": found.balance_before, "moved": found.moved, "balance after": found.balance_after}
        _section("the balance", {"balance of": _holder(found.balance_account), **balances})
    if entry.operation_key is not None:
        _section("asked for by", {"operation": found.operation, "key": entry.operation_key, "by": _by(entry)})
    if found.rules is not None:
        _section("settings then", asdict(found.rules))
    if found.batch is not None:
        _section("the batch", asdict(found.batch))
    _print_related(found)


def _print_related(found: Explanation) -> None:
    if found.related:
        typer.echo("\nentries that belong to it:")
        rows = [
            (other.relation, t.id, t.recorded_at, t.transaction_type, t.reference_type, t.amount, t.user_id, t.description)
            for other in found.related
            for t in [other.transaction]
        ]
        print_table(("relation", "id", "recorded (UTC)", "type", "reference", "amount CHF", "by", "description"), rows, free=("description",))
    if found.refunded:
        typer.echo(f"refunded of it: {found.refunded:f} CHF")
    if found.amendments:
        typer.echo("\namendments of the event:")
        steps = [tuple(asdict(step).values()) for step in found.amendments]
        print_table(("number", "operation", "key", "took back", "by reversal", "new debit", "recorded (UTC)"), steps, free=("key",))
    if found.dead_letters:
        typer.echo("\ndead letters with the same event id:")
        letters = [tuple(asdict(letter).values()) for letter in found.dead_letters]
        print_table(("id", "reason", "detail", "status", "first seen (UTC)"), letters, free=("detail",))


def _by(entry: Transaction) -> str | None:
    """Who asked for it; nobody asks for a grant, whose user is only whom it is for."""
    return "Tollbook itself" if entry.reference_type == GRANT.reference_type else entry.user_name


def _section(title: str, values: dict[str, object]) -> None:
    typer.echo(f"\n{title}:")
    print_fields(values, free=_FREE)


def _holder(account: Account) -> str:
    return f"the pool (account {account.id})" if account.user_id is None else f"{account.user_name} ({account.user_id}, account {account.id})"
