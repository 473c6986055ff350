"""Erasing a person: names and free text are gone and stay gone, the books are in order, and nobody but the owner can do it."""

import json
from collections.abc import Callable
from decimal import Decimal

import pytest

from core.asking.rights import ROOT
from core.database.database import Database
from core.dead_letters.discard import discard_dead_letters
from core.dead_letters.sql.status import Choice
from core.directory.sql.mirror import User, put_users
from core.errors import Misconfigured, NotFound
from core.housekeeping.erase_user import erase_user
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutMandate

Erase = Callable[..., dict[str, int]]
EVERYTHING = """
    SELECT (SELECT json_agg(t) FROM transactions t)::text || (SELECT coalesce(json_agg(u)::text, '') FROM directory_users u)
        || (SELECT coalesce(string_agg(encode(body, 'escape') || detail, ''), '') FROM dead_letters) AS all
"""


@pytest.fixture
def erase(owner_database: Database) -> Erase:
    """Erases ada, as the owner, by olga's word."""

    def run(user_id: str = "ada", **options: object) -> dict[str, int]:
        return erase_user(owner_database, user_id, **{"by": "olga", "reason": "asked for", **options})  # type: ignore[arg-type]

    return run


@pytest.fixture
def books(record: Record, put_mandate: PutMandate, database: Database) -> None:
    """Usage of ada and bob in two mandates with words about Lovelace, and letters of each, ada's resolved and open."""
    for mandate in ("acme", "umbrella"):
        put_mandate(mandate, users=["ada", "bob"])
        for user in ("ada", "bob"):
            record(event(mandate_id=mandate, event_id=f"e-{user}", user_id=user, description=f"letter to {user} Lovelace"))
            record(event(mandate_id=mandate, event_id=f"bad-{user}", user_id=user, description=f"{user} Lovelace", colour="red"))
    discard_dead_letters(database, ROOT, Choice(reason="unknown_field"), by="olga", resolution="test traffic")
    record(event(event_id="open", user_id="ada", description="ada Lovelace", colour="blue"))
    with database.transaction() as connection:
        put_users(connection, [User("ada", "al", "Ada Lovelace"), User("bob", "bl", "Bob Lovelace")])


@pytest.mark.usefixtures("books")
def test_names_and_words_are_gone_and_the_books_in_order(erase: Erase, rows: Rows, breaches: Breaches, balances: Callable[[], object]) -> None:
    """What is left of ada is the id; bob's words, all amounts, hashes and letters' counts stay, and every invariant holds."""
    before = (balances(), rows("SELECT id, amount, occurred_at, event_id FROM transactions ORDER BY id"), rows("SELECT payload_hash FROM event_keys"))
    hashes = rows("SELECT body_sha256, body_length, attempts FROM dead_letters ORDER BY id")
    assert breaches() == {}
    done = erase()
    assert done == {"names": 1, "descriptions": 2, "letters": 2, "open_letters_left": 1, "parked_events_left": 0}
    assert breaches() == {}
    assert before == (
        balances(),
        rows("SELECT id, amount, occurred_at, event_id FROM transactions ORDER BY id"),
        rows("SELECT payload_hash FROM event_keys"),
    )
    assert rows("SELECT body_sha256, body_length, attempts FROM dead_letters ORDER BY id") == hashes
    discarded = rows("SELECT body, detail, erased_at IS NOT NULL AS erased FROM dead_letters WHERE status = 'DISCARDED' ORDER BY id")
    assert [(bytes(r["body"]) == b"", r["erased"]) for r in discarded] == [(True, True), (False, False)] * 2
    (told,) = rows(EVERYTHING)
    assert told["all"].count("bob Lovelace") == 4
    assert "Ada Lovelace" not in told["all"]
    assert told["all"].count("ada Lovelace") == 1  # of the open letter


@pytest.mark.usefixtures("books")
def test_an_erasure_is_logged_and_repeatable(erase: Erase, rows: Rows) -> None:
    """Who, why, what; a second one finds what has come since, here the letter that was decided meanwhile."""
    erase()
    rows("UPDATE dead_letters SET status = 'DISCARDED', resolved_at = now() WHERE status = 'OPEN'")
    assert erase() == {"names": 0, "descriptions": 0, "letters": 1, "open_letters_left": 0, "parked_events_left": 0}
    logged = rows("SELECT user_id, mandate_ids, erased_by, reason, counts FROM erasures ORDER BY id")
    assert [(r["user_id"], r["mandate_ids"], r["erased_by"], r["reason"], r["counts"]["letters"]) for r in logged] == [
        ("ada", None, "olga", "asked for", 2),
        ("ada", None, "olga", "asked for", 1),
    ]


