"""The invariant of price changes that reach back: what was recorded before is rated by them too, or somebody said that it isn't."""

from sqlalchemy import text

from core.verifying.sql.invariants.invariant import Invariant


def changes_that_reach_back_are_settled() -> Invariant:
    """P7, asked by the nightly check alone: the books are in order as long as somebody has still to decide.

    Of the active version alone: at its acceptance it was compared with what is recorded, whatever that was rated by.
    """
    return Invariant(
        "P7",
        "price changes that reach back are re-rated or waived",
        text("""
            SELECT format('version %s of the price book', r.version_id) AS subject,
                   format('%s recorded events would be rated otherwise by it (%s): `tollbook prices rerate`, or `tollbook prices waive`', r.events,
                          (SELECT string_agg(format('%s of %s', m.events, m.model), ', ' ORDER BY m.events DESC, m.model)
                             FROM (SELECT * FROM jsonb_to_recordset(r.models) AS m(model text, events bigint) ORDER BY events DESC LIMIT 10) AS m)
                         ) AS detail
              FROM price_reach r JOIN price_state p ON p.active_version = r.version_id
             WHERE r.events > 0 AND r.waived_at IS NULL
        """),
    )
