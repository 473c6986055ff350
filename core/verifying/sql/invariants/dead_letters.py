"""The invariant of dead letters: each bad input is there, whole, and every delivery of it is counted."""

from sqlalchemy import text

from core.recording.sql.dead_letters import BODY_BYTES_KEPT
from core.verifying.sql.invariants.invariant import Invariant

AGED_OUT = "dead_letter_attempts_aged_out"


def bad_inputs_are_kept() -> Invariant:
    """I8. Of a letter that was erased no byte is there.

    A job that lets resolved dead letters age out counts their attempts in its `job_runs.counts`, under `AGED_OUT`.
    """
    return Invariant(
        "I8",
        "every bad input for which there is room is a dead letter with its reason and bytes, and each of its deliveries is counted",
        text("""
            SELECT format('dead letter %s', id) AS subject,
                   CASE WHEN reason = '' THEN 'no reason'
                        WHEN attempts < 1 THEN format('%s attempts', attempts)
                        WHEN erased_at IS NOT NULL THEN format('%s bytes are kept of an erased body', octet_length(body))
                        WHEN octet_length(body) <> least(body_length, :body_bytes_kept)
                        THEN format('%s bytes of %s are kept', octet_length(body), body_length)
                        ELSE 'its bytes are not those of its hash' END AS detail
              FROM dead_letters
             WHERE last_seen_at >= :since
               AND (reason = '' OR attempts < 1
                    OR octet_length(body) <> CASE WHEN erased_at IS NULL THEN least(body_length, :body_bytes_kept) ELSE 0 END
                    OR (erased_at IS NULL AND octet_length(body) = body_length AND sha256(body) <> body_sha256))
            UNION ALL
            SELECT 'all dead letters',
                   format('%s attempts kept, %s aged out, %s without room; batches have %s events rejected or in conflict',
                          d.kept, j.aged_out, o.without_room, b.refused)
              FROM (SELECT coalesce(sum(attempts), 0) AS kept FROM dead_letters) AS d,
                   (SELECT coalesce(sum(letters), 0) AS without_room FROM dead_letter_overflow) AS o,
                   (SELECT coalesce(sum(rejected + conflict), 0) AS refused FROM batches) AS b,
                   (SELECT coalesce(sum(CAST(counts ->> :aged_out AS bigint)), 0) AS aged_out FROM job_runs) AS j
             WHERE d.kept + j.aged_out + o.without_room <> b.refused
        """).bindparams(body_bytes_kept=BODY_BYTES_KEPT, aged_out=AGED_OUT),
    )
