"""What every statement really does on large books: the plans of all that a verb runs, by PostgreSQL's own auto_explain.

To have a verb watched, add a line to `VERBS` in test_plans.py: its name, and a function of `(books, n)` that sets its scene and runs
it for `n` elements. It may return another number of elements that its largest statement is about, such as the rows of a page. No
statement is named anywhere: whatever the verb runs by `books.database` is looked at.

    def discard(books: Books, n: int) -> int:
        books.sql("INSERT …", n=n)                   # as the owner, not looked at
        discard_dead_letters(books.database, …)      # by the worker's login: each statement is looked at
        return PART_ROWS

The books have 100,000 accounts of 2,000 mandates (`m0` … `m1999`, each with the users `u0` … `u49`), an entry for each account and a full car park.
There are four of them: planned whatever the parameters may be, as on a connection that has run a statement a few times, or for the very
parameters; with the planner's statistics, which know nothing of what a verb adds, or without. The verbs share them, so that each works
on keys of its own (`books.name()`); `books.holders(n)` are `n` different members.

`faults(plan, n, rows)` are the nodes of a plan that look at more than ten rows for each element, and more than `rows` altogether: those
that were thrown away by the filter of a join or a scan, and those of a table or of a part of the statement that is read again and again.
"""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Engine, text
from sqlalchemy import event as sql_event

from core.config import Configuration
from core.database.database import Database
from lab.postgres import WORKER

MANDATES, USERS = 2_000, 50
PARKED = 100_000  # events of mandates that nobody knows: as many as the configuration of these tests allows
ROWS_PER_ELEMENT = 10

_FILL = (
    "INSERT INTO directory_mandates (id, name) SELECT 'm' || m, 'Mandate ' || m FROM generate_series(0, :mandates - 1) m",
    """
    INSERT INTO directory_memberships (mandate_id, user_id)
    SELECT 'm' || m, 'u' || u FROM generate_series(0, :users - 1) u, generate_series(0, :mandates - 1) m
    """,
    """
    INSERT INTO billing_settings (mandate_id, billing_model, default_user_credit, warning_threshold_percent, block_on_zero_balance,
                                  notify_on_warning, time_zone)
    SELECT 'm' || m, 'PREPAY_USER', 10, 10, true, true, 'UTC' FROM generate_series(0, :mandates - 1) m
    """,
    """
    INSERT INTO billing_settings_history (mandate_id, version, billing_model, default_user_credit, warning_threshold_percent,
                                          block_on_zero_balance, notify_on_warning, time_zone, changed_at, changed_by)
    SELECT mandate_id, 1, billing_model, 10, 10, true, true, 'UTC', '2020-01-01', 'test' FROM billing_settings
    """,
    """
    INSERT INTO accounts (mandate_id, user_id, account_type, opened_version, balance)
    SELECT mandate_id, user_id, 'USER', 1, 10 FROM directory_memberships ORDER BY hashtext(mandate_id || user_id)
    """,
    """
    INSERT INTO transactions (id, mandate_id, account_id, balance_account_id, transaction_type, amount, reference_type, description,
                              occurred_at, local_date, settings_version)
    SELECT nextval('transactions_id_seq'), mandate_id, id, id, 'CREDIT', 10, 'PAYMENT', 'x', now(), CAST(now() AT TIME ZONE 'UTC' AS date), 1
      FROM accounts ORDER BY id
    """,
    """
    INSERT INTO event_keys (mandate_id, event_id, payload_hash, hash_version, transaction_id, recorded_at)
    SELECT mandate_id, 'old-' || id, '', 1, id, recorded_at FROM transactions
    """,
    """
    INSERT INTO holds (mandate_id, hold_key, user_id, balance_account_id, amount, state, released, local_date, authorised_at, expires_at,
                       settled_at, content_hash)
    SELECT mandate_id, 'old-' || id, user_id, id, 1, 'RELEASED', 1, '2026-01-01', now(), now(), now(), '' FROM accounts
    """,
    """
    INSERT INTO parked_events (mandate_id, event_id, payload_hash, hash_version, body, typed_json, origin, reason)
    SELECT 'nobody' || p % 1000, 'parked-' || p, '', 1, '{}', false, 'test', 'unknown_mandate' FROM generate_series(1, :parked) p
    """,
)

