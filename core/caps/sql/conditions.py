"""SQL of what counts where: which usage a cap counts, and in which of its windows. What `core.caps.model` says in Python."""

from core.billing import CapDimension, CapPeriod, CapScope

_OF_DIMENSION = " ".join(f"WHEN '{dimension.value}' THEN {{entry}}.{dimension.value} = {{cap}}.value" for dimension in CapDimension)


def counts(cap: str, entry: str) -> str:
    """The condition that usage counts in a cap of its own mandate.

    Args:
        cap: the alias of the row of `caps`.
        entry: the alias of what has `user_id` and the columns of the dimensions: an entry, or a hold.
    """
    of_user = f"({cap}.scope <> '{CapScope.USER}' OR {entry}.user_id = {cap}.user_id)"
    return f"({of_user} AND CASE {cap}.dimension WHEN '' THEN true {_OF_DIMENSION.format(cap=cap, entry=entry)} END)"


def counter_user(cap: str, user_id: str) -> str:
    """SQL for the user whose counter of a cap it is: nobody's in particular where all count together."""
    return f"CASE {cap}.scope WHEN '{CapScope.ALL}' THEN '' ELSE {user_id} END"


def window_start(cap: str, day: str) -> str:
    """SQL for the first day of the window of a cap that `day` is in."""
    truncated = (
        f"WHEN '{CapPeriod.WEEK}' THEN CAST(date_trunc('week', {day}) AS date) WHEN '{CapPeriod.MONTH}' THEN CAST(date_trunc('month', {day}) AS date)"
    )
    return f"CASE {cap}.period WHEN '{CapPeriod.DAY}' THEN {day} {truncated} ELSE date '0001-01-01' END"
