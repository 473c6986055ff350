"""TLS to the broker: every process believes whom it must, on both kinds, and nobody else."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery import Celery

from lab.process import free_port, server_account, temporary_dir
from lab.proxy import Proxy
from lab.rabbitmq import RabbitServer
from tests.certificates import HOST, Authority, by_tls
from tests.conftest import Rows
from tests.delivery.brokers import Broker
from tests.delivery.conftest import PATIENCE_SECONDS, ROOT, Program, StartWorker, both_brokers, eventually, require_rabbitmq
from tests.sample_events import event

WRONG_CA, WRONG_HOST = "TOLLBOOK_BROKER_CA", "name the host for which it was made in CELERY_BROKER_URL"
IP = "127.0.0.1"  # for which no certificate is made
Environment = dict[str, str]


@dataclass(frozen=True)
class Authorities:
    """The one that vouches for the broker, and one that doesn't."""

    ours: Authority
    stranger: Authority


@pytest.fixture(scope="module")
def authorities() -> Iterator[Authorities]:
    """Two authorities, whose servers' keys the account of the servers can read."""
    with temporary_dir() as folder:
        yield Authorities(*(Authority(folder, name, server_account()) for name in ("ours", "stranger")))


@pytest.fixture(scope="module")
def shared_rabbit(authorities: Authorities) -> Iterator[RabbitServer]:
    """A RabbitMQ node that speaks TLS itself, on a second port."""
    require_rabbitmq()
    certificate, key = authorities.ours.issue_apart()
    names = {"cacertfile": authorities.ours.file, "certfile": certificate, "keyfile": key}
    with temporary_dir() as folder:
        options = {f"ssl_options.{name}": str(path) for name, path in names.items()} | {"ssl_options.verify": "verify_none"}
        server = RabbitServer(folder / "rabbitmq", extra={"listeners.ssl.1": f"127.0.0.1:{free_port()}", **options})
        server.start()
        yield server
        server.stop()


@pytest.fixture
def port(broker: Broker, broker_kind: str, authorities: Authorities, request: pytest.FixtureRequest) -> Iterator[int]:
    """Where the test's broker speaks TLS: RabbitMQ itself; the wheel's Valkey can't, and has a proxy in front of it."""
    if broker_kind == "rabbitmq":
        yield int(request.getfixturevalue("shared_rabbit").extra["listeners.ssl.1"].rpartition(":")[2])
        return
    with Proxy(broker.url, tls=authorities.ours.server_context()) as proxy:
        yield proxy.port


@dataclass(frozen=True)
class Case:
    """A client's settings, and what must be told where they lead to a refusal."""

    host: str
    authority: str
    told: str | None


CASES = {"good": Case(HOST, "ours", None), "wrong CA": Case(HOST, "stranger", WRONG_CA), "wrong host": Case(IP, "ours", WRONG_HOST)}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@pytest.fixture
def settings(case: Case, broker: Broker, port: int, authorities: Authorities, environment: Environment) -> Environment:
    """The environment of a process in this case."""
    ca = str(getattr(authorities, case.authority).file)
    return environment | {"CELERY_BROKER_URL": by_tls(broker.url, case.host, port), "TOLLBOOK_BROKER_CA": ca}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts a program, which is killed after the test at the latest."""
    with ExitStack() as started:

        def run(settings: Environment, *command: str) -> Program:
            program = Program(tmp_path / "program.log", settings, *command)
            started.callback(program.kill)
            return program

        yield run


def ends_misconfigured(program: Program, told: str) -> None:
    """Exit code 78, and one line that says what to do."""
    assert program.process.wait(PATIENCE_SECONDS) == 78, program.output()
    (line,) = (line for line in program.output().splitlines() if line.startswith("tollbook: "))
    assert told in line
    assert "Traceback" not in program.output()


@both_brokers
@each_case
def test_a_worker_serves_only_a_broker_that_proves_its_name(
    case: Case, settings: Environment, broker: Broker, producer: Celery, start_worker: StartWorker, rows: Rows, acme: None
) -> None:
    """The pump records and Celery's half does its jobs; from anybody else nothing is taken, and the worker ends with exit code 78."""
    broker.put("usage.json", json.dumps(event()).encode())
    producer.send_task("books.housekeep", queue="maintenance")
    worker = start_worker(**settings)
    if case.told:
        ends_misconfigured(worker, case.told)
        assert (broker.waiting("usage.json"), broker.waiting("maintenance")) == (1, 1)
        return
    worker.ready()
    eventually(lambda: rows("SELECT FROM transactions"), "the event is recorded")
    eventually(lambda: rows("SELECT FROM job_runs WHERE ended_at IS NOT NULL"), "the job has run")
    assert worker.terminate() == 0


