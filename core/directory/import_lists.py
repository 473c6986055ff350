"""Importing the directory: the mirror has what the caller's lists say."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from core.asking.rights import Actor, require_root
from core.database.database import Database
from core.directory.sql.mirror import Mandate, Membership, User, put_mandates, put_memberships, put_users

CHUNK_ROWS = 5_000
Entry = TypeVar("Entry", Mandate, Membership, User)


@dataclass(frozen=True, slots=True)
class ImportedDirectory:
    """How many entries the mirror has taken over, new, changed and unchanged ones."""

    mandates: int
    memberships: int
    users: int


def import_directory(
    database: Database, actor: Actor, *, mandates: Iterable[Mandate] = (), memberships: Iterable[Membership] = (), users: Iterable[User] = ()
) -> ImportedDirectory:
    """Puts every entry into the mirror, in transactions of up to 5,000; entries that aren't named stay as they are.

    Users come first and memberships before mandates, so that usage released by a mandate's appearance finds its members.
    Repeatable, and after an error what was committed stays and calling it again completes it.

    Args:
        database: under the worker's login.
        actor: as whom it is asked.
        mandates: in any order; of several with one id the last one counts. So for the others. Where `enabled` is None it stays.
        memberships: pairs of user and mandate, whether or not these are known yet.
        users: the names of users.
    """
    require_root(actor, "import the directory")
    user_count = _put_all(users, lambda user: (user.id,), lambda chunk: _put(database, put_users, chunk))
    membership_count = _put_all(memberships, lambda m: (m.mandate_id, m.user_id), lambda chunk: _put(database, put_memberships, chunk))
    mandate_count = _put_all(mandates, lambda mandate: (mandate.id,), lambda chunk: _put(database, put_mandates, chunk))
    return ImportedDirectory(mandate_count, membership_count, user_count)


def _put_all(entries: Iterable[Entry], key_of: Callable[[Entry], tuple[str, ...]], put: Callable[[list[Entry]], None]) -> int:
    count = 0
    remaining: Iterator[Entry] = iter(entries)
    while chunk := list(islice(remaining, CHUNK_ROWS)):
        by_key = {key_of(entry): entry for entry in chunk}
        put([by_key[key] for key in sorted(by_key)])  # sorted: two imports at once don't wait for each other in a circle
        count += len(chunk)
    return count


def _put(database: Database, put: Callable[..., None], chunk: list[Entry]) -> None:
    with database.transaction() as connection:
        put(connection, chunk)
