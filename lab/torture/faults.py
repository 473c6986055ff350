"""What every fault of a torture run is, and those of processes: they are killed, stopped, told to end, and kill themselves at named points."""

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from celery import Celery

from lab.torture.producer import WAYS
from lab.torture.stage import BEAT, FRAGILE, FRAGILE_MAINTENANCE, MAINTENANCE, OPERATOR, RELAY, WORKERS, Stage
from lab.valkey import ValkeyServer

POINT_SECONDS = 40.0  # in which a process comes to the point at which it dies, if there is work
BATCH_POINTS = ("after_claim", "before_commit", "after_commit", "mid_takeover")
OPERATIONS = ("mid_switch", "mid_rerate")  # the points amid what the operator does
# The points amid scheduled work, each with the task that does it.
JOBS = {"mid_rollup": "usage.rollup", "mid_release": "parked.release", "mid_sweep": "hold.expire", "mid_merge": "producers.merge"}


def on_redis(stage: Stage) -> bool:
    """Whether the broker is a Redis."""
    return isinstance(stage.servers.broker, ValkeyServer)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault works on: the stage, its own chance, whether the run is over, and how long it lasts in relation to others."""

    stage: Stage
    chance: random.Random
    over: Event
    pace: float = 1.0

    def wait(self, least: float, most: float) -> None:
        """Lets some seconds pass, less where the run is over."""
        self.over.wait(self.pace * self.chance.uniform(least, most))

    def last(self, least: float, most: float) -> None:
        """The same, however fast the run is: so long it takes until it hurts."""
        self.over.wait(self.chance.uniform(least, most))


@dataclass(frozen=True, slots=True)
class Fault:
    """A way to do harm. `attack` returns once it is mended; False: it could not be made this time, and doesn't count."""

    name: str
    attack: Callable[[Scene], bool]
    needs: Callable[[Stage], object] = lambda _: True  # whether this stage can suffer it


def _killed(names: tuple[str, ...], number: signal.Signals = signal.SIGKILL) -> Callable[[Scene], bool]:
    def attack(scene: Scene) -> bool:
        name = scene.chance.choice(names)
        was = scene.stage.runs(name)
        scene.stage.end(name, number, 15)
        scene.wait(0.0, 1.5)
        scene.stage.start(name)
        return was

    return attack


def _all_workers_killed(scene: Scene) -> bool:
    killed = [scene.stage.tell(name, signal.SIGKILL) for name in (*WORKERS, MAINTENANCE)]
    scene.wait(0.0, 2.0)
    for name in (*WORKERS, MAINTENANCE):
        scene.stage.end(name)
        scene.stage.start(name)
    return any(killed)


def _stopped(names: tuple[str, ...], least: float, most: float) -> Callable[[Scene], bool]:
    def attack(scene: Scene) -> bool:
        name = scene.chance.choice(names)
        done = scene.stage.tell(name, signal.SIGSTOP)
        scene.last(least, most)
        scene.stage.tell(name, signal.SIGCONT)
        return done

    return attack


def _two_beats(scene: Scene) -> bool:
    scene.stage.start("beat-2")
    scene.wait(7, 9)  # several jobs come due
    both = scene.stage.runs("beat-2") and scene.stage.runs(BEAT)
    scene.stage.end("beat-2")
    return both


def _clock_jumps(scene: Scene) -> bool:
    """The clock of the first worker alone is minutes, hours or days off, there and back again."""
    clock = scene.stage.clock
    assert clock
    try:
        clock.jump(scene.chance.choice((-3_600, -86_400, 240, 7_200, 86_400 * 40)))
        scene.wait(2.0, 5.0)
    finally:
        clock.heal()
    return scene.stage.runs(WORKERS[0])


def _dies_at(point: str) -> Callable[[Scene], bool]:
    def attack(scene: Scene) -> bool:
        stage, job = scene.stage, JOBS.get(point)
        name = OPERATOR if point in OPERATIONS else FRAGILE_MAINTENANCE if job else FRAGILE
        after = scene.chance.randrange(1, 6) if job == "usage.rollup" else scene.chance.randrange(1, 4)
        stage.start(name, TORTURE_POINT=point, TORTURE_AFTER=str(after))
        if point == "mid_takeover":  # so that there is something to take over
            scene.wait(2, 3)
            other = scene.chance.choice(WORKERS)
            stage.end(other, signal.SIGKILL)
            scene.wait(3, 4)
            stage.start(other)
        died = _comes_to_it(scene, name, job)
        if not died:
            stage.end(name)
        stage.start(name)
        return died

    return attack


def _comes_to_it(scene: Scene, name: str, job: str | None) -> bool:
    for _ in range(int(POINT_SECONDS * 2)):
        if not scene.stage.is_at_a_point(name):
            return False  # another hand has started it anew
        if job and not scene.over.is_set():
            _ask_for(scene.stage, job)
        if scene.stage.died(name, 0.5):
            return True
        if scene.over.is_set():
            return False
    return False


def _ask_for(stage: Stage, job: str) -> None:
    """Asks for what beat asks for more seldom."""
    with Celery("nemesis", broker=stage.servers.broker.url(), set_as_current=False) as app:
        app.conf.broker_connection_timeout = 2
        app.conf.task_create_missing_queue_type = "quorum"  # as the workers declare it; on Redis it means nothing
        app.conf.broker_transport_options = {"socket_timeout": 2, "socket_connect_timeout": 2}
        try:
            app.send_task(job, queue="maintenance", ignore_result=True, retry=False, expires=30)
        except Exception:  # noqa: BLE001 - the broker may be what is broken just now; it is asked for again
            return


PROCESS_FAULTS = (
    Fault("worker killed", _killed(WORKERS)),
    Fault("worker told to end", _killed(WORKERS, signal.SIGTERM)),
    Fault("worker told to end at once", _killed(WORKERS, signal.SIGQUIT)),
    Fault("worker stopped", _stopped(WORKERS, 3.5, 6.0)),
    Fault("all workers killed", _all_workers_killed),
    Fault("maintenance worker killed", _killed((MAINTENANCE,))),
    Fault("maintenance worker stopped", _stopped((MAINTENANCE,), 2.0, 5.0)),
    Fault("beat killed", _killed((BEAT,))),
    Fault("two beats", _two_beats),
    Fault("producer killed", _killed(WAYS)),
    Fault("producer stopped", _stopped(WAYS, 1.0, 4.0)),
    Fault("relay killed", _killed((RELAY,))),
    Fault("clock jumps", _clock_jumps, lambda stage: stage.clock),
    Fault("operator killed", _killed((OPERATOR,))),
)
POINT_FAULTS = (
    *(Fault(f"worker dies {point.replace('_', ' ')}", _dies_at(point)) for point in BATCH_POINTS if point != "mid_takeover"),
    Fault("worker dies mid takeover", _dies_at("mid_takeover"), on_redis),
    *(Fault(f"worker dies {point.replace('_', ' ')}", _dies_at(point)) for point in JOBS),
    *(Fault(f"operator dies {point.replace('_', ' ')}", _dies_at(point)) for point in OPERATIONS),
)
