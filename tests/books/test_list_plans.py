"""Lists of very large books: a page reads what it shows, wherever it begins, whoever asks, and whatever the planner knows of it."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from core.alerts.read import list_alerts
from core.asking.paging import Page
from core.asking.rights import ROOT, administrator
from core.billing import AlertKind, DeadLetterStatus, HoldState
from core.database.database import Database
from core.dead_letters.read import list_dead_letters
from core.holds.read import expired_holds, list_holds
from core.jobs.read import list_job_runs
from core.ledger.read_accounts import accounts_of
from core.ledger.read_balance_at import balance_at
from core.ledger.read_balances import mandate_balances, user_balances
from core.ledger.read_transactions import transactions_of_mandates, transactions_of_user, user_transactions
from core.periods import PeriodType
from core.recording.read_batches import list_batches
from core.recording.read_parked import list_parked
from core.rejection import Reason
from core.reports.explain import explain
from core.settings.read import list_settings
from core.settings.read_history import settings_history
from core.statistics.read import statistics_of_account
from core.verifying.read_findings import list_findings
from core.verifying.sql.marks import make_marks
from tests.books.plans import nodes
from tests.books.test_view_plans import statements
from tests.conftest import DatabaseUrls

CUSTOM, GENERIC = "force_custom_plan", "force_generic_plan"
MANDATES, ROWS, ENTRIES, BATCH = 20_000, 20_000, 200_000, 100
LIMIT = 100
READ_MAX = 20 * LIMIT  # rows of all tables together, names among them
FOR_ITS_PARAMETERS = ("the last alerts",)  # by id, which can't be told from a time: how many there are since then decides how they are found

NOW = datetime.now(UTC)
MONTH = NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0)

# Each mandate has a pool and two users, one of whom is ada everywhere; the last one has very many. The entries of a batch carry
# one time; the first half of them is about ada, the other about the others, but for the last batch, which is about both.
_FILL = f"""
    INSERT INTO directory_mandates (id, name) SELECT 'm' || m, 'Mandate ' || m FROM generate_series(1, {MANDATES}) m;
    INSERT INTO directory_users (id, username) SELECT 'v' || u, 'User ' || u FROM generate_series(1, {ROWS}) u;
    INSERT INTO directory_memberships (mandate_id, user_id) SELECT 'm{MANDATES}', 'v' || u FROM generate_series(1, {ROWS}) u;
    INSERT INTO billing_settings (mandate_id, billing_model, default_user_credit, warning_threshold_percent, block_on_zero_balance,
                                  notify_on_warning, time_zone)
    SELECT 'm' || m, 'PREPAY_USER', 10, 10, true, true, 'UTC' FROM generate_series(1, {MANDATES}) m;
    INSERT INTO billing_settings_history (mandate_id, version, billing_model, default_user_credit, warning_threshold_percent,
                                          block_on_zero_balance, notify_on_warning, time_zone, changed_at, changed_by)
    SELECT mandate_id, 1, billing_model, 10, 10, true, true, 'UTC', '2020-01-01', 'test' FROM billing_settings;
    INSERT INTO billing_settings_history (mandate_id, version, billing_model, default_user_credit, warning_threshold_percent,
                                          block_on_zero_balance, notify_on_warning, time_zone, changed_at, changed_by)
    SELECT 'm1', v, 'PREPAY_USER', 10, 10, true, true, 'UTC', '2020-01-01', 'test' FROM generate_series(2, {ROWS}) v;
    INSERT INTO accounts (mandate_id, user_id, account_type, opened_version)
    SELECT 'm' || m, CASE u WHEN 0 THEN NULL WHEN 1 THEN 'ada' ELSE 'u' || m END, CASE u WHEN 0 THEN 'MANDATE' ELSE 'USER' END, 1
      FROM generate_series(0, 2) u, generate_series(1, {MANDATES}) m ORDER BY u, m;
    INSERT INTO accounts (mandate_id, user_id, account_type, opened_version)
    SELECT 'm{MANDATES}', 'v' || v, 'USER', 1 FROM generate_series(1, {ROWS}) v ORDER BY v;
    INSERT INTO transactions (id, mandate_id, event_id, account_id, balance_account_id, transaction_type, amount, reference_type, description,
                              created_by_user_id, occurred_at, recorded_at, local_date, settings_version)
    SELECT n, 'm' || m, 'e' || n, account_id, account_id, 'DEBIT', 1, 'WORKFLOW', 'x', 'u', at, at, CAST(at AT TIME ZONE 'UTC' AS date), 1
      FROM (SELECT n, m, m + {MANDATES} * CASE WHEN n <= {ENTRIES} / 2 OR n % 2 = 1 AND n > {ENTRIES - BATCH} THEN 1 ELSE 2 END AS account_id,
                   CAST('{MONTH.isoformat()}' AS timestamptz) + make_interval(secs => (n / {BATCH}) * 1000) AS at
              FROM (SELECT n, 1 + n % 10000 AS m FROM generate_series(1, {ENTRIES}) n) AS numbers) AS entries;
    INSERT INTO transactions (id, mandate_id, account_id, balance_account_id, transaction_type, amount, reference_type, description,
                              occurred_at, recorded_at, local_date, settings_version)
    SELECT {ENTRIES} + n, 'm{MANDATES}', {3 * MANDATES + 1}, {3 * MANDATES + 1}, 'CREDIT', 1, 'PAYMENT', 'x', at, at, '2026-01-01', 1
      FROM (SELECT n, CAST('{MONTH.isoformat()}' AS timestamptz) - make_interval(days => 60) + make_interval(secs => n) AS at
              FROM generate_series(1, {ROWS}) n) AS entries;
    INSERT INTO batches (id, worker, committed_at) SELECT n, 'w', now() FROM generate_series(1, {ROWS}) n;
    INSERT INTO balance_alerts (mandate_id, account_id, kind, recovered, balance_before, balance_after, threshold, settings_version, recorded_at,
                                published_at)
    SELECT 'm' || 1 + n % 20, 1 + n % 20, CASE n % 2 WHEN 0 THEN 'WARNING' ELSE 'ZERO' END, false, 1, 0, 0, 1,
           now() - make_interval(secs => {ROWS} - n), now()
      FROM generate_series(1, {ROWS}) n;
    INSERT INTO holds (mandate_id, hold_key, user_id, amount, state, released, expired, local_date, authorised_at, expires_at, settled_at,
                       content_hash)
    SELECT 'm' || 1 + n % 100, 'k' || n, CASE n WHEN 1 THEN 'x' ELSE 'ada' END, 1, state, CASE state WHEN 'RELEASED' THEN 1 ELSE 0 END,
           CASE state WHEN 'EXPIRED' THEN 1 ELSE 0 END, '2026-01-01', at, at + interval '20 days', CASE WHEN state <> 'OPEN' THEN at END, ''
      FROM (SELECT n, CASE WHEN n % 400 = 3 THEN 'OPEN' WHEN n % 2 = 0 THEN 'EXPIRED' ELSE 'RELEASED' END AS state,
                   now() - make_interval(secs => n) AS at
              FROM generate_series(1, {ROWS}) n) AS holds;
    INSERT INTO dead_letters (body_sha256, body, body_length, typed_json, origin, reason, detail, status, mandate_id, resolved_at)
    SELECT sha256(CAST(CAST(n AS text) AS bytea)), 'x', 1, false, 'test', CASE n % 100 WHEN 0 THEN 'future' ELSE 'conflict' END, 'x',
           CASE WHEN n % 200 > 1 THEN 'DISCARDED' ELSE 'OPEN' END, 'm' || 1 + n % 100, CASE WHEN n % 200 > 1 THEN now() + interval '1 day' END
      FROM generate_series(1, {ROWS}) n;
    INSERT INTO parked_events (mandate_id, event_id, payload_hash, hash_version, body, typed_json, origin, reason, received_at)
    SELECT 'p' || n % 100, 'e' || n, '', 1, 'x', false, 'test', 'unknown_mandate', now() - make_interval(secs => n / {BATCH})
      FROM generate_series(1, {ROWS}) n;
    INSERT INTO reconcile_findings (invariant, subject, detail, last_seen_at)
    SELECT 'I' || 1 + n % 2, 'account ' || n, '{{"found": []}}', now() - make_interval(secs => n / {BATCH}) FROM generate_series(1, {ROWS}) n;
    INSERT INTO job_runs (job, period, worker, started_at) SELECT 'job' || n % 2, n, 'w', now() - make_interval(secs => n / {BATCH})
      FROM generate_series(1, {5 * ROWS}) n;
    INSERT INTO usage_statistics (mandate_id, account_id, period_type, period_start, provider, model, feature_code)
    SELECT 'm1', {MANDATES + 1}, 'DAY', CAST('2026-01-01' AS date) + n / 200, 'p', 'm' || n % 200, 'f' FROM generate_series(1, {ROWS}) n;
