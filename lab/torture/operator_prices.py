"""What an operator does to prices: versions of the book, aliases, sale rules, exchange rates, modes, re-ratings."""

import csv
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from core.asking.rights import ROOT
from core.errors import Conflict
from core.movements.reach import count_reach
from core.movements.rerate import rerate, revert_rerating, reverting
from core.movements.rerating import Rerating
from core.prices.accept import accept
from core.prices.aliases import add_alias
from core.prices.fx import GivenRate, import_fx
from core.prices.import_prices import Source, import_prices
from core.prices.model import Mode
from core.prices.modes import set_mode
from core.prices.rules import add_rule
from lab.torture.operator_kinds import WORKER, Asked, Kind, World, done, plain, result_of, utc

GPT, CLAUDE, UNLISTED = ("openai", "gpt-torture", "USD"), ("anthropic", "claude-torture", "CHF"), ("openai", "gpt-unlisted", "USD")
LEAVES = ("input", "cache_read", "cache_write", "output", "output_reasoning")
DEFAULTS = {
    "openai": {"region_scope": "global", "service_tier": "default", "processing": "interactive", "speed": "standard"},
    "anthropic": {"region_scope": "global", "service_tier": "standard", "processing": "interactive", "speed": "standard"},
}
BOOK = "gold"  # of sale prices
PRICES = "prices"
COLUMNS = (
    "layer",
    "mandate_id",
    "book",
    "provider",
    "model",
    "leaf",
    "from_tokens",
    "boundary",
    "amount",
    "per",
    "currency",
    "valid_from",
    "valid_to",
)
_ACCEPTED = "SELECT id FROM price_versions WHERE proposed_by = :by AND accepted_at IS NOT NULL"
_COMPUTED = ("m-priced-shadow",)  # whose mode changes; the others' usage comes without a price, and needs one that is computed


def full_rows(world: World, *models: tuple[str, str, str], **fields: str) -> list[dict[str, str]]:
    """A row for each leaf of these models; long inputs of the first model cost more."""
    rows = []
    for provider, model, currency in models:
        for leaf in LEAVES:
            row = {"layer": "list", "provider": provider, "model": model, "leaf": leaf, "per": "1000000", "currency": currency, **fields}
            if fields.get("layer") == "sale":
                row["currency"] = "CHF"
            tiers = (
                (("0", ">="), ("3000", ">=")) if (provider, model, currency) == GPT and leaf == "output" and "layer" not in fields else (("", ""),)
            )
            rows += [{**row, "from_tokens": start, "boundary": boundary, "amount": _price(world)} for start, boundary in tiers]
    return rows


def _price(world: World) -> str:
    return f"{world.random.randrange(0, 60_000_000)}e-6" if world.random.random() < 0.2 else str(world.random.randrange(1, 60))


def _version(world: World) -> Asked | None:
    """Another price of some leaves of a model: always, or from a moment on; of the list, of the operator's contract or a mandate's."""
    if not world.rested("version"):
        return None
    chance = world.random
    model = chance.choice([GPT, CLAUDE])
    layers: list[dict[str, str]] = [{}, {}, {"layer": "operator"}, {"layer": "sale", "book": BOOK}]
    if mandate := world.a_mandate("m-priced"):
        layers.append({"layer": "mandate", "mandate_id": mandate})
    rows = full_rows(world, model, **chance.choice(layers))
    leaves = set(chance.sample(LEAVES, k=chance.randrange(1, 4)))
    rows = [row for row in rows if row["leaf"] in leaves]
    if chance.random() < 0.5:
        moment = utc(time.time() - chance.choice([1, 3600, 86_400]))
        rows = [{**row, "valid_to": moment} for row in rows] + [{**row, "amount": _price(world), "valid_from": moment} for row in rows]
    return {"by": world.by, "rows": rows, "defaults": {}}


