"""Tampering with rules: settings, days, accounts, prices, holds, caps, and what was parked or refused."""

from datetime import timedelta
from decimal import Decimal

from tests.torture.conftest import Run
from tests.torture.tampering import UNIT, Row, drop, entry, first, intent, of_operation, tells


@tells("has settings versions [1")
def _version_left_out(run: Run) -> None:
    drop(run.tables["billing_settings_history"], first(run.tables["billing_settings_history"], version=2))


@tells("by 'me': nobody asked for it")
def _version_of_nobody(run: Run) -> None:
    first(run.tables["billing_settings_history"], version=2)["changed_by"] = "me"


@tells("isn't what operation")
def _version_that_changes_more(run: Run) -> None:
    row = first(run.tables["billing_settings_history"], version=2)
    row["default_user_credit"] += UNIT


@tells("aren't its version")
def _settings_beside_their_history(run: Run) -> None:
    first(run.tables["billing_settings"])["time_zone"] = "Europe/Paris"


@tells("it isn't")
def _day_of_another_zone(run: Run) -> None:
    entry(run, reference_type="WORKFLOW")["local_date"] += timedelta(days=1)


@tells("which held from")
def _entry_of_an_older_version(run: Run) -> None:
    usage = [one for one in run.tables["transactions"] if one["reference_type"] == "WORKFLOW" and one["settings_version"] > 1]
    usage[-1]["settings_version"] -= 1


@tells("was paid by account")
def _usage_paid_by_somebody_else(run: Run) -> None:
    entry(run, reference_type="WORKFLOW", balance_account_id=...)["balance_account_id"] += 1


@tells("has limit")
def _another_limit(run: Run) -> None:
    first(run.tables["accounts"], credit_limit=...)["credit_limit"] += UNIT


@tells("not enabled")
def _account_that_nobody_disabled(run: Run) -> None:
    line, _ = intent(run, "enable")
    account = first([one for one in run.tables["accounts"] if one["id"] != line["asked"]["account_id"]])
    account["enabled"] = not account["enabled"]


@tells("aren't known")
def _mandate_that_is_forgotten(run: Run) -> None:
    line, _ = intent(run, "late")
    drop(run.tables["directory_mandates"], first(run.tables["directory_mandates"], id=next(iter(line["asked"]["zones"]))))


@tells("('m-user-1', 'mallory') is in the directory")
def _member_of_nobody(run: Run) -> None:
    run.tables["directory_memberships"].append({"mandate_id": "m-user-1", "user_id": "mallory"})


@tells("price_versions has 1 of 'mallory': nobody asked for it")
def _price_version_of_nobody(run: Run) -> None:
    run.tables["price_versions"].append({"id": 10**6, "accepted_by": "mallory"})


@tells("which isn't in sale_rules")
def _rule_that_is_lost(run: Run) -> None:
    _, answer = intent(run, "rule")
    drop(run.tables["sale_rules"], first(run.tables["sale_rules"], id=answer["result"]["id"]))


def computed(run: Run) -> Row:
    """A debit of usage whose price was computed."""
    rated = {stamp["id"] for stamp in run.tables["stamps"] if stamp["kind"] == "rated"}
    return next(
        one
        for one in run.tables["transactions"]
        if one["reference_type"] == "WORKFLOW" and one["stamp_id"] in rated and one["price_computed"] is None and one["provider_cost"]
    )


@tells("is billed ('rated'")
def _computed_price_off_by_a_unit(run: Run) -> None:
    computed(run)["amount"] += UNIT


@tells("is billed ('rated'")
def _provider_cost_off_by_a_unit(run: Run) -> None:
    computed(run)["provider_cost"] += Decimal(10) ** -18


@tells("'web_search': 1")
def _leaf_that_was_not_used(run: Run) -> None:
    computed(run)["leaves"] += ",web_search=1"


@tells("is billed ('given'")
def _given_price_where_it_is_computed(run: Run) -> None:
    row = computed(run)
    row |= {"stamp_id": first(run.tables["stamps"], kind="given")["id"], "price_given": row["amount"], "provider_cost": None}


