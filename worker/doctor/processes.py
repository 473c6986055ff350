"""Looks at the processes: workers, beat, Flower."""

import os
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException

from core.schema.revision import head
from core.version import __version__
from worker.answers import ANSWER_SECONDS, WorkerAnswer, ask_everybody
from worker.doctor.finding import Finding, error, ok, skipped, warning
from worker.doctor.subject import Subject
from worker.queue_limits import USAGE_QUEUES

_LOGINS = ("FLOWER_BASIC_AUTH", "FLOWER_AUTH", "FLOWER_AUTH_PROVIDER")
_PORT = 5555
_TROUBLED = {"waiting_for_database", "waiting_for_broker", "failing", "stopped"}
_PASSWORD = "FLOWER_BASIC_AUTH=user:password for its process"  # noqa: S105 - no password


def look_at_workers(subject: Subject) -> Iterator[Finding]:
    """Whether workers answer, are at work, and are all of one release; whether beat answers."""
    answers = ask_everybody(2 * ANSWER_SECONDS)
    if not answers.workers:  # one that was started a moment ago
        answers = ask_everybody(4 * ANSWER_SECONDS)
    subject.workers = len(answers.workers)
    if not answers.workers:
        yield error(f"no worker answers within {6 * ANSWER_SECONDS:g} s: nothing is recorded", "celery -A worker.app worker")
    else:
        yield from _troubles(answers.workers)
        yield from _releases(answers.workers)
    if len(answers.beats) == 1:
        yield ok(f"beat answers: {answers.beats[0]}")
    elif answers.beats:
        yield warning(f"{len(answers.beats)} beats answer: one is enough", "stop all but one; they do no harm")
    else:
        yield warning("no beat answers: no job is asked for", "celery -A worker.app beat")


def _troubles(workers: list[WorkerAnswer]) -> Iterator[Finding]:
    bad = [worker for worker in workers if set(worker.states) & _TROUBLED]
    for worker in bad:
        states, why = ", ".join(sorted(set(worker.states) & _TROUBLED)), f": {worker.last_error}" if worker.last_error else ""
        yield error(f"{worker.name} is {states}{why}", "see its log; docs/runbook.md")
    for worker in workers:
        if "paused" in worker.states:
            yield warning(f"{worker.name} is paused", f"celery -A worker.app control intake_resume -d {worker.name}")
    unserved = sorted(set(USAGE_QUEUES) - {queue for worker in workers for queue in worker.queues})
    if unserved:
        yield error(f"no worker that answers serves {', '.join(unserved)}", "celery -A worker.app worker, without -Q or with these queues")
    elif not bad:
        yield ok(f"{len(workers)} answer, and serve {' and '.join(USAGE_QUEUES)}")


def _releases(workers: list[WorkerAnswer]) -> Iterator[Finding]:
    versions = {worker.version or "an older release" for worker in workers}
    revisions = {worker.revision for worker in workers if worker.revision}
    if versions != {__version__} or revisions - {head()}:
        told = ", ".join(sorted(versions | revisions))
        yield warning(
            f"workers are not all of this release ({__version__}, {head()}): {told}", "restart those of another one (docs/operations.md#upgrading)"
        )


def look_at_flower(_: Subject) -> Iterator[Finding]:
    """Whether Flower asks for a password, where this environment is Flower's too, or one answers on this machine."""
    yield from flower_findings(os.environ)


def flower_findings(environment: Mapping[str, str]) -> Iterator[Finding]:
    """As `look_at_flower`, for the variables given."""
    named = [name for name in environment if name.startswith("FLOWER_") and name != "FLOWER_BROKER_API"]
    if environment.get("FLOWER_UNAUTHENTICATED_API", "").lower() in ("1", "true", "yes", "on"):
        yield error("FLOWER_UNAUTHENTICATED_API is on: whoever reaches Flower can run any task, top-ups too", "unset it")
    if named and not any(environment.get(name) for name in _LOGINS):
        yield error(f"{', '.join(sorted(named))} set, and no password: whoever reaches Flower can stop workers", _PASSWORD)
    address = environment.get("FLOWER_ADDRESS", "") or "127.0.0.1"
    port = int(environment.get("FLOWER_PORT", "") or _PORT) if environment.get("FLOWER_PORT", "0").isdecimal() else _PORT
    match _status_of_page("127.0.0.1" if address == "0.0.0.0" else address, port, environment.get("FLOWER_URL_PREFIX", "")):  # noqa: S104 - of Flower's
        case None:
            yield skipped(f"none answers at {address}:{port}")
        case 200:
            yield error(f"the one at {address}:{port} asks for no password: whoever reaches it can stop workers", _PASSWORD)
        case status:
            yield ok(f"the one at {address}:{port} asks for a login (answers {status})")


def _status_of_page(address: str, port: int, prefix: str) -> int | None:
    connection = HTTPConnection(address, port, timeout=2)
    try:
        connection.request("GET", f"/{prefix.strip('/')}/workers".replace("//", "/"))
        answer = connection.getresponse()
        is_flower = answer.status in (301, 302, 401, 403) or b"lower" in answer.read(20_000)
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    return answer.status if is_flower else None
