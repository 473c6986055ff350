"""A day of books, written down: what the machines of the models may do in any order, here in one order, in a second or two.

Whatever the books, the oracle and `verify` don't agree about is gathered, so that one fault is told by all that it shows in.
"""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from core.billing import BillingModel
from core.errors import TollbookError
from lab.agreement.books import told_by_books, told_by_model
from lab.agreement.holds import holds_of_books, holds_of_model
from lab.oracle.books import Refused
from lab.oracle.entries import UNIT, Event
from tests.books.test_hold_model import HoldsMachine
from tests.books.test_model import BooksMachine

NOBODY = (False, None, None)
NO_TOKENS = (0, 0, 0, 0, 0)
CALL = ("openai", "large", "chat")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def francs(text: str) -> Decimal:
    """An amount, of nine places."""
    return Decimal(text).quantize(UNIT)


class Day(HoldsMachine):
    """The machine of holds with everything that the others have, done step by step and without Hypothesis."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}  # what was found, and the first that was told of it

    def step(self, what: str, do: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Does one thing; where the books answer otherwise than the oracle, or fail, that is found."""
        try:
            return do(self, *arguments, **options)
        except (AssertionError, Refused, pytest.fail.Exception) as error:
            self.found.setdefault(f"answer of {what}", str(error)[:300])
        except TollbookError as error:
            self.found.setdefault(f"error of {what}", str(error)[:300])
        return None

    def agree(self) -> None:
        """Gathers in what books and oracle differ."""
        database, own = self.scene.database, self.ids.values()
        books = told_by_books(database, own) | holds_of_books(database, own)
        model = told_by_model(self.model, own) | holds_of_model(self.model, self.cap_ids)
        for what, told in model.items():
            if books[what] != told:
                self.found.setdefault(f"oracle of {what}", f"{books[what]} is not {told}"[:300])

    def prove(self) -> None:
        """Gathers what `verify` finds, and in what the oracle differs."""
        self.agree()
        for invariant, breaches in self.scene.breaches().items():
            self.found.setdefault(invariant, str(breaches[0])[:300])

    def bill(self, mandate: str, *uses: tuple[str, str, timedelta], again: int = 0, dies: int | None = None) -> list[Event]:
        """One batch of usage (who, francs, how long ago), the first of them once more so often; what was accepted."""
        batch = [Event(self.ids[mandate], self.event_id(), user, francs(price), self.now - age, CALL, (7, 3, 2, 1, 0)) for user, price, age in uses]
        return self.step("use", Day.delivered, [*batch, *batch[:1] * again], dies) or batch

    def enters(self, mandate: str, zone: str | None, *members: str) -> None:
        """The directory has a mandate and members, and both backfills follow, the second after a death."""
        self.step("entry", Day.sync, mandate, zone, enabled=True, members=dict.fromkeys(members, True))
        self.step("backfill", BooksMachine.make_settings, None)
        self.step("backfill", Day.make_accounts, 1)

    def go(self) -> None:
        """The whole day."""
        self.step("begin", Day.begin, "Pacific/Kiritimati", BillingModel.PREPAY_USER, 0, UNIT)
        self.step("zone", Day.change_settings, "b", {"zone": "America/Santiago"})
        for part in (self.usage, self.zones, self.refunds, self.holds, self.caps, self.parked, self.switches, self.ends):
            part()
            self.agree()
        self.prove()
        self.step("rollup", BooksMachine.roll_up, None)
        self.prove()

    def usage(self) -> None:
        """Copies and contradictions in and across batches, what is too late, lines that are crossed, sessions that die."""
        first = self.bill("a", ("ada", "0.1", HOUR), ("ada", "0.000000001", 3 * HOUR), ("bob", "2.5", HOUR), ("eve", "0", HOUR), again=2)
        self.bill("b", ("ada", "1.000000003", 6 * HOUR), ("bob", "0.7", 10 * HOUR), ("ada", "0.2", DAY))
        self.step("copy", BooksMachine.send_again, first, None)
        self.step("contradiction", BooksMachine.contradict, first[0], francs("0.3"), "bob", NO_TOKENS, None)
        self.bill("a", ("bob", "0.4", 410 * DAY), ("bob", "0.5", HOUR))
        self.bill("a", ("bob", "0.6", HOUR), ("cid", "0.6", HOUR), dies=0)
        self.bill("a", ("bob", "35", HOUR), ("bob", "0.5", HOUR))  # below the warning threshold
        self.bill("a", ("bob", "3", HOUR), ("bob", "9", HOUR))  # below zero
        self.step("move", Day.move, 1, francs("33.3"), pays=True, down=False, dies=0)
        self.step("move", Day.move, 1, francs("1.5"), pays=False, down=True, dies=None)
        self.step("rollup", BooksMachine.roll_up, 1)

    def zones(self) -> None:
        """The mandate moves around the world; what was recorded keeps its days, also where it is amended."""
        before = self.bill("a", ("ada", "0.11", HOUR), ("ada", "0.12", 4 * HOUR))
        self.step("zone", Day.change_settings, "a", {"zone": "Etc/GMT+12"})
        after = self.bill("a", ("ada", "0.13", HOUR), ("ada", "0.14", 14 * HOUR))
        for number, event in enumerate((before[0], after[0], before[0])):
            self.step("amendment", Day.correct, event, francs(f"0.{number + 1}01"), 0 if number else None)
        self.step("rollup", BooksMachine.roll_up, None)
        self.step("amendment", Day.correct, before[1], francs("0"), None)
        self.step("rollup", BooksMachine.roll_up, 0)

    def refunds(self) -> None:
        """A part, more than is left, all of the rest, and anything beyond."""
        for number in range(0, 12, 3):
            for percent in (33, 101, 100, 100):
                self.step("refund", Day.give_back, number, percent, 0 if percent == 33 else None)
        self.step("rollup", BooksMachine.roll_up, None)

    def caps(self) -> None:
        """Caps by day, user and model, reached and left, on both sides of the mandate's midnight, which is not UTC's."""
        for whom, about, period, limit in (("ALL", "", "DAY", "3"), ("EACH_USER", "", "MONTH", "6"), ("USER", "feature_code", "WEEK", "1")):
            self.step("cap", Day.set_cap, "a", whom, "ada", about, period, limit, True, (50, 80, 100), None)
        for off in (-60, 1):
            self.step("midnight", Day.to_midnight, off, "a")
            self.bill("a", ("ada", "1.1", timedelta(0)), ("ada", "0.6", timedelta(0)), ("bob", "0.4", HOUR))
            self.step("check", Day.check, "a", "ada", francs("2"), NOBODY)
        self.step("cap", Day.reach_and_leave, "a", "cid", "ALL", "1", "0.5")

    def holds(self) -> None:
        """Captured in part, whole and beyond, released, renewed, ended by the clock once only, and held while its event is parked."""
        minutes = timedelta(minutes=15)
        for uses in ([("a half", False), ("all", None)], [("more", None)], [("a bit", None), ("a bit", None)]):
            self.step("call", Day.call, "b", [("ada", Decimal(1), uses, 0)], NOBODY, None)
        self.step("pay", Day.pay, "b", "ada")
        for number in range(3):
            self.step("hold", Day.authorise, "b", "ada", Decimal(2), minutes, NOBODY, 0 if number else None)
        self.prove()
        self.step("release", Day.release, 1, None)
        self.step("release", Day.release, 0, None)
        self.step("renewal", Day.renew, 1, timedelta(hours=1), None)
        for _ in range(3):
            self.step("hold", Day.authorise, "b", "ada", Decimal(1), timedelta(minutes=1), NOBODY, None)
            self.step("clock", Day.tick, minutes, back=False)
            self.step("sweep", Day.sweep, None)
            self.step("sweep", Day.sweep, None)
            self.prove()
        self.step("check", Day.check, "b", "ada", Decimal(19), NOBODY)
        self.step("all of it", Day.ask_for_all_of_it, "b", "ada", 0, True, UNIT)
        self.step("pay", Day.pay, "a", "ada")
        self.step("hold", Day.authorise, "a", "ada", Decimal(3), minutes, NOBODY, None)
        self.step("parking", Day.park_several, 1, [(1, False, minutes + minutes), (3, None, HOUR)], None)
        self.step("hold", Day.authorise, "a", "ada", Decimal(3), minutes, NOBODY, None)
        self.step("parking", Day.park_held, 1, 1, None, True, None)
        self.step("clock", Day.tick, HOUR, back=False)
        self.step("sweep", Day.sweep, 0)
        self.step("price", Day.release_parked, 0, 0)

    def parked(self) -> None:
        """A mandate that nobody knew is known; what waited is recorded once, whoever releases it how often."""
        self.bill("c", ("ada", "0.9", HOUR), ("dan", "0.8", HOUR), again=1)
        self.enters("c", "Asia/Kolkata", "ada", "dan")
        self.step("backfill", Day.make_accounts, 2)
        self.step("backfill", Day.make_accounts, None)

    def switches(self) -> None:
        """To the pool and back, by way of nobody, and into debt; odd units go to somebody, and grants that are due are made once."""
        self.switches_to(BillingModel.PREPAY_MANDATE, 0)
        self.bill("a", ("ada", "0.000000005", HOUR), ("bob", "0.1", HOUR))
        for number in range(8):
            self.step("move", Day.move, number, francs("100.000000001"), pays=True, down=False, dies=None)
        self.switches_to(BillingModel.PREPAY_USER)
        self.switches_to(BillingModel.PREPAY_MANDATE)
        self.bill("a", ("ada", "0.000000001", HOUR))  # whatever the pool was, it can't be divided both times
        self.switches_to(BillingModel.PREPAY_USER)
        self.switches_to(BillingModel.UNLIMITED)
        self.bill("a", ("zoe", "0.4", HOUR), ("ada", "0.5", HOUR))
        self.enters("a", None, "zoe", "ada")
        self.switches_to(BillingModel.CREDIT_POSTPAY, 0)
        self.step("limit", Day.limit, "a", "5")
        self.bill("a", ("ada", "2000", HOUR), ("bob", "3", HOUR))
        self.switches_to(BillingModel.PREPAY_USER)
        self.step("backfill", Day.make_accounts, None)
        self.step("backfill", Day.make_accounts, None)
        self.step("rollup", BooksMachine.roll_up, None)

    def switches_to(self, model: BillingModel, dies: int | None = None) -> None:
        """Another billing model."""
        self.step("switch", Day.switch, "a", model, dies)

    def ends(self) -> None:
        """Some more usage, and copies of all that ever came."""
        self.bill("a", ("ada", "0.21", HOUR), ("bob", "0.22", 2 * HOUR), again=1)
        self.step("copies", BooksMachine.send_again, list(self.model.keys.values()), 0)
