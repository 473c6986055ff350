"""Judges of prices that an operator has brought in, and of every amount that was computed by them, in a rater of their own. Amounts are francs.

What rating depends on was changed by one operation after the other: a debit was rated by what stood after some of them. At least those were
done whose answer had come before its transaction began, and none can be among them that was asked for only after it had committed.
"""

import json
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from itertools import accumulate
from typing import Any

from lab.oracle import rates
from lab.oracle.pricing import PriceBook
from lab.oracle.torture_operator_asked import NEVER, Asked, Op, Row, Tables, Wrong

PRICES = ("version", "alias", "rule", "fx", "mode")
# Which table has what such an operation wrote, who asked, and where: a column that names the asker.
WRITTEN = {"version": ("price_versions", "accepted_by"), "alias": ("price_aliases", "approved_by"), "rule": ("sale_rules", "created_by")}
WRITTEN |= {"mode": ("price_modes", "created_by"), "fx": ("fx_rates", "created_by")}
TEXTS = ("layer", "mandate_id", "book", "provider", "model", "leaf")
Called = Mapping[str, Any]


def price_rows_were_asked_for(asked: Asked, tables: Tables) -> Wrong:
    """What is there of versions, aliases, rules, rates and modes was asked for, once each; what is done is there."""
    for kind, (table, column) in WRITTEN.items():
        by = asked.by(kind)
        written: dict[str, list[Row]] = defaultdict(list)
        for row in tables[table]:
            if row[column] is not None:
                written[row[column]].append(row)
        for name, rows in written.items():
            op = by.get(name)
            if op is None or op.told == "refused":
                yield f"{table} has {len(rows)} of {name!r}: {'nobody asked for it' if op is None else f'{op} was refused'}"
            elif len(rows) > (len(op.asked["rates"]) if kind == "fx" else 1):
                yield f"{table} has {len(rows)} of {op}"
        for op in asked.done(kind):
            told = op.result.get("id", op.result.get("version"))
            if told is not None and told not in {row["id"] for row in written[op.asked["by"]]}:
                yield f"{op} was told {told}, which isn't in {table}"


class Standing:
    """What rating depends on, after so many of its changes."""

    def __init__(self, changes: list[Op]) -> None:
        self._changes = changes
        self._kept: dict[int, PriceBook] = {}
        self._narrow: dict[tuple[int, object, object], dict[str, Any]] = {}
        self._begun = list(accumulate((op.at for op in changes), max))  # one waits for the answer of the other, so that both ascend
        self._done = list(accumulate((op.until for op in changes), max))

    def after(self, count: int) -> PriceBook:
        """What stands after the first `count` changes."""
        if count not in self._kept:
            book = PriceBook()
            for op in self._changes[:count]:
                _change(book, op)
            self._kept[count] = book
        return self._kept[count]

    @property
    def last(self) -> PriceBook:
        """What stands in the end."""
        return self.after(len(self._changes))

    def possible(self, begun: float, committed: float) -> Iterator[int]:
        """How many changes may have been done when something was rated between these moments, in seconds since 1970."""
        least, most = bisect_left(self._done, begun), bisect_right(self._begun, committed)
        yield from range(least, max(least, most) + 1)

    def of_model(self, count: int, provider: object, model: object) -> dict[str, Any]:
        """What stands after `count` changes for calls that name this model: without the rows of others."""
        key = count, provider, model
        if key not in self._narrow:
            whole = self.after(count).book
            names = {model, *(alias["model"] for alias in whole["aliases"] if alias["alias"] == model)}
            rows = [row for row in whole["rows"] if row["provider"] == provider and row["model"] in names]
            self._narrow[key] = {**whole, "rows": rows}
        return self._narrow[key]

    @cached_property
    def versions(self) -> dict[int, int]:
        """After how many changes a version was the newest, by its id."""
        return {op.result["version"]: n for n, op in enumerate(self._changes, 1) if op.kind == "version" and op.told == "done"}


