"""`tollbook usage`: what a provider's usage object says."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import STANDARD_OUTPUT, AsJson
from cli.output.show import show
from cli.output.tables import print_table
from cli.output.text import printable
from core.dialects.all import DIALECTS, read_usage
from core.dialects.model import INPUT_LEAVES, OUTPUT_LEAVES, Call, Leaf, NotRead, Reading, UsageDialect
from core.errors import RequestRefused
from core.json_exact import decode_json
from core.rejection import Rejection

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
STANDARD_INPUT = STANDARD_OUTPUT  # the same dash
FILE_BYTES_MAX = 16 * 1024 * 1024  # a response holds more than its usage
EXIT_NOT_READ = 1
_HOLDERS = ("usage", "usageMetadata", "usage_metadata")  # where a response has its usage object
_MODELS = ("model", "modelVersion", "model_version")  # and its model


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of a usage object; where it isn't read there are no leaves and `not_read` is the reason."""

    dialect: UsageDialect
    dialect_version: int
    model: str | None
    leaves: Mapping[Leaf, int]
    unmapped: Sequence[str]
    dimensions: Mapping[str, str]
    cost: Mapping[str, object] | None
    not_read: str | None = None
    detail: str | None = None


@app.callback()
def usage() -> None:
    """What a provider's usage object says: read."""


@app.command(epilog="Example: tollbook usage read response.json --dialect openai.chat")
def read(
    file: Annotated[Path, typer.Argument(help="A usage object or the whole response that has one, as JSON; - is standard input.")],
    *,
    dialect: Annotated[UsageDialect, typer.Option(help="Whose words it is in.")],
    provider: Annotated[str | None, typer.Option(help="Who answered the call.")] = None,
    model: Annotated[str | None, typer.Option(help="The model as answered. Default: the response's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how many of each leaf a usage object tells, what of it isn't known, or why it isn't read (exit code 1).

    An event with a count that isn't known can't be priced. Nothing is asked of the books, nothing written.
    """
    content = _content(file)
    holder = next((key for key in _HOLDERS if isinstance(content.get(key), dict)), None)
    if holder is not None:
        model = model or next((content[key] for key in _MODELS if isinstance(content.get(key), str)), None)
    found = _read(dialect, content if holder is None else content[holder], Call(provider, model))
    show(found, lambda: _print(found), as_json=as_json)
    if found.not_read is not None:
        raise typer.Exit(EXIT_NOT_READ)


def _content(file: Path) -> dict[str, Any]:
    with sys.stdin.buffer if file == STANDARD_INPUT else file.open("rb") as source:
        body = source.read(FILE_BYTES_MAX + 1)
    if len(body) > FILE_BYTES_MAX:
        raise RequestRefused(f"has more than {FILE_BYTES_MAX} bytes", field="file", value=str(file))
    try:
        content = decode_json(body)
    except Rejection as error:
        raise RequestRefused(error.detail, field="file", value=str(file)) from None
    if not isinstance(content, dict):
        raise RequestRefused("is no JSON object", field="file", value=str(file))
    return content


def _read(dialect: UsageDialect, content: Mapping[str, Any], call: Call) -> Shown:
    version = DIALECTS[dialect].version
    try:
        reading = read_usage(dialect, content, call)
    except NotRead as error:
        return Shown(dialect, version, call.model, {}, (), {}, None, error.reason, error.detail)
    return _shown(dialect, version, call.model, reading)


def _shown(dialect: UsageDialect, version: int, model: str | None, reading: Reading) -> Shown:
    leaves = {leaf: reading.leaves[leaf] for leaf in Leaf if leaf in reading.leaves}
    cost = None if reading.cost is None else reading.cost._asdict()
    return Shown(dialect, version, model, leaves, reading.unmapped, reading.dimensions, cost)


def _print(found: Shown) -> None:
    typer.echo(f"{found.dialect}, version {found.dialect_version}, model {printable(found.model or 'not told')}")
    if found.not_read is not None:
        typer.echo(f"not read: {found.not_read}: {printable(found.detail or '')}")
        return
    rows: list[tuple[str, int]] = [(str(leaf), number) for leaf, number in found.leaves.items()]
    for name, parts in (("all input", INPUT_LEAVES), ("all output", OUTPUT_LEAVES)):
        told = [found.leaves[leaf] for leaf in parts if leaf in found.leaves]
        if told:
            rows.append((name, sum(told)))
    print_table(("leaf", "count"), rows)
    for name, value in found.dimensions.items():
        typer.echo(f"{name}: {printable(value)}")
    if found.cost is not None:
        typer.echo(f"cost by its own account: {found.cost['amount']:f} {found.cost['currency']}")
    if found.unmapped:
        typer.echo(f"not known, so that it can't be priced: {printable(', '.join(found.unmapped))}")
