"""Likely twins: one call sent under two ids shows, however it was recorded, and what only looks a little alike doesn't."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from core.asking.rights import ROOT, administrator
from core.billing import BillingModel
from core.database.database import Database
from core.errors import Forbidden, RequestRefused
from core.movements.refund import Refund, refund
from core.reports.twins import Twins, twins
from tests.cli.test_cli import Run, run
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import PutSettings

__all__ = ["run"]

NOON = datetime(2026, 2, 14, 12, tzinfo=UTC)
DAY: dict[str, Any] = {"first": date(2026, 2, 14), "last": date(2026, 2, 14)}
CLOCK = partial(datetime.fromisoformat, "2026-02-14T13:00:00Z")
Find = Callable[..., list[Twins]]


def call(event_id: str, seconds: float = 0, **fields: Any) -> dict[str, object]:
    """A call some seconds after noon."""
    usage = {"input_tokens": 100, "output_tokens": 20}
    return event(event_id=event_id, occurred_at=(NOON + timedelta(seconds=seconds)).isoformat(), model="m", usage=usage, **fields)


@pytest.fixture
def find(database: Database, put_settings: PutSettings) -> Find:
    """Asks for twins of the day as root."""
    put_settings(users=["ada", "bob"])
    put_settings("globex", BillingModel.UNLIMITED, users=["ada"])
    return lambda *mandates, **how: twins(database, ROOT, mandates or None, **{**DAY, **how})


def groups(found: list[Twins]) -> list[list[str]]:
    """The events of each group."""
    return [group.event_ids for group in found]


def test_a_call_sent_under_three_ids_shows(find: Find, record: Record, database: Database) -> None:
    """With what is alike, how many, what all but one of them cost, and what was given back of them; whatever was recorded when."""
    record(call("a"), {**call("other"), "model": "n"}, clock=CLOCK)
    record(call("c", 12), clock=CLOCK)
    record(call("b", 4), clock=CLOCK)
    (group,) = find()
    assert (group.mandate_id, group.mandate_name, group.user_id, group.user_name, group.model) == ("acme", "acme's name", "ada", "ada", "m")
    assert (group.event_ids, group.event_count, group.price, group.excess) == (["a", "b", "c"], 3, Decimal("0.25"), Decimal("0.5"))
    assert (group.first_at, group.last_at, group.input_tokens, group.cached_input_tokens) == (NOON, NOON + timedelta(seconds=12), 100, None)
    assert group.refunded == 0
    refund(database, ROOT, Refund.read({"mandate_id": "acme", "transaction_id": group.transaction_id, "key": "r", "by": "olga"}))
    assert find()[0].refunded == Decimal("0.25")


@pytest.mark.parametrize(
    "other",
    [
        {"user_id": "bob"},
        {"mandate_id": "globex"},
        {"price_chf": "0.250000001"},
        {"provider": "p"},
        {"model": "n"},
        {"usage": {"input_tokens": 101, "output_tokens": 20}},
        {"usage": {"input_tokens": 100, "output_tokens": 20, "cached_input_tokens": 0}},
        {"occurred_at": (NOON + timedelta(seconds=10, microseconds=1)).isoformat()},
    ],
    ids=str,
)
def test_what_differs_in_anything_billed_is_another_call(find: Find, record: Record, other: dict[str, Any]) -> None:
    """Another user, mandate, price, provider, model, count of tokens, or a time beyond the window; a count of 0 is not an unknown one."""
    record(call("a"), {**call("b", 3), **other}, clock=CLOCK)
    assert find() == []


def test_the_window_and_the_least_number_are_the_askers(find: Find, record: Record) -> None:
    """A window reaches from each event to the next one, to the microsecond; what labels an event doesn't matter."""
    record(call("a"), call("b", 10), call("c", 21, feature_code="chat", description="x"), clock=CLOCK)
    assert groups(find()) == [["a", "b"]]
    assert groups(find(seconds=11)) == [["a", "b", "c"]]
    assert groups(find(seconds=11, at_least=3)) == [["a", "b", "c"]]
    assert find(at_least=3) == find(seconds=9) == []


