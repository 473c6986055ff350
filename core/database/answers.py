"""A connection to PostgreSQL that waits for no answer for ever."""

from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus


class ImpatientConnection(psycopg.Connection[Any]):
    """As psycopg's, but each answer must come within `answer_seconds`; none: however long it takes.

    PostgreSQL ends a statement that takes too long by itself, and the kernel notices a host that has vanished. Neither helps
    where something between goes on taking packets and delivers nothing, such as a hung proxy.
    """

    answer_seconds: float | None = None
    is_pooled = False  # whether each of its transactions may have another session (core/database/sessions.py)

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """What psycopg calls for each answer.

        Raises:
            psycopg.OperationalError: there was none in time, and the connection is closed: a late one would answer another question.
        """
        try:
            return super().wait(gen, interval, self.answer_seconds if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise  # an answer of PostgreSQL's
            self.pgconn.finish()
            raise psycopg.OperationalError(f"the database gave no answer within {self.answer_seconds:.0f} s") from error
