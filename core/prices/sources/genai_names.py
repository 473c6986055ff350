"""Which exact names package genai-prices has for a model: whatever is a pattern is named and left out."""

from collections.abc import Iterator
from typing import Any

from core.prices.offer import NotExpressed


def exact_names(provider: Any, model: Any, taken: set[str]) -> tuple[list[str], list[NotExpressed]]:
    """The names by which the package itself finds this very model, and what of its matching no exact name can say.

    Args:
        provider: of the package.
        model: one of its models.
        taken: names that another model of the provider has; the new ones are added.
    """
    refused = [
        NotExpressed(provider.id, model.id, "open_matcher", f"{_words(clause)}: add an alias for each name that you meet")
        for clause in _clauses(model.match)
        if not hasattr(clause, "equals")
    ]
    names: list[str] = []
    for name in dict.fromkeys([model.id, *(clause.equals for clause in _clauses(model.match) if hasattr(clause, "equals"))]):
        if name.endswith("-") or provider.find_model(name) is not model:
            if name != model.id:
                refused.append(NotExpressed(provider.id, model.id, "name_of_another", f"{name} is found as another model"))
        elif name in taken:
            refused.append(NotExpressed(provider.id, model.id, "name_of_another", f"{name} is there already"))
        else:
            names.append(name)
    taken.update(names)
    return names, refused


def _clauses(match: Any) -> Iterator[Any]:
    """The alternatives of a matcher."""
    if hasattr(match, "or_"):
        for clause in match.or_:
            yield from _clauses(clause)
    else:
        yield match


def _words(clause: Any) -> str:
    if hasattr(clause, "and_"):
        return " and ".join(map(_words, clause.and_))
    if hasattr(clause, "or_"):
        return " or ".join(map(_words, clause.or_))
    return " ".join(f"{name} {value}" for name, value in vars(clause).items())
