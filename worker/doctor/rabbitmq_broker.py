"""Looks at RabbitMQ: its queues by AMQP, as a worker sees them; policies and alarms by its management interface, where that answers."""

import base64
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen
from uuid import uuid4

import amqp

from core.database.logins import split_login
from core.printable import one_line
from worker.doctor.finding import Finding, error, ok, skipped, warning
from worker.doctor.looks import split_cure
from worker.doctor.subject import Subject
from worker.intake.amqp_connection import DEAD_SUFFIX, ERRORS, QUORUM, connected, refusal
from worker.queue_limits import SERVED_QUEUES, USAGE_QUEUES
from worker.tls import tls_context, uses_tls

QUEUES = (*sorted(SERVED_QUEUES), *(queue + DEAD_SUFFIX for queue in USAGE_QUEUES))
CONFIRM_SECONDS = 3.0
_PROBES = 2
_MANAGEMENT_SECONDS = 3.0
_ANSWER_BYTES_MAX = 4 * 1024 * 1024
_POLICIES = "docs/operations.md#rabbitmq"
_BY_HAND = "FLOWER_BROKER_API=http://user:password@host:15672/api/, or `rabbitmqctl list_policies` and `rabbitmqctl status` there"


def look_at_queues(subject: Subject) -> Iterator[Finding]:
    """Whether the queues that exist are quorum queues, declared as workers declare them; none is made."""
    url, missing, bad = subject.config.require_broker_url(), [], []
    for queue in QUEUES:
        try:
            with connected(url) as channel:
                channel.queue_declare(queue, passive=True)
                channel.queue_declare(queue, durable=True, auto_delete=False, arguments=QUORUM)
        except amqp.NotFound:
            missing.append(queue)
        except ERRORS as failure:
            refused = refusal(failure)
            if refused is None:
                raise
            bad.append(error(*split_cure(str(refused))))
    yield from bad
    if missing:
        yield warning(
            f"not declared yet: {', '.join(missing)}", "start a worker, which declares them; what is sent there before is dropped by the broker"
        )
    elif not bad:
        yield ok(f"all {len(QUEUES)} are durable quorum queues")


def look_at_publishing(subject: Subject) -> Iterator[Finding]:
    """Whether the broker takes messages now: two probes for a queue that doesn't exist, which it confirms and drops."""
    try:
        with connected(subject.config.require_broker_url()) as channel:
            _publish_probes(channel)
    except TimeoutError:
        yield error(
            f"it confirmed no message within {CONFIRM_SECONDS:g} s: most likely an alarm (memory, disk) blocks all who publish",
            "`rabbitmqctl status` names the alarm; free memory or disk there",
        )
    except ERRORS as failure:
        refused = refusal(failure)
        if refused is None:
            raise
        yield error(*split_cure(str(refused)))
    else:
        yield ok("takes messages and confirms them")


def _publish_probes(channel: Any) -> None:
    """Returns once two messages are confirmed: an alarm lets the first one of a connection through."""
    confirmed: list[int] = []
    channel.confirm_select()
    channel.events["basic_ack"].add(lambda tag, _multiple: confirmed.append(tag))
    for _ in range(_PROBES):
        channel.basic_publish(amqp.Message(b""), routing_key=f"tollbook.probe.{uuid4()}")
    while not confirmed or max(confirmed) < _PROBES:
        channel.connection.drain_events(timeout=CONFIRM_SECONDS)


def look_at_policies(subject: Subject) -> Iterator[Finding]:
    """Whether a policy would drop messages, and whether an alarm is on."""
    management = management_of(subject.config.require_broker_url(), os.environ.get("FLOWER_BROKER_API", ""))
    try:
        queues = management.get(f"queues/{quote(management.virtual_host, safe='')}")
        nodes = management.get("nodes")
    except (OSError, ValueError) as failure:
        yield skipped(f"its management interface can't be asked: {_told(failure)}", _BY_HAND)
        return
    found = [*_harms(queues), *_alarms(nodes)]
    yield from found or [ok("no policy drops messages, no alarm is on")]


