"""Importing the directory out of CSV files, however large they are."""

from collections.abc import Callable, Iterator
from pathlib import Path

from core.asking.rights import Actor, require_root
from core.database.database import Database, allow_time
from core.directory.csv_files import RefusedRow, contradiction, read_mandates, read_memberships, read_users
from core.directory.import_lists import ImportedDirectory
from core.directory.source import MANDATES, MEMBERSHIPS, USERS, Part
from core.directory.sql.import_staging import contradictions, put_staged, stage_entries

Read = Callable[[Path, Callable[[RefusedRow], None]], Iterator[tuple[int, object]]]


def import_directory_files(
    database: Database,
    actor: Actor,
    *,
    mandates: Path | None = None,
    memberships: Path | None = None,
    users: Path | None = None,
    refuse: Callable[[RefusedRow], None],
) -> ImportedDirectory:
    """Takes the rows of each file over into the mirror, in one transaction per file; what isn't named stays as it is.

    Of rows with one key the first counts, and one that says something else is refused. The order is that of `import_directory`.
    Neither this process nor the database holds a file in memory. Repeatable, and after an error calling it again completes it.

    Args:
        database: under the worker's login.
        actor: as whom it is asked.
        mandates: a file as `core.directory.csv_files` tells. So for the others.
        memberships: pairs of user and mandate, whether or not these are known yet.
        users: the names of users.
        refuse: is told each row that can't be used, of a file from which nothing was taken over too.

    Returns:
        How many rows were taken over.

    Raises:
        RequestRefused: a file has no header or one with an unknown or missing column; nothing was taken over.
        OSError: a file can't be read; nothing of it was taken over.
    """
    require_root(actor, "import the directory")
    read: list[tuple[Part, Read, Path | None]] = [
        (USERS, read_users, users),
        (MEMBERSHIPS, read_memberships, memberships),
        (MANDATES, read_mandates, mandates),
    ]
    entries = {part.name: (part, path, entries_of(path, refuse)) for part, entries_of, path in read if path is not None}
    counts = {name: _take_over(database, part, path, rows, refuse) for name, (part, path, rows) in entries.items()}
    return ImportedDirectory(counts.get(MANDATES.name, 0), counts.get(MEMBERSHIPS.name, 0), counts.get(USERS.name, 0))


def _take_over(database: Database, part: Part, path: Path, rows: Iterator[tuple[int, object]], refuse: Callable[[RefusedRow], None]) -> int:
    with database.transaction() as connection:
        allow_time(connection)
        count = stage_entries(connection, part, rows)
        for line, key in contradictions(connection, part):
            refuse(contradiction(path, line, key))
            count -= 1
        put_staged(connection, part)
    return count
