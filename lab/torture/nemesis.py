"""Who does the harm: threads that draw faults from decks which the seed has shuffled, until the run is over."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Self

from lab.torture.faults import Fault, Scene
from lab.torture.stage import Stage

Told = Callable[[str], None]


class Nemesis:
    """One thread per hand; each hand makes one fault at a time, and every fault of its deck before one of them again.

    Args:
        stage: what is attacked.
        hands: faults by the name of the hand.
        seed: the order of the faults, and what they draw, follow from it; when one comes depends on how long those before it took.
        pauses: seconds between two faults of one hand, least and most.
        pace: how long faults last in relation to what they say.
        told: each fault, as it is made and as it has failed.
    """

    def __init__(
        self, stage: Stage, hands: dict[str, Sequence[Fault]], seed: int, pauses: tuple[float, float], told: Told, *, pace: float = 1.0
    ) -> None:
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []
        self._over, self._lock = threading.Event(), threading.Lock()
        self._pauses, self._told = pauses, told
        self._threads = [
            threading.Thread(target=self._work, name=hand, args=(Scene(stage, random.Random(f"{seed} {hand}"), self._over, pace), list(faults)))
            for hand, faults in hands.items()
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Everything is mended: each hand ends the fault that it makes. Who asks again meanwhile for an end to it all waits for that."""
        self._over.set()
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for thread in self._threads:
                thread.join()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def lacks(self, names: Collection[str]) -> set[str]:
        """Which of these faults were never made."""
        return {name for name in names if not self.done[name]}

    def _work(self, scene: Scene, faults: list[Fault]) -> None:
        deck: list[Fault] = []
        while not self._over.wait(scene.chance.uniform(*self._pauses)):
            if not deck:
                deck = scene.chance.sample(faults, k=len(faults))
            fault = deck.pop()
            if not self._make(fault, scene) and fault not in deck[-1:]:
                deck.insert(max(0, len(deck) - 1), fault)  # soon again: every fault is to happen as often as the others

    def _make(self, fault: Fault, scene: Scene) -> bool:
        begun = time.monotonic()
        try:
            happened = fault.attack(scene)
        except Exception as error:  # noqa: BLE001 - a server that another hand has just stopped; whether it heals is seen in the end
            with self._lock:
                self.failures.append(f"{fault.name}: {type(error).__name__}: {error}")
            self._told(f"{fault.name}: not possible just now ({type(error).__name__}: {error})")
            return False
        with self._lock:
            self.done[fault.name] += happened
        self._told(f"{fault.name}{'' if happened else ': there was nothing to harm'} ({time.monotonic() - begun:.1f} s)")
        return happened
