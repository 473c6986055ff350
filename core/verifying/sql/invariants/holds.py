"""Invariants of holds: what is held is what open holds keep, each is settled once, and none is left open."""

from sqlalchemy import text

from core.ledger.kinds import USAGE
from core.ledger.sql.entry_kinds import is_of
from core.ledger.sql.held import is_over
from core.verifying.sql.invariants.invariant import Invariant

_SINCE = "CAST(:since AS timestamptz) - interval '25 hours'"  # a hold is open for a day at most

WRONG_HELD = """
    SELECT a.id AS account_id, a.mandate_id, a.user_id, a.held, coalesce(h.remaining, 0.000000000) AS remaining
      FROM accounts a
      LEFT JOIN (SELECT balance_account_id, sum(amount - captured) AS remaining FROM holds
                  WHERE settled_at IS NULL AND balance_account_id IS NOT NULL GROUP BY balance_account_id) AS h ON h.balance_account_id = a.id
     WHERE a.held <> coalesce(h.remaining, 0)
"""

# Who pays for a user's usage by the present model. Before accounts are opened, nobody does.
_PAYER = """
    SELECT a.id FROM accounts a
     WHERE a.mandate_id = h.mandate_id
       AND CASE s.billing_model WHEN 'PREPAY_USER' THEN a.user_id = h.user_id WHEN 'UNLIMITED' THEN false ELSE a.user_id IS NULL END
"""

WRONG_PAYERS = f"""
    SELECT h.mandate_id, h.hold_key, h.balance_account_id, p.id AS payer_id
      FROM holds h JOIN billing_settings s ON s.mandate_id = h.mandate_id LEFT JOIN LATERAL ({_PAYER}) AS p ON true
     WHERE h.settled_at IS NULL AND h.balance_account_id IS DISTINCT FROM p.id
"""


def held_is_what_open_holds_keep() -> Invariant:
    """H1, of every account, whatever the time that is looked at; and open holds are held of whoever pays now."""
    return Invariant(
        "H1",
        "what is held of a balance is what open holds keep of it",
        text(f"""
            SELECT format('account %s', account_id) AS subject, format('held %s CHF, open holds keep %s CHF', held, remaining) AS detail
              FROM ({WRONG_HELD}) AS wrong
            UNION ALL
            SELECT format('hold %s of mandate %s', hold_key, mandate_id),
                   format('held of account %s, usage is paid by account %s', coalesce(CAST(balance_account_id AS text), '(none)'),
                          coalesce(CAST(payer_id AS text), '(none)'))
              FROM ({WRONG_PAYERS}) AS wrong
        """),
    )


def holds_are_settled_once() -> Invariant:
    """H3. What the events of a hold's user came to under its key is what the hold says that was used.

    Events under a key that was authorised only after them, by a release that knew no holds, are none of the hold's: an entry counts from an
    hour before the authorisation on, since the transaction that captures may have begun before it; or else each does, where the clock was
    ahead when the hold was authorised. Holds are looked at for as long as they may be open.
    """
    return Invariant(
        "H3",
        "each hold is settled once, by the events that name it",
        text(f"""
            SELECT format('hold %s of mandate %s', h.hold_key, h.mandate_id) AS subject,
                   format('%s events used %s CHF, the ledger has %s of %s CHF', h.use_count, h.used, coalesce(t.events, 0),
                          coalesce(t.used, 0)) AS detail
              FROM holds h
              LEFT JOIN (SELECT o.mandate_id, o.hold_key, count(*) AS all_events, sum(t.amount) AS all_used,
                                count(*) FILTER (WHERE t.recorded_at >= o.authorised_at - interval '1 hour') AS events,
                                sum(t.amount) FILTER (WHERE t.recorded_at >= o.authorised_at - interval '1 hour') AS used
                           FROM transactions t
                           JOIN holds o ON o.mandate_id = t.mandate_id AND o.hold_key = t.hold_key AND o.user_id = t.created_by_user_id
                          WHERE t.hold_key IS NOT NULL AND t.recorded_at >= {_SINCE} - interval '1 hour' AND {is_of([USAGE])}
                          GROUP BY o.mandate_id, o.hold_key) AS t
                ON t.mandate_id = h.mandate_id AND t.hold_key = h.hold_key
             WHERE h.authorised_at >= {_SINCE} AND (h.use_count, h.used) IS DISTINCT FROM (coalesce(t.events, 0), coalesce(t.used, 0))
               AND (h.use_count, h.used) IS DISTINCT FROM (t.all_events, t.all_used)
        """),
    )


def holds_are_whole() -> Invariant:
    """H4, of each hold, and so of all together."""
    return Invariant(
        "H4",
        "what was authorised is captured, released, expired or open",
        text(f"""
            SELECT format('hold %s of mandate %s', hold_key, mandate_id) AS subject,
                   format('%s CHF authorised; %s: %s captured, %s released, %s expired', amount, state, captured, released, expired) AS detail
              FROM holds
             WHERE (authorised_at >= {_SINCE} OR settled_at IS NULL)
               AND (least(captured, released, expired, amount - captured - released - expired) < 0
                    OR (state = 'OPEN') <> (settled_at IS NULL)
                    OR CASE state WHEN 'OPEN' THEN released + expired > 0 ELSE captured + released + expired <> amount END)
        """),
    )


def holds_end() -> Invariant:
    """H5, asked by the nightly check alone: while no worker runs nobody settles what the clock has ended, and the books are in order."""
    return Invariant(
        "H5",
        "no hold is unsettled an hour after it has ended",
        text(f"""
            SELECT format('hold %s of mandate %s', h.hold_key, h.mandate_id) AS subject,
                   format('ended at %s: does beat send the task hold.expire?', h.expires_at) AS detail
              FROM holds h WHERE h.settled_at IS NULL AND {is_over("h", "clock_timestamp() - interval '1 hour'")}
        """),
    )
