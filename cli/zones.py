"""`tollbook zones`: time zones that aren't known, or whose rules have changed since entries were recorded."""

from typing import Annotated

import typer

from cli.asking import ask
from cli.options import AsJson, By
from cli.output.show import Listing, show
from cli.output.text import counted
from cli.output.zones import zone_lines
from core.verifying.accept_former_offset import FormerOffsetAsked, accept_former_offset
from core.verifying.read_zones import FormerRules, ZoneReport, check_zones

app = typer.Typer(help="Time zones of mandates.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)
_FORMER = Listing(
    ("zone", "time_zone"),
    "mandates",
    "entries",
    ("first (UTC)", "first"),
    ("last (UTC)", "last"),
    ("offset now", "present_offset"),
    ("likely then", "likely_offset"),
    of=FormerRules,
    less=("mandates",),
)


@app.command(epilog="Example: tollbook zones check")
def check(as_json: AsJson = False) -> None:
    """List mandates whose time zone isn't known, and entries on days that their zone's present rules don't give; exit code 1 if there are any.

    It reads the whole books and changes nothing.
    """
    report = ask(check_zones)
    told = {"ok": report.ok, "unknown": report.unknown.mandates, "former": report.former, "accepted": report.accepted}
    show(told, lambda: _print(report), as_json=as_json, rows=report.former, of=FormerRules)
    if not report.ok:
        raise typer.Exit(1)


@app.command(epilog="Example: tollbook zones accept Africa/Casablanca --offset +01:00 --reason 'recorded before tzdata 2026c'")
def accept(
    time_zone: Annotated[str, typer.Argument(metavar="ZONE", help="The zone, as `check` names it.")],
    offset: Annotated[str, typer.Option(help="Its offset from UTC when the entries were recorded, such as +01:00.")],
    reason: Annotated[str, typer.Option(help="Why, such as the release of the zone data; kept in the books.")],
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Accept that entries on another day were recorded rightly, under an offset that the zone's rules had then. No entry changes.

    It holds for entries that are there by now, stand on the day of this offset, and happened between the first and the last of
    those that break I16; any other day still breaks it.
    """
    asked = FormerOffsetAsked.read({"time_zone": time_zone, "offset": offset, "reason": reason, "by": by})
    done = ask(accept_former_offset, asked)
    fields = {"time_zone": done.time_zone, "offset": done.offset, "entries": done.entries, "from": done.first, "until": done.last}
    show(done, fields, as_json=as_json)


def _print(report: ZoneReport) -> None:
    for line in zone_lines(report.unknown):
        typer.echo(line)
    if report.former:
        _FORMER.print(report.former)
        typer.echo("these entries stand on other days than the present rules give, and stay as they are: where the rules have changed")
        typer.echo("since they were recorded, say so with `tollbook zones accept`; where they haven't, the entries were damaged")
    if report.accepted:
        offsets = counted(len(report.accepted), "former offset")
        typer.echo(f"accepted: {offsets}, see --json")
    typer.echo("zones: ok" if report.ok else f"zones: {counted(report.unknown.total, 'mandate')}, {counted(len(report.former), 'change')} of rules")
