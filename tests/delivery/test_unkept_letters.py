"""Where the books have no room even for a dead letter."""

from collections.abc import Callable

import pytest

from tests.conftest import Rows
from tests.delivery.brokers import Broker
from tests.delivery.conftest import StartWorker, both_brokers, eventually
from tests.delivery.test_faults import message
from tests.sample_events import event

pytestmark = pytest.mark.usefixtures("acme")
_NO_ROOM = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER no_room BEFORE INSERT ON dead_letters EXECUTE FUNCTION no_room()
"""


@both_brokers
def test_without_room_in_the_books_nothing_is_acknowledged(
    broker: Broker, start_worker: StartWorker, rows: Rows, counts: Callable[[], dict[str, int]], is_drained: Callable[[], bool]
) -> None:
    """A batch whose dead letter can't be written stays the broker's, good events and all; with room again the same worker settles it once."""
    rows(_NO_ROOM)
    broker.put("usage", *(message(event()) for _ in range(20)), message(event(price_chf="-1")))
    worker = start_worker().ready()
    eventually(lambda: worker.says("waiting_for_database"), "it waits")
    assert not is_drained()
    assert rows("SELECT FROM dead_letters") == []
    rows("DROP TRIGGER no_room ON dead_letters")
    eventually(is_drained, "all is settled")
    assert [row["attempts"] for row in rows("SELECT attempts FROM dead_letters")] == [1]
    assert (counts()["recorded"], counts()["rejected"]) == (20, 1)
    assert worker.process.poll() is None
