"""Failover: what was told committed is there, however often the roles change."""

import threading
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

from lab.postgres import OWNER, SUPERUSER, PostgresServer
from lab.process import ServerFailed, temporary_dir, wait_until
from lab.proxy import Proxy
from lab.standby import StandbyPair


@pytest.fixture
def pair() -> Iterator[StandbyPair]:
    """Two servers of the test's own, the first of which runs, with an empty table `told`."""
    with temporary_dir() as folder:
        primary = PostgresServer(folder / "one")
        primary.start()
        pair = StandbyPair(primary, folder / "two")
        with psycopg.connect(pair.url(OWNER)) as connection:
            connection.execute("CREATE TABLE told (n bigint PRIMARY KEY)")
        yield pair
        for server in (pair.primary, pair.standby):
            server.kill()


class Writer(threading.Thread):
    """Commits one row after the other, and knows of which it was told that they are committed."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.told, self.ended = url, list[int](), threading.Event()

    def run(self) -> None:
        """Makes a new connection wherever one fails."""
        n = 0
        while not self.ended.is_set():
            with suppress(psycopg.OperationalError), psycopg.connect(self.url, autocommit=True, connect_timeout=2) as connection:
                while not self.ended.is_set():
                    n += 1
                    connection.execute("INSERT INTO told VALUES (%s)", [n])
                    self.told.append(n)

    def goes_on(self) -> None:
        """Returns once it was told of 20 further rows."""
        before = len(self.told)
        assert wait_until(lambda: len(self.told) > before + 20, 30), "it does not go on"


def test_nothing_told_committed_is_lost_by_failing_over_twice(pair: StandbyPair) -> None:
    """While a client commits through the proxy the primary is killed and its standby promoted, and again with the roles changed."""
    first = pair.primary
    with Proxy(pair.url()) as proxy:
        writer = Writer(proxy.url(pair.url(OWNER)))
        writer.start()
        for _ in range(2):
            pair.rebuild()
            assert pair.is_synchronous()
            writer.goes_on()
            former = pair.primary
            assert pair.fail_over(proxy) is pair.primary is not former
            writer.goes_on()
        writer.ended.set()
        writer.join(30)
    assert pair.primary is first
    with psycopg.connect(pair.url(OWNER)) as connection:
        kept = {n for (n,) in connection.execute("SELECT n FROM told")}
    assert set(writer.told) - kept == set()
    assert len(writer.told) > 80


def test_without_a_standby_nothing_is_killed(pair: StandbyPair) -> None:
    """Failing over with no synchronous standby, or with one that is gone, is refused, and the primary lives."""
    with pytest.raises(ServerFailed, match="no synchronous standby"):
        pair.fail_over()
    pair.rebuild()
    pair.standby.kill()
    assert not pair.is_synchronous()
    with pytest.raises(ServerFailed, match="no synchronous standby"):
        pair.fail_over()
    assert pair.primary.answers()
    pair.standby.start()
    assert wait_until(pair.is_synchronous, 30)


def test_commits_wait_for_a_standby_that_is_gone_until_the_primary_is_alone(pair: StandbyPair) -> None:
    """With its standby killed the primary tells nobody that they have committed; let alone it does."""
    pair.rebuild()
    pair.standby.kill()
    with Proxy(pair.url()) as proxy:
        writer = Writer(proxy.url(pair.url(OWNER)))
        writer.start()
        waits = "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        with psycopg.connect(pair.url(SUPERUSER), autocommit=True) as connection:
            assert wait_until(lambda: connection.execute(waits).fetchone() is not None, 30)
        assert writer.told == []
        pair.alone()
        writer.goes_on()
        writer.ended.set()
        writer.join(30)


def test_a_primary_starts_without_its_standby(pair: StandbyPair) -> None:
    """Both are killed: the primary starts though nobody confirms what it commits, and with the standby it is a pair again."""
    pair.rebuild()
    pair.standby.kill()
    pair.primary.kill()
    assert pair.primary.start()
    assert not pair.is_synchronous()
    assert pair.standby.start()
    assert wait_until(pair.is_synchronous, 30)
    former = pair.primary
    assert pair.fail_over() is not former


def test_a_former_primary_cannot_be_written(pair: StandbyPair) -> None:
    """Somebody starts the killed primary after a failover: it answers, and refuses every write."""
    pair.rebuild()
    pair.fail_over()
    pair.standby.start()
    with psycopg.connect(pair.standby.url(OWNER)) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("INSERT INTO told VALUES (1)")


def test_a_server_that_is_fast_at_the_cost_of_safety_gets_no_standby() -> None:
    """A primary that tells of commits before they are on disk can't be failed over from."""
    with temporary_dir() as folder, pytest.raises(ServerFailed, match="fast"):
        StandbyPair(PostgresServer(folder / "one", fast=True), folder / "two").rebuild()
