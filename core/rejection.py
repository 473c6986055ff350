"""Why a message can't be recorded: a closed list of reasons, and the refusal that carries one."""

from enum import StrEnum


class Reason(StrEnum):
    """The closed list of reasons of a dead letter."""

    MALFORMED_MESSAGE = "malformed_message"
    UNKNOWN_TASK = "unknown_task"
    UNSUPPORTED_CONTENT = "unsupported_content"
    MESSAGE_TOO_LARGE = "message_too_large"
    TOO_MANY_EVENTS = "too_many_events"
    MALFORMED_ARGUMENTS = "malformed_arguments"
    MALFORMED_JSON = "malformed_json"
    EVENT_TOO_LARGE = "event_too_large"
    TOO_DEEP = "too_deep"
    DUPLICATE_KEY = "duplicate_key"
    MISSING_FIELD = "missing_field"
    UNKNOWN_FIELD = "unknown_field"
    INVALID_FIELD = "invalid_field"
    CONTRADICTION = "contradiction"
    FUTURE = "future"
    TOO_LATE = "too_late"
    CONFLICT = "conflict"
    PARKED_LIMIT = "parked_limit"
    DATA_ERROR = "data_error"
    CRASH_LOOP = "crash_loop"


class Rejection(ValueError):
    """One reason out of the closed list, with a detail that names the field and the value in plain ASCII."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.mandate_id: str | None = None  # where at least these could be read
        self.event_id: str | None = None
        self.numbered: tuple[str, int] | None = None  # the producer that sent it, and as which of its own

    def alone(self) -> "Rejection":
        """Itself, without the way that it was raised, which would keep everything alive that was in hand there."""
        self.__traceback__ = self.__context__ = self.__cause__ = None
        return self
