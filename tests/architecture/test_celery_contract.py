"""What the worker leans on in Celery and kombu beyond their documented interfaces: a release that changes it fails here, not in a queue."""

import ast
import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import amqp
import kombu
import pytest
import redis
from celery import Celery, bootsteps
from celery.app import trace
from celery.app.amqp import AMQP
from celery.events import EventDispatcher
from celery.events.state import State
from celery.exceptions import WorkerShutdown
from celery.worker import WorkController, components, loops, strategy
from celery.worker import state as worker_state
from celery.worker.consumer import Consumer
from celery.worker.consumer.delayed_delivery import DelayedDelivery
from celery.worker.consumer.events import Events
from celery.worker.control import Panel
from celery.worker.request import Request
from flower.utils import broker as flower_broker
from kombu.transport import pyamqp, virtual
from kombu.transport import redis as kombu_redis
from kombu.utils import cached_property
from kombu.utils.json import dumps
from redis.exceptions import ConnectionError as RedisConnectionError

from core.events.envelope import QueueEntry, open_envelope
from core.events.message import Message
from core.events.outcome import BatchResult, Outcome
from core.events.parsing import _plain_values
from core.rejection import Reason
from tests.architecture.leaned import Leaned, bare_channel, check, requests_send_their_events, uses
from tests.architecture.unopened import bodies_are_opened_by_name, lists_are_waited_for, times_are_read_as_celery_does
from worker.amqp_transport import cure_amqp_transport
from worker.guard import confine, queue_of
from worker.intake.amqp_frames import Content
from worker.intake.redis_source import _priority_suffixes
from worker.intake.reporter import Reporter
from worker.intake.step import IntakeStep
from worker.observability import _CHATTY

cure_amqp_transport()  # as the app does

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTED = {
    "celery.Celery",
    "celery.Task",
    "celery.bootsteps",
    "celery.current_app",
    "celery.schedules.crontab",
    "celery.shared_task",
    "celery.worker.control.control_command",
    "celery.worker.control.inspect_command",
    "kombu.Connection",
    "kombu.Exchange",
    "kombu.Producer",
    "kombu.Queue",
    "kombu.exceptions.KombuError",
}
MESSAGE = {
    "body": "W1tdLCB7fSwge31d",
    "content-type": "application/json",
    "headers": {"task": "books.housekeep", "id": "1"},
    "properties": {"delivery_tag": "1", "delivery_info": {}, "body_encoding": "base64"},
}


def closed_channel_is_cured_or_ill() -> bool:
    """A closed channel asks its lost connection: AttributeError as it comes, a connection error where the cure was applied."""
    with pytest.raises((AttributeError, RedisConnectionError)):
        kombu_redis.Channel._connparams(SimpleNamespace(connection=None))  # type: ignore[attr-defined]
    return uses(kombu_redis.Channel._get_pool, "_connparams")  # type: ignore[attr-defined]


def entries_are_read_by_loads() -> bool:
    """Both ways of taking an entry decode it with the module's `loads`."""
    channel: Any = kombu_redis.Channel
    return kombu_redis.loads('{"a": 1}') == {"a": 1} and uses(channel._brpop_read, "loads") and uses(channel._get, "loads")  # type: ignore[attr-defined]


def messages_are_delivered() -> bool:
    """A decoded entry goes through `Transport._deliver(message, queue)` to whoever consumes the queue."""
    delivered: list[Any] = []
    kombu_redis.Transport._deliver(SimpleNamespace(_callbacks={"maintenance": delivered.append}), MESSAGE, "maintenance")  # type: ignore[arg-type]
    channel: Any = kombu_redis.Channel
    return delivered == [MESSAGE] and uses(channel._brpop_read, "_deliver")


def priorities_have_our_lists() -> bool:
    """Whatever priority and steps of it a producer sets, its message is put into a list that the pump empties; none of them is for nothing."""
    every_step = bare_channel()
    every_step.priority_steps = list(range(10))
    ours = {f"usage{suffix}" for suffix in _priority_suffixes()}
    stock = {bare_channel()._q_for_pri("usage", n) for n in range(10)}
    return stock <= ours and {every_step._q_for_pri("usage", n) for n in range(10)} == ours


