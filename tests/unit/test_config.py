"""The program's configuration: read from the environment, and clear about what it can't use."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.config import Configuration, configuration
from core.database.urls import connection_parameters
from core.errors import Misconfigured
from core.recording.delivery import judge_times, read_events
from tests.sample_events import event, raw

SECRET = "hunter2-very-secret"


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No variable of ours is set, there is no `.env`, and nothing is remembered."""
    for name in list(os.environ):
        if name.startswith("TOLLBOOK_") or name in ("DATABASE_URL", "DATABASE_OWNER_URL", "CELERY_BROKER_URL", "REDIS_URL"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    configuration.cache_clear()
    yield
    configuration.cache_clear()


def test_everything_has_a_default() -> None:
    """An empty environment is a configuration: parking, UTC, 400 days, the pump."""
    config = configuration()
    assert (config.unknown_mandates, config.default_time_zone, config.lateness_days, config.intake) == ("park", "UTC", 400, "pump")
    assert config is configuration()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TOLLBOOK_INTAKE", "magic"),
        ("TOLLBOOK_INTAKE_THREADS", "0"),
        ("TOLLBOOK_INTAKE_THREADS", "9"),
        ("TOLLBOOK_INTAKE_BATCH_MESSAGES", "0"),
        ("TOLLBOOK_INTAKE_BATCH_MESSAGES", "many"),
        ("TOLLBOOK_INTAKE_IDLE_SECONDS", "0"),
        ("TOLLBOOK_INTAKE_VISIBILITY_SECONDS", "-1"),
        ("TOLLBOOK_UNKNOWN_MANDATES", "ignore"),
        ("TOLLBOOK_DEFAULT_TIME_ZONE", "Mars/Olympus"),
        ("TOLLBOOK_DEFAULT_TIME_ZONE", "europe/zurich"),
        ("TOLLBOOK_LATENESS_DAYS", "0"),
        ("TOLLBOOK_LATENESS_DAYS", "1.5"),
        ("TOLLBOOK_PARKED_LIMIT_TOTAL", "-1"),
        ("TOLLBOOK_PARTITIONS_AHEAD", "25"),
        ("TOLLBOOK_METRICS_PORT", "65536"),
        ("TOLLBOOK_LOG_LEVEL", "LOUD"),
        ("TOLLBOOK_STATEMENT_TIMEOUT_SECONDS", "nan"),
        ("TOLLBOOK_LOCK_TIMEOUT_SECONDS", "inf"),
    ],
)
def test_a_bad_value_is_named(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable and the value, so that nobody has to guess."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(Misconfigured) as caught:
        configuration()
    assert variable.removeprefix("TOLLBOOK_").lower() in str(caught.value).lower()
    assert value in str(caught.value)


def test_every_bad_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two mistakes are two problems in one message."""
    monkeypatch.setenv("TOLLBOOK_METRICS_PORT", "-1")
    monkeypatch.setenv("TOLLBOOK_INTAKE", "x")
    with pytest.raises(Misconfigured, match=r"TOLLBOOK_INTAKE: .*TOLLBOOK_METRICS_PORT: "):
        configuration()


@pytest.mark.parametrize(("variable", "value"), [("TOLLBOOK_METRICS_PORT", "-1"), ("TOLLBOOK_DEFAULT_TIME_ZONE", "Mars/Olympus")])
def test_an_error_about_one_value_never_tells_a_password(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else is wrong, the URLs with their passwords stay out of the message."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://app:{SECRET}@localhost/tollbook")
    monkeypatch.setenv("CELERY_BROKER_URL", f"redis://:{SECRET}@localhost/0")
    monkeypatch.setenv(variable, value)
    with pytest.raises(Misconfigured) as caught:
        configuration()
    assert SECRET not in str(caught.value)


def test_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the text nor the repr of a configuration tells a password."""
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "CELERY_BROKER_URL"):
        monkeypatch.setenv(name, f"x://user:{SECRET}@host/x")
    config = configuration()
    assert SECRET not in f"{config!r} {config} {config.model_dump()}"
    assert SECRET in config.require_database_url()


