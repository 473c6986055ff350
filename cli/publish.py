"""`tollbook publish`: usage events out of a file, as Celery messages."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import kombu.serialization
import msgspec
import typer
from amqp.exceptions import AMQPError, MessageNacked
from kombu.exceptions import OperationalError

from cli.context import find_servers
from cli.event_files import event_body, read_events
from cli.options import AsJson
from cli.output.exits import AWAY, INTERRUPTED
from cli.output.notes import tell, tell_error
from cli.output.progress import progress
from cli.output.show import show
from cli.output.text import counted, printable
from core.record_files import FileFormat, RecordLine
from worker.intake.amqp_connection import refusal

app = typer.Typer(add_completion=False, rich_markup_mode=None)

BATCH_BYTES_MAX = 768 * 1024  # of events in one message, which the worker takes up to 1 MiB
_AS_IT_STANDS = "json-as-it-stands"  # JSON like any other, of events that are JSON already
_SUFFIXES = {".jsonl": FileFormat.JSONL, ".ndjson": FileFormat.JSONL, ".json": FileFormat.JSONL, ".csv": FileFormat.CSV}


kombu.serialization.register(
    _AS_IT_STANDS, lambda value: msgspec.json.encode(value).decode(), None, content_type="application/json", content_encoding="utf-8"
)


@dataclass(slots=True)
class Tally:
    """What has been done so far; `events` and `messages` count only what the broker has confirmed."""

    events: int = 0
    messages: int = 0
    refused: int = 0
    position: int = 0
    began: float = field(default_factory=time.monotonic)

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints; `rate` in events per second."""
        seconds = max(time.monotonic() - self.began, 0.001)
        return {
            "published": self.events,
            "messages": self.messages,
            "refused": self.refused,
            "seconds": round(seconds, 3),
            "rate": round(self.events / seconds, 1),
        }

    def in_words(self) -> str:
        """One line for people."""
        return f"published {counted(self.events, 'event')} in {counted(self.messages, 'message')} ({self.as_json()['rate']:.0f} events/s)"


class Publisher:
    """Sends events to the queue of the usage tasks over one connection, `batch` to a message.

    With `batch` 1 a message is one event (`usage.record`), else it is `usage.record_batch`.
    """

    def __init__(self, producer: Any, batch: int, tally: Tally) -> None:
        self._producer, self._batch, self._tally = producer, batch, tally
        self._waiting: list[msgspec.Raw] = []
        self._waiting_bytes = 0

    def add(self, line: RecordLine) -> None:
        """Publishes the event of the line, at once or with those that follow."""
        event = event_body(line)
        if self._batch == 1:
            self._send("usage.record", msgspec.Raw(event), 1)
            return
        if self._waiting and self._waiting_bytes + len(event) > BATCH_BYTES_MAX:
            self.flush()
        self._waiting.append(msgspec.Raw(event))
        self._waiting_bytes += len(event)
        if len(self._waiting) == self._batch:
            self.flush()

    def flush(self) -> None:
        """Publishes what waits for its message to be full."""
        if self._waiting:
            self._send("usage.record_batch", self._waiting, len(self._waiting))
            self._waiting, self._waiting_bytes = [], 0

    def _send(self, task: str, argument: msgspec.Raw | list[msgspec.Raw], events: int) -> None:
        from tasks import usage  # noqa: PLC0415 - reads the configuration, which find_servers completes

        door = {"usage.record": usage.record, "usage.record_batch": usage.record_batch}[task]
        # Not every event a second time, among the headers.
        options: dict[str, Any] = {"producer": self._producer, "argsrepr": "(...)", "serializer": _AS_IT_STANDS}
        door.apply_async(args=(argument,), **options)
        self._tally.events += events
        self._tally.messages += 1


