"""Mutants of amounts: parsing, rounding, prices, movements."""

from lab.mutants.catchers import DAY, DAY_OF_PRICES, MODEL_OF_PRICES, ODD_INPUT
from lab.mutants.model import Change, Mutant

_ROLLUP = "tests/statistics/test_rollup.py"
_RANGE = "ALTER TABLE transactions DROP CONSTRAINT ck_transactions_amount_range, DROP CONSTRAINT ck_transactions_amount_sign"
_BALANCE_RANGE = "ALTER TABLE accounts DROP CONSTRAINT ck_accounts_balance_room"

MUTANTS = (
    Mutant(
        "float-price",
        "a price passes through a float before it is rounded",
        ODD_INPUT,
        "price of",
        (
            Change(
                "core/money.py",
                "    return EXACT.quantize(value, QUANTUM) + ZERO\n",
                "    return EXACT.quantize(Decimal(float(value)), QUANTUM) + ZERO\n",
            ),
        ),
    ),
    Mutant(
        "float-sum",
        "a batch's debits on one balance are added up as floats, and drift by a ten-billionth",
        DAY,
        "I3",
        (
            Change(
                "core/recording/balances.py",
                "amounts[payer] += debit.amount",
                "amounts[payer] = round(Decimal(float(amounts[payer]) * 1.0000000001 + float(debit.amount)), 9)",
            ),
        ),
    ),
    Mutant(
        "negative-accepted",
        "a negative price is a price, for the parser and for the database",
        ODD_INPUT,
        "debit of what is none",
        (Change("core/money.py", "    if value < 0:\n", "    if value < -PRICE_MAX:\n"),),
        (_RANGE,),
    ),
    Mutant(
        "nan-accepted",
        "NaN is a price, for the parser and for the database",
        ODD_INPUT,
        "I4",
        (
            Change("core/money.py", '[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")', '[0-9]+)(?:[eE][+-]?[0-9]{1,6})?|NaN")'),
            Change(
                "core/money.py", "    if not value.is_finite():\n", "    if value.is_nan():\n        return value\n    if not value.is_finite():\n"
            ),
        ),
        (_RANGE, _BALANCE_RANGE),
    ),
    Mutant(
        "rounded-per-leaf",
        "each leaf's cost is rounded to nine places before they are added up",
        MODEL_OF_PRICES,
        "ledger",
        (Change("core/prices/card.py", "                amount += count * rate\n", "                amount += round(count * rate, -9)\n"),),
    ),
    Mutant(
        "stamp-of-the-newest",
        "a stamp names the newest version there is, not the one that was rated by",
        DAY_OF_PRICES,
        "P1",
        (
            Change(
                "core/prices/sql/stamps.py",
                "    SELECT s.kind, s.version_id, string_to_array",
                "    SELECT s.kind, (SELECT max(id) FROM price_versions WHERE s.version_id IS NOT NULL), string_to_array",
            ),
        ),
    ),
    Mutant(
        "last-unit-lost",
        "a switch splits a pool into equal shares and leaves the units over that don't divide",
        DAY,
        "I5",
        (Change("core/movements/switch_rules.py", "(each + (n < left_over)) * QUANTUM", "each * QUANTUM"),),
    ),
    Mutant(
        "pool-residue",
        "a switch to the users leaves a unit in the pool",
        DAY,
        "I5",
        (
            Change(
                "core/movements/switch_rules.py",
                "    return Deltas([next(parts) if enabled else ZERO for _, enabled in users], -pool)\n",
                "    return Deltas([next(parts) if enabled else ZERO for _, enabled in users], QUANTUM - pool)\n",
            ),
        ),
    ),
    Mutant(
        "refund-above-its-entry",
        "as much is refunded as is asked for, whatever is left of the entry",
        DAY,
        "answer of refund",
        (Change("core/movements/refund.py", "asked.amount > left:", "asked.amount > left * 1000:"),),
    ),
    Mutant(
        "amendment-not-in-rollup",
        "an amendment writes no note for the rollup",
        DAY,
        "I6",
        (
            Change(
                "core/ledger/sql/batches.py",
                "WHERE CAST(:first_transaction_id AS bigint) IS NOT NULL\n",
                "WHERE CAST(:first_transaction_id AS bigint) IS NOT NULL AND :kind <> 'amendment'\n",
            ),
        ),
    ),
    Mutant(
        "rollup-of-uncommitted",
        "the rollup goes by a mark, the greatest batch that is counted: one that commits later under a smaller number is passed over",
        f"{_ROLLUP}::test_what_commits_late_is_counted_late",
        "Rollup",
        (
            Change(
                "core/statistics/sql/statistics.py",
                "          FROM (SELECT batch_id FROM rollup_pending ORDER BY batch_id LIMIT :batches_max) AS p\n",
                "          FROM (SELECT batch_id FROM rollup_pending\n"
                "                 WHERE batch_id > (SELECT coalesce(max(id), 0) FROM batches m WHERE m.first_transaction_id IS NOT NULL\n"
                "                                      AND NOT EXISTS (SELECT FROM rollup_pending q WHERE q.batch_id = m.id))\n"
                "                 ORDER BY batch_id LIMIT :batches_max) AS p\n",
            ),
        ),
    ),
    Mutant(
        "rollup-of-others",
        "the rollup counts every entry between the first and the last id of a batch, those of other batches too",
        f"{_ROLLUP}::test_the_ids_of_batches_may_interleave",
        "assert 6 == 3",
        (Change("core/statistics/sql/statistics.py", '_IS_TAKEN = "(t.batch_id IN (SELECT id FROM taken)) IS TRUE"', '_IS_TAKEN = "true"'),),
    ),
    Mutant(
        "page-skips-a-row",
        "a page of a list begins one row after the last one that was seen",
        "tests/asking/test_paging.py::test_pages_have_each_row_once",
        "At index 2 diff",
        (
            Change(
                "core/database/listing.py",
                '"offset": page.offset} |',
                '"offset": page.offset + (page.cursor is not None)} |',
            ),
        ),
    ),
)