@both_brokers
@each_case
def test_beat_asks_only_a_broker_that_proves_its_name(
    case: Case, settings: Environment, broker: Broker, start: Callable[..., Program], tmp_path: Path
) -> None:
    """Its jobs come into the queue; it ends with exit code 78 before it has told anybody else of them."""
    beat = start(settings | {"TOLLBOOK_ALERTS_QUEUE_MAX": "1"}, "celery", "-A", "worker.app", "beat", f"--schedule={tmp_path / 'schedule'}")
    if case.told:
        ends_misconfigured(beat, case.told)
        assert broker.waiting("maintenance") == 0
        return
    eventually(lambda: broker.waiting("maintenance"), "beat has asked for a job")


@both_brokers
@each_case
def test_flower_listens_only_to_a_broker_that_proves_its_name(
    case: Case, settings: Environment, broker: Broker, start: Callable[..., Program]
) -> None:
    """It listens to events; to anybody else it says why it doesn't, and tries again."""
    flower = start(settings, "celery", "-A", "worker.app", "flower", f"--port={free_port()}", f"--address={IP}")
    if case.told:
        eventually(lambda: flower.says("CERTIFICATE_VERIFY_FAILED"), "Flower says why it doesn't connect")
        assert not broker.is_watched()
    else:
        eventually(broker.is_watched, "Flower listens")


