"""The pump: claim, hand to the door, commit, acknowledge, in a straight line and in a thread of its own.

It never loses (a message is acknowledged only after the commit of each of its events) and never spins (what can't be done
now waits with growing pauses, and claims nothing meanwhile).
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic

import msgspec
import structlog

from core.config import Configuration
from core.errors import Misconfigured, StorageUnavailable
from core.events.envelope import QueueEntry, open_entry
from core.events.message import Message
from core.events.outcome import BatchResult
from core.metrics import INTAKE_RETRIES
from core.rejection import Reason, Rejection
from worker.intake.backoff import Backoff
from worker.intake.reporter import Report, Reporter
from worker.intake.source import BrokerUnavailable, Claim, Source

log = structlog.get_logger()

STARTS_MAX = 5  # work on a message that was begun this often and never finished is a crash loop
BACKLOG_FACTOR_MAX = 4  # how far a batch grows while the backlog is deep
_ASK_SECONDS = 5.0  # an idle pump asks the books so often whether they answer, so that an outage is known before there is work

Handle = Callable[[Sequence[Message], str], BatchResult]
Ask = Callable[[], None]


class State(StrEnum):
    """What a pump is doing."""

    STARTING = "starting"
    RUNNING = "running"
    IDLE = "idle"
    PAUSED = "paused"
    WAITING_FOR_DATABASE = "waiting_for_database"
    WAITING_FOR_BROKER = "waiting_for_broker"
    FAILING = "failing"
    STOPPED = "stopped"


@dataclass(slots=True)
class Progress:
    """What a pump has done so far, for `inspect intake`; written by its own thread only."""

    state: State = State.STARTING
    messages: int = 0
    events: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    held: Claim | None = None
    last_error: str = ""
    moved_at: float = field(default_factory=monotonic)  # when the thread last came by a point where it can be seen to go on


class Pump:
    """One thread that empties the queues of a source into a door until it is stopped."""

    def __init__(
        self,
        name: str,
        source: Source,
        handle: Handle,
        reporter: Reporter,
        config: Configuration,
        *,
        worker: str,
        ask_books: Ask,
        on_fatal: Callable[[str], None],
    ) -> None:
        """`ask_books` raises StorageUnavailable while the books can't answer; `on_fatal` is told what only an operator can help with."""
        self.name = name
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.progress = Progress()
        self.source, self._handle, self._reporter = source, handle, reporter
        self._config, self._worker, self._ask, self._on_fatal = config, worker, ask_books, on_fatal
        self._stopping, self._resumed = threading.Event(), threading.Event()
        self._resumed.set()
        self._messages_max = config.intake_batch_messages
        self._look_for_dead_at = self._ask_at = monotonic()
        self._after_failure = Backoff()
        self._abandoned = False  # the last batch was, and nothing was recorded since

    def pause(self) -> None:
        """Claims no more until `resume`; the batch in hand is finished."""
        self._resumed.clear()

    def resume(self) -> None:
        """Claims again."""
        self._resumed.set()

    def stop(self) -> None:
        """Asks the thread to finish the batch in hand and end."""
        self._stopping.set()
        self._resumed.set()

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Waits for the thread to end, at most for so many seconds."""
        self._thread.join(seconds)

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        """Works until `stop`; see the module."""
        backoff = Backoff()
        while not self._stopping.is_set():
            self.progress.moved_at = monotonic()
            if not self._resumed.is_set():
                self.progress.state = State.PAUSED
                self.source.close()
                self._resumed.wait()
                continue
            try:
                self._ask_books()
                busy = self._take_over()
                if not self._stopping.is_set():
                    busy |= self._claim()
            except BrokerUnavailable as error:
                self._wait(State.WAITING_FOR_BROKER, error, backoff)
            except StorageUnavailable as error:
                self._wait(State.WAITING_FOR_DATABASE, error, backoff)
            except Misconfigured as error:
                self._give_up(error)
            except Exception as error:
                # A fault of ours must not end the thread behind a healthy face.
                log.exception("intake.failed")
                self._wait(State.FAILING, error, backoff)
            else:
                backoff.reset()
                if not busy:
                    self._stopping.wait(self._config.intake_idle_seconds)
        self.source.close()
        self.progress.state = State.STOPPED
        self._reporter.close()

    def _ask_books(self) -> None:
        """Returns if the books answer, as far as is known: nothing is claimed while they don't, and no pump is idle."""
        if monotonic() < self._ask_at:
            return
        self._ask()
        self._ask_at = monotonic() + _ASK_SECONDS
        if self.progress.state is State.WAITING_FOR_DATABASE:
            self._recovered()

    def _claim(self) -> bool:
        """Claims and settles one batch; whether the queues seem to hold more."""
        base = self._config.intake_batch_messages
        claim = self.source.claim(self._messages_max, self._config.intake_batch_bytes)
        if claim is None:
            if not self._abandoned:
                self._recovered()
            self.progress.state, self._messages_max = State.IDLE, base
            return False
        full = len(claim.entries) >= self._messages_max
        self._settle(claim, lambda: [open_entry(entry) for entry in claim.entries])
        self._messages_max = min(self._messages_max * 2, base * BACKLOG_FACTOR_MAX) if full else base
        return full

    def _take_over(self) -> bool:
        """Takes over and settles one claim of a worker that died, every now and then; whether there was one."""
        if monotonic() < self._look_for_dead_at:
            return False
        try:
            claim = self.source.take_over()
        except BrokerUnavailable as error:  # whatever hinders this must not keep the queues from being emptied
            log.warning("intake.no_takeover", error=str(error))
            claim = None
        if claim is None:
            self._look_for_dead_at = monotonic() + min(5.0, self._config.intake_visibility_seconds / 4)
            return False
        log.warning("intake.took_over", claim=claim.id, messages=len(claim.entries), starts=claim.starts)
        if claim.starts and len(claim.entries) > 1:
            self.source.split(claim)
        elif claim.starts >= STARTS_MAX:
            self._settle(claim, lambda: [self._condemned(entry, claim.starts) for entry in claim.entries])
        else:
            self._settle(claim, lambda: [open_entry(entry) for entry in claim.entries])
        return True

    def _condemned(self, entry: QueueEntry, starts: int) -> Message:
        """The message of a crash loop: a dead letter for each of its events; if opening it is what kills, for its bytes alone."""
        defect = Rejection(Reason.CRASH_LOOP, f"work on it was begun {starts} times and never finished")
        if starts > STARTS_MAX:
            return Message(entry.queue, entry.whole, "", defect=defect)
        return msgspec.structs.replace(open_entry(entry), defect=defect)

    def _settle(self, claim: Claim, open_entries: Callable[[], list[Message]]) -> None:
        """Has the messages recorded, however long the database is away, and acknowledges them."""
        self.progress.state, self.progress.held = State.RUNNING, claim
        report = None
        try:
            messages = open_entries()
            report = self._reporter.received(messages)
            result = self._recorded(claim, messages, report.retried)
        except Misconfigured as error:
            self._failed(report, error)
            self._release(claim)
            self._give_up(error)
        except Exception as error:
            # A fault of ours: as if the process had died, the claim is taken over, split and counted, until the bad message stands alone.
            log.exception("intake.batch_abandoned", claim=claim.id, messages=len(claim.entries))
            self._failed(report, error)
            self._abandoned = True
            self._wait(State.FAILING, error, self._after_failure)
        else:
            if result is None:
                self._release(claim)
            else:
                self._acknowledge(claim)
                report.succeeded(result)
                self._after_failure.reset()
                self._abandoned = False
                self._ask_at = monotonic() + _ASK_SECONDS
                self._recovered()
                self.progress.messages += len(messages)
                self.progress.events.update({outcome.value: n for outcome, n in result.counts().items()})
        finally:
            self.progress.held = None

    def _recorded(self, claim: Claim, messages: list[Message], retried: Callable[[Exception], None]) -> BatchResult | None:
        """The committed outcomes; none if the pump was stopped while the database could not answer."""
        backoff = Backoff()
        while True:
            try:
                return self._handle(messages, self._worker)
            except StorageUnavailable as error:
                self.progress.retries += 1
                INTAKE_RETRIES.inc()
                retried(error)
                if claim.taken_over:
                    self.source.excuse(claim)
                self._wait(State.WAITING_FOR_DATABASE, error, backoff)
                if self._stopping.is_set():
                    return None
                if claim.taken_over:
                    self.source.start(claim)

    def _acknowledge(self, claim: Claim) -> None:
        """Everything is committed: if the broker can't be told, the messages come again and are duplicates."""
        backoff = Backoff()
        while True:
            try:
                return self.source.acknowledge(claim)
            except BrokerUnavailable as error:
                self._wait(State.WAITING_FOR_BROKER, error, backoff)
                if self._stopping.is_set():
                    return None

    def _release(self, claim: Claim) -> None:
        try:
            self.source.give_back(claim)
        except BrokerUnavailable as error:
            log.warning("intake.not_given_back", claim=claim.id, error=str(error), comes_back_after_seconds=self._config.intake_visibility_seconds)

    def _recovered(self) -> None:
        if self.progress.last_error:
            log.info("intake.recovered", after=self.progress.last_error)
        self.progress.last_error = ""

    def _failed(self, report: Report | None, error: Exception) -> None:
        if report is not None:
            report.failed(error)

    def _give_up(self, error: Misconfigured) -> None:
        """Ends the pump, and the worker with it."""
        self._stopping.set()
        self._on_fatal(str(error))

    def _wait(self, state: State, error: Exception, backoff: Backoff) -> None:
        """Pauses in this state, and says so once for each error."""
        if self.progress.last_error != str(error):
            log.warning("intake.waiting", state=state.value, error=str(error))
        self.progress.state, self.progress.last_error, self.progress.moved_at = state, str(error), monotonic()
        self._stopping.wait(backoff.next_seconds())
