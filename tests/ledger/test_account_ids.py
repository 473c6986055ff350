"""What a process remembers of accounts: bounded, never another holder's, whoever asks at the same time."""

from itertools import count

from core.ledger.account_ids import AccountIds
from core.ledger.opening import KnownAccounts
from tests.books.threads import at_once

MANY = 200_000


def holders(n: int, mandates: int = 500) -> dict[tuple[str, str | None], int]:
    """Holders, every thousandth of them a pool, each with an id of its own."""
    return {(f"mandate-{i % mandates}-{i // 1000 if i % 1000 == 0 else ''}", None if i % 1000 == 0 else f"user-{i}"): i + 1 for i in range(n)}


def test_what_is_remembered_is_the_holders_own() -> None:
    """Nearly all of many are found again, each with its id; of strangers none."""
    ids, met = AccountIds(), holders(MANY)
    ids.add(met)
    found = ids.find(met)
    assert len(found) > 0.999 * MANY
    assert found == {holder: met[holder] for holder in found}
    assert ids.find({(mandate_id, f"{user_id}?") for mandate_id, user_id in met}) == {}


def test_the_last_one_takes_the_place_of_an_earlier_one() -> None:
    """However many are added, the table has its size; the last ones are there, and nobody has another's id."""
    ids, met = AccountIds(slots=1 << 10), holders(20_000)
    for holder, account_id in met.items():
        ids.add({holder: account_id})
    found = ids.find(met)
    assert len(found) <= 1 << 10
    assert found == {holder: met[holder] for holder in found}
    assert len([holder for holder in list(met)[-100:] if holder in found]) > 80


def test_an_account_that_is_added_again_has_its_new_id() -> None:
    """As after a restore, when everything was forgotten in between or not."""
    ids = AccountIds()
    ids.add({("acme", "ada"): 7})
    ids.add({("acme", "ada"): 8, ("acme", None): 9})
    assert ids.find([("acme", "ada"), ("acme", None), ("acme", "bob")]) == {("acme", "ada"): 8, ("acme", None): 9}


def test_an_id_beyond_the_room_is_not_remembered() -> None:
    """Rather asked for each time than cut off."""
    ids = AccountIds()
    ids.add({("acme", "ada"): 1 << 40, ("acme", "bob"): (1 << 40) - 1})
    assert ids.find([("acme", "ada"), ("acme", "bob")]) == {("acme", "bob"): (1 << 40) - 1}


def test_threads_never_see_half_of_an_entry() -> None:
    """While one writes over what another one reads, every id that is found is the right one."""
    known, numbers = KnownAccounts(), count()
    met = holders(20_000)
    parts = [dict(list(met.items())[i::4]) for i in range(4)]

    def work() -> None:
        mine = parts[next(numbers)]
        for _ in range(20):
            known.add(mine)
            found = known.find(met)
            assert found == {holder: met[holder] for holder in found}

    at_once(*[work] * 4)


def test_nothing_is_known_once_it_was_forgotten() -> None:
    """The database is another one."""
    known = KnownAccounts()
    known.add({("acme", "ada"): 7})
    known.forget()
    assert known.find([("acme", "ada")]) == {}
