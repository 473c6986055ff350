"""`tollbook doctor`: whether everything is set up so that one can sleep, and what to do where it isn't."""

import logging
from collections import Counter
from collections.abc import Sequence
from textwrap import wrap
from typing import Annotated

import structlog
import typer
from rich.console import Console
from rich.text import Text

from cli.context import use_embedded
from cli.options import AsJson
from cli.output.show import show
from cli.output.text import counted, printable
from core.config import configuration
from core.errors import Misconfigured
from worker.doctor.finding import Severity
from worker.doctor.looks import NOT_LOOKED_AT, Told, split_cure

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_STYLES = {Severity.OK: "green", Severity.WARNING: "yellow", Severity.ERROR: "bold red", Severity.SKIPPED: "dim"}
_LOOK_WIDTH, _WIDTH_WITHOUT_TERMINAL = 14, 100
OnlyBad = Annotated[bool, typer.Option("--quiet", "-q", help="Only what is wrong.")]


@app.command(epilog="Example: tollbook doctor --json")
def doctor(*, quiet: OnlyBad = False, as_json: AsJson = False) -> None:
    """Look at configuration, database, broker, workers and books, and tell what is wrong and what to do. It changes nothing.

    Exit code 1 if there is an error. Each look has a time limit, and none that fails stops the others. It takes some seconds.
    """
    found = _examined()
    counts = Counter(told.severity for told in found)
    shown = [told for told in found if not quiet or told.severity in (Severity.WARNING, Severity.ERROR)]
    number = {str(severity): counts[severity] for severity in Severity}
    show({"ok": not counts[Severity.ERROR], "counts": number, "findings": shown}, lambda: _print(shown, counts), as_json=as_json, rows=shown, of=Told)
    if counts[Severity.ERROR]:
        raise typer.Exit(1)


def _examined() -> list[Told]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # what is wrong stands among the findings
    try:
        use_embedded()
        config = configuration()
    except Misconfigured as refusal:
        return [Told("configuration", Severity.ERROR, *split_cure(str(refusal)))]
    from worker.doctor.all_looks import looks_at  # noqa: PLC0415 - reads the configuration, which is complete now
    from worker.doctor.looks import examine  # noqa: PLC0415 - as above
    from worker.doctor.subject import Subject  # noqa: PLC0415 - as above

    return examine(Subject(config), looks_at(config))


def _print(found: Sequence[Told], counts: Counter[Severity]) -> None:
    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
    width = max((console.width if console.is_terminal else _WIDTH_WITHOUT_TERMINAL) - _LOOK_WIDTH - 10, 40)
    waiting = [told for told in found if told.what.startswith(NOT_LOOKED_AT)]
    for told in found:
        if told in waiting:
            continue
        first, *further = wrap(printable(told.what), width, break_long_words=False, break_on_hyphens=False) or [""]
        console.print(Text.assemble((f"{told.severity:<8} ", _STYLES[told.severity]), f"{told.look:<{_LOOK_WIDTH}} ", first))
        for line in further:
            console.print(Text(" " * (_LOOK_WIDTH + 10) + line))
        for n, line in enumerate(wrap(printable(told.cure), width - 4, break_long_words=False, break_on_hyphens=False)):
            console.print(Text.assemble(" " * (_LOOK_WIDTH + 10), ("    " if n else "do: ", "bold"), line))
    if waiting:
        names = f"not looked at, because of the errors above: {', '.join(told.look for told in waiting)}"
        for n, line in enumerate(wrap(names, width + _LOOK_WIDTH, break_long_words=False, break_on_hyphens=False)):
            console.print(Text(f"{'' if n else 'skipped':<8} {line}", "dim"))
    errors, warnings = counted(counts[Severity.ERROR], "error"), counted(counts[Severity.WARNING], "warning")
    console.print(Text(f"doctor: {errors}, {warnings}, {counts[Severity.OK]} ok, {counts[Severity.SKIPPED]} not looked at"))
