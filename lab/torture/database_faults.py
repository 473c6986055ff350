"""The faults of PostgreSQL and of the link to it: stopped, killed, full, read-only, locked, out of reach, slow or silent."""

import time
from collections.abc import Callable
from contextlib import closing

import psycopg

from lab.proxy import Proxy
from lab.standby import StandbyPair
from lab.torture.faults import Fault, Scene
from lab.torture.link_faults import cut, half_open, one_way, refused, slow

WORKER_SESSIONS = "FROM pg_stat_activity WHERE datname = current_database() AND usename = 'tollbook_app' AND pid <> pg_backend_pid()"


def _restarted(stop: Callable[[Scene], object]) -> Callable[[Scene], bool]:
    def attack(scene: Scene) -> bool:
        try:
            stop(scene)
            scene.wait(0.2, 2.0)
        finally:
            scene.stage.servers.start_postgres()
        return True

    return attack


def _storm(statement: str) -> Callable[[Scene], bool]:
    """The same done to the workers' sessions every 50 ms."""

    def attack(scene: Scene) -> bool:
        until, hit = time.monotonic() + scene.chance.uniform(1.0, 2.5), 0
        with closing(scene.stage.administrator()) as connection:
            while time.monotonic() < until:
                hit += len(connection.execute(f"SELECT {statement}(pid) {WORKER_SESSIONS}".encode()).fetchall())
                time.sleep(0.05)
        return hit > 0

    return attack


def _altered(change: str, back: str, *, least: float, most: float, anew: bool = False) -> Callable[[Scene], bool]:
    """A setting of the server or the login for some seconds, `anew` for new sessions only: the present ones are ended."""

    def attack(scene: Scene) -> bool:
        with closing(scene.stage.administrator()) as connection:
            try:
                _set(connection, change, anew=anew)
                scene.wait(least, most)
            finally:
                _set(connection, back, anew=anew)
        return True

    return attack


def _set(connection: psycopg.Connection[tuple[object, ...]], change: str, *, anew: bool) -> None:
    connection.execute(change.encode())
    connection.execute("SELECT pg_reload_conf()")
    if anew:
        connection.execute(f"SELECT pg_terminate_backend(pid) {WORKER_SESSIONS}".encode())


def _locked_out(scene: Scene) -> bool:
    """Somebody holds accounts for longer than a worker waits for a lock."""
    with closing(scene.stage.administrator()) as connection, connection.transaction(force_rollback=True):
        held = connection.execute("SELECT FROM accounts ORDER BY id FOR UPDATE").rowcount
        scene.last(3.5, 5.0)
    return held > 0


def _commits_unanswered(scene: Scene) -> bool:
    lost = 0
    for _ in range(5):
        swallowed = scene.stage.servers.database.swallow(lambda reply: b"COMMIT\0" in reply)
        lost += swallowed.wait(2.0)
    scene.stage.servers.database.swallow(lambda _: False)
    return lost > 0


def _disk_full(scene: Scene) -> bool:
    disk = scene.stage.servers.disk
    assert disk
    try:
        disk.fill(left_kib=scene.chance.choice((0, 64, 4_000)))
        scene.wait(2.0, 4.0)
    finally:
        disk.free()
        scene.stage.servers.start_postgres()
    return True


def _pair(scene: Scene) -> StandbyPair:
    assert scene.stage.servers.pair
    return scene.stage.servers.pair


def _failover(scene: Scene) -> bool:
    pair = _pair(scene)
    if not pair.is_synchronous():
        pair.rebuild()
    pair.fail_over(scene.stage.servers.database)
    scene.wait(0.5, 2.0)
    pair.rebuild()
    return True


def _standby_killed(scene: Scene) -> bool:
    """No commit is answered until it is there again."""
    pair = _pair(scene)
    ran = pair.standby.pid is not None
    try:
        pair.standby.kill()
        scene.wait(1.0, 3.0)
    finally:
        pair.standby.start()
    return ran


def _pooler_killed(scene: Scene) -> bool:
    pooler = scene.stage.servers.pooler
    assert pooler
    ran = pooler.pid is not None
    try:
        pooler.kill()
        scene.wait(0.5, 3.0)
    finally:
        pooler.start()
    return ran


_READ_ONLY = ("ALTER SYSTEM SET default_transaction_read_only = on", "ALTER SYSTEM RESET default_transaction_read_only")
_NO_ROOM = ("ALTER ROLE tollbook_app CONNECTION LIMIT 1", "ALTER ROLE tollbook_app CONNECTION LIMIT -1")
_SERIALIZABLE = ("ALTER SYSTEM SET default_transaction_isolation = 'serializable'", "ALTER SYSTEM RESET default_transaction_isolation")
_NO_LOGIN = ("ALTER ROLE tollbook_app NOLOGIN", "ALTER ROLE tollbook_app LOGIN")

DATABASE_FAULTS = (
    Fault("PostgreSQL stopped immediately", _restarted(lambda scene: scene.stage.servers.postgres.stop("immediate"))),
    Fault("PostgreSQL restarted", _restarted(lambda scene: scene.stage.servers.postgres.stop("fast"))),
    Fault("PostgreSQL killed", _restarted(lambda scene: scene.stage.servers.postgres.kill())),
    Fault("failover to the standby", _failover, lambda stage: stage.servers.pair),
    Fault("standby killed", _standby_killed, lambda stage: stage.servers.pair),
    Fault("disk full", _disk_full, lambda stage: stage.servers.disk),
    Fault("pooler killed", _pooler_killed, lambda stage: stage.servers.pooler),
    Fault("sessions terminated", _storm("pg_terminate_backend")),
    Fault("statements cancelled", _storm("pg_cancel_backend")),
    Fault("database read-only", _altered(*_READ_ONLY, least=1.5, most=3.5)),
    Fault("connections exhausted", _altered(*_NO_ROOM, least=1.5, most=3.5, anew=True)),
    Fault("login refused", _altered(*_NO_LOGIN, least=1.5, most=3.0, anew=True)),
    Fault("database serializable", _altered(*_SERIALIZABLE, least=2.0, most=4.0)),
    Fault("accounts locked", _locked_out),
    Fault("commits unanswered", _commits_unanswered),
    Fault("database link cut", cut(lambda stage: stage.servers.database)),
    Fault("database link refused", refused(lambda stage: stage.servers.database)),
    Fault("database link half-open", half_open(lambda stage: stage.servers.database)),
    Fault("database link: requests lost", one_way(lambda stage: stage.servers.database, Proxy.silence_requests)),
    Fault("database link: answers lost", one_way(lambda stage: stage.servers.database, Proxy.silence_replies)),
    Fault("database link slow", slow(lambda stage: stage.servers.database)),
)
