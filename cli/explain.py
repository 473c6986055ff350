"""`tollbook explain`: where a transaction came from, and what became of it."""

from dataclasses import asdict, astuple
from typing import Annotated

import typer

from cli.asking import ask
from cli.options import AsJson
from cli.output.receipt import print_receipt
from cli.output.show import Listing, show
from cli.output.tables import print_fields, print_table
from core.ledger.kinds import GRANT
from core.ledger.read_transactions import Transaction
from core.ledger.sql.shown_accounts import Account
from core.reports.explain import Explanation, explain_event
from core.reports.explain import explain as explain_transaction

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_FREE = ("description", "mandate", "about", "balance of")
_HIDDEN = {
    *("mandate_id", "mandate_name", "account_id", "account_type", "account_user_id", "user_id", "user_name"),
    *("balance_account_id", "settings_version", "batch_id", "operation_key", "call", "provider_currency"),
}
_RELATED = Listing(
    "relation",
    ("id", "transaction.id"),
    ("recorded (UTC)", "transaction.recorded_at"),
    ("type", "transaction.transaction_type"),
    ("reference", "transaction.reference_type"),
    ("amount CHF", "transaction.amount"),
    ("by", "transaction.user_id"),
    ("description", "transaction.description"),
    free=("description",),
    less=("reference", "by"),
)
_CAPS = Listing(
    ("id", "cap_id"),
    "scope",
    ("of", lambda cap: cap.value or None),
    "period",
    ("window since", "window_start"),
    "action",
    ("limit CHF", "limit_chf"),
    ("spent CHF", "spent"),
    free=("of",),
    less=("window since", "scope"),
)
_OF_HOLD = ("hold_key", "state", "amount", "captured", "released", "expired", "used", "over_hold", "use_count", "late_count", "authorised_at",
            "expires_at", "settled_at")  # fmt: skip


@app.command(epilog="Example: tollbook explain 4711")
def explain(
    transaction: Annotated[int | None, typer.Argument(help="Id of the transaction.")] = None,
    *,
    mandate: Annotated[str | None, typer.Option(help="With --event: the mandate that the event is of.")] = None,
    event: Annotated[str | None, typer.Option(help="In place of a transaction: id of the event whose usage debit is meant.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what one transaction is, what asked for it, under which settings, the balance before and after it, and its corrections.

    Also which hold its event named and what became of that, and the caps of today that it counts in. The balances are those in the order
    of recording; amounts in CHF. Of priced usage a receipt tells every step from the usage object to the amount; with --json it suffices
    to compute the amount again.
    """
    if (transaction is None) != (event is not None and mandate is not None) or (mandate is None) != (event is None):
        raise typer.BadParameter("name a transaction, or --mandate and --event")
    found = ask(explain_event, str(mandate), str(event)) if transaction is None else ask(explain_transaction, transaction)
    show(found, lambda: _print(found), as_json=as_json)


def _print(found: Explanation) -> None:
    entry = found.transaction
    shown = {name: value for name, value in asdict(entry).items() if name not in _HIDDEN and value is not None}
    told = entry.call or {}
    if entry.provider_cost is not None:
        shown |= {"provider_cost": f"{entry.provider_cost:f} {entry.provider_currency}"}
    if "reported_amount" in told:
        told = {**told, "reported_amount": f"{told['reported_amount']:f} {told['reported_currency']}"}
    shown |= told
    _section("the entry", {"mandate": f"{entry.mandate_name} ({entry.mandate_id})", "about": _holder(found.account), **shown})
    if found.balance_account is None:
        typer.echo("\nIt moved no balance.")
    else:
        balances = {"balance before": found.balance_before, "moved": found.moved, "balance after": found.balance_after}
        _section("the balance", {"balance of": _holder(found.balance_account), **balances})
    if found.hold is not None:
        other = {} if found.hold.user_id == entry.account_user_id else {"another user's, left as it was": found.hold.user_id}
        _section("the hold that it named, as it is now", {**{name: getattr(found.hold, name) for name in _OF_HOLD}, **other})
    if found.caps:
        typer.echo("\ncaps that it counts in:")
        _CAPS.print(found.caps)
    if entry.operation_key is not None:
        _section("asked for by", {"operation": found.operation, "key": entry.operation_key, "by": _by(entry)})
    if found.rules is not None:
        _section("settings then", asdict(found.rules))
    if found.batch is not None:
        _section("the batch", asdict(found.batch))
    if found.receipt is not None:
        print_receipt(found.receipt)
    _print_related(found)


def _print_related(found: Explanation) -> None:
    if found.related:
        typer.echo("\nentries that belong to it:")
        _RELATED.print(found.related)
    if found.refunded:
        typer.echo(f"refunded of it: {found.refunded:f} CHF")
    if found.amendments:
        typer.echo("\namendments of the event:")
        steps = [astuple(step) for step in found.amendments]
        print_table(("number", "operation", "key", "took back", "by reversal", "new debit", "recorded (UTC)"), steps, free=("key",))
    if found.dead_letters:
        typer.echo("\ndead letters with the same event id:")
        letters = [astuple(letter) for letter in found.dead_letters]
        print_table(("id", "reason", "detail", "status", "first seen (UTC)"), letters, free=("detail",))


def _by(entry: Transaction) -> str | None:
    """Who asked for it; nobody asks for a grant, whose user is only whom it is for."""
    return "Tollbook itself" if entry.reference_type == GRANT.reference_type else entry.user_name


def _section(title: str, values: dict[str, object]) -> None:
    typer.echo(f"\n{title}:")
    print_fields(values, free=_FREE)


def _holder(account: Account) -> str:
    return f"the pool (account {account.id})" if account.user_id is None else f"{account.user_name} ({account.user_id}, account {account.id})"
