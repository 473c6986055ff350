"""Reconciling: every night the books are looked at, as `tollbook verify` does, and what is wrong is kept as findings."""

from collections.abc import Callable, Mapping
from datetime import datetime

from sqlalchemy import Connection

from core.asking.rights import ROOT
from core.database.database import Database, allow_time, transaction_time
from core.jobs.model import moment_at, period_at
from core.jobs.run_job import run_job
from core.movements.reach import count_again
from core.verifying.sql.checkpoint import advance_checkpoint, read_checkpoint
from core.verifying.sql.findings import broken_invariants, keep_findings
from core.verifying.sql.invariants.afterwards import rates_were_there, sales_have_a_cost
from core.verifying.sql.invariants.all import INVARIANTS
from core.verifying.sql.invariants.holds import holds_end
from core.verifying.sql.invariants.invariant import EVER, Invariant, Verdict, judge
from core.verifying.sql.invariants.producers import producers_are_complete
from core.verifying.sql.invariants.reach import changes_that_reach_back_are_settled
from core.verifying.sql.invariants.sums import sums_are_those_of_then

JOB = "books.reconcile"
PERIOD_SECONDS = 24 * 3600
FINDINGS_MAX = 1_000  # of one invariant that are kept by name; all are counted
_SUMS = sums_are_those_of_then()
# No fault of the books: what is recorded is as it was rated.
_AFTERWARDS = (changes_that_reach_back_are_settled(), rates_were_there(), sales_have_a_cost(), holds_end(), producers_are_complete())


def reconcile(
    database: Database, *, worker: str, full: bool = False, at_once: bool = False, clock: Callable[[Connection], datetime] = transaction_time
) -> dict[str, int] | None:
    """Looks at every invariant at one moment, keeps what breaks it as findings, and resolves findings that are gone.

    Of the entries it looks at those recorded since the checkpoint, for which the sums until then are kept; at all of them when
    asked to, when it did not for a week, and for an invariant with findings that stand, so that those are seen whether they are
    still there. It repairs nothing. Once per day (UTC), or `at_once`. A replay finds the same.

    Returns:
        The violations of each invariant by its name, `full` (1 or 0), `findings_new` and `findings_gone`; none where it is done
        already or somebody else is at it.

    Raises:
        StorageUnavailable, Misconfigured: it is still to be done for this period; nothing was kept.
    """

    def due(connection: Connection) -> str:
        now = clock(connection)
        return moment_at(now) if at_once else period_at(now, PERIOD_SECONDS)

    return run_job(database, JOB, lambda _: _reconciled(database, full=full), worker=worker, due=due)


def violations_in(counts: Mapping[str, int]) -> dict[str, int]:
    """Of what a run counted, the invariants that are broken, with their violations."""
    names = [invariant.name for invariant in (*INVARIANTS, *_AFTERWARDS, _SUMS)]
    return {name: counts[name] for name in names if counts.get(name)}


def _reconciled(database: Database, *, full: bool) -> dict[str, int]:
    count_again(database, ROOT)  # whoever accepted a version may have been interrupted before it was counted
    with database.transaction() as connection:
        checkpoint = read_checkpoint(connection)
        broken = broken_invariants(connection)
    full = full or checkpoint.is_full_due or checkpoint.since == EVER or _SUMS.name in broken  # wrong sums tell nothing
    with database.snapshot() as connection:
        allow_time(connection)
        since = {invariant: EVER if full or invariant.name in broken else checkpoint.since for invariant in (*INVARIANTS, *_AFTERWARDS)}
        verdicts = [_judged(connection, invariant, time) for invariant, time in since.items()]
        if full:
            verdicts.append(_judged(connection, _SUMS, EVER))
    with database.transaction() as connection:
        allow_time(connection)
        kept = [keep_findings(connection, v.invariant, v.samples, are_all=v.violations == len(v.samples)) for v in verdicts]
        advance_checkpoint(connection, checkpoint, is_full=full)
    new, gone = (sum(numbers) for numbers in zip(*kept, strict=True))
    return {"full": int(full), "findings_new": new, "findings_gone": gone} | {v.invariant: v.violations for v in verdicts}


def _judged(connection: Connection, invariant: Invariant, since: str) -> Verdict:
    return judge(connection, invariant, FINDINGS_MAX, since)
