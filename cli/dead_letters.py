"""`tollbook deadletters`: messages that can't be recorded."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.context import open_database
from cli.options import AsJson, Limit, Offset
from cli.output.json_out import print_json
from cli.output.tables import cell, print_fields, print_table
from cli.output.text import decoded, printable
from core.domain.billing import DeadLetterStatus
from core.domain.rejection import Reason
from core.views import dead_letters

app = typer.Typer(
    help="Dead letters: messages that can't be recorded, each with its reason and bytes.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
SHOWN_CHARACTERS_MAX = 4000


@app.command("list", epilog="Example: tollbook deadletters list --status OPEN --reason conflict")
def list_all(
    mandate: Annotated[str | None, typer.Option(help="Only those of this mandate; a message that can't be parsed is of none.")] = None,
    reason: Annotated[Reason | None, typer.Option(case_sensitive=False, help="Only those with this reason.")] = None,
    status: Annotated[
        DeadLetterStatus | None, typer.Option(case_sensitive=False, metavar="|".join(DeadLetterStatus), help="Only those with this status.")
    ] = None,
    limit: Limit = 100,
    offset: Offset = 0,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first, without their bytes; with --json every other field of each."""
    with open_database() as database:
        found = dead_letters.list_dead_letters(database, mandate_id=mandate, reason=reason, status=status, limit=limit, offset=offset)
    if as_json:
        print_json(found)
        return
    columns = ("id", "last seen (UTC)", "status", "reason", "mandate", "event", "attempts", "detail")
    rows = [(d.id, d.last_seen_at, d.status, d.reason, d.mandate_id, d.event_id, d.attempts, d.detail) for d in found]
    print_table(columns, rows, free=("detail",))


@app.command(epilog="Example: tollbook deadletters show 7 --json")
def show(dead_letter: Annotated[int, typer.Argument(metavar="ID", help="Id of the dead letter.")], as_json: AsJson = False) -> None:
    """Show one dead letter whole. Its bytes: in base64 with --json, else as text, cut if long, what could harm a terminal escaped."""
    with open_database() as database:
        found = dead_letters.dead_letter(database, dead_letter)
    if as_json:
        print_json(found)
        return
    fields = asdict(found)
    del fields["body"], fields["difference"]
    print_fields(fields, free=("detail", "resolution"))
    for name, (recorded, sent) in (found.difference or {}).items():
        typer.echo(f"{printable(name)}: recorded {cell(recorded)}, sent {cell(sent)}")
    kept = f"first {len(found.body)} of {found.body_length} bytes" if found.body_truncated else f"{found.body_length} bytes"
    text = decoded(found.body)
    note = f"; only its first {SHOWN_CHARACTERS_MAX} characters are shown, --json has all that is kept" if len(text) > SHOWN_CHARACTERS_MAX else ""
    typer.echo(f"body ({kept}{note}):")
    typer.echo(text[:SHOWN_CHARACTERS_MAX])
