"""A SALE book may bill what nobody knows the cost of; the nightly check tells which."""

from decimal import Decimal

from core.asking.rights import ROOT
from core.database.database import Database
from core.events.outcome import Outcome
from core.prices.model import Layer, Mode
from core.prices.modes import set_mode
from core.prices.rules import add_rule
from core.verifying.sql.invariants.afterwards import sales_have_a_cost
from core.verifying.sql.invariants.invariant import judge
from tests.conftest import Record, Rows
from tests.movements.rerating import SINCE, usage
from tests.prices.scene import accepted, row
from tests.scene import Breaches, PutSettings


def test_what_is_sold_without_a_cost_is_told(record: Record, rows: Rows, database: Database, put_settings: PutSettings, breaches: Breaches) -> None:
    """The model that only the SALE book has is named with its debits; one that has a cost beside is not. The books are in order."""
    put_settings("acme", users=["ada"])
    gold = {"layer": Layer.SALE, "book": "gold", "currency": "CHF"}
    sold = [row(model, leaf, "8", **gold) for model in ("gpt", "own") for leaf in ("input", "output")]
    accepted(database, [*sold, row("gpt", currency="CHF"), row("gpt", "output", "15", currency="CHF")])
    add_rule(database, ROOT, book="gold", created_by="olga")
    set_mode(database, ROOT, "acme", Mode.COMPUTED, created_by="olga", since=SINCE)
    assert set(record(usage(), usage(model="own"), usage(model="own")).outcomes) == {Outcome.RECORDED}
    with database.snapshot() as connection:
        (told,) = judge(connection, sales_have_a_cost(), 10).samples
    assert told.subject == "own of openai, mandate acme"
    assert told.detail.startswith("2 debits by a SALE book have no provider cost")
    assert {one["amount"] for one in rows("SELECT amount FROM transactions WHERE reference_type = 'WORKFLOW'")} == {Decimal("0.0088")}
    assert not breaches()
