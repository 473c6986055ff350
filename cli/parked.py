"""`tollbook parked`: events whose mandate isn't known yet."""

from typing import Annotated

import typer

from cli.acting import acting
from cli.context import find_servers, open_database, process_name
from cli.options import AsJson, Limit, Offset, moment_first
from cli.output.json_out import print_json
from cli.output.progress import progress
from cli.output.tables import print_next_page, print_table
from cli.output.text import counted
from core.asking.rights import require_root
from core.recording.read_parked import list_parked, parked_per_mandate
from core.recording.release_parked import release_all_parked

app = typer.Typer(
    help="Parked events: recorded by themselves as soon as their mandate is known.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)


@app.command("list", epilog="Example: tollbook parked list --per-mandate")
def list_all(
    mandate: Annotated[str | None, typer.Option(help="Only those of this mandate.")] = None,
    per_mandate: Annotated[bool, typer.Option("--per-mandate", help="Count them per mandate instead, the most first.")] = False,
    limit: Limit = 100,
    offset: Offset = 0,
    before: Annotated[
        tuple[str, str, str] | None,
        typer.Option(metavar="RECEIVED MANDATE EVENT", help="Where the page begins: time, mandate and event id of the last row already seen."),
    ] = None,
    after: Annotated[
        tuple[int, str] | None,
        typer.Option(metavar="EVENTS MANDATE", help="With --per-mandate: where the page begins, number and mandate of the last row already seen."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List parked events, newest first, or count them per mandate."""
    if per_mandate and mandate is not None:
        raise typer.BadParameter("name --mandate or --per-mandate, not both")
    if (before is not None and per_mandate) or (after is not None and not per_mandate):
        raise typer.BadParameter("name --before for events, --after with --per-mandate")
    with open_database() as database:
        if per_mandate:
            counts = parked_per_mandate(database, acting(), limit=limit, offset=offset, after=after)
        else:
            found = list_parked(database, acting(), mandate_id=mandate, limit=limit, offset=offset, before=moment_first(before))
    if as_json:
        print_json(counts if per_mandate else found)
    elif per_mandate:
        print_table(("mandate", "events", "oldest (UTC)"), [(c.mandate_id, c.events, c.oldest_received_at) for c in counts])
        print_next_page(counts, limit, lambda last: ("--after", str(last.events), last.mandate_id))
    else:
        columns = ("mandate", "event", "reason", "received (UTC)", "bytes", "origin")
        print_table(columns, [(p.mandate_id, p.event_id, p.reason, p.received_at, p.body_length, p.origin) for p in found])
        print_next_page(found, limit, lambda last: ("--before", last.received_at.isoformat(), last.mandate_id, last.event_id))


@app.command(epilog="Example: tollbook parked release")
def release(*, as_json: AsJson = False) -> None:
    """Record, each mandate's oldest first, every parked event whose mandate is known and enabled by now. Workers do the same every 15 seconds."""
    require_root(acting(), "release parked events")
    config = find_servers()
    with open_database() as database, progress(None) as show:
        done = release_all_parked(
            database,
            config=config,
            worker=process_name("parked release"),
            progress=lambda n: show(n, lambda: f"released {counted(n, 'event')}"),
        )
    if as_json:
        print_json({"released": {outcome.value: n for outcome, n in done.counts().items()}})
    else:
        typer.echo(f"released: {done.summary()}")
