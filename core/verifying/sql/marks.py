"""SQL of marks: what a balance was right after some of the entries on it, so that nobody has to add up a whole history to know.

They are made of entries before the checkpoint alone, between which none can appear any more.
"""

from sqlalchemy import Connection, text

from core.ledger.sql.transactions import DELTA
from core.verifying.sql.invariants.invariant import EVER

ENTRIES_PER_MARK = 1_000  # on average, on each balance: which entries get one is left to chance, or it would be always the same accounts'

# After :since the sums kept until then go on; without any it is the beginning.
_MAKE = text(f"""
    INSERT INTO balance_marks (account_id, recorded_at, transaction_id, balance)
    SELECT account_id, recorded_at, id, balance
      FROM (SELECT t.balance_account_id AS account_id, t.recorded_at, t.id,
                   coalesce(s.movements, 0) + sum({DELTA}) OVER (PARTITION BY t.balance_account_id ORDER BY t.recorded_at, t.id) AS balance
              FROM transactions t
              LEFT JOIN reconcile_sums s ON s.account_id = t.balance_account_id AND CAST(:since AS timestamptz) > '-infinity'
             WHERE t.recorded_at >= :since AND t.recorded_at < :until AND t.balance_account_id IS NOT NULL) AS entries
     WHERE hashint8(id) % :entries_per_mark = 0
    ON CONFLICT DO NOTHING
""")

_FORGET = text("DELETE FROM balance_marks")


def make_marks(connection: Connection, since: str | None, until: str) -> None:
    """Marks the entries recorded from `since` (the checkpoint, whose sums are kept) until `until`; None: from the first one on.

    Both are times as PostgreSQL writes them.
    """
    connection.execute(_MAKE, {"since": since or EVER, "until": until, "entries_per_mark": ENTRIES_PER_MARK})


def forget_marks(connection: Connection) -> None:
    """None is left: they told what entries that were changed since had come to."""
    connection.execute(_FORGET)
