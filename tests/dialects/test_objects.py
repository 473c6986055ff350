"""Each dialect reads what its provider means: every trap is an object, counted by hand."""

from decimal import Decimal

import pytest

from core.dialects.all import DIALECTS, DIALECTS_REVISION, read_usage
from core.dialects.model import Call, Cost, NotRead, UsageDialect
from tests.dialects.objects import Sample, every_sample, samples


@every_sample
def test_an_object_is_read_as_it_was_counted_by_hand(sample: Sample) -> None:
    """Leaves, unmapped counts, dimensions and cost are those in the object's file; what isn't read says why, with path and value."""
    expected = sample.content
    if "not_read" in expected:
        with pytest.raises(NotRead) as refused:
            read_usage(sample.dialect, sample.usage, sample.call)
        assert refused.value.reason == expected["not_read"]["reason"]
        assert [name for name in expected["not_read"]["names"] if name not in refused.value.detail] == [], refused.value.detail
        return
    reading = read_usage(sample.dialect, sample.usage, sample.call)
    assert dict(reading.leaves) == expected["leaves"]
    assert list(reading.unmapped) == expected.get("unmapped", [])
    assert dict(reading.dimensions) == expected.get("dimensions", {})
    cost = expected.get("cost")
    assert reading.cost == (cost and Cost(Decimal(cost["amount"]), cost["currency"]))


def test_every_dialect_has_a_reader_and_objects() -> None:
    """No name of the closed list is without a reader, nor without objects that hold it to its provider's meaning."""
    assert list(DIALECTS) == list(UsageDialect)
    assert {one.dialect for one in samples()} == set(UsageDialect)
    assert all(dialect.name is name for name, dialect in DIALECTS.items())
    assert sum(dialect.version for dialect in DIALECTS.values()) == DIALECTS_REVISION


def paths(value: object, path: str = "") -> list[str]:
    """The path of each value in an object that is none itself; lists as `[]`."""
    if isinstance(value, dict):
        return [found for key, held in value.items() for found in paths(held, f"{path}.{key}".removeprefix("."))]
    return [found for held in value for found in paths(held, f"{path}[]")] if isinstance(value, list) else [path]


SPELT_OTHERWISE = {"cacheReadInputTokenCount", "cacheWriteInputTokenCount"}


def without_nothing(value: object) -> object:
    """A value without what is absent, and without zeros, which a dialect need not know."""
    if isinstance(value, dict):
        return {key: without_nothing(held) for key, held in value.items() if held not in (None, 0, {}, [])}
    return value


def is_told(path: str, keys: set[str]) -> bool:
    """Whether a path, or what it is in, has a line in the table of the dialect."""
    return path in SPELT_OTHERWISE or any(path == key or path.startswith((f"{key}.", key if key.endswith("[]") else f"{key}[")) for key in keys)


def test_the_tables_name_every_key_that_is_read() -> None:
    """Each key of an object that is read, and that the dialect doesn't call unknown, is in the dialect's table for people."""
    untold = set()
    for sample in samples():
        if "not_read" in sample.content or "prompt_token_count" in sample.usage:
            continue
        unmapped = read_usage(sample.dialect, sample.usage, sample.call).unmapped
        keys = set(DIALECTS[sample.dialect].keys)
        one = [path for path in paths(without_nothing(sample.usage)) if not is_told(path, keys)]
        untold |= {(sample.dialect, sample.name, path) for path in one if not any(path.partition("[")[0] in name for name in unmapped)}
    assert {one for one in untold if one[1] != "unknown_counts_are_named"} == set()


@pytest.mark.parametrize("dialect", UsageDialect)
def test_the_tables_name_no_key_that_is_not_read(dialect: UsageDialect) -> None:
    """A count in the place of any key of a dialect's table is never called unknown."""
    for key in DIALECTS[dialect].keys:
        usage: object = 3
        for step in [key] if dialect is UsageDialect.OTEL_GENAI else reversed(key.split(".")):
            usage = {step.removesuffix("[]"): [usage] if step.endswith("[]") and isinstance(usage, dict) else usage}
        assert isinstance(usage, dict)
        try:
            assert read_usage(dialect, usage, Call(None, None)).unmapped == (), key
        except NotRead:
            continue  # what it refuses it knows
