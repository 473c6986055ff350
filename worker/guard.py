"""What may come out of which queue, before Celery's own consumer looks at a message.

Celery runs any task that a message names, whatever queue it comes from, and what a message carries beside its arguments
(`link`, `chain`, `chord`) is sent on under the worker's own login. So who may write to one queue could have everything done.
Here a queue that producers write to yields only calls of the tasks that it is for, stripped to their arguments.
"""

import json
import logging
from base64 import b64encode
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import uuid4

import structlog
from celery.worker.consumer import Consumer
from redis.exceptions import NoPermissionError

from core.events.message import UNREAD_BODY, UNREAD_REASON
from core.json_exact import repetition
from core.printable import shown
from core.rejection import Reason, Rejection
from tasks.answer import error_answer, send_answer
from tasks.views import VIEWS
from worker.message_headers import sound_headers
from worker.preflight import refuse
from worker.queue_limits import TRUSTED_QUEUES, USAGE, body_bytes_max

log = structlog.get_logger()

OPEN_TASKS = {
    USAGE: frozenset({"usage.record", "usage.record_batch"}),  # with intake=celery; the pump has its own reader
    "checks": frozenset({"balance.check", "hold.authorise", "hold.renew", "hold.release", "settings.get"}),
    "views": frozenset(VIEWS),
}
_OF_PRODUCERS = OPEN_TASKS[USAGE] | OPEN_TASKS["checks"]  # what came past the queues' own exchanges may be theirs
_HEADERS = ("lang", "task", "id", "root_id", "argsrepr", "kwargsrepr", "expires", "origin", "ignore_result")
_HEADERS_OF_RETRIES = ("eta", "retries")  # of usage, which Celery itself sends again


class GuardedConsumer(Consumer):
    """Celery's consumer behind the guard."""

    _has_served = False

    def create_task_handler(self, *arguments: Any, **options: Any) -> Any:
        """The handler of each message that comes for a task."""
        handle = super().create_task_handler(*arguments, **options)
        self._has_served = True  # the event loop begins

        def guarded(message: Any) -> Any:
            try:
                confine(message)
            except ValueError as refusal:
                self._refuse(message, str(refusal))
                return None
            return handle(message)

        return guarded

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Celery would connect anew, five times a second: a right that is missing at the start ends the worker instead."""
        if isinstance(exc, NoPermissionError) and not self._has_served:
            refuse(f"the broker's login lacks a right: {exc}; grant it (docs/operations.md#the-brokers-logins)")
        super().on_connection_error_after_connected(exc)

    def _refuse(self, message: Any, why: str) -> None:
        log.error("guard.message_refused", queue=queue_of(message), why=why)
        message.reject_log_error(logging.getLogger(__name__), self.connection_errors)  # type: ignore[attr-defined]
        properties = message.properties or {}
        send_answer(self.app, properties.get("reply_to"), properties.get("correlation_id"), error_answer("refused", why))


def confine(message: Any) -> None:
    """Leaves of a message what its queue may ask for; decimals in its arguments stay exact.

    A usage message that can't be read is handed to its own door as it came, which keeps it as a dead letter.

    Raises:
        ValueError: nothing is left of it; the text says why.
    """
    queue = queue_of(message)
    headers = message.headers if isinstance(message.headers, dict) else {}
    is_usage = queue == USAGE or (queue not in OPEN_TASKS and _is_usage_task(headers.get("task")))
    try:
        _check_content(message, headers, body_bytes_max(USAGE if is_usage else queue))
        body, twice = _decoded(message)
    except Rejection as defect:
        if not is_usage:
            raise
        _leave_to_the_door(message, headers, defect)
        return
    if queue in TRUSTED_QUEUES:
        _confine_trusted(message, headers, body, twice)
        return
    came, named = message.body, headers.get("task", body.get("task") if isinstance(body, dict) else None)  # in the old protocol the body has it
    try:
        _confine_open(message, queue, headers, body, twice)
    except ValueError as unreadable:
        if not is_usage or not _is_usage_task(named):
            raise
        message.body = came
        _leave_to_the_door(message, headers, Rejection(Reason.MALFORMED_MESSAGE, str(unreadable)))


def _is_usage_task(task: object) -> bool:
    return isinstance(task, str) and task in OPEN_TASKS[USAGE]


def _confine_trusted(message: Any, headers: dict[str, Any], body: Any, twice: str | None) -> None:
    if twice:
        raise ValueError(f"body: {twice}")
    if "task" in headers:
        message.headers = sound_headers(headers)
        _rewrite(message, *_parts(body))
    elif isinstance(body, dict):
        sound_headers(body)


def _confine_open(message: Any, queue: str | None, headers: dict[str, Any], body: Any, twice: str | None) -> None:
    if "task" not in headers and isinstance(body, dict):  # Celery's old protocol has everything in the body
        headers, body = body, [body.get("args", []), body.get("kwargs", {}), {}]
    task = headers.get("task")
    if not isinstance(task, str) or task not in OPEN_TASKS.get(queue or "", _OF_PRODUCERS):
        raise ValueError(f"task: {shown(task)} is not served on the queue {shown(queue)}")
    is_usage = task in OPEN_TASKS[USAGE]
    kept = _HEADERS + (_HEADERS_OF_RETRIES if queue == USAGE else ())
    sound = sound_headers({name: headers[name] for name in kept if name in headers}, lenient=is_usage)
    if not isinstance(sound.get("id"), str):
        if not is_usage:
            raise ValueError(f"id: {shown(headers.get('id'))} is not a text")
        sound["id"] = str(uuid4())
    if twice and not is_usage:
        raise ValueError(f"body: {twice}")
    arguments, named, _ = _parts(body)
    message.headers = sound
    _rewrite(message, *(([], {UNREAD_BODY: _text(message)}) if twice else (arguments, named)), {})


def _leave_to_the_door(message: Any, headers: dict[str, Any], defect: Rejection) -> None:
    """Makes it a call of the usage door with the whole message, and why it can't be read."""
    body = message.body.encode("utf-8", "surrogatepass") if isinstance(message.body, str) else bytes(message.body or b"")
    envelope = {
        "body": b64encode(body).decode(),
        "content-type": message.content_type,
        "content-encoding": message.content_encoding,
        "headers": headers,
        "properties": {"body_encoding": "base64"},
    }
    whole = json.dumps(envelope, default=repr, skipkeys=True)
    message.headers = {"task": "usage.record", "id": str(uuid4())}
    message.content_type, message.content_encoding = "application/json", "utf-8"
    _rewrite(message, [], {UNREAD_BODY: whole, UNREAD_REASON: [defect.reason.value, defect.detail]}, {})


