"""The invariant of completeness: what producers number has come."""

from sqlalchemy import text

from core.verifying.sql.invariants.invariant import Invariant


def producers_are_complete() -> Invariant:
    """C1, asked by the nightly check and by the job that merges numbers: of a gap that the ledger was asked for, too (`core/producers/look.py`).

    What is missing may still be on its way, and is no fault of the books.
    """
    return Invariant(
        "C1",
        "every number of a producer has come",
        text("""
            SELECT format('producer %s', p.producer_id) AS subject,
                   CASE WHEN g.ranges > 0
                        THEN format('%s of its events have not come, in %s ranges; the first %s to %s, missing since %s', g.events, g.ranges,
                                    g.first_seq, g.last_seq, g.since)
                        ELSE format('from %s on nobody looks: too many ranges were missing', p.untracked_from) END AS detail
              FROM producers p
              LEFT JOIN LATERAL (
                   SELECT count(*) AS ranges, sum(o.last_seq - o.first_seq + 1) AS events, min(o.since) AS since,
                          (array_agg(o.first_seq ORDER BY o.first_seq))[1] AS first_seq, (array_agg(o.last_seq ORDER BY o.first_seq))[1] AS last_seq
                     FROM producer_gaps o WHERE o.producer_id = p.producer_id AND o.looked_at IS NOT NULL) AS g ON true
             WHERE p.incomplete AND (g.ranges > 0 OR p.untracked_from IS NOT NULL)
        """),
    )
