"""What the checkpoint tells beyond its use: entries that were added up once are never updated or deleted."""

from sqlalchemy import text

from core.ledger.sql.transactions import DELTA
from core.verifying.sql.invariants.invariant import Invariant
from core.verifying.sql.invariants.rollups import BOOKED_SUMS, SUMS, booked, measured_sums

_COLUMNS = ("movements", *SUMS)


def sums_of(until: str) -> str:
    """A query for the sums of each account over the entries recorded from :since on and before `until` (SQL), as the checkpoint keeps them."""
    return f"""
        WITH {booked(until)}, moved AS (
            SELECT balance_account_id AS account_id, sum({DELTA}) AS movements
              FROM transactions WHERE recorded_at >= :since AND recorded_at < {until} AND balance_account_id IS NOT NULL
             GROUP BY balance_account_id
        ), used AS (
            SELECT account_id, {BOOKED_SUMS} FROM booked GROUP BY account_id
        )
        SELECT account_id, {", ".join(f"coalesce({name}, 0) AS {name}" for name in _COLUMNS)}
          FROM moved FULL JOIN used USING (account_id)
    """


def sums_are_those_of_then() -> Invariant:
    """The part of I18 that the database can answer: what was recorded before the checkpoint still gives the sums that it gave then."""

    def of(side: str) -> str:
        return ", ".join(f"coalesce({side}.{name}, 0)" for name in _COLUMNS)

    return Invariant(
        "I18",
        "transactions recorded before the checkpoint add up to what they did when it was made",
        text(f"""
            SELECT format('account %s', account_id) AS subject,
                   format('until the checkpoint movements were %s CHF and usage %s events, %s CHF; its transactions now give %s, %s, %s%s',
                          coalesce(c.movements, 0), coalesce(c.event_count, 0), coalesce(c.cost, 0),
                          coalesce(n.movements, 0), coalesce(n.event_count, 0), coalesce(n.cost, 0),
                          CASE WHEN (c.movements, c.event_count, c.cost) IS NOT DISTINCT FROM (n.movements, n.event_count, n.cost)
                               THEN '; other sums differ' END) AS detail
              FROM reconcile_sums c FULL JOIN ({sums_of("(SELECT recorded_before FROM reconcile_checkpoint)")}) AS n USING (account_id)
             WHERE ({of("c")}) IS DISTINCT FROM ({of("n")})
            UNION ALL
            SELECT format('%s of account %s', concat_ws(' ', measure, nullif(currency, '')), account_id),
                   format('until the checkpoint it was %s; its transactions now give %s', coalesce(c.total, 0), coalesce(n.total, 0))
              FROM reconcile_measures c
              FULL JOIN ({measured_sums("(SELECT recorded_before FROM reconcile_checkpoint)")}) AS n USING (account_id, measure, currency)
             WHERE coalesce(c.total, 0) <> coalesce(n.total, 0)
        """),
    )
