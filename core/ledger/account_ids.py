"""Account ids by holder, of a million accounts in 32 MiB: a table of fixed size in place of a dictionary, which would take 250."""

from collections.abc import Iterable
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from threading import Lock
from zlib import crc32

from core.ledger.sql.accounts import Holder

_SLOTS = 1 << 21  # of two words of 64 bits each; memory is taken page by page, as they are filled
_WORD = (1 << 64) - 1
_ID_BITS = 40
_ID = (1 << _ID_BITS) - 1


class AccountIds:
    """Remembers the id of each holder added, until another one takes its place. Safe to share by threads.

    A slot holds 64 bits of the holder's hash, which is keyed anew in each process, and 24 more of another one beside the id: that one holder
    is ever taken for another is less likely than that the memory itself errs. Each holder has four slots to be in.
    """

    def __init__(self, slots: int = _SLOTS) -> None:
        self._words: memoryview | None = None  # until there is anything to remember
        self._size, self._pairs = slots * 16, slots // 2 - 1  # bytes, and a mask: `slots` is a power of two
        self._lock = Lock()

    def find(self, holders: Iterable[Holder]) -> dict[Holder, int]:
        """The ids of those that are remembered."""
        found: dict[Holder, int] = {}
        words = self._words
        if words is None:
            return found
        with self._lock:
            for holder in holders:
                trace = hash(holder) & _WORD
                for at in self._slots(trace):
                    if words[at] == trace:
                        word = words[at + 1]
                        if word >> _ID_BITS == _check(holder):
                            found[holder] = word & _ID
                        break
        return found

    def add(self, ids: dict[Holder, int]) -> None:
        """Remembers these."""
        with self._lock:
            if self._words is None and ids:
                self._words = memoryview(mmap(-1, self._size, flags=MAP_PRIVATE | MAP_ANONYMOUS)).cast("Q")
            words = self._words
            if words is None:
                return
            for holder, account_id in ids.items():
                trace = hash(holder) & _WORD
                slots = self._slots(trace)
                at = next((slot for slot in slots if words[slot] in (0, trace)), slots[0])
                if account_id <= _ID:
                    words[at], words[at + 1] = trace, _check(holder) << _ID_BITS | account_id

    def _slots(self, trace: int) -> tuple[int, int, int, int]:
        """Where a holder may be: two slots side by side, and two at another place."""
        here, there = (trace & self._pairs) * 4, (trace >> 40 & self._pairs) * 4
        return here, here + 2, there, there + 2


def _check(holder: Holder) -> int:
    return crc32(f"{holder[0]}\x1f{holder[1]}".encode()) & 0xFFFFFF
