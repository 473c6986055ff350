"""A life's numbers: none twice, none left out, and a child's are its own."""

import os
import threading
from contextlib import suppress
from uuid import UUID

from tollbook_client.sequence import ProducerLife, uuid7


def test_ids_are_uuids_of_version_7_in_order_of_time() -> None:
    """An id has the version and the variant, begins with the milliseconds, and no two are the same."""
    made = [uuid7() for _ in range(5000)]
    assert {(UUID(one).version, UUID(one).variant) for one in made} == {(7, "specified in RFC 4122")}
    assert [one[:13] for one in made] == sorted(one[:13] for one in made)
    assert len(set(made)) == len(made)


def test_threads_take_each_number_once() -> None:
    """What many threads took of one life is 1, 2, 3 and so on."""
    life, taken = ProducerLife(), list[int]()
    threads = [threading.Thread(target=lambda: taken.extend(life.next() for _ in range(500))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 4001))


def test_a_refused_event_has_no_number() -> None:
    """A number whose block raises is the next one's."""
    life = ProducerLife()
    with suppress(ValueError), life.numbered():
        raise ValueError
    assert (life.next(), life.next()) == (1, 2)


def test_a_child_begins_a_life_of_its_own() -> None:
    """After a fork the child counts from 1 under another id, even where the parent's lock was held; the parent goes on."""
    life = ProducerLife()
    life.next()
    reading, writing = os.pipe()
    with life.numbered():
        if (pid := os.fork()) == 0:
            os.write(writing, f"{life.producer_id} {life.next()}".encode())
            os._exit(0)
        os.waitpid(pid, 0)
    child, number = os.read(reading, 100).decode().split()
    assert (number, child != life.producer_id) == ("1", True)
    assert life.next() == 3
