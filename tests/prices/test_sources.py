"""Where prices are brought in from: package genai-prices, CSV files; and LiteLLM's list, to compare with."""

from collections import Counter
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
from genai_prices import Usage
from genai_prices.data import providers

from core.asking.rights import ROOT
from core.clock import utc_now
from core.database.database import Database
from core.dialects.model import DIMENSIONS, Leaf, Reading
from core.errors import LinesRefused, RequestRefused
from core.prices.accept import accept
from core.prices.book import Prices
from core.prices.card import Card
from core.prices.content import boundary_faults, faults, overlaps
from core.prices.import_prices import Source, import_prices
from core.prices.load import load_prices
from core.prices.model import PricedCall, PriceRow
from core.prices.offer import Offer, converted_amount
from core.prices.sources.csv_file import read_csv
from core.prices.sources.genai import read_genai_prices
from core.prices.sources.litellm_file import compared_with, read_litellm
from core.prices.terms import Terms
from tests.prices.scene import STANDARD, at, row

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "prices.csv"


@cache
def package() -> Offer:
    """All that genai-prices offers."""
    return read_genai_prices({})


def of_model(provider: str, model: str, **choice: str) -> dict[tuple[str, int | None], tuple[Decimal, int]]:
    """Amount and number by leaf and tier, of the package's rows that hold without end for a choice of dimensions."""
    found = [one for one in package().rows if (one.provider, one.model, one.valid_to) == (provider, model, None)]
    chosen = {**package().defaults[provider], **choice}
    return {
        (one.leaf.value, one.from_tokens): (one.amount, one.per) for one in found if all(getattr(one, name) == chosen[name] for name in DIMENSIONS)
    }


def test_everything_of_the_package_may_be_in_one_book() -> None:
    """No row of it is at fault, none overlaps another, and whatever is left out has a reason out of a closed list."""
    offer = package()
    assert len(offer.rows) > 15_000
    assert [fault for one in offer.rows for fault in faults(one)] == []
    assert [*overlaps(offer.rows), *boundary_faults(offer.rows)] == []
    reasons = Counter(one.reason for one in offer.refused)
    assert set(reasons) <= {
        "minimum_charge",
        "name_of_another",
        "no_price",
        "open_matcher",
        "other_providers",
        "peak_hours",
        "second_standard",
        "ttl_unknown",
        "two_prices",
        "unknown_dimension",
        "unknown_unit",
    }
    assert reasons["peak_hours"] == 5


def test_each_provider_with_rows_declares_all_of_its_defaults() -> None:
    """A dimension without one would leave every call unpriced that doesn't tell it."""
    assert {one.provider for one in package().rows} <= package().defaults.keys()
    assert all(set(values) == set(DIMENSIONS) for values in package().defaults.values())


def test_tiers_are_taken_with_their_boundary() -> None:
    """Of gpt-5.5 the whole call is dearer above 272,000: each leaf that has tiers has a row for each, tools have one for all."""
    found = of_model("openai", "gpt-5.5")
    assert found["input", 0] == (Decimal(5), 1_000_000)
    assert found["input", 272_000] == (Decimal(10), 1_000_000)
    assert found["web_search", None] == (Decimal(10), 1_000)
    assert ("input", None) not in found
    tier = next(one for one in package().rows if one.model == "gpt-5.5" and one.from_tokens == 272_000)
    assert tier.boundary == ">"


def test_choices_have_all_their_rows_and_only_from_when_they_were_verified() -> None:
    """Batch is half the price from 14 October 2026 on; what its list doesn't say of the cache stays the standard rate."""
    batch = of_model("openai", "gpt-4o", processing="batch")
    assert batch["input", None] == (Decimal("1.25"), 1_000_000)
    assert batch["cache_read", None] == (Decimal("1.25"), 1_000_000)
    begins = {one.valid_from for one in package().rows if (one.provider, one.model, one.processing) == ("openai", "gpt-4o", "batch")}
    assert begins == {at("2026-10-14")}
    assert of_model("openai", "gpt-4o", service_tier="priority")["output", None] == (Decimal(17), 1_000_000)
    assert of_model("anthropic", "claude-opus-5-5", speed="fast")["output", None] == (Decimal(40), 1_000_000)


