"""The payload hashes in SQL: what stands in a transaction hashes to what its event hashed to, whatever is in it."""

import itertools
import json
import string
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.asking.rights import ROOT
from core.database.database import Database
from core.events.outcome import Outcome
from core.events.payload import PAYLOAD_HASHES
from core.prices.model import Mode
from core.prices.modes import set_mode
from core.prices.uncharged import OUTCOMES, add_uncharged
from core.verifying.sql.invariants.events import PAYLOAD_HASH_V1, PAYLOAD_HASH_V2
from tests.conftest import Record, Rows
from tests.prices.scene import at
from tests.sample_events import event, parsed
from tests.scene import Breaches, PutMandate

DIALECTS = ["openai.chat", "openai.responses", "anthropic.messages", "google.generate_content", "bedrock.converse", "canonical"]
TEXT = st.text(st.sampled_from(string.ascii_letters + "%%$\\'\"{}[],: é日\u2028😀~&"), min_size=1, max_size=12)
NUMBERS = ["0", "-1", "18.0", "1e3", "1.50", "1e-7", "-0.0", "123456789012345678901234567890", "0.1234567890123456789012345678901234567890", "9e99"]


class _Number(float):
    """A number that is written as it stands."""

    written: str

    def __new__(cls, written: str) -> Self:
        made = super().__new__(cls, written)
        made.written = written
        return made

    def __repr__(self) -> str:
        return self.written


SCALARS = st.one_of(st.none(), st.booleans(), TEXT, st.sampled_from(NUMBERS).map(_Number), st.integers(0, 2**53))
OBJECTS = st.dictionaries(
    TEXT, st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8)
)
FIELDS = {
    **dict.fromkeys(("service_tier", "speed", "region_scope", "model_requested", "provider_account", "provider_request_id"), TEXT),
    **dict.fromkeys(("operation_id", "hold_key", "producer_id", "provider", "model", "feature_code", "feature_instance_id", "workflow_id"), TEXT),
    "description": TEXT,
    "processing": st.sampled_from(["interactive", "batch"]),
    "outcome": st.sampled_from(["completed", "cancelled", "failed", "timed_out"]),
    "usage_basis": st.sampled_from(["reported", "partial", "estimated", "none"]),
    "attempt": st.integers(0, 2**15 - 1),
    "hold_final": st.booleans(),
    "producer_seq": st.integers(1, 2**53 - 1),
    "reported_cost": st.tuples(
        st.sampled_from(["0", "0.00", "1.10", "12e2", "1000000", "0.000000000000000001", "3.140"]), st.sampled_from(["USD", "EUR"])
    ).map(lambda told: {"amount": told[0], "currency": told[1]}),
}
PRICES = st.sampled_from(["0", "0.000000001", "1000000", "0.25", "12.3450"])
_HASHES = f"""
    SELECT t.mandate_id, t.event_id, {PAYLOAD_HASH_V1} AS v1, {PAYLOAD_HASH_V2} AS v2 FROM transactions t
     WHERE t.event_id = ANY(:ids) AND t.reference_type = 'WORKFLOW'
"""
_numbers = itertools.count(1)


def _json(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    return value.written if isinstance(value, _Number) else json.dumps(value)


@st.composite
def events(draw: st.DrawFn) -> bytes:
    """The bytes of an event with any of the fields, and of the mandate that is billed what is given or of the one whose prices are computed."""
    fields = draw(st.fixed_dictionaries({}, optional=FIELDS))
    if draw(st.booleans()):
        fields |= {"usage_dialect": draw(st.sampled_from(DIALECTS)), "usage": draw(OBJECTS)}
    elif draw(st.booleans()):
        fields["usage"] = draw(st.dictionaries(st.sampled_from(["input_tokens", "output_tokens", "reasoning_tokens"]), st.integers(0, 9)))
    mandate = draw(st.sampled_from(["acme", "shadow", "computed"]))
    price = draw(PRICES | st.none()) if mandate == "computed" else draw(PRICES)
    number = next(_numbers)
    return _json(event(**fields, event_id=f"%s {number} \\", mandate_id=mandate, price_chf=price)).encode()


@pytest.fixture
def mandates(database: Database, put_mandate: PutMandate) -> None:
    """A mandate of each mode. The one whose prices are computed pays nothing for calls without usage, so that these are recorded without a price."""
    for mandate in ("acme", "shadow", "computed"):
        put_mandate(mandate, users=["ada"])
    set_mode(database, ROOT, "shadow", Mode.SHADOW, created_by="olga", since=at("2020-01-01"))
    set_mode(database, ROOT, "computed", Mode.COMPUTED, created_by="olga", since=at("2020-01-01"))
    for outcome in OUTCOMES:
        add_uncharged(database, ROOT, outcome, created_by="olga", without_usage=True)


def test_the_hashes_in_sql_are_those_of_the_events(mandates: object, record: Record, rows: Rows, breaches: Breaches) -> None:
    """Of any fields, texts and numbers, whether a price was given or not, and under each mode: both versions, computed from the row alone."""
    seen: set[tuple[object, ...]] = set()

    @settings(max_examples=30)
    @given(st.lists(events(), min_size=10, max_size=20))
    def hashed(batch: list[bytes]) -> None:
        result = record(*batch)
        assert set(result.outcomes) <= {Outcome.RECORDED, Outcome.PARKED}, result
        sent = {(event.mandate_id, event.event_id): event for event in map(parsed, batch)}
        found = rows(_HASHES, ids=[event_id for _, event_id in sent])
        assert len(found) == result.outcomes.count(Outcome.RECORDED)
        for row in found:
            recorded = sent[row["mandate_id"], row["event_id"]]
            assert (bytes(row["v1"]), bytes(row["v2"])) == tuple(hashed(recorded) for _, hashed in sorted(PAYLOAD_HASHES.items())), recorded
            seen.add((recorded.version, recorded.mandate_id, recorded.raw_usage is None, recorded.price_chf is None))

    hashed()
    assert {(2, "acme", False, False), (2, "shadow", False, False), (2, "computed", False, True), (1, "shadow", True, False)} <= seen
    assert breaches() == {}
