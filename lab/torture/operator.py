"""The operator of a torture run: `python -m lab.torture.operator PLAN.json` does what operators do, again and again, until it is told to end.

It draws an operation, writes it to its journal, and only then asks for it; what nobody answered it asks for again, under the same key. Killed
and started again it goes on from its journal. What came of it all `lab.oracle.torture_operator` judges.
"""

import random
import signal
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

from pydantic import SecretStr

from core.config import Configuration
from core.database.database import Database
from core.errors import BadData, RequestRefused, TollbookError
from lab.torture.operator_holds import HOLDS
from lab.torture.operator_journal import Intent, OperatorJournal
from lab.torture.operator_kinds import Kind, NotGranted, World, done
from lab.torture.operator_money import LATE, MONEY
from lab.torture.operator_plan import Plan
from lab.torture.operator_prices import PRICE_KINDS

KINDS = {kind.name: kind for kind in (*MONEY, LATE, *PRICE_KINDS, *HOLDS)}
_REPEATED = 0.1  # of operations that are done
_AT_ONCE = 0.1  # of operations that have a key are asked for twice at the same time
_UNSEEN = 0.6  # of draws go to kinds that lack something
_WAIT = 0.2  # seconds, after the database hasn't answered


def open_world(plan: Plan, journal: OperatorJournal) -> World:
    """What an operator works with."""
    config = Configuration(database_url=SecretStr(plan.database_url))
    chance = random.Random(f"{plan.seed} {journal.next}")
    return World(plan, Database(plan.database_url, config), config, journal, chance)


class Operator:
    """One life of the process."""

    def __init__(self, world: World) -> None:
        """Goes on where the journal ends."""
        self._world = world
        self._open = [intent for intent in world.journal.intents.values() if intent.is_open and intent.kind in KINDS]
        self._seen = Counter[str]()
        for intent in world.journal.intents.values():
            self._count(intent)

    def run(self, stop: threading.Event) -> None:
        """Works until it is told to end, by the event or by the file of the plan."""
        plan = self._world.plan
        while not stop.is_set() and not plan.stop_file.exists():
            try:
                answered = self.step()
            except TollbookError:  # what is drawn is drawn from the books, which nobody can read now
                answered = False
            stop.wait(plan.pause if answered else _WAIT)

    def step(self) -> bool:
        """One operation: a new one, or one again whose answer nobody heard, or had; whether the database answered."""
        chance = self._world.random
        if self._open and chance.random() < 0.7:
            return self.attempt(chance.choice(self._open))
        kind = self._draw()
        if kind is None:
            return True
        asked = kind.draw(self._world)
        if asked is None:
            return True
        scope = kind.scope.format_map(asked)
        if scope and any(intent.scope == scope for intent in self._open):
            return True
        intent = self._world.journal.intend(kind.name, asked, scope=scope, expect=kind.expect)
        self._open.append(intent)
        at_once = "key" in asked and kind.same is not None and chance.random() < _AT_ONCE
        answered = self._twice_at_once(intent) if at_once else self.attempt(intent)
        if done(intent) and kind.same is not None and (not self._seen[f"{kind.name} repeated"] or chance.random() < _REPEATED):
            answered = self.attempt(intent) and answered
        return answered

    def attempt(self, intent: Intent) -> bool:
        """Asks for it, and writes down what it was told; whether the database answered."""
        return self._take(intent, self._ask(intent))

    def _twice_at_once(self, intent: Intent) -> bool:
        """As `attempt`, by two at the same time: one of them does it, and both are told the same."""
        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(self._ask, [intent, intent]))
        known = [self._take(intent, {**answer, "at_once": True}) for answer in answers]
        return all(known)

    def _ask(self, intent: Intent) -> dict[str, Any]:
        """What is told; whatever it is, the judges must hear of it."""
        try:
            result = KINDS[intent.kind].do(self._world, intent.asked)
        except NotGranted as refusal:
            return {"told": "refused", "reason": str(refusal)}
        except RequestRefused as refusal:
            return {"told": "refused", "reason": f"{type(refusal).__name__}: {refusal}"}
        except Exception as error:  # noqa: BLE001 - as told
            away = isinstance(error, TollbookError) and not isinstance(error, BadData)
            return {"told": "maybe" if away else "failed", "reason": f"{type(error).__name__}: {error}"}
        return {"told": "done", "result": result}

    def _take(self, intent: Intent, answer: dict[str, Any]) -> bool:
        """Writes it down; whether it is known now what became of it."""
        self._world.journal.answer(intent, **answer)
        if intent.is_open:
            return False
        self._open = [one for one in self._open if one is not intent]
        self._count(intent)
        return bool(answer["told"] != "maybe")

    def _draw(self) -> Kind | None:
        chance = self._world.random
        unseen = [name for name, kind in KINDS.items() if not self._seen[f"{name} {kind.expect or 'done'}"]]
        if unseen and chance.random() < _UNSEEN:
            return KINDS[chance.choice(unseen)]
        kinds = list(KINDS.values())
        return chance.choices(kinds, [kind.weight for kind in kinds])[0]

    def _count(self, intent: Intent) -> None:
        told = [answer["told"] for answer in intent.answers if answer["told"] != "maybe"]
        for one in told:
            self._seen[f"{intent.kind} {one}"] += 1
        self._seen[f"{intent.kind} repeated"] += told.count("done") > 1


def main(argv: list[str]) -> int:
    """The process."""
    plan = Plan.read(Path(argv[1]))
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    with OperatorJournal(plan.journal) as journal:
        journal.live()
        world = open_world(plan, journal)
        Operator(world).run(stop)
        world.database.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
