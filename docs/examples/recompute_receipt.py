"""Computes the amounts of receipts again, without Tollbook: `python recompute_receipt.py < receipts.jsonl` (Python 3.11 or later)."""

import json
import sys
from fractions import Fraction
from typing import Any


def must(holds: bool, otherwise: str) -> None:
    """Stops where a receipt is wrong."""
    if not holds:
        raise ValueError(otherwise)


def total(rows: list[dict[str, Any]], leaves: dict[str, int]) -> Fraction:
    """What the rows come to: every leaf has one, and none is of a tier above the whole input."""
    whole = sum(count for leaf, count in leaves.items() if leaf.startswith(("input", "cache_")))
    counts = {row["leaf"]: leaves.get(row["leaf"], 1 if row["leaf"] == "request" else 0) for row in rows}
    must(len(counts) == len(rows) and leaves.keys() <= counts.keys(), "not every leaf has one row")
    for row in rows:
        tier = row["tier"] or {"from_tokens": 0, "boundary": ">="}
        must(whole > tier["from_tokens"] or (tier["boundary"] == ">=" and whole == tier["from_tokens"]), f"row {row['id']} is of a higher tier")
    return sum((Fraction(row["amount"]) / row["per"] * counts[row["leaf"]] for row in rows), Fraction(0))


def exact_price(receipt: dict[str, Any]) -> Fraction:
    """What is to be paid in CHF, before it is rounded; the provider cost must be that of its rows."""
    cost, leaves, fx, rule = receipt["cost"], receipt["leaves"], receipt["fx"], receipt["rule"]
    if cost["amount"] is not None:
        must(total(cost["rows"], leaves) == Fraction(cost["amount"]), "the provider cost is another")
        must(all(row["currency"] == cost["currency"] for row in cost["rows"]), "the rows are in another currency")
    if receipt["uncharged"]:
        return Fraction(0)
    if rule["book"]:
        return total(receipt["sale"]["rows"], leaves)
    must(cost["currency"] == (fx["currency"] if fx else "CHF"), "the rate of exchange is of another currency")
    return Fraction(cost["amount"]) * Fraction(fx["rate"] if fx else 1) * (1 + Fraction(rule["markup_percent"]) / 100)


def recompute(receipt: dict[str, Any]) -> Fraction | None:
    """The computed price in CHF, to nine places; None where somebody's word is the price."""
    price, kind = receipt["price"], receipt["stamp"]["kind"]
    if kind in ("given", "operator"):
        must(kind == "operator" or price["billed"] == price["given"], "what is billed was not given")
        return None
    computed = Fraction(round(exact_price(receipt) * 10**9), 10**9)  # of a fraction, round is half-even
    shadow = price["computed"] is not None
    must(computed == Fraction(price["computed"] if shadow else price["billed"]), f"the price is {float(computed)}")
    must(not shadow or price["billed"] == price["given"], "what is billed was not given")
    return computed


if __name__ == "__main__":
    for receipt in map(json.loads, sys.stdin):
        computed = recompute(receipt)
        print(receipt["price"]["billed"], "as it was said" if computed is None else f"{computed * 10**9} billionths of a franc, computed")
