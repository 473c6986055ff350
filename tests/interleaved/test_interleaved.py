"""Interleaved histories: the same from the same seed, in order on the product as it is, and caught and shrunk on one that is broken."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from core.errors import StorageUnavailable
from core.ledger.sql import accounts as account_sql
from core.ledger.sql import event_keys
from core.recording import balances, record_usage, settle
from lab.interleaved.history import Chooser, History, drawn
from lab.interleaved.run import Result, run
from lab.interleaved.scheduler import Fault
from lab.interleaved.shrink import fails
from lab.interleaved.stage import Stage
from lab.interleaved.sweeps import Enter
from lab.interleaved.verbs import Change
from lab.interleaved.work import NOW, Deliver
from lab.oracle.entries import Event
from tests.conftest import DatabaseUrls

SEED = 20261128
A_FEW, FEW_SECONDS = 300, 10.0


@pytest.fixture
def stage(database_urls: DatabaseUrls) -> Iterator[Stage]:
    """Books in which histories happen."""
    made = Stage(database_urls.owner, database_urls.worker)
    yield made
    made.close()


def test_a_few_hundred_histories_are_as_if_done_one_after_another(stage: Stage) -> None:
    """Usage, copies, contradictions, movements, sweeps and faults, statement by statement between each other: some order explains each history."""
    result = run(SEED, histories=A_FEW, seconds=FEW_SECONDS, stage=stage)
    assert result.violations == []
    assert result.histories > 0
    assert len(result.interleavings) > result.histories * 0.9


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_thousands_of_histories_are_as_if_done_one_after_another(stage: Stage) -> None:
    """The same for a quarter of an hour; and everything that may happen did."""
    result = run(SEED + 1, seconds=900.0, stage=stage)
    assert result.violations == []
    assert result.not_exercised == []


def test_a_seed_is_one_history_whatever_came_before(stage: Stage) -> None:
    """Six histories come out statement by statement as they do the other way round: who waited where, and what was told."""

    def traces(numbers: Sequence[int]) -> dict[int, tuple[list[str], list[object]]]:
        played = {number: stage.play(*drawn(SEED, number)) for number in numbers}
        return {number: ([str(step) for step in one.steps], [attempt.told for attempt in one.attempts]) for number, one in played.items()}

    numbers = list(range(6))
    traces(numbers[:2])
    first, again = traces(numbers), traces(numbers[::-1])
    assert first == again
    assert any("waits" in step for steps, _ in first.values() for step in steps)


def usage(event_id: str, user: str, price: int = 1, mandate: str = "a") -> Event:
    """An event of mandate a."""
    return Event(mandate, event_id, user, Decimal(price), NOW)


def test_a_lost_answer_is_made_up_for(stage: Stage) -> None:
    """A batch whose COMMIT came through and whose answer didn't is delivered again: a duplicate, and one debit."""
    history = History((7, 3), (Enter("a", ("ada",)),), ((Deliver((usage("e", "ada"),)),), (Change("a", credit=Decimal(1)),)))
    points = [step.about for step in stage.play(history, Chooser((), None)).steps if step.actor == 0]
    commit = points.index("commit")
    played = stage.play(History(*(history.stripes, history.before, history.actors), {(0, commit): Fault.LOST}), Chooser((), None))
    assert [step.fault for step in played.steps if step.fault] == [Fault.LOST]
    assert [attempt.told for attempt in played.attempts if attempt.actor == 0][-1] == ["duplicate"]
    assert fails(stage, played.history) is None


def caught(stage: Stage, histories: int = A_FEW) -> Result:
    """What a broken product comes to; it must be caught."""
    result = run(SEED, histories=histories, stage=stage, failures_max=1)
    assert result.violations, f"{result.histories} histories found nothing"
    return result


def test_balances_that_are_set_from_what_was_read_are_caught(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorder that reads a balance, and then sets it, loses what another one has taken off meanwhile."""

    def debited(connection: Any, amounts: Any, mandate_ids: Any, freed: Any = None) -> tuple[int, list[Any]]:
        for account_id, amount in amounts.items():
            was = connection.execute(text("SELECT balance FROM accounts WHERE id = :i"), {"i": account_id}).scalar_one()
            update = text("UPDATE accounts SET balance = :b, held = greatest(held - :f, 0) WHERE id = :i")
            connection.execute(update, {"i": account_id, "b": was - amount, "f": (freed or {}).get(account_id, 0)})
        return len(amounts), []

    monkeypatch.setattr(balances, "debit_accounts", debited)
    violation = caught(stage).violations[0]
    assert "accounts" in " ".join(violation.wrong)
    assert len(violation.script.splitlines()) < 50


@pytest.mark.long
def test_locks_that_come_in_no_order_are_caught(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two recorders that take balances the one from below and the other from above wait for each other."""
    engines: list[object] = []

    def debited(connection: Any, amounts: Any, mandate_ids: Any, freed: Any = None) -> tuple[int, list[Any]]:
        if connection.engine not in engines:
            engines.append(connection.engine)
        mandates, from_above = dict(zip(amounts, mandate_ids, strict=True)), engines.index(connection.engine) % 2 == 1
        order = sorted(amounts, reverse=from_above)
        found = [account_sql.debit_accounts(connection, {each: amounts[each]}, [mandates[each]], freed) for each in order]
        return sum(number for number, _ in found), [near for _, several in found for near in several]

    monkeypatch.setattr(balances, "debit_accounts", debited)
    violation = caught(stage).violations[0]
    assert "deadlock" in " ".join(violation.wrong)


def test_keys_that_are_only_looked_for_are_caught(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorder that takes a key which is already there for its own books twice what two have brought."""

    def claimed(connection: Any, claims: Any) -> dict[Any, int]:
        known = event_keys.find_keys(connection, [key for key, _, _ in claims])
        new = [claim for claim in claims if claim[0] not in known]
        won = event_keys.claim_keys(connection, new) if new else {}
        late = [key for key, _, _ in new if key not in won]
        return won | {key: connection.execute(text("SELECT nextval('transactions_id_seq')")).scalar_one() for key in late}

    monkeypatch.setattr(settle, "claim_keys", claimed)
    violation = caught(stage).violations[0]
    assert "told" in " ".join(violation.wrong)


@pytest.mark.long
def test_a_batch_that_says_recorded_before_its_commit_is_caught(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorder that takes a failed transaction for done loses what it brought."""
    recorded = record_usage._recorded

    def swallowed(*args: Any, **options: Any) -> Any:
        seen: list[Any] = []

        def noting(work: Any, deliveries: Any) -> Any:
            seen.append(args[0](work, deliveries))
            return seen[-1]

        try:
            return recorded(noting, *args[1:], **options)
        except StorageUnavailable:
            if seen:
                return seen[-1]
            raise

    monkeypatch.setattr(record_usage, "_recorded", swallowed)
    assert caught(stage).violations