def messages_are_pushed_left() -> bool:
    """A message is pushed as JSON on the left of its list, and taken from the right."""
    pushed: list[tuple[str, str]] = []

    @contextmanager
    def client() -> Iterator[Any]:
        yield SimpleNamespace(lpush=lambda key, text: pushed.append((key, text)))

    channel = bare_channel()
    channel.conn_or_acquire, channel._expires = client, {}
    message = {"body": "", "properties": {"priority": 6}}
    channel._put("usage", message)
    return [(key, json.loads(text)) for key, text in pushed] == [("usage\x06\x166", message)] and uses(channel._get, "rpop")


def sent(*, protocol: int = 2, **options: Any) -> dict[str, Any]:
    """The envelope that a stock producer makes; the memory transport keeps it where the Redis transport would push it."""
    with Celery("producer", broker="memory://", set_as_current=False, task_protocol=protocol) as app:
        app.send_task("usage.record", args=[{"a": 1}], kwargs={"b": 2}, queue="contract", **options)
        with app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            envelope: dict[str, Any] = channel._get("contract")
    return envelope


def opened(envelope: dict[str, Any]) -> Message:
    """What the pump makes of it."""
    return open_envelope(QueueEntry("usage", dumps(envelope).encode()))


def envelopes_are_read(protocol: int) -> bool:
    """The envelope has the parts that we read, and its body says what was sent."""
    envelope = sent(protocol=protocol)
    message = opened(envelope)
    parts = {"body", "content-type", "content-encoding", "headers", "properties"} <= envelope.keys()
    marked = envelope["properties"]["body_encoding"] == "base64" and {"delivery_tag", "delivery_info"} <= envelope["properties"].keys()
    same = all(getattr(kombu_redis.Channel, name) is getattr(virtual.Channel, name) for name in ("prepare_message", "basic_publish"))
    arguments = [bytes(raw) for raw in message.args], {name: bytes(raw) for name, raw in message.kwargs.items()}
    return parts and marked and same and (message.task, *arguments) == ("usage.record", [b'{"a": 1}'], {"b": b"2"})


def compression_is_told() -> bool:
    """A compressed body is announced in the header `compression`."""
    defect = opened(sent(compression="gzip")).defect
    return defect is not None and defect.reason is Reason.UNSUPPORTED_CONTENT


def typed_values_are_read() -> bool:
    """Decimal, datetime and UUID are written with `__type__` and `__value__` as we read them."""
    values = [Decimal("1.50"), datetime(2026, 1, 1, tzinfo=UTC), UUID(int=7)]
    return _plain_values(json.loads(dumps(values))) == ["1.50", "2026-01-01T00:00:00+00:00", str(UUID(int=7))]


def called(end: Callable[[bootsteps.Blueprint, Any], None]) -> list[str]:
    """The calls that a step gets from its creation to this end."""
    calls: list[str] = []

    class Step(bootsteps.StartStopStep):
        def include_if(self, parent: Any) -> bool:
            calls.append("include_if")
            return True

        def create(self, parent: Any) -> Any:
            calls.append("create")
            return self

        def start(self, parent: Any) -> None:
            calls.append("start")

        def close(self, parent: Any) -> None:
            calls.append("close")

        def stop(self, parent: Any) -> None:
            calls.append("stop")

        def terminate(self, parent: Any) -> None:
            calls.append("terminate")

    parent = SimpleNamespace(steps=[])
    blueprint = bootsteps.Blueprint(steps=[Step], name="contract").apply(parent)
    blueprint.start(parent)
    end(blueprint, parent)
    return calls


def steps_are_called_in_turn() -> bool:
    """A warm stop says close, then stop; a cold one close, then terminate."""
    begun = ["include_if", "create", "start", "close"]
    warm, cold = called(lambda b, p: b.stop(p)), called(lambda b, p: b.stop(p, terminate=True))
    return (warm, cold) == ([*begun, "stop"], [*begun, "terminate"])


