"""The demo from its first server to its last check. Everything in it is real: servers, workers, the crash, the totals."""

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from pydantic import SecretStr

from core.asking.rights import ROOT
from core.config import Configuration
from core.database.database import Database
from core.errors import RequestRefused
from core.prices.model import Mode
from core.schema import migrate
from core.verifying.verify import verify
from lab import process, services
from lab.demo.crash import CrashTest
from lab.demo.directory import CREDIT_OF_BROOK, MANDATES, open_books
from lab.demo.display import Display
from lab.demo.holds import CALLERS, CAPPED, DYING, HELD, LEFT_ALONE, LIMIT, RACING, Held, HoldPlay
from lab.demo.prices import MARKED_UP, MARKUP, SecondRater, accept_unlisted, open_prices
from lab.demo.processes import VISIBILITY_SECONDS, WORKERS, Flower, Processes
from lab.demo.producer import Producers, ask_for_release, serving_workers
from lab.demo.report import Report, make_report
from lab.demo.traffic import CHF_PER_USD, MODELS, UNLISTED, Day, day_of, event_of
from lab.demo.watch import Sight, Watch
from lab.process import ServerFailed
from lab.services import Services
from worker.intake.amqp_connection import is_amqp

STALL_SECONDS = 60.0
LOOK_SECONDS = 0.2
_SENT = {
    Mode.COMPUTED: "no price, only the provider's usage object (mode computed)",
    Mode.SHADOW: "the usage object, and a price that knows of no cache (shadow)",
    Mode.GIVEN: "a price, which is billed (given)",
}
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_demo(trace: Path | None, *, keep: bool = False) -> Report:
    """Plays the demo on servers of its own and returns what it came to; nothing of it runs afterwards, unless `keep`.

    Where the environment names a database or a broker, that one takes the embedded one's place; it must be unused.
    If the report has mismatches, or an error ends the demo, its folder with logs and data is kept; a note tells where.

    Raises:
        RequestRefused: the trace can't be replayed, or a server named by the environment is in use.
        ServerFailed: a server or process doesn't start, ended before its time, or nothing moves for a minute.
        KeyboardInterrupt: by Ctrl-C, SIGTERM or SIGHUP; everything is stopped.
    """
    began = time.monotonic()
    day = day_of(trace)
    folder = process.reachable_dir("tollbook-demo-")
    play: _Play | None = None
    report: Report | None = None
    leave_data, leave_running = True, False
    with _termination_as_interrupt(), Display(day.count) as display:
        try:
            play = _Play(folder, day, display)
            report = play.run()
            report.seconds = time.monotonic() - began
            leave_data, leave_running = bool(report.mismatches) or keep, keep
            if keep:
                report.kept = play.how_to_stop()
        except (KeyboardInterrupt, RequestRefused):
            leave_data = False
            raise
        finally:
            if not leave_running:
                _clean_up(play, folder, leave_data=leave_data)
            if leave_data and not leave_running:
                display.note(f"logs and data are kept in {folder}")
    return report


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does: in order."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _clean_up(play: "_Play | None", folder: Path, *, leave_data: bool) -> None:
    """Stops every process of the demo, undisturbed by further signals."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    try:
        if play is not None:
            play.stop()
    finally:
        services.down(folder)
        if not leave_data:
            shutil.rmtree(folder, ignore_errors=True)


class _Play:
    """One run, with what it has started so far."""

    def __init__(self, folder: Path, day: Day, display: Display) -> None:
        self._folder, self._day, self._display = folder, day, display
        self._services: Services | None = None
        self._processes: Processes | None = None
        self._watch: Watch | None = None
        self._books: Database | None = None
        self._crash: CrashTest | None = None
        self._look_at, self._sight, self._sent = 0.0, Sight(), 0

    def run(self) -> Report:
        """From servers to report."""
        found = self._start_servers()
        flower = self._start_processes(found)
        rater = self._open_prices()
        self._await_processes(flower)
        self._tell_what_comes()
        began = time.monotonic()
        with Producers(found.broker_url) as producers:
            self._replay(producers, rater)
            run_seconds = time.monotonic() - began
            self._price_what_waits(found)
            held = self._hold(found, producers)
            self._display.note("sending conflicting copies of recorded events")
            producers.send_conflicts()
            self._drain()
        assert self._watch and self._books, "made by _start_servers"  # noqa: PT018 - one statement
        verdicts = verify(self._books, ROOT)
        report = make_report(self._watch, producers.journal, verdicts, self._crash.result if self._crash else None, held)
        report.run_seconds = run_seconds
        report.flower = {"url": flower.url, "user": flower.user, "password": flower.password}
        return report

    def stop(self) -> None:
        """Ends its processes; the servers are not its business."""
        if self._watch:
            self._watch.close()
        if self._books:
            self._books.dispose()
        if self._processes:
            self._processes.stop()

    def how_to_stop(self) -> dict[str, object]:
        """Where everything is that goes on running, and the command that ends it."""
        assert self._processes, "they run"
        pids = self._processes.pids
        kill = f"kill {' '.join(map(str, pids))}"
        return {"dir": str(self._folder), "pids": pids, "stop": f"{kill}; tollbook services down --delete --dir {self._folder}"}

    def _start_servers(self) -> Services:
        self._display.note("starting the servers")
        found = self._services = services.up(self._folder)
        if is_amqp(found.broker_url):
            raise RequestRefused("the demo runs on Redis or Valkey, and CELERY_BROKER_URL names RabbitMQ: unset it")
        self._watch = watch = Watch(found.database_owner_url, found.broker_url)
        if used := watch.used_tables():
            raise RequestRefused(f"the database of DATABASE_URL is in use ({', '.join(used)} not empty): the demo needs an empty one")
        if not (sight := watch.look_at_broker()).idle:
            raise RequestRefused(f"the broker has {sight.queued} messages and {sight.claims} claims already: the demo needs an unused one")
        if found.valkey is None and (others := serving_workers(found.broker_url)):
            raise RequestRefused(f"the broker is served by {', '.join(others)} already: the demo needs one for its own workers")
        migrate.upgrade(found.database_owner_url, found.database_url)
        config = Configuration(database_url=SecretStr(found.database_url), database_owner_url=SecretStr(found.database_owner_url))
        books = self._books = Database(found.database_url, config)
        open_books(books, config)
        return found

    def _start_processes(self, found: Services) -> Flower:
        processes = self._processes = Processes(self._folder, found)
        self._display.note(f"starting workers {' and '.join(WORKERS)}, beat and Flower; logs: {self._folder}")
        flower = processes.start_flower()
        for worker in WORKERS:
            processes.start_worker(worker)
        processes.start_beat()
        return flower

    def _await_processes(self, flower: Flower) -> None:
        assert self._processes, "made by the steps before"
        ready, problem = self._processes.is_ready, "the workers and Flower are not ready"
        self._wait_for(lambda: all(map(ready, WORKERS)) and flower.knows(WORKERS), problem)
        self._display.note(f"Flower: {flower.url}  user {flower.user}, password {flower.password}")

    def _open_prices(self) -> SecondRater:
        """While the processes start."""
        assert self._books, "made by _start_servers"
        version = open_prices(self._books, self._day.first, self._day.now)
        accepted = f"accepted price version {version.id}: {version.source}, {version.row_count:,} rows"
        self._display.note(f"{accepted}; exchange rates of the demo's own, 1 USD = {CHF_PER_USD} CHF")
        sold = f"what the provider charges, {MARKED_UP} {MARKUP} % more"
        self._display.note(f"where prices are computed, mandates pay {sold}")
        return SecondRater(self._books, self._day.first, self._day.now)

    def _price_what_waits(self, found: Services) -> None:
        """Another version is accepted, and what waited for it is recorded by the job that beat asks for."""
        assert self._watch and self._books, "made by the steps before"  # noqa: PT018 - one statement
        waiting = self._watch.parked()
        version = accept_unlisted(self._books, self._folder, datetime.now(UTC))
        told = ", ".join(f"{reason} {n:,}" for reason, n in waiting.items()) or "none"
        accepted = f"accepted price version {version.id} with a price of {'/'.join(UNLISTED)}"
        self._display.note(f"{accepted}; events that wait for it: {told}")
        ask_for_release(found.broker_url)
        self._wait_for(lambda: not self._watch or not self._watch.parked(), "what waits for a price is not recorded")

    def _hold(self, found: Services, producers: Producers) -> Held:
        """Holds and a cap, of a mandate of their own."""
        assert self._watch and self._books, "made by the steps before"  # noqa: PT018 - one statement
        racing = f"{CALLERS} callers of {RACING}, who has {CREDIT_OF_BROOK} CHF, ask at once for {HELD} each"
        self._display.note(f"{DYING} holds {LEFT_ALONE} CHF and dies; {racing}")
        self._display.note(f"{CAPPED} uses up a cap of {LIMIT} CHF a day")
        with HoldPlay(found.broker_url, producers, self._watch) as play:
            play.call(self._books)
            self._drain()
            return play.outcome()

    def _tell_what_comes(self) -> None:
        day, days = self._day, self._day.shift.total_seconds() / 86400
        what = f"{day.trace}, times taken as UTC and shifted by {day.shift} ({days:.3f} days) so that the last is now" if day.trace else "a made day"
        self._display.note(f"replaying {day.count:,} calls: {what}")
        models = ", ".join("/".join(model) for model in (*MODELS, UNLISTED))
        self._display.note(f"models: {models}, which is in no list of prices")
        for mode, sent in _SENT.items():
            whose = " and ".join(mandate.id for mandate in MANDATES if mandate.mode is mode)
            self._display.note(f"  events of {whose}: {sent}")
        self._display.note(
            f"a dead worker's messages are taken over after {VISIBILITY_SECONDS} s here (TOLLBOOK_INTAKE_VISIBILITY_SECONDS, default 60)"
        )

    def _replay(self, producers: Producers, rater: SecondRater) -> None:
        assert self._watch and self._processes, "made by the steps before"  # noqa: PT018 - one statement
        crash = self._crash = CrashTest(self._watch, self._processes, self._display)
        for call in self._day.calls():
            event = event_of(call)
            producers.send(call.number, event, rater.bill(call, event))
            self._sent += 1
            if self._sent == self._day.count // 3 + 1:
                producers.send_broken({**event, "event_id": "demo-broken", "price_chf": "0.0042"})
            if self._sent * 2 >= self._day.count and not crash.killed:
                crash.try_now(last_chance=self._sent * 4 >= self._day.count * 3)
            self._look()
        producers.finish()
        self._drain()

    def _drain(self) -> None:
        """Waits until everything sent has its outcome."""
        self._look_at = 0.0
        self._look()
        self._wait_for(lambda: self._look().idle and (self._crash is None or self._crash.over), "the queue does not drain")

    def _wait_for(self, condition: Callable[[], bool], problem: str) -> None:
        """Returns once the condition holds; an error where a minute passes in which nothing changes."""
        assert self._processes, "made by the steps before"
        before, deadline = self._sight, time.monotonic() + STALL_SECONDS
        while not condition():
            if self._sight != before:
                before, deadline = self._sight, time.monotonic() + STALL_SECONDS
            if time.monotonic() > deadline:
                raise ServerFailed(f"{problem} within {STALL_SECONDS:.0f} s; logs: {self._folder}")
            self._processes.check()
            time.sleep(0.05)

    def _look(self) -> Sight:
        """The state, read five times a second at most."""
        assert self._watch and self._processes, "made by the steps before"  # noqa: PT018 - one statement
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            self._sight = self._watch.look()
            self._processes.check()
            self._display.progress(self._sent, self._sight)
            if self._crash:
                self._crash.look()
        return self._sight
