"""A receipt for people: from the usage object to the amount, a step after the other."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import typer

from cli.output.tables import print_table
from cli.output.text import printable

_HEADINGS = ("leaf", "count", "amount", "per", "currency", "valid from (UTC)", "layer", "row", "source")


def print_receipt(receipt: Mapping[str, Any]) -> None:
    """Prints every step that there is; what nobody knows is left out."""
    typer.echo("\nthe receipt:")
    if receipt["usage"] is not None:
        _line("usage object", json.dumps(receipt["usage"], separators=(",", ":")))
    if receipt["dialect"] is not None:
        _line("read as", f"{receipt['dialect']['name']}, version {receipt['dialect']['version']} of the dialect")
    rows = [*receipt["cost"]["rows"], *receipt["sale"]["rows"]]
    if rows:
        print_table(_HEADINGS, [_cells(row) for row in rows], free=("source",))
    elif receipt["leaves"]:
        _line("used", ", ".join(f"{count} {leaf}" for leaf, count in receipt["leaves"].items()))
    for name, said in _steps(receipt).items():
        _line(name, said)


def _cells(row: Mapping[str, Any]) -> tuple[object, ...]:
    layer = " ".join(filter(None, (row["layer"], row.get("book"), row.get("mandate_id"))))
    since = row["valid_from"] or "always"
    return (row["leaf"], row["count"], Decimal(row["amount"]), row["per"], row["currency"], since, layer, row["id"], row["source"])


def _steps(receipt: Mapping[str, Any]) -> dict[str, str | None]:
    cost, fx, price, stamp, balance = (receipt[name] for name in ("cost", "fx", "price", "stamp", "balance"))
    version, rater = stamp["price_version"], stamp["rater_version"]
    return {
        "tier": _tier(receipt["tier"]) if cost["rows"] or receipt["sale"]["rows"] else None,
        "provider cost": None if cost["amount"] is None else f"{cost['amount']} {cost['currency']}",
        "exchange rate": None if fx is None else f"{fx['rate']} CHF for 1 {fx['currency']} of {fx['date']}{_legs(fx['legs'])}",
        "rule": _rule(receipt["rule"]),
        "not charged": _policy(receipt["uncharged"]),
        "stamp": stamp["kind"] if version is None else f"{stamp['kind']} by version {version} of the price book, version {rater} of the rater",
        "computed": None if price["computed"] is None else f"{price['computed']} CHF{_rounding(receipt)}, which is not billed",
        "given": None if price["given"] is None else f"{price['given']} CHF",
        "not computed": price["not_computed"],
        "billed": f"{price['billed']} CHF" + (_rounding(receipt) if stamp["kind"] == "rated" and price["computed"] is None else ""),
        "paid by": _payer(balance),
        "hold": _hold(receipt["hold"]),
        "counts in": ", ".join(f"cap {cap['cap_id']}" for cap in receipt["caps"]) or None,
        "amendments": ", ".join(f"{step['reversed_id']} by {step['debit_id']}" for step in receipt["amendments"]) or None,
    }


def _tier(tier: Mapping[str, Any]) -> str:
    whole = f"{tier['whole_input']} tokens went in"
    return whole if tier["from_tokens"] is None else f"{whole}, which is {tier['boundary']} {tier['from_tokens']}"


def _legs(legs: list[Mapping[str, Any]]) -> str:
    told = "; ".join(", ".join(f"{name} {value}" for name, value in leg.items()) for leg in legs)
    return f", made of {told}" if told else ""


def _rule(rule: Mapping[str, Any] | None) -> str | None:
    if rule is None:
        return None
    what = f"the rows of book {rule['book']}" if rule["book"] else f"{rule['markup_percent']} % on the provider cost"
    return f"{what} (rule {rule['id']})"


def _policy(policy: Mapping[str, Any] | None) -> str | None:
    return None if policy is None else f"since the outcome is {policy['outcome']} (policy {policy['id']})"


def _rounding(receipt: Mapping[str, Any]) -> str:
    rounding = receipt["rounding"]
    return f", rounded {rounding['mode']} to {rounding['places']} places"


def _payer(balance: Mapping[str, Any]) -> str:
    if balance["account_id"] is None:
        return "nobody"
    holder = "the pool" if balance["user_id"] is None else balance["user_id"]
    return f"{holder} (account {balance['account_id']})"


def _hold(hold: Mapping[str, Any] | None) -> str | None:
    return None if hold is None else f"{hold['hold_key']}, {hold['state']}: {hold['captured']} CHF captured of {hold['amount']}"


def _line(name: str, said: str | None) -> None:
    if said is not None:
        typer.echo(f"{name}: {printable(said)}")
