"""What holds for every dialect and every object, whatever a provider or a stranger sends."""

import copy
import random
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.dialects.all import DIALECTS, read_usage
from core.dialects.counts import COUNT_MAX
from core.dialects.model import INPUT_LEAVES, OUTPUT_LEAVES, Call, Leaf, NotRead, NotReadReason, Reading, UsageDialect
from tests.dialects.objects import Sample, every_sample, samples

SAMPLES = list(samples())
READ = [one for one in SAMPLES if "not_read" not in one.content]
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 40),
    st.integers(COUNT_MAX - 1, COUNT_MAX + 2),
    st.integers(-(10**400), 10**400),
    st.decimals(allow_nan=True, allow_infinity=True),
    st.sampled_from([Decimal("1E+999999"), Decimal("1E-999999"), Decimal("-0"), Decimal("sNaN"), Decimal("3.0")]),
    st.text(max_size=6),
    st.sampled_from(["", "batch", "openai", "x" * 200, "a\x00b", "\ud800"]),
)
KEYS = st.one_of(st.text(max_size=5), st.sampled_from(sorted({key for one in SAMPLES for key in one.usage})))
JSON = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)), max_leaves=12)
MODELS = st.sampled_from([None, "", "openai.gpt-5.6-sol", "us.openai.gpt-5.6", "openai/gpt-5.6", "claude-sonnet-5-5", "x"])
Place = tuple[Callable[[], Any], Callable[[Any], None]]


def places(value: Any, into: Callable[[Any], None]) -> list[Place]:
    """Every place of a JSON value: what stands there, and how something else is put there."""
    found: list[Place] = [(lambda: value, into)]
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in list(pairs):
        found += places(held, lambda other, key=key: value.__setitem__(key, other))  # type: ignore[misc]
    return found


def read_or_none(dialect: UsageDialect, usage: Mapping[str, Any], call: Call) -> Reading | None:
    """What is read, None where it isn't."""
    try:
        return read_usage(dialect, usage, call)
    except NotRead as error:
        said = error
    assert said.reason in NotReadReason
    assert said.detail.isascii()
    assert said.detail.isprintable()
    assert len(said.detail) < 600
    return None


def is_sound(reading: Reading) -> None:
    """Counts are counts, and paths can be stored."""
    assert all(type(number) is int and number >= 0 for number in reading.leaves.values())
    assert all(path and path.isascii() and path.isprintable() for path in reading.unmapped)


@pytest.mark.parametrize("dialect", UsageDialect)
@given(usage=st.dictionaries(KEYS, JSON, max_size=6), model=MODELS)
@example(usage={}, model=None)
@example(usage={"iterations": [{"type": "message", "input_tokens": 10**400}]}, model=None)
def test_any_object_is_read_or_not_read(dialect: UsageDialect, usage: dict[str, Any], model: str | None) -> None:
    """Whatever JSON comes, a dialect gives counts or raises `NotRead` with a detail fit to be stored; never anything else."""
    before = copy.deepcopy(usage)
    reading = read_or_none(dialect, usage, Call(None, model))
    if reading is not None:
        is_sound(reading)
    assert repr(usage) == repr(before)


@given(data=st.data())
def test_a_real_object_with_anything_in_one_place(data: st.DataObject) -> None:
    """A real object in which anything stands in the place of something is read or not read, and nothing else happens."""
    sample = data.draw(st.sampled_from(SAMPLES))
    usage = copy.deepcopy(sample.usage)
    _, put = data.draw(st.sampled_from(places(usage, lambda _: None)))
    put(data.draw(JSON))
    reading = read_or_none(sample.dialect, usage, sample.call)
    if reading is not None:
        is_sound(reading)


def test_twenty_thousand_broken_objects() -> None:
    """Real objects in which one to four places are changed at random are read or not read, and nothing else happens."""
    chance = random.Random(7)
    odd: list[Any] = [
        None,
        True,
        -1,
        0,
        1,
        5,
        10**9,
        COUNT_MAX,
        COUNT_MAX + 1,
        Decimal("1.5"),
        Decimal(7),
        Decimal("NaN"),
        "x",
        [],
        {},
        [{}],
        {"a": 1},
    ]
    for _ in range(8_000):
        sample = chance.choice(SAMPLES)
        usage = copy.deepcopy(sample.usage)
        for _ in range(chance.randint(1, 4)):
            _, put = chance.choice(places(usage, lambda _: None))
            put(copy.deepcopy(chance.choice(odd)))
            reading = read_or_none(sample.dialect, usage, sample.call)
            if reading is not None:
                is_sound(reading)


