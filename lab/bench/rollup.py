"""A rollup of a million events in 50,000 groups a day, against the least query that adds up the same rows."""

from time import perf_counter

import psycopg
from psycopg.rows import dict_row

from core.config import Configuration
from core.database.database import Database
from core.statistics.roll_up import roll_up_usage
from lab.services import Services

_EVENTS_PER_BATCH = 1000
_ACCOUNTS, _DAYS, _MODELS = 1000, 10, 5  # 50,000 groups by day, 5,000 by month and by year

# Usage as the recorder writes it, each row in a group at random, in batches that the rollup hasn't seen.
_RECORD = f"""
    WITH recorded AS (
        INSERT INTO transactions (mandate_id, event_id, account_id, balance_account_id, transaction_type, amount, reference_type, description,
                                  provider, model, feature_code, input_tokens, output_tokens, created_by_user_id, occurred_at, local_date,
                                  settings_version, batch_id)
        SELECT 'rollup' || a %% 50, 'rollup-' || i, -1 - a, -1 - a, 'DEBIT', 0.000001 * (i %% 1000), 'WORKFLOW', 'AI Usage', 'anthropic',
               'model-' || (random() * {_MODELS - 1})::int, 'chat', 1200 + i %% 100, 80, 'u' || a, now(),
               date_trunc('year', now())::date + (random() * {_DAYS - 1})::int, 1, -1 - i / {_EVENTS_PER_BATCH}
          FROM (SELECT i, (random() * {_ACCOUNTS - 1})::int AS a FROM generate_series(0, %(events)s - 1) i) AS drawn
        RETURNING id, batch_id
    )
    INSERT INTO batches (id, worker, committed_at, recorded, first_transaction_id, last_transaction_id)
    SELECT batch_id, 'bench', now(), count(*), min(id), max(id) FROM recorded GROUP BY batch_id
"""

_IDS = "SELECT min(first_transaction_id) AS first, max(last_transaction_id) AS last FROM batches WHERE id < 0"

_AGAIN = "TRUNCATE usage_statistics, rollup_pending; INSERT INTO rollup_pending SELECT id FROM batches WHERE id < 0"

_SUMS = (
    "count(*)",
    "sum(amount)",
    "sum(amount) FILTER (WHERE balance_account_id IS NOT NULL)",
    *[f"sum({kind}_tokens)" for kind in ("input", "output", "cached_input", "cache_write", "reasoning")],
)

# By day alone, nothing is written, and what is added up comes out as one row: each sum is used, or the planner leaves it out.
_BARE = f"""
    SELECT count(*), {", ".join(f"sum(s{n})" for n in range(len(_SUMS)))} FROM (
        SELECT mandate_id, account_id, local_date, provider, model, feature_code, {", ".join(f"{sum_} AS s{n}" for n, sum_ in enumerate(_SUMS))}
          FROM transactions WHERE id BETWEEN %(first)s AND %(last)s GROUP BY 1, 2, 3, 4, 5, 6) AS days
"""


def rollup_ratios(services: Services, events: int, rounds: int) -> list[float]:
    """How often the time of a bare GROUP BY by day a rollup of the same events takes, with its days, months, years and commits."""
    config = Configuration(database_url=services.database_url)
    database = Database(config.require_database_url(), config)
    ratios = []
    with psycopg.connect(services.database_owner_url, autocommit=True) as owner:
        owner.execute(_RECORD, {"events": events})
        owner.execute("VACUUM ANALYZE transactions")
        ids = owner.cursor(row_factory=dict_row).execute(_IDS).fetchone()
        for _ in range(rounds):
            owner.execute(_AGAIN)
            started = perf_counter()
            owner.execute(_BARE, ids)
            bare = perf_counter() - started
            started = perf_counter()
            done = roll_up_usage(database)
            whole = perf_counter() - started
            assert (done.events, done.complete) == (events, True)
            ratios.append(whole / bare)
    database.dispose()
    return ratios
