"""What must be true of books with holds after a fire: judged from their rows, and from the journals that the processes wrote.

A process writes what it asks before it asks, and what it was told after that; what nobody was told may have happened or not.
Rows are dictionaries by the names of their columns, amounts francs. Each function yields what is wrong, in words.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from lab.oracle.caps import EVERYBODY, first_day
from lab.oracle.entries import NOTHING

Row = Mapping[str, Any]
Wrong = Iterator[str]


def remaining(hold: Row) -> Decimal:
    """What a hold still keeps."""
    left: Decimal = hold["amount"] - hold["captured"] - hold["released"] - hold["expired"]
    return left


def held_is_what_holds_keep(accounts: Iterable[Row], holds: Iterable[Row]) -> Wrong:
    """H1: what is held of an account is what its unsettled holds keep, and not less than nothing."""
    kept: dict[int, Decimal] = defaultdict(Decimal)
    for hold in holds:
        if hold["state"] == "OPEN" and hold["balance_account_id"] is not None:
            kept[hold["balance_account_id"]] += remaining(hold)
    for account in accounts:
        if account["held"] != kept[account["id"]] or account["held"] < 0:
            yield f"H1: {account['held']} is held of account {account['id']}, its holds keep {kept[account['id']]}"


def nothing_was_over_granted(commits: Iterable[Row]) -> Wrong:
    """H2: when a hold was committed something was available, where the account blocks; without what the clock had ended by then."""
    for commit in commits:
        kept = commit["held"] - commit["over"]
        if commit["billing_model"] == "CREDIT_POSTPAY":
            limit = commit["credit_limit"]
            available = None if limit is None else limit - max(NOTHING, -commit["balance"]) - kept
        else:
            available = commit["balance"] - kept if commit["block_on_zero_balance"] else None
        if available is not None and available < 0:
            yield f"H2: {available} was available once hold {commit['hold_key']} of {commit['amount']} was committed"


def each_is_settled_once(holds: Iterable[Row], settlements: Iterable[Row]) -> Wrong:
    """H3: a hold that is settled was settled in one transaction, and stands as it was settled then; an open one in none."""
    times = Counter((row["mandate_id"], row["hold_key"]) for row in settlements)
    said = {(row["mandate_id"], row["hold_key"]): row for row in settlements}
    for hold in holds:
        key = hold["mandate_id"], hold["hold_key"]
        if times[key] != (hold["state"] != "OPEN"):
            yield f"H3: hold {key} is {hold['state']}, and was settled {times[key]} times"
        elif times[key] and any(hold[name] != said[key][name] for name in ("state", "captured", "released", "expired")):
            yield f"H3: hold {key} was settled as {said[key]}, and is {hold}"


def nothing_is_lost(holds: Iterable[Row], entries: Iterable[Row]) -> Wrong:
    """H4: what was authorised was captured, released, expired or is open; what its events took is what its user's debits say."""
    parts_of = {"OPEN": {"captured"}, "CAPTURED": {"captured", "released"}, "RELEASED": {"captured", "released"}, "EXPIRED": {"captured", "expired"}}
    used: dict[tuple[str, str, str], list[Decimal]] = defaultdict(list)
    for entry in entries:
        if entry["hold_key"] is not None and entry["reference_type"] == "WORKFLOW":
            used[entry["mandate_id"], entry["hold_key"], entry["user_id"]].append(entry["amount"])
    for hold in holds:
        left, state = remaining(hold), hold["state"]
        if left < 0 or (state != "OPEN" and left) or any(hold[p] and p not in parts_of[state] for p in ("captured", "released", "expired")):
            yield f"H4: {hold}"
        if hold["captured"] + hold["over_hold"] > hold["used"] or (hold["over_hold"] and hold["captured"] != hold["amount"]):
            yield f"H4: of hold {hold['hold_key']} {hold['captured']} is captured, {hold['used']} was used, {hold['over_hold']} of it beyond"
        own = used[hold["mandate_id"], hold["hold_key"], hold["user_id"]]
        if (len(own), sum(own, NOTHING)) != (hold["use_count"], hold["used"]):
            yield f"H4: hold {hold['hold_key']} has {hold['use_count']} uses of {hold['used']}, its debits are {own}"


def nothing_outlives_its_end(holds: Iterable[Row], parked: Iterable[Row], now: datetime) -> Wrong:
    """H5: after a sweep nothing is unsettled that has ended, but for what is parked and came in time."""
    first: dict[tuple[str, str], datetime] = {}  # when what is parked and names a hold came
    for row in parked:
        if row["hold_key"] is not None:
            key = row["mandate_id"], row["hold_key"]
            first[key] = min(row["received_at"], first.get(key, row["received_at"]))
    for hold in holds:
        kept = first.get((hold["mandate_id"], hold["hold_key"]), hold["expires_at"]) < hold["expires_at"]
        if hold["state"] == "OPEN" and hold["expires_at"] <= now and not kept:
            yield f"H5: hold {hold['hold_key']} is open, and ended at {hold['expires_at']}"


