"""`tollbook holds`: holds of many, and those that nobody was billed for."""

from typing import Annotated

import typer

from cli.acting import acting
from cli.asking import ask
from cli.context import open_database
from cli.options import AsJson, Limit, Mandates, Offset, moment_first
from cli.output.progress import progress
from cli.output.show import Listing, show, show_rows
from cli.output.text import age_text, counted
from core.asking.rights import require_root
from core.billing import HoldState
from core.holds.expire import expire_holds
from core.holds.read import ShownHold, UnbilledHold, expired_holds, list_holds

app = typer.Typer(help="Holds of many calls: list, expired, expire.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)
_LISTING = Listing(
    ("mandate", "mandate_id"),
    ("key", "hold_key"),
    ("user", "user_id"),
    "state",
    ("CHF", "amount"),
    ("remaining", "remaining"),
    "captured",
    "used",
    ("authorised (UTC)", "authorised_at"),
    ("until (UTC)", "expires_at"),
    of=ShownHold,
    less=("used", "captured", "until (UTC)", "user"),
    after=lambda last: ("--after", last.mandate_id, last.hold_key),
)
_UNBILLED = Listing(
    ("mandate", "mandate_id"),
    ("key", "hold_key"),
    ("user", "user_id"),
    ("CHF", "amount"),
    "model",
    ("feature", "feature_code"),
    ("authorised (UTC)", "authorised_at"),
    ("age", lambda hold: age_text(hold.age_seconds)),
    ("settled (UTC)", "settled_at"),
    of=UnbilledHold,
    less=("settled (UTC)", "feature", "user", "model"),
    after=lambda last: ("--before", last.settled_at.isoformat(), last.mandate_id, last.hold_key),
)


@app.command("list", epilog="Example: tollbook holds list --mandate acme --state OPEN")
def list_all(
    mandate: Mandates = None,
    user: Annotated[str | None, typer.Option(help="Only those for this user.")] = None,
    state: Annotated[
        HoldState | None, typer.Option(case_sensitive=False, metavar="|".join(HoldState), help="Only those in this state by now.")
    ] = None,
    limit: Limit = 100,
    offset: Offset = 0,
    after: Annotated[
        tuple[str, str] | None, typer.Option(metavar="MANDATE KEY", help="Where the page begins: mandate and key of the last row already seen.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List holds by mandate and key; amounts in CHF."""
    show_rows(ask(list_holds, mandate, user_id=user, state=state, limit=limit, offset=offset, after=after), _LISTING, limit, as_json=as_json)


@app.command(epilog="Example: tollbook holds expired --mandate acme")
def expired(
    mandate: Mandates = None,
    limit: Limit = 100,
    offset: Offset = 0,
    before: Annotated[
        tuple[str, str, str] | None,
        typer.Option(metavar="SETTLED MANDATE KEY", help="Where the page begins: time, mandate and key of the last row already seen."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List calls that were authorised and never billed: holds that expired without usage, the last first."""
    found = ask(expired_holds, mandate, limit=limit, offset=offset, before=moment_first(before))
    show_rows(found, _UNBILLED, limit, as_json=as_json)


@app.command(epilog="Example: tollbook holds expire")
def expire(*, as_json: AsJson = False) -> None:
    """Settle every hold that the clock has ended, and list it: workers do the same every 5 seconds, where beat runs. Balances are right before."""
    require_root(acting(), "settle holds that are over")
    expired = 0
    with open_database() as database, progress(None) as tell:
        while done := expire_holds(database):
            expired += done
            tell(expired, f"settled {counted(expired, 'hold')}".__str__)
    show({"expired": expired}, f"settled: {counted(expired, 'hold')}", as_json=as_json)
