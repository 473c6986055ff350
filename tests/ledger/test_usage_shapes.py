"""Usage objects are kept by their shape as long as shapes are few; whole, and no less exact, where keys seem to be data."""

from collections.abc import Mapping
from typing import Any

import pytest

from core.events.outcome import Outcome
from core.ledger.sql import usage_shapes
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import Breaches, PutSettings

RECORDED, DUPLICATE, CONFLICT = (Outcome(name) for name in ("recorded", "duplicate", "conflict"))
SHAPES = "SELECT s.shape FROM usage_shapes s JOIN transactions t ON t.usage_shape = s.id"
LONG = {f"key_{number:03}": number for number in range(100)}
FULL = f"""
    INSERT INTO usage_shapes (shape, content_hash)
    SELECT CAST(n AS text), CAST(CAST(n AS text) AS bytea) FROM generate_series(1, {usage_shapes._SHAPES_MAX}) AS n
"""


def told(usage: Mapping[str, Any]) -> dict[str, object]:
    """An event with this usage object, under one id."""
    return event(event_id="k", usage_dialect="canonical", usage=usage)


@pytest.mark.parametrize(
    ("usage", "full", "shape"),
    [({"input": 5}, False, '{"input":%s}'), (LONG, False, "%s"), ({"input": 5, "100%": "a\nb"}, True, "%s")],
    ids=["usual", "long", "too many shapes"],
)
def test_an_object_is_kept_whole_where_its_shape_is_not_for_others(
    usage: dict[str, Any], full: bool, shape: str, record: Record, rows: Rows, put_settings: PutSettings, breaches: Breaches
) -> None:
    """Copies are copies, another value is a conflict that is told by it, and the hash computed in SQL is the event's."""
    put_settings("acme", users=["ada"])
    if full:
        rows(FULL)
    assert record(told(usage)).outcomes == [RECORDED]
    assert rows(SHAPES) == [{"shape": shape}]
    assert record(told(dict(reversed(usage.items())))).outcomes == [DUPLICATE]
    first = next(iter(usage))
    assert record(told({**usage, first: 777})).outcomes == [CONFLICT]
    (letter,) = rows("SELECT difference -> 'usage' ->> 0 AS first, difference -> 'usage' ->> 1 AS second FROM dead_letters")
    assert "777" in letter["second"]
    assert "777" not in letter["first"]
    assert not breaches()
