"""What the benchmarks call a met goal, and whose events they send."""

from collections import Counter
from itertools import islice

import pytest

from lab.bench.cpu import Cpu
from lab.bench.crowds import Crowd
from lab.bench.goals import GOALS, Goal, Least, Limit, Ratio, verdicts
from lab.bench.traffic import events

CROWD = Crowd("x", 3, 4)


@pytest.mark.parametrize(
    ("goal", "rounds", "measured", "met"),
    [
        (Ratio("a", "b", 0.5), {"a": [1, 6, 4], "b": [10, 10, 10]}, 0.4, False),
        (Ratio("a", "b", 0.4), {"a": [1, 6, 4], "b": [10, 10, 10]}, 0.4, True),
        (Least("a", 25_000, "accounts/s"), {"a": [24_999]}, 24_999, False),
        (Least("a", 25_000, "accounts/s"), {"a": [25_000]}, 25_000, True),
        (Limit("a", 420, "B"), {"a": [420]}, 420, True),
        (Limit("a", 420, "B"), {"a": [421]}, 421, False),
    ],
)
def test_a_goal_is_met_by_the_median(goal: Goal, rounds: dict[str, list[float]], measured: float, met: bool) -> None:
    """Of the rounds, or of their ratios; the limit itself is enough."""
    (found,) = verdicts(rounds, [goal])
    assert (found.measured, found.met) == (measured, met)


def test_goals_say_their_unit_and_thousands() -> None:
    """As a person would write them."""
    found = verdicts({"a": [1], "b": [1]}, [Least("a", 150_000, "events/s"), Limit("b", 1.4, "times"), Ratio("a", "b", 0.85)])
    assert [one.goal for one in found] == ["at least 150,000 events/s", "at most 1.4 times", "at least 0.85"]


def test_what_was_not_measured_has_no_verdict() -> None:
    """Neither a figure nor either side of a ratio."""
    assert verdicts({}, GOALS) == verdicts({"a": [1]}, [Ratio("a", "b", 1), Ratio("b", "a", 1)]) == []
    assert len({goal.what for goal in GOALS}) == len(GOALS)


def test_each_kind_of_process_has_a_median_of_its_own() -> None:
    """One disturbed round changes nothing."""
    assert Cpu.median([Cpu(1, 9, 5), Cpu(2, 8, 5), Cpu(9, 1, 5)]) == Cpu(2, 8, 5)


def test_a_crowd_has_as_many_members_as_it_says() -> None:
    """Each once, or any of them, spread over its mandates alike."""
    everybody = Counter(CROWD.each_once())
    assert len(everybody) == everybody.total() == CROWD.accounts
    assert Counter(mandate_id for mandate_id, _ in everybody) == {"x00000": 4, "x00001": 4, "x00002": 4}
    for drawn in (CROWD.uniform(), CROWD.zipf()):
        assert {*islice(drawn, 5_000)} == everybody.keys()


def test_by_zipfs_law_the_second_comes_half_as_often() -> None:
    """And the tenth a tenth as often as the first one."""
    often = Counter(islice(CROWD.zipf(), 100_000))
    for place in (1, 9):
        assert often[CROWD.member(place)] / often[CROWD.member(0)] == pytest.approx(1 / (place + 1), rel=0.15)


def test_events_take_nobody_more_than_they_are_of() -> None:
    """So that what begins afterwards goes on with the next member."""
    members = iter([("a", "1"), ("a", "2"), ("b", "1")])
    assert [(one["mandate_id"], one["user_id"]) for one in events(2, members=members)] == [("a", "1"), ("a", "2")]
    assert next(members) == ("b", "1")
