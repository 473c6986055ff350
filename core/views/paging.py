"""How much one read may bring back."""

from core.errors import RequestRefused

LIMIT_DEFAULT = 100
LIMIT_MAX = 10_000


def check_page(limit: int, offset: int = 0) -> None:
    """Returns if the page can be read.

    Raises:
        RequestRefused: the limit is not 1 to 10,000 or the offset is negative.
    """
    if not 1 <= limit <= LIMIT_MAX:
        raise RequestRefused(f"limit must be 1 to {LIMIT_MAX} (got {limit})")
    if offset < 0:
        raise RequestRefused(f"offset must not be negative (got {offset})")
