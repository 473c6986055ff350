"""SQL of what is held of a balance: the holds that are open, less those that the clock has ended and nobody has settled yet."""

# Each is read once in a statement, so that it goes with an index: a function that gives another time for every row doesn't. It may be read
# before the statement waits for locks, so what is judged under them is asked in a statement of its own.
CLOCK = "(SELECT coalesce(CAST(:clock AS timestamptz), clock_timestamp()))"  # for statements that a test gives another clock
_NOW = "(SELECT clock_timestamp())"
# Of a row `ho` of `holds`: whether this very transaction has written it, so that nothing is held for it yet.
OWN_HOLD = "(ho.xmin IS NOT DISTINCT FROM CAST(pg_current_xact_id_if_assigned() AS xid))"


def is_over(hold: str, clock: str = _NOW) -> str:
    """SQL that tells whether an unsettled hold has ended by the clock; none has while an event of its user that came in time is parked.

    Args:
        hold: the alias of the row of `holds`.
        clock: SQL of the present time, which nothing may fix before the locks that it is judged under.
    """
    return f"""({hold}.expires_at <= {clock} AND NOT EXISTS (
        SELECT FROM parked_events pe
         WHERE pe.mandate_id = {hold}.mandate_id AND pe.hold_key = {hold}.hold_key AND pe.hold_user_id = {hold}.user_id
           AND pe.received_at < {hold}.expires_at))"""


def held_now(account: str, clock: str = _NOW, but: str = "false") -> str:
    """SQL for what is held of the balance of an account, in CHF.

    Args:
        account: the alias of the row of `accounts`.
        clock: as for `is_over`.
        but: SQL that tells of a row of `holds`, `ho`, that it isn't part of the account's `held` yet.
    """
    return held_together(f"{account}.held", f"{account}.mandate_id", f"ho.balance_account_id = {account}.id", clock, but)


def held_together(held: str, mandate_id: str, accounts: str, clock: str = _NOW, but: str = "false") -> str:
    """SQL for what is held of the balances of several accounts of a mandate, in CHF; where their `held` is 0, no hold is looked at.

    Args:
        held: SQL of the sum of `held` of these accounts.
        mandate_id: SQL of their mandate.
        accounts: the condition under which a hold `ho` is kept of one of them.
        clock: as for `is_over`.
        but: as for `held_now`.
    """
    return f"""CASE WHEN {held} = 0 THEN {held} ELSE {held} - (
        SELECT coalesce(sum(ho.amount - ho.captured), 0) FROM holds ho
         WHERE ho.mandate_id = {mandate_id} AND ho.settled_at IS NULL AND {accounts}
           AND {is_over("ho", clock)} AND NOT ({but})) END"""


def kept_of_users(pool_id: str) -> str:
    """SQL of the condition under which a hold `ho` is kept of a user's account, in a mandate whose pool is `pool_id`, or NULL."""
    return f"(ho.balance_account_id IS NOT NULL AND ho.balance_account_id IS DISTINCT FROM {pool_id})"
