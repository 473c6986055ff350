"""`tollbook db`: the tables and the roles."""

from typing import Annotated

import typer

from cli.confirming import Yes, confirm
from cli.context import find_servers, opened
from cli.options import AsJson
from cli.output.notes import note
from cli.output.show import show
from core.billing import CloudEventKey
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
            tell=note,
        )
    except NeedsAdministrator as needed:
        sql = "\n".join(f"{statement};" for statement in needed.statements)
        show({"administrator_sql": needed.statements}, sql, as_json=as_json)
        raise Misconfigured(f"{needed}: an administrator must run the SQL above in this database") from None
    words = f"up to date: revision {after}" if before == after else f"upgraded: {before or 'empty database'} -> {after}"
    show({"before": before, "after": after}, words, as_json=as_json)


@app.command(epilog="Example: tollbook db check")
def check(as_json: AsJson = False) -> None:
    """Tell what differs between the database and this program; exit code 1 if anything does."""
    config = find_servers()
    differences = migrate.check(config.require_owner_url(), config.require_database_url(), variable=config.owner_variable)
    words = "\n".join(differences) or "ok: the database is what this program needs"
    show({"ok": not differences, "differences": differences}, words, as_json=as_json)
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
    with opened(config.require_owner_url(), config) as database:
        if key is not None:
            set_cloud_event_key(database, key)
        with database.snapshot() as connection:
            present = cloud_event_key(connection)
    show({"cloud_event_key": present}, f"CloudEvents are known by {present}", as_json=as_json)


TakeBroker = Annotated[
    bool, typer.Option("--take-broker", help="Also take over a broker of an installation that these books were not: its workers are refused then.")
]


@app.command(epilog="Example: tollbook db adopt")
def adopt(*, take_broker: TakeBroker = False, yes: Yes = False, as_json: AsJson = False) -> None:
    """Make books that were restored, copied or renamed, and their broker, this installation's. Stop all workers of the old one first."""
    config = find_servers()
    url = config.require_broker_url()
    confirm("make these books and their broker this installation's? Workers of another one are refused then", yes=yes)
    with opened(config.require_owner_url(), config) as database:
        holder = read(url)
        with database.transaction() as connection:
            here = identity_here(connection, config.installation)
            before = adopt_books(connection, here)
            if holder not in (None, str(before), str(here)) and not take_broker:
                raise Misconfigured(f"the broker is installation {holder}'s, not these books': check CELERY_BROKER_URL, or use --take-broker")
            take(url, str(here))
    words = f"books: {before or 'of nobody'} -> {here}; broker: {holder or 'of nobody'} -> {here}"
    show({"books_before": str(before) if before else None, "broker_before": holder, "now": str(here)}, words, as_json=as_json)
