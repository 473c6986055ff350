"""Mutants of recording: claims, copies, folds, balances, alerts, dead letters, what is parked."""

from lab.mutants.catchers import DAY, INTERLEAVED, ODD_INPUT
from lab.mutants.model import Change, Mutant

_CONCURRENT = "tests/recording/test_concurrency.py"
_OPPOSITE = f"{_CONCURRENT}::test_batches_in_opposite_orders_do_not_block_each_other"

MUTANTS = (
    Mutant(
        "key-claimed-apart",
        "event keys are claimed in a transaction of their own, before the one that records",
        INTERLEAVED,
        "keys: books have",
        (
            Change(
                "core/recording/settle.py",
                "    won = claim_keys(work.connection, [(key, d.payload_hash, d.hash_version) for key, d in new.items()])\n",
                "    with work.connection.engine.begin() as apart:\n"
                "        won = claim_keys(apart, [(key, d.payload_hash, d.hash_version) for key, d in new.items()])\n",
            ),
        ),
    ),
    Mutant(
        "no-on-conflict",
        "a key that is there already is an error of the database, not a copy",
        DAY,
        "answer of copy",
        (Change("core/ledger/sql/event_keys.py", "    ON CONFLICT DO NOTHING\n", ""),),
    ),
    Mutant(
        "copies-not-folded",
        "copies within one batch are debits of their own, under the key that the first one has claimed",
        DAY,
        "I1",
        (
            Change(
                "core/recording/settle.py",
                "        debits.append(UsageDebit(transaction_id, event, account_id, payer, settings[mandate_id], amount, own))\n",
                "        for n in range(len(groups[key])):\n"
                "            copy = transaction_id if not n else next_transaction_ids(work.connection, 1)[0]\n"
                "            debits.append(UsageDebit(copy, event, account_id, payer, settings[mandate_id], amount, own))\n",
            ),
            Change(
                "core/recording/settle.py",
                "from core.ledger.sql.transactions import UsageDebit, insert_usage\n",
                "from core.ledger.sql.transactions import UsageDebit, insert_usage, next_transaction_ids\n",
            ),
        ),
    ),
    Mutant(
        "balance-not-folded",
        "of several debits of one batch on one balance only the last moves it",
        DAY,
        "I3",
        (Change("core/recording/balances.py", "amounts[payer] += debit.amount", "amounts[payer] = debit.amount"),),
    ),
    Mutant(
        "keys-unsorted",
        "event keys are locked in the order in which they came",
        _OPPOSITE,
        "deadlock detected",
        (Change("core/ledger/sql/event_keys.py", "ordered = sorted(claims, key=_in_order)", "ordered = list(claims)"),),
    ),
    Mutant(
        "accounts-unsorted",
        "balances are locked in the order in which their debits came",
        f"{_CONCURRENT}::test_the_same_accounts_in_opposite_orders_do_not_block_each_other",
        "deadlock detected",
        (Change("core/recording/balances.py", "for account_id in sorted(mandate_of)}", "for account_id in mandate_of}"),),
    ),
    Mutant(
        "conflict-charged",
        "another payload under a known key takes its price off the balance, beside its dead letter",
        DAY,
        "I3",
        (
            Change(
                "core/recording/conflicts.py",
                "            _decide(delivery, first.get(delivery.key), stored[delivery.key])\n",
                "            _decide(delivery, first.get(delivery.key), stored[delivery.key])\n"
                "            holder = {'m': delivery.event.mandate_id, 'u': delivery.event.user_id, 'p': delivery.event.price_chf}\n"
                "            taken = text('UPDATE accounts SET balance = balance - :p WHERE mandate_id = :m AND user_id = :u')\n"
                "            work.connection.execute(taken, holder)\n",
            ),
            Change("core/recording/conflicts.py", "import msgspec\n", "import msgspec\nfrom sqlalchemy import text\n"),
        ),
    ),
    Mutant(
        "conflict-taken-for-a-copy",
        "another price under a known key is no difference",
        DAY,
        "answer of contradiction",
        (
            Change(
                "core/events/payload.py",
                "        _ABSENT if event.price_chf is None else _nine_places(event.price_chf),\n",
                "        _ABSENT,\n",
            ),
            Change("core/recording/conflicts.py", "            if delivery.matches(stored[key]):", "            if stored[key]:"),
        ),
    ),
    Mutant(
        "hash-over-leaves",
        "the payload hash is that of what a dialect reads of a usage object, not of the object as it came",
        DAY,
        "I2",
        (
            Change(
                "core/events/payload.py",
                "        _ABSENT if event.raw_usage is None else event.raw_usage.canonical,\n    )\n    return sha256",
                "        _ABSENT if event.raw_usage is None else str(sorted((k, v) for k, v in event.raw_usage.decoded().items() if v)),\n"
                "    )\n    return sha256",
            ),
        ),
    ),
    Mutant(
        "threshold-forgotten",
        "a refilled balance keeps its former warning threshold",
        DAY,
        "oracle of accounts",
        (Change("core/ledger/post.py", "    if refill is None:\n", "    if refill is None or refill.delta > 0:\n"),),
    ),
    Mutant(
        "alert-twice",
        "each crossing of a line is reported twice",
        DAY,
        "I15",
        (Change("core/ledger/sql/alerts.py", "            for a in alerts\n        ],", "            for a in [*alerts, *alerts]\n        ],"),),
    ),
    Mutant(
        "released-and-kept",
        "a parked event that is released stays parked, and is released again",
        DAY,
        "P5",
        (
            Change(
                "core/recording/sql/parked_events.py",
                "    DELETE FROM parked_events p USING taken\n"
                "     WHERE p.mandate_id = taken.mandate_id AND p.event_id = taken.event_id\n"
                "    RETURNING p.mandate_id, p.event_id, p.received_at, p.stripe\n",
                "    SELECT p.mandate_id, p.event_id, p.received_at, p.stripe FROM parked_events p JOIN taken\n"
                "        ON p.mandate_id = taken.mandate_id AND p.event_id = taken.event_id\n",
            ),
        ),
    ),
    Mutant(
        "refused-without-letter",
        "a message whose event is refused is acknowledged, and leaves no dead letter",
        ODD_INPUT,
        "dead letter",
        (
            Change(
                "core/recording/batch.py",
                "refused = [dead_letter_of(d) for d in deliveries if d.rejection is not None]",
                "refused = [dead_letter_of(d) for d in deliveries if d.rejection is not None and d.event is not None]",
            ),
        ),
    ),
    Mutant(
        "grant-without-key",
        "the key of a grant is that of the moment, so that each backfill makes it again",
        DAY,
        "I14",
        (
            Change("core/ledger/sql/grants.py", "'grant:' || d.account_id, sha256", "'grant:' || d.account_id || ':' || clock_timestamp(), sha256"),
            Change("core/ledger/sql/grants.py", "CAST(substr(idempotency_key, 7) AS bigint)", "CAST(split_part(idempotency_key, ':', 2) AS bigint)"),
            Change("core/ledger/sql/accounts.py", "grant_due = grant_due AND NOT n.granted", "grant_due = grant_due AND n.id > 0"),
        ),
    ),
    Mutant(
        "backfill-without-lock",
        "two backfills may run at once, and the key of a grant is that of its transaction",
        "tests/recording/test_backfills.py::test_due_grants_race",
        "18.000000000",
        (
            Change("core/jobs/sql/jobs.py", "    return try_hold_job(connection, job)\n", "    return True\n"),
            Change(
                "core/ledger/sql/grants.py", "'grant:' || d.account_id, sha256", "'grant:' || d.account_id || ':' || pg_current_xact_id(), sha256"
            ),
            Change("core/ledger/sql/grants.py", "CAST(substr(idempotency_key, 7) AS bigint)", "CAST(split_part(idempotency_key, ':', 2) AS bigint)"),
        ),
    ),
)