def test_same_as_is_written_out_and_audio_never_costs_what_text_does() -> None:
    """Reasoning is output; Google's images are input; audio without a price of its own has no row."""
    gemini = of_model("google", "gemini-2.5-flash")
    assert gemini["output_reasoning", None] == gemini["output", None] == (Decimal("2.5"), 1_000_000)
    assert gemini["input_image", None] == gemini["input", None]
    assert gemini["input_audio", None] == (Decimal(1), 1_000_000)
    assert ("input_audio", None) not in of_model("openai", "gpt-4o-audio-preview")
    assert ("input_audio", None) not in of_model("google", "gemini-2.5-flash-image")
    bases = {one.basis for one in package().rows if one.leaf is Leaf.OUTPUT_REASONING}
    assert "list, same as output" in bases


def test_a_cache_write_whose_life_nobody_tells_has_no_price() -> None:
    """Anthropic's writes cost by how long they live: five minutes and an hour have rows, the unknown has none."""
    found = of_model("anthropic", "claude-opus-4-5")
    assert found["cache_write_5m", None] == (Decimal("6.25"), 1_000_000)
    assert found["cache_write_1h", None] == (Decimal(10), 1_000_000)
    assert ("cache_write", None) not in found
    assert any((one.model, one.reason) == ("claude-opus-4-5", "ttl_unknown") for one in package().refused)


def test_patterns_are_named_and_only_exact_names_have_rows() -> None:
    """claude-opus-4-5 is a model's own name; whatever else begins so takes an alias that somebody approves."""
    names = {one.model for one in package().rows if one.provider == "anthropic"}
    assert "claude-opus-4-5" in names
    assert "claude-opus-4-5-20251101" not in names
    told = [one.detail for one in package().refused if (one.provider, one.model) == ("anthropic", "claude-opus-4-5")]
    assert any(detail.startswith("starts_with claude-opus-4-5:") for detail in told)
    assert {"gpt-5", "gpt-5-2025-08-07"} <= {one.model for one in package().rows if one.provider == "openai"}


def test_prices_by_the_hour_of_the_day_are_left_out() -> None:
    """DeepSeek's depend on it: none of these models has a row, and each is named."""
    named = {one.model for one in package().refused if one.reason == "peak_hours"}
    assert "deepseek-chat" in named
    assert {one.model for one in package().rows if one.provider == "deepseek"} & named == set()


def test_what_has_no_price_is_not_free() -> None:
    """A model without any price in the package has no row, and is named; a price of 0 is a row of 0."""
    named = {(one.provider, one.model) for one in package().refused if one.reason == "no_price"}
    assert named
    assert {(one.provider, one.model) for one in package().rows} & named == set()


def test_units_are_converted_and_shown() -> None:
    """An hour of audio is 3,600 seconds: 0.36 USD are 0.0001 a second, exact; 0.111 are rounded half-even per million."""
    assert converted_amount(Decimal("0.36"), 3_600) == (Decimal("0.0001"), 1, False)
    assert converted_amount(Decimal("0.111"), 3_600) == (Decimal("30.833333333333"), 1_000_000, True)
    assert converted_amount(Decimal("0.0000000005"), 1) == (Decimal("0.0000000005"), 1, False)
    assert converted_amount(Decimal("2.5E-13"), 1) == (Decimal("2.5E-10"), 1_000, False)
    assert any(one.leaf == "audio_second" for one in package().converted)


