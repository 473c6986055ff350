"""`tollbook status`: how everything is, on one screen."""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Thread
from time import sleep
from typing import Annotated, NoReturn

import structlog
import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from cli.acting import acting
from cli.context import find_servers
from cli.options import AsJson
from cli.output.format import Format, chosen
from cli.output.overview import rendered
from core.asking.rights import require_root
from core.database.database import Database
from core.json_text import json_text
from worker.overview import Overview, read_overview

app = typer.Typer(add_completion=False, rich_markup_mode=None)

SECONDS_DEFAULT, SECONDS_MIN = 2.0, 0.1
_TICK_SECONDS = 0.1  # within which a signal ends the watching
_WIDTH_WITHOUT_TERMINAL, _WIDTH_MAX = 100, 140
_TERMINATED = 128 + signal.SIGTERM

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Again and again, until Ctrl-C.")]
Seconds = Annotated[
    float | None,
    typer.Argument(min=SECONDS_MIN, show_default=False, help=f"With --watch: the pause between two looks. Default: {SECONDS_DEFAULT:g}."),
]


@app.command(epilog="Example: tollbook status --watch 5")
def status(seconds: Seconds = None, *, watch: Watch = False, as_json: AsJson = False) -> None:
    """Show on one screen how recording, queues, workers and books are, and which command shows more of each.

    Exit code 1 if something can't be reached, which is told in its place. With --watch a terminal shows it live, anything else gets it
    again and again as plain text; with --json too it is a document a line.
    """
    if seconds is not None and not watch:
        raise typer.BadParameter("is the pause of --watch", param_hint="SECONDS")
    actor = acting()
    require_root(actor, "watch the books")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # what is away is told in its place
    config = find_servers()
    database = Database(config.require_database_url(), config)
    is_json = as_json or chosen() is not Format.TABLE

    def look() -> Overview:
        return read_overview(database, actor, config)

    if watch:
        _watch(look, SECONDS_DEFAULT if seconds is None else seconds, as_json=is_json)
    found = look()
    _print(found, as_json=is_json)
    if not found.ok:
        raise typer.Exit(1)


def _print(found: Overview, *, as_json: bool, indent: int | None = 2) -> None:
    if as_json:
        typer.echo(json_text(found, indent=indent))
    else:
        _console().print(rendered(found))


def _watch(look: Callable[[], Overview], seconds: float, *, as_json: bool) -> NoReturn:
    """Never returns: Ctrl-C ends it (130), SIGTERM too (143); the terminal is as it was before.

    Looking is a thread's, and signals are only noted: nothing interrupts what is being drawn.
    """
    console, states, last = _console(), SimpleQueue[Overview | Exception](), None
    with _noted() as ending:
        Thread(target=_look_again, args=(look, seconds, states), daemon=True).start()
        if as_json or not console.is_terminal:
            for found in _until(ending, states):
                _print(found, as_json=as_json, indent=None)
                if not as_json:
                    typer.echo()
        else:
            with Live(Text("looking …"), console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
                for last in _until(ending, states):
                    live.update(rendered(last), refresh=True)
            if last is not None:
                console.print(rendered(last))  # so that it stays when the screen is gone
    if signal.SIGTERM in ending:
        raise SystemExit(_TERMINATED)
    raise KeyboardInterrupt


def _look_again(look: Callable[[], Overview], seconds: float, states: "SimpleQueue[Overview | Exception]") -> None:
    try:
        while True:
            states.put(look())
            sleep(seconds)
    except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
        states.put(error)


def _until(ending: list[int], states: "SimpleQueue[Overview | Exception]") -> Iterator[Overview]:
    """Each state as it comes, until a signal was noted."""
    while not ending:
        try:
            found = states.get(timeout=_TICK_SECONDS)
        except Empty:
            continue
        if isinstance(found, Exception):
            raise found
        yield found


@contextmanager
def _noted() -> Iterator[list[int]]:
    """Inside, Ctrl-C and SIGTERM interrupt nothing: they are in the list."""
    ending: list[int] = []
    before = {number: signal.signal(number, lambda noted, _frame: ending.append(noted)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _console() -> Console:
    console = Console(markup=False, highlight=False, emoji=False)
    console.width = min(console.width, _WIDTH_MAX) if console.is_terminal else _WIDTH_WITHOUT_TERMINAL
    return console
