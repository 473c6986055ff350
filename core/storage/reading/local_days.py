"""SQL that finds the entries of some local days without an index over all of them.

Almost every entry is recorded within days of its local day, and found by when it was recorded. The few others, late events
and imported history, have a narrow index of their own (`ix_transactions_off_day`).
"""

# As the index has it, word for word, or the planner would not see that it serves.
_OFF_DAY = """
    t.local_date NOT BETWEEN CAST(t.recorded_at AT TIME ZONE 'UTC' AS date) - 3 AND CAST(t.recorded_at AT TIME ZONE 'UTC' AS date) + 1
"""

# As a CASE, since the planner takes almost all entries for few where it can't estimate a comparison.
_NEAR_DAY = f"CASE WHEN {_OFF_DAY} THEN false ELSE true END"


def entries_in_days(
    columns: str, of: str, ending: str = "", *, mandate: str = "true", entries: str = "transactions t", recorded_at: str = "t.recorded_at"
) -> str:
    """A query for the entries `t` with a local day from `:first` to `:last`, both included; each is found once.

    Args:
        columns: what it selects.
        of: whose entries, as a condition that has an index with `recorded_at`: on `t.mandate_id` or on `t.account_id`.
        ending: what each of its two halves ends with, such as an order and a limit.
        mandate: the condition on `t.mandate_id` where `of` has none; where two indexes offer themselves, the planner may take the wrong one.
        entries: where the entries `t` are, if not all are looked at: tables joined with them.
        recorded_at: by which of the columns that say when an entry was recorded it is to be found: that of the table that is read first.
    """
    return f"""
        (SELECT {columns} FROM {entries}
          WHERE {of} AND t.local_date BETWEEN :first AND :last AND {_NEAR_DAY}
            AND {recorded_at} >= CAST(CAST(:first AS date) - 1 AS timestamp) AT TIME ZONE 'UTC'
            AND {recorded_at} < CAST(CAST(:last AS date) + 4 AS timestamp) AT TIME ZONE 'UTC' {ending})
        UNION ALL
        (SELECT {columns} FROM {entries}
          WHERE {of} AND {mandate} AND t.local_date BETWEEN :first AND :last AND {_OFF_DAY} {ending})
    """
