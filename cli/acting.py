"""As whom a command is run; loads nothing, so that the help comes at once."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.asking.rights import Actor

ROOT = "root"
_chosen = ContextVar("as", default=ROOT)


def act_as(text: str) -> None:
    """Lets the command be run as this actor.

    Raises:
        RequestRefused: the text names none.
    """
    if text != ROOT:
        _read(text)
    _chosen.set(text)


def acting() -> Actor:
    """The actor: root, unless `--as` named another (cli/main.py gives the option to every command whose module asks here or of cli/asking.py)."""
    return _read(_chosen.get())


def _read(text: str) -> Actor:
    from core.asking.rights import parse_actor  # noqa: PLC0415 - see above

    return parse_actor(text)
