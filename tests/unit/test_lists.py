"""The lists that columns and statements are made from agree with what is written out beside them."""

from dataclasses import fields

from core.events.contract import EventContract, EventContractV2, TokenCounts
from core.events.model import CALL_FIELDS, EVENT_FIELDS, EVENT_TEXTS, TOKEN_KINDS, TokenColumns
from core.events.payload import COUNTS_V1, TEXTS_V1
from core.settings.model import SETTINGS, BillingSettings


def test_token_kinds_are_the_same_everywhere() -> None:
    """What is recorded, what is shown and what is published have the same kinds in the same order."""
    assert tuple(field.name for field in fields(TokenColumns)) == TOKEN_KINDS == tuple(TokenCounts.model_fields)


def test_event_fields_are_those_of_the_contract() -> None:
    """An event has the fields of the published contract in its order, and the source that an envelope names."""
    assert (*EventContract.model_fields, "source") == EVENT_FIELDS
    assert (*EventContract.model_fields, *CALL_FIELDS) == tuple(EventContractV2.model_fields)


def test_optional_texts_are_those_of_the_contract() -> None:
    """The optional texts are the optional fields of the contract but for the counts and its version."""
    optional = {name for name, field in EventContract.model_fields.items() if not field.is_required()}
    assert set(EVENT_TEXTS) == optional - {"usage", "schema_version"}


def test_version_1_of_the_hash_is_what_it_was() -> None:
    """Hashes are kept for ever: no later field is part of those of version 1, nor does one of them move."""
    assert TEXTS_V1 == ("mandate_id", "event_id", "user_id", "provider", "model", "feature_code", "feature_instance_id", "workflow_id")
    assert COUNTS_V1 == ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")


def test_recording_reads_settings_that_there_are() -> None:
    """What recording needs of the settings are some of them, their mandate, their version, and which caps there are."""
    assert {field.name for field in fields(BillingSettings)} <= {*SETTINGS, "mandate_id", "version", "caps_token"}
