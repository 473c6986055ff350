"""The producers of the demo: a stock Celery client and a program that knows only JSON and LPUSH; and what they must come to.

They know nothing of the product but the names of its queues and tasks; what was sent is added up here, in plain Python.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Self

from celery import Celery

from lab.demo.traffic import UNLISTED, Event
from lab.oracle.entries import Bill
from worker.intake.redis_source import connect
from worker.tls import tls_options

QUEUE, PLAIN_QUEUE = "usage", "usage.json"
EVENTS_PER_BATCH_MESSAGE = 50
COPY_EVERY = 50  # 2 % of the events are sent twice
CONFLICT_EVERY = 400
CONFLICTS_MAX = 25


@dataclass(slots=True)
class Account:
    """What was sent for one mandate, each event once."""

    events: int = 0
    chf: Decimal = Decimal(0)


@dataclass(slots=True)
class Rated:
    """Events with a computed price: what was billed and computed, in CHF; what the providers charge, in USD."""

    events: int = 0
    billed: Decimal = Decimal(0)
    computed: Decimal = Decimal(0)
    provider_cost: Decimal = Decimal(0)


@dataclass(slots=True)
class Journal:
    """What was sent, and what must become of it."""

    mandates: dict[str, Account] = field(default_factory=dict)
    rated: dict[str, Rated] = field(default_factory=lambda: {"computed": Rated(), "shadow": Rated()})  # by mode
    unlisted: int = 0  # events that must wait for the price of their model
    channels: Counter[str] = field(default_factory=Counter)
    copies: int = 0
    conflicts: int = 0
    broken: Counter[str] = field(default_factory=Counter)  # reason that the dead letter must have -> messages

    @property
    def events(self) -> int:
        """Events, each counted once."""
        return sum(account.events for account in self.mandates.values())

    @property
    def chf(self) -> Decimal:
        """Their prices, as the books must have them."""
        return sum((account.chf for account in self.mandates.values()), Decimal(0))

    @property
    def delivered(self) -> int:
        """Everything that was sent: events, copies, conflicts and broken messages (each is one event to the worker)."""
        return self.events + self.copies + self.conflicts + self.broken.total()


class Producers:
    """Sends events in turn as single Celery messages, as batch messages and as plain JSON, and keeps the journal."""

    def __init__(self, broker_url: str) -> None:
        self.journal = Journal()
        self._celery = celery_client(broker_url)
        self._redis = connect(broker_url)
        self._connection = self._celery.connection_for_write()
        self._producer: Any = self._celery.amqp.Producer(self._connection)
        self._waiting: list[Event] = []
        self._conflicting: list[Event] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.release()
        self._celery.close()
        self._redis.close()

    def send(self, number: int, event: Event, bill: Bill) -> None:
        """Sends an event that must be billed so, every fiftieth a second time; which way follows from its number."""
        self._note(event, bill)
        self._send(number, event)
        if number % COPY_EVERY == COPY_EVERY - 1:
            self._send(number + 3, event)  # most copies take another way than the first
            self.journal.copies += 1
        if number % CONFLICT_EVERY == 0 and len(self._conflicting) < CONFLICTS_MAX:
            self._conflicting.append(event)

    def _note(self, event: Event, bill: Bill) -> None:
        account = self.journal.mandates.setdefault(event["mandate_id"], Account())
        account.events += 1
        account.chf += bill.amount
        self.journal.unlisted += (event["provider"], event["model"]) == UNLISTED
        if bill.stood.cost is not None:
            rated = self.journal.rated["computed" if bill.stood.computed is None else "shadow"]
            rated.events += 1
            rated.billed += bill.amount
            rated.computed += bill.amount if bill.stood.computed is None else bill.stood.computed
            rated.provider_cost += bill.stood.cost

    def send_given(self, event: Event) -> None:
        """Sends an event as a single Celery message; it must be billed its own price."""
        self._note({"provider": None, "model": None, **event}, Bill(Decimal(event["price_chf"])))
        self._message("usage.record", event)
        self.journal.channels["single Celery messages"] += 1

    def finish(self) -> None:
        """Sends what waits for its batch message to be full."""
        if self._waiting:
            self._message("usage.record_batch", self._waiting)
            self._waiting = []

    def send_conflicts(self) -> None:
        """Sends some events again, at another price. Only once the first ones are recorded: whoever comes first stays."""
        for event in self._conflicting:
            self._message("usage.record", {**event, "price_chf": format(Decimal(event.get("price_chf", 0)) + 1, "f")})
        self.journal.conflicts = len(self._conflicting)

    def send_broken(self, event: Event) -> None:
        """Sends, by LPUSH, messages of every kind that can't be recorded, made out of a good event that is sent nowhere else."""
        good = json.dumps(event)
        not_a_number = good.replace(json.dumps(event["price_chf"]), "NaN", 1)
        celery_messages = {
            "unknown_task": _celery_message("usage.rekord", f"[[{good}], {{}}, {{}}]"),
            "unknown_field": _celery_message("usage.record", f"[[{json.dumps({**event, 'colour': 'blue'})}], {{}}, {{}}]"),
            "malformed_arguments": _celery_message("usage.record", f"[[{good}, {good}], {{}}, {{}}]"),
            "invalid_field": _celery_message("usage.record", f"[[{json.dumps({**event, 'price_chf': 'NaN'})}], {{}}, {{}}]"),
        }
        for reason, message in celery_messages.items():
            self._broken(QUEUE, reason, message)
        self._broken(QUEUE, "malformed_message", "this is not JSON")
        self._broken(QUEUE, "malformed_message", good)  # an event without its envelope
        self._broken(QUEUE, "malformed_message", _celery_message("usage.record", f"[[{not_a_number}], {{}}, {{}}]"))
        self._broken(PLAIN_QUEUE, "malformed_json", not_a_number)
        self._broken(PLAIN_QUEUE, "malformed_json", good[:-1])
        self._broken(PLAIN_QUEUE, "invalid_field", json.dumps({**event, "price_chf": "-1"}))
        self._broken(PLAIN_QUEUE, "missing_field", json.dumps({name: value for name, value in event.items() if name != "user_id"}))

    def _send(self, number: int, event: Event) -> None:
        match number % 10:
            case 0 | 1 | 2 | 3 | 4 | 5:
                self._message("usage.record", event)
                self.journal.channels["single Celery messages"] += 1
            case 6 | 7:
                self._redis.lpush(PLAIN_QUEUE, _with_number(event))
                self.journal.channels["plain JSON"] += 1
            case _:
                self._waiting.append(event)
                self.journal.channels["batch messages"] += 1
                if len(self._waiting) == EVENTS_PER_BATCH_MESSAGE:
                    self.finish()

    def _message(self, task: str, argument: Event | list[Event]) -> None:
        self._celery.send_task(task, args=[argument], queue=QUEUE, producer=self._producer, ignore_result=True)

    def _broken(self, queue: str, reason: str, message: str) -> None:
        self._redis.lpush(queue, message)
        self.journal.broken[reason] += 1


