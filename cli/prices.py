"""`tollbook prices`: the price book."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from cli import prices_dated, prices_fx, prices_rerate, prices_shadow
from cli.asking import ask, asking
from cli.confirming import Yes, confirm
from cli.names import warn_of_unknown
from cli.options import AsJson, BeforeId, By, Limit, Moment, Offset
from cli.output.prices import print_diff, print_rows
from cli.output.show import Listing, show, show_rows
from cli.output.text import counted
from cli.ranges import moment
from cli.standard_input import FILE
from core.clock import utc_now
from core.errors import NotFound
from core.movements.reach import count_reach
from core.prices import read
from core.prices.accept import accept as accept_version
from core.prices.import_prices import Source, import_prices
from core.prices.model import Layer
from core.prices.offer import Offer
from core.prices.propose import Proposal
from core.prices.sources.litellm_file import compared_with, read_litellm
from core.prices.version import Version

app = typer.Typer(help="The price book.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)
app.add_typer(prices_dated.aliases, name="aliases")
app.add_typer(prices_dated.rules, name="rules")
app.add_typer(prices_fx.app, name="fx")
app.add_typer(prices_dated.uncharged, name="uncharged")
app.command("mode", epilog=prices_dated.MODE_EXAMPLE)(prices_dated.mode)
app.command("shadow", epilog=prices_shadow.EXAMPLE)(prices_shadow.shadow)
app.command("rerate", epilog=prices_rerate.RERATE_EXAMPLE)(prices_rerate.rerate_days)
app.command("waive", epilog=prices_rerate.WAIVE_EXAMPLE)(prices_rerate.waive)
app.command("settle", epilog=prices_rerate.SETTLE_EXAMPLE)(prices_rerate.settle)

_VERSIONS = Listing(
    "id",
    ("state", lambda one: "active" if one.active else "accepted" if one.accepted_at else "proposal"),
    ("against", "based_on"),
    "source",
    ("rows", "row_count"),
    ("proposed (UTC)", "proposed_at"),
    ("by", "proposed_by"),
    ("accepted (UTC)", "accepted_at"),
    ("by", "accepted_by"),
    of=Version,
    less=("against", "proposed (UTC)", "rows"),
    after=lambda last: ("--before", str(last.id)),
)
VersionId = Annotated[int, typer.Argument(min=1, metavar="VERSION", help="Id of the version, as `tollbook prices list` shows it.")]
_WARNED_MAX = 20
_DEFAULT_HELP = (
    "PROVIDER.DIMENSION=VALUE, such as openai.service_tier=default: what stands for what an event doesn't tell. May be given several times."
)


@app.command("import", epilog="Example: tollbook prices import --from genai-prices")
def import_(
    file: Annotated[Path | None, typer.Argument(**FILE, help="The CSV file; docs/prices.md has its columns; - is standard input.")] = None,
    *,
    source: Annotated[Source, typer.Option("--from", help="Where the prices are from: the installed package, or a file.")] = Source.CSV,
    since: Annotated[Moment, typer.Option(help="From when on prices without a date change what is active. Default: now; of a file: always.")] = None,
    default: Annotated[list[str] | None, typer.Option(help=_DEFAULT_HELP)] = None,
    drop_gone: Annotated[bool, typer.Option("--drop-gone", help="Let rows end now that the source doesn't have any more.")] = False,
    all_changes: Annotated[bool, typer.Option("--all", help="Show every change, not only the biggest.")] = False,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Make a proposal of what a source says, and show what it would change. Nothing is rated by it before `tollbook prices accept`.

    A file with a line that can't be used is refused as a whole, with every such line named. What the package has and no row can say
    is named and left out. What the active version has and the source lacks stays, unless it is dropped.
    """
    if (source is Source.CSV) != (file is not None):
        raise typer.BadParameter("goes with --from csv, and --from csv with it", param_hint="FILE")
    given = _defaults(default or ())
    told = {
        "proposed_by": by,
        "now": utc_now(),
        "since": None if since is None else moment(since, "--since"),
        "defaults": given,
        "drop_gone": drop_gone,
    }
    proposal: Proposal = ask(import_prices, source, file, **told)  # type: ignore[arg-type]
    contracts = {change.whose for model in proposal.diff.models for change in model.changes if change.layer == Layer.MANDATE}
    for mandate in sorted(contracts)[:_WARNED_MAX]:
        warn_of_unknown(mandate=mandate)
    show(proposal, lambda: _print_proposal(proposal, every=all_changes), as_json=as_json)


def _print_proposal(proposal: Proposal, *, every: bool) -> None:
    print_diff(proposal.diff, every=every)
    if proposal.version is None:
        typer.echo("nothing would change: there is no proposal")
    else:
        number = proposal.version.id
        typer.echo(f"proposal {number} ({counted(proposal.version.row_count, 'row')}): tollbook prices accept {number}")


