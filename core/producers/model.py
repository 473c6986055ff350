"""A producer's numbers: `producer_id` names one life of one process, which numbers its events 1, 2, 3."""

from collections import defaultdict
from collections.abc import Iterable

Number = tuple[str, int]  # producer, and as which of its events


def ranges_of(numbers: Iterable[Number]) -> dict[str, str]:
    """Of each producer its numbers as PostgreSQL writes a multirange: `{[1,5),[7,8)}`. Repetitions don't count."""
    of_producer: dict[str, set[int]] = defaultdict(set)
    for producer_id, number in numbers:
        of_producer[producer_id].add(number)
    return {producer_id: _multirange(sorted(found)) for producer_id, found in of_producer.items()}


def _multirange(numbers: list[int]) -> str:
    ranges, first = [], numbers[0]
    for number, following in zip(numbers, [*numbers[1:], None], strict=True):
        if following != number + 1:
            ranges.append(f"[{first},{number + 1})")
            first = following or 0
    return f"{{{','.join(ranges)}}}"
