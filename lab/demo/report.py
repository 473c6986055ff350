"""What the demo came to: the statement out of the database, and whether it is what the producers sent."""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from core.verifying.sql.invariants.invariant import Verdict
from lab.demo.holds import Held
from lab.demo.producer import Journal, Rated
from lab.demo.watch import Watch

_STATEMENT = """
    SELECT s.mandate_id, coalesce(d.label, d.name), s.billing_model, s.time_zone, coalesce(t.users, 0), coalesce(t.events, 0),
           coalesce(t.debits, 0), coalesce(t.grants, 0), CASE WHEN s.billing_model <> 'UNLIMITED' THEN coalesce(a.balance, 0) END
      FROM billing_settings s
      JOIN directory_mandates d ON d.id = s.mandate_id
      LEFT JOIN (SELECT mandate_id,
                        count(DISTINCT account_id) FILTER (WHERE reference_type = 'WORKFLOW') AS users,
                        count(*) FILTER (WHERE reference_type = 'WORKFLOW') AS events,
                        sum(amount) FILTER (WHERE transaction_type = 'DEBIT') AS debits,
                        sum(amount) FILTER (WHERE reference_type = 'SYSTEM') AS grants
                   FROM transactions GROUP BY mandate_id) AS t ON t.mandate_id = s.mandate_id
      LEFT JOIN (SELECT mandate_id, sum(balance) AS balance FROM accounts GROUP BY mandate_id) AS a ON a.mandate_id = s.mandate_id
     ORDER BY s.mandate_id
"""
_RATED = """
    SELECT CASE WHEN t.price_computed IS NULL THEN 'computed' ELSE 'shadow' END,
           count(*), sum(t.amount), sum(coalesce(t.price_computed, t.amount)), sum(t.provider_cost)
      FROM transactions t JOIN stamps s ON s.id = t.stamp_id
     WHERE s.kind = 'rated' AND t.provider_currency = 'USD'
     GROUP BY 1 ORDER BY 1
"""
_RELEASED = "SELECT coalesce(sum(recorded), 0)::bigint FROM batches WHERE kind = 'release'"
_WORKERS = "SELECT split_part(worker, ' ', 1), count(*), sum(recorded)::bigint FROM batches GROUP BY 1 ORDER BY 1"


@dataclass(frozen=True, slots=True)
class MandateLine:
    """One mandate's statement; amounts in CHF. `balance` is that of all its accounts, None where nobody pays."""

    mandate_id: str
    name: str
    billing_model: str
    time_zone: str
    users: int
    events: int
    debits: Decimal
    grants: Decimal
    balance: Decimal | None


@dataclass(frozen=True, slots=True)
class Crash:
    """The SIGKILL in the middle: whom it hit, what it had in hand, and when somebody else had finished it."""

    worker: str
    messages_held: int
    taken_over_seconds: float | None


@dataclass(slots=True)
class Report:
    """Everything that the demo tells at its end; `mismatches` is empty if all is as it must be.

    Attributes:
        rated: by mode (`computed`, `shadow`), the events with a computed price.
        rated_again: the same, as a second rater makes it of what was sent.
        released: how many events were recorded once their model had a price.
        held: what became of holds and of a cap.
    """

    statement: list[MandateLine]
    outcomes: dict[str, int]
    dead_letters: dict[str, int]
    channels: dict[str, int]
    workers: dict[str, int]
    total_chf: Decimal
    sent_chf: Decimal
    redelivered: int
    rated: dict[str, Rated]
    rated_again: dict[str, Rated]
    released: int
    held: Held
    verify: dict[str, int]
    crash: Crash | None
    mismatches: list[str]
    seconds: float = 0.0
    run_seconds: float = 0.0
    flower: dict[str, str] = field(default_factory=dict)
    kept: dict[str, Any] | None = None


def make_report(watch: Watch, journal: Journal, verdicts: list[Verdict], crash: Crash | None, held: Held) -> Report:
    """Reads the books and compares them with the journal of the producers."""
    sight = watch.look()
    statement = [MandateLine(*row) for row in watch.rows(_STATEMENT)]
    ((released,),) = watch.rows(_RELEASED)
    report = Report(
        statement=statement,
        outcomes=sight.outcomes,
        dead_letters=dict(watch.rows("SELECT reason, count(*) FROM dead_letters GROUP BY reason ORDER BY reason")),
        channels=dict(journal.channels),
        workers={worker: recorded for worker, _, recorded in watch.rows(_WORKERS)},
        total_chf=sum((line.debits for line in statement), Decimal(0)),
        sent_chf=journal.chf,
        redelivered=sum(sight.outcomes.values()) - released - journal.delivered,  # who waited had two outcomes
        rated={mode: Rated(*sums) for mode, *sums in watch.rows(_RATED)},
        rated_again=journal.rated,
        released=released,
        held=held,
        verify={verdict.invariant: verdict.violations for verdict in verdicts},
        crash=crash,
        mismatches=[],
    )
    report.mismatches += [*_mismatches(report, journal), *held.mismatches()]
    if left := watch.parked():
        report.mismatches.append(f"parked events are left: {left}")
    report.mismatches += [f"verify: {v.invariant} ({v.description}) is broken {v.violations} times" for v in verdicts if v.violations]
    if not sight.idle:
        report.mismatches.append(f"{sight.queued} messages and {sight.claims} claims are left at the broker")
    return report


def _mismatches(report: Report, journal: Journal) -> list[str]:
    outcomes, broken = report.outcomes, journal.broken.total()
    exact: list[tuple[str, object, object]] = [
        ("recorded events", outcomes["recorded"], journal.events),
        ("parked events", outcomes["parked"], journal.unlisted),
        ("events recorded after they waited for a price", report.released, journal.unlisted),
        ("total in CHF", report.total_chf, journal.chf),
        ("dead letters by reason", Counter(report.dead_letters), journal.broken + Counter(conflict=journal.conflicts)),
    ]
    for line in report.statement:
        sent = journal.mandates.get(line.mandate_id)
        exact.append((f"events of {line.mandate_id}", line.events, sent.events if sent else 0))
        exact.append((f"debits of {line.mandate_id} in CHF", line.debits, sent.chf if sent else 0))
    for mode, rated in journal.rated.items():
        there = report.rated.get(mode, Rated())
        names = ("events", "billed", "computed", "provider_cost")
        exact += [(f"{name} under {mode}", getattr(there, name), getattr(rated, name)) for name in names]
    # What the killed worker had committed but not acknowledged comes again; nothing else may.
    at_least = [("duplicates", outcomes["duplicate"], journal.copies), ("conflicts", outcomes["conflict"], journal.conflicts)]
    delivered = sum(outcomes.values()) - report.released  # who waited had two outcomes
    at_least += [("rejected messages", outcomes["rejected"], broken), ("deliveries", delivered, journal.delivered)]
    found = [f"{what}: the books have {there}, {expected} was sent" for what, there, expected in exact if there != expected]
    found += [f"{what}: the books have {there}, at least {expected} was sent" for what, there, expected in at_least if there < expected]
    if report.redelivered and report.crash is None:
        found.append(f"deliveries: {report.redelivered} more than were sent, though no worker was killed")
    return found
