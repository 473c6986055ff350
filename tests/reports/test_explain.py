"""Where a transaction came from: balances entry by entry, who asked, under which rules, and what corrected it since."""

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from core.asking.rights import ROOT, Actor, administrator, user
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.dead_letters.accept_conflict import accept_conflict
from core.errors import Forbidden, NotFound
from core.ledger.read_accounts import holder_account
from core.money import ZERO
from core.movements.amend_prices import amend_prices
from core.movements.new_price import NewPrice
from core.movements.refund import Refund, refund
from core.movements.switch import ModelSwitch, switch_billing_model
from core.movements.top_up import TopUp, top_up
from core.reports.explain import Explanation, Relation, explain, explain_event
from core.reports.sql import explanations
from tests.books.stories import STORIES, USERS, ZONES, Story, new_mandate_id
from tests.cli.test_cli import Run, run
from tests.conftest import Record, Row, Rows
from tests.importing.test_import_books import Take, take
from tests.sample_events import event
from tests.scene import PutSettings

__all__ = ["run", "take"]

Explain = Callable[..., Explanation]
POOL = BillingModel.PREPAY_MANDATE


@pytest.fixture
def told(database: Database) -> Explain:
    """Explains a transaction, as root unless somebody else is named."""
    return lambda transaction_id, actor=ROOT: explain(database, actor, transaction_id)


@pytest.fixture
def ids(rows: Rows) -> Callable[..., list[int]]:
    """The ids of acme's transactions under a condition, in order."""
    return lambda condition: [row["id"] for row in rows(f"SELECT id FROM transactions WHERE mandate_id = 'acme' AND {condition} ORDER BY id")]


def amend(database: Database, event_id: str, price: str, key: str) -> None:
    """The event costs that from now on."""
    new = NewPrice.read({"mandate_id": "acme", "event_id": event_id, "price_chf": price})
    amend_prices(database, ROOT, [new], key=key, by="olga", worker="test")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(zone=st.sampled_from(ZONES), model=st.sampled_from(BillingModel), steps=STORIES)
def test_balances_follow_one_another(
    database: Database,
    record: Record,
    rows: Rows,
    config: Configuration,
    put_settings: PutSettings,
    told: Explain,
    zone: str,
    model: BillingModel,
    steps: tuple[tuple[Any, ...], ...],
) -> None:
    """On each account the first entry finds nothing, each next one what the one before left, and the last leaves the present balance."""
    mandate_id = new_mandate_id()
    put_settings(mandate_id, model, users=USERS[:2], time_zone=zone)
    Story(database, record, rows, config, mandate_id).apply(steps)
    balances: dict[int, Decimal] = defaultdict(Decimal)
    for row in rows("SELECT * FROM transactions WHERE mandate_id = :m ORDER BY recorded_at, id", m=mandate_id):
        found = told(row["id"])
        if row["balance_account_id"] is None:
            assert (found.balance_account, found.moved, found.balance_before, found.balance_after) == (None, ZERO, None, None)
            continue
        _check_balance(found, row, balances)
    for row in rows("SELECT id, balance FROM accounts WHERE mandate_id = :m", m=mandate_id):
        assert balances[row["id"]] == row["balance"]


def _check_balance(found: Explanation, row: Row, balances: dict[int, Decimal]) -> None:
    assert found.balance_account is not None
    assert (found.balance_account.id, found.balance_before) == (row["balance_account_id"], balances[row["balance_account_id"]])
    balances[row["balance_account_id"]] += -row["amount"] if row["transaction_type"] == "DEBIT" else row["amount"]
    assert found.balance_after == balances[row["balance_account_id"]]


def test_usage_is_explained(told: Explain, ids: Callable[..., list[int]], record: Record, put_settings: PutSettings) -> None:
    """The event's fields, the pool that paid, the settings of that time, and the batch that recorded it with others."""
    put_settings(model=POOL, users=["ada", "bob"], time_zone="Europe/Zurich")
    record(event(price_chf="1"), event(price_chf="2.5", user_id="bob", model="m"), event(price_chf="4"), worker="w-1")
    found = told(ids("amount = 2.5")[0])
    assert (found.account.user_id, found.balance_account and found.balance_account.account_type) == ("bob", "MANDATE")
    assert (found.transaction.model, found.moved) == ("m", Decimal("-2.5"))
    assert (found.balance_before, found.balance_after) == (Decimal(-1), Decimal("-3.5"))
    assert found.rules is not None
    assert (found.rules.version, found.rules.billing_model, found.rules.time_zone) == (1, POOL, "Europe/Zurich")
    assert found.batch is not None
    assert (found.batch.worker, found.batch.kind, found.batch.recorded) == ("w-1", "usage", 3)
    assert (found.operation, found.related, found.amendments, found.dead_letters, found.refunded) == (None, [], [], [], ZERO)


