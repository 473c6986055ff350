"""Looks at the configuration alone: what is set and not read, what contradicts itself, who may read the secrets."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from core.config import Configuration, unread_variables
from worker.doctor.finding import Finding, error, ok, warning
from worker.doctor.subject import Subject

_ENV_FILE = Path(".env")
_THREADS_OF_CELERY = 8  # worker_concurrency in celeryconfig.py
# What Celery takes out of the environment past this program's configuration.
_CELERYS_OWN = {
    "CELERY_BROKER_READ_URL": "Celery would take messages from there",
    "CELERY_BROKER_WRITE_URL": "Celery would send there",
    "CELERY_RESULT_BACKEND": "outcomes are in the books, and Celery would write them there as well",
}


def look_at_variables(subject: Subject) -> Iterator[Finding]:
    """What is set, read or not, and which of it can't be meant together."""
    found = [*_unread(), *_celerys_own(), *_contradictions(subject.config), *_readable_secrets(subject.config)]
    yield from found or [ok("every variable that is set is read, and none contradicts another")]


def _unread() -> Iterator[Finding]:
    for line in unread_variables():
        yield warning(line, "correct the name, or unset it (docs/configuration.md)")


def _celerys_own() -> Iterator[Finding]:
    for name, why in _CELERYS_OWN.items():
        if os.environ.get(name):
            yield error(f"{name} is set: {why}", f"unset {name}; CELERY_BROKER_URL is for both")
    redis, broker = os.environ.get("REDIS_URL"), os.environ.get("CELERY_BROKER_URL")
    if redis and broker and redis != broker:
        yield warning("REDIS_URL and CELERY_BROKER_URL are both set and differ: the second one counts", "unset REDIS_URL for Tollbook's processes")


def _contradictions(config: Configuration) -> Iterator[Finding]:
    threads = config.intake_threads + _THREADS_OF_CELERY
    if config.database_pool_size < threads:
        what = f"TOLLBOOK_DATABASE_POOL_SIZE {config.database_pool_size} is less than the {threads} threads of a worker that may need a connection"
        yield warning(what, f"TOLLBOOK_DATABASE_POOL_SIZE={threads} or more")
    if config.lock_timeout_seconds >= config.statement_timeout_seconds:
        yield warning(
            "TOLLBOOK_LOCK_TIMEOUT_SECONDS is not below TOLLBOOK_STATEMENT_TIMEOUT_SECONDS: a wait for a lock ends as a slow statement",
            "a lower TOLLBOOK_LOCK_TIMEOUT_SECONDS",
        )
    for kind in ("parked", "suspense"):
        if getattr(config, f"{kind}_limit_per_mandate") > getattr(config, f"{kind}_limit_total"):
            name = f"TOLLBOOK_{kind.upper()}_LIMIT"
            yield warning(f"{name}_PER_MANDATE is above {name}_TOTAL: one mandate can take all of it", f"a lower {name}_PER_MANDATE")
    if config.directory_url and config.unknown_mandates == "create":
        yield warning(
            "TOLLBOOK_UNKNOWN_MANDATES=create although there is a DIRECTORY_URL: a mistyped mandate id gets settings of its own",
            "TOLLBOOK_UNKNOWN_MANDATES=park",
        )
    if config.intake == "celery":
        yield warning("TOLLBOOK_INTAKE=celery: one message at a time, and `usage.json` isn't read", "TOLLBOOK_INTAKE=pump, unless that is meant")


def _readable_secrets(config: Configuration) -> Iterator[Finding]:
    for path in (_ENV_FILE, Path(config.broker_key) if config.broker_key else None):
        if path is not None and path.is_file() and path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            yield warning(f"everybody on this machine may read {path}, which has secrets in it", f"chmod 600 {path}")
