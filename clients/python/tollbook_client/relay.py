"""The relay: takes events out of the outbox, publishes them, and deletes them once the broker has confirmed.

At least once: what is published and not yet deleted when something dies is published again, with the same event ids, and is a duplicate
to Tollbook. Rows go out in the order of their ids; several relays share the work.
"""

import argparse
import logging
import os
import random
import signal
import sys
import threading
from typing import Any

from tollbook_client.contract import EVENT_BYTES_MAX
from tollbook_client.outbox import checked
from tollbook_client.outbox_stores import Row, Store, store_of
from tollbook_client.sequence import ProducerLife
from tollbook_client.tls import Tls
from tollbook_client.transport import Transport

log = logging.getLogger("tollbook_client.relay")

PAUSE_SECONDS_MAX = 5.0
REASON_LENGTH_MAX = 500
_NUMBER_BYTES_MAX = 100
_NAMES_ITS_PRODUCER = frozenset({"producer_id", "producer_seq"})


class Relay:
    """Carries events from one outbox to one broker, in a process or a thread of its own, until `stop`.

    A row that can't be sent (no JSON, against the contract, too long) is set aside with its reason in `error`, and the others go on. While
    the broker or the database is away, it tries again. Events without `producer_id` get one with a number, by which Tollbook finds any that
    is lost behind the broker; all other bytes are sent as they stand in the table.

    Args:
        database_url: where the table is: postgresql://…, sqlite:///relative/path or sqlite:////absolute/path.
        broker_url: as for `Transport`.
        tls: for rediss:// and amqps://.
        outcomes: name of the queue on which refused and parked events are to be told.
        rows_max: how many rows are claimed, sent and deleted at once.
        poll_seconds: how long it waits before it looks for new rows, when it has sent all.

    Raises:
        ValueError: a URL can't be used.
        ImportError: psycopg is not installed.
    """

    def __init__(
        self,
        database_url: str,
        broker_url: str,
        *,
        tls: Tls | None = None,
        outcomes: str | None = None,
        rows_max: int = 500,
        poll_seconds: float = 0.25,
    ) -> None:
        self._store: Store = store_of(database_url)
        self._transport = Transport(broker_url, tls=tls, outcomes=outcomes, patience_seconds=0)  # its rows are claimed meanwhile
        self._rows_max, self._poll_seconds = rows_max, poll_seconds
        self._stopped = threading.Event()
        self._life = ProducerLife()
        self._trouble = ""

    def run(self) -> None:
        """Returns after `stop`, when the batch in hand is done. Never raises: what goes wrong is logged and tried again."""
        failures = 0
        try:
            while not self._stopped.is_set():
                try:
                    pause = 0.0 if self.carry() == self._rows_max else self._poll_seconds
                    failures = 0
                    self._tell_of_trouble("")
                except Exception as error:  # noqa: BLE001 - whatever it is, the rows are still there
                    failures += 1
                    pause = random.uniform(0.5, 1) * min(0.1 * 2 ** min(failures, 10), PAUSE_SECONDS_MAX)  # noqa: S311 - spreads retries
                    self._tell_of_trouble(_in_one_line(error))
                self._stopped.wait(pause)
        finally:
            self.close()

    def drain(self) -> None:
        """Returns once it has carried all rows that it could claim.

        Raises:
            NotDelivered: the broker doesn't confirm.
            Exception: of the database's driver.
        """
        while self.carry():
            pass

    def carry(self) -> int:
        """Claims rows, publishes them and deletes them.

        Returns:
            How many were done with, those that were set aside among them; 0 where there are none, or other relays have them.

        Raises:
            NotDelivered: the broker doesn't confirm; the rows are free again.
            Exception: of the database's driver; as above.
        """
        try:
            rows = self._store.claim(self._rows_max)
            if not rows:
                self._store.give_back()
                return 0
            bodies, refused = self._judged(rows)
            self._transport.publish(list(bodies.values()))
            self._store.finish(list(bodies), refused)
        except BaseException:
            self._life = ProducerLife()  # numbers that were given and not sent must not be missed: nothing follows them in their life
            self._store.give_back()
            raise
        for row, reason in refused.items():
            log.error("row %d of tollbook_outbox is set aside: %s", row, reason)
        log.info("published %d events", len(bodies))
        return len(rows)

    def stop(self) -> None:
        """Has `run` end soon. May be called from any thread."""
        self._stopped.set()

    def close(self) -> None:
        """Ends the connections."""
        self._store.close()
        self._transport.close()

    def _judged(self, rows: list[Row]) -> tuple[dict[int, bytes], dict[int, str]]:
        """What is to be sent of which row, and why of the others nothing is."""
        bodies: dict[int, bytes] = {}
        refused: dict[int, str] = {}
        for row in rows:
            try:
                fields = checked(row.body)
            except Exception as error:  # noqa: BLE001 - one row must not stop the others
                refused[row.id] = _in_one_line(error)
                continue
            bodies[row.id] = self._numbered(row.body, fields).encode()
        return bodies, refused

    def _numbered(self, body: str, fields: dict[str, Any]) -> str:
        """The event with its place in this life added, unless it names its producer, has a version that knows of none, or no room."""
        full = len(body.encode()) + _NUMBER_BYTES_MAX > EVENT_BYTES_MAX
        if full or _NAMES_ITS_PRODUCER & fields.keys() or fields.get("schema_version") == 1:
            return body
        with self._life.numbered() as number:
            return f'{body.rstrip()[:-1]},"producer_id":"{self._life.producer_id}","producer_seq":{number}}}'

    def _tell_of_trouble(self, trouble: str) -> None:
        """Logs a change once, not every attempt."""
        if trouble != self._trouble:
            if trouble:
                log.warning("trying again: %s", trouble)
            else:
                log.warning("it goes on")
            self._trouble = trouble


