"""Doing once what is asked for under a key: the first time it is done, ever after its first result comes back."""

from collections.abc import Callable
from typing import TypeVar

from pydantic import TypeAdapter
from sqlalchemy import Connection

from core.asking.sql import Operation, find_result, keep_result

Result = TypeVar("Result")


def once(connection: Connection, operation: Operation, kind: type[Result], do: Callable[[], Result]) -> Result:
    """The result of the operation: of `do`, kept with its key in the same transaction, or the one that was kept before.

    Call it before anything is locked but the mandate: whoever asks at the same time for the same thing waits here.
    `kind` is a dataclass of JSON-like fields, with `repeated`, which tells that it had been done before.

    Raises:
        Conflict: the key was used with other content.
    """
    codec = TypeAdapter(kind)
    kept = find_result(connection, operation)
    if kept is not None:
        return codec.validate_python({**kept, "repeated": True})
    result = do()
    keep_result(connection, operation, codec.dump_python(result, mode="json"))
    return result
