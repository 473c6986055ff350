"""`tollbook backfill`: what the directory's mandates and members lack in the books, made now."""

from collections.abc import Callable
from functools import partial

import typer

from cli.context import find_servers, open_database, process_name
from cli.options import AsJson
from cli.output.notes import tell
from cli.output.show import show
from core.errors import Conflict, RequestRefused
from core.recording.backfill_accounts import backfill_accounts
from core.settings.backfill import backfill_settings

app = typer.Typer(
    help="What the directory's mandates and members lack in the books, made now rather than by the schedule.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command(epilog="Example: tollbook backfill settings")
def settings(as_json: AsJson = False) -> None:
    """Give each enabled mandate of the directory without billing settings the defaults. Repeatable."""
    _run("settings", backfill_settings, as_json=as_json)


@app.command(epilog="Example: tollbook backfill accounts")
def accounts(as_json: AsJson = False) -> None:
    """Open the accounts of members and the pools that are missing, make grants that are due, record parked events. Repeatable."""
    _run("accounts", partial(backfill_accounts, refused=_tell), as_json=as_json)


def _tell(refusal: RequestRefused) -> None:
    tell("refused", f"grant refused: {refusal}", label="")


def _run(name: str, backfill: Callable[..., dict[str, int] | None], *, as_json: bool) -> None:
    config = find_servers()
    with open_database() as database:
        counts = backfill(database, config=config, worker=process_name(f"backfill {name}"), at_once=True)
    if counts is None:
        raise Conflict(f"{name} are being backfilled by somebody else in this moment: try again")
    show(counts, as_json=as_json)
