"""Warns of names that nothing knows, which may be mistyped."""

from cli.asking import ask
from cli.output.notes import warn
from core.errors import Forbidden
from core.reports.names import unknown_names


def warn_of_unknown(*, mandate: str | None = None, user: str | None = None, model: str | None = None) -> None:
    """A warning for each of these names that nothing knows, if root asks; nobody else may know."""
    if mandate is user is model is None:
        return
    try:
        told = ask(unknown_names, mandate_id=mandate, user_id=user, model=model)
    except Forbidden:
        return
    for line in told:
        warn(line)
