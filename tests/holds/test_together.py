"""Threads that ask at the same time share a transaction, and each gets its own answer."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from core.billing import BillingModel, HoldState
from core.errors import Conflict, StorageUnavailable
from core.holds.answer import HoldAnswer
from core.holds.authorise import Answers
from core.holds.question import HoldQuestion
from core.holds.together import QUESTIONS_MAX, Together
from tests.holds.asking import question


def answer(asked: HoldQuestion) -> HoldAnswer:
    """That it may be made."""
    return HoldAnswer(True, None, asked.key, HoldState.OPEN, asked.amount, None, False, False, None, None, None, BillingModel.UNLIMITED)


class Books:
    """Answers questions once `open` is set; `transactions` are the keys of each."""

    def __init__(self, respond: Callable[[Sequence[HoldQuestion]], Answers] | None = None) -> None:
        self.transactions: list[list[str]] = []
        self.open, self.begun = threading.Event(), threading.Semaphore(0)
        self._respond = respond or (lambda questions: [answer(one) for one in questions])

    def __call__(self, questions: Sequence[HoldQuestion]) -> Answers:
        """One transaction."""
        self.transactions.append([one.key for one in questions])
        self.begun.release()
        assert self.open.wait(30)
        return self._respond(questions)


def gathered(books: Books, questions: Sequence[HoldQuestion]) -> list[Future[HoldAnswer]]:
    """Asks the first question, and all others while its transaction is under way; waits for every answer."""
    together = Together(books)
    with ThreadPoolExecutor(len(questions)) as threads:
        asked = [threads.submit(together.ask, questions[0])]
        assert books.begun.acquire(timeout=30)
        asked += [threads.submit(together.ask, one) for one in questions[1:]]
        mandate = questions[0].mandate_id
        while len(together._busy.get(mandate, ())) < sum(one.mandate_id == mandate for one in questions) - 1:
            threading.Event().wait(0.001)
        books.open.set()
    assert together._busy == {}
    return asked


def test_who_comes_while_another_asks_shares_the_next_transaction() -> None:
    """One transaction for the first, one for the others; each has its own answer."""
    books = Books()
    questions = [question(f"k{n}") for n in range(10)]
    asked = gathered(books, questions)
    assert [one.result().key for one in asked] == [one.key for one in questions]
    first, second = books.transactions
    assert (first, sorted(second)) == (["k0"], sorted(one.key for one in questions[1:]))


def test_one_key_is_asked_for_once_in_a_transaction() -> None:
    """The second depends on what becomes of the first."""
    books = Books()
    asked = gathered(books, [question(key) for key in ("first", "a", "a", "a", "b")])
    assert [one.result().allowed for one in asked] == [True] * 5
    assert [sorted(keys) for keys in books.transactions] == [["first"], ["a", "b"], ["a"], ["a"]]


def test_a_transaction_has_a_bound() -> None:
    """Beyond it the next one begins."""
    books = Books()
    asked = gathered(books, [question(f"k{n}") for n in range(QUESTIONS_MAX + 5)])
    assert all(one.result().allowed for one in asked)
    assert [len(keys) for keys in books.transactions] == [1, QUESTIONS_MAX, 4]


def test_mandates_do_not_wait_for_each_other() -> None:
    """While one's transaction is under way another's begins."""
    books = Books()
    together = Together(books)
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(together.ask, question("k", mandate_id=mandate)) for mandate in ("acme", "globex")]
        assert all(books.begun.acquire(timeout=30) for _ in asked)
        books.open.set()
    assert [one.result().allowed for one in asked] == [True, True]


def test_each_error_is_its_own_questions() -> None:
    """A conflict is raised to who asked it, and to nobody else."""
    books = Books(lambda questions: [Conflict("used", field="key") if one.key == "bad" else answer(one) for one in questions])
    first, bad, good = gathered(books, [question(key) for key in ("first", "bad", "good")])
    assert (first.result().allowed, good.result().allowed) == (True, True)
    with pytest.raises(Conflict):
        bad.result()


def test_an_error_of_the_database_is_given_to_who_has_it_alone() -> None:
    """A group that fails is asked for again, one by one: only who fails by himself is told."""

    def respond(questions: Sequence[HoldQuestion]) -> Answers:
        if any(one.key == "bad" for one in questions):
            raise StorageUnavailable("no")
        return [answer(one) for one in questions]

    books = Books(respond)
    *good, bad = gathered(books, [question(key) for key in ("first", "a", "b", "bad")])
    assert [one.result().allowed for one in good] == [True] * 3
    with pytest.raises(StorageUnavailable):
        bad.result()
    assert sorted(map(sorted, books.transactions[2:])) == [["a"], ["b"], ["bad"]]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_whatever_is_raised_nobody_is_left_waiting(error: type[BaseException]) -> None:
    """Who was asked for together with whoever got it asks alone."""
    failed: list[Any] = []

    def respond(questions: Sequence[HoldQuestion]) -> Answers:
        if len(questions) > 1 and not failed:
            failed.append(questions)
            raise error
        return [answer(one) for one in questions]

    asked = gathered(Books(respond), [question(f"k{n}") for n in range(5)])
    outcomes = [type(one.exception()) for one in asked]
    assert sorted(map(str, outcomes)) == sorted(map(str, [error, *[type(None)] * 4]))
