"""Looks at Redis or Valkey: whether what it was given is still there after a crash, and whether it has room."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import redis

from core.errors import Misconfigured
from core.printable import one_line
from worker.doctor.finding import Finding, error, ok, skipped, warning
from worker.doctor.subject import Subject
from worker.intake.redis_source import connect
from worker.intake.rights import missing_right
from worker.preflight import refuse_cluster
from worker.queue_limits import SERVED_QUEUES

_FULL_WARNING, _FULL_ERROR = 0.75, 0.95  # of the memory that it may use
_VERSION_MIN = (6, 2)
_POLICY = "CONFIG SET maxmemory-policy noeviction, and the same in its configuration"
_APPEND = "CONFIG SET appendonly yes and appendfsync always, and the same in its configuration (docs/operations.md#the-brokers-persistence)"
_ACL = "docs/operations.md#the-brokers-logins"

_NO_INFO, _ASK_INFO = "this login may not ask for INFO", "run the doctor with the operator's login in CELERY_BROKER_URL"

Info = dict[str, Any]


def look_at_memory(subject: Subject) -> Iterator[Finding]:
    """Whether it keeps every message when its memory is full, and how full it is."""
    info = _info(subject)
    if not info:
        yield skipped(_NO_INFO, _ASK_INFO)
        return
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield error(f"it throws messages away when its memory is full (maxmemory-policy {policy})", _POLICY)
    if info.get("evicted_keys", 0):
        yield error(
            f"it has thrown {info['evicted_keys']:,} keys away since its start: messages may be among them", f"{_POLICY}; `tollbook producers`"
        )
    limit = info.get("maxmemory") or info.get("total_system_memory") or 0
    share = info.get("used_memory", 0) / limit if limit else 0.0
    told = f"{share:.0%} of {_size(limit)} in use" + ("" if info.get("maxmemory") else " (no maxmemory: all of the machine's)")
    if share >= _FULL_WARNING:
        judge = error if share >= _FULL_ERROR else warning
        yield judge(f"{told}: producers are refused when it is full", "see which queue grows (`tollbook status`), start workers, or raise maxmemory")
    elif limit:
        yield ok(told)


def look_at_persistence(subject: Subject) -> Iterator[Finding]:
    """What a crash of it would lose, and whether it can write at all."""
    info = _info(subject)
    if not info:
        yield skipped(_NO_INFO, _ASK_INFO)
    if info.get("aof_enabled"):
        yield from _append_only(subject, info)
    elif info.get("aof_enabled") is not None:
        yield error("it has no append-only file: a crash loses every message since the last snapshot", _APPEND)
    for name, what in (("rdb_last_bgsave_status", "snapshot"), ("aof_last_bgrewrite_status", "rewrite of the append-only file")):
        if info.get(name, "ok") != "ok":
            yield error(f"its last {what} failed: it may refuse to take messages", "see its log: most often the disk is full or not writable")


def _append_only(subject: Subject, info: Info) -> Iterator[Finding]:
    if info.get("aof_last_write_status", "ok") != "ok":
        yield error("its last write to the append-only file failed", "see its log: most often the disk is full")
    fsync = _asked(subject, lambda client: client.config_get("appendfsync").get("appendfsync"))
    if fsync is None:
        yield skipped("this login may not ask for appendfsync", "as an operator: CONFIG GET appendfsync; it should be always")
    elif fsync == "always":
        yield ok("append-only file, written before each answer")
    else:
        lost = "up to two seconds of" if fsync == "everysec" else "many"
        yield warning(
            f"appendfsync {fsync}: a crash can lose {lost} messages that producers were told are safe",
            "CONFIG SET appendfsync always, and the same in its configuration",
        )


def look_at_replication(subject: Subject) -> Iterator[Finding]:
    """Whether it is one server that takes writes, and whether its replicas follow."""
    refuse_cluster(subject.config.require_broker_url())
    info = _info(subject)
    if info.get("role") == "slave":
        yield error("this is a replica: nothing can be put into its queues", "name the primary in CELERY_BROKER_URL")
        return
    if info.get("loading"):
        yield warning("it is still loading its data", "wait")
    replicas = [info[f"slave{n}"] for n in range(int(info.get("connected_slaves", 0))) if isinstance(info.get(f"slave{n}"), dict)]
    late = [one for one in replicas if one.get("state") != "online"]
    if late:
        yield warning(f"{len(late)} of {len(replicas)} replicas don't follow", "see their logs")
    else:
        yield ok(f"takes writes; replicas: {len(replicas)}" + (" (one that is promoted may lack the last messages)" if replicas else ""))


def look_at_rights(subject: Subject) -> Iterator[Finding]:
    """Whether the worker's login may do what a worker does, and whether somebody without a password may, too."""
    url = subject.config.require_broker_url()
    lacking = _asked(subject, lambda client: missing_right(client, SERVED_QUEUES))
    if lacking is not None:
        yield error(f"the broker's login lacks a right: {lacking}", f"grant it ({_ACL})")
    else:
        yield ok("the login may do what a worker does")
    if _is_open(url):
        yield warning("whoever reaches it needs no password: anybody there can have anything booked", f"users with passwords ({_ACL})")


def _is_open(url: str) -> bool:
    """Whether a client that shows no login is served."""
    scheme, mark, rest = url.partition("://")
    client = connect(scheme + mark + rest.rpartition("@")[2])
    try:
        client.execute_command("LLEN", "usage")  # type: ignore[no-untyped-call]
    except redis.RedisError:
        return False
    finally:
        client.close()
    return True


def version_of(url: str) -> tuple[str, tuple[int, ...]]:
    """Kind and version of the server, in words and as numbers, or as much as its login may ask.

    Raises:
        Misconfigured: it refuses the login.
        redis.RedisError: it can't be asked.
    """
    client = connect(url)
    try:
        client.ping()
        info: Info = client.info("server")
    except redis.exceptions.NoPermissionError:
        return "Redis or Valkey (this login may not ask for more)", _VERSION_MIN
    except (redis.AuthenticationError, redis.exceptions.AuthorizationError) as refusal:
        raise Misconfigured(f"the broker refuses the login: {refusal}; check CELERY_BROKER_URL") from None
    finally:
        client.close()
    valkey = info.get("valkey_version")
    version = str(valkey or info.get("redis_version", "0"))
    return f"{'Valkey' if valkey else 'Redis'} {version}", tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


def is_too_old(version: tuple[int, ...]) -> bool:
    """Whether it lacks commands that workers need."""
    return version < _VERSION_MIN


def database_number(url: str) -> str:
    """Which of its databases a URL names."""
    return urlsplit(url).path.strip("/") or "0"


def _info(subject: Subject) -> Info:
    found: Info = _asked(subject, lambda client: client.info("all")) or {}
    return found


def _asked(subject: Subject, ask: Callable[[redis.Redis], Any]) -> Any:
    """The answer; none where the login may not ask."""
    client = connect(subject.config.require_broker_url())
    try:
        return ask(client)
    except redis.exceptions.NoPermissionError:
        return None
    except redis.ResponseError as refusal:
        if "unknown command" in str(refusal).lower():  # hosting providers take CONFIG away
            return None
        raise Misconfigured(f"the broker refuses to answer: {one_line(str(refusal))}") from None
    finally:
        client.close()


def _size(number: int) -> str:
    return f"{number / 1024**3:.1f} GiB" if number >= 1024**3 else f"{number / 1024**2:.0f} MiB"
