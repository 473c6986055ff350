"""A dead letter opened once more, as the pump opened its message: this program may understand what an older one didn't."""

from collections.abc import Sequence

from core.domain.parsing import RawEvent
from core.domain.rejection import Reason
from core.storage.dead_letter_status import KeptLetter
from tasks.message import Message, called_with
from tasks.usage import RECORD, raw_events
from worker.intake.envelope import open_envelope, plain_message
from worker.intake.source import Entry
from worker.intake.step import PLAIN_QUEUE

# What a whole message is refused for, before there is an event; its dead letter holds the queue entry.
_OF_MESSAGES = frozenset(
    {
        Reason.MALFORMED_MESSAGE,
        Reason.UNKNOWN_TASK,
        Reason.UNSUPPORTED_CONTENT,
        Reason.MESSAGE_TOO_LARGE,
        Reason.TOO_MANY_EVENTS,
        Reason.MALFORMED_ARGUMENTS,
    }
)


def reopen(letter: KeptLetter) -> Sequence[RawEvent]:
    """The events in a dead letter that is kept whole; of a message that still can't be read, the message with its defect."""
    queue, slash, task = letter.origin.partition("/")
    never_opened = bool(slash) and not task  # a crash loop in which even opening the message killed the process
    if letter.reason not in _OF_MESSAGES and not never_opened:
        return [RawEvent(letter.body, letter.origin, letter.typed_json)]
    return list(raw_events(_message(queue, task, letter)))


def _message(queue: str, task: str, letter: KeptLetter) -> Message:
    if queue == PLAIN_QUEUE:
        return plain_message(Entry(queue, letter.body), RECORD)
    if not queue and not letter.body.startswith(b'{"body":'):  # Celery itself ran the task, and kept what it was called with
        return called_with(letter.body, task)
    return open_envelope(Entry(queue, letter.body), RECORD)
