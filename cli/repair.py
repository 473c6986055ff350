"""`tollbook repair`: what doesn't follow from the ledger is made to."""

from typing import Annotated

import typer

from cli.acting import acting
from cli.context import open_database
from cli.options import AsJson, By, login
from cli.output.json_out import print_json
from cli.output.tables import print_table
from cli.output.text import counted
from core.verifying.forget_sums import Forgetting, forget_sums
from core.verifying.plan_repairs import RepairPlan, plan_repairs
from core.verifying.repair import Repairs, repair_books

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: tollbook repair --dry-run")
def repair(
    *,
    mandate: Annotated[str | None, typer.Option(help="Only the balances and statistics of this mandate. Default: of all.")] = None,
    account: Annotated[int | None, typer.Option(help="Only the balance of this account, by its id.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the books.")] = None,
    key: Annotated[str | None, typer.Option(help="Yours, such as the ticket's number: under it each balance is repaired once.")] = None,
    by_adjustment: Annotated[
        bool, typer.Option("--by-adjustment", help="The balances are right, the ledger lacks something: it gets an ADJUSTMENT of the difference.")
    ] = False,
    forget: Annotated[bool, typer.Option("--forget-sums", help="Let kept sums that are no longer true go, and repair nothing.")] = False,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Bring balances to the sum of their movements, and statistics to what the transactions give. The ledger stays as it is.

    Where entries were lost and a balance is right, --account ID --by-adjustment keeps it and makes the ledger agree. --forget-sums
    does nothing but let sums go that were kept until the checkpoint and are no longer true (I18): find out first which
    transactions were changed, from a backup.
    """
    if not dry_run and not (reason and (key or forget)):
        raise typer.BadParameter("a repair needs --reason and --key; look with --dry-run first")
    with open_database() as database:
        if dry_run:
            _show_plan(plan_repairs(database, acting(), mandate, account), as_json=as_json)
        elif forget:
            accounts = forget_sums(database, acting(), Forgetting.read({"reason": reason, "by": by or login()}))
            if as_json:
                print_json({"accounts": accounts})
            else:
                typer.echo(f"let go: kept sums of {counted(accounts, 'account')}; the next two runs are full")
        else:
            asked = {"key": key or "", "reason": reason or "", "by": by or login()}
            _show(repair_books(database, acting(), **asked, mandate_id=mandate, account_id=account, by_adjustment=by_adjustment), as_json=as_json)


def _show_plan(plan: RepairPlan, *, as_json: bool) -> None:
    if as_json:
        print_json(plan)
        return
    if plan.balances:
        rows = [(b.mandate_id, b.account_id, b.user_id, b.balance, b.ledger, b.ledger - b.balance) for b in plan.balances]
        print_table(("mandate", "account", "user", "balance", "ledger", "difference"), rows)
    if plan.statistics:
        print_table(("mandate", "rows of statistics"), [(s.mandate_id, s.rows) for s in plan.statistics])
    if plan.ledger:
        broken = ", ".join(f"{name} ({counted(violations, 'violation')})" for name, violations in plan.ledger.items())
        typer.echo(f"entries are missing or wrong: {broken}, see `tollbook verify`")
        typer.echo("repair account by account (--account), with --by-adjustment where it is the balance that is right")
    if plan.local_days:
        typer.echo(f"local days: {counted(plan.local_days, 'transaction')} to be explained, not repaired: see `tollbook zones check`")
    _sum_up("to be repaired", len(plan.balances), len(plan.statistics))


def _show(repairs: Repairs, *, as_json: bool) -> None:
    if as_json:
        print_json(repairs)
        return
    if repairs.balances:
        print_table(
            ("mandate", "account", "balance before", "balance", "adjustment"),
            [(b.mandate_id, b.account_id, b.old_balance, b.balance, b.adjustment) for b in repairs.balances],
        )
    if repairs.statistics:
        print_table(("mandate", "rows written", "rows removed"), [(s.mandate_id, s.rows_written, s.rows_removed) for s in repairs.statistics])
    _sum_up("repaired", len(repairs.balances), len(repairs.statistics))


def _sum_up(what: str, balances: int, mandates: int) -> None:
    typer.echo(f"{what}: {counted(balances, 'balance')}, statistics of {counted(mandates, 'mandate')}")
