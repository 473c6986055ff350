"""Judges of the rules that an operator has changed: settings and their versions, zones and days, limits, accounts, the directory."""

from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from lab.oracle.torture_operator_asked import Asked, Op, Row, Tables, Wrong, money
from lab.oracle.torture_operator_money import by_mandate

FIELDS = (
    "billing_model",
    "default_user_credit",
    "warning_threshold_percent",
    "block_on_zero_balance",
    "notify_on_warning",
    "time_zone",
)
CHANGING = ("settings", "settings wrong", "zone", "switch", "switch unseen")


def versions_are_changes(asked: Asked, tables: Tables) -> Wrong:
    """Versions are 1, 2, 3 …; each after the first is one change that was asked for, and nothing else; the last one is what is."""
    by = asked.by(*CHANGING)
    present = {row["mandate_id"]: row for row in tables["billing_settings"]}
    made: set[str] = set()
    history = by_mandate(tables["billing_settings_history"])
    for mandate, versions in history.items():
        if [row["version"] for row in versions] != list(range(1, len(versions) + 1)):
            yield f"mandate {mandate} has settings versions {[row['version'] for row in versions]}"
        now = present.get(mandate)
        if now is None or any(now[name] != versions[-1][name] for name in (*FIELDS, "version")):
            yield f"the settings of mandate {mandate} aren't its version {versions[-1]['version']}"
        last = 0
        for old, new in pairwise(versions):
            op = by.get(new["changed_by"])
            if op is None or op.mandate != mandate or new["changed_by"] in made:
                yield f"version {new['version']} of mandate {mandate} by {new['changed_by']!r}: nobody asked for it, or it was made before"
                continue
            made.add(new["changed_by"])
            if op.told == "refused" or op.number < last:
                yield f"version {new['version']} of mandate {mandate} is of {op}, which was {op.told} after operation {last}"
            last = op.number
            expected = {**{name: old[name] for name in FIELDS}, **_changes(op, old)}
            if any(new[name] != value for name, value in expected.items()):
                yield f"version {new['version']} of mandate {mandate} isn't what {op} asked for: {expected}"
    for mandate in present.keys() - history.keys():
        yield f"mandate {mandate} has settings, and no history"
    for op in asked.done("settings", "zone"):
        yield from _is_there(op, history.get(op.mandate, []))


def _changes(op: Op, old: Row) -> dict[str, Any]:
    asked = op.asked["changes"] if "changes" in op.asked else {"billing_model": op.asked["billing_model"]}
    return {name: money(value) if isinstance(old[name], Decimal) else value for name, value in asked.items()}


def _is_there(op: Op, versions: list[Row]) -> Wrong:
    """What was done is so in the version that was told."""
    told = op.result["version"]
    row = next((row for row in versions if row["version"] == told), None)
    if row is None or any(row[name] != value for name, value in _changes(op, row).items()):
        yield f"{op} was told version {told} of mandate {op.mandate}, which isn't what was asked for"


def days_are_those_of_the_zone(tables: Tables) -> Wrong:
    """The local day of an entry is that of its time in the zone of its settings version; an amendment keeps the day of what it replaces."""
    zones = {(row["mandate_id"], row["version"]): ZoneInfo(row["time_zone"]) for row in tables["billing_settings_history"]}
    for entry in tables["transactions"]:
        zone = zones.get((entry["mandate_id"], entry["settings_version"]))
        if zone is None:
            yield f"transaction {entry['id']} has settings version {entry['settings_version']}, which isn't there"
        elif entry["transaction_type"] == "DEBIT" and entry["reference_type"] == "AMENDMENT":
            continue
        elif entry["local_date"] != entry["occurred_at"].astimezone(zone).date():
            yield f"transaction {entry['id']} of {entry['occurred_at']} is of {entry['local_date']}, in {zone} it isn't"


def versions_are_of_their_time(tables: Tables) -> Wrong:
    """An entry carries the version that held when it was written: ids drawn before a version are of those before it."""
    bounds: dict[tuple[str, int], tuple[int, int | None]] = {}
    for mandate, versions in by_mandate(tables["billing_settings_history"]).items():
        ends = [*[row["after_transaction_id"] for row in versions[1:]], None]
        bounds |= {(mandate, row["version"]): (row["after_transaction_id"], end) for row, end in zip(versions, ends, strict=True)}
    for entry in tables["transactions"]:
        first, end = bounds.get((entry["mandate_id"], entry["settings_version"]), (0, None))
        if entry["id"] <= first or (end is not None and entry["id"] > end):
            yield f"transaction {entry['id']} carries settings version {entry['settings_version']}, which held from {first} to {end}"


def payers_are_those_of_the_model(tables: Tables) -> Wrong:
    """Usage is paid by the user, by the pool or by nobody, as the model of its settings version says."""
    models = {(row["mandate_id"], row["version"]): row["billing_model"] for row in tables["billing_settings_history"]}
    pools = {account["mandate_id"]: account["id"] for account in tables["accounts"] if account["user_id"] is None}
    for entry in tables["transactions"]:
        if entry["reference_type"] != "WORKFLOW":
            continue
        model = models.get((entry["mandate_id"], entry["settings_version"]))
        payer = {"UNLIMITED": None, "PREPAY_USER": entry["account_id"]}.get(str(model), pools.get(entry["mandate_id"]))
        if entry["balance_account_id"] != payer:
            yield f"usage {entry['id']} under {model} was paid by account {entry['balance_account_id']}, not {payer}"


def accounts_are_as_they_were_set(asked: Asked, tables: Tables) -> Wrong:
    """The limit of an account, and whether it is enabled, is what was last asked for, or what it began with."""
    limits: dict[int, Any] = {op.asked["account_id"]: op for op in asked.done("credit limit")}
    enabled: dict[int, Any] = {op.asked["account_id"]: op for op in asked.done("enable")}
    unknown = {op.asked["account_id"] for op in asked.of("credit limit", "enable") if op.told == "maybe"}
    for account in tables["accounts"]:
        if account["id"] in unknown:
            continue
        limit, able = limits.get(account["id"]), enabled.get(account["id"])
        if account["credit_limit"] != (None if limit is None else money(limit.asked["credit_limit"])):
            yield f"account {account['id']} has limit {account['credit_limit']}: {limit} asked for {limit and limit.asked['credit_limit']}"
        if account["enabled"] != (True if able is None else able.asked["enabled"]):
            yield f"account {account['id']} is {'' if account['enabled'] else 'not '}enabled: {able}"


def directory_is_what_was_imported(asked: Asked, tables: Tables) -> Wrong:
    """Every mandate and member that was brought in is known, and nobody else."""
    mandates = {row["id"] for row in tables["directory_mandates"]}
    members = {(row["mandate_id"], row["user_id"]) for row in tables["directory_memberships"]}
    may: tuple[set[str], set[tuple[str, str]]] = set(), set()
    for op in asked.of("directory", "late"):
        named = set(op.asked["zones"])
        pairs = {(mandate, user) for mandate, users in op.asked["mandates"].items() for user in users}
        may[0].update(named)
        may[1].update(pairs)
        if op.told == "done" and not (named <= mandates and pairs <= members):
            yield f"{op} is done, and {sorted(named - mandates)} {sorted(pairs - members)} aren't known"
    for extra in sorted(map(str, (mandates - may[0]) | (members - may[1]))):
        yield f"{extra} is in the directory, and nobody brought it in"
