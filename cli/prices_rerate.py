"""`tollbook prices rerate|waive|settle`: what is recorded already, or waits for a price."""

from collections.abc import Sequence
from typing import Annotated

import typer

from cli.asking import ask, asking
from cli.context import process_name
from cli.options import AsJson, By, Mandate
from cli.output.notes import tell
from cli.output.progress import progress
from cli.output.show import Listing, show
from cli.output.text import counted, printable
from cli.ranges import Days, ranged
from core.asking.rights import Actor
from core.config import configuration
from core.database.database import Database
from core.movements.amended_prices import PriceTotals
from core.movements.reach import Reach, waive_reach
from core.movements.rerate import check_rerate, rerate, revert_rerating, reverting
from core.movements.rerating import Delta, Rerated, Rerating
from core.recording.settle_parked import Settlement, settle_parked

RERATE_EXAMPLE = "Example: tollbook prices rerate --from 2026-11-01 --to 2026-11-30 --version 4 --key november-list --dry-run"
WAIVE_EXAMPLE = 'Example: tollbook prices waive 4 --reason "below one franc altogether"'
SETTLE_EXAMPLE = 'Example: tollbook prices settle acme call-4711 0.25 --reason "as the provider billed it"'
PROBLEMS_SHOWN_MAX = 100
_DELTAS = Listing(
    ("mandate", "mandate_id"),
    "model",
    "events",
    ("shadow", "shadow"),
    ("before CHF", "before"),
    ("after CHF", "after"),
    ("difference CHF", lambda delta: delta.after - delta.before),
    ("rated before", "rated_before"),
    ("rated after", "rated_after"),
    of=Delta,
    less=("rated before", "rated after", "shadow"),
)
_LEFT = Listing(("not touched", "mandate_id"), "reason", "events", ("such as", "example"))
_REVERTED = Listing(("mandate", "mandate_id"), "events", ("reverted", "amended"), ("before CHF", "before"), ("after CHF", "after"), of=PriceTotals)
_REACH = Listing(
    "model",
    "events",
    ("rated now", "before"),
    ("rated by it", "after"),
    ("difference CHF", lambda model: model.after - model.before),
)

VersionOption = Annotated[
    int | None,
    typer.Option("--version", min=1, help="Id of the version whose rows are taken, each event's at its own time."),
]
Present = Annotated[
    str | None,
    typer.Option(metavar="present", help="Take the present ones instead of those that each event was rated by."),
]