def test_whoever_asked_is_named(told: Explain, ids: Callable[..., list[int]], database: Database, record: Record, put_settings: PutSettings) -> None:
    """A grant, a payment, the legs of a switch: the operation, its key, and who it was. One key serves two operations."""
    put_settings(users=["ada"])
    record(event(price_chf="1"))
    asked = {"mandate_id": "acme", "by": "olga", "key": "one"}
    top_up(database, ROOT, TopUp.read({**asked, "account_id": holder_account(database, ROOT, "acme", "ada").id, "amount": "5"}))
    switch_billing_model(database, ROOT, ModelSwitch.read({**asked, "billing_model": "PREPAY_MANDATE"}))
    found = [told(i) for i in ids("operation_key IS NOT NULL")]
    assert [(f.operation, f.transaction.operation_key, f"{f.moved:.0f}") for f in found] == [
        ("grant", f"grant:{found[0].account.id}", "10"),
        ("top_up", "one", "5"),
        ("switch_billing_model", "one", "-14"),
        ("switch_billing_model", "one", "14"),
    ]
    assert [f.transaction.user_id for f in found[1:]] == ["olga"] * 3
    assert [f.rules.version for f in found if f.rules] == [1, 1, 2, 2]


def test_refunds_and_what_they_refund_name_each_other(
    told: Explain, ids: Callable[..., list[int]], database: Database, record: Record, put_settings: PutSettings
) -> None:
    """The entry shows its refunds and how much they are, a refund the entry."""
    put_settings(users=["ada"])
    record(event(price_chf="3"))
    (usage,) = ids("reference_type = 'WORKFLOW'")
    for key, part in (("a", "1"), ("b", "0.5")):
        refund(database, ROOT, Refund.read({"mandate_id": "acme", "transaction_id": usage, "amount": part, "key": key, "by": "olga"}))
    parts = ids("reference_type = 'REFUND'")
    whole, half = told(usage), told(parts[1])
    assert ([(r.relation, r.transaction.id) for r in whole.related], whole.refunded) == ([(Relation.REFUND, i) for i in parts], Decimal("1.5"))
    assert ([(r.relation, r.transaction.id) for r in half.related], half.operation) == ([(Relation.CORRECTED, usage)], "refund")


def test_a_refunded_top_up_was_refunded_whole(
    told: Explain, ids: Callable[..., list[int]], database: Database, owner_database: Database, record: Record, put_settings: PutSettings
) -> None:
    """What was given back of a payment is positive too, and counts all refunds, though only the first 1,000 are listed."""
    put_settings(users=["ada"])
    record(event())
    asked = {"mandate_id": "acme", "by": "olga"}
    account_id = holder_account(database, ROOT, "acme", "ada").id
    top_up(database, ROOT, TopUp.read({**asked, "key": "t", "account_id": account_id, "amount": "1500"}))
    (payment,) = ids("reference_type = 'PAYMENT'")
    refund(database, ROOT, Refund.read({**asked, "key": "r", "transaction_id": payment, "amount": "0.25"}))
    assert told(payment).refunded == Decimal("0.25")
    (first,) = ids("reference_type = 'REFUND'")
    with owner_database.transaction() as connection:
        for table, number in (("transactions", "id"), ("refunds", "refund_transaction_id")):
            copy = f"jsonb_build_object('{number}', {number} + n, 'refunded', NULL)"  # as before that column was there
            query = f"INSERT INTO {table} SELECT (jsonb_populate_record(t, {copy})).* FROM {table} t, generate_series(1, 1100) n WHERE {number} = :id"
            connection.execute(text(query), {"id": first})
    found = told(payment)
    assert ({r.relation for r in found.related}, len(found.related), found.refunded) == ({Relation.REFUND}, 1000, Decimal("275.25"))


