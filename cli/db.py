"""`tollbook db`: the tables and the roles."""

from typing import Annotated

import typer

from cli.context import find_servers
from cli.options import AsJson
from cli.output.json_out import print_json
from core.billing import CloudEventKey
from core.database.database import Database
from core.database.installation import adopt_books, identity_here
from core.errors import Misconfigured, NeedsAdministrator
from core.recording.set_cloud_event_key import set_cloud_event_key
from core.recording.sql.cloud_events import cloud_event_key
from core.schema import migrate
from worker.installation import read, take

app = typer.Typer(
    help="The tables and roles of the database, under the owner's login.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)


RenameRoles = Annotated[
    bool,
    typer.Option("--rename-roles", help="Give the database roles called after it (or after TOLLBOOK_DATABASE_ROLES), in place of those that it has."),
]


@app.command(epilog="Example: tollbook db upgrade")
def upgrade(*, rename_roles: RenameRoles = False, as_json: AsJson = False) -> None:
    """Bring the tables and the roles' rights to what this program needs, and let the worker's login in. Repeatable.

    What takes an administrator of the database server is printed as SQL; the exit code is 1 then.
    """
    config = find_servers()
    try:
        before, after = migrate.upgrade(
            config.require_owner_url(),
            config.require_database_url(),
            roles_prefix=config.database_roles,
            rename_roles=rename_roles,
            variable=config.owner_variable,
        )
    except NeedsAdministrator as needed:
        if as_json:
            print_json({"administrator_sql": needed.statements})
        else:
            typer.echo("\n".join(f"{statement};" for statement in needed.statements))
        raise Misconfigured(f"{needed}: an administrator must run the SQL above in this database") from None
    if as_json:
        print_json({"before": before, "after": after})
    else:
        typer.echo(f"up to date: revision {after}" if before == after else f"upgraded: {before or 'empty database'} -> {after}")


@app.command(epilog="Example: tollbook db check")
def check(as_json: AsJson = False) -> None:
    """Tell what differs between the database and this program; exit code 1 if anything does."""
    config = find_servers()
    differences = migrate.check(config.require_owner_url(), config.require_database_url(), variable=config.owner_variable)
    if as_json:
        print_json({"ok": not differences, "differences": differences})
    else:
        typer.echo("\n".join(differences) or "ok: the database is what this program needs")
    if differences:
        raise typer.Exit(1)


@app.command("cloud-events", epilog="Example: tollbook db cloud-events source_and_id")
def cloud_events(
    key: Annotated[
        CloudEventKey | None, typer.Argument(metavar="|".join(CloudEventKey), show_default=False, help="What to know them by; without it only told.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say, or decide, what a CloudEvent is known by: its id, or its source and id. Fixed once the first event is recorded or parked."""
    config = find_servers()
    database = Database(config.require_owner_url(), config)
    try:
        if key is not None:
            set_cloud_event_key(database, key)
        with database.snapshot() as connection:
            present = cloud_event_key(connection)
    finally:
        database.dispose()
    if as_json:
        print_json({"cloud_event_key": present})
    else:
        typer.echo(f"CloudEvents are known by {present}")


TakeBroker = Annotated[
    bool, typer.Option("--take-broker", help="Also take over a broker of an installation that these books were not: its workers are refused then.")
]


@app.command(epilog="Example: tollbook db adopt")
def adopt(*, take_broker: TakeBroker = False, as_json: AsJson = False) -> None:
    """Make books that were restored, copied or renamed, and their broker, this installation's. Stop all workers of the old one first."""
    config = find_servers()
    url, database = config.require_broker_url(), Database(config.require_owner_url(), config)
    try:
        holder = read(url)
        with database.transaction() as connection:
            here = identity_here(connection, config.installation)
            before = adopt_books(connection, here)
            if holder not in (None, str(before), str(here)) and not take_broker:
                raise Misconfigured(f"the broker is installation {holder}'s, not these books': check CELERY_BROKER_URL, or use --take-broker")
            take(url, str(here))
    finally:
        database.dispose()
    if as_json:
        print_json({"books_before": str(before) if before else None, "broker_before": holder, "now": str(here)})
    else:
        typer.echo(f"books: {before or 'of nobody'} -> {here}; broker: {holder or 'of nobody'} -> {here}")