def _with_number(event: Event) -> str:
    """The event as plain JSON, its price, if it has one, a JSON number of all its digits."""
    if "price_chf" not in event:
        return json.dumps(event)
    rest = json.dumps({name: value for name, value in event.items() if name != "price_chf"})
    return f'{rest[:-1]}, "price_chf": {event["price_chf"]}}}'


def _celery_message(task: str, body: str) -> str:
    return json.dumps(
        {
            "body": body,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"lang": "py", "task": task, "id": "broken"},
            "properties": {
                "body_encoding": "utf-8",
                "delivery_mode": 2,
                "delivery_tag": "0",
                "delivery_info": {"exchange": "", "routing_key": QUEUE},
            },
        }
    )


def celery_client(broker_url: str) -> Celery:
    """A stock client of the broker."""
    app = Celery("producer", broker=broker_url, set_as_current=False)
    app.conf.broker_use_ssl = tls_options(broker_url) or False  # kombu by itself believes anybody on rediss://
    return app


def ask_for_release(broker_url: str) -> None:
    """Asks for what beat asks for every 15 seconds: parked events that can be recorded by now."""
    with celery_client(broker_url) as app:
        app.send_task("parked.release", queue="maintenance", ignore_result=True)


def serving_workers(broker_url: str) -> list[str]:
    """The workers that answer at this broker within a second."""
    with celery_client(broker_url) as app:
        return sorted(name for reply in app.control.ping(timeout=1.0) or [] for name in reply)