def test_an_events_amendments_are_a_chain(
    told: Explain, ids: Callable[..., list[int]], database: Database, config: Configuration, record: Record, put_settings: PutSettings, rows: Rows
) -> None:
    """Whichever entry of the event is explained, all others are there, with what they are to it, and the conflict with its letter."""
    put_settings(users=["ada"])
    first = event(event_id="e1", price_chf="3")
    record(first)
    amend(database, "e1", "2", "k1")
    record({**first, "price_chf": "7"})
    (letter,) = rows("SELECT id FROM dead_letters")
    accept_conflict(database, ROOT, letter["id"], by="olga", config=config, worker="test")
    usage, back, debit, back_again, present = ids("reference_type IN ('WORKFLOW', 'AMENDMENT')")
    relations = {i: {r.transaction.id: r.relation.value for r in told(i).related} for i in (usage, back, debit, present)}
    assert relations == {
        usage: {back: "reversal", debit: "amendment", back_again: "amendment", present: "amendment"},
        back: {usage: "corrected", debit: "amendment", back_again: "amendment", present: "amendment"},
        debit: {usage: "amendment", back: "amendment", back_again: "reversal", present: "amendment"},
        present: {usage: "amendment", back: "amendment", debit: "amendment", back_again: "amendment"},
    }
    found = explain_event(database, ROOT, "acme", "e1")
    assert found == told(usage)
    assert [(s.number, s.operation, s.key, s.reversed_id, s.reversal_id, s.debit_id) for s in found.amendments] == [
        (1, "amend_prices", "k1", usage, back, debit),
        (2, "accept", found.amendments[1].key, debit, back_again, present),
    ]
    assert [(one.id, one.reason, one.status) for one in found.dead_letters] == [(letter["id"], "conflict", "ACCEPTED")]
    assert [told(i).operation for i in (usage, back, debit, back_again)] == [None, "amend_prices", "amend_prices", "accept"]


def test_imported_books_are_explained(take: Take, told: Explain, ids: Callable[..., list[int]]) -> None:
    """History moved nothing here, an opening balance everything before the first entry."""
    take()
    opening = told(ids("operation_key = 'opening:acme:ada'")[0])
    assert (opening.balance_before, opening.balance_after) == (ZERO, Decimal("12.5"))
    assert opening.operation is not None
    old = told(ids("event_id = 'e-1'")[0])
    assert (old.balance_account, old.balance_after, old.batch and old.batch.kind) == (None, None, "import")


@pytest.mark.parametrize("actor", [user("bob"), administrator("other"), user("nobody")], ids=str)
def test_who_may_not_see_it_learns_nothing(
    actor: Actor, database: Database, told: Explain, ids: Callable[..., list[int]], record: Record, put_settings: PutSettings
) -> None:
    """The refusal of an entry that is there is that of one that isn't: neither whose it is nor that it is."""
    put_settings(users=["ada", "bob"])
    record(event(event_id="e1"))
    (usage,) = ids("reference_type = 'WORKFLOW'")
    told(usage)
    transactions = (asked(explain, usage), asked(explain, 999_999))
    events = (asked(explain_event, "acme", "e1"), asked(explain_event, "acme", "e2"))
    for there, absent in (transactions, events):
        messages = []
        for ask in (there, absent):
            with pytest.raises(Forbidden) as caught:
                ask(database, actor)
            messages.append(str(caught.value).replace("999999", str(usage)).replace("e2", "e1"))
        assert messages[0] == messages[1]
        assert "ada" not in messages[0]


def asked(view: Callable[..., Explanation], *about: object) -> Callable[..., Explanation]:
    """The view, asked for this by whoever."""
    return lambda database, actor: view(database, actor, *about)