def _change(book: PriceBook, op: Op) -> None:
    told = op.asked
    if op.kind == "version":
        for provider, values in told["defaults"].items():
            book.book["defaults"] = {**book.book["defaults"], provider: values}
        book.accept([_row(row, book.book["defaults"]) for row in told["rows"]])
    elif op.kind == "alias":
        book.replace("aliases", None, {**_dated(told), "provider": told["provider"], "alias": told["alias"], "model": told["model"]})
    elif op.kind == "rule":
        markup = None if told["markup_percent"] is None else Decimal(told["markup_percent"])
        named = {name: told[name] for name in ("mandate_id", "priority", "provider", "book")}
        book.replace("rules", None, {**_dated(told), **named, "model": None, "markup_percent": markup, "by": told["by"]})
    elif op.kind == "fx":
        for one in told["rates"]:
            new = {"currency": one["currency"], "on": date.fromisoformat(one["on"]), "rate": Decimal(one["rate"])}
            old = next((each for each in book.book["fx"] if (each["currency"], each["on"]) == (new["currency"], new["on"])), None)
            book.replace("fx", old, new)
    else:
        book.modes[told["mandate_id"]].append((datetime.fromisoformat(told["since"]), told["mode"]))


def _row(row: Row, defaults: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    start = row.get("from_tokens") or None
    plain = {"layer": "list", "mandate_id": "", "book": "", **{name: row[name] for name in TEXTS if name in row}}
    counted = {"from_tokens": None if start is None else int(start), "boundary": row.get("boundary") or None, "per": int(row["per"])}
    return {**plain, **defaults[row["provider"]], **counted, "amount": Decimal(row["amount"]), "currency": row["currency"], **_dated(row)}


def _dated(told: Row) -> dict[str, datetime | None]:
    return {name: datetime.fromisoformat(told[name]) if told.get(name) else None for name in ("valid_from", "valid_to")}


class Rating:
    """The debits of a run, rated anew from their raw usage."""

    def __init__(self, asked: Asked, tables: Tables) -> None:
        self._standing = Standing([op for op in asked.of(*PRICES) if op.told in ("done", "maybe")])
        self._shapes = {row["id"]: row["shape"] for row in tables["usage_shapes"]}
        self.stamps = {row["id"]: row for row in tables["stamps"]}
        self._committed = {row["id"]: row["committed_at"].timestamp() for row in tables["batches"]}
        self._fx = {row["id"]: {"currency": row["currency"], "on": row["rate_date"], "rate": row["rate"]} for row in tables["fx_rates"]}
        self._rules = {row["id"]: row["created_by"] for row in tables["sale_rules"]}

    def usage(self, entry: Row) -> Wrong:
        """Of a debit of usage: it is what one of the states of the prices gives that may have stood when it was recorded."""
        committed = self._committed.get(entry["batch_id"], NEVER)
        found = self._stood(entry)
        expected = [self._judged(entry, n) for n in self._standing.possible(entry["recorded_at"].timestamp(), committed)]
        if found not in expected:
            yield f"usage {entry['id']} of {entry['mandate_id']} {entry['event_id']} is billed {found}, not {' or '.join(map(str, expected))}"

    def again(self, entry: Row, old: Row, version: int) -> Wrong:
        """Of the debit of a re-rating: it is what the rows of its version give, by the rate and the rule that stood on what it replaces."""
        found, told = self.by_version(old, version), computed_price(entry)
        if isinstance(found, str) or (told, entry["provider_cost"], entry["provider_currency"]) != found:
            yield f"transaction {entry['id']} is re-rated to {told}, {entry['provider_cost']}, not {found}"
        if entry["price_computed"] is not None and entry["amount"] != old["amount"]:
            yield f"transaction {entry['id']} of a shadow is billed {entry['amount']}, and was {old['amount']}"

    def by_version(self, old: Row, version: int) -> rates.Priced | str:
        """The price of a rated debit by the rows of a version, by the rate and the rule that stood on it."""
        if version not in self._standing.versions:
            return f"a price: nobody accepted version {version}"
        stamp, whole = self.stamps[old["stamp_id"]], self._standing.of_model(self._standing.versions[version], old["provider"], old["model"])
        newest = self._standing.last.book
        rule = self._rules.get(stamp["rule_id"])
        rules = [{**each, "provider": None, "valid_to": None} for each in newest["rules"] if each["by"] == rule]
        rate = self._fx.get(stamp["fx_id"])
        call = self.called(old)
        fx = [] if rate is None else [{**rate, "on": date.fromordinal(call["at"].date().toordinal() - 1)}]
        aliases = [{**each, "valid_to": None} for each in newest["aliases"]]
        return rates.rate(call, {**whole, "rules": rules, "fx": fx, "aliases": aliases})

    def _stood(self, entry: Row) -> tuple[Any, ...]:
        kind = None if entry["stamp_id"] is None else self.stamps[entry["stamp_id"]]["kind"]
        beside = entry["price_computed"], entry["provider_cost"], entry["provider_currency"], entry["unpriced"]
        return kind, entry["amount"], *beside, _leaves_of(entry["leaves"])

    def _judged(self, entry: Row, count: int) -> tuple[Any, ...]:
        """By what stands after `count` changes: kind of its stamp, amount, computed price, cost, currency, why it has no price, and leaves."""
        call, given = self.called(entry), entry["price_given"]
        leaves = {leaf: count for leaf, count in (call["leaves"] or {}).items() if count}
        mode = self._standing.after(count).mode(entry["mandate_id"], call["at"])
        if mode == "given":
            kind = None if entry["usage_dialect"] is None else "given"
            return kind, entry["amount"] if kind is None else given, None, None, None, None, leaves
        found = rates.rate(call, self._standing.of_model(count, entry["provider"], entry["model"]))
        if isinstance(found, str):
            return ("given", given, None, None, None, found, leaves) if mode == "shadow" else (f"parked: {found}",)
        price, cost, currency = found
        if mode == "shadow":
            return "rated", given, price, cost, currency, None, leaves
        return "rated", price, None, cost, currency, None, leaves

    def called(self, entry: Row) -> Called:
        """The call of a debit, as `lab/oracle/rates.py` takes it."""
        plain = {"mandate_id": entry["mandate_id"], "provider": entry["provider"], "model": entry["model"], "at": entry["occurred_at"]}
        named = {name: entry[name] for name in rates.DIMENSIONS if entry[name] is not None}
        return {**plain, "dimensions": named, "leaves": self._leaves(entry), "outcome": None}

    def _leaves(self, entry: Row) -> dict[str, int] | None:
        """What was used, read from the object that was kept: of the two dialects that a torture run speaks."""
        if entry["usage_dialect"] is None:
            return None
        values = entry["usage_values"]
        used = json.loads(self._shapes[entry["usage_shape"]] % tuple(values.split("\n") if values else ()))
        if entry["usage_dialect"] == "openai.chat":
            cached = used.get("prompt_tokens_details", {}).get("cached_tokens", 0)
            thought = used.get("completion_tokens_details", {}).get("reasoning_tokens", 0)
            whole = {"input": used["prompt_tokens"] - cached, "cache_read": cached, "output": used["completion_tokens"] - thought}
            return {**whole, "output_reasoning": thought}
        names = {"input_tokens": "input", "cache_read_input_tokens": "cache_read", "cache_creation_input_tokens": "cache_write"}
        return {leaf: used.get(name, 0) for name, leaf in {**names, "output_tokens": "output"}.items()}


def computed_price(entry: Row) -> Decimal:
    """The price that was computed for a debit, whether it is billed or not."""
    price: Decimal = entry["amount"] if entry["price_computed"] is None else entry["price_computed"]
    return price


def _leaves_of(text: str | None) -> dict[str, int]:
    return {} if text is None else {name: int(count) for name, count in (one.split("=") for one in text.split(","))}


def amounts_are_computed(asked: Asked, tables: Tables) -> Wrong:
    """Every debit of usage is billed as its mandate's mode says, and what is computed is what raw usage, rows, rate and rule come to."""
    rating = Rating(asked, tables)
    moded = {op.mandate for op in asked.of("mode")}
    for entry in tables["transactions"]:
        usage = entry["reference_type"] == "WORKFLOW" and (entry["usage_dialect"] is not None or entry["mandate_id"] in moded)
        if usage and (entry["stamp_id"] is None or rating.stamps[entry["stamp_id"]]["kind"] != "operator"):
            yield from rating.usage(entry)
