"""Judges of holds and caps, and of what an operator has made of parked events and dead letters. Amounts are francs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from lab.oracle import fire
from lab.oracle.entries import NOTHING
from lab.oracle.torture_operator_asked import Asked, Op, Row, Tables, Wrong, money

EVENT = ("provider", "model", "feature_code")
Name = tuple[str, str]  # mandate, key
RULE = ("scope", "user_id", "dimension", "value", "period")


def holds_are_as_answered(asked: Asked, tables: Tables) -> Wrong:
    """Each grant is a hold of the amount that was asked for, each refusal none."""
    rows = {(hold["mandate_id"], hold["hold_key"]): hold for hold in tables["holds"]}
    asking = {(op.mandate, op.asked["key"]): op for op in asked.of("authorise", "authorise much")}
    for key, op in asking.items():
        yield from _as_answered(op, key, rows.get(key))
    for key in {key for key, hold in rows.items() if hold["content_hash"] is not None} - asking.keys():
        yield f"hold {key} is there, and nobody asked for it"


def _as_answered(op: Op, key: Name, hold: Row | None) -> Wrong:
    if op.told == "done" and op.result["state"] == "KEPT" and hold is None:
        yield f"{op} was granted hold {key}, which isn't there"
    if hold is None or hold["content_hash"] is None:  # a hold without is of usage that came before anybody asked
        return
    if op.told == "refused":
        yield f"{op} was refused hold {key}, which is there"
    amounts = {hold["amount"], money(op.asked.get("amount", hold["amount"]))}
    amounts |= {money(op.result["amount"])} if op.told == "done" else set()
    if len(amounts) > 1 or hold["user_id"] != op.asked["user_id"]:
        yield f"{op}: hold {key} is of {hold['amount']} of user {hold['user_id']}, asked or told was {amounts}"


def holds_are_released_by_somebody(asked: Asked, tables: Tables) -> Wrong:
    """What was answered as released is, and nothing else."""
    released: dict[Name, set[str]] = defaultdict(set)
    for op in asked.of("release"):
        released[op.mandate, op.asked["key"]].add(op.result["state"] if op.told == "done" else op.told)
    for hold in tables["holds"]:
        key = hold["mandate_id"], hold["hold_key"]
        if "RELEASED" in released[key] and hold["state"] != "RELEASED":
            yield f"hold {key} was released, and is {hold['state']}"
        if hold["state"] == "RELEASED" and not {"RELEASED", "maybe"} & released[key]:
            yield f"hold {key} is released, and nobody did it: {sorted(released[key])}"


def holds_and_counters_add_up(tables: Tables) -> Wrong:
    """H1, H4, H6 and K1: what is held is what holds keep, and counters are what their windows have seen."""
    users = {account["id"]: account["user_id"] for account in tables["accounts"]}
    yield from fire.held_is_what_holds_keep(tables["accounts"], tables["holds"])
    yield from fire.balances_are_their_entries(tables["accounts"], tables["transactions"])
    used = [{**entry, "user_id": users.get(entry["account_id"])} for entry in tables["transactions"] if entry["hold_key"] is not None]
    yield from fire.nothing_is_lost(tables["holds"], used)
    caps, entries, holds = (_grouped(tables[name]) for name in ("caps", "transactions", "holds"))
    for mandate, own in caps.items():
        ids = {cap["id"] for cap in own}
        counters = [row for row in tables["cap_counters"] if row["cap_id"] in ids]
        yield from fire.counters_are_their_debits(own, counters, _usage(entries[mandate], users), holds[mandate])


def _grouped(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """By mandate."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["mandate_id"]].append(row)
    return found


def _usage(entries: list[Row], users: Mapping[int, Any]) -> list[Row]:
    """Debits of usage and what takes them back, this one with the names and the day of what it takes back."""
    by_id = {entry["id"]: entry for entry in entries}
    found: list[Row] = []
    for entry in entries:
        if entry["reference_type"] not in ("WORKFLOW", "AMENDMENT"):
            continue
        about = entry if entry["transaction_type"] == "DEBIT" else by_id[entry["reverses_id"]]
        named = {name: about[name] for name in (*EVENT, "local_date", "mandate_id")}
        plain = {name: entry[name] for name in ("event_id", "transaction_type", "reference_type", "amount")}
        found.append({**plain, **named, "user_id": users.get(entry["account_id"])})
    return found