@pytest.mark.usefixtures("books")
def test_a_dry_run_counts_and_changes_nothing(erase: Erase, rows: Rows) -> None:
    """The same numbers, and not even a line in the log."""
    before = rows(EVERYTHING)
    counts = erase(dry_run=True)
    assert (rows(EVERYTHING), rows("SELECT * FROM erasures")) == (before, [])
    assert erase() == counts


@pytest.mark.usefixtures("books")
def test_in_one_mandate_the_names_stay(erase: Erase, rows: Rows) -> None:
    """They belong to the person everywhere; the other mandate's words stay, too."""
    assert erase(mandate_ids=["umbrella"]) == {"names": 0, "descriptions": 1, "letters": 1, "open_letters_left": 0, "parked_events_left": 0}
    (told,) = rows("SELECT description FROM transactions WHERE event_id = 'e-ada' AND mandate_id = 'acme'")
    assert told["description"] == "letter to ada Lovelace"
    assert rows("SELECT display_name FROM directory_users WHERE id = 'ada'") == [{"display_name": "Ada Lovelace"}]


@pytest.mark.usefixtures("books")
def test_the_directory_does_not_bring_names_back(erase: Erase, database: Database, rows: Rows) -> None:
    """Whoever writes them, by whatever way, also where the row was away meanwhile."""
    erase()
    again = [User("ada", "al", "Ada Lovelace"), User("bob", "bl", "Robert")]
    for forget in ("SELECT 1", "DELETE FROM directory_users"):
        rows(forget)
        with database.transaction() as connection:
            put_users(connection, again)
        found = rows("SELECT id, username, display_name FROM directory_users ORDER BY id")
        assert [tuple(r.values()) for r in found] == [("ada", None, None), ("bob", "bl", "Robert")]


@pytest.mark.usefixtures("books")
def test_the_workers_login_can_erase_nothing(database: Database, erase: Erase, rows: Rows) -> None:
    """I18: no worker changes what is written; and nobody is erased whom nobody knows."""
    before = rows(EVERYTHING)
    with pytest.raises(Misconfigured, match="42501"):
        erase_user(database, "ada", by="olga", reason="asked for")
    with pytest.raises(NotFound, match="nobody"):
        erase("nobody")
    assert rows(EVERYTHING) == before


def test_ids_that_json_escapes_are_found(erase: Erase, record: Record, put_mandate: PutMandate, database: Database, rows: Rows) -> None:
    """A letter names a user as JSON writes the id, escaped to ASCII or not; a longer id that begins alike is somebody else."""
    user, other = 'jü"rg', 'jü"rgen'
    put_mandate("acme", users=[user, other])
    for number, name in enumerate((user, other)):
        for ascii_only in (True, False):
            fields = event(event_id=f"{number}-{ascii_only}", user_id=name, price_chf=f"0.{number + 1}", colour="red")
            record(json.dumps(fields, ensure_ascii=ascii_only).encode())
        record(event(event_id=f"good-{number}", user_id=name))
    discard_dead_letters(database, ROOT, Choice(reason="unknown_field"), by="olga", resolution="x")
    assert erase(user)["letters"] == 2
    assert len(rows("SELECT FROM dead_letters WHERE body <> ''")) == 2
    assert Decimal(rows("SELECT sum(amount) AS total FROM transactions WHERE event_id LIKE 'good%'")[0]["total"]) > 0


@pytest.mark.usefixtures("books")
def test_the_same_bytes_again_are_only_counted(erase: Erase, record: Record, rows: Rows, breaches: Breaches) -> None:
    """The letter is known by its hash: a redelivery brings no body back."""
    erase()
    record(event(event_id="bad-ada", user_id="ada", description="ada Lovelace", colour="red"))
    (letter,) = rows("SELECT body, attempts FROM dead_letters WHERE mandate_id = 'acme' AND event_id = 'bad-ada'")
    assert (bytes(letter["body"]), letter["attempts"]) == (b"", 2)
    assert breaches() == {}
