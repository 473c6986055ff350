"""What the worker leans on in Celery and kombu beyond their documented interfaces: one entry, and how it is looked at."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import pytest
from celery import Task
from celery.worker import strategy
from celery.worker.request import Request
from kombu.transport import redis as kombu_redis


@dataclass(frozen=True)
class Leaned:
    """Something of Celery or kombu that is nobody's promise."""

    name: str
    by: str  # our module
    mend: str  # what it is there for, and what to do when it has moved
    holds: Callable[[], object]  # true while it is as we need it


def check(leaned: Leaned) -> None:
    """Fails, with everything that one needs to know, if what we lean on is not as we need it."""
    try:
        told = "" if leaned.holds() else "it does not do what it did"
    except Exception as error:  # noqa: BLE001 - a name that is gone may show in any way
        told = f"{type(error).__name__}: {error}"
    if told:
        pytest.fail(
            f"{leaned.name} has moved in celery {version('celery')}, kombu {version('kombu')} ({told}).\n{leaned.by} leans on it: {leaned.mend}",
            pytrace=False,
        )


def uses(function: Any, name: str) -> bool:
    """Whether the body of a function names this."""
    return name in inspect.unwrap(function).__code__.co_names


def bare_channel() -> Any:
    """A channel of the Redis transport that has never seen a server."""
    return kombu_redis.Channel.__new__(kombu_redis.Channel)


def requests_send_their_events() -> object:
    """A task names the class of its requests, which is asked to send each event, and knows by what."""
    sends = (Request.on_accepted, Request.on_failure, Request.on_retry)
    named = Task.Request == "celery.worker.request:Request" and uses(strategy.default, "Request")
    return named and all(uses(method, "send_event") for method in sends) and uses(Request.__init__, "_eventer")