def queues_are_deselected() -> bool:
    """What is deselected is not consumed by Celery, what `-Q` selects is all that is, and the task consumer asks for just that."""
    with Celery("contract", broker="memory://", set_as_current=False) as app:
        app.conf.task_queues = [kombu.Queue(name) for name in ("usage", "usage.json", "maintenance")]
        app.amqp.queues.deselect(["usage", "usage.json"])
        rest = set(app.amqp.queues.consume_from)
        app.amqp.queues.select(["usage"])
        return (rest, set(app.amqp.queues.consume_from)) == ({"maintenance"}, {"usage"}) and uses(AMQP.TaskConsumer, "consume_from")


def should_stop_ends_the_worker() -> bool:
    """The consumer's loop looks at `should_stop` and ends the process with that exit code."""
    before, worker_state.should_stop = worker_state.should_stop, 78  # type: ignore[assignment]
    try:
        with pytest.raises(WorkerShutdown) as ended:
            worker_state.maybe_shutdown()
    finally:
        worker_state.should_stop = before
    return ended.value.code == 78


def worker_has_its_consumer() -> bool:
    """Worker, consumer and event dispatcher know each other by these names."""
    return uses(components.Consumer.create, "consumer") and uses(Consumer.__init__, "controller") and uses(Events.start, "event_dispatcher")


def events_are_sent_together() -> bool:
    """Task events wait for the flush, and then travel as one message."""
    published: list[Any] = []
    with Celery("contract", broker="memory://", set_as_current=False) as app, app.connection_for_write() as connection:
        dispatcher: Any = EventDispatcher(connection, "w@contract", app=app, buffer_group=["task"], buffer_while_offline=False)
        dispatcher.producer = SimpleNamespace(publish=lambda events, **_: published.append(events))
        for kind in ("task-received", "task-started", "task-succeeded"):
            dispatcher.send(kind, uuid="1")
        assert published == []
        dispatcher.flush()
        dispatcher.enabled = False
    return [[event["type"] for event in group] for group in published] == [["task-received", "task-started", "task-succeeded"]]


def batches_are_tasks() -> bool:
    """Celery's picture of the world, which Flower shows, makes a task in each state out of the events of a batch."""
    reporter, fields = Reporter(Celery(set_as_current=False), "w@contract", lambda: False), {"hostname": "w@contract", "pid": 1, "utcoffset": 0}
    seen: list[tuple[str, dict[str, Any]]] = []
    reporter.send = seen.extend  # type: ignore[method-assign, assignment]
    message = Message("usage", bytes, "usage.record")
    reporter.received([message]).succeeded(BatchResult([Outcome.RECORDED]))
    reporter.received([message]).failed(ValueError("no"))
    reporter.received([message]).retried(ValueError("later"))
    state: Any = State()
    for clock, (kind, own) in enumerate(seen):
        state.event({"type": kind, "timestamp": float(clock), "local_received": float(clock), "clock": clock, **fields, **own})
    tasks = {task.state: task for task in state.tasks.values()}
    done, failed, retried = tasks["SUCCESS"], tasks["FAILURE"], tasks["RETRY"]
    shown = (done.name, done.args, done.result) == ("usage.record", "(usage 1)", "recorded 1") and done.runtime >= 0
    return shown and (failed.exception, retried.exception) == ("ValueError: no", "ValueError: later")


def transport_options_are_read() -> bool:
    """Each option that celeryconfig.py sets is one that the transport takes."""
    tree = ast.parse((ROOT / "celeryconfig.py").read_text(encoding="utf-8"))
    (options,) = (n.value for n in ast.walk(tree) if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "_redis_options")
    return set(ast.literal_eval(options)) <= {*kombu_redis.Channel.from_transport_options}


def no_delays_are_declared() -> object:
    """Celery's worker has the step, and asks it whether it is wanted."""
    steps: Any = Consumer.Blueprint.default_steps
    wanted: Any = DelayedDelivery.include_if
    return "celery.worker.consumer.delayed_delivery:DelayedDelivery" in map(str, steps) and wanted(None, None) is False