@pytest.mark.parametrize("day", ["2026-11-20", "2026-10-01"])
def test_every_row_costs_what_the_package_computes(day: str) -> None:
    """Input, cached input where it has a price, and output of a call come to the same for every model, below and above each tier."""
    moment = at(day)
    prices = Prices(rows=package().rows, defaults=package().defaults)
    known = {provider.id: provider for provider in providers}
    differ, compared = [], 0
    for provider, model in sorted({(one.provider, one.model) for one in package().rows}):
        leaves = {leaf for leaf, _ in of_model_at(provider, model, moment)}
        cached = 500 if "cache_read" in leaves else 0
        for tokens in (1_000, 200_000, 272_001) if {"input", "output"} <= leaves else ():
            reading = Reading({Leaf.INPUT: tokens - cached, Leaf.CACHE_READ: cached, Leaf.OUTPUT: 77})
            terms = prices.terms(PricedCall("acme", moment, reading, None, provider, model), reading)
            assert isinstance(terms, Terms)
            assert isinstance(terms.cost, Card)
            cost = Decimal(terms.cost.total(reading.leaves)[0]).scaleb(-18)
            found = known[provider].find_model(model)
            assert found is not None
            usage = Usage(input_tokens=tokens, cache_read_tokens=cached, output_tokens=77)
            theirs = found.get_prices(moment).calc_price(usage)["total_price"]
            compared += 1
            if abs(cost - theirs) > Decimal("1E-12"):
                differ.append((provider, model, tokens, cost, theirs))
    assert differ == []
    assert compared > 5_000


def of_model_at(provider: str, model: str, moment: datetime) -> set[tuple[str, int | None]]:
    """Leaf and tier of the package's rows that hold then for the standard choice."""
    return by_model(moment).get((provider, model), set())


@cache
def by_model(moment: datetime) -> dict[tuple[str, str], set[tuple[str, int | None]]]:
    """The same of all models."""
    found: dict[tuple[str, str], set[tuple[str, int | None]]] = {}
    for one in package().rows:
        standard = package().defaults[one.provider]
        holds = (one.valid_from is None or one.valid_from <= moment) and (one.valid_to is None or moment < one.valid_to)
        if holds and all(getattr(one, name) == standard[name] for name in DIMENSIONS):
            found.setdefault((one.provider, one.model), set()).add((one.leaf.value, one.from_tokens))
    return found


def test_the_whole_package_again_proposes_nothing(database: Database) -> None:
    """A book of 20,000 rows is accepted, loaded, and the same source finds nothing to change."""
    first = import_prices(database, ROOT, Source.GENAI_PRICES, proposed_by="olga", now=utc_now())
    assert first.version is not None
    assert 15_000 < first.version.row_count <= len(package().rows)  # of rows that differ in time alone one is made
    accept(database, ROOT, first.version.id, accepted_by="olga")
    assert import_prices(database, ROOT, Source.GENAI_PRICES, proposed_by="olga", now=utc_now()).version is None
    with database.transaction() as connection:
        _, prices = load_prices(connection)
    assert prices.version_id == first.version.id
    assert sum(len(rows) for rows in prices._rows.values()) == first.version.row_count


