"""What a message that asks for a view may say: made from the view's own signature, so that the two can't differ."""

from collections.abc import Callable, Iterator
from datetime import datetime
from inspect import Parameter, signature
from types import NoneType
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import create_model

from core.asking.paging import Page
from core.asking.request import Asked
from core.asking.rights import Actor

INSIDE_ONLY = object()  # annotates a parameter that functions and commands may give, and no message
Clock = Annotated[datetime | None, INSIDE_ONLY]  # the time by which holds end; None: the database's own clock


class Question(Asked):
    """As whom, and what: a field for each parameter of the view."""

    actor: Actor

    def arguments(self) -> dict[str, Any]:
        """The arguments of the view beside the actor, by name."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "actor"}


class PageQuestion(Question):
    """The same of a view with a `page`, whose fields stand among the others."""

    def arguments(self) -> dict[str, Any]:
        """As ever, with the page as one."""
        told = super().arguments()
        page = Page(**{name: told.pop(name) for name in Page._fields})
        return told | {"page": page}


def question_of(view: Callable[..., object]) -> type[Question]:
    """The question that the view answers. What may be None may be left out."""
    fields: dict[str, Any] = {name: (hint, default) for name, hint, default in _parameters(view)}
    base = PageQuestion if "page" in signature(view).parameters else Question
    return create_model(view.__name__, __base__=base, **fields)


def _parameters(view: Callable[..., object]) -> Iterator[tuple[str, Any, Any]]:
    """Name, type and default (... where it must be said) of what a message may say beside the actor."""
    hints = get_type_hints(view, include_extras=True)
    _database, _actor, *own = signature(view).parameters.values()
    for parameter in own:
        hint, default = hints[parameter.name], parameter.default
        if hint is Page:
            yield from ((name, kind, Page._field_defaults[name]) for name, kind in get_type_hints(Page, include_extras=True).items())
        elif INSIDE_ONLY not in get_args(hint):
            if default is Parameter.empty:
                default = None if NoneType in get_args(hint) else ...
            yield parameter.name, hint, default
