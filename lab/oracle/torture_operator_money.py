"""Judges of money that an operator has moved: once, as it was answered, and nothing that nobody asked for. Amounts are francs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal

from lab.oracle.entries import NOTHING, shares
from lab.oracle.torture_operator_asked import Asked, Op, Row, Tables, Wrong, money, signed

KINDS = {
    "top_up": "PAYMENT",
    "top_up of nobody": "PAYMENT",
    "adjust": "ADJUSTMENT",
    "refund": "REFUND",
    "refund in part": "REFUND",
    "refund above": "REFUND",
}
POOLED = ("PREPAY_MANDATE", "CREDIT_POSTPAY")
Keyed = tuple[str, str, str]  # mandate, key, reference type


def movements_are_done_once(asked: Asked, tables: Tables) -> Wrong:
    """What is done is one entry, as it was asked for and answered; what was refused is none, and what nobody knows at most one."""
    found: dict[Keyed, list[Row]] = defaultdict(list)
    for entry in tables["transactions"]:
        if entry["reference_type"] in ("PAYMENT", "ADJUSTMENT", "REFUND"):
            found[entry["mandate_id"], entry["operation_key"], entry["reference_type"]].append(entry)
    known: set[Keyed] = set()
    for op in asked.of(*KINDS):
        key = op.mandate, op.asked["key"], KINDS[op.kind]
        known.add(key)
        entries = found.get(key, [])
        if op.told == "done" and len(entries) == 1:
            yield from _as_answered(op, entries[0])
        elif op.told == "done" or len(entries) > (op.told == "maybe"):
            yield f"{op} is {op.told}, and {len(entries)} entries are in the books under {key[1]}"
    for key in found.keys() - known:
        yield f"{key[2]} {key[1]} of mandate {key[0]} is in the books, and nobody asked for it"


def _as_answered(op: Op, entry: Row) -> Wrong:
    told = op.result
    for name in ("account_id", "balance_account_id"):
        if entry[name] != told[name]:
            yield f"{op} was told {name} {told[name]}, the books have {entry[name]}"
    if entry["id"] != told["transaction_id"] or entry["amount"] != money(told["amount"]):
        yield f"{op} was told transaction {told['transaction_id']} of {told['amount']}, the books have {entry['id']} of {entry['amount']}"
    wanted = money(op.asked.get("amount"))
    if wanted is not None and wanted not in (entry["amount"], -entry["amount"] if entry["reference_type"] == "REFUND" else None):
        yield f"{op} asked for {wanted}, the books have {entry['amount']}"
    if entry["reference_type"] == "REFUND" and entry["reverses_id"] != op.asked["transaction_id"]:
        yield f"{op} is of transaction {op.asked['transaction_id']}, the books refund {entry['reverses_id']}"
    if entry["reference_type"] != "REFUND" and entry["account_id"] != op.asked["account_id"]:
        yield f"{op} is about account {op.asked['account_id']}, the books have {entry['account_id']}"


def refunds_are_within(tables: Tables) -> Wrong:
    """What is given back of an entry is never above it, on its accounts, and never of what was amended."""
    by_id = {entry["id"]: entry for entry in tables["transactions"]}
    amended = {row["reversed_id"] for row in tables["amendments"]}
    sums: dict[int, Decimal] = defaultdict(Decimal)
    for back in (entry for entry in by_id.values() if entry["reference_type"] == "REFUND"):
        of = by_id.get(back["reverses_id"])
        if of is None or of["mandate_id"] != back["mandate_id"]:
            yield f"refund {back['id']} is of transaction {back['reverses_id']}, which isn't the mandate's"
            continue
        sums[of["id"]] += abs(back["amount"])
        if (back["account_id"], back["balance_account_id"]) != (of["account_id"], of["balance_account_id"]):
            yield f"refund {back['id']} is on other accounts than transaction {of['id']}"
        if (back["amount"] > 0) != (signed(of) < 0):
            yield f"refund {back['id']} of {back['amount']} has the sign of transaction {of['id']}"
        if of["id"] in amended:
            yield f"transaction {of['id']} is refunded, and was amended"
    for of_id, total in sums.items():
        if total > abs(by_id[of_id]["amount"]):
            yield f"{total} is refunded of transaction {of_id} of {by_id[of_id]['amount']}"


def grants_are_made_once(tables: Tables) -> Wrong:
    """At most one for each account, of a user, of the credit that its settings version tells."""
    history = {(row["mandate_id"], row["version"]): row for row in tables["billing_settings_history"]}
    granted: set[int] = set()
    for entry in tables["transactions"]:
        if entry["reference_type"] != "SYSTEM":
            continue
        if entry["account_id"] in granted:
            yield f"account {entry['account_id']} has more than one grant"
        granted.add(entry["account_id"])
        told = history.get((entry["mandate_id"], entry["settings_version"]))
        if told is None or told["default_user_credit"] != entry["amount"] or entry["transaction_type"] != "CREDIT":
            yield f"grant {entry['id']} is of {entry['amount']}, its settings version says {told and told['default_user_credit']}"


def switches_move_what_is_there(asked: Asked, tables: Tables) -> Wrong:
    """The legs of a switch are what the entries before it and the accounts of its moment come to; and they sum to zero."""
    switching = asked.by("switch", "switch unseen")
    legs: dict[tuple[str, int], list[Row]] = defaultdict(list)
    moved: dict[tuple[str, int], dict[int, Decimal]] = defaultdict(lambda: defaultdict(Decimal))  # under a version of settings, by account
    accounts: dict[str, list[Row]] = defaultdict(list)
    for account in sorted(tables["accounts"], key=lambda row: row["id"]):
        accounts[account["mandate_id"]].append(account)
    for entry in tables["transactions"]:
        if entry["balance_account_id"] is not None:
            moved[entry["mandate_id"], entry["settings_version"]][entry["balance_account_id"]] += signed(entry)
        if entry["reference_type"] == "SWITCH":
            legs[entry["mandate_id"], entry["settings_version"]].append(entry)
    for mandate, versions in by_mandate(tables["billing_settings_history"]).items():
        balances: dict[int, Decimal] = defaultdict(Decimal)
        for place, new in enumerate(versions[1:], 1):
            for account_id, amount in moved[mandate, new["version"] - 1].items():
                balances[account_id] += amount
            op = switching.get(new["changed_by"])
            if op is not None:
                present = _present(asked, op, accounts[mandate], new)
                expected = _legs([row["billing_model"] for row in versions[:place]], op.asked["billing_model"], balances, present)
                yield from _as_expected(op, legs.pop((mandate, new["version"]), []), expected, new)
    for (mandate, version), own in legs.items():
        yield f"mandate {mandate} has {len(own)} legs of a switch under version {version}, and nobody switched"


def _present(asked: Asked, op: Op, accounts: Iterable[Row], new: Row) -> dict[int, tuple[str | None, bool]]:
    """The accounts at the moment of a switch: whose, and whether enabled."""
    enabled: dict[int, bool] = {}
    for other in asked.done("enable"):
        if other.number < op.number:
            enabled[other.asked["account_id"]] = other.asked["enabled"]
    return {
        account["id"]: (account["user_id"], enabled.get(account["id"], True))
        for account in accounts
        if account["opened_version"] < new["version"] or (account["opened_version"] == new["version"] and account["opened_at"] == new["changed_at"])
    }


def _legs(models: list[str], new: str, before: Mapping[int, Decimal], present: dict[int, tuple[str | None, bool]]) -> dict[int, Decimal]:
    """What each balance gets, where it gets something."""
    paid = [model for model in models if model != "UNLIMITED"]
    source = paid[-1] if paid else ("PREPAY_USER" if new in POOLED else "PREPAY_MANDATE")
    pool = next((one for one, (user, _) in present.items() if user is None), None)
    users = [one for one, (user, _) in present.items() if user is not None]
    if new == models[-1] or new == "UNLIMITED" or (source in POOLED) == (new in POOLED):
        return {}
    if new in POOLED:
        gathered = {user: -before[user] for user in users if before[user]}
        total = -sum(gathered.values(), NOTHING)
        return {**gathered, **({pool: total} if total and pool is not None else {})}
    receivers = [user for user in users if present[user][1]]
    if pool is None or before[pool] <= 0 or not receivers:
        return {}
    parts = zip(receivers, shares(before[pool], len(receivers)), strict=True)
    return {**{user: part for user, part in parts if part}, pool: -before[pool]}


def _as_expected(op: Op, legs: list[Row], expected: dict[int, Decimal], new: Row) -> Wrong:
    found = {leg["balance_account_id"]: leg["amount"] for leg in legs}
    if total := sum(map(signed, legs), NOTHING):
        yield f"the legs of {op} come to {total}"
    if found != expected or len(found) != len(legs):
        yield f"the legs of {op} are {found}, not {expected}"
    if op.told == "done" and (op.result["leg_count"], op.result["settings_version"]) != (len(expected), new["version"]):
        yield f"{op} was told {op.result['leg_count']} legs of version {op.result['settings_version']}, they are {len(expected)} of {new['version']}"


def amendments_replace(asked: Asked, tables: Tables) -> Wrong:
    """Each takes back what stood for its event and puts a debit in its place, on the same accounts and day; each was asked for."""
    by_id = {entry["id"]: entry for entry in tables["transactions"]}
    keys = {("amend_prices", op.mandate, op.asked["key"]): op for op in asked.of("amend")}
    keys |= {("rerate", op.mandate, op.asked["key"]): op for op in asked.of("rerate")}
    rerated = {op.asked["key"]: op.mandate for op in asked.of("rerate")}
    keys |= {("revert_rerate", rerated[op.asked["key"]], op.asked["key"]): op for op in asked.of("revert")}
    named: set[int] = set()
    stands = {(e["mandate_id"], e["event_id"]): e["id"] for e in by_id.values() if e["reference_type"] == "WORKFLOW"}
    last: dict[tuple[str, str], int] = defaultdict(int)
    for row in sorted(tables["amendments"], key=lambda one: (one["mandate_id"], one["event_id"], one["number"])):
        event, what = (row["mandate_id"], row["event_id"]), f"amendment {row['number']} of {row['mandate_id']} {row['event_id']}"
        if (row["operation"], row["mandate_id"], row["idempotency_key"]) not in keys:
            yield f"{what} ({row['operation']} {row['idempotency_key']}): nobody asked for it"
        if row["number"] != last[event] + 1 or row["reversed_id"] != stands.get(event):
            yield f"{what} takes {row['reversed_id']} back, and what stands is {stands.get(event)}"
        last[event], stands[event] = row["number"], row["debit_id"]
        named |= {row["reversal_id"], row["debit_id"]}
        old, back, debit = (by_id.get(row[name]) for name in ("reversed_id", "reversal_id", "debit_id"))
        if old is None or back is None or debit is None:
            yield f"{what} names entries that aren't there"
            continue
        if back["amount"] != old["amount"] or back["reverses_id"] != old["id"]:
            yield f"{what} takes {back['amount']} of {old['amount']} back"
        if len({(one["account_id"], one["balance_account_id"]) for one in (old, back, debit)}) > 1 or debit["local_date"] != old["local_date"]:
            yield f"{what} is on other accounts, or another day, than what it takes the place of"
    for entry in by_id.values():
        if entry["reference_type"] == "AMENDMENT" and entry["id"] not in named:
            yield f"transaction {entry['id']} of an amendment is of none"


def amended_prices_are_those_asked_for(asked: Asked, tables: Tables) -> Wrong:
    """What is done under a key is each event at its new price once, or it cost that much already; what was refused is nothing."""
    by_id = {entry["id"]: entry for entry in tables["transactions"]}
    rows: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in tables["amendments"]:
        if row["operation"] == "amend_prices":
            rows[row["mandate_id"], row["idempotency_key"]].append(row)
    for op in asked.of("amend"):
        prices = {one["event_id"]: money(one["price_chf"]) for one in op.asked["prices"]}
        found = rows[op.mandate, op.asked["key"]]
        for row in found:
            if by_id[row["debit_id"]]["amount"] != prices.get(row["event_id"]):
                yield f"{op} asked for {prices.get(row['event_id'])} of {row['event_id']}, its debit is {by_id[row['debit_id']]['amount']}"
        if op.told == "done" and (len(found), len(prices)) != (op.result["amended"], op.result["amended"] + op.result["unchanged"]):
            yield f"{op} of {len(prices)} events has {len(found)} amendments, told {op.result}"
        if op.told == "refused" and found:
            yield f"{op} was refused, and has {len(found)} amendments"


def by_mandate(history: Iterable[Row]) -> dict[str, list[Row]]:
    """The versions of each mandate's settings, in their order."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(history, key=lambda one: (one["mandate_id"], one["version"])):
        found[row["mandate_id"]].append(row)
    return found
