"""How a command asks the books: the database opened, and as the actor that `--as` names.

A module that imports one of these gets the option `--as` for its commands (cli/main.py).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, TypeVar

from cli.acting import acting
from cli.context import open_database
from core.asking.request import Request
from core.asking.rights import Actor
from core.database.database import Database
from core.ledger.read_accounts import holder_account

P = ParamSpec("P")
Done = TypeVar("Done")
Asked = TypeVar("Asked", bound=Request)


@contextmanager
def asking() -> Iterator[tuple[Database, Actor]]:
    """The database and the actor, for what takes more than one question."""
    with open_database() as database:
        yield database, acting()


def ask(question: Callable[Concatenate[Database, Actor, P], Done], *args: P.args, **kwargs: P.kwargs) -> Done:
    """What a view or an operation answers."""
    with asking() as (database, actor):
        return question(database, actor, *args, **kwargs)


def move(operation: Callable[[Database, Actor, Asked], Done], kind: type[Asked], mandate: str, user: str | None, **fields: object) -> Done:
    """What an operation does on the account of the user in the mandate, or on its pool; `fields` are the rest of the request."""
    with asking() as (database, actor):
        account = holder_account(database, actor, mandate, user)
        return operation(database, actor, kind.read({"mandate_id": mandate, "account_id": account.id, **fields}))