def _harms(queues: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    for queue in sorted((one for one in queues if one.get("name") in QUEUES), key=lambda one: str(one["name"])):
        policy = queue.get("effective_policy_definition") or {}
        policy = policy if isinstance(policy, dict) else {}
        name = queue["name"]
        yield from _harms_of(name, policy)


def _harms_of(name: str, policy: dict[str, Any]) -> Iterator[Finding]:
    caught = policy.get("dead-letter-exchange") == "" and policy.get("dead-letter-routing-key") in QUEUES
    cure = f"change the policy of {name} ({_POLICIES})"
    if {"max-length", "max-length-bytes"} & policy.keys() and policy.get("overflow") != "reject-publish":
        yield error(f"{name}: when it is full, its policy drops messages", f'"overflow": "reject-publish": {cure}')
    if "message-ttl" in policy and not caught:
        yield error(f"{name}: messages that wait longer than {policy['message-ttl']} ms are dropped", f"no message-ttl: {cure}")
    if "expires" in policy:
        yield error(f"{name}: the queue is deleted, with what is in it, after {policy['expires']} ms without a consumer", f"no expires: {cure}")
    if "dead-letter-exchange" in policy and not caught:
        yield warning(f"{name}: what the broker takes out of it goes where no worker reads", f'"dead-letter-routing-key": "{name}.dead": {cure}')


def _alarms(nodes: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    for node in nodes:
        for field, what in (("mem_alarm", "memory"), ("disk_free_alarm", "disk")):
            if node.get(field):
                yield error(
                    f"{node.get('name')}: the {what} alarm is on: nobody can publish", f"free {what} there, or start workers that empty the queues"
                )
        if node.get("running") is False:
            yield error(f"{node.get('name')} is down", "start it: quorum queues need more than half of their nodes")


@dataclass(frozen=True, slots=True)
class Management:
    """Where a broker's management interface is, and the login for it."""

    url: str
    login: str
    virtual_host: str

    def get(self, path: str) -> list[dict[str, Any]]:
        """What it answers.

        Raises:
            OSError: it doesn't. ValueError: that is no list.
        """
        request = Request(self.url + path, headers={"Authorization": f"Basic {self.login}"})  # noqa: S310 - http(s) by management_of
        context = tls_context() if self.url.startswith("https:") else None
        with urlopen(request, timeout=_MANAGEMENT_SECONDS, context=context) as answer:  # noqa: S310 - as above
            found = json.loads(answer.read(_ANSWER_BYTES_MAX))
        if not isinstance(found, list):
            raise ValueError("an answer that is no list")  # noqa: TRY004 - of the other side, not of a caller
        return found


def management_of(broker_url: str, api: str) -> Management:
    """Where to ask, by Flower's own variable FLOWER_BROKER_API, or else at the broker's host, by TLS where the broker's URL has it."""
    parts = urlsplit(broker_url)
    named = urlsplit(api) if api.startswith(("http://", "https://")) else None
    user, password, _ = split_login((api if named is not None and named.username else broker_url).partition("://")[2])
    login = base64.b64encode(f"{unquote(user) or 'guest'}:{unquote(password) or 'guest'}".encode()).decode()
    if named is not None:
        port = f":{named.port}" if named.port else ""
        url = f"{named.scheme}://{named.hostname}{port}{named.path.rstrip('/')}/"
    elif uses_tls(broker_url):
        url = f"https://{parts.hostname}:15671/api/"
    else:
        url = f"http://{parts.hostname}:15672/api/"
    return Management(url, login, unquote(parts.path[1:]) or "/")


def server_version(url: str) -> str:
    """The version that the broker tells at the greeting.

    Raises:
        AMQPError, OSError: it can't be asked.
    """
    with connected(url) as channel:
        told = channel.connection.server_properties
    return f"{told.get('product', 'AMQP')} {told.get('version', '')}".strip()


def _told(failure: Exception) -> str:
    if isinstance(failure, HTTPError):
        return f"it answers {failure.code}" + (" (the login needs the tag `monitoring`)" if failure.code in (401, 403) else "")
    return one_line(str(getattr(failure, "reason", failure)), 100)
