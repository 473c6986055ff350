"""`tollbook prices aliases|rules|uncharged|mode`: what is dated beside the versions of the price book."""

from decimal import Decimal
from typing import Annotated, Any

import typer

from cli.asking import ask
from cli.names import warn_of_unknown
from cli.options import AsJson, BeforeId, By, Limit, Mandate, Moment, Offset
from cli.output.notes import warn
from cli.output.show import Listing, show, show_rows
from cli.ranges import Moments, moment, ranged
from core.clock import utc_now
from core.errors import RequestRefused
from core.money import parse_decimal
from core.prices import read
from core.prices.aliases import add_alias, close_alias
from core.prices.dated import AliasEntry, ModeEntry, RuleEntry, UnchargedEntry
from core.prices.model import Mode
from core.prices.modes import set_mode
from core.prices.rules import add_rule, close_rule
from core.prices.uncharged import OUTCOMES, add_uncharged, close_uncharged

MODE_EXAMPLE = "Example: tollbook prices mode acme shadow --since 2026-12-01T00:00:00Z"

aliases = typer.Typer(help="Other names of models, exact.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)
rules = typer.Typer(help="Sale rules: what mandates pay.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)
uncharged = typer.Typer(help="Outcomes that aren't charged.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)

Id = Annotated[int, typer.Argument(min=1, help="Its id, as `list` shows it.")]
End = Annotated[
    str, typer.Option(help="When it ends: a time, such as 2027-01-01T00:00:00Z, or the day that begins then. What happened before stays as it is.")
]
OfMandate = Annotated[str | None, typer.Option("--mandate", help="Of this mandate. Default: of all that have no own.")]
OfProvider = Annotated[str | None, typer.Option("--provider", help="For this provider alone.")]

_VALID = (("from (UTC)", "valid_from"), ("to (UTC)", "valid_to"))


def _after(last: Any) -> tuple[str, str]:
    """The options that ask for the page after this row."""
    return "--before", str(last.id)


_ALIASES = Listing(
    "id",
    "provider",
    "alias",
    "model",
    *_VALID,
    ("approved by", "approved_by"),
    ("approved (UTC)", "approved_at"),
    of=AliasEntry,
    less=("approved (UTC)", "approved by"),
    after=_after,
)
_RULES = Listing(
    "id",
    ("mandate", lambda rule: rule.mandate_id or "all"),
    "priority",
    ("provider", lambda rule: rule.provider or "any"),
    ("model", lambda rule: rule.model or "any"),
    ("markup %", "markup_percent"),
    "book",
    *_VALID,
    ("by", "created_by"),
    of=RuleEntry,
    less=("by", "priority"),
    after=_after,
)
_UNCHARGED = Listing(
    "id",
    ("mandate", lambda rule: rule.mandate_id or "all"),
    ("provider", lambda rule: rule.provider or "any"),
    "outcome",
    ("without usage", "without_usage"),
    *_VALID,
    ("by", "created_by"),
    of=UnchargedEntry,
    less=("by",),
    after=_after,
)
_MODES = Listing(
    "id",
    ("mandate", "mandate_id"),
    "mode",
    ("since (UTC)", "since"),
    ("by", "created_by"),
    ("said (UTC)", "created_at"),
    of=ModeEntry,
    less=("said (UTC)", "by"),
    after=_after,
)


@aliases.command("list", epilog="Example: tollbook prices aliases list")
def list_aliases(*, limit: Limit = 100, offset: Offset = 0, before: BeforeId = None, as_json: AsJson = False) -> None:
    """List the aliases, closed ones too, newest first."""
    show_rows(ask(read.aliases, limit=limit, offset=offset, before=before), _ALIASES, limit, as_json=as_json)


@aliases.command("add", epilog="Example: tollbook prices aliases add anthropic claude-opus-4-5-20251101 claude-opus-4-5")
@ranged
def add_one_alias(
    provider: Annotated[str, typer.Argument(help="As events name it.")],
    alias: Annotated[str, typer.Argument(help="The name that events have, exactly.")],
    model: Annotated[str, typer.Argument(help="The name that the price book has.")],
    *,
    times: Moments,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Approve another name of a model, for calls of this range: exact text, no pattern. The same again changes nothing."""
    entry = ask(add_alias, provider, alias, model, approved_by=by, valid_from=times.since, valid_to=times.until)
    warn_of_unknown(model=model)
    show(entry, as_json=as_json)


@aliases.command("close", epilog="Example: tollbook prices aliases close 3 --end 2027-01-01T00:00:00Z")
def close_one_alias(alias_id: Id, *, end: End, by: By = "", as_json: AsJson = False) -> None:
    """End an alias at a time."""
    show(ask(close_alias, alias_id, end=moment(end, "--end"), closed_by=by), as_json=as_json)


@rules.command("list", epilog="Example: tollbook prices rules list --mandate acme")
def list_rules(
    *,
    mandate: Annotated[str | None, typer.Option(help="Only those of this mandate.")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
    before: BeforeId = None,
    as_json: AsJson = False,
) -> None:
    """List the sale rules, closed ones too, newest first."""
    found = ask(read.rules, mandate, limit=limit, offset=offset, before=before)
    if not found:
        warn_of_unknown(mandate=mandate)
    show_rows(found, _RULES, limit, as_json=as_json)


@rules.command("add", epilog="Example: tollbook prices rules add --markup 12.5")
@ranged
def add_one_rule(
    *,
    markup: Annotated[str | None, typer.Option(help="Percent on the provider cost; 0 is a rule too, a negative one a discount.")] = None,
    book: Annotated[str | None, typer.Option(help="The SALE book whose rows are the price, instead of a markup.")] = None,
    mandate: OfMandate = None,
    priority: Annotated[int, typer.Option(help="The highest decides, among the mandate's own and among those of all.")] = 0,
    provider: OfProvider = None,
    model: Annotated[str | None, typer.Option(help="For this model alone.")] = None,
    times: Moments,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Say what mandates pay for calls of this range. A rule that could decide beside one of equal rank is refused, and both are named."""
    entry = ask(
        add_rule,
        created_by=by,
        markup_percent=None if markup is None else _percent(markup),
        book=book,
        mandate_id=mandate,
        priority=priority,
        provider=provider,
        model=model,
        valid_from=times.since,
        valid_to=times.until,
    )
    warn_of_unknown(mandate=mandate, model=model)
    show(entry, as_json=as_json)


@rules.command("close", epilog="Example: tollbook prices rules close 2 --end 2027-01-01T00:00:00Z")
def close_one_rule(rule_id: Id, *, end: End, by: By = "", as_json: AsJson = False) -> None:
    """End a sale rule at a time."""
    show(ask(close_rule, rule_id, end=moment(end, "--end"), closed_by=by), as_json=as_json)


@uncharged.command("list", epilog="Example: tollbook prices uncharged list")
def list_uncharged(*, limit: Limit = 100, offset: Offset = 0, before: BeforeId = None, as_json: AsJson = False) -> None:
    """List the outcomes that aren't charged, closed ones too, newest first."""
    show_rows(ask(read.uncharged, limit=limit, offset=offset, before=before), _UNCHARGED, limit, as_json=as_json)


@uncharged.command("add", epilog="Example: tollbook prices uncharged add failed --without-usage")
@ranged
def add_one_uncharged(
    outcome: Annotated[str, typer.Argument(metavar="|".join(OUTCOMES), help="How such calls end.")],
    *,
    without_usage: Annotated[bool, typer.Option("--without-usage", help="For calls that tell no usage, instead of those that tell it.")] = False,
    mandate: OfMandate = None,
    provider: OfProvider = None,
    times: Moments,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Let calls of this range that end so cost the mandate nothing; what the provider takes for them is kept all the same."""
    valid = {"valid_from": times.since, "valid_to": times.until}
    told = {"created_by": by, "without_usage": without_usage, "mandate_id": mandate, "provider": provider, **valid}
    warn_of_unknown(mandate=mandate)
    show(ask(add_uncharged, outcome, **told), as_json=as_json)  # type: ignore[arg-type]


@uncharged.command("close", epilog="Example: tollbook prices uncharged close 1 --end 2027-01-01T00:00:00Z")
def close_one_uncharged(uncharged_id: Id, *, end: End, by: By = "", as_json: AsJson = False) -> None:
    """Charge for an outcome again, from a time on."""
    show(ask(close_uncharged, uncharged_id, end=moment(end, "--end"), closed_by=by), as_json=as_json)


def mode(
    mandate: Mandate,
    mode: Annotated[Mode | None, typer.Argument(help="given: the producer's price; shadow: that, with the computed one beside; computed.")] = None,
    *,
    since: Annotated[Moment, typer.Option(help="For what happens from this time, or from this day, on. Default: now.")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
    before: BeforeId = None,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Say which price a mandate pays from a time on; without a mode, show what was said. Nothing that is recorded changes."""
    if mode is None:
        show_rows(ask(read.modes, mandate, limit=limit, offset=offset, before=before), _MODES, limit, as_json=as_json)
    else:
        done = ask(set_mode, mandate, mode, created_by=by, since=None if since is None else moment(since, "--since"))
        for later in [one for one in ask(read.modes, mandate) if one.since > done.since and one.since <= utc_now()]:
            warn(f"what happens from {later.since.isoformat()} on is billed as {later.mode}, as was said before")
        show(done, as_json=as_json)


def _percent(text: str) -> Decimal:
    try:
        return parse_decimal(text)
    except ValueError as error:
        raise RequestRefused(str(error), field="markup", value=text) from None
