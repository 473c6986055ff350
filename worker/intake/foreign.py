"""Lists that hold what looks like ours, and that nobody reads: a producer's own separator, a prefix, a typo, a forgotten queue.

Looked for by SCAN, a part at a time: a broker of millions of keys is gone through in the course of hours, never at once.
"""

import re
from collections.abc import Collection
from difflib import get_close_matches

import redis
import structlog
from redis.exceptions import NoPermissionError

from core.metrics import FOREIGN_LISTS, FOREIGN_MESSAGES
from core.printable import one_line
from worker.queue_limits import SERVED_QUEUES, USAGE_QUEUES

log = structlog.get_logger()

LISTS_MAX = 20  # that are kept in mind
_KEYS_PER_LOOK, _LISTS_PER_LOOK, _SCAN_COUNT = 10_000, 200, 500
_ALIKE = 0.8  # `usgae`, `usages` and `usage_json` are, `message` and `storage` are not
_OURS = ("tollbook.", "_kombu.", "unacked")
_NAMES = "|".join(re.escape(name) for name in sorted(SERVED_QUEUES, key=len, reverse=True))
_AFFIXED = re.compile(rf"(?:.*[^A-Za-z0-9])?({_NAMES})(?:[^A-Za-z0-9]+[0-9])?", re.DOTALL)
# Whether the next entry of a list names a usage task, or is an event; the entry itself stays in the server.
_HOLDS_USAGE = """
local entry = string.sub(redis.call('LINDEX', KEYS[1], -1) or '', 1, 65536)
return (string.find(entry, '"usage%.record') or string.find(entry, '"event_?[iI]d"')) and 1 or 0
"""


def queue_meant(name: str) -> str | None:
    """Which of our queues a list's name seems to mean; none: no one."""
    if (found := _AFFIXED.fullmatch(name)) is not None:
        return found[1]
    close = get_close_matches(name.lower(), USAGE_QUEUES, n=1, cutoff=_ALIKE)
    return close[0] if close else None


class ForeignLists:
    """What was found so far. `look` is for one thread and goes on where the one before stopped; `found` may be read by any."""

    def __init__(self, client: redis.Redis, read: Collection[str]) -> None:
        self._client, self._read, self._cursor = client, frozenset(read) | SERVED_QUEUES, 0
        self._waiting: dict[bytes, int] = {}

    @property
    def has_seen_all(self) -> bool:
        """Whether the latest look came to the end of the keys."""
        return self._cursor == 0

    @property
    def found(self) -> dict[str, int]:
        """How much waits, by list; the names in one printable line each, as `tollbook intake adopt` takes them."""
        return {printed(name): n for name, n in self._waiting.items()}

    def look(self) -> None:
        """Looks at some more keys, and again at what was found; tells in the log what is new.

        Raises:
            redis.RedisError: the broker can't answer, or its login may not look.
        """
        names = self._scanned()
        new = [name for name in names if name not in self._waiting and self._is_foreign(name)]
        kept = [*self._waiting, *new][:LISTS_MAX]
        waiting = {name: int(self._client.llen(name)) for name in kept}
        for name in new:
            if waiting.get(name):
                cure = f"see who sends there, and bring it in: tollbook intake adopt '{printed(name)}'"
                log.warning("intake.foreign_list", list=printed(name), messages=waiting[name], cure=cure)
        self._waiting = {name: n for name, n in waiting.items() if n}
        FOREIGN_LISTS.set(len(self._waiting))
        FOREIGN_MESSAGES.set(sum(self._waiting.values()))

    def _scanned(self) -> list[bytes]:
        names: dict[bytes, None] = {}
        for _ in range(_KEYS_PER_LOOK // _SCAN_COUNT):
            keys: list[bytes]
            self._cursor, keys = self._client.scan(self._cursor, count=_SCAN_COUNT, _type="list")  # type: ignore[assignment]
            names |= dict.fromkeys(keys)
            if not self._cursor or len(names) >= _LISTS_PER_LOOK:
                break
        return list(names)

    def _is_foreign(self, key: bytes) -> bool:
        name = key.decode(errors="surrogateescape")
        if name in self._read or name.startswith(_OURS):
            return False
        try:
            return queue_meant(name) is not None or bool(self._client.eval(_HOLDS_USAGE, 1, key))
        except NoPermissionError:
            return False  # a login that may look at names alone


def printed(name: bytes) -> str:
    r"""A list's name with whatever isn't printable ASCII as an escape such as `\x06`."""
    return one_line(name.decode(errors="surrogateescape"))


def named(text: str) -> bytes:
    """The name that `printed` gave so.

    Raises:
        ValueError: an escape in it is none.
    """
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode(errors="surrogateescape")
