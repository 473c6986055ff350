"""Judges of re-ratings: what they have changed, what they have left, and what their reverts have given back. Amounts are francs."""

from collections import defaultdict
from collections.abc import Iterator

from lab.oracle.torture_operator_asked import Asked, Op, Row, Tables, Wrong
from lab.oracle.torture_operator_prices import Rating, computed_price

LOOKED_AT = 300  # events that a re-rating has left, of each


def ratings_are_computed_again(asked: Asked, tables: Tables) -> Wrong:
    """A re-rating gives what its version says, as many times as it told; and its revert gives back what stood before it."""
    by_id = {entry["id"]: entry for entry in tables["transactions"]}
    rating, asking = Rating(asked, tables), {op.asked["key"]: op for op in asked.of("rerate")}
    replaced: dict[tuple[str, str, str], Row] = {}
    counted: dict[str, int] = defaultdict(int)
    for row in tables["amendments"]:
        key, op = row["idempotency_key"], asking.get(row["idempotency_key"])
        if row["operation"] != "rerate" or op is None:
            continue
        debit, old = by_id[row["debit_id"]], by_id[row["reversed_id"]]
        replaced[row["mandate_id"], row["event_id"], key] = old
        counted[key] += 1
        within = op.asked["first"] <= str(old["local_date"]) <= op.asked["last"] and op.asked["model"] in (None, old["model"])
        if not within or row["mandate_id"] != op.mandate:
            yield f"{op} re-rated {row['event_id']} of {old['model']}, {old['local_date']}, of {row['mandate_id']}"
        if rating.stamps[debit["stamp_id"]]["version_id"] != op.asked["version"]:
            yield f"transaction {debit['id']} of {op} is stamped with version {rating.stamps[debit['stamp_id']]['version_id']}"
        yield from rating.again(debit, old, op.asked["version"])
    for op in asked.done("rerate"):
        told = sum(delta["events"] for delta in op.result["deltas"])
        if counted[op.asked["key"]] != told:
            yield f"{op} was told {told} events, {counted[op.asked['key']]} are amended"
    for row in tables["amendments"]:
        if row["operation"] == "revert_rerate":
            before = replaced.get((row["mandate_id"], row["event_id"], row["idempotency_key"]))
            debit = by_id[row["debit_id"]]
            if before is None or any(debit[name] != before[name] for name in ("amount", "price_computed", "provider_cost", "stamp_id", "leaves")):
                yield f"transaction {debit['id']} reverts {row['idempotency_key']} to {debit['amount']}, before was {before and before['amount']}"


def nothing_was_left_out(asked: Asked, tables: Tables) -> Wrong:
    """What a re-rating has left was right by its version already, or can't be rated by it: of as many as there is time for."""
    rating, by_id = Rating(asked, tables), {entry["id"]: entry for entry in tables["transactions"]}
    changes: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in sorted(tables["amendments"], key=lambda one: int(one["number"])):
        changes[row["mandate_id"], row["event_id"]].append(row)
    refunded = {entry["reverses_id"] for entry in by_id.values() if entry["reference_type"] == "REFUND"}
    usage: dict[str, list[Row]] = defaultdict(list)
    for entry in by_id.values():
        if entry["reference_type"] == "WORKFLOW" and entry["usage_dialect"] is not None:
            usage[entry["mandate_id"]].append(entry)
    for op in asked.done("rerate"):
        meant = [entry for entry in usage[op.mandate] if _means(op, entry)]
        for entry in meant[:: 1 + len(meant) // LOOKED_AT]:
            own = changes[entry["mandate_id"], entry["event_id"]]
            for old in _left(op, entry, own, by_id):
                if old["id"] in refunded or rating.stamps[old["stamp_id"]]["kind"] != "rated":
                    continue
                found = rating.by_version(old, op.asked["version"])
                if not isinstance(found, str) and (computed_price(old), old["provider_cost"], old["provider_currency"]) != found:
                    yield f"{op} left {old['event_id']} at {computed_price(old)}, {old['provider_cost']}, which is {found}"


def _means(op: Op, entry: Row) -> bool:
    """Whether usage is of the days and the model of a re-rating, and was recorded before it."""
    days = op.asked["first"] <= str(entry["local_date"]) <= op.asked["last"]
    return days and op.asked["model"] in (None, entry["model"]) and entry["recorded_at"].timestamp() < op.at


def _left(op: Op, usage: Row, changes: list[Row], by_id: dict[int, Row]) -> Iterator[Row]:
    """What stood for an event during all of a re-rating that did nothing to it."""
    if any((row["operation"], row["idempotency_key"]) == ("rerate", op.asked["key"]) for row in changes):
        return
    debits = [usage, *(by_id[row["debit_id"]] for row in changes)]
    times = [debit["recorded_at"].timestamp() for debit in debits]
    if not any(op.at <= time <= op.until for time in times):
        before = [debit for debit, time in zip(debits, times, strict=True) if time < op.at]
        yield before[-1]