BAD = [True, -1, Decimal("0.5"), Decimal("NaN"), "7", [1], {"tokens": 1}, COUNT_MAX + 1]


@pytest.mark.parametrize("bad", BAD, ids=repr)
def test_what_is_no_count_is_never_taken_for_one(bad: object) -> None:
    """In the place of any count that a dialect knows, what is no count makes the object not read, with its value in the detail."""
    for sample in READ:
        for path, put in counts_of(sample.usage):
            usage = copy.deepcopy(sample.usage)
            put(usage, COUNT_MAX)
            named = read_or_none(sample.dialect, usage, sample.call)
            if path.startswith("cost") or "no charge" in DIALECTS[sample.dialect].keys.get(path, "") or (named and path in named.unmapped):
                continue
            put(usage, bad)
            with pytest.raises(NotRead):
                read_usage(sample.dialect, usage, sample.call)


def counts_of(usage: Any, path: str = "", way: tuple[Any, ...] = ()) -> list[tuple[str, Callable[[Any, Any], None]]]:
    """The path of each whole number of an object, and how another value is put there."""
    found: list[tuple[str, Callable[[Any, Any], None]]] = []
    pairs = usage.items() if isinstance(usage, dict) else enumerate(usage) if isinstance(usage, list) else ()
    for key, held in pairs:
        name = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}".lstrip(".")
        if isinstance(held, int) and not isinstance(held, bool):
            found.append((name, lambda root, bad, steps=(*way, key): put_at(root, steps, bad)))  # type: ignore[misc]
        found += counts_of(held, name, (*way, key))
    return found


def put_at(root: Any, steps: tuple[Any, ...], value: object) -> None:
    """Puts a value at the end of a way of keys."""
    for step in steps[:-1]:
        root = root[step]
    root[steps[-1]] = value


@every_sample
def test_how_an_object_is_written_changes_nothing(sample: Sample) -> None:
    """The order of keys, nulls for what is absent, and `18.0` for 18 change neither what is read nor that it isn't."""

    def other(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: other(held) for key, held in reversed(value.items())}
        if isinstance(value, list):
            return [other(held) for held in value]
        return Decimal(f"{value}.0") if type(value) is int else value

    first = read_or_none(sample.dialect, sample.usage, sample.call)
    second = read_or_none(sample.dialect, {"nothing": None, **other(sample.usage), "more": None}, sample.call)
    if first is None or second is None:
        assert first is second is None
        return
    assert (first.leaves, first.dimensions, first.cost) == (second.leaves, second.dimensions, second.cost)
    assert sorted(first.unmapped) == sorted(second.unmapped)


@every_sample
def test_a_new_count_is_named_wherever_it_comes(sample: Sample) -> None:
    """A key that a dialect doesn't know is named with its path in each object of an object, and moves no leaf."""
    first = read_or_none(sample.dialect, sample.usage, sample.call)
    if first is None:
        return
    usage = copy.deepcopy(sample.usage)
    known = [(value, put) for get, put in places(usage, lambda _: None) if isinstance(value := get(), dict)]
    for held, _ in known:
        held["zz_tokens"] = 3
        reading = read_usage(sample.dialect, usage, sample.call)
        del held["zz_tokens"]
        free = sample.dialect is UsageDialect.OPENROUTER_CHAT and "upstream_inference_cost" in held
        assert reading.leaves == first.leaves
        assert len(reading.unmapped) == len(first.unmapped) + (not free)
        assert free or any(path.endswith("zz_tokens") for path in reading.unmapped)


N = st.integers(0, 10**7)