def unreadable_properties_arrive() -> object:
    """py-amqp takes the decoder of a message's properties out of this table, and it is the cured one."""
    message: Any = amqp.Message()
    message._load_properties(amqp.spec.Basic.CLASS_ID, b"\x80\x00\x03\xff\xfe\xff", 0)
    return message.properties["content_type"].startswith("unreadable properties")


def tasks_come_through_the_handler() -> bool:
    """Celery takes the consumer that the setting names, and its loop hands every message to the handler that this makes."""
    return uses(WorkController.setup_defaults, "consumer_cls") and uses(loops.asynloop, "create_task_handler")


def a_confined_message_runs_as_it_was_left() -> bool:
    """What the guard leaves of a message is all that Celery's request makes of it, and the queue is the one that the transport told."""
    forged = {"task": "balance.check", "id": "1", "chain": [{}], "callbacks": [{}]}
    body = {"body": json.dumps([[], {"cost": 0.1}, {"chain": [{}]}]).replace("0.1", "0.10000000000000000001"), "headers": forged}
    properties = {"delivery_tag": "1", "delivery_info": {"exchange": "", "routing_key": "checks"}}
    with Celery("contract", broker="memory://", set_as_current=False) as app, app.connection_for_write() as connection:
        channel: Any = connection.default_channel
        message = channel.Message({**MESSAGE, **body, "properties": properties}, channel=channel)
        confine(message)
        task = app.task(name="balance.check", shared=False)(bare_channel)
        request: Any = Request(message, app=app, task=task, body=message.body, headers=message.headers)
        plain = request.kwargs == {"cost": Decimal("0.10000000000000000001")} and queue_of(message) == "checks"
        return plain and not (request._context.chain or request._context.callbacks)


def answers_are_pushed_by_the_channels_client() -> bool:
    """The Redis transport calls itself so, and its channel has a client of redis-py."""
    return kombu_redis.Transport.driver_type == "redis" and isinstance(inspect.getattr_static(kombu_redis.Channel, "client"), cached_property)


def frames_are_read_by_us() -> object:
    """py-amqp makes its transport and its frame handler by these names, reads and hands on each frame by those, and counts what came."""
    connection: Any = amqp.Connection
    made = {"Transport", "frame_handler_cls", "on_inbound_frame", "transport"} <= {*connection.connect.__code__.co_names}
    read = {"having_timeout", "read_frame", "on_inbound_frame"} <= {*connection.blocking_read.__code__.co_names}
    own = uses(amqp.transport.Transport, "TCPTransport") and uses(pyamqp.Transport.establish_connection, "Connection")
    return made and read and own and uses(connection.heartbeat_tick, "bytes_recv")


def contents_are_taken() -> object:
    """What `basic_get` returns is the message that the frame handler made, with the broker's word on its delivery."""
    channel: Any = amqp.Channel
    content = Content(b"properties", b"body")
    channel._on_get_ok(None, 7, True, "", "usage.dead", 0, content)
    return (content.delivery_info["delivery_tag"], content.delivery_info["redelivered"], content.properties) == (7, True, b"properties")


def redis_connections_are_wrapped() -> object:
    """Connections with TLS are of this class in kombu, and both of redis-py's classes ask these for what they wrap the socket in."""
    kombus = uses(kombu_redis.Channel._connparams, "connection_class_ssl")  # type: ignore[attr-defined]
    return kombus and uses(redis.SSLConnection._connect, "_wrap_socket_with_ssl") and uses(redis.asyncio.SSLConnection._connection_arguments, "get")


def amqp_connections_are_wrapped() -> object:
    """py-amqp wraps the socket by this name, shakes hands afterwards, and knows the host by that one."""
    transport: Any = amqp.transport.SSLTransport
    steps = transport._setup_transport
    return (
        uses(steps, "_wrap_socket") and uses(steps, "do_handshake") and transport("broker.example:5671", connect_timeout=1).host == "broker.example"
    )


def flowers_page_asks_by_tls() -> object:
    """Flower's client of RabbitMQ's management is made so, and keeps an address of ours."""
    loaded = "from celery.bin import celery; import sys; sys.exit('flower.utils.broker' not in sys.modules)"
    client = flower_broker.Broker("amqps://user:password@broker.example/tollbook", http_api="https://broker.example:15671/api/")
    names = {name: getattr(client, name) for name in ("http_api", "username", "password", "vhost")}
    expected = {"http_api": "https://broker.example:15671/api/", "username": "user", "password": "password", "vhost": "tollbook"}
    return names == expected and subprocess.run([sys.executable, "-c", loaded], check=False, timeout=60).returncode == 0


