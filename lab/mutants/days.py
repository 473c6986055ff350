"""Mutants of local days, caps and holds."""

from lab.mutants.catchers import DAY
from lab.mutants.model import Change, Mutant

MUTANTS = (
    Mutant(
        "day-of-utc",
        "the local day of usage is that of UTC",
        DAY,
        "I16",
        (
            Change(
                "core/ledger/sql/transactions.py",
                """{local_day("d.occurred_at", "d.time_zone")}""",
                """{local_day("d.occurred_at", "coalesce('UTC', d.time_zone)")}""",
            ),
        ),
    ),
    Mutant(
        "zone-of-today",
        "an amended debit is given the day that its moment has in the mandate's present zone, not the one of its recording",
        DAY,
        "oracle of statistics",
        (
            Change(
                "core/movements/amend.py",
                "day = old.local_date if event.occurred_at == old.event.occurred_at else None",
                "day = None",
            ),
        ),
    ),
    Mutant(
        "counter-of-utc-day",
        "usage counts in a cap by its day in UTC",
        DAY,
        "K1",
        (
            Change(
                "core/recording/caps.py",
                "moved.append(Moved(spending, days[debit.id], debit.amount))",
                "moved.append(Moved(spending, event.occurred_at.date(), debit.amount))",
            ),
        ),
    ),
    Mutant(
        "held-not-moved",
        "a hold is granted and what is held of the account stays",
        DAY,
        "H1",
        (Change("core/holds/authorise.py", "        sql.add_held(self._connection, held)\n", ""),),
    ),
    Mutant(
        "expired-twice",
        "the sweep gives back what it settles, and again what it had settled before",
        DAY,
        "H1",
        (
            Change("core/holds/sql/changes.py", "AND h.hold_key = d.hold_key AND ({_ENDED}) IS TRUE\n", "AND h.hold_key = d.hold_key\n"),
            Change(
                "core/holds/sql/changes.py",
                """      FROM holds h WHERE {_ENDED} AND h.mandate_id = ANY(:mandate_ids)
     ORDER""",
                """      FROM holds h WHERE h.expires_at <= {CLOCK} AND h.state IN ('OPEN', 'EXPIRED') AND h.mandate_id = ANY(:mandate_ids)
     ORDER""",
            ),
        ),
        ("DROP TRIGGER keep_settled ON holds",),
    ),
    Mutant(
        "parked-hold-expires",
        "a hold ends by the clock while its event, which came in time, is parked",
        DAY,
        "oracle of holds",
        (
            Change(
                "core/ledger/sql/held.py",
                "           AND pe.received_at < {hold}.expires_at))",
                "           AND pe.received_at < {hold}.expires_at AND false))",
            ),
        ),
    ),
)