@given(parts=st.lists(N, min_size=4, max_size=4), out=st.lists(N, min_size=3, max_size=3), text=N, spoken=N)
def test_inclusive_parts_are_taken_off_their_whole(parts: list[int], out: list[int], text: int, spoken: int) -> None:
    """Of OpenAI's objects the input leaves sum up to the prompt, the output leaves to the completion, whatever the parts."""
    names = ("cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens")
    whole, completion = sum(parts) + text, sum(out) + spoken
    details = dict(zip(names, parts, strict=True))
    outputs = dict(zip(("reasoning_tokens", "audio_tokens", "image_tokens"), out, strict=True))
    for dialect, first, second in (
        (UsageDialect.OPENAI_CHAT, "prompt_tokens", "completion_tokens"),
        (UsageDialect.OPENAI_RESPONSES, "input_tokens", "output_tokens"),
        (UsageDialect.OPENROUTER_CHAT, "prompt_tokens", "completion_tokens"),
    ):
        usage = {first: whole, second: completion, "total_tokens": whole + completion}
        usage |= {f"{first}_details": details, f"{second}_details": outputs}  # type: ignore[dict-item]
        reading = read_usage(dialect, usage, Call(None, None))
        assert sum(reading.leaves.get(leaf, 0) for leaf in INPUT_LEAVES) == whole
        assert sum(reading.leaves.get(leaf, 0) for leaf in OUTPUT_LEAVES) == completion
        for name in (first, second):
            short = usage | {name: (whole - text if name == first else completion - spoken) - 1}
            short.pop("total_tokens")
            if short[name] >= 0:
                assert read_or_none(dialect, short, Call(None, None)) is None


@given(kinds=st.dictionaries(st.sampled_from(["TEXT", "AUDIO", "IMAGE", "VIDEO", "DOCUMENT"]), st.tuples(N, N)), thoughts=N, tool=N, out=N)
def test_googles_leaves_sum_up_to_its_total(kinds: dict[str, tuple[int, int]], thoughts: int, tool: int, out: int) -> None:
    """Cached and uncached of each modality are the prompt; with tool use, thoughts and candidates they are the total."""
    whole = sum(cached + fresh for cached, fresh in kinds.values())
    usage = {
        "promptTokenCount": whole,
        "cachedContentTokenCount": sum(cached for cached, _ in kinds.values()),
        "promptTokensDetails": [{"modality": kind, "tokenCount": sum(both)} for kind, both in kinds.items()],
        "cacheTokensDetails": [{"modality": kind, "tokenCount": cached} for kind, (cached, _) in kinds.items()],
        "candidatesTokenCount": out,
        "thoughtsTokenCount": thoughts,
        "toolUsePromptTokenCount": tool,
        "totalTokenCount": whole + out + thoughts + tool,
    }
    reading = read_usage(UsageDialect.GOOGLE_GENERATE_CONTENT, usage, Call(None, None))
    assert sum(reading.leaves.values()) == usage["totalTokenCount"]
    for kind in ("AUDIO", "IMAGE", "VIDEO"):
        cached, fresh = kinds.get(kind, (0, 0))
        assert reading.leaves.get(Leaf(f"cache_read_{kind.lower()}"), 0) == cached
        assert reading.leaves.get(Leaf(f"input_{kind.lower()}"), 0) == fresh


@given(fresh=N, read=N, short=N, long=N, thinking=N, spoken=N)
def test_additive_leaves_are_as_they_are_told(fresh: int, read: int, short: int, long: int, thinking: int, spoken: int) -> None:
    """Anthropic's and Bedrock's input excludes what is cached: nothing is taken off it, but for OpenAI's models on Bedrock."""
    told = {"input": fresh, "cache_read": read, "cache_write_5m": short, "cache_write_1h": long}
    usage: dict[str, Any] = {
        "input_tokens": fresh,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": short + long,
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
        "output_tokens": thinking + spoken,
        "output_tokens_details": {"thinking_tokens": thinking},
    }
    reading = read_usage(UsageDialect.ANTHROPIC_MESSAGES, usage, Call(None, None))
    assert dict(reading.leaves) == told | {"output": spoken, "output_reasoning": thinking}
    usage = {
        "inputTokens": fresh,
        "outputTokens": spoken,
        "totalTokens": fresh + read + short + long + spoken,
        "cacheReadInputTokens": read,
        "cacheWriteInputTokens": short + long,
        "cacheDetails": [{"ttl": "1h", "inputTokens": long}, {"ttl": "5m", "inputTokens": short}],
    }
    reading = read_usage(UsageDialect.BEDROCK_CONVERSE, usage, Call("aws", "anthropic.claude-sonnet-5-5-v1:0"))
    assert dict(reading.leaves) == told | {"output": spoken}
    cached = read + short + long
    usage |= {"inputTokens": fresh + cached, "totalTokens": fresh + 2 * cached + spoken}
    reading = read_usage(UsageDialect.BEDROCK_CONVERSE, usage, Call("aws", "openai.gpt-5.6-sol"))
    assert dict(reading.leaves) == told | {"output": spoken}
