"""No secret gets out: a whole run, with mistakes in it, and everything that it wrote, and every process's arguments, searched for each password."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest
import redis
from celery import Celery

from core.config import Configuration
from lab.process import free_port
from tests.conftest import IsolatedConfiguration, Rows
from tests.delivery.conftest import ROOT, Program, StartWorker, eventually
from tests.sample_events import body_of, event

pytestmark = pytest.mark.usefixtures("acme")
BROKER_PASSWORD, FLOWER_PASSWORD, PASTED = "Br0ker/S3cret@x", "Fl0werS3cret", "P4sted/S3cret@y"
COMMANDS = [["status"], ["doctor"], ["db", "check"], ["publish", "{events}"], ["intake", "adopt", "prod:usage"]]
OF_THE_BROKER, OF_THE_DATABASE = [["status"], ["publish", "{events}"]], [["doctor"], ["db", "check"]]


def parts_of(secret: str) -> set[str]:
    """What must not be seen of a secret: itself, as a URL has it, and each part that a wrong reading of the URL would show."""
    return {secret, quote(secret, safe=""), *(part for part in re.split("[/@?#:]", secret) if len(part) > 3)}


def is_clean(text: str, secrets: set[str]) -> None:
    """Nothing of the secrets is in it."""
    found = [secret for secret in secrets if secret in text]
    assert not found, f"{found} in {text[max(0, text.index(found[0]) - 300) :][:600]}"


def arguments_of_all() -> str:
    """The arguments of every process of the host that can be read."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)


@pytest.mark.timeout(400)
def test_a_whole_run_tells_no_secret(
    queue: redis.Redis, broker_url: str, environment: dict[str, str], start_worker: StartWorker, rows: Rows, tmp_path: Path
) -> None:
    """Worker, beat, Flower and the commands, right and wrong: passwords, right and wrong, are in no output, no log and no arguments."""
    server = urlsplit(broker_url)
    queue.execute_command("ACL SETUSER", "secretive", "on", f">{BROKER_PASSWORD}", "~*", "&*", "+@all")  # type: ignore[no-untyped-call]
    try:
        _run(f"{server.hostname}:{server.port}", environment, start_worker, rows, tmp_path)
    finally:
        queue.execute_command("ACL DELUSER", "secretive")  # type: ignore[no-untyped-call]


def _run(host: str, environment: dict[str, str], start_worker: StartWorker, rows: Rows, folder: Path) -> None:
    right = f"redis://secretive:{quote(BROKER_PASSWORD, safe='')}@{host}/0"
    database = [unquote(urlsplit(environment[name]).password or "") for name in ("DATABASE_URL", "DATABASE_OWNER_URL")]
    secrets = set().union(*map(parts_of, [*database, BROKER_PASSWORD, FLOWER_PASSWORD, PASTED]))
    given = environment | {"CELERY_BROKER_URL": right, "FLOWER_BASIC_AUTH": f"operator:{FLOWER_PASSWORD}", "TOLLBOOK_LOG_LEVEL": "DEBUG"}
    worker = start_worker("--loglevel", "DEBUG", CELERY_BROKER_URL=right).ready()
    celery = ("celery", "-A", "worker.app")
    beat = Program(folder / "beat.log", given, *celery, "beat", "--scheduler=celery.beat:Scheduler", "--loglevel", "DEBUG", "-s", str(folder / "s"))
    flower = Program(folder / "flower.log", given, *celery, "flower", "--address=127.0.0.1", f"--port={free_port()}")
    try:
        with Celery("asking", broker=right, set_as_current=False) as asking:
            asking.send_task("usage.record", kwargs={"event": event()}, queue="usage", ignore_result=True)
            eventually(lambda: rows("SELECT FROM transactions WHERE transaction_type = 'DEBIT'"), "usage is recorded")
            inspect = asking.control.inspect(timeout=5)
            told = repr([inspect.conf(with_defaults=True), inspect.stats(), inspect.report()])
        is_clean(told, secrets)
        is_clean(arguments_of_all(), secrets)
        for command in COMMANDS:
            is_clean(_told(command, given, folder), secrets)
        for wrong in _wrong(given, host):
            for command in OF_THE_BROKER if wrong["DATABASE_URL"] == given["DATABASE_URL"] else OF_THE_DATABASE:
                is_clean(_told(command, wrong, folder), secrets)
    finally:
        for program in (beat, flower):
            program.process.send_signal(signal.SIGTERM)
            program.process.wait(30)
    worker.terminate()
    for path in folder.rglob("*"):
        if path.is_file():
            is_clean(path.read_bytes().decode(errors="replace"), secrets)


def _wrong(given: dict[str, str], host: str) -> list[dict[str, str]]:
    """The same with one thing wrong: the broker's password, one that was pasted as it is, the database's."""
    database = urlsplit(given["DATABASE_URL"])
    place = f"{database.hostname}:{database.port}{database.path}"
    return [
        given | {"CELERY_BROKER_URL": f"redis://secretive:{quote(PASTED, safe='')}@{host}/0"},
        given | {"CELERY_BROKER_URL": f"redis://secretive:{PASTED}@{host}/0"},
        given | {"DATABASE_URL": f"postgresql://{database.username}:{quote(PASTED, safe='')}@{place}"},
        given | {"DATABASE_URL": f"postgresql://{database.username}:{PASTED}@{place}"},
    ]


def _told(command: list[str], given: dict[str, str], folder: Path) -> str:
    events = folder / "events.jsonl"
    events.write_bytes(body_of(event()))
    words = [word.format(events=events) for word in command]
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *words],
        cwd=ROOT,
        env=given,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def test_no_object_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration, printed, formatted or dumped, hides each URL."""
    urls = dict.fromkeys(("database_url", "database_owner_url", "directory_url"), f"postgresql://u:{FLOWER_PASSWORD}@h/d")
    config: Configuration = IsolatedConfiguration(**urls, broker_url=f"redis://:{FLOWER_PASSWORD}@h/0")  # type: ignore[arg-type]
    for text in (repr(config), str(config), f"{config}", repr(config.model_dump()), config.model_dump_json(), repr(vars(config))):
        assert FLOWER_PASSWORD not in text
    assert os.environ.get("FLOWER_BASIC_AUTH") != FLOWER_PASSWORD