def test_a_user_sees_what_is_his(
    database: Database, told: Explain, ids: Callable[..., list[int]], config: Configuration, record: Record, put_settings: PutSettings, rows: Rows
) -> None:
    """His own entry with the pool's balance; no batch, no dead letter, no entry about another user, no other's balance."""
    put_settings(model=POOL, users=["ada", "bob"])
    first = event(event_id="e1", price_chf="3")
    record(first, event(user_id="bob"))
    record({**first, "user_id": "bob"})
    accept_conflict(database, ROOT, rows("SELECT id FROM dead_letters")[0]["id"], by="olga", config=config, worker="test")
    usage, back, present = ids("event_id = 'e1' OR reference_type = 'AMENDMENT'")
    own = told(usage, user("ada"))
    assert (own.balance_after, own.batch, own.dead_letters, [r.transaction.id for r in own.related]) == (Decimal(-3), None, [], [back])
    seen = told(usage, administrator("acme"))
    assert (seen.batch, len(seen.dead_letters), [r.transaction.id for r in seen.related]) == (None, 1, [back, present])
    ada, bob = (holder_account(database, ROOT, "acme", name).id for name in ("ada", "bob"))
    present_of_bob = {"mandate_id": "acme", "account_id": ada, "balance_account_id": bob, "amount": "5", "key": "present", "by": "olga"}
    top_up(database, ROOT, TopUp.read(present_of_bob))
    (payment,) = ids("reference_type = 'PAYMENT'")
    hidden = told(payment, user("ada"))
    assert (hidden.balance_account, hidden.balance_before, hidden.balance_after) == (None, None, None)
    assert told(payment).balance_after == 5
    with pytest.raises(Forbidden):
        told(payment, user("bob"))


def test_what_is_not_there_is_named(database: Database, put_settings: PutSettings) -> None:
    """To root, and an event also to the mandate's administrator."""
    put_settings()
    with pytest.raises(NotFound, match="there is no transaction 7"):
        explain(database, ROOT, 7)
    for actor in (ROOT, administrator("acme")):
        with pytest.raises(NotFound, match="event 'e1' of mandate 'acme' is not recorded"):
            explain_event(database, actor, "acme", "e1")


@pytest.mark.parametrize("query", [explanations.AFTER_OF_USER, explanations.AFTER_OF_POOL], ids=["user", "pool"])
def test_no_balance_reads_other_entries(query: object, owner_database: Database) -> None:
    """Every partition is read through an index."""
    parameters = {"mandate_id": "acme", "account_id": 1, "recorded_at": "2026-01-01T00:00:00Z", "transaction_id": 1}
    with owner_database.transaction() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = connection.execute(text(f"EXPLAIN {query}"), parameters).scalars().all()
    assert [line for line in plan if "Seq Scan on transactions" in line] == []


def test_the_command_tells_it(run: Run, ids: Callable[..., list[int]], database: Database, record: Record, put_settings: PutSettings) -> None:
    """Section by section for people, whole for programs; by transaction or by event, as whoever asks."""
    put_settings(users=["ada"])
    record(event(event_id="e1", price_chf="3", model="\x1b[31mred".replace("\x1b", "\u202e")))
    amend(database, "e1", "2", "k1")
    record(event(event_id="e1", price_chf="9"))
    (usage, *_, debit) = ids("event_id = 'e1'")
    refund(database, ROOT, Refund.read({"mandate_id": "acme", "transaction_id": debit, "amount": "0.5", "key": "r", "by": "olga"}))
    out = run("explain", str(usage)).out
    sections = ("the entry", "the balance", "settings then", "the batch", "entries that belong to it", "amendments of the event")
    for section in (*(f"\n{title}:\n" for title in sections), "\ndead letters with the same event id:\n"):
        assert section in out
    assert "\u202e" not in out
    refunded = run("explain", str(debit)).out
    assert "asked for by:" in refunded
    assert "refunded of it: 0.500000000 CHF" in refunded
    found = run("explain", "--mandate", "acme", "--event", "e1", "--json").json
    assert found == run("explain", str(usage), "--json").json
    assert (found["balance_before"], found["balance_after"]) == ("10.000000000", "7.000000000")
    assert run("explain", str(usage), "--as", "user:bob").err == f"error: 'user:bob' may not read transaction {usage}\n"
    assert run("explain", "999999").err == "error: there is no transaction 999999\n"
    for wrong in ("", "1 --event e1 --mandate acme", "--event e1", "--mandate acme", "1 --mandate acme"):
        assert run("explain", *wrong.split()).code == 2


def test_an_entry_that_moved_nothing_says_so(run: Run, ids: Callable[..., list[int]], record: Record, put_settings: PutSettings) -> None:
    """Usage under UNLIMITED."""
    put_settings(model=BillingModel.UNLIMITED, users=["ada"])
    record(event())
    assert "It moved no balance." in run("explain", str(ids("true")[0])).out