def queue_of(message: Any) -> str | None:
    """The queue that the message came out of; none where it came through an exchange that is not the queue's own."""
    info = message.delivery_info if isinstance(message.delivery_info, dict) else {}
    routing_key = info.get("routing_key")
    return routing_key if isinstance(routing_key, str) and info.get("exchange") in ("", routing_key) else None


def _check_content(message: Any, headers: dict[str, Any], bytes_max: int) -> None:
    """Returns if the body may be decoded.

    Raises:
        Rejection: it is compressed, of another type than JSON, or longer than this.
    """
    if headers.get("compression"):
        raise Rejection(Reason.UNSUPPORTED_CONTENT, f"compression: the body is compressed ({shown(headers['compression'])})")
    if message.content_type != "application/json":
        raise Rejection(Reason.UNSUPPORTED_CONTENT, f"content_type: {shown(message.content_type)} is not application/json")
    if len(message.body or "") > bytes_max:
        raise Rejection(Reason.MESSAGE_TOO_LARGE, f"body: {len(message.body)} bytes; at most {bytes_max} are accepted")


def _decoded(message: Any) -> tuple[Any, str | None]:
    """The body, and which key it gives twice, in words: usage is refused by its own door, which keeps it, all else by the guard."""
    repetitions: list[str] = []

    def fields(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if twice := repetition(pairs):
            repetitions.append(twice)
        return dict(pairs)

    try:
        body = json.loads(message.body, parse_float=_exact, object_pairs_hook=fields)
    except (ValueError, TypeError, RecursionError) as error:
        raise Rejection(Reason.MALFORMED_MESSAGE, f"body: is not JSON: {shown(str(error))}") from None
    return body, repetitions[0] if repetitions else None


def _text(message: Any) -> str:
    """The body as it came."""
    body = message.body
    return body if isinstance(body, str) else body.decode(json.detect_encoding(body), "surrogatepass")


def _parts(body: Any) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    match body:
        case [list() as arguments, dict() as named, dict() as options]:
            return arguments, named, options
    raise ValueError("body: is not [args, kwargs, options]")


def _rewrite(message: Any, arguments: list[Any], named: dict[str, Any], options: dict[str, Any]) -> None:
    message.body = json.dumps([arguments, named, options])
    try:
        message.decode()  # kombu keeps it for Celery's Request
    except Exception as error:  # noqa: BLE001 - whatever the decoders of a type raise
        raise ValueError(f"body: holds a typed value that can't be read: {shown(str(error))}") from None


def _exact(number: str) -> dict[str, str] | float:
    """A JSON number as kombu writes a Decimal: read as a float it would be another one. What no Decimal can hold becomes infinite."""
    try:
        Decimal(number)
    except InvalidOperation:
        return float(number)
    return {"__type__": "decimal", "__value__": number}