"""

HALF = MONTH + timedelta(seconds=ENTRIES // 2 // BATCH * 1000), ENTRIES // 2
OF_TWO = administrator("m1", "m7")
Asked = Callable[[Database], object]
LISTS: dict[str, Asked] = {
    "the newest transactions of all mandates": lambda books: transactions_of_mandates(books, ROOT, page=Page(LIMIT)),
    "older transactions of all mandates": lambda books: transactions_of_mandates(books, ROOT, page=Page(LIMIT, HALF)),
    "transactions of two mandates": lambda books: transactions_of_mandates(books, OF_TWO, page=Page(LIMIT)),
    "user transactions of all mandates": lambda books: user_transactions(books, ROOT, page=Page(LIMIT)),
    "transactions of all mandates in a range of days": lambda books: transactions_of_mandates(
        books, ROOT, page=Page(LIMIT, None, MONTH.date(), MONTH.date() + timedelta(days=60))
    ),
    "transactions of a user with very many accounts": lambda books: transactions_of_user(books, ROOT, "ada", page=Page(BATCH // 2)),
    "older transactions of a user with very many accounts": lambda books: transactions_of_user(books, ROOT, "ada", page=Page(LIMIT, HALF)),
    "transactions of a user with very many accounts in two mandates": lambda books: transactions_of_user(books, OF_TWO, "ada", page=Page(LIMIT)),
    "accounts of a mandate": lambda books: accounts_of(books, ROOT, f"m{MANDATES}"),
    "further accounts of a mandate": lambda books: accounts_of(books, ROOT, f"m{MANDATES}", after="v5"),
    "settings": lambda books: list_settings(books, ROOT),
    "further settings": lambda books: list_settings(books, ROOT, after="m5"),
    "settings of two mandates": lambda books: list_settings(books, OF_TWO, after="m1"),
    "history of settings": lambda books: settings_history(books, ROOT, "m1"),
    "older history of settings": lambda books: settings_history(books, ROOT, "m1", before=ROWS // 2),
    "balances of mandates": lambda books: mandate_balances(books, ROOT, after="m5"),
    "balances of users": lambda books: user_balances(books, ROOT, after=(f"m{MANDATES}", "v5")),
    "alerts": lambda books: list_alerts(books, ROOT, before=ROWS // 2),
    "alerts of a kind": lambda books: list_alerts(books, ROOT, kind=AlertKind.ZERO),
    "the last alerts": lambda books: list_alerts(books, ROOT, since=NOW - timedelta(seconds=LIMIT // 2)),
    "alerts that wait": lambda books: list_alerts(books, ROOT, waiting=True),
    "alerts of two mandates": lambda books: list_alerts(books, OF_TWO, before=ROWS // 2),
    "holds": lambda books: list_holds(books, ROOT),
    "further holds": lambda books: list_holds(books, ROOT, after=("m5", "k5")),
    "holds of two mandates": lambda books: list_holds(books, OF_TWO, after=("m1", "k5")),
    "open holds": lambda books: list_holds(books, ROOT, state=HoldState.OPEN),
    "open holds of two mandates": lambda books: list_holds(books, OF_TWO, state=HoldState.OPEN),
    "holds that nobody was billed for": lambda books: expired_holds(books, ROOT),
    "further holds that nobody was billed for": lambda books: expired_holds(books, ROOT, before=(NOW - timedelta(seconds=50), "m5", "k5")),
    "holds of two mandates that nobody was billed for": lambda books: expired_holds(books, OF_TWO),
    "batches": lambda books: list_batches(books, ROOT),
    "older batches": lambda books: list_batches(books, ROOT, before=ROWS // 2),
    "dead letters": lambda books: list_dead_letters(books, ROOT, before=ROWS // 2),
    "open dead letters": lambda books: list_dead_letters(books, ROOT, status=DeadLetterStatus.OPEN),
    "dead letters with a rare reason": lambda books: list_dead_letters(books, ROOT, reason=Reason.FUTURE, before=ROWS // 2),
    "open dead letters with a reason": lambda books: list_dead_letters(books, ROOT, reason=Reason.FUTURE, status=DeadLetterStatus.OPEN),
    "dead letters of a mandate": lambda books: list_dead_letters(books, ROOT, mandate_id="m7"),
    "dead letters seen again": lambda books: list_dead_letters(books, ROOT, seen_again=True),
    "findings": lambda books: list_findings(books, ROOT, with_resolved=True),
    "further findings": lambda books: list_findings(books, ROOT, before=(NOW - timedelta(seconds=50), ROWS)),
    "job runs": lambda books: list_job_runs(books, ROOT),
    "earlier job runs": lambda books: list_job_runs(books, ROOT, before=(NOW - timedelta(seconds=50), "job1", "x")),
    "runs of a job": lambda books: list_job_runs(books, ROOT, job="job1"),
    "parked events": lambda books: list_parked(books, ROOT),
    "earlier parked events": lambda books: list_parked(books, ROOT, before=(NOW - timedelta(seconds=50), "p1", "e1")),
    "statistics of an account": lambda books: statistics_of_account(
        books, ROOT, MANDATES + 1, PeriodType.DAY, 2026, limit=LIMIT, after=(datetime(2026, 2, 1, tzinfo=UTC).date(), "p", "m1", "f")
    ),
}


@pytest.fixture
def large_books(owner_database: Database) -> None:
    """Books with very many of everything."""
    with owner_database.transaction() as connection:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        for statement in _FILL.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement.replace("%", "%%"))
        connection.exec_driver_sql("ANALYZE")


def test_a_page_of_a_list_reads_what_it_shows(large_books: None, database: Database, database_urls: DatabaseUrls) -> None:
    """Planned for the very parameters or for any, no list reads more rows than some for each that is on the page."""
    wrong = []
    for name, ask in LISTS.items():
        with statements() as seen:
            assert isinstance(ask(database), list)
        for mode, read in read_by(database_urls.owner, seen):
            if sum(read.values()) > READ_MAX and not (mode == GENERIC and name in FOR_ITS_PARAMETERS):
                wrong.append((name, mode, read))
    assert not wrong, "\n".join(map(str, wrong))


def test_an_old_balance_is_read_from_the_next_mark(
    large_books: None, database: Database, owner_database: Database, database_urls: DatabaseUrls
) -> None:
    """What an entry left behind 20,000 later ones takes the entries up to the next mark, and a balance of then those since the last one."""
    old = ENTRIES + ROWS // 10
    moment = MONTH - timedelta(days=60) + timedelta(seconds=ROWS - ROWS // 10)
    known = explain(database, ROOT, old).balance_after, balance_at(database, ROOT, f"m{MANDATES}", "v1", moment).balance
    with owner_database.transaction() as connection:
        make_marks(connection, None, "infinity")
    with owner_database.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE accounts SET balance = {ROWS} WHERE id = {3 * MANDATES + 1}")  # the sum of its movements
        connection.exec_driver_sql("ANALYZE balance_marks")
    with statements() as seen:
        explained = explain(database, ROOT, old)
        then = balance_at(database, ROOT, f"m{MANDATES}", "v1", moment)
    assert known[0] is not None
    assert [explained.balance_after, then.balance] == [known[0] + ROWS, known[1]] == [ROWS // 10, ROWS - ROWS // 10 - 1]
    assert [(mode, read) for mode, read in read_by(database_urls.owner, seen) if sum(read.values()) > ROWS / 2] == []


def read_by(url: str, seen: list[tuple[str, Any]]) -> Iterator[tuple[str, dict[str, float]]]:
    """How many rows of each table each statement has read, planned for its parameters and for any."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("SET timezone = 'UTC'")
        for statement, parameters in seen:
            for mode in (CUSTOM, GENERIC):
                with prepared(connection, statement, parameters, mode) as execute:
                    (plan,) = connection.execute(sql.SQL("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {}").format(execute)).fetchone() or ()
                read: dict[str, float] = defaultdict(float)
                for node in nodes(plan[0]["Plan"]):
                    read[f"{node['Node Type']} on {node.get('Relation Name')}"] += rows_read(node) if "Relation Name" in node else 0
                yield mode, {name: rows for name, rows in read.items() if rows}


@contextmanager
def prepared(connection: psycopg.Connection[Any], statement: str, parameters: dict[str, Any], mode: str) -> Iterator[sql.Composable]:
    """The statement as a prepared one, which is planned in this mode."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    numbered = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", statement)
    connection.execute(f"SET plan_cache_mode = {mode}")
    connection.execute(f"PREPARE asked AS {numbered}")
    values = sql.SQL(", ").join(sql.Literal(parameters[name]) for name in names)
    yield sql.SQL("EXECUTE asked ({})").format(values) if names else sql.SQL("EXECUTE asked")
    connection.execute("DEALLOCATE asked")


def rows_read(node: dict[str, Any]) -> float:
    """How many rows of its table the node has looked at."""
    return float((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