_TABLES = text("SELECT CAST(oid AS regclass) FROM pg_class WHERE relkind = 'r' AND relnamespace = CAST('public' AS regnamespace)")

# Every transaction of every connection tells its client how each of its statements went.
_TOLD = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_parameter_max_length": "0",
    "auto_explain.log_level": "notice",
    "jit": "off",
}

_numbers = itertools.count(1)
Node = dict[str, Any]
_heard: list[Node] = []


@dataclass
class Books:
    """Large books, and the two ways to them: `database` is the worker's, whose statements are looked at, `owner` sets the scene."""

    database: Database
    owner: Database
    config: Configuration

    def sql(self, statement: str, **parameters: object) -> Any:
        """Runs one statement as the owner, not looked at; its rows, if it has any."""
        with self.owner.transaction() as connection:
            result = connection.execute(text(statement), parameters)
            return result.all() if result.returns_rows else None

    def holders(self, n: int) -> list[tuple[str, str]]:
        """So many different members, spread over the mandates."""
        return [(f"m{i % MANDATES}", f"u{i // MANDATES}") for i in range(n)]

    def name(self) -> str:
        """A word that nobody has used in this process."""
        return f"n{next(_numbers):06}"

    @contextmanager
    def plans(self) -> Iterator[list[Node]]:
        """The plans of all that `database` runs meanwhile, each with its `Query Text` and its uppermost node as `Plan`."""
        found: list[Node] = []
        _heard.clear()
        yield found
        found += _heard


def fill(owner: Database) -> None:
    """Makes large books of empty ones; nothing tells the planner about them."""
    with owner.transaction() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        names = {"mandates": MANDATES, "users": USERS, "parked": PARKED}
        for table in connection.execute(_TABLES).scalars().all():
            connection.execute(text(f"ALTER TABLE {table} SET (autovacuum_enabled = false)"))
        for statement in _FILL:
            connection.execute(text(statement), {name: value for name, value in names.items() if f":{name}" in statement})


def tell_plans(administrator: psycopg.Connection[Any], database: str, plan_cache_mode: str) -> None:
    """From its next connection on, the database tells the plans of all that the worker runs, made in this mode."""
    for name, value in {**_TOLD, "plan_cache_mode": plan_cache_mode}.items():
        administrator.execute(f"ALTER ROLE {WORKER} IN DATABASE {database} SET {name} = '{value}'")


@contextmanager
def listening() -> Iterator[None]:
    """Connections that this process makes meanwhile hear the plans that they are told."""

    def heard(diagnostic: psycopg.errors.Diagnostic) -> None:
        message = diagnostic.message_primary or ""
        if message.startswith("duration: ") and "plan:\n" in message:
            _heard.append(json.loads(message.partition("plan:\n")[2]))

    def connected(connection: psycopg.Connection[Any], _record: object) -> None:
        connection.add_notice_handler(heard)

    sql_event.listen(Engine, "connect", connected)
    try:
        yield
    finally:
        sql_event.remove(Engine, "connect", connected)


def nodes(plan: Node) -> Iterator[Node]:
    """The node and all that it consists of."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def faults(plan: Node, n: int, rows: int) -> list[str]:
    """The nodes of a plan that look at more rows than it may for `n` elements, in words, and the statement."""
    allowed = max(ROWS_PER_ELEMENT * n, rows)
    found = [f"{_described(node)}: {_rows(node):,.0f} rows for {n:,} elements" for node in nodes(plan["Plan"]) if _rows(node) > allowed]
    return [*found, plan["Query Text"]] if found else []


def _rows(node: Node) -> float:
    removed = sum(value for name, value in node.items() if name.startswith("Rows Removed by"))
    return float((node["Actual Rows"] + removed) * node["Actual Loops"])


def _described(node: Node) -> str:
    what = " ".join(str(node[name]) for name in ("Node Type", "Relation Name", "CTE Name", "Index Name", "Function Name") if name in node)
    conditions = [f"{name} {node[name]}" for name in ("Index Cond", "Filter", "Join Filter") if name in node]
    return ", ".join([what, *conditions, f"{node['Actual Loops']:,} times"])
