"""What the demo sees of its own work: the outcomes in the books, and what waits at the broker."""

from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from lab.demo.producer import PLAIN_QUEUE, QUEUE
from worker.intake.redis_source import connect

CLAIMS, CLAIM_PREFIX = "tollbook.claims", "tollbook.claim:"
OUTCOMES = ("recorded", "duplicate", "conflict", "rejected", "parked")
_SUMS = "SELECT " + ", ".join(f"coalesce(sum({outcome}), 0)::bigint" for outcome in OUTCOMES) + " FROM batches"
_TABLES = ("transactions", "batches", "dead_letters", "parked_events", "price_versions", "fx_rates", "sale_rules")


@dataclass(frozen=True, slots=True)
class Sight:
    """The state at one moment."""

    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    queued: int = 0  # messages
    claims: int = 0  # batches in hand

    @property
    def idle(self) -> bool:
        """Whether no message waits or is in a worker's hand."""
        return not self.queued and not self.claims


class Watch:
    """Reads the database as its owner, and the broker."""

    def __init__(self, owner_url: str, broker_url: str) -> None:
        self._database = psycopg.connect(owner_url, autocommit=True)
        self._broker = connect(broker_url)

    def close(self) -> None:
        """Closes both connections."""
        self._database.close()
        self._broker.close()

    def look(self) -> Sight:
        """The state now; the outcomes are read after the queues, so that an idle sight has them all."""
        waiting = self.look_at_broker()
        (sums,) = self.rows(_SUMS)
        return replace(waiting, outcomes=dict(zip(OUTCOMES, sums, strict=True)))

    def look_at_broker(self) -> Sight:
        """The queues and claims, at one moment; without outcomes."""
        with self._broker.pipeline(transaction=True) as pipeline:
            pipeline.llen(QUEUE)
            pipeline.llen(PLAIN_QUEUE)
            pipeline.zcard(CLAIMS)
            usage, plain, claims = pipeline.execute()
        return Sight(queued=usage + plain, claims=claims)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self._database.execute(sql.encode()).fetchall()

    def parked(self) -> dict[str, int]:
        """How many events are parked, by reason."""
        return dict(self.rows("SELECT reason, count(*) FROM parked_events GROUP BY reason ORDER BY reason"))

    def used_tables(self) -> list[str]:
        """The tables of the books that hold anything already."""
        made = [table for table in _TABLES if self.rows(f"SELECT to_regclass('{table}') IS NOT NULL")[0][0]]
        return [table for table in made if self.rows(f"SELECT EXISTS (SELECT FROM {table})")[0][0]]

    def claims_of(self, worker: str) -> dict[str, int]:
        """The claims that a worker holds, each with its number of messages."""
        ids: list[bytes] = self._broker.zrange(CLAIMS, 0, -1)  # type: ignore[assignment]
        own = [claim for claim in map(bytes.decode, ids) if claim.startswith(f"{worker}@demo:")]
        return {claim: messages for claim in own if (messages := self._messages_in(claim))}

    def _messages_in(self, claim: str) -> int:
        """A claim's list is a queue, a number n, n messages, and so on; none once it is acknowledged."""
        entries: list[bytes] = self._broker.lrange(CLAIM_PREFIX + claim, 0, -1)  # type: ignore[assignment]
        messages = position = 0
        while position < len(entries):
            messages += int(entries[position + 1])
            position += 2 + int(entries[position + 1])
        return messages
