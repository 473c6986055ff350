"""`tollbook hold`: money kept for a call before it is made."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from cli.asking import ask
from cli.context import find_servers
from cli.options import AsJson, Mandate
from cli.output.caps import ids_text, refusal_text
from cli.output.exits import REFUSED
from cli.output.show import show
from core.dialects.model import Leaf
from core.holds.authorise import authorise as authorise_hold
from core.holds.model import TTL_DEFAULT
from core.holds.question import HoldName, HoldQuestion, Renewal
from core.holds.read import hold
from core.holds.release import release_hold
from core.holds.renew import renew_hold

app = typer.Typer(help="Holds: money kept for a call before it is made.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)

HoldKey = Annotated[str, typer.Option("--key", help="The hold's key, which its usage event names as hold_key.")]
Ttl = Annotated[int, typer.Option(metavar="SECONDS", help="How long it is kept, from now: 1 to 86400.")]
_TTL = int(TTL_DEFAULT.total_seconds())


def _estimated(pairs: list[str] | None) -> dict[str, int] | None:
    """The counts that were typed as LEAF=COUNT.

    Raises:
        BadParameter: one is something else.
    """
    counts = {}
    for pair in pairs or ():
        leaf, _, count = pair.partition("=")
        if leaf not in list(Leaf):
            raise typer.BadParameter(f"{pair!r} names no leaf: LEAF=COUNT, such as input=1200, of {', '.join(Leaf)}", param_hint="--usage")
        if not (count.isascii() and count.isdigit()):
            raise typer.BadParameter(f"{pair!r} counts nothing: LEAF=COUNT, such as input=1200, with a whole number from 0 on", param_hint="--usage")
        if leaf in counts:
            raise typer.BadParameter(f"{pair!r}: {leaf} is counted twice", param_hint="--usage")
        counts[leaf] = int(count)
    return counts or None


@app.command(epilog="Example: tollbook hold authorise acme ada --key call-1 --amount 0.05")
def authorise(
    mandate: Mandate,
    user: Annotated[str, typer.Argument(help="Id of the user.")],
    *,
    key: HoldKey,
    amount: Annotated[str | None, typer.Option(help="What is kept, in CHF.")] = None,
    usage: Annotated[list[str] | None, typer.Option(metavar="LEAF=COUNT", help="In its place, what the call may use; once for each leaf.")] = None,
    provider: Annotated[str | None, typer.Option(help="Who is called; needed with --usage.")] = None,
    model: Annotated[str | None, typer.Option(help="Which model is called; needed with --usage.")] = None,
    feature: Annotated[str | None, typer.Option(help="Code of the feature that calls.")] = None,
    service_tier: Annotated[str | None, typer.Option(help="With --usage: what its price depends on, too.")] = None,
    processing: Annotated[str | None, typer.Option(help="As --service-tier.")] = None,
    speed: Annotated[str | None, typer.Option(help="As --service-tier.")] = None,
    region_scope: Annotated[str | None, typer.Option(help="As --service-tier.")] = None,
    ttl: Ttl = _TTL,
    as_json: AsJson = False,
) -> None:
    """Keep what a call may cost, in full or not at all: exit code 0 if the call may be made, 3 if not; amounts in CHF.

    The same question again under its key is answered with what became of the hold.
    """
    if (amount is None) == (not usage):
        raise typer.BadParameter("name --amount or --usage: one of them, and not both")
    fields: dict[str, Any] = {"mandate_id": mandate, "user_id": user, "key": key, "amount": amount, "estimated_usage": _estimated(usage)}
    fields |= {"provider": provider, "model": model, "feature_code": feature, "service_tier": service_tier, "processing": processing}
    asked = HoldQuestion.read({**fields, "speed": speed, "region_scope": region_scope, "ttl_seconds": ttl})
    answer = ask(authorise_hold, asked, config=find_servers())
    show(answer, asdict(answer) | {"cap": refusal_text(answer.cap), "unjudged_caps": ids_text(answer.unjudged_caps)}, as_json=as_json)
    if not answer.allowed:
        raise typer.Exit(REFUSED)


@app.command(epilog="Example: tollbook hold renew acme --key call-1 --ttl 600")
def renew(mandate: Mandate, *, key: HoldKey, ttl: Ttl = _TTL, as_json: AsJson = False) -> None:
    """Keep an open hold longer: never shorter than before, never beyond 24 hours after its authorisation. Exit code 3 if it is over."""
    _show_change(ask(renew_hold, Renewal.read({"mandate_id": mandate, "key": key, "ttl_seconds": ttl})), as_json=as_json, wanted=True)


@app.command(epilog="Example: tollbook hold release acme --key call-1")
def release(mandate: Mandate, *, key: HoldKey, as_json: AsJson = False) -> None:
    """Give back what a hold still keeps, since its call used nothing. What is captured, released or over stays so; `done` tells."""
    _show_change(ask(release_hold, HoldName.read({"mandate_id": mandate, "key": key})), as_json=as_json, wanted=False)


@app.command("show", epilog="Example: tollbook hold show acme --key call-1")
def show_one(mandate: Mandate, *, key: HoldKey, as_json: AsJson = False) -> None:
    """Show a hold, and what became of it; amounts in CHF."""
    show(ask(hold, mandate, key), as_json=as_json)


def _show_change(change: Any, *, as_json: bool, wanted: bool) -> None:
    show(change, as_json=as_json)
    if wanted and not change.done:
        raise typer.Exit(REFUSED)
