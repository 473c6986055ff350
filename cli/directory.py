"""`tollbook directory`: which mandates, users and memberships exist."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from cli.acting import acting
from cli.asking import asking
from cli.context import find_servers, process_name
from cli.options import AsJson
from cli.output.notes import refuse
from cli.output.show import show
from cli.output.text import counted
from cli.output.zones import warn_of_zones
from cli.standard_input import FILE
from core.asking.rights import require_root
from core.directory.csv_files import RefusedRow
from core.directory.import_files import import_directory_files
from core.directory.sync import sync_directory
from core.errors import Conflict
from core.recording.release_parked import release_all_parked
from core.verifying.read_zones import unknown_zones

app = typer.Typer(
    help="The directory's mirror: which mandates, users and memberships exist.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)
REFUSED_SHOWN_MAX = 100
REFUSED_KEPT_MAX = 10_000  # named with --json; all are counted


@dataclass
class _Refused:
    """The first rows that were refused, and how many there were."""

    rows: list[RefusedRow] = field(default_factory=list)
    count: int = 0

    def add(self, row: RefusedRow) -> None:
        """One more."""
        self.count += 1
        if self.count <= REFUSED_KEPT_MAX:
            self.rows.append(row)


@app.command("import", epilog="Example: tollbook directory import --mandates mandates.csv --memberships memberships.csv --users users.csv")
def import_files(
    mandates: Annotated[Path | None, typer.Option(**FILE, help="CSV with id, name, label, time_zone and maybe enabled; - is standard input.")] = None,
    memberships: Annotated[Path | None, typer.Option(**FILE, help="CSV with user_id, mandate_id and maybe enabled; - is standard input.")] = None,
    users: Annotated[Path | None, typer.Option(**FILE, help="CSV with id, username, display_name; - is standard input.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take the rows of CSV files over into the directory, then record the parked events of mandates known by now.

    The files have a header. An empty cell clears what was there; an empty or absent `enabled` keeps it (of new rows: true).
    Rows that can't be used are named on standard error and left out (exit code 1), the rest is imported. Repeatable.
    """
    if mandates is None and memberships is None and users is None:
        raise typer.BadParameter("name at least one of --mandates, --memberships and --users")
    refused = _Refused()
    config = find_servers()
    with asking() as (database, actor):
        imported = import_directory_files(database, actor, users=users, memberships=memberships, mandates=mandates, refuse=refused.add)
        released = release_all_parked(database, config=config, worker=process_name("directory import"))
        zones = unknown_zones(database, actor)
    for row in refused.rows[:REFUSED_SHOWN_MAX]:
        refuse(str(row))
    if refused.count > REFUSED_SHOWN_MAX:
        refuse(f"{refused.count - REFUSED_SHOWN_MAX} further rows")
    warn_of_zones(zones)
    rows = {"refused": refused.rows, "refused_count": refused.count, "unknown_zones": zones.mandates}
    words = (
        f"imported: {counted(imported.mandates, 'mandate')}, {counted(imported.memberships, 'membership')}, {counted(imported.users, 'user')};"
        f" refused: {counted(refused.count, 'row')}\nparked events: {released.summary()}"
    )
    show({"imported": imported, **rows, "released": released.counts()}, words, as_json=as_json)
    if refused.count:
        raise typer.Exit(1)


@app.command(epilog="Example: tollbook directory sync")
def sync(
    confirm: Annotated[bool, typer.Option("--confirm", help="Take the answer over even if it disables more than is believed without this.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the directory what the database of DIRECTORY_URL says, now; then record the parked events of mandates known by now.

    Nothing is deleted: what is gone there is disabled here. If the source can't be read, or its answer would disable too much,
    everything stays as it is (exit code 1).
    """
    require_root(acting(), "sync the directory")
    config = find_servers()
    worker = process_name("directory sync")
    with asking() as (database, actor):
        counts = sync_directory(database, config=config, worker=worker, at_once=True, confirmed=confirm)
        if counts is None:
            raise Conflict("the directory is being synchronised by somebody else in this moment: try again")
        released = release_all_parked(database, config=config, worker=worker)
        zones = unknown_zones(database, actor)
    warn_of_zones(zones)
    parked = f"parked events: {released.summary()}"
    show({"synchronised": counts, "released": released.counts(), "unknown_zones": zones.mandates}, counts, parked, as_json=as_json)