def test_copies_and_amendments_are_no_twins(find: Find, record: Record) -> None:
    """An event delivered twice is recorded once."""
    record(call("a"), call("a"), clock=CLOCK)
    record(call("a"), clock=CLOCK)
    assert find() == []


def test_local_days_bound_what_is_looked_at(find: Find, record: Record) -> None:
    """What was recorded weeks late is found under its day, and nothing of other days."""
    record(call("a"), clock=CLOCK)
    record(call("b"), clock=partial(datetime.fromisoformat, "2026-04-01T12:00:00Z"))
    assert groups(find()) == [["a", "b"]]
    assert find(first=date(2026, 2, 15), last=date(2026, 3, 15)) == []


def test_pages_have_each_group_once(find: Find, record: Record, database: Database) -> None:
    """By mandate and transaction id, each page after the last group of the one before; an administrator sees their mandates."""
    for mandate_id in ("globex", "acme"):
        for number in range(5):
            record(*[call(f"{number}{copy}", number, mandate_id=mandate_id, price_chf=number) for copy in "ab"], clock=CLOCK)
    everything = find()
    assert [group.mandate_id for group in everything] == ["acme"] * 5 + ["globex"] * 5
    paged: list[Twins] = []
    while page := find(limit=3, after=(paged[-1].mandate_id, paged[-1].transaction_id) if paged else ("", 0)):
        paged += page
    assert paged == everything
    assert {group.mandate_id for group in twins(database, administrator("globex"), **DAY)} == {"globex"}
    assert find("globex") == everything[5:]
    with pytest.raises(Forbidden, match="may not list the likely twins of mandate 'acme'"):
        twins(database, administrator("globex"), ["acme"], **DAY)


def test_a_group_shows_its_first_events(find: Find, record: Record) -> None:
    """However many there are, ten ids are told and all are counted."""
    record(*[call(f"{number:02}", number) for number in range(40)], clock=CLOCK)
    (group,) = find()
    assert (group.event_ids, group.event_count) == ([f"{number:02}" for number in range(10)], 40)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"last": date(2026, 3, 17)}, "to: 2026-03-17 is more than 31 days after 2026-02-14"),
        ({"last": date(2026, 2, 13)}, "to: 2026-02-13 is before 2026-02-14"),
        ({"seconds": 0}, "seconds must be 1 to 3600"),
        ({"seconds": 3601}, "seconds must be 1 to 3600"),
        ({"at_least": 1}, "at_least must be 2 or more"),
        ({"limit": 0}, "limit must be 1 to 10000"),
    ],
)
def test_what_is_out_of_range_is_refused(find: Find, how: dict[str, Any], message: str) -> None:
    """Days, seconds, events and rows have their bounds."""
    with pytest.raises(RequestRefused, match=message):
        find(**how)
    assert find(last=date(2026, 3, 16)) == []


def test_the_command_lists_twins(run: Run, find: Find, record: Record, rows: Rows) -> None:
    """As a table with the next page, and whole as JSON; without days it is the last week."""
    now = datetime.now(UTC)
    record(*[{**call(name), "occurred_at": now.isoformat()} for name in ("a", "b")])
    record(call("c"), call("d"), clock=CLOCK)
    listed = run("twins", "--mandate", "acme", "--from", "2026-02-14", "--to", "2026-02-14", "--limit", "1")
    assert "c, d" in listed.out
    assert listed.out.rstrip().splitlines()[-1].startswith("next page: --after acme ")
    assert [group["event_ids"] for group in run("twins", "--json").json] == [["a", "b"]]
    assert rows("SELECT count(*) AS n FROM transactions WHERE event_id IS NOT NULL") == [{"n": 4}]
