"""What came to be known of prices after they were billed: asked by the nightly check alone, since the books are in order without it."""

from sqlalchemy import text

from core.ledger.kinds import COSTS
from core.ledger.sql.entry_kinds import is_of
from core.verifying.sql.invariants.invariant import Invariant

# The debit that stands for an event, not one that an amendment has taken back.
_PRESENT = f"""
    {is_of(COSTS)} AND t.recorded_at >= :since
    AND NOT EXISTS (SELECT FROM amendments a WHERE a.mandate_id = t.mandate_id AND a.event_id = t.event_id AND a.reversed_id = t.id)
"""


def rates_were_there() -> Invariant:
    """P8. A rate came after debits that it is for, and what they were rated by is another one; until they are re-rated with present rates."""
    return Invariant(
        "P8",
        "exchange rates were there before what is rated by them",
        text(f"""
            WITH pairs AS (
                SELECT s.id AS stamp_id, used.created_at AS used_from, later.id AS fx_id, later.currency, later.rate_date, later.created_at
                  FROM stamps s
                  JOIN fx_rates used ON used.id = s.fx_id
                  JOIN fx_rates later ON later.currency = used.currency AND later.id > used.id AND later.replaced_at IS NULL
                                     AND later.rate_date BETWEEN used.rate_date AND used.rate_date + 6
            )
            SELECT format('rate of %s on %s', p.currency, p.rate_date) AS subject,
                   format('it came at %s, after %s debits that it is for, the first of them transaction %s: `tollbook prices rerate --fx present`',
                          p.created_at, count(*), min(t.id)) AS detail
              FROM pairs p
              JOIN transactions t ON t.stamp_id = p.stamp_id AND t.recorded_at >= p.used_from AND t.recorded_at < p.created_at
               AND CAST(t.occurred_at AT TIME ZONE 'UTC' AS date) > p.rate_date
             WHERE {_PRESENT}
             GROUP BY p.currency, p.rate_date, p.fx_id, p.created_at
        """),
    )


def sales_have_a_cost() -> Invariant:
    """P9. A SALE book bills without knowing what the provider takes; whoever watches the margin wants to be told."""
    return Invariant(
        "P9",
        "what a SALE book bills has a provider cost",
        text(f"""
            SELECT format('%s of %s, mandate %s', t.model, t.provider, t.mandate_id) AS subject,
                   format('%s debits by a SALE book have no provider cost, the first of them transaction %s: no row of the price book has it',
                          count(*), min(t.id)) AS detail
              FROM transactions t JOIN stamps s ON s.id = t.stamp_id JOIN sale_rules r ON r.id = s.rule_id AND r.book IS NOT NULL
             WHERE t.stamp_id IS NOT NULL AND t.provider_cost IS NULL AND {_PRESENT}
             GROUP BY t.model, t.provider, t.mandate_id
        """),
    )