@ranged
def rerate_days(
    *,
    days: Days,
    version: VersionOption = None,
    key: Annotated[str, typer.Option(help="Yours: the same key and options again change nothing; --revert takes it back.")],
    model: Annotated[str | None, typer.Option(help="Only events that name this model, exactly.")] = None,
    mandate: Annotated[str | None, typer.Option(help="Only events of this mandate.")] = None,
    fx: Present = None,
    rules: Present = None,
    dialects: Present = None,
    revert: Annotated[bool, typer.Option("--revert", help="Give every event re-rated under this key back what stood before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it would come to.")] = False,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Rate recorded events again by a version's rows, and amend those whose amount or provider cost differs.

    Exchange rate, sale rule and dialect stay those that each event was rated by, unless the present ones are asked for. Prices that were
    given, and refunded events, are listed and not touched. What was interrupted goes on when the same command is run again.
    """
    with asking() as (database, actor):
        if revert:
            _require_none(
                days=days or None,
                version=version,
                model=model,
                mandate=mandate,
                fx=fx,
                rules=rules,
                dialects=dialects,
            )
            totals = _revert(database, actor, key, by, dry_run=dry_run)
            show(
                {"dry_run": dry_run, "mandates": totals},
                lambda: _print_reverted(totals, dry_run=dry_run),
                as_json=as_json,
            )
            if any(mandate.problems for mandate in totals):
                raise typer.Exit(1)
            return
        if version is None or days.first is None or days.last is None:
            raise typer.BadParameter("name --from, --to and --version, or --revert")
        present = {name: _is_present(value, name) for name, value in (("fx", fx), ("rules", rules), ("dialects", dialects))}
        found = _rerate(database, actor, Rerating(key, version, days.first, days.last, model, mandate, **present), by, dry_run=dry_run)
    show({"dry_run": dry_run, **_fields(found)}, lambda: _print(found, dry_run=dry_run), as_json=as_json)


def waive(
    version: Annotated[int, typer.Argument(min=1, metavar="VERSION", help="Id of the version, as `tollbook prices list` shows it.")],
    *,
    reason: Annotated[str, typer.Option(help="Why what it would change stays as it is; kept in the books.")],
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Let recorded events stay as they are that an accepted version would rate otherwise: the finding about them is gone."""
    found = ask(waive_reach, version, reason=reason, by=by)
    show(found, lambda: print_reach(found), as_json=as_json)


def settle(
    mandate: Mandate,
    event: Annotated[str, typer.Argument(help="Id of the event, as `tollbook parked list` shows it.")],
    price: Annotated[str, typer.Argument(help="What it costs, in CHF.")],
    *,
    reason: Annotated[str, typer.Option(help="Why it costs that; kept in the books.")],
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Record an event that is parked for want of a price, at this price. The same again changes nothing and shows the first result."""
    asked = Settlement.read({"mandate_id": mandate, "event_id": event, "price_chf": price, "reason": reason, "by": by})
    show(ask(settle_parked, asked, config=configuration(), worker=process_name("settle")), as_json=as_json)


def print_reach(reach: Reach) -> None:
    """What an accepted version would change of recorded events, for people."""
    if not reach.events:
        typer.echo("no recorded event would be rated otherwise by it")
        return
    _REACH.print(reach.models)
    if reach.waived_at is not None:
        typer.echo(printable(f"waived by {reach.waived_by}: {reach.waived_reason}"))
    else:
        again, stays = "tollbook prices rerate", f"tollbook prices waive {reach.version_id}"
        typer.echo(f"{counted(reach.events, 'recorded event')} would be rated otherwise by version {reach.version_id}: {again}, or {stays}")


def _rerate(database: Database, actor: Actor, asked: Rerating, by: str, *, dry_run: bool) -> Rerated:
    with progress(None) as tell:
        if dry_run:
            return check_rerate(database, actor, asked, lambda n: tell(n, lambda: f"looked at {counted(n, 'event')}"))
        return rerate(
            database,
            actor,
            asked,
            by=by,
            worker=process_name("rerate"),
            progress=lambda n: tell(n, lambda: f"rated {counted(n, 'event')} again"),
        )


def _revert(database: Database, actor: Actor, key: str, by: str, *, dry_run: bool) -> list[PriceTotals]:
    how = reverting(key, by, process_name("rerate"), dry_run=dry_run)
    with progress(None) as tell:
        return revert_rerating(database, actor, how, lambda n: tell(n, lambda: f"reverted {counted(n, 'event')}"))


def _require_none(**given: Days | str | int | None) -> None:
    if any(value is not None for value in given.values()):
        raise typer.BadParameter("goes with --key alone", param_hint="--revert")


def _is_present(value: str | None, name: str) -> bool:
    if value not in (None, "present"):
        raise typer.BadParameter("can only be present", param_hint=f"--{name}")
    return value is not None


def _fields(found: Rerated) -> dict[str, object]:
    return {name: getattr(found, name) for name in ("version_id", "deltas", "left", "unchanged", "repeated")}


def _print(found: Rerated, *, dry_run: bool) -> None:
    cells = [_DELTAS.cells(delta)[2:] for delta in found.deltas]
    total = [("total", "", *(sum(column) for column in zip(*cells, strict=True)))] if len(cells) > 1 else []
    if found.deltas:
        _DELTAS.print(found.deltas, last=total)
    if found.left:
        _LEFT.print(found.left)
    typer.echo(f"{counted(sum(delta.events for delta in found.deltas), 'event')} changed, {found.unchanged} as by the version already")
    _say(dry_run=dry_run, repeated=found.repeated)


def _print_reverted(totals: Sequence[PriceTotals], *, dry_run: bool) -> None:
    _REVERTED.print(totals)
    _say(dry_run=dry_run, repeated=False)
    for problem in [problem for mandate in totals for problem in mandate.problems][:PROBLEMS_SHOWN_MAX]:
        tell("wrong", problem, label="")


def _say(*, dry_run: bool, repeated: bool) -> None:
    if dry_run:
        typer.echo("dry run: nothing was written")
    elif repeated:
        typer.echo("repeated: nothing was changed now")