@app.command(epilog="Example: tollbook prices diff --against litellm model_prices_and_context_window.json")
def diff(
    version: Annotated[int | None, typer.Argument(min=1, help="Id of the version. Default: the newest proposal.")] = None,
    *,
    base: Annotated[int | None, typer.Option(min=1, help="Compare with this version. Default: the one that it was proposed against.")] = None,
    against: Annotated[tuple[str, Path] | None, typer.Option(metavar="litellm FILE", help="Compare the active version with LiteLLM's list.")] = None,
    at: Annotated[Moment, typer.Option(help="With --against: by the prices of this time. Default: now.")] = None,
    all_changes: Annotated[bool, typer.Option("--all", help="Show every change, not only the biggest.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a version changes, by provider and model, the biggest relative change first; amounts per 1,000,000.

    Compared with a file, `before` is the book and `after` is the file; nothing is proposed.
    """
    if against is not None:
        found = compared_with(ask(read.active_rows), _litellm(against), utc_now() if at is None else moment(at, "--at"))
    else:
        found = ask(read.diff, version or _newest_proposal(), base)
    show(found, lambda: print_diff(found, every=all_changes), as_json=as_json)


def _litellm(against: tuple[str, Path]) -> Offer:
    kind, file = against
    if kind != "litellm":
        raise typer.BadParameter(f"{kind!r} is no list to compare with: litellm FILE", param_hint="--against")
    return read_litellm(file)


def _newest_proposal() -> int:
    proposals = ask(read.status).proposals
    if not proposals:
        raise NotFound("there is no proposal against the active version: name a version, or import prices", field="version", value=None)
    return proposals[0]


@app.command(epilog="Example: tollbook prices accept 3")
def accept(version: VersionId, *, by: By = "", yes: Yes = False, as_json: AsJson = False) -> None:
    """Make a proposal the active version. Accepted twice it is the same; one that was proposed against another version is refused.

    Shows which recorded events it would rate otherwise: nothing of them changes, but it stays a finding until they are re-rated or waived.
    """
    confirm(f"let calls be rated by version {version} from now on? tollbook prices diff {version} shows what it changes", yes=yes)
    with asking() as (database, actor):
        accepted = accept_version(database, actor, version, accepted_by=by)
        reach = count_reach(database, actor, version)
    show({**asdict(accepted), "reach": reach}, asdict(accepted), lambda: prices_rerate.print_reach(reach), as_json=as_json)


@app.command("list", epilog="Example: tollbook prices list --limit 5")
def list_all(*, limit: Limit = 100, offset: Offset = 0, before: BeforeId = None, as_json: AsJson = False) -> None:
    """List the versions and proposals, newest first."""
    show_rows(ask(read.versions, limit=limit, offset=offset, before=before), _VERSIONS, limit, as_json=as_json)


@app.command("show", epilog="Example: tollbook prices show gpt-5 --at 2026-11-01T00:00:00Z")
def show_model(
    model: Annotated[str, typer.Argument(help="The exact name of a model, or an alias.")],
    *,
    provider: Annotated[str | None, typer.Option(help="Only its rows of this provider.")] = None,
    at: Annotated[Moment, typer.Option(help="Only rows that hold at this time, or when this day begins. Default: all times.")] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Of this version. Default: the active one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a model costs: every leaf, tier and choice; amounts per 1,000,000 tokens or 1,000 units, times in UTC."""
    found = ask(read.model_rows, model, provider=provider, version_id=version, at=None if at is None else moment(at, "--at"))
    show(found, lambda: print_rows(found), as_json=as_json)


@app.command(epilog="Example: tollbook prices status")
def status(*, as_json: AsJson = False) -> None:
    """Show which version is active, what is proposed against it, and how much is dated beside it."""
    found = ask(read.status)
    active = found.active
    words = {
        "revision": found.revision,
        "active version": None if active is None else f"{active.id}: {active.source}, {counted(active.row_count, 'row')}",
        "accepted": None if active is None else f"{_told(active.accepted_at)} by {active.accepted_by}",
        "proposals": ", ".join(map(str, found.proposals)) or None,
        "aliases": found.aliases,
        "sale rules": found.rules,
        "uncharged": found.uncharged,
        "modes": ", ".join(f"{mode} {count}" for mode, count in found.modes.items()) or None,
        "newest rates": ", ".join(f"{currency} {on}" for currency, on in found.newest_fx.items()) or None,
    }
    show(found, words, as_json=as_json)


def _told(time: datetime | None) -> str:
    return "" if time is None else time.strftime("%Y-%m-%d %H:%M:%S")


def _defaults(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """What was typed as PROVIDER.DIMENSION=VALUE."""
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        provider, dot, dimension = name.rpartition(".")
        if not (equals and dot and provider and dimension and value):
            raise typer.BadParameter(f"{text!r} is not PROVIDER.DIMENSION=VALUE", param_hint="--default")
        found.setdefault(provider, {})[dimension] = value
    return found
