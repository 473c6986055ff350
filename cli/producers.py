"""`tollbook producers`: which of their numbers came."""

from typing import Annotated

import typer

from cli.asking import ask
from cli.options import AsJson, Limit, Offset
from cli.output.show import Listing, show_rows
from cli.output.text import age_text
from core.producers.read import MissingRange, Producer, list_missing, list_producers

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def _ranges(producer: Producer) -> str:
    ranges = [f"{first}-{last}" if first < last else str(first) for first, last in producer.missing]
    if producer.missing_ranges > len(ranges):
        ranges.append(f"and {producer.missing_ranges - len(ranges)} more")
    if producer.untracked_from is not None:
        ranges.append(f"not looked at from {producer.untracked_from} on")
    return ", ".join(ranges)


def _age(one: Producer | MissingRange) -> str | None:
    return None if one.missing_seconds is None else age_text(one.missing_seconds)


_LISTING = Listing(
    ("producer", "producer_id"),
    "highest",
    ("missing", "missing_events"),
    ("ranges", _ranges),
    ("for", _age),
    ("first seen (UTC)", "first_seen_at"),
    ("last seen (UTC)", "last_seen_at"),
    of=Producer,
    free=("ranges",),
    less=("first seen (UTC)", "ranges"),
    hint="no event that came has a producer_id and a producer_seq; docs/producers.md says what they are good for",
    after=lambda last: ("--before", last.producer_id),
)
_MISSING = Listing(
    ("first", "first_seq"),
    ("last", "last_seq"),
    ("missing since (UTC)", "since"),
    ("for", _age),
    ("finding", "is_finding"),
    of=MissingRange,
    hint="nothing is missing of it",
    after=lambda last: ("--after", str(last.first_seq)),
)


@app.command(epilog="Example: tollbook producers --missing")
def producers(
    producer: Annotated[
        str | None, typer.Argument(metavar="PRODUCER", help="Every missing range of this one, by its id.", show_default=False)
    ] = None,
    *,
    missing: Annotated[bool, typer.Option("--missing", help="Only producers of which anything is missing.")] = False,
    limit: Limit = 100,
    offset: Offset = 0,
    before: Annotated[str | None, typer.Option(help="Where the page begins: the id of the last producer already seen.")] = None,
    after: Annotated[int | None, typer.Option(min=1, help="Of one producer: the first number of the last range already seen.")] = None,
    as_json: AsJson = False,
) -> None:
    """List producers that number their events: the highest number that came, and the ranges that have not, with their age.

    What is missing may be on its way, lost before it reached the broker, or never sent: `tollbook compare` tells, with the producer's journal.
    """
    if producer is None:
        show_rows(ask(list_producers, missing=missing, limit=limit, offset=offset, before=before), _LISTING, limit, as_json=as_json)
    else:
        show_rows(ask(list_missing, producer, limit=limit, offset=offset, after=after), _MISSING, limit, as_json=as_json)
