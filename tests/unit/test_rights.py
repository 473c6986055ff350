"""Who may ask for what, as a table: every rule for every kind of actor."""

import pytest
from pydantic import TypeAdapter, ValidationError

from core.asking.rights import (
    ROOT,
    Actor,
    Role,
    administrator,
    parse_actor,
    require_mandate,
    require_member,
    require_root,
    visible_mandates,
    visible_mandates_of,
)
from core.errors import Forbidden, RequestRefused

ADMINISTRATOR = administrator("acme", "globex")
ADA = Actor(Role.USER, user_id="ada")


@pytest.mark.parametrize(
    ("actor", "root", "acme", "other", "ada", "ada_elsewhere", "bob"),
    [
        (ROOT, True, True, True, True, True, True),
        (ADMINISTRATOR, False, True, False, True, False, True),
        (ADA, False, False, False, True, True, False),
    ],
    ids=str,
)
def test_each_rule(actor: Actor, *, root: bool, acme: bool, other: bool, ada: bool, ada_elsewhere: bool, bob: bool) -> None:
    """Root may everything, an administrator what is of his mandates, a user what is of himself."""
    allowed = [
        may(require_root, actor, "x"),
        may(require_mandate, actor, "acme", "x"),
        may(require_mandate, actor, "other", "x"),
        may(require_member, actor, "acme", "ada", "x"),
        may(require_member, actor, "other", "ada", "x"),
        may(require_member, actor, "acme", "bob", "x"),
    ]
    assert allowed == [root, acme, other, ada, ada_elsewhere, bob]
    assert may(require_member, actor, "acme", None, "x") == acme


def may(rule: object, *arguments: object) -> bool:
    """Whether the rule lets it pass."""
    try:
        rule(*arguments)  # type: ignore[operator]
    except Forbidden:
        return False
    return True


def test_without_mandates_it_is_all_that_the_actor_may_see() -> None:
    """None is every mandate, for root alone; a user sees no mandate as a whole, but himself in each."""
    assert visible_mandates(ROOT, None, "x") is None
    assert visible_mandates(ROOT, ["b", "a", "b"], "x") == ["a", "b"]
    assert visible_mandates(ADMINISTRATOR, None, "x") == ["acme", "globex"]
    assert visible_mandates(ADMINISTRATOR, ["globex"], "x") == ["globex"]
    assert visible_mandates(ADMINISTRATOR, [], "x") == []
    assert visible_mandates_of(ADMINISTRATOR, "bob", None, "x") == ["acme", "globex"]
    assert visible_mandates_of(ADA, "ada", None, "x") is None
    assert visible_mandates_of(ADA, "ada", ["other"], "x") == ["other"]


def test_a_refusal_says_who_may_not_what() -> None:
    """The error names the actor and what was asked."""
    with pytest.raises(Forbidden, match=r"^'administrator:acme,globex' may not list the transactions of mandate 'other'$"):
        visible_mandates(ADMINISTRATOR, ["acme", "other"], "list the transactions")
    with pytest.raises(Forbidden, match=r"^'user:ada' may not list the transactions of mandates$"):
        visible_mandates(ADA, None, "list the transactions")
    with pytest.raises(Forbidden, match=r"^'user:ada' may not read the balances of user 'bob'$"):
        visible_mandates_of(ADA, "bob", None, "read the balances")
    with pytest.raises(Forbidden, match=r"^'user:ada' may not read the account of user 'bob' in mandate 'acme'$"):
        require_member(ADA, "acme", "bob", "read the account")
    with pytest.raises(Forbidden, match=r"^'user:ada' may not top up a balance$"):
        require_root(ADA, "top up a balance")


@pytest.mark.parametrize("actor", [ROOT, ADMINISTRATOR, ADA, administrator("a b"), Actor(Role.USER, user_id="x:y,z")], ids=str)
def test_an_actor_is_read_as_it_is_written(actor: Actor) -> None:
    """`--as` takes what an error calls him."""
    assert parse_actor(str(actor)) == actor


@pytest.mark.parametrize(
    "text", ["", "Root", "root:", "root:x", "admin:acme", "administrator", "administrator:", "administrator:a,,b", "user", "user:"]
)
def test_who_is_not_told_completely_is_nobody(text: str) -> None:
    """A text that names no actor is refused, never read as root."""
    with pytest.raises(RequestRefused, match="is none of root, administrator:MANDATE"):
        parse_actor(text)


@pytest.mark.parametrize(
    "fields",
    [
        {"role": "root", "user_id": "ada"},
        {"role": "root", "mandate_ids": ["acme"]},
        {"role": "root", "user": "ada"},
        {"role": "user"},
        {"role": "user", "user_id": "ada", "mandate_ids": ["acme"]},
        {"role": "administrator"},
        {"role": "administrator", "mandate_ids": []},
        {"role": "nobody"},
        {},
    ],
    ids=str,
)
def test_a_message_names_one_whole_actor(fields: dict[str, object]) -> None:
    """Fields that contradict each other, are missing or misspelt make no actor, least of all root."""
    with pytest.raises(ValidationError):
        TypeAdapter(Actor).validate_python(fields)
