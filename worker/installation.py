"""Whose broker this is: the first worker puts its installation's identity there, and others are told.

Redis: a string under `tollbook.installation`. RabbitMQ: a queue of that name without messages, whose routing key for dead letters is the
identity: whoever declares it otherwise is refused, in one step.
"""

import re
from typing import Any

import amqp
import redis
import structlog

from core.config import configuration
from core.database.database import database
from core.database.installation import Identity, identity_here, identity_of_books
from core.errors import Misconfigured, StorageUnavailable
from worker.intake.amqp_connection import ERRORS, QUORUM, connected, is_amqp, refusal
from worker.intake.redis_source import connect

log = structlog.get_logger()

MARK = "tollbook.installation"
ADOPT = "`tollbook db adopt` takes it over, where that is meant"
_PRESENT = re.compile(r"current is (?:the value )?'([^']*)'")


def check_installation() -> bool:
    """Whether books and broker are this installation's; those that are nobody's yet become its own. False: one can't be asked now.

    Raises:
        Misconfigured: they are another's; the message names both, and the command that changes it.
    """
    try:
        ours = _check_books()
        holder = claim(configuration().require_broker_url(), str(ours))
    except StorageUnavailable as error:
        log.warning("preflight.installation_unknown", error=str(error))
        return False
    if holder != str(ours):
        raise Misconfigured(f"the broker is installation {holder}'s, and this one is {ours}: check CELERY_BROKER_URL; {ADOPT}")
    return True


def check_name(url: str, name: str) -> None:
    """Returns if the broker is no other installation's by its name, or can't be asked now: for who has no books.

    Raises:
        Misconfigured: it is another's.
    """
    try:
        holder = read(url)
    except StorageUnavailable as error:
        log.warning("preflight.installation_unknown", error=str(error))
        return
    if holder is not None and holder.partition("/")[0] != name:
        raise Misconfigured(f"the broker is installation {holder}'s, and TOLLBOOK_INSTALLATION is {name}: check both")


def claim(url: str, identity: str) -> str:
    """Whose the broker is, after it was made `identity`'s where it was nobody's. Race-free.

    Raises:
        StorageUnavailable: the broker can't be asked now.
        Misconfigured: it refuses.
    """
    if is_amqp(url):
        return _declared(url, identity)
    return _asked(url, lambda client: _marked(client, identity)) or identity


def _marked(client: Any, identity: str) -> str | None:
    """Whose it is by its mark, which is made where there is none. A broker whose memory is full is emptied first: a later start marks it."""
    holder: str | None = client.get(MARK)
    if holder is not None:
        return holder
    try:
        return identity if client.set(MARK, identity, nx=True) else client.get(MARK)
    except redis.exceptions.OutOfMemoryError:
        return identity


def read(url: str) -> str | None:
    """Whose the broker is; none if it is nobody's yet. Raises as `claim`."""
    if not is_amqp(url):
        return _asked(url, lambda client: client.get(MARK))
    try:
        with connected(url) as channel:
            channel.queue_declare(MARK, passive=True)
    except amqp.NotFound:
        return None
    except ERRORS as error:
        raise _unavailable(error) from error
    return _declared(url, "")


def take(url: str, identity: str) -> None:
    """The broker is this installation's from now on, whoever's it was. Raises as `claim`."""
    if not is_amqp(url):
        _asked(url, lambda client: client.set(MARK, identity))
        return
    try:
        with connected(url) as channel:
            channel.queue_delete(MARK)
    except ERRORS as error:
        raise _unavailable(error) from error
    _declared(url, identity)


def _check_books() -> Identity:
    with database().transaction() as connection:
        here = identity_here(connection, configuration().installation)
        said = identity_of_books(connection, here)
    if said != here:
        raise Misconfigured(
            f"the books are installation {said}'s, and this one is {here}: they were restored, copied or renamed; check DATABASE_URL and"
            f" TOLLBOOK_INSTALLATION; {ADOPT}"
        )
    return here


def _declared(url: str, identity: str) -> str:
    arguments = {**QUORUM, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": identity}
    try:
        with connected(url) as channel:
            channel.queue_declare(MARK, durable=True, auto_delete=False, arguments=arguments)
    except amqp.PreconditionFailed as error:
        present = _PRESENT.search(str(error.reply_text))
        if present is None:
            raise Misconfigured(f"the queue {MARK} is not ours: {error.reply_text}") from None
        return present[1]
    except ERRORS as error:
        raise _unavailable(error) from error
    return identity


def _asked(url: str, ask: Any) -> str | None:
    client = connect(url)
    try:
        answer = ask(client)
    except redis.exceptions.NoPermissionError as error:
        raise Misconfigured(f"the broker's login lacks a right: {error}; grant it for the key {MARK}") from None
    except redis.RedisError as error:
        raise StorageUnavailable(f"the broker can't be asked whose it is: {error}") from error
    finally:
        client.close()
    return answer.decode() if isinstance(answer, bytes) else None if answer is None or answer is True else str(answer)


def _unavailable(error: Exception) -> Exception:
    return refusal(error) or StorageUnavailable(f"the broker can't be asked whose it is: {type(error).__name__}: {error}")
