"""`tollbook services`: the embedded PostgreSQL and Valkey."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from core.errors import TollbookError

if TYPE_CHECKING:
    from lab.services import RunningServer, Services

app = typer.Typer(help="Embedded PostgreSQL and Valkey servers for trying, testing and developing.", no_args_is_help=True)
Directory = Annotated[
    Path | None, typer.Option("--dir", help="Folder of the servers' data. Default: .local of the checkout, or one in /var/tmp.", file_okay=False)
]


@app.command()
def up(
    directory: Directory = None, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, passwords included.")] = False
) -> None:
    """Start the servers, or reuse those that run. Servers named by URLs in the environment are left alone."""
    with _errors_in_one_line():
        from lab import services  # noqa: PLC0415 - needs the extra `embedded`

        found = services.up(directory)
        if as_json:
            typer.echo(json.dumps(found.as_json()))
        else:
            _print_services(found, directory)


@app.command()
def status(directory: Directory = None) -> None:
    """Show each server; exit code 1 if one does not run."""
    with _errors_in_one_line():
        from lab import services  # noqa: PLC0415 - needs the extra `embedded`

        servers = services.status(directory)
        table = Table("server", "state", "pid", "port", "version", "folder")
        for server in servers:
            state = (
                "set by the environment" if server.external else "running" if server.running else "down" if server.pid is None else "does not answer"
            )
            table.add_row(server.name, state, *(_text(value) for value in (server.pid, server.port, server.version, server.directory)))
        _console().print(table)
        if not all(server.running for server in servers):
            raise typer.Exit(1)


@app.command()
def down(directory: Directory = None, delete: Annotated[bool, typer.Option("--delete", help="Remove the servers' data as well.")] = False) -> None:
    """Stop the servers and keep their data."""
    with _errors_in_one_line():
        from lab import services  # noqa: PLC0415 - needs the extra `embedded`

        stopped = services.down(directory, delete=delete)
        typer.echo(f"stopped: {', '.join(stopped) or 'nothing was running'}{'; data deleted' if delete else ''}")


@app.command()
def env(directory: Directory = None) -> None:
    """Print `export` lines for the shell: eval "$(tollbook services env)"."""
    with _errors_in_one_line():
        from lab import services  # noqa: PLC0415 - needs the extra `embedded`

        found = services.running(directory)
        if found is None:
            typer.echo("the embedded servers do not run: `tollbook services up` starts them", err=True)
            raise typer.Exit(1)
        for name, url in found.environment().items():
            quoted = url.replace("'", "'\"'\"'")
            typer.echo(f"export {name}='{quoted}'")


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        typer.echo(f"error: {error.name} is not installed: `make install` brings it (pip install '.[embedded]' in the checkout)", err=True)
    except (TollbookError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
    else:
        return
    raise typer.Exit(1)


def _print_services(found: "Services", directory: Path | None) -> None:
    table = Table("server", "state", "pid", "port")
    for name, server in (("postgres", found.postgres), ("valkey", found.valkey)):
        table.add_row(name, _state(server), _text(server and server.pid), _text(server and server.port))
    _console().print(table)
    if found.postgres is None and found.valkey is None:
        typer.echo("nothing to start: DATABASE_URL and CELERY_BROKER_URL name servers of your own")
        return
    option = "" if directory is None else f" --dir '{directory}'"
    typer.echo(f'data: {found.directory}\nfor this shell: eval "$(tollbook services env{option})"')


def _state(server: "RunningServer | None") -> str:
    if server is None:
        return "set by the environment"
    return "started" if server.started else "was running"


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def _console() -> Console:
    # Without a terminal rich assumes 80 columns and would fold the paths.
    return Console(markup=False, width=None if sys.stdout.isatty() else 200)
