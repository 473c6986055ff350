"""Looks at the broker, of either kind, and at lists that nobody reads."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import redis

from core.errors import StorageUnavailable
from worker.answers import foreign_lists
from worker.doctor import rabbitmq_broker, redis_broker
from worker.doctor.finding import Finding, error, ok, skipped, warning
from worker.doctor.looks import split_cure
from worker.doctor.subject import Subject, is_near, shown_place
from worker.intake.amqp_connection import ERRORS, is_amqp, refusal
from worker.preflight import served_broker
from worker.tls import UNVERIFIED, certificate_refusal, is_unverified, uses_tls

_FOREIGN_SECONDS = 5.0
_UNREACHED = "start it, and check host and port in CELERY_BROKER_URL; events wait with their producers until then"


def look_at_broker(subject: Subject) -> Iterator[Finding]:
    """Whether it lets us in, of which kind it is, and how old."""
    url = served_broker(subject.config.require_broker_url())
    version: tuple[int, ...] | None = None
    try:
        if is_amqp(url):
            told = rabbitmq_broker.server_version(url)
        else:
            told, version = redis_broker.version_of(url)
    except (redis.RedisError, *ERRORS) as failure:
        refused = certificate_refusal(failure) or refusal(failure)
        yield error(*split_cure(str(refused))) if refused else error(f"it doesn't answer: {type(failure).__name__}: {failure}", _UNREACHED)
        return
    if version is not None and redis_broker.is_too_old(version):
        yield error(f"{told} lacks commands that workers need", "Redis 6.2 or later, or Valkey")
    else:
        yield ok(f"{told}, {shown_place(url)}")
    yield from _way_findings(url)


def _way_findings(url: str) -> Iterator[Finding]:
    if is_unverified(url):
        yield warning(UNVERIFIED, "name the authority's file in TOLLBOOK_BROKER_CA, and leave TOLLBOOK_BROKER_VERIFY out")
    if not uses_tls(url) and not url.startswith("redis+socket") and not is_near(urlsplit(url).hostname or ""):
        what = "the way to the broker isn't encrypted: its password and all usage can be read on the way"
        yield warning(what, "rediss:// or amqps:// in CELERY_BROKER_URL (docs/operations.md#tls)")


def look_at_foreign_lists(subject: Subject) -> Iterator[Finding]:
    """Whether messages stand where no worker reads them."""
    try:
        found, is_whole = foreign_lists(subject.config.require_broker_url(), seconds=_FOREIGN_SECONDS)
    except redis.exceptions.NoPermissionError as refused:
        yield skipped(f"this login may not look for lists: {refused}", "deploy/users.acl has what it takes")
        return
    except redis.RedisError as failure:
        raise StorageUnavailable(f"the broker can't be asked: {failure}") from failure
    for name, messages in found.items():
        yield error(f"{name} holds {messages:,} that no worker reads", f"mend the producer, then: tollbook intake adopt '{name}'")
    if not is_whole:
        yield ok(f"none among the keys seen in {_FOREIGN_SECONDS:g} s; workers go on looking")
    elif not found:
        yield ok("no list that looks like ours and that nobody reads")
