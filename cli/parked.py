"""`tollbook parked`: events whose mandate isn't known yet, or which can't be priced yet."""

from typing import Annotated

import typer

from cli.acting import acting
from cli.asking import ask
from cli.context import find_servers, open_database, process_name
from cli.names import warn_of_unknown
from cli.options import AsJson, Limit, Mandate, Offset, moment_first
from cli.output.progress import progress
from cli.output.show import Listing, show, show_rows
from cli.output.text import counted
from core.asking.rights import require_root
from core.recording.read_parked import ParkedCount, ParkedEventSummary, list_parked, parked_per_mandate, show_parked
from core.recording.release_parked import release_all_parked

app = typer.Typer(
    help="Parked events: recorded by themselves once their mandate is known, or once they have the price that it pays.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
_LISTING = Listing(
    ("mandate", "mandate_id"),
    ("event", "event_id"),
    "reason",
    ("received (UTC)", "received_at"),
    ("bytes", "body_length"),
    "origin",
    of=ParkedEventSummary,
    less=("origin", "bytes", "received (UTC)"),
    after=lambda last: ("--before", last.received_at.isoformat(), last.mandate_id, last.event_id),
)
_PER_MANDATE = Listing(
    ("mandate", "mandate_id"),
    "events",
    ("oldest (UTC)", "oldest_received_at"),
    of=ParkedCount,
    after=lambda last: ("--after", str(last.events), last.mandate_id),
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
    if per_mandate:
        show_rows(ask(parked_per_mandate, limit=limit, offset=offset, after=after), _PER_MANDATE, limit, as_json=as_json)
    else:
        found = ask(list_parked, mandate_id=mandate, limit=limit, offset=offset, before=moment_first(before))
        if not found:
            warn_of_unknown(mandate=mandate)
        show_rows(found, _LISTING, limit, as_json=as_json)


@app.command("show", epilog="Example: tollbook parked show acme e1")
def show_one(mandate: Mandate, event: Annotated[str, typer.Argument(metavar="EVENT", help="The event's id.")], *, as_json: AsJson = False) -> None:
    """Show one parked event: why it is parked, and what stands in its way by now, such as the very class of tokens that has no price."""
    show(ask(show_parked, mandate, event), as_json=as_json)


@app.command(epilog="Example: tollbook parked release")
def release(*, as_json: AsJson = False) -> None:
    """Record, each mandate's oldest first, every parked event whose mandate is known and enabled by now. Workers do the same every 15 seconds."""
    require_root(acting(), "release parked events")
    config = find_servers()
    with open_database() as database, progress(None) as tell:
        done = release_all_parked(
            database,
            config=config,
            worker=process_name("parked release"),
            progress=lambda n: tell(n, lambda: f"released {counted(n, 'event')}"),
        )
    show({"released": done.counts()}, f"released: {done.summary()}", as_json=as_json)
