"""Questions that several threads of a process ask at the same time share one transaction: one commit, one lock of the account that pays."""

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence

from core.errors import RequestRefused, TollbookError
from core.holds.answer import HoldAnswer
from core.holds.question import HoldQuestion

QUESTIONS_MAX = 64  # of one transaction

Authorise = Callable[[Sequence[HoldQuestion]], list[HoldAnswer | RequestRefused]]


class _Waiting:
    """A thread that waits for its answer, or for its turn."""

    def __init__(self, question: HoldQuestion) -> None:
        self.question = question
        self.answer: HoldAnswer | RequestRefused | None = None  # None once it is woken: it is to ask by itself, for itself or for others
        self.leads = False
        self.woken = threading.Event()

    def wake(self, answer: HoldAnswer | RequestRefused | None = None) -> None:
        self.answer = answer
        self.woken.set()


class Together:
    """Asks for threads that share it. Whoever comes while nobody asks for the same mandate asks at once, and for all who wait by then.

    Each mandate has a transaction of its own under way at most, so that no one waits for the accounts of another mandate. There is no pause
    to collect questions in: they gather while the one before commits. Safe to share by threads; nothing of it outlives a fork.

    Args:
        authorise: answers questions in one transaction, one for each, in their order; must be safe to repeat.
    """

    def __init__(self, authorise: Authorise) -> None:
        self._authorise = authorise
        self._lock = threading.Lock()
        self._busy: dict[str, list[_Waiting]] = defaultdict(list)  # by mandate, while somebody asks for it

    def ask(self, question: HoldQuestion) -> HoldAnswer:
        """The answer to this question, committed.

        An error of the database that meets several questions together is nobody's: each is asked again, alone, by its own thread.

        Raises:
            TollbookError: as the answer, or as asking alone raised it.
        """
        own = _Waiting(question)
        with self._lock:
            own.leads = question.mandate_id not in self._busy
            self._busy[question.mandate_id].append(own)
        if not own.leads:
            own.woken.wait()
        if own.leads:
            self._lead(own)
        answer = own.answer
        if answer is None:
            (answer,) = self._authorise([question])
        if isinstance(answer, TollbookError):
            raise answer
        return answer

    def _lead(self, own: _Waiting) -> None:
        """Asks for all who wait, and hands over to one who came meanwhile; whatever happens, nobody is left waiting."""
        group = self._taken(own)
        answers: Sequence[HoldAnswer | RequestRefused | None] = [None] * len(group)
        try:
            answers = self._authorise([one.question for one in group])
        except TollbookError:
            if len(group) == 1:
                raise
        finally:
            self._hand_over(own.question.mandate_id)
            for place, one in enumerate(group):
                one.wake(answers[place] if place < len(answers) else None)

    def _taken(self, own: _Waiting) -> list[_Waiting]:
        """Those who are asked for now, this one first: no two under one key, since the second depends on what becomes of the first."""
        with self._lock:
            waiting = self._busy[own.question.mandate_id]
            group = {own.question.key: own}
            for one in waiting:
                if len(group) < QUESTIONS_MAX:
                    group.setdefault(one.question.key, one)
            taken = set(map(id, group.values()))
            waiting[:] = [one for one in waiting if id(one) not in taken]
            return list(group.values())

    def _hand_over(self, mandate_id: str) -> None:
        with self._lock:
            waiting = self._busy[mandate_id]
            if waiting:
                waiting[0].leads = True
                waiting[0].wake()
            else:
                del self._busy[mandate_id]
