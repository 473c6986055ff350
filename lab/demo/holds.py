"""Holds and caps in the demo: many callers at once against a small balance, one that dies, and a cap that is reached."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from threading import Barrier
from typing import Any, Self
from uuid import uuid4

from core.asking.rights import ROOT
from core.caps.set_cap import NewCap, set_cap
from core.database.database import Database
from lab.demo.directory import BROOK, CREDIT_OF_BROOK, USERS
from lab.demo.producer import Producers, celery_client
from lab.demo.traffic import Event
from lab.demo.watch import Watch
from lab.process import ServerFailed, wait_until
from worker.intake.redis_source import connect

CALLERS = 50
HELD, USED = Decimal("0.03"), Decimal("0.02")  # CHF for each call
LEFT_ALONE, DYING_SECONDS = Decimal("0.5"), 1  # what the caller that dies holds, and for how long
LIMIT, CAPPED_CALLS = Decimal("0.5"), 5  # CHF a day, used up by so many calls
ANSWER_SECONDS, ATTEMPTS = 5, 4
RACING, DYING, CAPPED = USERS[BROOK.id]
_SPENT = "SELECT state, count(*), sum(captured), sum(released), sum(expired) FROM holds GROUP BY state"
_KEPT = "SELECT count(*) FROM holds WHERE state = 'OPEN' AND expires_at > clock_timestamp()"
_LISTED = "SELECT count(*) FROM holds WHERE state = 'EXPIRED' AND use_count = 0"
_TOLD = "SELECT share FROM cap_alerts WHERE NOT recovered ORDER BY id"


@dataclass(frozen=True, slots=True)
class Held:
    """What became of the holds and the cap; amounts in CHF.

    Attributes:
        asked: callers that asked at once, each for `HELD`.
        allowed: those that were allowed.
        captured, released: what their events took, and gave back.
        unbilled: holds that are listed as expired without usage.
        expired: what these kept.
        reason: why the capped user was refused.
        spent: what of the cap was used by then.
        opens_at: when the cap opens again.
        told: the shares of the cap that were told, in percent.
    """

    asked: int
    allowed: int
    captured: Decimal
    released: Decimal
    unbilled: int
    expired: Decimal
    reason: str | None
    spent: Decimal
    opens_at: datetime
    told: list[int]

    def mismatches(self) -> Iterator[str]:
        """What is not as it must be."""
        fit = int(CREDIT_OF_BROOK // HELD)
        exact: list[tuple[str, object, object]] = [
            ("callers allowed to hold", self.allowed, fit),
            ("captured", self.captured, fit * USED),
            ("released", self.released, fit * (HELD - USED)),
            ("expired without usage", (self.unbilled, self.expired), (1, LEFT_ALONE)),
            ("the capped user's answer", (self.reason, self.spent), ("CAP_EXCEEDED", LIMIT)),
            ("shares told", self.told, [50, 80, 100]),
        ]
        return (f"{what}: {there}, not {expected}" for what, there, expected in exact if there != expected)


class HoldPlay:
    """The callers of the mandate brook, as docs/checks.md has them; a thread each."""

    def __init__(self, broker_url: str, producers: Producers, watch: Watch) -> None:
        self._celery, self._answers = celery_client(broker_url), connect(broker_url)
        self._producers, self._watch = producers, watch
        self._allowed: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._celery.close()
        self._answers.close()

    def call(self, database: Database) -> None:
        """One caller holds and dies; all others ask at once, and those that are allowed send their events; a cap is used up."""
        self._authorise(DYING, LEFT_ALONE, ttl_seconds=DYING_SECONDS)
        set_cap(database, ROOT, NewCap.read({"mandate_id": BROOK.id, "by": "demo", "user_id": CAPPED, "period": "DAY", "limit_chf": str(LIMIT)}))
        barrier = Barrier(CALLERS)

        def one(_: int) -> str | None:
            barrier.wait(30)
            answer = self._authorise(RACING, HELD)
            return str(answer["key"]) if answer["allowed"] else None

        with ThreadPoolExecutor(CALLERS) as pool:
            self._allowed = [key for key in pool.map(one, range(CALLERS)) if key is not None]
        for key in self._allowed:
            self._producers.send_given({**_event(RACING, USED), "hold_key": key})
        for _ in range(CAPPED_CALLS):
            self._producers.send_given(_event(CAPPED, LIMIT / CAPPED_CALLS))

    def outcome(self) -> Held:
        """What came of it, once all is recorded; waits for the sweep to find what the dead caller held.

        Raises:
            ServerFailed: it doesn't.
        """
        wait_until(lambda: not self._watch.rows(_KEPT)[0][0], DYING_SECONDS)
        self._celery.send_task("hold.expire", queue="maintenance", ignore_result=True)  # beat asks for it every five seconds
        if not wait_until(lambda: bool(self._watch.rows(_LISTED)[0][0]), 30.0):
            raise ServerFailed("the hold of the caller that died is not listed within 30 s")
        answer = self._authorise(CAPPED, HELD)
        sums = {state: amounts for state, *amounts in self._watch.rows(_SPENT)}
        _, captured, released, _ = sums.get("CAPTURED", (0, Decimal(0), Decimal(0), Decimal(0)))
        unbilled, _, _, expired = sums["EXPIRED"]
        cap = answer["cap"] or {"spent": 0, "opens_at": datetime.now(UTC).isoformat()}
        return Held(
            CALLERS, len(self._allowed), captured, released, unbilled, expired,
            answer["reason"], Decimal(cap["spent"]), datetime.fromisoformat(cap["opens_at"]), [share for (share,) in self._watch.rows(_TOLD)],
        )  # fmt: skip

    def _authorise(self, user_id: str, amount: Decimal, ttl_seconds: int = 300) -> dict[str, Any]:
        """The answer, asked for under one key until there is one.

        Raises:
            ServerFailed: there is none.
        """
        fields = {"mandate_id": BROOK.id, "user_id": user_id, "key": str(uuid4()), "amount": str(amount), "ttl_seconds": ttl_seconds}
        for _ in range(ATTEMPTS):
            reply_to = f"tollbook.reply.{uuid4()}"
            self._celery.send_task("hold.authorise", kwargs=fields, queue="checks", reply_to=reply_to, expires=60, ignore_result=True)
            found: Any = self._answers.blpop([reply_to], timeout=ANSWER_SECONDS)
            if found is not None and "result" in (answer := json.loads(found[1])):
                return answer["result"]  # type: ignore[no-any-return]
        raise ServerFailed(f"no worker answers hold.authorise of {user_id}")


def _event(user_id: str, price: Decimal) -> Event:
    whose = {"mandate_id": BROOK.id, "user_id": user_id, "price_chf": str(price)}
    return {"event_id": str(uuid4()), **whose, "occurred_at": datetime.now(UTC).isoformat()}
