"""What the log is told of a batch: one line for each kind of trouble, without anything that was sent."""

import pytest
from structlog.testing import capture_logs

from core.asking.rights import ROOT
from core.billing import CapPeriod
from core.caps.set_cap import NewCap, set_cap
from core.database.database import Database
from core.events.parsing import RawEvent
from core.recording.log_batch import without_values
from core.rejection import Reason, Rejection
from tests.conftest import Record
from tests.sample_events import event
from tests.scene import PutSettings


def test_refused_and_parked_events_are_told_by_reason(record: Record) -> None:
    """A batch with rejections has one line with the number of each reason and an example, one with parked events names their mandates."""
    with capture_logs() as lines:
        record(event(price_chf="-1"), event(user_id="ada@example.org", secret="s3cr3t"), RawEvent(b"garbage", "usage"), event(mandate_id="who"))
    refused, parked = lines
    assert refused["event"] == "usage.refused"
    assert refused["log_level"] == "warning"
    assert refused["reasons"] == {"invalid_field": 1, "malformed_json": 1, "unknown_field": 1}
    assert refused["example"].startswith("invalid_field: price_chf")
    assert (parked["event"], parked["events"], parked["most_of"]) == ("usage.parked", 1, ["'who'"])
    assert "s3cr3t" not in repr(lines)
    assert "ada" not in repr(lines)


def test_crossings_are_told(record: Record, put_settings: PutSettings, database: Database) -> None:
    """A batch that takes balances over lines and caps to shares has one line for each; one in which all is well has none."""
    put_settings(users=["ada"])
    set_cap(database, ROOT, NewCap.read({"mandate_id": "acme", "scope": "ALL", "period": CapPeriod.DAY, "limit_chf": "10", "by": "me"}))
    with capture_logs() as lines:
        record(event(price_chf="0.1"))
    assert lines == []
    with capture_logs() as lines:
        record(event(price_chf="11"))
    crossed, reached = lines
    assert (crossed["event"], crossed["lines"]) == ("balances.crossed", {"WARNING": 1, "ZERO": 1})
    assert (reached["event"], reached["shares"]) == ("caps.reached", {"50 %": 1, "80 %": 1, "100 %": 1})


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        ("price_chf must be at least 0 (got '-1'); user_id is missing", "price_chf must be at least 0"),
        ("'price' is given twice, as 1.50 and as 2", "… is given twice"),
        ("'one', 'two' is not a field of the contract", "…, … is not a field of the contract"),
        ("'it\\'s', 'cut sho... is not a field", "…, …"),
        ("mandate 'who' is unknown and its car park is full", "mandate … is unknown and its car park is full"),
    ],
)
def test_an_example_has_no_values(detail: str, told: str) -> None:
    """Of a detail the field and the fault are left, and nothing in quotation marks."""
    assert without_values(Rejection(Reason.INVALID_FIELD, detail)) == f"invalid_field: {told}"
    assert without_values(Rejection(Reason.DATA_ERROR, detail)) == "data_error"
