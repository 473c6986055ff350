"""Forgetting the sums kept until the checkpoint: an operator's word that what they bear witness against is understood."""

from sqlalchemy import Connection

from core.asking.request import Asked, By, Reason
from core.asking.rights import Actor, require_root
from core.database.database import Database, allow_time
from core.errors import Conflict
from core.jobs.sql.jobs import lock_job
from core.verifying.reconcile import JOB
from core.verifying.sql.checkpoint import forget_checkpoint
from core.verifying.sql.findings import keep_findings, resolve_findings
from core.verifying.sql.invariants.invariant import judge
from core.verifying.sql.invariants.sums import sums_are_those_of_then

_FINDINGS_MAX = 1_000


class Forgetting(Asked):
    """Who says that the sums may go, and why."""

    reason: Reason
    by: By


def forget_sums(database: Database, actor: Actor, asked: Forgetting) -> int:
    """Lets the kept sums go where they are no longer true, so that the next runs make new ones; returns of how many accounts they weren't.

    What they witness, an entry that was changed or deleted, is kept as findings with the operator's word. Nothing else changes.
    Of sums that are true nothing is written, so a replay does nothing.

    Raises:
        Conflict: the books are being reconciled in this moment.
        StorageUnavailable: it is not known whether it was done; ask again.
    """
    require_root(actor, "let kept sums go")
    with database.transaction() as connection:
        if not lock_job(connection, JOB):
            raise Conflict("the books are being reconciled in this moment: try again afterwards")
        allow_time(connection)
        return _forgotten(connection, asked)


def _forgotten(connection: Connection, asked: Forgetting) -> int:
    verdict = judge(connection, sums_are_those_of_then(), _FINDINGS_MAX)
    if verdict.violations:
        keep_findings(connection, verdict.invariant, verdict.samples, are_all=False)
        resolve_findings(connection, verdict.invariant, asked.model_dump())
        forget_checkpoint(connection)
    return verdict.violations
