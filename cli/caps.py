"""`tollbook caps`: how much may be used in a window of time."""

from typing import Annotated, Any

import typer

from cli.asking import ask
from cli.names import warn_of_unknown
from cli.options import AsJson, BeforeId, By, Limit, Mandate, Offset
from cli.output.show import Listing, show, show_rows
from cli.output.text import counted
from cli.ranges import Moments, ranged
from core.alerts.read import ShownCapAlert, list_cap_alerts
from core.billing import CapAction, CapDimension, CapPeriod, CapScope
from core.caps.read import CapStanding, CapWindow, ShownCap, cap, list_caps
from core.caps.remove_cap import CapRemoval, remove_cap
from core.caps.set_cap import NewCap, set_cap

app = typer.Typer(
    help="Caps: how much may be used in a day, a week, a month or altogether. What happened is always recorded.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
UsersOffset = Annotated[int, typer.Option("--offset", min=0, help="Users of the present window to leave out first.")]
CapId = Annotated[int, typer.Argument(min=1, metavar="CAP", help="Id of the cap.")]
AfterId = Annotated[int | None, typer.Option("--after", min=1, metavar="ID", help="Where the page begins: the id of the last row already seen.")]
OfMandate = Annotated[str | None, typer.Option("--mandate", help="Only those of this mandate.")]


def _whom(found: ShownCap) -> str | None:
    return {CapScope.ALL: "all", CapScope.EACH_USER: "each user"}.get(found.scope, found.user_id)


def _what(found: Any) -> str | None:
    return None if found.dimension is None else f"{found.dimension} {found.value}"


def _shares(found: ShownCap) -> str:
    return " ".join(map(str, found.shares))


_LISTING = Listing(
    "id",
    ("mandate", "mandate_id"),
    ("whose", _whom),
    ("on", _what),
    "period",
    ("limit CHF", "limit_chf"),
    "action",
    ("shares %", _shares),
    ("counts from", "first_day"),
    ("removed (UTC)", "removed_at"),
    of=ShownCap,
    free=("on",),
    less=("removed (UTC)", "counts from", "shares %"),
    after=lambda last: ("--after", str(last.id)),
)


def _left(window: CapWindow) -> object:
    return "reached" if window.reached else window.left


_WINDOWS = Listing(
    ("user", "user_id"),
    ("from", "window_start"),
    ("spent CHF", "spent"),
    ("%", "percent"),
    ("held CHF", "held"),
    ("left CHF", _left),
    ("next window (UTC)", "opens_at"),
    of=CapWindow,
    less=("from", "held CHF"),
)
_ALERTS = Listing(
    "id",
    ("recorded (UTC)", "recorded_at"),
    ("mandate", "mandate_id"),
    ("cap", "cap_id"),
    ("user", "user_id"),
    ("on", _what),
    "period",
    ("from", "window_start"),
    ("share %", "share"),
    "recovered",
    ("after CHF", "spent_after"),
    ("limit CHF", "limit_chf"),
    ("published (UTC)", lambda alert: "withheld" if alert.withheld_at else alert.published_at),
    of=ShownCapAlert,
    less=("published (UTC)", "recovered", "from", "id", "period", "cap"),
    after=lambda last: ("--before", str(last.id)),
)


@app.command("set", epilog="Example: tollbook caps set acme --limit 5 --period day --user ada --model gpt-5")
def set_one(
    mandate: Mandate,
    *,
    limit: Annotated[str, typer.Option(help="CHF that may be used in each window; 0 refuses from the beginning.")],
    period: Annotated[CapPeriod, typer.Option(case_sensitive=False, help="How long a window is, in the mandate's local days; a week is ISO's.")],
    user: Annotated[str | None, typer.Option(help="Only usage of this user. Default: everybody's together.")] = None,
    each_user: Annotated[bool, typer.Option("--each-user", help="Each user's usage by itself, whoever that is.")] = False,
    provider: Annotated[str | None, typer.Option(help="Only usage of this provider.")] = None,
    model: Annotated[str | None, typer.Option(help="Only usage of this model, as events name it.")] = None,
    feature: Annotated[str | None, typer.Option(help="Only usage under this feature code.")] = None,
    action: Annotated[
        CapAction | None, typer.Option(case_sensitive=False, help="At the limit refuse checks and holds (a new cap's default), or only alert.")
    ] = None,
    shares: Annotated[
        str | None,
        typer.Option(help="Percent of the limit (1 to 1000) at which to alert, with commas; '' for none. Of a new cap: 50,80,100."),
    ] = None,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Set a cap, or change the one that is there, of which stays what isn't named, and show it. What its running window has seen counts.

    It may be about one of provider, model and feature. Usage of the mandate waits while a new cap counts.
    """
    if user is not None and each_user:
        raise typer.BadParameter("name --user or --each-user, not both")
    named = {CapDimension.PROVIDER: provider, CapDimension.MODEL: model, CapDimension.FEATURE: feature}
    what = [(dimension, value) for dimension, value in named.items() if value is not None]
    if len(what) > 1:
        raise typer.BadParameter("name one of --provider, --model and --feature")
    dimension, value = what[0] if what else (None, None)
    fields = {"limit_chf": limit, "period": period, "user_id": user, "scope": CapScope.EACH_USER if each_user else None, "dimension": dimension}
    asked = NewCap.read({"mandate_id": mandate, **fields, "value": value, "action": action, "shares": _percents(shares), "by": by})
    done = ask(set_cap, asked)
    warn_of_unknown(user=user, model=model)
    told = f"; {counted(done.crossings, 'share')} reached or left by that" if done.crossings else ""
    show(done, f"{done.done.lower()}{told}", lambda: _LISTING.print([done.cap]), as_json=as_json)


def _percents(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(share) for share in text.split(",") if share.strip()]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of percentages such as 50,80,100", param_hint="--shares") from None


@app.command("list", epilog="Example: tollbook caps list --mandate acme --user ada")
def list_all(
    mandate: OfMandate = None,
    *,
    user: Annotated[str | None, typer.Option(help="Only those in which usage of this user may count.")] = None,
    removed: Annotated[bool, typer.Option("--removed", help="Also those that were removed.")] = False,
    limit: Limit = 100,
    offset: Offset = 0,
    after: AfterId = None,
    as_json: AsJson = False,
) -> None:
    """List caps by id; with --json every field of each."""
    found = ask(list_caps, [mandate] if mandate else None, user_id=user, removed=removed, limit=limit, offset=offset, after=after)
    show_rows(found, _LISTING, limit, as_json=as_json)


@app.command("show", epilog="Example: tollbook caps show acme 7")
def show_one(mandate: Mandate, cap_id: CapId, limit: Limit = 100, offset: UsersOffset = 0, as_json: AsJson = False) -> None:
    """Show a cap and its present windows: what is spent, held and left, and when the next one begins; amounts in CHF.

    Of a cap for each user those who have used most come first.
    """
    found = ask(cap, mandate, cap_id, limit=limit, offset=offset)
    show(found, lambda: _print_standing(found), as_json=as_json)


def _print_standing(found: CapStanding) -> None:
    _LISTING.print([found.cap])
    typer.echo("")
    _WINDOWS.print(found.windows)


@app.command("remove", epilog="Example: tollbook caps remove acme 7")
def remove_one(mandate: Mandate, cap_id: CapId, *, by: By = "", as_json: AsJson = False) -> None:
    """Remove a cap; it stays in the list of removed ones, with what it counted and told."""
    found = ask(remove_cap, CapRemoval.read({"mandate_id": mandate, "cap_id": cap_id, "by": by}))
    show(found, lambda: _LISTING.print([found]), as_json=as_json)


@app.command(epilog="Example: tollbook caps alerts --mandate acme --from 2026-01-31")
@ranged
def alerts(
    mandate: OfMandate = None,
    *,
    cap_id: Annotated[int | None, typer.Option("--cap", min=1, help="Only those of this cap.")] = None,
    times: Moments,
    unpublished: Annotated[bool, typer.Option("--unpublished", help="Only those that still wait to be published.")] = False,
    limit: Limit = 100,
    offset: Offset = 0,
    before: BeforeId = None,
    as_json: AsJson = False,
) -> None:
    """List shares of caps that were reached, and left again, newest first; amounts in CHF."""
    mandates = [mandate] if mandate else None
    found = ask(
        list_cap_alerts, mandates, cap_id=cap_id, since=times.since, until=times.until, waiting=unpublished, limit=limit, offset=offset, before=before
    )
    show_rows(found, _ALERTS, limit, as_json=as_json)
