"""Tampering with money: movements, refunds, grants, switches, amendments."""

from datetime import timedelta

from tests.torture.conftest import Run
from tests.torture.tampering import UNIT, drop, entry, first, intent, of_operation, tells


@tells("(top_up) is done, and 0 entries")
def _lost_top_up(run: Run) -> None:
    drop(run.tables["transactions"], of_operation(run, "top_up"))


@tells("(top_up) is done, and 2 entries")
def _doubled_top_up(run: Run) -> None:
    run.tables["transactions"].append({**of_operation(run, "top_up"), "id": 10**9})


@tells("(top_up) asked for")
def _top_up_of_another_amount(run: Run) -> None:
    of_operation(run, "top_up")["amount"] += UNIT


@tells("(adjust) was told balance_account_id")
def _adjustment_on_another_account(run: Run) -> None:
    of_operation(run, "adjust")["balance_account_id"] += 1


@tells("PAYMENT mine of mandate")
def _top_up_that_nobody_asked_for(run: Run) -> None:
    run.tables["transactions"].append({**of_operation(run, "top_up"), "id": 10**9, "operation_key": "mine"})


@tells("(top_up of nobody) is refused, and 1 entries")
def _refused_top_up_in_the_books(run: Run) -> None:
    line, _ = intent(run, "top_up of nobody", "refused")
    named = {"mandate_id": line["asked"]["mandate_id"], "operation_key": line["asked"]["key"]}
    run.tables["transactions"].append({**of_operation(run, "top_up"), "id": 10**9, **named})


@tells("(top_up) is maybe, and 2 entries")
def _unanswered_top_up_done_twice(run: Run) -> None:
    line, _ = intent(run, "top_up")
    run.tables["transactions"].append({**of_operation(run, "top_up"), "id": 10**9})
    run.journal[:] = [one for one in run.journal if one.get("n") != line["n"] or "kind" in one]


@tells("and again")
def _repetition_told_something_else(run: Run) -> None:
    _, answer = intent(run, "top_up")
    run.journal.append({**answer, "result": {**answer["result"], "balance": "12345"}})


@tells("(settings) was refused, not done")
def _refusal_of_what_cannot_be_refused(run: Run) -> None:
    _, answer = intent(run, "settings")
    answer |= {"told": "refused", "reason": "why"}


@tells("(settings) failed: TypeError")
def _failure(run: Run) -> None:
    _, answer = intent(run, "settings")
    answer |= {"told": "failed", "reason": "TypeError: what"}


@tells("is refunded of transaction")
def _refund_above_its_entry(run: Run) -> None:
    back = of_operation(run, "refund")
    entry(run, id=back["reverses_id"])["amount"] /= 2


@tells("is on other accounts than transaction")
def _refund_on_another_account(run: Run) -> None:
    back = of_operation(run, "refund")
    entry(run, id=back["reverses_id"])["account_id"] += 1


@tells("has the sign of transaction")
def _refund_the_wrong_way(run: Run) -> None:
    of_operation(run, "refund")["amount"] *= -1


@tells("has more than one grant")
def _second_grant(run: Run) -> None:
    run.tables["transactions"].append({**entry(run, reference_type="SYSTEM"), "id": 10**9})


@tells("its settings version says")
def _grant_of_another_credit(run: Run) -> None:
    entry(run, reference_type="SYSTEM")["amount"] += 1


@tells("(switch) come to")
def _leg_without_the_last_unit(run: Run) -> None:
    entry(run, reference_type="SWITCH")["amount"] += UNIT


@tells("the legs of operation")
def _legs_that_sum_to_zero_and_are_wrong(run: Run) -> None:
    leg = entry(run, reference_type="SWITCH")
    others = [one for one in run.tables["transactions"] if one["reference_type"] == "SWITCH" and one["operation_key"] == leg["operation_key"]]
    for one, more in zip(others, (UNIT, -UNIT), strict=False):
        one["amount"] += more


@tells("the legs of operation")
def _leg_of_a_later_balance(run: Run) -> None:
    leg = next(one for one in run.tables["transactions"] if one["reference_type"] == "SWITCH" and one["amount"] < 0)  # who gives
    late = {"balance_account_id": leg["balance_account_id"], "settings_version": leg["settings_version"] - 1, "id": leg["id"] - 1}
    run.tables["transactions"].append({**of_operation(run, "top_up"), "mandate_id": leg["mandate_id"], **late})


@tells("back")
def _reversal_of_another_amount(run: Run) -> None:
    entry(run, id=first(run.tables["amendments"])["reversal_id"])["amount"] += UNIT


@tells("(amend_prices mine): nobody asked for it")
def _amendment_of_nobody(run: Run) -> None:
    first(run.tables["amendments"], operation="amend_prices")["idempotency_key"] = "mine"


@tells("and what stands is")
def _amendment_of_what_stands_no_more(run: Run) -> None:
    first(run.tables["amendments"])["reversed_id"] += 1


@tells("(amend) asked for")
def _amended_to_another_price(run: Run) -> None:
    entry(run, id=first(run.tables["amendments"], operation="amend_prices")["debit_id"])["amount"] += UNIT


@tells("or another day, than what it takes the place of")
def _amendment_on_another_day(run: Run) -> None:
    entry(run, id=first(run.tables["amendments"])["debit_id"])["local_date"] += timedelta(days=1)
