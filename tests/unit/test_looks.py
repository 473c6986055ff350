"""The doctor's looks, without servers: how they are run, and what they say of what they are given."""

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from core.errors import Misconfigured
from core.prices.read import Status
from core.prices.version import Version
from tests.conftest import IsolatedConfiguration
from worker.doctor.all_looks import looks_at
from worker.doctor.condition import price_findings
from worker.doctor.configuration import look_at_variables
from worker.doctor.finding import Finding, Severity, error, ok
from worker.doctor.looks import Look, examine, split_cure
from worker.doctor.processes import flower_findings
from worker.doctor.rabbitmq_broker import management_of
from worker.doctor.subject import Subject, is_near, shown_place

PASSWORD = "hunter2-and-more"


def subject(**fields: object) -> Subject:
    """A subject whose configuration is these fields."""
    return Subject(IsolatedConfiguration(**fields))  # type: ignore[arg-type]


def test_a_look_that_fails_or_hangs_stops_no_other() -> None:
    """Each look ends by itself: an error, a refusal, a crash and a hang are findings, and what needs one of them is not looked at."""
    forever = threading.Event()

    def fails(_: Subject) -> Iterator[Finding]:
        yield ok("so far")
        raise Misconfigured(f"refused at postgresql://u:{PASSWORD}@h/d; check DATABASE_URL")

    def crashes(_: Subject) -> Iterator[Finding]:
        raise ZeroDivisionError("of nobody's making")

    def hangs(_: Subject) -> Iterator[Finding]:
        forever.wait()
        yield ok("never")

    looks = [
        Look("well", lambda _: [ok("well")], after=("hangs",)),
        Look("needs", lambda _: [ok("needless")], needs=("fails",)),
        Look("fails", fails),
        Look("crashes", crashes),
        Look("hangs", hangs),
    ]
    found = [(told.look, told.severity, told.what, told.cure) for told in examine(subject(), looks, seconds=0.2)]
    forever.set()
    assert found == [
        ("well", "ok", "well", ""),
        ("needs", "skipped", "not looked at, because of fails", ""),
        ("fails", "ok", "so far", ""),
        ("fails", "error", "refused at postgresql://***@h/d", "check DATABASE_URL"),
        ("crashes", "error", "the look itself failed: ZeroDivisionError: of nobody's making", "see the other findings; else report it"),
        ("hangs", "error", "no answer within 0.2 s", found[-1][3]),
    ]


def test_no_secret_is_told() -> None:
    """Passwords out of any of the URLs are stars, as they stand there and decoded, whoever wrote the text."""
    given = subject(database_url=f"postgresql://u:{PASSWORD}%21@h/d", broker_url="redis://:other-secret@h/0")
    found = examine(given, [Look("tells", lambda _: [error(f"with {PASSWORD}! and other-secret", f"not {PASSWORD}%21")])])
    assert (found[0].what, found[0].cure) == ("with *** and ***", "not ***")


@pytest.mark.parametrize("broker", ["redis://h/0", "amqp://h/"])
def test_every_look_waits_only_for_others(broker: str) -> None:
    """The looks of either broker name only looks that are there, each once."""
    looks = looks_at(IsolatedConfiguration(broker_url=broker))
    names = [look.name for look in looks]
    assert len(names) == len(set(names))
    assert {name for look in looks for name in (*look.needs, *look.after)} <= set(names)


def test_contradictions_of_the_configuration_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Variables that are read by nobody, or that can't be meant together, and a file of secrets that everybody may read."""
    monkeypatch.chdir(tmp_path)
    for name in ("CELERY_BROKER_READ_URL", "CELERY_RESULT_BACKEND", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    well = list(look_at_variables(subject()))
    assert [found.severity for found in well] == [Severity.OK]
    (tmp_path / ".env").touch(mode=0o644)
    monkeypatch.setenv("TOLLBOOK_INTAKE_THREAD", "3")
    monkeypatch.setenv("CELERY_BROKER_WRITE_URL", "redis://elsewhere/0")
    given = subject(
        database_pool_size=4,
        lock_timeout_seconds=60,
        parked_limit_total=5,
        unknown_mandates="create",
        directory_url="postgresql://h/d",
        intake="celery",
    )
    told = [found.what for found in look_at_variables(given)]
    names = ("_INTAKE_THREAD ", "BROKER_WRITE_URL", "POOL_SIZE", "LOCK_TIMEOUT", "PARKED_LIMIT", "UNKNOWN_MANDATES", "_INTAKE=", ".env")
    for word in names:
        assert [line for line in told if word in line], word
    assert len(told) == len(names)


def test_prices_that_are_needed_and_old_are_told() -> None:
    """Without a mandate that pays computed prices nothing is missing; with one, an active version and rates of these days are."""
    day = date(2026, 5, 20)
    then = datetime(2026, 5, 1, tzinfo=UTC)
    version = Version(7, None, "list", "h", {}, {}, 3, "ada", then, "ada", then, 4, active=True)
    none = Status(1, None, [], 0, 0, 0, {}, {})
    book = Status(1, version, [8], 0, 0, 0, {"computed": 2}, {"USD": date(2026, 5, 14)})
    assert [found.severity for found in price_findings(none, day, computed=0)] == ["ok"]
    assert [found.severity for found in price_findings(none, day, computed=2)] == ["error"]
    assert [found.severity for found in price_findings(book, day, computed=2)] == ["warning", "warning"]
    assert [found.severity for found in price_findings(book, date(2026, 5, 16), computed=2)] == ["warning"]


def test_flower_without_a_password_is_told() -> None:
    """By its variables, wherever it runs."""
    bad = list(flower_findings({"FLOWER_PORT": "1", "FLOWER_UNAUTHENTICATED_API": "true"}))
    assert [found.severity for found in bad] == ["error", "error", "skipped"]
    assert [found.severity for found in flower_findings({"FLOWER_PORT": "1", "FLOWER_BASIC_AUTH": "a:b"})] == ["skipped"]


def test_where_the_management_interface_is() -> None:
    """By FLOWER_BROKER_API and its own login, else at the broker's host with the broker's; a broker with TLS is never asked without."""
    asked = management_of("amqp://u:p%21@h:5672/books", "")
    assert (asked.url, asked.virtual_host) == ("http://h:15672/api/", "books")
    assert management_of("amqps://u:p@h/", "").url == "https://h:15671/api/"
    named = management_of("amqp://u:p@h/", "http://m:n@other:1234/api/")
    assert named.url == "http://other:1234/api/"
    assert named.login != management_of("amqp://u:p@h/", "http://other:1234/api/").login


def test_where_a_url_leads() -> None:
    """Host, port and database are shown, never the login; near is this machine, or a network of containers."""
    assert shown_place("redis://u:p@valkey:6379/0") == "valkey:6379/0"
    assert shown_place("redis+socket:///run/valkey.sock?virtual_host=0") == "the socket /run/valkey.sock"
    assert all(map(is_near, ("", "/run/postgresql", "127.0.0.1", "::1", "localhost", "postgres")))
    assert not any(map(is_near, ("db.example.org", "10.0.0.7")))


def test_an_error_that_tells_its_cure_is_told_in_two_parts() -> None:
    """What is wrong, and what to do."""
    assert split_cure("role r lacks SELECT on t: run `tollbook db upgrade`") == ("role r lacks SELECT on t", "run `tollbook db upgrade`")
    assert split_cure("nothing helps") == ("nothing helps", "")