def write(path: Path, *lines: str) -> Path:
    """A CSV file of these lines."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


HEADER = "provider,model,leaf,amount,per,currency"


def test_a_file_says_rows_of_every_layer(tmp_path: Path) -> None:
    """Empty cells are the defaults of the provider; amounts for other numbers are converted and shown."""
    file = write(
        tmp_path / "p.csv", "layer,mandate_id,book," + HEADER, "mandate,acme,,openai,gpt,input,0.003,500,USD", ",,,openai,gpt,input,5,1000000,USD"
    )
    offer = read_csv(file, {"openai": STANDARD})
    assert [(one.layer, one.amount, one.per, one.service_tier) for one in offer.rows] == [
        ("mandate", Decimal("0.000006"), 1, "default"),
        ("list", Decimal(5), 1_000_000, "default"),
    ]
    assert [(one.stated, one.taken, one.rounded) for one in offer.converted] == [("0.003 per 500", "0.000006000000 per 1", False)]


def test_every_line_at_fault_is_named(tmp_path: Path) -> None:
    """Line, field, value and what helps; nothing of the file is taken."""
    file = write(
        tmp_path / "p.csv",
        HEADER + ",valid_from,from_tokens",
        "openai,gpt,input,5,1000000,USD,,",
        "openai,gpt,inputs,x,0,USD,2026-10-01,",
        "openai,gpt,output",
        "mistral,large,input,5,1000000,USD,,1e3",
    )
    with pytest.raises(LinesRefused) as refused:
        read_csv(file, {"openai": STANDARD})
    told = "\n".join(refused.value.lines)
    assert "line 3: leaf is none of input, cache_read, " in told
    assert "line 3: amount is not a plain decimal number (got 'x')" in told
    assert "line 3: per is not 1 to 1000000000 (got '0')" in told
    assert "line 3: valid_from is not an RFC 3339 time with offset, such as 2026-01-31T12:00:00.5+01:00 (got '2026-10-01')" in told
    assert "line 4: has 3 fields, the header 8" in told
    assert "line 5: region_scope is empty, and 'mistral' has no default for it: fill it in, or give --default mistral.region_scope=VALUE" in told
    assert "line 5: from_tokens is not a whole number (got '1e3')" in told


def test_overlapping_lines_are_named_by_their_numbers(database: Database, tmp_path: Path) -> None:
    """Both lines of a contradiction are told."""
    file = write(tmp_path / "p.csv", HEADER, "openai,gpt,input,5,1000000,USD", "openai,gpt,input,6,1000000,USD")
    with pytest.raises(LinesRefused) as refused:
        import_prices(database, ROOT, Source.CSV, file, proposed_by="olga", now=utc_now(), defaults={"openai": STANDARD})
    assert refused.value.lines[0].startswith("lines 2 and 3: list openai gpt [global/default/interactive/standard] input: 5 USD per 1000000")


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (HEADER + ",colour", "unknown column 'colour'"),
        (HEADER + ",model", "column model is there twice"),
        ("provider,model", "lacks leaf, amount, per, currency"),
        ("", "lacks provider"),
    ],
)
def test_a_header_that_cannot_be_is_told(header: str, told: str, tmp_path: Path) -> None:
    """Known columns are named."""
    with pytest.raises(RequestRefused, match=f"{told}.*known are layer") if "twice" not in told else pytest.raises(RequestRefused, match=told):
        read_csv(write(tmp_path / "p.csv", header), {})


def test_the_example_of_the_documents_is_a_book(database: Database) -> None:
    """docs/examples/prices.csv is imported as it stands."""
    proposal = import_prices(database, ROOT, Source.CSV, EXAMPLE, proposed_by="olga", now=utc_now())
    assert proposal.version is not None
    assert proposal.diff.counts["new"] == proposal.version.row_count > 5


def test_litellms_list_is_compared_exactly(tmp_path: Path) -> None:
    """1e-06 for one is 1 for a million; what differs is told with its relative size, what only one has is counted."""
    file = tmp_path / "l.json"
    file.write_text(
        '{"sample_spec": {}, "gpt": {"litellm_provider": "openai", "input_cost_per_token": 1e-06, "output_cost_per_token": 2.0e-06,'
        ' "input_cost_per_token_above_272k_tokens": 2e-06, "search_context_cost_per_query": 3, "odd_cost": 1},'
        ' "openai/other": {"litellm_provider": "openai", "input_cost_per_token": 5e-06}}'
    )
    book: list[PriceRow] = [
        row("gpt", "input", "1", from_tokens=0),
        row("gpt", "input", "2", from_tokens=272_000),
        row("gpt", "output", "3"),
        row("mine"),
    ]
    found = compared_with(book, read_litellm(file), at("2026-11-20"))
    (model,) = found.models
    assert [(one.kind, one.leaf, one.before, one.after, one.relative) for one in model.changes] == [
        ("changed", "output", Decimal(3), Decimal(2), Decimal("0.333333"))
    ]
    assert (found.notes["models_compared"], found.notes["models_only_in_book"], found.notes["models_only_in_file"]) == (1, 1, 1)
    assert found.notes["not_compared"] == ["odd_cost, of 1 models", "search_context_cost_per_query, of 1 models"]


def test_what_is_not_litellms_list_is_told(tmp_path: Path) -> None:
    """A file of something else is no empty list."""
    for number, content in enumerate(("[]", "{", '{"a": 1}')):
        file = tmp_path / f"{number}.json"
        file.write_text(content)
        with pytest.raises(RequestRefused, match="is not LiteLLM's list"):
            read_litellm(file)


def test_the_package_has_the_providers_that_are_documented() -> None:
    """Whatever the package names a provider, so do the rows: the text that events have to say."""
    assert {"openai", "anthropic", "google", "aws", "azure", "mistral", "x-ai", "openrouter"} <= {one.id for one in providers}
