"""A backfill of a million memberships, against a bare INSERT of the same rows: accounts, their keys and their grants."""

from time import perf_counter

import psycopg

from core.config import Configuration
from core.database.database import Database
from core.recording.backfill_accounts import backfill_accounts
from core.settings.backfill import backfill_settings
from lab.bench.goals import BACKFILL, BACKFILL_FLOOR
from lab.services import Services

_USERS = 100  # of a mandate

_DIRECTORY = f"""
    INSERT INTO directory_mandates (id, name) SELECT 'backfill-' || g, 'Mandate ' || g FROM generate_series(1, %(memberships)s / {_USERS}) g;
    INSERT INTO directory_memberships (mandate_id, user_id)
    SELECT 'backfill-' || m, 'u' || u FROM generate_series(1, %(memberships)s / {_USERS}) m, generate_series(1, {_USERS}) u;
    ANALYZE directory_mandates, directory_memberships
"""

_AGAIN = "TRUNCATE accounts, operation_keys, transactions"

# What the backfill writes, in one statement that reads no settings, asks nobody whether an account is there and moves no balance.
_BARE = """
    WITH opened AS (
        INSERT INTO accounts (mandate_id, user_id, account_type, balance, warning_threshold, opened_version)
        SELECT mandate_id, user_id, 'USER', 10, 1, 1 FROM directory_memberships ORDER BY mandate_id, user_id
        RETURNING id, mandate_id
    ), keys AS (
        INSERT INTO operation_keys (mandate_id, operation, idempotency_key, content_hash, hash_version)
        SELECT mandate_id, 'grant', 'grant:' || id, sha256('10'), 1 FROM opened
    )
    INSERT INTO transactions (mandate_id, account_id, balance_account_id, transaction_type, amount, reference_type, description,
                              occurred_at, local_date, settings_version, operation_key)
    SELECT mandate_id, id, id, 'CREDIT', 10, 'SYSTEM', 'Initial credit for new user', now(), now()::date, 1, 'grant:' || id FROM opened
"""


def backfill_rates(services: Services, memberships: int, rounds: int) -> dict[str, list[float]]:
    """Accounts per second of the backfill, each with its grant, and of the bare INSERT; the books are empty before each of them.

    Nothing that another benchmark recorded is left afterwards.
    """
    config = Configuration(database_url=services.database_url)
    database = Database(config.require_database_url(), config)
    rates: dict[str, list[float]] = {BACKFILL: [], BACKFILL_FLOOR: []}
    with psycopg.connect(services.database_owner_url, autocommit=True, cursor_factory=psycopg.ClientCursor) as owner:
        owner.execute(_DIRECTORY, {"memberships": memberships})
        backfill_settings(database, config=config, worker="bench", at_once=True)
        for _ in range(rounds):
            owner.execute(_AGAIN)
            started = perf_counter()
            accounts = owner.execute(_BARE).rowcount
            rates[BACKFILL_FLOOR].append(accounts / (perf_counter() - started))
            owner.execute(_AGAIN)
            started = perf_counter()
            done = backfill_accounts(database, config=config, worker="bench", at_once=True)
            rates[BACKFILL].append(accounts / (perf_counter() - started))
            assert done is not None
            assert done["accounts"] == accounts
    database.dispose()
    return rates
