"""How movements are asked for: `@movement` makes a function one, `@under_key` has it done once.

    @movement("movement.adjust", "adjust a balance")
    @under_key()
    def adjust(connection: Connection, settings: BillingSettings, asked: Adjustment) -> MovementResult: ...

It is called as `adjust(database, actor, asked)`, and by message as the task `movement.adjust` with the fields of `Adjustment`. A new one
needs nothing else than a module of its own in this package, and rows in `core/ledger/kinds.py` if its entries are of a new kind.

Beside what its own docstring says, each raises:
    Forbidden: the actor is not root.
    StorageUnavailable: it is not known whether it was done; ask again, with the same key.
    Misconfigured: only an operator can help.
And what is done under a key, which then has been done once, for ever, and whose first result is that of every replay:
    NotFound: the mandate has no settings.
    Conflict: the key was used for another request of this kind.
"""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from inspect import signature
from typing import Any, Concatenate, ParamSpec, TypeVar, cast, get_type_hints

from sqlalchemy import Connection

import core.movements
from core.asking.once import once
from core.asking.request import Question, Request
from core.asking.rights import Actor, require_root
from core.asking.sql import Operation, hold_key
from core.database.database import Database
from core.ledger.hold import present_settings

Asked = TypeVar("Asked", bound=Question)
Keyed = TypeVar("Keyed", bound=Request)
Held = TypeVar("Held")
Result = TypeVar("Result")
Options = ParamSpec("Options")


@dataclass(frozen=True, slots=True)
class Movement:
    """A declared movement: what is asked for it, the function, and whether that takes the configuration too."""

    question: type[Question]
    run: Callable[..., object]
    takes_config: bool


_declared: dict[str, Movement] = {}


def movement(
    task: str, to: str
) -> Callable[[Callable[Concatenate[Connection, Asked, Options], Result]], Callable[Concatenate[Database, Actor, Asked, Options], Result]]:
    """Makes `do` a movement: root's alone, in one transaction, and a task.

    Args:
        task: its name.
        to: what the actor may not do who isn't root: "top up a balance".
    """

    def declare(do: Callable[Concatenate[Connection, Asked, Options], Result]) -> Callable[Concatenate[Database, Actor, Asked, Options], Result]:
        @wraps(do)
        def run(database: Database, actor: Actor, asked: Asked, *args: Options.args, **options: Options.kwargs) -> Result:
            require_root(actor, to)
            with database.transaction() as connection:
                return do(connection, asked, *args, **options)

        own = signature(do).parameters
        given = list(own)[list(own).index("asked") :]  # before it stands what the decorators give
        first = [parameter for name, parameter in signature(run, follow_wrapped=False).parameters.items() if name in ("database", "actor")]
        shown = [*first, *(own[name] for name in given)]
        vars(run)["__signature__"] = signature(do).replace(parameters=shown)
        _declared[task] = Movement(get_type_hints(do)["asked"], run, "config" in own)
        return cast("Callable[Concatenate[Database, Actor, Asked, Options], Result]", run)

    return declare


def under_key(
    hold: Callable[[Connection, str], Held] = present_settings,  # type: ignore[assignment]
    named: Callable[[Connection, Held, Any], Any] | None = None,
) -> Callable[[Callable[[Connection, Held, Keyed], Result]], Callable[[Connection, Keyed], Result]]:
    """Has `do` done once for the request's key, as the operation of its name; its result is a dataclass as `once` takes it.

    Args:
        hold: holds the mandate and gives what `do` needs of it: its settings, which can't change before the transaction ends.
        named: completes the request where it leaves to the books what is asked for.
    """

    def keyed(do: Callable[[Connection, Held, Keyed], Result]) -> Callable[[Connection, Keyed], Result]:
        kind: type[Result] = get_type_hints(do)["return"]

        @wraps(do)
        def done(connection: Connection, asked: Keyed) -> Result:
            held = hold(connection, asked.mandate_id)
            if named is not None:  # first the key, so that who asks for the same at the same time finds the same
                hold_key(connection, asked.mandate_id, do.__name__, asked.key)
                asked = named(connection, held, asked)
            operation = Operation(asked.mandate_id, do.__name__, asked.key, asked.content(), asked.earlier_contents())
            return once(connection, operation, kind, lambda: do(connection, held, asked))

        return done

    return keyed


def movements() -> dict[str, Movement]:
    """Every declared movement by its task's name: those of all modules of the package."""
    for module in pkgutil.iter_modules(core.movements.__path__, "core.movements."):
        import_module(module.name)
    return dict(sorted(_declared.items()))