@pytest.mark.parametrize(
    ("missing", "ask"),
    [("DATABASE_URL", "require_database_url"), ("DATABASE_OWNER_URL", "require_owner_url"), ("CELERY_BROKER_URL", "require_broker_url")],
)
def test_a_missing_url_is_named_when_it_is_needed(missing: str, ask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset and empty are the same: the error names the variable and what to do."""
    with pytest.raises(Misconfigured, match=missing):
        getattr(configuration(), ask)()
    monkeypatch.setenv(missing, "")
    configuration.cache_clear()
    with pytest.raises(Misconfigured, match=missing):
        getattr(configuration(), ask)()


def test_the_owner_is_the_worker_where_no_other_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """`DATABASE_OWNER_URL` defaults to `DATABASE_URL`."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://one")
    assert configuration().require_owner_url() == "postgresql://one"


def test_the_broker_may_be_called_redis_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """`REDIS_URL` is accepted, and `CELERY_BROKER_URL` wins."""
    monkeypatch.setenv("REDIS_URL", "redis://one")
    assert configuration().require_broker_url() == "redis://one"
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://other")
    configuration.cache_clear()
    assert configuration().require_broker_url() == "redis://other"


def test_a_file_named_env_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`.env` in the working directory counts where the environment says nothing; foreign lines don't matter."""
    (tmp_path / ".env").write_text("TOLLBOOK_LATENESS_DAYS=30\nTOLLBOOK_METRICS_PORT=9000\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("TOLLBOOK_METRICS_PORT", "9001")
    assert (configuration().lateness_days, configuration().metrics_port) == (30, 9001)


def test_a_configuration_does_not_change() -> None:
    """It is frozen: what was read at the start holds."""
    with pytest.raises(ValidationError, match="frozen"):
        configuration().lateness_days = 5  # type: ignore[misc]


@pytest.mark.parametrize("days", [1, 400, 36_500, 1_000_000, 10**9])
def test_every_lateness_that_is_accepted_can_be_judged_by(days: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lateness beyond the calendar is refused at the start, or means that nothing is ever too late."""
    monkeypatch.setenv("TOLLBOOK_LATENESS_DAYS", str(days))
    try:
        config = configuration()
    except Misconfigured:
        return
    (delivery,) = read_events([raw(event())])
    judge_times([delivery], datetime.now(UTC), config.lateness_days)
    assert not delivery.late


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://localhost/x", "sqlite:///x", f"postgresql//u:{SECRET}@h/d"])
def test_a_url_of_no_postgresql_database_is_refused(url: str) -> None:
    """The books live in PostgreSQL only, and the refusal doesn't repeat the URL."""
    with pytest.raises(Misconfigured) as caught:
        connection_parameters(url, "DATABASE_URL")
    assert SECRET not in str(caught.value)


def test_a_url_of_any_postgresql_spelling_uses_our_driver() -> None:
    """`postgres://`, `postgresql://` and a URL that names another driver are the same to libpq."""
    for scheme in ("postgres", "postgresql", "postgresql+psycopg2"):
        parameters = connection_parameters(f"{scheme}://u:p@h:5/d", "DATABASE_URL")
        assert parameters == {"user": "u", "password": "p", "host": "h", "port": "5", "dbname": "d"}


def test_every_field_tells_what_it_is() -> None:
    """Each one has a description, out of which the documentation is made."""
    assert all(field.description for field in Configuration.model_fields.values())


def test_a_name_that_can_not_be_one_is_told_by_its_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a value has a pattern of its own, the error shows that pattern."""
    monkeypatch.setenv("TOLLBOOK_INSTALLATION", "A B!")
    with pytest.raises(Misconfigured, match=r"A-Za-z0-9\._-"):
        configuration()
