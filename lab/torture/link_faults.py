"""What can befall a link between processes and a server."""

from collections.abc import Callable

from lab.proxy import Proxy
from lab.torture.faults import Scene
from lab.torture.stage import Stage


def cut(link: Callable[[Stage], Proxy]) -> Callable[[Scene], bool]:
    """Every connection over a link is reset, several times."""

    def attack(scene: Scene) -> bool:
        cut = 0
        for _ in range(scene.chance.randrange(3, 12)):
            cut += link(scene.stage).cut()
            scene.wait(0.02, 0.3)
        return cut > 0

    return attack


def refused(link: Callable[[Stage], Proxy]) -> Callable[[Scene], bool]:
    """A link leads nowhere for some seconds."""

    def attack(scene: Scene) -> bool:
        try:
            link(scene.stage).refuse()
            scene.wait(1.0, 4.0)
        finally:
            link(scene.stage).refuse(False)
        return True

    return attack


def half_open(link: Callable[[Stage], Proxy]) -> Callable[[Scene], bool]:
    """Connections stay open and carry nothing any more."""

    def attack(scene: Scene) -> bool:
        silent = 0
        for _ in range(30):  # there may be no connection just now
            if scene.over.is_set() or (silent := link(scene.stage).half_open()):
                break
            scene.over.wait(0.2)
        scene.wait(2.0, 4.0)  # and nobody mends it: who waits there must give up by himself
        return silent > 0

    return attack


def one_way(link: Callable[[Stage], Proxy], way: Callable[[Proxy], None]) -> Callable[[Scene], bool]:
    """What goes one way is swallowed: who asks gets no answer, or who answers is not asked."""

    def attack(scene: Scene) -> bool:
        try:
            way(link(scene.stage))
            scene.wait(2.0, 4.0)
        finally:
            healed = link(scene.stage).heal()
        return healed > 0

    return attack


def slow(link: Callable[[Stage], Proxy]) -> Callable[[Scene], bool]:
    """Everything comes late."""

    def attack(scene: Scene) -> bool:
        try:
            link(scene.stage).delay(scene.chance.uniform(0.05, 0.4))
            scene.wait(2.0, 4.0)
        finally:
            link(scene.stage).delay(0)
        return True

    return attack