def _in_one_line(error: Exception) -> str:
    """What a database takes, and a terminal: a reason may have a name out of the event in it."""
    text = " ".join((str(error) or type(error).__name__).split())
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)[:REASON_LENGTH_MAX]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tollbook_client.relay", description=__doc__.partition("\n")[0])
    parser.add_argument("--database", default=os.environ.get("OUTBOX_DATABASE_URL"), help="the database's URL (OUTBOX_DATABASE_URL)")
    parser.add_argument("--broker", default=os.environ.get("CELERY_BROKER_URL"), help="the broker's URL (CELERY_BROKER_URL)")
    parser.add_argument("--outcomes", metavar="NAME", help="where refused and parked events are to be told")
    parser.add_argument("--rows", type=int, default=500, metavar="N", help="rows sent at once (500)")
    parser.add_argument("--poll", type=float, default=0.25, metavar="SECONDS", help="pause before it looks for new rows (0.25)")
    parser.add_argument("--once", action="store_true", help="send what is there and end; exit code 1 where that fails")
    arguments = parser.parse_args()
    for name in ("database", "broker"):
        if not getattr(arguments, name):
            parser.error(f"--{name} is required")
    return arguments


def main() -> int:
    """`python -m tollbook_client.relay`: carries until SIGTERM or SIGINT, then finishes its batch.

    Returns:
        The exit code: 0, 1 where `--once` fails, 2 for arguments that can't be used.
    """
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        relay = Relay(
            arguments.database,
            arguments.broker,
            tls=Tls.from_environment(),
            outcomes=arguments.outcomes,
            rows_max=arguments.rows,
            poll_seconds=arguments.poll,
        )
    except (ValueError, ImportError) as error:
        log.error("%s", error)  # noqa: TRY400 - an operator's mistake has no trace
        return 2
    return _once(relay) if arguments.once else _until_told(relay)


def _once(relay: Relay) -> int:
    try:
        relay.drain()
    except Exception as error:  # noqa: BLE001 - told in one line
        log.error("%s", _in_one_line(error))  # noqa: TRY400 - as above
        return 1
    finally:
        relay.close()
    return 0


def _until_told(relay: Relay) -> int:
    """Runs in a thread, so that a signal interrupts nothing."""
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: told.append(number))
    thread = threading.Thread(target=relay.run, name="relay")
    thread.start()
    while thread.is_alive() and not told:
        thread.join(0.2)
    relay.stop()
    thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
