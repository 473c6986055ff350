"""`tollbook repair`: what doesn't follow from the ledger is made to."""

from typing import Annotated

import typer

from cli.asking import ask
from cli.confirming import Yes, confirm
from cli.options import AsJson, By
from cli.output.show import Listing, show
from cli.output.text import counted
from core.verifying.forget_sums import Forgetting, forget_sums
from core.verifying.plan_repairs import RepairPlan, plan_repairs
from core.verifying.repair import Repairs, repair_books

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_MANDATE, _ACCOUNT = ("mandate", "mandate_id"), ("account", "account_id")
_PLANNED = Listing(_MANDATE, _ACCOUNT, ("user", "user_id"), "balance", "ledger", ("difference", lambda b: b.ledger - b.balance))
_PLANNED_STATISTICS = Listing(_MANDATE, ("rows of statistics", "rows"))
_PLANNED_COUNTERS = Listing(_MANDATE, ("counters of caps", "counters"))
_PLANNED_HELD = Listing(_MANDATE, ("accounts of which a wrong amount is held", "accounts"))
_REPAIRED = Listing(_MANDATE, _ACCOUNT, ("balance before", "old_balance"), "balance", "adjustment")
_REPAIRED_STATISTICS = Listing(_MANDATE, ("rows written", "rows_written"), ("rows removed", "rows_removed"))


@app.command(epilog="Example: tollbook repair --dry-run")
def repair(
    *,
    mandate: Annotated[str | None, typer.Option(help="Only the balances, statistics and caps of this mandate. Default: of all.")] = None,
    account: Annotated[int | None, typer.Option(help="Only the balance of this account, by its id.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the books.")] = None,
    key: Annotated[str | None, typer.Option(help="Yours, such as the ticket's number: under it each balance is repaired once.")] = None,
    by_adjustment: Annotated[
        bool, typer.Option("--by-adjustment", help="The balances are right, the ledger lacks something: it gets an ADJUSTMENT of the difference.")
    ] = False,
    forget: Annotated[bool, typer.Option("--forget-sums", help="Let kept sums that are no longer true go, and repair nothing.")] = False,
    by: By = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Bring balances to the sum of their movements, statistics and counters of caps to what the transactions give. The ledger stays as it is.

    Where entries were lost and a balance is right, --account ID --by-adjustment keeps it and makes the ledger agree. --forget-sums
    does nothing but let sums go that were kept until the checkpoint and are no longer true (I18): find out first which
    transactions were changed, from a backup.
    """
    if not dry_run and not (reason and (key or forget)):
        raise typer.BadParameter("a repair needs --reason and --key; look with --dry-run first")
    if not dry_run:
        confirm(f"{'let kept sums go' if forget else 'repair the books'}? --dry-run shows what would be done", yes=yes)
    if dry_run:
        plan = ask(plan_repairs, mandate, account)
        show(plan, lambda: _print_plan(plan), as_json=as_json)
    elif forget:
        accounts = ask(forget_sums, Forgetting.read({"reason": reason, "by": by}))
        show({"accounts": accounts}, f"let go: kept sums of {counted(accounts, 'account')}; the next two runs are full", as_json=as_json)
    else:
        asked = {"key": key or "", "reason": reason or "", "by": by}
        repairs = ask(repair_books, **asked, mandate_id=mandate, account_id=account, by_adjustment=by_adjustment)
        show(repairs, lambda: _print_repairs(repairs), as_json=as_json)


def _print_plan(plan: RepairPlan) -> None:
    if plan.balances:
        _PLANNED.print(plan.balances)
    if plan.statistics:
        _PLANNED_STATISTICS.print(plan.statistics)
    if plan.counters:
        _PLANNED_COUNTERS.print(plan.counters)
    if plan.held:
        _PLANNED_HELD.print(plan.held)
    if plan.ledger:
        broken = ", ".join(f"{name} ({counted(violations, 'violation')})" for name, violations in plan.ledger.items())
        typer.echo(f"entries are missing or wrong: {broken}, see `tollbook verify`")
        typer.echo("repair account by account (--account), with --by-adjustment where it is the balance that is right")
    if plan.local_days:
        typer.echo(f"local days: {counted(plan.local_days, 'transaction')} to be explained, not repaired: see `tollbook zones check`")
    _sum_up("to be repaired", plan)


def _print_repairs(repairs: Repairs) -> None:
    if repairs.balances:
        _REPAIRED.print(repairs.balances)
    if repairs.statistics:
        _REPAIRED_STATISTICS.print(repairs.statistics)
    if repairs.counters:
        _PLANNED_COUNTERS.print(repairs.counters)
    if repairs.held:
        _PLANNED_HELD.print(repairs.held)
    _sum_up("repaired", repairs)


def _sum_up(what: str, found: RepairPlan | Repairs) -> None:
    told = f"{what}: {counted(len(found.balances), 'balance')}, statistics of {counted(len(found.statistics), 'mandate')}"
    told += f", caps of {counted(len(found.counters), 'mandate')}" if found.counters else ""
    typer.echo(told + (f", what is held in {counted(len(found.held), 'mandate')}" if found.held else ""))
