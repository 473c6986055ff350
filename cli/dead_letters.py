"""`tollbook deadletters`: messages that can't be recorded, and what becomes of them."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.asking import ask, asking
from cli.confirming import Yes, confirm
from cli.context import find_servers, process_name
from cli.correct import correct
from cli.names import warn_of_unknown
from cli.options import AsJson, BeforeId, By, Limit, Offset
from cli.output.notes import note
from cli.output.progress import progress
from cli.output.show import Listing, show, show_rows
from cli.output.tables import cell, print_fields
from cli.output.text import counted, decoded, printable
from cli.ranges import Moments, ranged
from core.billing import DeadLetterStatus
from core.dead_letters import read as dead_letters
from core.dead_letters.accept_conflict import accept_conflict
from core.dead_letters.discard import discard_dead_letters
from core.dead_letters.replay import Replay, Replaying, replay_dead_letters
from core.dead_letters.sql.status import Choice
from core.rejection import Reason

app = typer.Typer(
    help="Dead letters: messages that can't be recorded, each with its reason and bytes, until an operator decides.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
SHOWN_CHARACTERS_MAX = 4000
Ids = Annotated[list[int] | None, typer.Option("--id", min=1, help="Only this one; repeat it for several.")]
OfReason = Annotated[Reason | None, typer.Option(case_sensitive=False, help="Only those with this reason.")]
OfMandate = Annotated[str | None, typer.Option(help="Only those of this mandate; a message that can't be parsed is of none.")]
Everything = Annotated[bool, typer.Option("--all", help="Every open one.")]
_LISTING = Listing(
    "id",
    ("last seen (UTC)", "last_seen_at"),
    "status",
    "reason",
    ("mandate", "mandate_id"),
    ("event", "event_id"),
    "attempts",
    "detail",
    of=dead_letters.DeadLetterSummary,
    free=("detail",),
    less=("attempts", "event", "mandate", "last seen (UTC)"),
    after=lambda last: ("--before", str(last.id)),
)
_OVERFLOW = Listing(
    "queue",
    "reason",
    ("deliveries", "letters"),
    "bytes",
    ("first seen (UTC)", "first_seen_at"),
    ("last seen (UTC)", "last_seen_at"),
    ("last SHA-256", "last_sha256"),
    of=dead_letters.Overflow,
    less=("last SHA-256", "first seen (UTC)"),
)


@app.command("list", epilog="Example: tollbook deadletters list --status OPEN --reason conflict")
@ranged
def list_all(
    times: Moments,
    mandate: OfMandate = None,
    reason: OfReason = None,
    status: Annotated[
        DeadLetterStatus | None, typer.Option(case_sensitive=False, metavar="|".join(DeadLetterStatus), help="Only those with this status.")
    ] = None,
    seen_again: Annotated[bool, typer.Option("--seen-again", help="Only resolved ones whose bytes came once more since then.")] = False,
    limit: Limit = 100,
    offset: Offset = 0,
    before: BeforeId = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first, without their bytes; with --json every other field of each."""
    with asking() as (database, actor):
        found = dead_letters.list_dead_letters(
            database,
            actor,
            mandate_id=mandate,
            reason=reason,
            status=status,
            seen_again=seen_again,
            since=times.since,
            until=times.until,
            limit=limit,
            offset=offset,
            before=before,
        )
        beyond = dead_letters.overflow(database, actor)
    if beyond:
        letters = sum(one.letters for one in beyond)
        note(f"refused beyond these, and only counted: {letters:,}; see `tollbook deadletters overflow`")
    if not found:
        warn_of_unknown(mandate=mandate)
    show_rows(found, _LISTING, limit, as_json=as_json)


@app.command(epilog="Example: tollbook deadletters overflow --json")
def overflow(as_json: AsJson = False) -> None:
    """List what was refused when there was no room for further letters: by queue and reason, how many, with the last one's hash."""
    show_rows(ask(dead_letters.overflow), _OVERFLOW, as_json=as_json)


@app.command("show", epilog="Example: tollbook deadletters show 7 --json")
def show_one(dead_letter: Annotated[int, typer.Argument(metavar="ID", help="Id of the dead letter.")], as_json: AsJson = False) -> None:
    """Show one dead letter whole. Its bytes: in base64 with --json, else as text, cut if long, what could harm a terminal escaped."""
    found = ask(dead_letters.dead_letter, dead_letter)
    show(found, lambda: _print(found), as_json=as_json)


