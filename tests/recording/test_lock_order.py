"""The order of locks: whatever records, parks, releases, replays, switches and backfills in whatever order, nobody waits in a circle."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import Configuration
from core.database.database import Database
from core.dead_letters.replay import Replaying, replay_dead_letters
from core.dead_letters.sql.status import Choice
from core.directory.import_lists import import_directory
from core.directory.sql.mirror import Mandate, Membership
from core.errors import NotFound, StorageUnavailable
from core.ledger.opening import KnownAccounts
from core.movements.switch import ModelSwitch, switch_billing_model
from core.movements.top_up import TopUp, top_up
from core.recording.backfill_accounts import backfill_accounts
from core.recording.release_parked import release_all_parked
from core.settings.backfill import backfill_settings
from tests.conftest import Record, Rows
from tests.recording.interleaving import Interleaving, Session
from tests.sample_events import OCCURRED_AT, event
from tests.scene import Breaches, PutSettings

IN_THIS_MOMENT = "in this moment"  # what was parked or released meanwhile is asked for again, and then found
AGAIN_MAX = 5
MANDATES, USERS, NUMBERS = ["acme", "bolt", "cone"], ["ada", "bob"], range(6)


class Scene:
    """Books of three mandates, the first with settings, the others unknown as yet; and pieces of work on them, each in a session of its own."""

    def __init__(self, connect: Callable[[], Database], config: Configuration, record: Record, world: int) -> None:
        self.connect, self.config, self.recording, self.world = connect, config, record, world
        self.databases: list[Database] = []
        self.interleaving = Interleaving(self._database())
        self.keys = iter(range(1_000_000))

    def usage(self, mandate: str, number: int, user: str = "ada", price: str = "0.5") -> dict[str, object]:
        """An event of this world, the same for the same arguments."""
        return event(event_id=f"e{number}", mandate_id=f"{mandate}{self.world}", user_id=user, price_chf=price, occurred_at=OCCURRED_AT.isoformat())

    def session(self, name: str, do: Callable[[Database], object]) -> Session:
        """Does it on a database of its own; what asks to be tried again is, and nothing else."""
        database = self._database()

        def work() -> None:
            for _ in range(AGAIN_MAX):
                try:
                    do(database)
                except NotFound:
                    return
                except StorageUnavailable as error:
                    if IN_THIS_MOMENT not in str(error):
                        raise
                else:
                    return
            raise AssertionError(f"{name} was asked for {AGAIN_MAX} times")

        return self.interleaving.add(name, database, work)

    def record(self, *batch: dict[str, object]) -> Session:
        """Records a batch."""
        return self.session("record", lambda database: self.recording(*batch, database=database, known_accounts=KnownAccounts()))

    def release(self) -> Session:
        """Releases what can be."""
        return self.session("release", lambda database: release_all_parked(database, config=self.config, worker="test"))

    def replay(self, letter_ids: Sequence[int]) -> Session:
        """Replays these dead letters."""
        how = Replaying(self.config, "test", "olga")
        return self.session("replay", lambda database: replay_dead_letters(database, ROOT, Choice(ids=letter_ids), how))

    def appear(self, *mandates: str) -> Session:
        """The directory has these mandates from now on, with all users as members."""
        given = [Mandate(f"{name}{self.world}", name, None, True, None) for name in mandates]
        members = [Membership(user, one.id, True) for one in given for user in USERS]
        return self.session("appear", lambda database: import_directory(database, ROOT, mandates=given, memberships=members))

    def switch(self, mandate: str, model: BillingModel) -> Session:
        """Another billing model."""
        asked = ModelSwitch.read({"mandate_id": f"{mandate}{self.world}", "key": f"k{next(self.keys)}", "by": "olga", "billing_model": model})
        return self.session("switch", lambda database: switch_billing_model(database, ROOT, asked))

    def backfill(self) -> Session:
        """Both backfills."""

        def do(database: Database) -> None:
            backfill_settings(database, config=self.config, worker="test", at_once=True)
            backfill_accounts(database, config=self.config, worker="test", at_once=True)

        return self.session("backfill", do)

    def top_up(self, account_id: int) -> Session:
        """A payment."""
        asked = TopUp.read({"mandate_id": f"acme{self.world}", "account_id": account_id, "amount": "3", "key": f"k{next(self.keys)}", "by": "olga"})
        return self.session("top up", lambda database: top_up(database, ROOT, asked))

    def finish(self) -> None:
        """All sessions end, and no deadlock was broken on the way."""
        self.interleaving.finish()
        for database in self.databases:
            database.dispose()
        assert {session.name: session.deadlocks for session in self.interleaving.sessions if session.deadlocks} == {}

    def _database(self) -> Database:
        self.databases.append(self.connect())
        return self.databases[-1]


@pytest.fixture
def make_scene(connect: Callable[[], Database], config: Configuration, record: Record, put_settings: PutSettings) -> Callable[[int], Scene]:
    """Makes a scene of its own for each number."""

    def make(world: int) -> Scene:
        put_settings(f"acme{world}", users=USERS)
        return Scene(connect, config, record, world)

    return make


@pytest.fixture
def settled(database: Database, config: Configuration, rows: Rows, breaches: Breaches) -> Callable[[], None]:
    """Whether the books are in order in the end: each event recorded once at most, and the counts of the car park right."""

    def check() -> None:
        assert breaches() == {}
        assert rows("SELECT FROM transactions WHERE reference_type = 'WORKFLOW' GROUP BY mandate_id, event_id HAVING count(*) > 1") == []
        assert parked_counts_are_right(rows)

    return check


def parked_counts_are_right(rows: Rows) -> bool:
    """Whether the counts of the car park are what a count gives, and none of them is left of a mandate without parked events."""
    counted = rows("SELECT mandate_id, stripe, count(*) AS events FROM parked_events GROUP BY 1, 2 ORDER BY 1, 2")
    kept = rows("SELECT mandate_id, stripe, events FROM parked_counts WHERE mandate_id <> '' ORDER BY 1, 2")
    (total,) = rows("SELECT coalesce(sum(events), 0) AS events FROM parked_counts WHERE mandate_id = ''")
    return kept == counted and total["events"] == sum(row["events"] for row in counted)


@pytest.mark.parametrize("first", ["record", "release"])
def test_a_recorder_that_stops_anywhere_lets_the_others_end(first: str, make_scene: Callable[[int], Scene], settled: Callable[[], None]) -> None:
    """One session stops before each of its statements in turn, while others park, make mandates known, release, record and switch."""
    world, steps, whole = 0, 0, False
    while not whole:
        world, steps = world + 1, steps + 1
        scene = make_scene(world)
        run = scene.interleaving.run
        run(scene.record(scene.usage("bolt", 0), scene.usage("cone", 0)))
        run(scene.appear("bolt"))
        batch = [scene.usage("acme", 1), scene.usage("bolt", 1), scene.usage("cone", 1)]
        stopped = scene.record(*batch) if first == "record" else scene.release()
        run(stopped, steps)
        whole = stopped.done
        run(scene.record(scene.usage("cone", 1)))
        run(scene.appear("cone"))
        run(scene.release() if first == "record" else scene.record(*batch))
        run(scene.switch("acme", BillingModel.PREPAY_MANDATE))
        run(scene.switch("bolt", BillingModel.CREDIT_POSTPAY))
        run(scene.record(*reversed(batch)))
        scene.finish()
    assert steps > 10
    settled()


def test_a_batch_with_something_bad_in_it_lets_the_others_end(make_scene: Callable[[int], Scene], settled: Callable[[], None], rows: Rows) -> None:
    """Wherever it stops while what the database refuses is looked for, it holds nothing of the rest for which others wait in a circle."""
    rows("ALTER TABLE transactions ADD CONSTRAINT picky CHECK (amount <> 20)")
    world, steps, whole = 0, 0, False
    while not whole:
        world, steps = world + 1, steps + 1
        scene = make_scene(world)
        run = scene.interleaving.run
        run(scene.record(scene.usage("acme", 0), scene.usage("acme", 1, "bob"), scene.usage("bolt", 0)))
        bad = scene.record(scene.usage("acme", 2, "bob"), scene.usage("bolt", 1), scene.usage("acme", 3, price="20"), scene.usage("acme", 4))
        run(bad, steps)
        whole = bad.done
        run(scene.record(scene.usage("acme", 5), scene.usage("acme", 6, "bob"), scene.usage("bolt", 2)))
        scene.finish()
    assert steps > 20
    assert {row["reason"] for row in rows("SELECT reason FROM dead_letters")} == {"data_error"}
    settled()


USAGE = st.tuples(st.sampled_from(MANDATES), st.sampled_from(NUMBERS), st.sampled_from(USERS), st.sampled_from(["0.5", "0.5", "20"]))
BATCHES = st.lists(USAGE, min_size=1, max_size=6)
WORK = st.one_of(
    st.tuples(st.just("record"), BATCHES),
    st.tuples(st.just("record"), BATCHES),
    st.tuples(st.just("record"), BATCHES),
    st.just(("release",)),
    st.just(("release",)),
    st.just(("replay",)),
    st.tuples(st.just("appear"), st.sampled_from([["bolt"], ["cone"], ["bolt", "cone"]])),
    st.tuples(st.just("switch"), st.sampled_from(MANDATES), st.sampled_from(BillingModel)),
    st.just(("backfill",)),
    st.just(("top up",)),
)
STEPS = st.lists(st.tuples(st.integers(0, 5), st.sampled_from([1, 2, 3, 5, 8, 13, 100])), min_size=4, max_size=20)
worlds = iter(range(1_000_000))


def test_random_interleavings_end_without_a_deadlock(
    make_scene: Callable[[int], Scene], settled: Callable[[], None], record: Record, rows: Rows
) -> None:
    """Some events are parked, some are dead letters; then each session does some statements, in an order that is drawn."""

    @settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
    @given(parked=BATCHES, refused=BATCHES, work=st.lists(WORK, min_size=3, max_size=6), steps=STEPS)
    def interleave(parked: Sequence[Any], refused: Sequence[Any], work: Sequence[Any], steps: Sequence[tuple[int, int]]) -> None:
        scene = make_scene(next(worlds))
        record(scene.usage("acme", 99, "bob"), *[scene.usage(*one) for one in parked])
        slow = datetime.now(UTC) - timedelta(days=1)
        record(*[scene.usage(*one) for one in refused], clock=lambda: slow)  # to a slow clock they are of the future
        (bob,) = rows("SELECT id FROM accounts WHERE user_id = 'bob' AND mandate_id = :acme", acme=f"acme{scene.world}")
        mandates = [f"{mandate}{scene.world}" for mandate in MANDATES]
        letters = [row["id"] for row in rows("SELECT id FROM dead_letters WHERE mandate_id = ANY(:mandates)", mandates=mandates)]
        known = {"replay": [letters], "top up": [bob["id"]]}
        begun = [_begin(scene, name, *known.get(name, arguments)) for name, *arguments in work]
        for number, count in steps:
            scene.interleaving.run(begun[number % len(begun)], count)
        scene.finish()

    interleave()
    settled()


def _begin(scene: Scene, name: str, *arguments: Any) -> Session:
    match name:
        case "record":
            return scene.record(*[scene.usage(*one) for one in arguments[0]])
        case "appear":
            return scene.appear(*arguments[0])
    begin: Callable[..., Session] = getattr(scene, name.replace(" ", "_"))
    return begin(*arguments)
