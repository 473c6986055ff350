"""What must be true of the books after a torture run, as far as its operator is concerned: from its journal and the rows of tables.

`judge` takes the lines of the journal (`lab/torture/operator_journal.py`) and the rows of `TABLES`, each a mapping by the names of its columns,
as one snapshot gives them once the operator has ended and `last_books` has given every intent its answer.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lab.oracle import torture_operator_holds as of_holds
from lab.oracle import torture_operator_money as of_money
from lab.oracle import torture_operator_prices as of_prices
from lab.oracle import torture_operator_rerated as rerated
from lab.oracle import torture_operator_rules as of_rules
from lab.oracle.torture_operator_asked import Asked, answers_agree

# The tables that are judged, and which of their columns.
TABLES: Mapping[str, tuple[str, ...]] = {
    "transactions": (
        *("id", "mandate_id", "event_id", "account_id", "balance_account_id", "transaction_type", "reference_type", "amount", "provider", "model"),
        *("feature_code", "occurred_at", "recorded_at", "local_date", "settings_version", "batch_id", "reverses_id", "operation_key"),
        *("service_tier", "processing", "speed", "region_scope", "usage_dialect", "usage_shape", "usage_values", "hold_key"),
        *("stamp_id", "price_given", "price_computed", "provider_cost", "provider_currency", "leaves", "unpriced"),
    ),
    "accounts": ("id", "mandate_id", "user_id", "balance", "held", "credit_limit", "enabled", "opened_version", "opened_at"),
    "billing_settings": ("mandate_id", "version", *of_rules.FIELDS),
    "billing_settings_history": ("mandate_id", "version", "changed_by", "changed_at", "after_transaction_id", *of_rules.FIELDS),
    "amendments": ("mandate_id", "event_id", "number", "operation", "idempotency_key", "reversed_id", "reversal_id", "debit_id"),
    "holds": (
        *("mandate_id", "hold_key", "user_id", "balance_account_id", "amount", "state", "captured", "released", "expired", "used", "over_hold"),
        *("use_count", "provider", "model", "feature_code", "local_date", "content_hash"),
    ),
    "caps": (
        *("id", "mandate_id", "scope", "user_id", "dimension", "value", "period", "limit_chf", "action", "first_day"),
        *("created_by", "removed_by", "removed_at"),
    ),
    "cap_counters": ("cap_id", "user_id", "window_start", "spent", "held"),
    "batches": ("id", "committed_at"),
    "stamps": ("id", "kind", "version_id", "fx_id", "rule_id"),
    "usage_shapes": ("id", "shape"),
    "price_versions": ("id", "accepted_by"),
    "price_aliases": ("id", "approved_by"),
    "sale_rules": ("id", "created_by"),
    "fx_rates": ("id", "currency", "rate_date", "rate", "created_by"),
    "price_modes": ("id", "created_by"),
    "dead_letters": ("id", "status", "resolved_by"),
    "directory_mandates": ("id",),
    "directory_memberships": ("mandate_id", "user_id"),
}

# What came of each kind at least once in a minute; the others in half an hour.
EXPECTED = frozenset(
    {
        *(
            "top_up done",
            "top_up repeated",
            "top_up of nobody refused",
            "top_up anew refused",
            "at once",
            "adjust done",
            "adjust repeated",
            "refund done",
            "refund in part done",
        ),
        *("refund above refused", "amend done", "amend repeated", "switch done", "switch repeated", "switch unseen refused", "credit limit done"),
        *("credit limit of user refused", "enable done", "settings done", "settings wrong refused", "zone done", "directory done", "late done"),
        *("backfill done", "version done", "alias done", "rule done", "fx done", "fx unasked refused", "mode done", "rerate done"),
        *("authorise done", "authorise repeated", "authorise much refused", "release done", "renew done", "expire done", "cap done", "uncap done"),
    }
)
EXPECTED_LONG = EXPECTED | {
    *("refund repeated", "refund refused", "refund in part repeated", "refund in part refused", "amend refused", "credit limit repeated"),
    *("enable repeated", "authorise refused", "release repeated", "uncap repeated", "alias refused", "rule refused", "rule repeated"),
    *("version repeated", "mode repeated", "rerate repeated", "revert done", "revert repeated", "settle parked done", "replay done", "discard done"),
    *("directory repeated", "begun again", "maybe, then done", "maybe, then refused"),
}


def judge(journal: Sequence[Mapping[str, Any]], tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """Every violation, in a line of plain words."""
    asked = Asked(journal)
    yield from answers_agree(asked)
    yield from of_money.movements_are_done_once(asked, tables)
    yield from of_money.refunds_are_within(tables)
    yield from of_money.grants_are_made_once(tables)
    yield from of_money.switches_move_what_is_there(asked, tables)
    yield from of_money.amendments_replace(asked, tables)
    yield from of_money.amended_prices_are_those_asked_for(asked, tables)
    yield from of_rules.versions_are_changes(asked, tables)
    yield from of_rules.days_are_those_of_the_zone(tables)
    yield from of_rules.versions_are_of_their_time(tables)
    yield from of_rules.payers_are_those_of_the_model(tables)
    yield from of_rules.accounts_are_as_they_were_set(asked, tables)
    yield from of_rules.directory_is_what_was_imported(asked, tables)
    yield from of_prices.price_rows_were_asked_for(asked, tables)
    yield from of_prices.amounts_are_computed(asked, tables)
    yield from rerated.ratings_are_computed_again(asked, tables)
    yield from rerated.nothing_was_left_out(asked, tables)
    yield from of_holds.holds_are_as_answered(asked, tables)
    yield from of_holds.holds_are_released_by_somebody(asked, tables)
    yield from of_holds.holds_and_counters_add_up(tables)
    yield from of_holds.caps_are_as_they_were_set(asked, tables)
    yield from of_holds.settlements_are_debits(asked, tables)
    yield from of_holds.letters_are_resolved_as_asked(asked, tables)


def exercised(journal: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """How often what came of each kind of operation, as `EXPECTED` names it; of what nobody knew at first, what it came to in the end."""
    return Asked(journal).exercised()
