"""The schedule with real workers and beats: each job's effect once, and usage of unknown mandates recorded within seconds."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery

from lab.postgres import PostgresServer
from tests.conftest import Rows, own_database
from tests.delivery.conftest import ROOT, StartWorker, both_brokers, eventually
from tests.directory.source import ApplicationDatabase
from tests.sample_events import event

Counts = Callable[[], dict[str, int]]
StartBeat = Callable[[str], Path]
# The schedule of celeryconfig.py, four times a second.
HASTY = """
from celeryconfig import *
from celeryconfig import beat_schedule
beat_max_loop_interval = 0.25
for _entry in beat_schedule.values():
    _entry["schedule"] = 0.25
"""
HASTY_APP = """
from worker.app import app
app.config_from_object("hasty_config", force=True)
"""


@pytest.fixture
def source(postgres: PostgresServer) -> Iterator[ApplicationDatabase]:
    """The application's database."""
    with own_database(postgres, "template1") as urls:
        yield ApplicationDatabase(urls.owner)


@pytest.fixture
def start_beat(environment: dict[str, str], tmp_path: Path) -> Iterator[StartBeat]:
    """Starts real beats whose schedule is that of the product, but four times a second; gives their logs."""
    (tmp_path / "hasty_config.py").write_text(HASTY)
    (tmp_path / "hasty_app.py").write_text(HASTY_APP)
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str) -> Path:
        log = tmp_path / f"{name}.log"
        own = environment | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
        command = [sys.executable, "-m", "celery", "-A", "hasty_app", "beat", "-l", "INFO", f"--schedule={tmp_path / name}", "--pidfile="]
        with log.open("ab") as output:
            started.append(subprocess.Popen(command, cwd=ROOT, env=own, stdout=output, stderr=subprocess.STDOUT))
        return log

    yield start
    for beat in started:
        beat.kill()
        beat.wait(10)


@both_brokers
def test_usage_of_an_unknown_mandate_is_recorded_within_seconds(
    producer: Celery, source: ApplicationDatabase, start_worker: StartWorker, counts: Counts, rows: Rows
) -> None:
    """Without any beat: the parked event has the directory read, and is recorded once its mandate is there; the request is one message."""
    source.put_mandate("acme", users=["ada"])
    start_worker(DIRECTORY_URL=source.url).ready()
    for _ in range(5):
        producer.send_task("usage.record", args=[event()], queue="usage")
    eventually(lambda: counts()["recorded"] == 5, "the events are recorded", 30)
    assert [row["user_id"] for row in rows("SELECT user_id FROM accounts WHERE balance > 8")] == ["ada"]
    assert rows("SELECT job, error FROM job_runs WHERE job = 'directory.sync' AND error IS NOT NULL") == []


def test_a_late_mandate_is_found_by_the_schedule(
    producer: Celery, source: ApplicationDatabase, start_worker: StartWorker, start_beat: StartBeat, counts: Counts, rows: Rows
) -> None:
    """An event that came before the application's own commit is recorded although nobody sends anything any more."""
    start_worker(DIRECTORY_URL=source.url).ready()
    producer.send_task("usage.record", args=[event()], queue="usage")
    eventually(lambda: rows("SELECT FROM job_runs WHERE job = 'directory.sync' AND ended_at IS NOT NULL"), "the source was read")
    source.put_mandate("acme", users=["ada"])
    start_beat("one")
    eventually(lambda: counts()["recorded"] == 1, "the event is recorded", 60)
    assert len(rows("SELECT FROM transactions WHERE transaction_type = 'DEBIT'")) == 1
    assert rows("SELECT FROM parked_events") == []


@pytest.mark.usefixtures("acme")
def test_two_beats_and_two_workers_do_each_job_once(
    source: ApplicationDatabase, start_worker: StartWorker, start_beat: StartBeat, rows: Rows
) -> None:
    """Two beats on one schedule, two maintenance workers: each job's effect happens once per period."""
    source.put_mandate("acme", users=["ada", "bob"])
    for name in ("one", "two"):
        start_worker("-Q", "maintenance", name=name, DIRECTORY_URL=source.url).ready()
    logs = [start_beat(name) for name in ("one", "two")]

    def asked(job: str) -> int:
        return min(log.read_text(errors="replace").count(f"Sending due task {job}") for log in logs)

    jobs = ("directory.sync", "settings.backfill", "accounts.backfill", "books.housekeep")
    eventually(lambda: all(asked(job) >= 5 for job in jobs), "both beats have asked for each job five times")
    done = "SELECT DISTINCT job FROM job_runs WHERE ended_at IS NOT NULL"
    eventually(lambda: {row["job"] for row in rows(done)} >= set(jobs), "each job was done")
    runs = rows("SELECT job, count(*) n, count(error) errors FROM job_runs GROUP BY job ORDER BY job")
    hours = rows("SELECT count(DISTINCT left(period, 13)) n FROM job_runs")[0]["n"]  # one more where the hour ended meanwhile
    assert all(row["n"] <= hours and row["errors"] == 0 for row in runs), runs
    assert rows("SELECT count(*) n, count(DISTINCT mandate_id) m FROM billing_settings") == [{"n": 1, "m": 1}]
    made = rows("SELECT sum(CAST(counts ->> 'settings' AS int)) s, sum(CAST(counts ->> 'accounts' AS int)) a FROM job_runs")
    assert made[0]["s"] == 1
    assert made[0]["a"] in {0, 2}  # the accounts' turn may have come before the settings'
    assert len(rows("SELECT FROM transactions WHERE reference_type = 'SYSTEM'")) == made[0]["a"]