@both_brokers
@each_case
def test_events_are_published_only_to_a_broker_that_proves_its_name(case: Case, settings: Environment, broker: Broker, tmp_path: Path) -> None:
    """`tollbook publish` puts them into the queue, or ends with exit code 7 or 78 and says what to do."""
    (tmp_path / "usage.jsonl").write_text(json.dumps(event()))
    command = [sys.executable, "-m", "cli.main", "publish", str(tmp_path / "usage.jsonl")]
    done = subprocess.run(command, env=settings, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert (done.returncode in ((7, 78) if case.told else (0,)), broker.waiting("usage")) == (True, 0 if case.told else 1), done.stderr
    assert (case.told or "") in done.stderr
    assert "Traceback" not in done.stderr


def outcomes(settings: Environment) -> dict[str, str]:
    """What became of each kind of client, as tests/delivery/tls_clients.py has it."""
    command = [sys.executable, "-m", "tests.delivery.tls_clients"]
    done = subprocess.run(command, env=settings, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    tried: dict[str, str] = json.loads(done.stdout)
    assert tried
    return tried


@both_brokers
@each_case
def test_every_client_of_the_broker_judges_alike(case: Case, settings: Environment) -> None:
    """The pump, Celery's half (whatever options its connection is given) and Flower's page."""
    expected = "refused: " if case.told else "connected"
    assert all(became.startswith(expected) for became in outcomes(settings).values()), outcomes(settings)


@both_brokers
def test_a_named_authority_stands_in_place_of_the_systems(
    broker: Broker, port: int, authorities: Authorities, environment: Environment, tmp_path: Path
) -> None:
    """Without a name the system's authorities count; with one they don't, not even where they would vouch for the broker."""
    url, ours, stranger = by_tls(broker.url, HOST, port), str(authorities.ours.file), str(authorities.stranger.file)
    settings = environment | {"CELERY_BROKER_URL": url}
    system = {"SSL_CERT_FILE": ours, "SSL_CERT_DIR": str(tmp_path)}  # by which OpenSSL finds the system's
    assert all(became.startswith("refused: ") for became in outcomes(settings).values())
    assert set(outcomes(settings | system).values()) == {"connected"}
    assert all(became.startswith("refused: ") for became in outcomes(settings | system | {"TOLLBOOK_BROKER_CA": stranger}).values())


@both_brokers
def test_a_hosting_providers_url_is_taken_as_it_is(broker: Broker, port: int, authorities: Authorities, environment: Environment) -> None:
    """`?ssl_cert_reqs=CERT_REQUIRED` says what is done anyway, to both halves."""
    url = f"{by_tls(broker.url, HOST, port)}?ssl_cert_reqs=CERT_REQUIRED"
    settings = environment | {"CELERY_BROKER_URL": url, "TOLLBOOK_BROKER_CA": str(authorities.ours.file)}
    assert set(outcomes(settings).values()) == {"connected"}
    assert all(became.startswith("refused: ") for became in outcomes(settings | {"TOLLBOOK_BROKER_CA": ""}).values())


@both_brokers
def test_verification_is_turned_off_for_all_or_for_none(broker: Broker, port: int, environment: Environment, start_worker: StartWorker) -> None:
    """`TOLLBOOK_BROKER_VERIFY=false` connects both halves to anybody, and is told at the start; a URL's option ends the worker."""
    url = by_tls(broker.url, IP, port)
    settings = environment | {"CELERY_BROKER_URL": url, "TOLLBOOK_BROKER_VERIFY": "false"}
    assert set(outcomes(settings).values()) == {"connected"}
    worker = start_worker(**settings).ready()
    assert worker.output().count("tollbook: TOLLBOOK_BROKER_VERIFY is off") == 1
    assert "broker.unverified" in worker.output()
    assert worker.terminate() == 0
    ends_misconfigured(start_worker(CELERY_BROKER_URL=f"{url}?ssl_cert_reqs=none"), "takes no option ssl_cert_reqs")


@pytest.mark.parametrize("broker_kind", ["rabbitmq"])  # Valkey waits for more, and can't be told from a broker that hangs
def test_a_port_without_tls_is_a_mistake(broker: Broker, start_worker: StartWorker) -> None:
    """TLS to the port of plain connections ends the worker with exit code 78, and the port is named."""
    parts = urlsplit(broker.url)
    ends_misconfigured(start_worker(CELERY_BROKER_URL=by_tls(broker.url, IP, parts.port or 0)), "check the port in CELERY_BROKER_URL")


@both_brokers
def test_a_broker_that_asks_for_a_certificate_is_shown_ours(broker: Broker, authorities: Authorities, environment: Environment) -> None:
    """Every client shows it, from one file or from two; one that has none, or a stranger's, doesn't get in."""
    with Proxy(broker.url, tls=authorities.ours.server_context(asks=authorities.ours)) as proxy:
        settings = environment | {"CELERY_BROKER_URL": by_tls(broker.url, HOST, proxy.port), "TOLLBOOK_BROKER_CA": str(authorities.ours.file)}
        certificate, key = authorities.ours.issue_apart("worker.example")
        two = {"TOLLBOOK_BROKER_CERTIFICATE": str(certificate), "TOLLBOOK_BROKER_KEY": str(key)}
        assert set(outcomes(settings | two).values()) == {"connected"}
        assert set(outcomes(settings | {"TOLLBOOK_BROKER_CERTIFICATE": str(authorities.ours.issue())}).values()) == {"connected"}
        stranger = str(authorities.stranger.issue())
        for refused in (settings, settings | {"TOLLBOOK_BROKER_CERTIFICATE": stranger}):
            assert all(became.startswith("refused: ") for became in outcomes(refused).values())


@both_brokers
def test_nothing_is_taken_from_whoever_comes_into_the_brokers_place(
    broker: Broker,
    producer: Celery,
    authorities: Authorities,
    environment: Environment,
    start_worker: StartWorker,
    rows: Rows,
    acme: None,
    tmp_path: Path,
) -> None:
    """While another certificate is shown there, a top-up and an event wait and the worker says why; it goes on when the broker is back."""
    shown = authorities.ours.server_context()
    with Proxy(broker.url, tls=shown) as proxy:
        settings = environment | {"CELERY_BROKER_URL": by_tls(broker.url, HOST, proxy.port), "TOLLBOOK_BROKER_CA": str(authorities.ours.file)}
        worker = start_worker(**settings).ready()
        eventually(lambda: states(producer) == ["idle", "idle"], "both pumps have met the broker")
        shown.load_cert_chain(authorities.stranger.issue())
        assert proxy.cut() > 0
        producer.send_task("movement.top_up", kwargs={"mandate_id": "acme", "amount": "777", "key": "impostor-1", "by": "mallory"}, queue="movements")
        broker.put("usage.json", json.dumps(event()).encode())
        before = refusals(worker, "consumer: Cannot connect")
        eventually(lambda: refusals(worker, "intake.waiting"), "the pump has said why it waits")
        eventually(lambda: refusals(worker, "consumer: Cannot connect") > before + 1, "Celery's half was refused twice more")
        assert (broker.waiting("movements"), broker.waiting("usage.json")) == (1, 1)
        assert not rows("SELECT FROM transactions")
        shown.load_cert_chain(authorities.ours.issue())
        eventually(lambda: broker.waiting("movements") == 0, "the top-up is taken")
        eventually(lambda: rows("SELECT FROM transactions WHERE transaction_type = 'DEBIT'"), "the event is recorded")
        assert worker.terminate() == 0


def states(producer: Celery) -> list[str]:
    """What the worker's pumps are doing."""
    answers: Any = producer.control.inspect(timeout=5, limit=1)._request("intake")
    return list(answers["w@test"]["state"]) if answers else []


def refusals(worker: Program, half: str) -> int:
    """How often a half of the worker has said that the certificate is why it doesn't connect; the pump says so once."""
    return sum("CERTIFICATE_VERIFY_FAILED" in line and half in line for line in worker.output().splitlines())