def _print(found: dead_letters.WholeDeadLetter) -> None:
    print_fields(
        {name: value for name, value in asdict(found).items() if name not in ("body", "difference", "corrected_body")}, free=("detail", "resolution")
    )
    for name, (recorded, sent) in (found.difference or {}).items():
        typer.echo(f"{printable(name)}: recorded {cell(recorded)}, sent {cell(sent)}")
    kept = f"first {len(found.body)} of {found.body_length} bytes" if found.body_truncated else f"{found.body_length} bytes"
    text = decoded(found.body)
    note = f"; only its first {SHOWN_CHARACTERS_MAX} characters are shown, --json has all that is kept" if len(text) > SHOWN_CHARACTERS_MAX else ""
    typer.echo(f"body ({kept}{note}):")
    typer.echo(text[:SHOWN_CHARACTERS_MAX])
    if found.corrected_body is not None:
        typer.echo(f"corrected to ({len(found.corrected_body)} bytes):")
        typer.echo(decoded(found.corrected_body)[:SHOWN_CHARACTERS_MAX])


@app.command(epilog="Example: tollbook deadletters replay --reason unknown_field --from 2026-01-31 --dry-run")
@ranged
def replay(
    *,
    ids: Ids = None,
    reason: OfReason = None,
    mandate: OfMandate = None,
    times: Moments,
    everything: Everything = False,
    accept_late: Annotated[bool, typer.Option("--accept-late", help="Record also what was too late when it first came.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would become of them.")] = False,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Record open dead letters, as intake would now. What is refused again stays open, with the new reason. Repeatable.

    A letter whose event is in the books by other means is resolved as well; a conflict stays one (see accept).
    """
    choice = _choice(ids, reason, mandate, times, everything=everything)
    config = find_servers()
    how = Replaying(config, process_name("deadletters replay"), by, accept_late=accept_late, dry_run=dry_run)
    with asking() as (database, actor), progress(dead_letters.count_open(database, actor, choice)) as tell:
        done = replay_dead_letters(database, actor, choice, how, lambda so_far: tell(so_far.done, lambda: _in_words(so_far)))
    counts = {"letters": done.letters, "replayed": done.replayed, "still_open": done.still_open, "not_whole": done.not_whole}
    told = {**counts, "outcomes": dict(done.outcomes), "reasons": dict(done.reasons), "dry_run": dry_run}
    show(told, lambda: _print_replay(done, dry_run=dry_run), as_json=as_json)


def _print_replay(done: Replay, *, dry_run: bool) -> None:
    if not done.letters:
        note("no open dead letter is meant")
        return
    typer.echo(("dry run, nothing is kept: " if dry_run else "") + _in_words(done))
    if done.not_whole:
        typer.echo(f"{counted(done.not_whole, 'letter')} above 256 KiB can't be replayed: only the beginning is kept; have it sent anew")
    for refused, events in sorted(done.reasons.items()):
        typer.echo(f"refused again as {refused}: {counted(events, 'event')}")


@app.command(epilog="Example: tollbook deadletters discard --id 7 --resolution 'test traffic'")
@ranged
def discard(
    *,
    ids: Ids = None,
    reason: OfReason = None,
    mandate: OfMandate = None,
    times: Moments,
    everything: Everything = False,
    resolution: Annotated[str, typer.Option(help="Why, kept with the letter.")] = "discarded",
    by: By = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Decide that open dead letters are never to be recorded; a conflict is thereby rejected. They stay as evidence. Repeatable."""
    choice = _choice(ids, reason, mandate, times, everything=everything)
    with asking() as (database, actor):
        meant = dead_letters.count_open(database, actor, choice)
    confirm(f"discard {counted(meant, 'letter')}, never to be recorded?", yes=yes or not meant)
    with asking() as (database, actor), progress(meant) as tell:
        discarded = discard_dead_letters(
            database,
            actor,
            choice,
            by=by,
            resolution=resolution,
            progress=lambda n: tell(n, lambda: f"discarded {counted(n, 'letter')}"),
        )
    show({"discarded": discarded}, f"discarded {counted(discarded, 'letter')}", as_json=as_json)


def _choice(ids: list[int] | None, reason: Reason | None, mandate: str | None, times: Moments, *, everything: bool) -> Choice:
    if not everything and not ids and reason is None and mandate is None and not times:
        raise typer.BadParameter("name at least one of --id, --reason, --mandate, --from and --to, or --all")
    return Choice(tuple(ids or ()), reason, mandate, times.since, times.until)


def _in_words(done: Replay) -> str:
    outcomes = ", ".join(f"{outcome} {n}" for outcome, n in sorted(done.outcomes.items())) or "nothing"
    return f"{counted(done.replayed, 'letter')} replayed, {done.still_open} still open; events: {outcomes}"


@app.command(epilog="Example: tollbook deadletters accept 7")
def accept(dead_letter: Annotated[int, typer.Argument(metavar="ID", help="Id of the dead letter.")], by: By = "", *, as_json: AsJson = False) -> None:
    """Accept a conflict: its event is amended to what this letter says. To reject it, discard it. Repeatable.

    What stands for the event is reversed on the account that paid, and a new debit takes its place.
    """
    done = ask(accept_conflict, dead_letter, by=by, config=find_servers(), worker=process_name("deadletters accept"))
    show(done, as_json=as_json)


app.command(epilog="Example: tollbook deadletters correct 7 corrected.json --reason 'price without a point'")(correct)