STEP, SOURCE, ENVELOPE = "worker/intake/step.py", "worker/intake/redis_source.py", "core/events/envelope.py"
CURES, REPORTER, CONTROL = "worker/redis_transport.py", "worker/intake/reporter.py", "worker/intake/control.py"
GUARD, TLS = "worker/guard.py", "worker/tls.py"
LEANED = [
    Leaned(
        "celery.worker.control.Panel.data.keys, celery.worker.control.Panel.data.pop, celery.worker.control.Panel.meta.pop",
        "worker/remote_control.py",
        "commands that nobody needs are taken out of it; else whoever may write to the broker has tasks sent under the worker's login",
        lambda: {"ping", "shutdown"} <= Panel.data.keys() & Panel.meta.keys(),
    ),
    Leaned(
        "celery.worker.request.Request: .send_event, ._eventer, named by Task.Request",
        "worker/job_request.py",
        "it withholds what a scheduled job has to tell Flower until the job has done something; without it Flower lists every tick",
        requests_send_their_events,
    ),
    Leaned(
        "kombu.message.decompress, kombu.compression and kombu.compression.decompress",
        "worker/compression.py",
        "they are replaced, so that no compressed body is opened; without that 847 bytes become a gigabyte",
        bodies_are_opened_by_name,
    ),
    Leaned(
        "celery.utils.time.maybe_iso8601, celery.utils.time.maybe_make_aware",
        "worker/message_headers.py",
        "a time that they can't read is refused with an answer; without that Celery drops the question, or the worker ends",
        times_are_read_as_celery_does,
    ),
    Leaned(
        "kombu.transport.redis.Channel._brpop_start, ._brpop_read, ._size",
        CURES,
        "a key of another type under a list's name is skipped, and an entry that is too long left out; without them one SADD stops every worker",
        lists_are_waited_for,
    ),
    Leaned(
        "kombu.transport.redis.Channel.connection_class_ssl, redis.SSLConnection._wrap_socket_with_ssl, redis.asyncio's RedisSSLContext.get",
        f"{TLS}, {CURES}",
        "every connection by TLS is wrapped by them in our context; without them a named authority is added to the system's, and kombu believes"
        " anybody where it is given no options (tests/delivery/test_tls.py)",
        redis_connections_are_wrapped,
    ),
    Leaned(
        "amqp.transport.SSLTransport._wrap_socket and .host",
        f"{TLS}, worker/amqp_transport.py, worker/intake/amqp_frames.py",
        "every connection by TLS is wrapped by it in our context; without it no host name is compared (tests/delivery/test_tls.py)",
        amqp_connections_are_wrapped,
    ),
    Leaned(
        "flower.utils.broker.RabbitMQ: __init__(broker_url, http_api), loaded by Celery's command line before the app",
        "worker/flower_cures.py",
        "the page about the broker asks RabbitMQ's management by TLS where the broker's URL says so; without it the broker's password goes"
        " there in the clear",
        flowers_page_asks_by_tls,
    ),
    Leaned(
        "kombu.transport.redis.Channel._connparams",
        CURES,
        "it makes a closed channel's AttributeError a connection error, so that a worker outlives its broker; see whether kombu still has the"
        " fault (test_a_killed_broker_with_aof_always…), and drop the cure or patch what takes its place",
        closed_channel_is_cured_or_ill,
    ),
    Leaned(
        "celery.worker.consumer.delayed_delivery.DelayedDelivery.include_if",
        "worker/amqp_transport.py",
        "it is replaced, so that no worker declares 28 queues for tasks with an eta on RabbitMQ; without it they are harmless but for a warning",
        no_delays_are_declared,
    ),
    Leaned(
        "amqp.serialization.PROPERTY_CLASSES",
        "worker/amqp_transport.py",
        "its decoder is replaced, so that a message with unreadable properties arrives as one that is refused; patch what decodes them now"
        " (test_what_the_client_library_can_not_read…)",
        unreadable_properties_arrive,
    ),
    Leaned(
        "kombu.transport.pyamqp.Transport.Connection, and amqp below kombu.transport.pyamqp.Connection: its Transport and frame_handler",
        "worker/intake/amqp_frames.py, worker/intake/amqp_source.py",
        "messages are read in large pieces and left undecoded; without it RabbitMQ costs three times the processor time (`make bench`)",
        frames_are_read_by_us,
    ),
    Leaned(
        "amqp.Channel._on_get_ok",
        "worker/intake/amqp_source.py",
        "a message taken alone tells its delivery tag and its redelivery by it; read both where they are now",
        contents_are_taken,
    ),
    Leaned(
        "kombu.transport.redis.loads",
        CURES,
        "it replaces it, so that an entry of `maintenance` that is no JSON ends no worker; patch what decodes entries now"
        " (test_odd_entries_of_the_maintenance_queue…)",
        entries_are_read_by_loads,
    ),
    Leaned(
        "kombu.transport.redis.Transport._deliver",
        CURES,
        "it replaces it, so that JSON which is no message ends no worker; patch what hands entries to consumers now"
        " (test_odd_entries_of_the_maintenance_queue…)",
        messages_are_delivered,
    ),
    Leaned(
        "kombu.transport.redis.Channel._q_for_pri",
        SOURCE,
        "PRIORITY_SEPARATOR and PRIORITY_STEPS name the lists that producers fill; serve the new ones beside the old, producers are not"
        " updated on the same day",
        priorities_have_our_lists,
    ),
    Leaned(
        "kombu.transport.redis.Channel._put",
        SOURCE,
        "the pump takes JSON from the right end of lists; if producers' messages lie elsewhere now, claim.lua must take them there",
        messages_are_pushed_left,
    ),
    Leaned(
        "kombu's envelope with a body of protocol 2",
        ENVELOPE,
        "it is decoded without kombu; read the new form beside the old one, producers are not updated on the same day",
        lambda: envelopes_are_read(2),
    ),
    Leaned(
        "kombu's envelope with a body of protocol 1",
        ENVELOPE,
        "clients of other languages send it; if Celery no longer can, keep reading it and prove it by celery-node",
        lambda: envelopes_are_read(1),
    ),
    Leaned(
        "kombu's header `compression`",
        ENVELOPE,
        "a compressed body is refused unopened because of it; find the new mark, or compressed bodies end as malformed messages",
        compression_is_told,
    ),
    Leaned(
        "kombu.utils.json.dumps with __type__ and __value__",
        "core/events/parsing.py",
        "it reads what a Python producer's Decimal, datetime and UUID become; read the new form beside the old one",
        typed_values_are_read,
    ),
    Leaned(
        "celery.bootsteps.Blueprint: include_if, create, start, close, stop, terminate",
        STEP,
        "the pumps start, finish and give back at these calls; without them a stop loses nothing but takes a visibility time",
        steps_are_called_in_turn,
    ),
    Leaned(
        "celery.worker.components:Pool",
        STEP,
        "the pumps start after the pool has forked: name the step that makes the pool now in `requires`",
        lambda: IntakeStep.requires and {*(IntakeStep.requires or ())} <= {*(WorkController.Blueprint.default_steps or ())} and components.Pool,
    ),
    Leaned(
        "celery.app.amqp.Queues.deselect and .consume_from",
        STEP,
        "with them the usage queues are taken away from Celery's own consumer, which would take messages beside the pump and lose some",
        queues_are_deselected,
    ),
    Leaned(
        "celery.worker.state.should_stop",
        STEP,
        "a worker that only an operator can help ends by it with exit code 78 (test_a_lost_right_ends_the_worker…)",
        should_stop_ends_the_worker,
    ),
    Leaned(
        "worker.consumer.event_dispatcher and consumer.controller",
        f"{STEP}, {CONTROL}",
        "events are sent while somebody listens, and `inspect intake` finds the intake by them; without them Flower shows no batches",
        worker_has_its_consumer,
    ),
    Leaned(
        "celery.events.EventDispatcher: buffer_group, send, flush",
        REPORTER,
        "a batch's task events travel in one message; send them one by one if there is no buffer any more",
        events_are_sent_together,
    ),
    Leaned(
        "celery.events.state.Task: name, args, result, runtime, exception",
        REPORTER,
        "Flower shows a batch by these fields of its events; send those that it reads now (test_flower_sees_one_task_per_batch)",
        batches_are_tasks,
    ),
    Leaned(
        "kombu.transport.redis.Channel.from_transport_options",
        "celeryconfig.py",
        "it lists the broker_transport_options that are read; one that is not listed is ignored in silence",
        transport_options_are_read,
    ),
    Leaned(
        "celery.worker.consumer.Consumer.create_task_handler",
        GUARD,
        "it stands before every message that Celery's consumer takes; stand wherever messages go through now, or producers can have anything"
        " done (test_who_may_write_to_checks_can_have_no_money_moved)",
        tasks_come_through_the_handler,
    ),
    Leaned(
        "kombu.message.Message: headers, body, delivery_info, decode",
        GUARD,
        "it strips a message by setting these; strip what Celery's Request reads now (test_who_may_write_to_checks_can_have_no_money_moved)",
        a_confined_message_runs_as_it_was_left,
    ),
    Leaned(
        "kombu.transport.redis.Channel.client",
        "tasks/answer.py",
        "answers are pushed, with their expiry, by the client of a pooled connection; find it where it is now, or make one",
        answers_are_pushed_by_the_channels_client,
    ),
    Leaned(
        "the loggers celery.worker.strategy and celery.app.trace",
        "worker/observability.py",
        "they tell of every job that found nothing to do, and are quieted by name",
        lambda: {strategy.logger.name, trace.logger.name} <= {*_CHATTY},
    ),
]


