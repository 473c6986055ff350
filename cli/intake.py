"""`tollbook intake`: messages that stand where no worker reads them."""

from collections.abc import Iterator
from typing import Annotated

import typer

from cli.context import find_servers
from cli.options import AsJson
from cli.output.show import show
from cli.output.text import counted
from core.errors import RequestRefused

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

To = Annotated[
    str | None, typer.Option("--to", metavar="QUEUE", show_default=False, help="usage or usage.json. Default: the one that its name means.")
]


@app.command(epilog="Example: tollbook intake adopt 'prod:usage'")
def adopt(
    name: Annotated[str, typer.Argument(metavar="LIST", help="The list (RabbitMQ: the queue), as `inspect intake` shows it.")],
    *,
    to: To = None,
    as_json: AsJson = False,
) -> None:
    """Move the messages of a list that no worker reads into a queue of usage.

    Interrupted at any moment, none is lost, and what is moved twice is recorded once. Mend the producer first: what it sends
    meanwhile stays behind.
    """
    from worker.intake.bring_in import adopt_list, adopt_queue  # noqa: PLC0415 - reads the configuration, which find_servers completes

    url = _broker()
    _count(adopt_queue(url, name, to) if url.startswith("amqp") else adopt_list(url, name, to), as_json=as_json)


@app.command(epilog="Example: tollbook intake migrate usage")
def migrate(
    queue: Annotated[str, typer.Argument(help="One of Tollbook's queues on RabbitMQ, such as usage.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Make a queue of RabbitMQ that was declared in another way a quorum queue, with the messages in it.

    A stock client that sends before the first worker declares it as a classic queue. Stop who consumes it. Interrupted at any
    moment, none is lost: run it again.
    """
    from worker.intake.bring_in import migrate as migrated  # noqa: PLC0415 - reads the configuration, which find_servers completes

    url = _broker()
    if not url.startswith("amqp"):
        raise RequestRefused("only RabbitMQ has kinds of queues; for a list of Redis, see `tollbook intake adopt --help`", field="migrate")
    _count(migrated(url, queue), as_json=as_json)


def _broker() -> str:
    """The broker's URL.

    Raises:
        Misconfigured: there is none, or it is of a kind that no worker reads.
    """
    url = find_servers().require_broker_url()
    from worker.preflight import served_broker  # noqa: PLC0415 - reads the configuration, which find_servers completes

    return served_broker(url)


def _count(moves: Iterator[int], *, as_json: bool) -> None:
    moved = sum(moves)
    show({"moved": moved}, f"moved {counted(moved, 'message')}", as_json=as_json)