@app.command(epilog="Example: tollbook publish usage.jsonl --batch 500")
def publish(
    file: Annotated[str, typer.Argument(help="A file of events, or - for standard input.")],
    batch: Annotated[int, typer.Option(min=1, max=1000, help="Events per message.")] = 1,
    kind: Annotated[
        FileFormat | None, typer.Option("--format", case_sensitive=False, help="Default: by the file's extension; JSONL for standard input.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Publish usage events: JSON objects, one per line, or CSV with the contract's field names as header.

    In CSV, which says version 1 of the contract, columns such as input_tokens go into `usage`, and an empty cell is an absent field.
    Lines that are no event are named on standard error and left out (exit code 1), the rest is published. Prices and usage objects are
    sent exactly as written.

    Only the form is checked here. Whether an event keeps the contract is judged by the worker: what does not is a dead letter
    (`tollbook deadletters list`).
    """
    if file != "-":
        _check_file(file)
    kind = kind or _kind_of(file)
    _require_served_broker()
    tally = Tally()
    try:
        with _opened(file) as (stream, size):
            _publish_all(read_events(stream, kind), batch, tally, size)
    except KeyboardInterrupt:
        tell_error("interrupted", f"interrupted: {tally.in_words()}; at most one message more is on its way")
        raise typer.Exit(INTERRUPTED) from None
    except (OperationalError, AMQPError, MessageNacked) as error:
        if (refused := refusal(error)) is not None:
            raise refused from None
        reason = printable(str(error)) or type(error).__name__
        tell_error("unavailable", f"the broker does not take messages: {reason}; {tally.in_words()} for sure, at most one message more")
        raise typer.Exit(AWAY) from None
    left_out = f"; {counted(tally.refused, 'line')} left out" if tally.refused else ""
    show(tally.as_json(), tally.in_words() + left_out, as_json=as_json)
    if tally.refused:
        raise typer.Exit(1)


def _require_served_broker() -> None:
    """Finds the broker.

    Raises:
        Misconfigured: there is none, or it is of a kind that no worker reads.
    """
    url = find_servers().require_broker_url()
    from worker.preflight import refuse_cluster, served_broker  # noqa: PLC0415 - reads the configuration, which find_servers completes

    refuse_cluster(served_broker(url))


def _check_file(file: str) -> None:
    path = Path(file)
    if path.is_dir():
        raise typer.BadParameter(f"{printable(file)} is a directory", param_hint="FILE")
    if not path.exists():
        raise typer.BadParameter(f"there is no file {printable(file)}", param_hint="FILE")
    if not os.access(path, os.R_OK):
        raise typer.BadParameter(f"{printable(file)} may not be read by this login", param_hint="FILE")


def _kind_of(file: str) -> FileFormat:
    if file == "-":
        return FileFormat.JSONL
    kind = _SUFFIXES.get(Path(file).suffix.lower())
    if kind is None:
        raise typer.BadParameter(f"{printable(file)} ends in none of {', '.join(_SUFFIXES)}: name its --format")
    return kind


@contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """The file and its length in bytes; standard input has none."""
    if file == "-":
        yield sys.stdin.buffer, None
        return
    path = Path(file)
    with path.open("rb") as stream:
        yield stream, path.stat().st_size if path.is_file() else None


def _publish_all(lines: Iterator[RecordLine], batch: int, tally: Tally, size: int | None) -> None:
    from worker.app import app as celery_app  # noqa: PLC0415 - reads the configuration, which find_servers completes

    with celery_app.producer_pool.acquire(block=True) as producer, progress(size) as told_so_far:
        publisher, told = Publisher(producer, batch, tally), 0
        tally.began = time.monotonic()
        for line in lines:
            tally.position = line.position
            if line.fields is None:
                tally.refused += 1
                tell("refused", f"line {line.number} {line.problem}", label="")
            else:
                publisher.add(line)
            if tally.messages != told:
                told = tally.messages
                told_so_far(tally.position, tally.in_words)
        publisher.flush()
        told_so_far(tally.position, tally.in_words)
