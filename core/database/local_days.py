"""SQL that finds the entries of some local days without an index over all of them.

Almost every entry is recorded within days of its local day, and found by when it was recorded. The few others, late events
and imported history, have a narrow index of their own (`ix_transactions_off_day`).
"""

# As the index has it, word for word, or the planner would not see that it serves.
_OFF_DAY = """
    t.local_date NOT BETWEEN CAST(t.recorded_at AT TIME ZONE 'UTC' AS date) - 3 AND CAST(t.recorded_at AT TIME ZONE 'UTC' AS date) + 1
"""

ANYBODYS = "true"
AT = "(t.recorded_at AT TIME ZONE 'UTC')"  # as `ix_transactions_newest` has it, which serves what is of nobody in particular

# When an entry is recorded that is not off its day.
_FROM, _TO = "CAST(CAST(:first AS date) - 1 AS timestamp)", "CAST(CAST(:last AS date) + 4 AS timestamp)"

# As a CASE, since the planner takes almost all entries for few where it can't estimate a comparison.
_NEAR_DAY = f"CASE WHEN {_OFF_DAY} THEN false ELSE true END"


def entries_in_days(
    columns: str, of: str, ending: str = "", *, mandate: str = "true", entries: str = "transactions t", recorded_at: str = "t.recorded_at"
) -> str:
    """A query for the entries `t` with a local day from `:first` to `:last`, both included; each is found once.

    Args:
        columns: what it selects.
        of: whose entries, as a condition that has an index with `recorded_at`: on `t.mandate_id` or on `t.account_id`; or ANYBODYS.
        ending: what each of its two halves ends with, such as an order and a limit.
        mandate: the condition on `t.mandate_id` where `of` has none; where two indexes offer themselves, the planner may take the wrong one.
        entries: where the entries `t` are, if not all are looked at: tables joined with them.
        recorded_at: by which of the columns that say when an entry was recorded it is to be found: that of the table that is read first.
    """
    off_day = f"FROM {entries} WHERE {of} AND {mandate} AND t.local_date BETWEEN :first AND :last AND {_OFF_DAY}"
    near = f"{recorded_at} >= {_FROM} AT TIME ZONE 'UTC' AND {recorded_at} < {_TO} AT TIME ZONE 'UTC'"
    if of == ANYBODYS:  # else the planner would walk through all entries in the order that is wanted, and take half of them for off their day
        off_day = f"FROM (SELECT * {off_day} OFFSET 0) AS t WHERE true"
        near += f" AND {AT} >= {_FROM} AND {AT} < {_TO}"
    return f"""
        (SELECT {columns} FROM {entries}
          WHERE {of} AND t.local_date BETWEEN :first AND :last AND {_NEAR_DAY}
            AND {near} {ending})
        UNION ALL
        (SELECT {columns} {off_day} {ending})
    """
