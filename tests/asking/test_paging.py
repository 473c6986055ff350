"""Pages of lists: each goes on after the last row seen, with no row twice and none left out, in each way of asking."""

import re
import shlex
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

import pytest

from core.alerts.read import list_alerts, list_cap_alerts
from core.asking.rights import ROOT, administrator
from core.caps.read import list_caps
from core.database.database import Database
from core.dead_letters.read import list_dead_letters
from core.jobs.read import list_job_runs
from core.ledger.read_accounts import accounts_of
from core.periods import PeriodType
from core.recording.read_batches import list_batches
from core.recording.read_parked import list_parked, parked_per_mandate
from core.settings.read import list_settings
from core.settings.read_history import settings_history
from core.statistics.read import statistics_of, statistics_of_account
from core.verifying.read_findings import list_findings
from tasks.views import VIEWS
from tests.cli.test_cli import Run, run
from tests.conftest import Rows
from tests.scene import PutAccount, PutSettings

__all__ = ["run"]

ROWS = 7  # of each list, two and two with the same times
DAY = "2026-01-01"
View = Callable[..., list[Any]]

# Each list, how its rows are asked for, the name of its cursor, and of which fields of a row that is made.
LISTS: dict[str, tuple[View, dict[str, object], str, tuple[str, ...]]] = {
    "accounts": (accounts_of, {"mandate_id": "acme"}, "after", ("user_id",)),
    "settings": (list_settings, {}, "after", ("mandate_id",)),
    "settings of some": (list_settings, {"mandate_ids": [f"m{n}" for n in range(ROWS - 1)]}, "after", ("mandate_id",)),
    "history": (settings_history, {"mandate_id": "acme"}, "before", ("version",)),
    "alerts": (list_alerts, {}, "before", ("id",)),
    "alerts of some": (list_alerts, {"mandate_ids": ["acme", "m1"]}, "before", ("id",)),
    "caps": (list_caps, {}, "after", ("id",)),
    "caps of some": (list_caps, {"mandate_ids": ["acme", "m1"]}, "after", ("id",)),
    "alerts of caps": (list_cap_alerts, {}, "before", ("id",)),
    "alerts of caps of some": (list_cap_alerts, {"mandate_ids": ["acme", "m1"]}, "before", ("id",)),
    "batches": (list_batches, {}, "before", ("id",)),
    "dead letters": (list_dead_letters, {}, "before", ("id",)),
    "dead letters with a reason": (list_dead_letters, {"reason": "conflict"}, "before", ("id",)),
    "findings": (list_findings, {}, "before", ("last_seen_at", "id")),
    "job runs": (list_job_runs, {}, "before", ("started_at", "job", "period")),
    "runs of a job": (list_job_runs, {"job": "a"}, "before", ("started_at", "job", "period")),
    "parked events": (list_parked, {}, "before", ("received_at", "mandate_id", "event_id")),
    "parked per mandate": (parked_per_mandate, {}, "after", ("events", "mandate_id")),
    "statistics": (statistics_of_account, {"account_id": 1, "period_type": PeriodType.DAY, "year": 2026}, "after",
                   ("period_start", "provider", "model", "feature_code")),
}  # fmt: skip


@pytest.fixture(autouse=True)
def books(rows: Rows, put_settings: PutSettings, put_account: PutAccount) -> None:
    """Some of everything."""
    put_settings()
    for n in range(ROWS - 1):
        put_settings(f"m{n}")
        put_account(f"u{n}")
        put_account(None, mandate_id=f"m{n}")
    put_account(None)
    numbers = f"generate_series(1, {ROWS}) n"
    at = f"CAST('{DAY}' AS timestamptz) + make_interval(days => n / 2)"
    for statement in (
        f"""INSERT INTO billing_settings_history (mandate_id, version, billing_model, default_user_credit, warning_threshold_percent,
                block_on_zero_balance, notify_on_warning, time_zone, changed_by)
            SELECT 'acme', n, 'PREPAY_USER', n, 10, true, true, 'UTC', 'test' FROM {numbers} WHERE n > 1""",
        f"""INSERT INTO balance_alerts (mandate_id, account_id, kind, recovered, balance_before, balance_after, threshold, settings_version)
            SELECT CASE n % 2 WHEN 0 THEN 'acme' ELSE 'm1' END, 1, 'ZERO', false, 1, 0, 0, 1 FROM {numbers}""",
        f"""INSERT INTO caps (mandate_id, scope, user_id, period, limit_chf, action, first_day, created_by)
            SELECT CASE n % 2 WHEN 0 THEN 'acme' ELSE 'm1' END, 'USER', 'u' || n, 'DAY', 1, 'REFUSE', '{DAY}', 'test' FROM {numbers}""",
        f"""INSERT INTO cap_alerts (mandate_id, cap_id, user_id, window_start, share, recovered, spent_before, spent_after, threshold, limit_chf)
            SELECT CASE n % 2 WHEN 0 THEN 'acme' ELSE 'm1' END, n, 'u' || n, '{DAY}', 50, false, 0, 1, 0.5, 1 FROM {numbers}""",
        f"INSERT INTO batches (worker, committed_at) SELECT 'w', now() FROM {numbers}",
        f"""INSERT INTO dead_letters (body_sha256, body, body_length, typed_json, origin, reason, detail, status)
            SELECT sha256(CAST(CAST(n AS text) AS bytea)), 'x', 1, false, 'test', 'conflict', 'x', CASE n % 2 WHEN 0 THEN 'OPEN' ELSE 'DISCARDED' END
              FROM {numbers}""",
        f"""INSERT INTO reconcile_findings (invariant, subject, detail, last_seen_at) SELECT 'I3', 'account ' || n, '{{"found": []}}', {at}
              FROM {numbers}""",
        f"INSERT INTO job_runs (job, period, worker, started_at) SELECT CASE n % 2 WHEN 0 THEN 'a' ELSE 'b' END, n, 'w', {at} FROM {numbers}",
        f"""INSERT INTO parked_events (mandate_id, event_id, payload_hash, hash_version, body, typed_json, origin, reason, received_at)
            SELECT 'p' || n / 3, 'e' || n, '', 1, 'x', false, 'test', 'unknown_mandate', {at} FROM {numbers}""",
        f"""INSERT INTO usage_statistics (mandate_id, account_id, period_type, period_start, provider, model, feature_code, event_count)
            SELECT 'acme', 1, 'DAY', CAST('{DAY}' AS date) + n / 2, 'p', 'm' || n, 'f', n FROM {numbers}""",
    ):
        rows(statement)