@tells("is billed ('rated'")
def _shadow_that_bills_what_is_computed(run: Run) -> None:
    row = entry(run, reference_type="WORKFLOW", price_computed=...)
    row["amount"] = row["price_computed"]


@tells("is re-rated to")
def _rerated_to_another_price(run: Run) -> None:
    row = entry(run, id=first(run.tables["amendments"], operation="rerate")["debit_id"])
    row["price_computed" if row["price_computed"] is not None else "amount"] += UNIT


@tells("is stamped with version")
def _rerated_by_another_version(run: Run) -> None:
    stamp = entry(run, id=first(run.tables["amendments"], operation="rerate")["debit_id"])["stamp_id"]
    first(run.tables["stamps"], id=stamp)["version_id"] += 1


@tells("(rerate) left")
def _rerating_that_left_an_event(run: Run) -> None:
    row = first(run.tables["amendments"], operation="rerate", number=1)
    for one in [one for one in run.tables["amendments"] if (one["mandate_id"], one["event_id"]) == (row["mandate_id"], row["event_id"])]:
        drop(run.tables["amendments"], one)
        for written in ("reversal_id", "debit_id"):
            drop(run.tables["transactions"], entry(run, id=one[written]))


@tells("reverts op-")
def _reverted_to_another_stamp(run: Run) -> None:
    entry(run, id=first(run.tables["amendments"], operation="revert_rerate")["debit_id"])["stamp_id"] -= 1


@tells("which isn't there")
def _hold_that_is_lost(run: Run) -> None:
    _, answer = intent(run, "authorise")
    drop(run.tables["holds"], first(run.tables["holds"], hold_key=answer["result"]["key"]))


@tells("'mine') is there, and nobody asked for it")
def _hold_of_nobody(run: Run) -> None:
    run.tables["holds"].append({**first(run.tables["holds"], content_hash=...), "hold_key": "mine"})


@tells("asked or told was")
def _hold_of_another_amount(run: Run) -> None:
    first(run.tables["holds"], content_hash=...)["amount"] += UNIT


@tells("is released, and nobody did it")
def _released_by_nobody(run: Run) -> None:
    _, answer = intent(run, "release")
    answer["result"]["state"] = "CAPTURED"


@tells("was released, and is EXPIRED")
def _released_and_open(run: Run) -> None:
    first(run.tables["holds"], state="RELEASED")["state"] = "EXPIRED"


@tells("H1")
def _held_that_no_hold_keeps(run: Run) -> None:
    first(run.tables["accounts"])["held"] += UNIT


@tells("H6")
def _balance_that_drifts(run: Run) -> None:
    first(run.tables["accounts"])["balance"] += UNIT


@tells("K1")
def _counter_that_drifts(run: Run) -> None:
    present = {cap["id"] for cap in run.tables["caps"] if cap["removed_at"] is None}
    next(one for one in run.tables["cap_counters"] if one["cap_id"] in present)["spent"] += UNIT


@tells("has limit")
def _cap_of_another_limit(run: Run) -> None:
    _, answer = intent(run, "cap")
    first(run.tables["caps"], id=answer["result"]["id"])["limit_chf"] += UNIT


@tells("is removed, and nobody asked for it")
def _cap_removed_by_nobody(run: Run) -> None:
    first(run.tables["caps"], removed_at=...)["removed_by"] = "mallory"


@tells("(settle parked) was told transaction")
def _settled_at_another_price(run: Run) -> None:
    of_operation(run, "settle parked")["amount"] += UNIT


@tells("has an operator's price")
def _operators_price_of_nobody(run: Run) -> None:
    operators = first(run.tables["stamps"], kind="operator")["id"]
    entry(run, reference_type="WORKFLOW", mandate_id="m-user-1")["stamp_id"] = operators


@tells("which are open")
def _discarded_and_open(run: Run) -> None:
    line, _ = intent(run, "discard")
    first(run.tables["dead_letters"], id=line["asked"]["ids"][0])["status"] = "OPEN"
