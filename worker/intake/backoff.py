"""How long is waited before something that failed is tried again."""

from random import uniform

_FIRST_SECONDS, _MAX_SECONDS = 0.1, 10.0


class Backoff:
    """Growing pauses with full jitter, so that many workers don't come back all at once."""

    def __init__(self) -> None:
        self._ceiling_seconds = _FIRST_SECONDS

    def next_seconds(self) -> float:
        """The next pause, in seconds."""
        seconds = uniform(self._ceiling_seconds / 4, self._ceiling_seconds)  # noqa: S311 - no secret
        self._ceiling_seconds = min(self._ceiling_seconds * 2, _MAX_SECONDS)
        return seconds

    def reset(self) -> None:
        """Starts small again."""
        self._ceiling_seconds = _FIRST_SECONDS