@pytest.mark.parametrize("leaned", LEANED, ids=lambda leaned: leaned.name)
def test_what_the_worker_leans_on_is_as_it_was(leaned: Leaned) -> None:
    """Each name and each shape beyond the documented interfaces of Celery and kombu is still there."""
    check(leaned)


def test_a_name_that_moved_is_told_with_what_leans_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure names what moved, the versions, the module of ours and what to do."""
    monkeypatch.delattr(kombu_redis, "loads")
    (leaned,) = (one for one in LEANED if one.name == "kombu.transport.redis.loads")
    with pytest.raises(pytest.fail.Exception) as failed:
        check(leaned)
    for part in (leaned.name, version("celery"), version("kombu"), "has no attribute 'loads'", CURES, leaned.mend):
        assert part in str(failed.value)


def imported(tree: ast.Module) -> dict[str, str]:
    """The names that a module takes from Celery and kombu: its own word for it, and where it comes from."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ("celery", "kombu")]
    return {alias.asname or alias.name: f"{node.module}.{alias.name}" for node in found for alias in node.names}


def test_nothing_else_is_leaned_on() -> None:
    """Everything that the worker, the tasks and the configuration take from Celery and kombu is documented there or named above."""
    named = " ".join(leaned.name for leaned in LEANED)
    unnamed = []
    for path in sorted([ROOT / "celeryconfig.py", *ROOT.glob("worker/**/*.py"), *ROOT.glob("tasks/**/*.py")]):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        private = {word: origin for word, origin in imported(tree).items() if origin not in DOCUMENTED and not origin.startswith("celery.signals.")}
        chains = [ast.unparse(node).partition(".") for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        used = {f"{private[word]}.{rest}" for word, _, rest in chains if word in private}
        unnamed += [f"{path.relative_to(ROOT)}: {name}" for name in used if name not in named]
        unnamed += [f"{path.relative_to(ROOT)}: import {origin}" for origin in private.values() if origin not in named]
        plain = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        unnamed += [f"{path.relative_to(ROOT)}: import {name}" for name in plain if name.partition(".")[0] in ("celery", "kombu")]
    assert not unnamed, f"put what Celery or kombu document into DOCUMENTED and everything else into LEANED: {sorted(unnamed)}"
