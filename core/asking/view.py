"""How the books are read: a view is one function, declared with `@view`, and a row of docs/interface.md.

```python
@view("view.list_alerts", sees=mandates("list the alerts"))
def list_alerts(connection: Connection, mandate_ids: Mandates = None, *, limit: Limit = LIMIT_DEFAULT) -> list[Alert]:
```

The function is given a connection and what is asked; who calls it gives the books and the actor in the connection's place:
`list_alerts(database, actor, ["acme"], limit=5)`. What it reads is of one moment, and nothing is written, so asking again is safe.
A view with a name is also a task of that name on the queue `views`: its message has the function's arguments as fields, read as the
annotations tell (`core.asking.question`).

Every view may raise:
    Forbidden: the actor may not see it. It is told before anything is looked up, unless what is found decides about it.
    NotFound: there is no such thing, or no such mandate among the named ones.
    RequestRefused: a `limit` or `offset` is out of range, or `last` is before `first`.
    StorageUnavailable, Misconfigured: the database can't be asked.
"""

from collections.abc import Callable
from functools import update_wrapper
from importlib import import_module
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from core.asking.paging import check_page
from core.asking.rights import Actor, Role, require_mandate, require_member, require_root
from core.database.database import Database

P = ParamSpec("P")
R = TypeVar("R")
Arguments = dict[str, Any]
# Raises Forbidden before anything is looked up, may narrow the arguments, and returns what is still to be looked up, if anything is.
Sees = Callable[[Actor, Arguments], Callable[[Connection], object] | None]

_named: dict[str, Callable[..., object]] = {}
_WHERE = ("*/read*.py", "reports/*.py")  # in `core`


def named_views() -> dict[str, Callable[..., object]]:
    """The views that other services may ask for, by the names of their tasks: those of every `read.py`, and of the reports."""
    core = Path(__file__).parents[1]
    for path in sorted(path for pattern in _WHERE for path in core.glob(pattern)):
        import_module(f"core.{path.parent.name}.{path.stem}")
    return dict(_named)


def root(asked: str) -> Sees:
    """Root alone is answered; `asked` is what the error tells, as in `require_root`."""
    return lambda actor, _: require_root(actor, asked)


def mandate(asked: str) -> Sees:
    """Who may see all that is of `mandate_id`."""
    return lambda actor, given: require_mandate(actor, given["mandate_id"], asked)


def member(asked: str) -> Sees:
    """Who may see what is of `user_id` in `mandate_id`, or without a user what is of the mandate as a whole."""
    return lambda actor, given: require_member(actor, given["mandate_id"], given["user_id"], asked)


def view(
    name: str | None, *, sees: Sees, without: Callable[[Any], Any] | None = None
) -> Callable[[Callable[Concatenate[Connection, P], R]], Callable[Concatenate[Database, Actor, P], R]]:
    """Makes a view of a function.

    Args:
        name: of its task; None for what no other service may ask for.
        sees: who is answered: `root`, `mandate` or `member`, or a gate beside what it looks up, such as `core.directory.read.mandates`.
        without: makes of what is found what everybody but root is shown of it.
    """

    def declared(read: Callable[Concatenate[Connection, P], R]) -> Callable[Concatenate[Database, Actor, P], R]:
        own = _own_parameters(read, 1)
        by_name: Callable[..., R] = read

        def asked(database: Database, actor: Actor, /, *args: P.args, **kwargs: P.kwargs) -> R:
            bound = own.bind(*args, **kwargs)
            bound.apply_defaults()
            look_up = sees(actor, bound.arguments)
            check_page(**_page(bound.arguments))
            with database.snapshot() as connection:
                if look_up is not None:
                    look_up(connection)
                found = by_name(connection, **bound.arguments)
            return found if without is None or actor.role is Role.ROOT else without(found)

        _declare(name, read, asked, own)
        return asked

    return declared


def deciding_view(name: str) -> Callable[[Callable[Concatenate[Connection, Actor, P], R]], Callable[Concatenate[Database, Actor, P], R]]:
    """As `view`, of a function that is given the actor too, since what it finds decides who may see it: it raises Forbidden itself."""

    def declared(read: Callable[Concatenate[Connection, Actor, P], R]) -> Callable[Concatenate[Database, Actor, P], R]:
        def asked(database: Database, actor: Actor, /, *args: P.args, **kwargs: P.kwargs) -> R:
            with database.snapshot() as connection:
                return read(connection, actor, *args, **kwargs)

        _declare(name, read, asked, _own_parameters(read, 2))
        return asked

    return declared


def _own_parameters(read: Callable[..., object], given: int) -> Signature:
    """The function's signature without the first ones, which it is given."""
    return Signature(list(signature(read).parameters.values())[given:])


def _page(given: Arguments) -> Arguments:
    """Which of the arguments say which rows: by these names, or in a `page`."""
    told = given | (given["page"]._asdict() if given.get("page") else {})
    return {name: told[name] for name in ("limit", "offset", "first", "last") if told.get(name) is not None}


def _declare(name: str | None, read: Callable[..., object], asked: Callable[..., object], own: Signature) -> None:
    """Lets the view be known by its name, and be to who looks at it the function that its caller calls."""
    update_wrapper(asked, read)
    books = [Parameter(of, Parameter.POSITIONAL_ONLY, annotation=kind) for of, kind in (("database", Database), ("actor", Actor))]
    asked.__signature__ = Signature([*books, *own.parameters.values()])  # type: ignore[attr-defined]
    if name is not None:
        assert name not in _named, name
        _named[name] = asked