@pytest.mark.parametrize("name", LISTS)
def test_pages_have_each_row_once(name: str, database: Database) -> None:
    """By cursor as by offset the pages together are the list, in its order; after the last row there is none."""
    view, asked, cursor_name, fields = LISTS[name]
    everything = view(database, ROOT, **asked)
    assert len(everything) >= 3
    paged: list[Any] = []
    while True:
        page = view(database, ROOT, **asked, limit=2, **({cursor_name: cursor(paged[-1], fields)} if paged else {}))
        paged += page
        if len(page) < 2:
            break
    assert paged == everything
    assert view(database, ROOT, **asked, **{cursor_name: cursor(everything[-1], fields)}) == []
    if name != "statistics":  # which had no offset
        assert [row for n in range(len(everything)) for row in view(database, ROOT, **asked, limit=1, offset=n)] == everything
        assert view(database, ROOT, **asked, offset=1, **{cursor_name: cursor(everything[0], fields)}) == everything[2:]


def cursor(row: Any, fields: tuple[str, ...]) -> object:
    """What tells the page after this row."""
    values = tuple("" if attrgetter(field)(row) is None else attrgetter(field)(row) for field in fields)
    return values if len(values) > 1 else values[0]


def test_statistics_added_up_have_pages_too(database: Database) -> None:
    """Also where days are added up to months, the next page goes on after a row's key."""
    days = statistics_of_account(database, ROOT, 1, PeriodType.DAY, 2026)
    first, last = days[0].period_start, days[-1].period_start
    of = partial(statistics_of, database, ROOT, "acme", None, PeriodType.MONTH, first, last)
    found = of().rows
    assert len(found) == ROWS
    last_seen = (found[2].period_start, found[2].provider, found[2].model, found[2].feature_code)
    assert of(limit=3).rows == found[:3]
    assert of(limit=3, after=last_seen).rows == found[3:6]


@pytest.mark.parametrize(
    "command",
    ["accounts list acme", "settings list", "settings history acme", "alerts", "alerts --mandate acme", "batches", "deadletters list", "findings",
     "jobs", "parked list", "parked list --per-mandate"],
)  # fmt: skip
def test_a_command_tells_how_the_next_page_is_asked_for(command: str, run: Run) -> None:
    """Under a full page stand the options that bring the next one; one after the other they bring the whole list."""
    everything = run(*command.split(), "--json").json
    found, options = [], list[str]()
    while True:
        shown = run(*command.split(), "--limit", "2", *options)
        found += run(*command.split(), "--limit", "2", *options, "--json").json
        following = re.search(r"^next page: (.*)$", shown.out, re.MULTILINE)
        if following is None:
            break
        options = shlex.split(following[1])
    assert found == everything
    assert len(found) >= 3


@pytest.mark.parametrize(
    ("view", "asked"),
    [
        ("accounts_of", {"mandate_id": "acme", "after": "u1"}),
        ("list_settings", {"after": "m1"}),
        ("settings_history", {"mandate_id": "acme", "before": 3}),
        ("list_alerts", {"before": 3}),
        ("statistics_of_account", {"account_id": 1, "period_type": "DAY", "year": 2026, "limit": 2, "after": ["2026-01-02", "p", "m2", "f"]}),
    ],
)
def test_a_message_takes_the_cursor_too(view: str, asked: dict[str, Any], database: Database) -> None:
    """What goes on after a row stays within what the actor may see."""
    question, function = VIEWS[f"view.{view}"]
    actor = administrator("acme")
    found: Any = function(database, actor, **question.read({"actor": actor, **asked}).arguments())
    everything: Any = function(database, actor, **question.read({"actor": actor, **{k: v for k, v in asked.items() if k != "after"}}).arguments())
    assert {getattr(row, "mandate_id", "acme") for row in found} <= {"acme"}
    assert view == "list_settings" or found
    assert len(found) <= len(everything)


@pytest.mark.parametrize(
    "words",
    ["findings --before yesterday", "jobs --before yesterday a 1", "parked list --before 2026-01-01 acme e1", "parked list --after 3 acme",
     "parked list --per-mandate --before 2026-01-01T00:00:00Z acme e1", "batches --before 0"],
)  # fmt: skip
def test_what_is_no_cursor_is_refused(words: str, run: Run) -> None:
    """Nothing is guessed."""
    assert run(*words.split()).code == 2