def do_version(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Proposes and accepts it; where that was done and nobody heard of it, it is found by its name."""
    found = world.rows(_ACCEPTED, by=asked["by"])
    version_id = found[0]["id"] if found else _proposed(world, asked)
    if version_id is None:  # nothing would change; if not because it was done in this moment
        found = world.rows(_ACCEPTED, by=asked["by"])
        return {"version": found[0]["id"] if found else None}
    try:
        accept(world.database, ROOT, version_id, accepted_by=asked["by"])
    except Conflict:  # while it was proposed anew, an acceptance went through of which nobody had heard
        found = world.rows(_ACCEPTED, by=asked["by"])
        if not found:
            raise
        version_id = found[0]["id"]
    count_reach(world.database, ROOT, version_id)
    return {"version": version_id}


def _proposed(world: World, asked: Mapping[str, Any]) -> int | None:
    file = Path(world.plan.folder) / "prices.csv"
    with file.open("w", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, COLUMNS)
        writer.writeheader()
        writer.writerows(asked["rows"])
    now, defaults = datetime.now(UTC), asked["defaults"] or None
    version = import_prices(world.database, ROOT, Source.CSV, file, proposed_by=asked["by"], now=now, defaults=defaults).version
    return None if version is None else version.id


def _alias(world: World) -> Asked:
    """For a while the model that has no price is another one."""
    begin = time.time() - world.random.choice([0, 3600])
    times = {"valid_from": utc(begin), "valid_to": utc(time.time() + world.random.randrange(2, 30))}
    return {"by": world.by, "provider": UNLISTED[0], "alias": UNLISTED[1], "model": GPT[1], **times}


def _do_alias(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    names, (begin, end) = (asked["provider"], asked["alias"], asked["model"]), _times(asked)
    found = add_alias(world.database, ROOT, *names, approved_by=asked["by"], valid_from=begin, valid_to=end)
    return {"id": found.id}


def _rule(world: World) -> Asked:
    """What one mandate, or everybody, pays for a while; now and then of the rank of the rule before, which must be refused."""
    before = world.journal.of_kind("rule")[-1:]
    if before and done(before[0]) and world.random.random() < 0.2:
        return {**before[0].asked, "by": world.by, "markup_percent": "5", "book": None}
    sold = world.random.random() < 0.3
    times = {"valid_from": utc(), "valid_to": utc(time.time() + world.random.randrange(2, 60))}
    return {
        "by": world.by,
        "mandate_id": world.a_mandate("m-priced") if world.random.random() < 0.7 else None,
        "priority": world.random.randrange(1, 6),
        "provider": world.random.choice([None, "openai"]),
        "markup_percent": None if sold else world.random.choice(["0", "7.5", "33.333333", "-10"]),
        "book": BOOK if sold else None,
        **times,
    }


def do_rule(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Adds it."""
    markup = None if asked["markup_percent"] is None else Decimal(asked["markup_percent"])
    named: dict[str, Any] = {name: asked[name] for name in ("mandate_id", "priority", "provider", "book")}
    begin, end = _times(asked)
    found = add_rule(world.database, ROOT, created_by=asked["by"], markup_percent=markup, **named, valid_from=begin, valid_to=end)
    return {"id": found.id}


def _times(asked: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    begin, end = (None if asked[name] is None else datetime.fromisoformat(asked[name]) for name in ("valid_from", "valid_to"))
    return begin, end


def _fx(world: World, *, replace: bool) -> Asked:
    on = datetime.now(UTC).date() - timedelta(days=world.random.randrange(0, 4))
    rates = [{"currency": "USD", "on": on.isoformat(), "rate": f"0.{world.random.randrange(70_000_000, 99_000_000)}"}]
    return {"by": world.by, "replace": replace, "rates": rates}


def do_fx(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Brings the rates in."""
    rates = [GivenRate(one["currency"], date.fromisoformat(one["on"]), Decimal(one["rate"])) for one in asked["rates"]]
    found = import_fx(world.database, ROOT, rates, source="torture", created_by=asked["by"], replace=asked["replace"])
    return {"written": found.written, "replaced": found.replaced}


def _mode(world: World) -> Asked | None:
    mandate = world.a_mandate(*_COMPUTED)
    if mandate is None:
        return None
    modes = ("given", "shadow", "computed")
    present = [intent.asked["mode"] for intent in world.journal.of_kind("mode") if done(intent) and intent.asked["mandate_id"] == mandate]
    following = modes[(modes.index(present[-1]) + 1) % 3] if present else "given"
    return {"by": world.by, "mandate_id": mandate, "mode": following, "since": utc(time.time() + world.random.choice([0, 0, 2]))}


def do_mode(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Sets it."""
    since = datetime.fromisoformat(asked["since"])
    found = set_mode(world.database, ROOT, asked["mandate_id"], Mode(asked["mode"]), created_by=asked["by"], since=since)
    return {"id": found.id}


def _rerate(world: World) -> Asked | None:
    """What one mandate has used on some days, by the newest version or one before it."""
    mandate = world.a_mandate("m-priced")
    versions = [result_of(intent)["version"] for intent in world.journal.of_kind("version") if done(intent)]
    versions = [one for one in versions if one is not None][-3:]
    if mandate is None or not versions or not world.rested("rerate", "revert"):
        return None
    first = datetime.now(UTC).date() - timedelta(days=world.random.randrange(0, 4))
    asked = {"mandate_id": mandate, "version": world.random.choice(versions), "first": first.isoformat()}
    asked["model"] = world.random.choice([None, GPT[1], CLAUDE[1]])
    return {"by": world.by, "key": world.key, "last": (first + timedelta(days=world.random.randrange(0, 2))).isoformat(), **asked}


def _do_rerate(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    first, last = date.fromisoformat(asked["first"]), date.fromisoformat(asked["last"])
    how = Rerating(asked["key"], asked["version"], first, last, asked["model"], asked["mandate_id"])
    found = plain(rerate(world.database, ROOT, how, by=asked["by"], worker=WORKER))
    return {"version_id": found["version_id"], "deltas": found["deltas"], "left": found["left"]}


def _revert(world: World) -> Asked | None:
    """A re-rating that has changed something and wasn't reverted."""
    gone = {intent.asked["key"] for intent in world.journal.of_kind("revert")}
    found = [one for one in world.journal.of_kind("rerate") if done(one) and result_of(one)["deltas"] and one.asked["key"] not in gone]
    if not found or not world.rested("rerate", "revert"):
        return None
    return {"by": world.by, "key": world.random.choice(found).asked["key"]}


def _do_revert(world: World, asked: Mapping[str, Any]) -> dict[str, Any]:
    found = revert_rerating(world.database, ROOT, reverting(asked["key"], asked["by"], WORKER))
    return {"events": sum(totals.events for totals in found)}


PRICE_KINDS = (
    Kind("version", _version, do_version, scope=PRICES, expect="done", same=("version",)),
    Kind("alias", _alias, _do_alias, weight=2, scope=PRICES),
    Kind("rule", _rule, do_rule, scope=PRICES),
    Kind("fx", lambda w: _fx(w, replace=True), do_fx, weight=2, scope=PRICES, expect="done", same=None),
    Kind("fx unasked", lambda w: _fx(w, replace=False), do_fx, weight=1, scope=PRICES, expect="refused", same=None),
    Kind("mode", _mode, do_mode, weight=2, scope=PRICES, expect="done"),
    Kind("rerate", _rerate, _do_rerate, weight=2, scope="rerate"),
    Kind("revert", _revert, _do_revert, weight=2, scope="rerate", same=("events",)),
)
