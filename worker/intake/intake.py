"""The intake of one worker process: its pumps, and the thread that keeps their claims alive."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any

import structlog

from core.config import Configuration
from core.metrics import INTAKE_HELD, INTAKE_STATE
from worker.intake.pump import Pump, State
from worker.intake.source import BrokerUnavailable

log = structlog.get_logger()

FOREIGN_SECONDS = 30.0  # between two looks for lists that nobody reads
RATE_SECONDS = 30.0  # over which the present rate is taken
STILL_SECONDS = 600.0  # a pump that has not come by anything for so long hangs: no batch takes that long


class Intake:
    """Started, paused, inspected and stopped as one."""

    def __init__(self, pumps: Sequence[Pump], queues: Sequence[str], config: Configuration) -> None:
        self._pumps, self._queues, self._config = pumps, queues, config
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep_alive, name="intake-keeper", daemon=True)
        self._started_at = monotonic()
        self._counted: deque[tuple[float, int]] = deque([(self._started_at, 0)])  # events at moments of the latest half minute

    def start(self) -> None:
        """Starts every thread."""
        log.info("intake.started", queues=list(self._queues), threads=len(self._pumps))
        self._keeper.start()
        for pump in self._pumps:
            pump.start()

    def finish(self) -> None:
        """Claims no more and finishes the batches in hand, without waiting for it."""
        for pump in self._pumps:
            pump.stop()

    def stop(self, seconds: float) -> None:
        """Finishes the batches in hand, at most for so many seconds; what is not finished goes back to its queue."""
        self.finish()
        deadline = monotonic() + seconds
        for pump in self._pumps:
            pump.join(max(0.0, deadline - monotonic()))
            claim = pump.progress.held
            if pump.is_alive() and claim is not None and not claim.taken_over:  # its count of starts must survive
                try:
                    pump.source.give_back(claim)
                except BrokerUnavailable as error:
                    log.warning("intake.not_given_back", claim=claim.id, error=str(error))
        self._stopping.set()
        log.info("intake.stopped", **self.progress())

    def pause(self) -> None:
        """Claims no more; batches in hand are finished."""
        for pump in self._pumps:
            pump.pause()

    def resume(self) -> None:
        """Claims again."""
        for pump in self._pumps:
            pump.resume()

    def progress(self) -> dict[str, Any]:
        """What `inspect intake` shows: JSON values; rates in events per second, of the latest half minute and since the start."""
        events: dict[str, int] = {}
        for pump in self._pumps:
            for outcome, n in dict(pump.progress.events).items():
                events[outcome] = events.get(outcome, 0) + n
        return {
            "queues": list(self._queues),
            "backlog": self._backlog(),
            "foreign": self._pumps[0].source.foreign(),
            "state": [pump.progress.state.value if pump.is_alive() else State.STOPPED.value for pump in self._pumps],
            "held": self._held(),
            "messages": sum(pump.progress.messages for pump in self._pumps),
            "events": events,
            "rate": self._rate_since(*self._counted[0]),
            "rate_since_start": self._rate_since(self._started_at, 0),
            "retries": sum(pump.progress.retries for pump in self._pumps),
            "last_error": next((pump.progress.last_error for pump in self._pumps if pump.progress.last_error), ""),
        }

    def waiting(self) -> Iterator[str]:
        """The pumps that don't consume, each with what it does instead."""
        for pump in self._pumps:
            state = pump.progress.state if pump.is_alive() else State.STOPPED
            if state not in (State.RUNNING, State.IDLE):
                yield f"{pump.name}: {state.value}"

    def stuck(self) -> Iterator[str]:
        """The pumps whose thread has ended by itself, or hangs."""
        now = monotonic()
        for pump in self._pumps:
            state = pump.progress.state
            if not pump.is_alive() and state not in (State.STARTING, State.STOPPED):
                yield f"{pump.name}: its thread has ended"
            elif pump.is_alive() and state is not State.PAUSED and now - pump.progress.moved_at > STILL_SECONDS:
                yield f"{pump.name}: has stood still for {now - pump.progress.moved_at:.0f} s"

    def _events(self) -> int:
        return sum(sum(dict(pump.progress.events).values()) for pump in self._pumps)

    def _rate_since(self, moment: float, events: int) -> float:
        return round((self._events() - events) / max(monotonic() - moment, 0.001), 1)

    def _count(self) -> None:
        """Notes how many events there were now, and forgets what is older than the rate looks back."""
        now = monotonic()
        self._counted.append((now, self._events()))
        while len(self._counted) > 1 and self._counted[1][0] <= now - RATE_SECONDS:
            self._counted.popleft()

    def _backlog(self) -> dict[str, int] | str:
        try:
            return self._pumps[0].source.backlog()
        except BrokerUnavailable as error:
            return str(error)

    def _held(self) -> int:
        return sum(len(claim.entries) for pump in self._pumps if (claim := pump.progress.held) is not None)

    def _keep_alive(self) -> None:
        """Gives signs of life for the claims in hand, so that a slow commit or an absent database costs no one a takeover."""
        ticks_per_touch = max(1, int(self._config.intake_visibility_seconds / 4))
        tick, look_at = 0, monotonic()
        while not self._stopping.wait(min(1.0, self._config.intake_visibility_seconds / 4)):
            tick += 1
            self._count()
            INTAKE_HELD.set(self._held())
            for pump in self._pumps:
                for state in State:
                    INTAKE_STATE.labels(pump.name, state.value).set(pump.progress.state is state)
            if tick % ticks_per_touch == 0:
                self._touch()
            if monotonic() >= look_at:
                look_at = monotonic() + FOREIGN_SECONDS
                self._look_for_foreign()

    def _look_for_foreign(self) -> None:
        try:
            self._pumps[0].source.look_for_foreign()
        except BrokerUnavailable as error:
            log.debug("intake.foreign_not_looked_for", error=str(error))

    def _touch(self) -> None:
        for pump in self._pumps:
            claim = pump.progress.held
            if claim is not None:
                try:
                    pump.source.touch(claim)
                except BrokerUnavailable as error:
                    log.warning("intake.no_sign_of_life", claim=claim.id, error=str(error))
