"""`tollbook erase`: what the books hold of a person beside the id."""

from typing import Annotated

import typer

from cli.confirming import Yes, confirm
from cli.context import find_servers, opened
from cli.options import AsJson, By
from cli.output.show import show
from core.housekeeping.erase_user import erase_user

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_LEFT = "what is still to be decided or recorded keeps its text: decide the letters, let the events be recorded, and erase again"

Mandates = Annotated[list[str] | None, typer.Option("--mandate", help="Only in this mandate; can be repeated. The user's names stay then.")]


@app.command(epilog="Example: tollbook erase ada --reason 'request of 3 May, ticket 4711' --dry-run")
def erase(
    user: Annotated[str, typer.Argument(metavar="USER", help="The user's id, which stays in the books as a pseudonym.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the books.")],
    mandate: Mandates = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be erased.")] = False,
    by: By = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Erase a person's names, the descriptions of their entries, and the bodies of resolved dead letters that name them, for good.

    It takes the owner's login. Amounts, keys and times stay, and the directory can't bring the names back.
    """
    config = find_servers()
    if not dry_run:
        confirm(f"erase the names of {user} and what tells of them, for good? --dry-run counts it", yes=yes)
    with opened(config.require_owner_url(), config) as database:
        counts = erase_user(database, user, mandate_ids=mandate or None, by=by, reason=reason, dry_run=dry_run)
    left = counts["open_letters_left"] or counts["parked_events_left"]
    show({"user_id": user, "dry_run": dry_run, **counts}, counts, *([_LEFT] if left else []), as_json=as_json)
