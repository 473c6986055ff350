"""`tollbook compare`: a producer's journal beside the books."""

import gzip
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Annotated, Any, BinaryIO, cast

import typer

from cli.asking import asking
from cli.options import STANDARD_OUTPUT, AsJson, Force
from cli.output.exits import FAILED
from cli.output.new_file import Written, new_file
from cli.output.progress import progress
from cli.output.show import Listing, show
from cli.output.text import counted
from core.asking.rights import require_root
from core.record_files import Lines
from core.reports.compare import ComparedLine, Standing, compare_events

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_GZIP = b"\x1f\x8b"
_IN_QUESTION = (Standing.MISSING, Standing.CONFLICT, Standing.UNREADABLE)
_IN_THE_BOOKS = (Standing.RECORDED, Standing.DUPLICATE)
_LISTING = Listing(
    ("line", "number"),
    ("is", "standing"),
    ("mandate", "mandate_id"),
    ("event", "event_id"),
    ("letter", "dead_letter_id"),
    "reason",
    ("differs in", lambda line: ", ".join(line.difference)),
    "detail",
    free=("differs in", "detail"),
)


@dataclass(slots=True)
class Tally:
    """What came of the lines so far; of those that aren't recorded the first ones are kept."""

    limit: int
    counts: Counter[Standing] = field(default_factory=Counter)
    kept: list[ComparedLine] = field(default_factory=list)

    def add(self, line: ComparedLine) -> None:
        """One more line."""
        self.counts[line.standing] += 1
        if line.standing not in _IN_THE_BOOKS and len(self.kept) < self.limit:
            self.kept.append(line)

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        fields = ("number", "standing", "mandate_id", "event_id", "reason", "detail", "dead_letter_id", "difference")
        lines = [{name: getattr(line, name) for name in fields} for line in self.kept]
        return {"lines": self.counts.total(), **{standing.value: self.counts[standing] for standing in Standing}, "not_recorded": lines}

    def in_words(self) -> str:
        """One line for people."""
        parts = [f"{self.counts[standing]} {standing.value}" for standing in Standing if self.counts[standing]]
        return f"{counted(self.counts.total(), 'line')}: {', '.join(parts) or 'nothing'}"


@app.command(epilog="Example: tollbook compare journal.jsonl --missing-to missing.jsonl")
def compare(
    file: Annotated[str, typer.Argument(help="A producer's journal: a line for each event, as it was sent; gzip too. - for standard input.")],
    missing_to: Annotated[Path | None, typer.Option("--missing-to", metavar="FILE", help="Write what is missing, for `tollbook publish`.")] = None,
    force: Force = False,
    limit: Annotated[int, typer.Option(min=0, max=10_000, help="Lines to list at most of those that aren't recorded.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Tell of each event that a producer says it has sent what became of it: how many of each kind, and which aren't recorded.

    recorded; duplicate: it stands earlier in the file; conflict: the books have another event under its id; parked; rejected: it is a dead
    letter; missing: nothing of it came; unreadable: it is no event, and nothing of it came.
    Exit code 1 where a line is missing, in conflict or unreadable.
    """
    tally = Tally(limit)
    with ExitStack() as stack:
        database, actor = stack.enter_context(asking())
        require_root(actor, "compare events with the books")
        stream, raw, size = stack.enter_context(_opened(file))
        missing = _output(stack, missing_to, force=force)
        tell = stack.enter_context(progress(size))
        for line in compare_events(database, actor, _lines(stream)):
            tally.add(line)
            if line.standing is Standing.MISSING and missing is not None:
                missing.write(line.body + b"\n")
            if tally.counts.total() % 1_000 == 0:
                tell(raw.tell() if size is not None else 0, tally.in_words)
    told = tally.as_json()
    show(told, lambda: _print(tally), as_json=as_json, rows=told["not_recorded"], of=ComparedLine)
    if any(tally.counts[standing] for standing in _IN_QUESTION):
        raise typer.Exit(FAILED)


def _print(tally: Tally) -> None:
    if tally.kept:
        _LISTING.print(tally.kept)
    beyond = sum(number for standing, number in tally.counts.items() if standing not in _IN_THE_BOOKS) - len(tally.kept)
    if beyond > 0:
        typer.echo(f"and {counted(beyond, 'further line')} that {'is' if beyond == 1 else 'are'}n't recorded; --limit shows more")
    typer.echo(tally.in_words())


def _output(stack: ExitStack, path: Path | None, *, force: bool) -> Written | None:
    if path == STANDARD_OUTPUT:
        raise typer.BadParameter("name a file: what was found is printed to standard output", param_hint="--missing-to")
    return None if path is None else stack.enter_context(new_file(path, force=force))


@contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, BinaryIO, int | None]]:
    """What is read, whose bytes tell how far it has come, and how many there are; of standard input that isn't known."""
    with ExitStack() as stack:
        path = Path(file)
        raw = sys.stdin.buffer if file == "-" else stack.enter_context(path.open("rb"))
        size = path.stat().st_size if file != "-" and path.is_file() else None
        ahead = BufferedReader(cast("RawIOBase", raw))
        stack.callback(ahead.detach)
        is_gzip = ahead.peek(2)[:2] == _GZIP
        yield cast("BinaryIO", stack.enter_context(gzip.open(ahead)) if is_gzip else ahead), raw, size


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    lines = Lines(stream)
    for line in lines:
        body = b"(a line of more than 1 MiB)" if lines.overlong else line.strip()
        lines.overlong = False
        if body:
            yield lines.number, body
