"""What can go wrong, told apart by what the caller should do."""


class ClientError(Exception):
    """Whatever this package raises of its own."""


class ContractError(ClientError, ValueError):
    """The event can't be recorded as it is: mend the call. Nothing was sent.

    Attributes:
        field: which field, with dots where it lies inside another; `event` for the whole.
        value: what it was given.
        reason: what is wrong with it.
        cure: what would be right; empty where the reason says it.
    """

    def __init__(self, field: str, value: object, reason: str, cure: str = "") -> None:
        self.field, self.value, self.reason, self.cure = field, value, reason, cure
        super().__init__(f"{field} {reason} (got {_shown(value)}){cure and ': '}{cure}")


class QueueFull(ClientError):
    """More events wait than may (`queue_events_max`), since the broker takes none, or too slowly: nothing was taken over."""


class Closed(ClientError):
    """The client was closed: of `record`, nothing was taken over; of events given to `on_error`, they may have arrived."""


class NoAnswer(ClientError, TimeoutError):
    """Nobody answered in time; what was asked may be done all the same. Asking again, under the same key, is safe.

    Attributes:
        key: of the hold that was asked about; None of a check.
    """

    def __init__(self, message: str, key: str | None = None) -> None:
        self.key = key
        super().__init__(message)


class AnswerError(ClientError):
    """What was asked is refused.

    Attributes:
        kind: `refused`, `not_found`, `conflict`, `forbidden` or `failed`.
        key: as of `NoAnswer`.
    """

    def __init__(self, kind: str, message: str, key: str | None = None) -> None:
        self.kind, self.key = kind, key
        super().__init__(f"{kind}: {message}")


_SHOWN_MAX = 100


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"
