"""`tollbook zones`: time zones that aren't known, or whose rules have changed since entries were recorded."""

from typing import Annotated

import typer

from cli.acting import acting
from cli.context import open_database
from cli.options import AsJson, By, login
from cli.output.json_out import print_json
from cli.output.tables import print_fields, print_table
from cli.output.text import counted
from cli.output.zones import zone_lines
from core.verifying.accept_former_offset import FormerOffsetAsked, accept_former_offset
from core.verifying.read_zones import ZoneReport, check_zones

app = typer.Typer(help="Time zones of mandates.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.command(epilog="Example: tollbook zones check")
def check(as_json: AsJson = False) -> None:
    """List mandates whose time zone isn't known, and entries on days that their zone's present rules don't give; exit code 1 if there are any.

    It reads the whole books and changes nothing.
    """
    with open_database() as database:
        report = check_zones(database, acting())
    if as_json:
        print_json({"ok": report.ok, "unknown": report.unknown.mandates, "former": report.former, "accepted": report.accepted})
    else:
        _show(report)
    if not report.ok:
        raise typer.Exit(1)


@app.command(epilog="Example: tollbook zones accept Africa/Casablanca --offset +01:00 --reason 'recorded before tzdata 2026c'")
def accept(
    time_zone: Annotated[str, typer.Argument(metavar="ZONE", help="The zone, as `check` names it.")],
    offset: Annotated[str, typer.Option(help="Its offset from UTC when the entries were recorded, such as +01:00.")],
    reason: Annotated[str, typer.Option(help="Why, such as the release of the zone data; kept in the books.")],
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Accept that entries on another day were recorded rightly, under an offset that the zone's rules had then. No entry changes.

    It holds for entries that are there by now, stand on the day of this offset, and happened between the first and the last of
    those that break I16; any other day still breaks it.
    """
    asked = FormerOffsetAsked.read({"time_zone": time_zone, "offset": offset, "reason": reason, "by": by or login()})
    with open_database() as database:
        done = accept_former_offset(database, acting(), asked)
    if as_json:
        print_json(done)
    else:
        print_fields({"time_zone": done.time_zone, "offset": done.offset, "entries": done.entries, "from": done.first, "until": done.last})


def _show(report: ZoneReport) -> None:
    for line in zone_lines(report.unknown):
        typer.echo(line)
    if report.former:
        columns = ("zone", "mandates", "entries", "first (UTC)", "last (UTC)", "offset now", "likely then")
        print_table(columns, [(f.time_zone, f.mandates, f.entries, f.first, f.last, f.present_offset, f.likely_offset) for f in report.former])
        typer.echo("these entries stand on other days than the present rules give, and stay as they are: where the rules have changed")
        typer.echo("since they were recorded, say so with `tollbook zones accept`; where they haven't, the entries were damaged")
    if report.accepted:
        offsets = counted(len(report.accepted), "former offset")
        typer.echo(f"accepted: {offsets}, see --json")
    typer.echo("zones: ok" if report.ok else f"zones: {counted(report.unknown.total, 'mandate')}, {counted(len(report.former), 'change')} of rules")
