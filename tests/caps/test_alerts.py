"""Alerts of caps go the way of all alerts: through one outbox, in the order of their ids, each once."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.alerts.message import AlertMessage, CapAlertMessage
from core.alerts.publish import Publication, count_waiting_alerts, publish_alerts
from core.alerts.read import list_cap_alerts
from core.alerts.withhold import withhold_alerts
from core.asking.rights import ROOT
from core.database.database import Database
from tests.caps.scene import SetCap, put_cap
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import PutSettings

__all__ = ["put_cap"]
SCHEMA = Path(__file__).parents[2] / "docs/cap-alert-v1.schema.json"
Publish = Callable[..., Publication]


class Queue:
    """A queue of so many messages, in memory."""

    def __init__(self, room: int = 1_000) -> None:
        self.messages: list[dict[str, Any]] = []
        self._room = room

    def room(self) -> int:
        """How many it may take now."""
        return self._room - len(self.messages)

    def put(self, bodies: Sequence[bytes]) -> None:
        """Takes them."""
        self.messages += [json.loads(body) for body in bodies]


@pytest.fixture
def crossed(put_settings: PutSettings, put_cap: SetCap, record: Record) -> int:
    """Ada's usage has reached 50 and 80 % of her cap, and the warning threshold of her account; the id of the cap."""
    put_settings(users=["ada"], notification_emails=["ops@acme.example"])
    cap_id = put_cap("10", "MONTH", scope="EACH_USER", dimension="model", value="gpt").cap.id
    record(event(price_chf="6", model="gpt"))
    record(event(price_chf="3.5", model="gpt"))
    return cap_id


def test_alerts_of_both_kinds_are_published_in_the_order_of_their_ids(crossed: int, database: Database, rows: Rows) -> None:
    """A full queue is no matter: whatever is next goes next, and each goes once."""
    ids = [row["id"] for row in rows("SELECT id FROM balance_alerts UNION ALL SELECT id FROM cap_alerts ORDER BY id")]
    assert count_waiting_alerts(database).alerts == len(ids) == 3
    queue = Queue(room=2)
    assert publish_alerts(database, queue) == Publication(2, 0)
    assert publish_alerts(database, queue) == Publication(0, 0)
    rest = Queue()
    assert publish_alerts(database, rest) == Publication(1, 0)
    assert [message["alert_id"] for message in queue.messages + rest.messages] == ids
    assert {message["kind"] for message in queue.messages + rest.messages} == {"CAP", "WARNING"}
    assert count_waiting_alerts(database).alerts == 0


def test_a_message_says_what_the_books_say(crossed: int, database: Database, rows: Rows) -> None:
    """By the contract that its kind names; amounts as exact strings, whose window of what, whom to tell."""
    queue = Queue()
    publish_alerts(database, queue)
    first = next(message for message in queue.messages if message["kind"] == "CAP")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert set(schema["required"]) | {"kind", "schema_version"} == set(schema["properties"]) == set(first)
    assert CapAlertMessage.model_validate_json(json.dumps(first)).alert_id == first["alert_id"]
    (kept,) = rows("SELECT * FROM cap_alerts WHERE id = :id", id=first["alert_id"])
    expected = {
        "schema_version": 1, "mandate_id": "acme", "cap_id": crossed, "scope": "EACH_USER", "user_id": "ada", "dimension": "model", "value": "gpt",
        "period": "MONTH", "window_start": kept["window_start"].isoformat(), "action": "REFUSE", "share": 50, "recovered": False,
        "spent_before": "0.000000000", "spent_after": "6.000000000", "threshold": "5.000000000", "limit_chf": "10.000000000",
        "notification_emails": ["ops@acme.example"],
    }  # fmt: skip
    assert {name: first[name] for name in expected} == expected
    (other,) = [message for message in queue.messages if message["kind"] != "CAP"]
    assert AlertMessage.model_validate(other).user_id == "ada"
    assert kept["published_at"] >= kept["recorded_at"]


def test_who_wants_no_notifications_gets_none(crossed: int, database: Database, rows: Rows, change: Callable[..., Any]) -> None:
    """They are withheld; once notifications are wanted again, shares that are still reached in windows that last are told, and no others."""
    change(notify_on_warning=False)
    assert publish_alerts(database, Queue()) == Publication(0, 3)
    rows("UPDATE cap_counters SET spent = 7")  # below 80 % again
    change(notify_on_warning=True)
    queue = Queue()
    assert publish_alerts(database, queue).published == 2
    assert [message.get("share") for message in queue.messages if message["kind"] == "CAP"] == [50]


def test_windows_that_are_over_are_not_told_afterwards(crossed: int, database: Database, rows: Rows, change: Callable[..., Any]) -> None:
    """Nor those of removed caps."""
    change(notify_on_warning=False)
    publish_alerts(database, Queue())
    rows("UPDATE cap_counters SET window_start = '2020-01-01'")
    rows("UPDATE cap_alerts SET window_start = '2020-01-01'")
    change(notify_on_warning=True)
    queue = Queue()
    publish_alerts(database, queue)
    assert [message["kind"] for message in queue.messages] == ["WARNING"]


def test_what_waits_can_be_withheld(crossed: int, database: Database) -> None:
    """Both kinds, by when they were recorded."""
    assert withhold_alerts(database, ROOT, datetime.now(UTC) - timedelta(days=1)) == 0
    assert withhold_alerts(database, ROOT, datetime.now(UTC) + timedelta(minutes=1)) == 3
    assert publish_alerts(database, Queue()) == Publication(0, 0)
    assert {alert.published_at for alert in list_cap_alerts(database, ROOT)} == {None}
    assert all(alert.withheld_at for alert in list_cap_alerts(database, ROOT))


def test_they_are_listed_newest_first(crossed: int, database: Database) -> None:
    """Of a mandate, of a cap, those that wait; page by page."""
    found = list_cap_alerts(database, ROOT, ["acme"])
    assert [(alert.share, alert.user_id, alert.value) for alert in found] == [(80, "ada", "gpt"), (50, "ada", "gpt")]
    assert list_cap_alerts(database, ROOT, cap_id=crossed, waiting=True) == found
    assert list_cap_alerts(database, ROOT, cap_id=crossed + 1) == []
    assert list_cap_alerts(database, ROOT, before=found[0].id) == found[1:]
    assert list_cap_alerts(database, ROOT, since=datetime.now(UTC) + timedelta(days=1)) == []
