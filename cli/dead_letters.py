"""`tollbook deadletters`: messages that can't be recorded."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.context import open_database
from cli.options import AsJson, Limit, Offset
from cli.output.json_out import print_json
from cli.output.tables import print_fields, print_table
from cli.output.text import decoded
from core.domain.billing import DeadLetterStatus
from core.domain.rejection import Reason
from core.views import dead_letters

app = typer.Typer(
    help="Dead letters: messages that can't be recorded, each with its reason and bytes.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command("list", epilog="Example: tollbook deadletters list --status OPEN --reason conflict")
def list_all(
    reason: Annotated[Reason | None, typer.Option(help="Only those with this reason.")] = None,
    status: Annotated[DeadLetterStatus | None, typer.Option(help="Only those with this status.")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first, without their bytes."""
    with open_database() as database:
        found = dead_letters.list_dead_letters(database, reason=reason, status=status, limit=limit, offset=offset)
    if as_json:
        print_json(found)
        return
    columns = ("id", "reason", "detail", "status", "mandate", "event", "origin", "bytes", "attempts", "last seen")
    rows = [(d.id, d.reason, d.detail, d.status, d.mandate_id, d.event_id, d.origin, d.body_length, d.attempts, d.last_seen_at) for d in found]
    print_table(columns, rows)


@app.command(epilog="Example: tollbook deadletters show 7 --json")
def show(dead_letter: Annotated[int, typer.Argument(metavar="ID", help="Id of the dead letter.")], as_json: AsJson = False) -> None:
    """Show one dead letter whole. Its bytes: as text for people, what could harm a terminal escaped; in base64 with --json."""
    with open_database() as database:
        found = dead_letters.dead_letter(database, dead_letter)
    if as_json:
        print_json(found)
        return
    fields = asdict(found)
    body = fields.pop("body")
    print_fields({**fields, "body_sha256": found.body_sha256.hex()})
    typer.echo(decoded(body))