def signed(entry: Row) -> Decimal:
    """What an entry adds to a balance."""
    amount: Decimal = entry["amount"]
    return -amount if entry["transaction_type"] == "DEBIT" else amount


def balances_are_their_entries(accounts: Iterable[Row], entries: Iterable[Row]) -> Wrong:
    """H6: a balance is what its entries come to, whatever is held of it."""
    sums: dict[int, Decimal] = defaultdict(Decimal)
    for entry in entries:
        if entry["balance_account_id"] is not None:
            sums[entry["balance_account_id"]] += signed(entry)
    for account in accounts:
        if account["balance"] != sums[account["id"]]:
            yield f"H6: account {account['id']} has {account['balance']}, its entries come to {sums[account['id']]}"


def counters_are_their_debits(caps: Iterable[Row], counters: Iterable[Row], entries: Iterable[Row], holds: Iterable[Row]) -> Wrong:
    """K1: a counter is what debits took in its window, and what unsettled holds keep that were authorised in it."""
    spent: dict[tuple[int, str, date], Decimal] = defaultdict(Decimal)
    held: dict[tuple[int, str, date], Decimal] = defaultdict(Decimal)
    entries, holds = list(entries), list(holds)
    for cap in caps:
        for entry in entries:
            usage = entry["event_id"] is not None and entry["transaction_type"] == "DEBIT"
            if (usage or entry["reference_type"] == "AMENDMENT") and (window := _window(cap, entry)):
                spent[window] -= signed(entry)
        for hold in holds:
            if hold["state"] == "OPEN" and (window := _window(cap, hold)):
                held[window] += remaining(hold)
    present = {cap["id"] for cap in caps if cap["removed_at"] is None}
    found = {(row["cap_id"], row["user_id"], row["window_start"]): (row["spent"], row["held"]) for row in counters}
    for window in {*spent, *held, *found}:
        expected = spent[window], held[window]
        if window[0] in present and found.get(window, (NOTHING, NOTHING)) != expected:
            yield f"K1: counter {window} is {found.get(window)}, not {expected}"


def _window(cap: Row, what: Row) -> tuple[int, str, date] | None:
    start = first_day(cap["period"], what["local_date"])
    concerns = cap["mandate_id"] == what["mandate_id"] and cap["user_id"] in (EVERYBODY, what["user_id"])
    if not concerns or (cap["dimension"] and what[cap["dimension"]] != cap["value"]) or start < cap["first_day"]:
        return None
    return cap["id"], EVERYBODY if cap["scope"] == "ALL" else what["user_id"], start


def answers_are_true(journal: Iterable[Row], holds: Iterable[Row], entries: Iterable[Row]) -> Wrong:
    """What a process was told is so: each grant is a hold, each refusal none, each recorded event one debit; no grant is of nobody's asking."""
    rows = {hold["hold_key"]: hold for hold in holds}
    debits = Counter(entry["event_id"] for entry in entries if entry["event_id"] is not None and entry["reference_type"] == "WORKFLOW")
    asked: dict[str, list[Row]] = defaultdict(list)
    for line in journal:
        if line["what"] in ("authorise", "release", "renew", "use"):
            asked[f"event {line['key']}" if line["what"] == "use" else line["key"]].append(line)
    for key, lines in asked.items():
        yield from _event_is_true(key, lines, debits) if key.startswith("event ") else _hold_is_true(key, lines, rows.get(key))
    for key, hold in rows.items():
        if hold["content_hash"] is not None and not any(line["what"] == "authorise" for line in asked[key]):
            yield f"hold {key} was never asked for"


def _event_is_true(key: str, lines: list[Row], debits: Counter[str]) -> Wrong:
    told = Counter(line["told"] for line in lines)
    n = debits[key.removeprefix("event ")]
    if told["recorded"] > 1 or n > 1:
        yield f"{key}: recorded {told['recorded']} times, {n} debits"
    if (told["recorded"] or told["duplicate"]) and n != 1:
        yield f"{key}: {dict(told)}, but {n} debits"
    if told.keys() - {"recorded", "duplicate", None}:
        yield f"{key}: {dict(told)}, but usage that happened is recorded"
    if told["duplicate"] and not (told["recorded"] or told[None]):
        yield f"{key}: a duplicate of what nobody recorded"


def _hold_is_true(key: str, lines: list[Row], hold: Row | None) -> Wrong:
    told = Counter((line["what"], line["told"]) for line in lines)
    granted = told["authorise", "allowed"]
    if granted and hold is None:
        yield f"hold {key} was granted, and isn't there"
    if hold is not None and hold["content_hash"] is not None and not (granted or told["authorise", None]):
        yield f"hold {key} is there, and was told of to nobody: {dict(told)}"
    if hold is None and (told["release", "RELEASED"] or told["renew", "OPEN"]):
        yield f"hold {key} was released or renewed, and isn't there"
    if told["release", "RELEASED"] and hold is not None and hold["state"] != "RELEASED":
        yield f"hold {key} was released, and is {hold['state']}"
    if hold is not None and hold["state"] == "RELEASED" and not (told["release", "RELEASED"] or told["release", None]):
        yield f"hold {key} is released, and nobody did it"