def caps_are_as_they_were_set(asked: Asked, tables: Tables) -> Wrong:
    """Each cap was asked for; its limit and action are what was asked for last, and it is there until it is removed."""
    by_id = {cap["id"]: cap for cap in tables["caps"]}
    setting, removing = asked.by("cap"), asked.by("uncap")
    last: dict[int, Op] = {}
    for op in asked.done("cap"):
        cap = by_id.get(op.result["id"])
        if cap is None or any(cap[name] != (op.asked.get(name) or "") for name in RULE):
            yield f"{op} was told cap {op.result['id']}, which is {cap}"
        last[op.result["id"]] = op
    unknown = {op.mandate for op in asked.of("cap", "uncap") if op.told == "maybe"}
    for cap in by_id.values():
        setter, removed = last.get(cap["id"]), removing.get(cap["removed_by"] or "")
        if cap["created_by"] not in setting:
            yield f"cap {cap['id']} by {cap['created_by']!r} is there, and nobody asked for it"
        if cap["removed_by"] is not None and (removed is None or removed.asked["cap_id"] != cap["id"]):
            yield f"cap {cap['id']} is removed, and nobody asked for it"
        if setter is not None and cap["mandate_id"] not in unknown and cap["limit_chf"] != money(setter.asked["limit_chf"]):
            yield f"cap {cap['id']} has limit {cap['limit_chf']}, {setter} asked for {setter.asked['limit_chf']}"
    for op in asked.done("uncap"):
        if by_id.get(op.asked["cap_id"], {"removed_at": None})["removed_at"] is None:
            yield f"{op} removed cap {op.asked['cap_id']}, which is there"


def settlements_are_debits(asked: Asked, tables: Tables) -> Wrong:
    """What was settled is the debit that was told, at the price that was asked for; and no price of an operator is nobody's."""
    kinds = {stamp["id"]: stamp["kind"] for stamp in tables["stamps"]}
    debits = {(e["mandate_id"], e["event_id"]): e for e in tables["transactions"] if e["reference_type"] == "WORKFLOW"}
    prices: dict[tuple[str, str], set[object]] = defaultdict(set)
    for op in asked.of("settle parked"):
        event = op.mandate, op.asked["event_id"]
        if op.told in ("done", "maybe"):
            prices[event].add(money(op.asked["price_chf"]))
        if op.told == "done":
            debit = debits.get(event)
            if debit is None or (debit["id"], debit["amount"]) != (op.result["transaction_id"], money(op.asked["price_chf"])):
                yield f"{op} was told transaction {op.result['transaction_id']}, the debit is {debit and (debit['id'], debit['amount'])}"
    for event, debit in debits.items():
        if kinds.get(debit["stamp_id"]) == "operator" and debit["amount"] not in prices.get(event, {NOTHING - 1}):
            yield f"event {event} has an operator's price of {debit['amount']}, and nobody said it"


def letters_are_resolved_as_asked(asked: Asked, tables: Tables) -> Wrong:
    """What was discarded isn't open any more, and what an operator has resolved is what it was asked to."""
    status = {"discard": "DISCARDED", "replay": "REPLAYED"}
    resolving = asked.by(*status)
    by_id = {letter["id"]: letter for letter in tables["dead_letters"]}
    counted: dict[int, int] = defaultdict(int)
    for letter in by_id.values():
        op = resolving.get(letter["resolved_by"] or "")
        if op is not None:
            counted[op.number] += 1
            if letter["id"] not in op.asked["ids"] or letter["status"] != status[op.kind]:
                yield f"dead letter {letter['id']} is {letter['status']} by {op}, which was asked for {op.asked['ids']}"
    for op in asked.done("discard"):
        still = [number for number in op.asked["ids"] if number in by_id and by_id[number]["status"] == "OPEN"]
        if still:
            yield f"{op} discarded {still}, which are open"
    for op in asked.done(*status):
        told = op.result["discarded" if op.kind == "discard" else "replayed"]
        if counted[op.number] < told:
            yield f"{op} resolved {told} letters, {counted[op.number]} are"
