"""Whether everything has come to rest after a run: nothing under way at a broker or in an outbox, and every worker at work."""

import sqlite3
from contextlib import closing

import redis
from celery import Celery

from lab.rabbitmq import RabbitServer
from lab.torture.stage import FRAGILE, FRAGILE_MAINTENANCE, MAINTENANCE, WORKERS, Stage
from lab.valkey import ValkeyServer

USAGE_QUEUES = ("usage", "usage.json")
PUT_ASIDE = ("usage.dead", "usage.json.dead")  # of RabbitMQ: what was delivered too often is taken out of them one at a time
CLAIMS = "tollbook.claims"
AT_WORK = {"running", "idle"}  # states of a pump
ANSWER_SECONDS = 2.0


def outbox_is_empty(stage: Stage) -> bool:
    """Whether the relay has sent everything that it can send."""
    path = stage.plan("outbox").outbox
    if not path.exists():
        return True
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        return bool(connection.execute("SELECT count(*) FROM tollbook_outbox WHERE error IS NULL").fetchone() == (0,))


def is_drained(stage: Stage) -> bool:
    """Whether no usage message waits in a queue or is in a worker's hand."""
    broker: ValkeyServer | RabbitServer = stage.servers.broker
    if isinstance(broker, RabbitServer):
        return _counted(broker) == 0
    with closing(redis.Redis.from_url(broker.url(), socket_timeout=5)) as client:
        return not client.zcard(CLAIMS) and not any(client.llen(name) for name in USAGE_QUEUES)


def all_work(stage: Stage) -> bool:
    """Whether every worker answers, and the pumps of those that take usage are at work."""
    stage.supervise()
    with Celery("nemesis", broker=stage.servers.broker.url(), set_as_current=False) as app:
        answers = app.control.broadcast("intake", reply=True, timeout=ANSWER_SECONDS) or []
    states = {name.partition("@")[0]: set(answer["state"]) for one in answers for name, answer in one.items() if "state" in answer}
    pumps = [states.get(name, set()) for name in (*WORKERS, FRAGILE)]
    return states.keys() >= {MAINTENANCE, FRAGILE_MAINTENANCE} and all(found and found <= AT_WORK for found in pumps)


def _counted(broker: RabbitServer) -> int:
    """Messages of the usage queues, waiting or in hand, asked of their leaders: what `list_queues` tells is seconds old."""
    names = ", ".join(f'"%2F_{name}"' for name in (*USAGE_QUEUES, *PUT_ASIDE))
    asked = "ra:leader_query({list_to_atom(Q), node()}, fun rabbit_fifo:query_messages_total/1)"
    return int(broker.control("eval", f"lists:sum([begin {{ok, {{_, N}}, _}} = {asked}, N end || Q <- [{names}]])."))
