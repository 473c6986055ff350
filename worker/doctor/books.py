"""Looks at the database: its logins, its server, and whether the tables are ready."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from core.asking.rights import ROOT
from core.clock import utc_now
from core.database.installation import identity_here, identity_written
from core.database.server import Server, is_pooled, server_of, server_time
from core.database.urls import connection_parameters
from core.directory.source import MANDATES, MEMBERSHIPS, USERS, directory_source
from core.errors import StorageUnavailable
from core.housekeeping.read import partitions
from core.schema.migrate import check
from core.schema.revision import head
from core.schema.standing import may_change_entries, troubles_of_revision, troubles_of_roles
from core.verifying.read_zones import unknown_zones
from worker.doctor.finding import Finding, error, ok, skipped, warning
from worker.doctor.looks import split_cure
from worker.doctor.subject import Subject, is_near
from worker.installation import ADOPT, read

SKEW_WARNING, SKEW_ERROR = timedelta(seconds=2), timedelta(seconds=60)  # events are refused that seem 5 minutes ahead
_TRANSACTIONS_WARNING = 1_200_000_000  # of the 2 billion after which PostgreSQL stops taking writes
_VERSION_MIN = 150_000
_MONTH_NEXT = 2  # months without a partition that can't wait: this one and the next
# What else than "on" loses what was committed, or spoils tables after a crash of the machine.
_ON = {
    "fsync": "a crash of the machine destroys the books",
    "full_page_writes": "a crash of the machine can tear pages of the books",
    "autovacuum": "tables grow without end, and at last nothing can be written",
}


def look_at_worker_login(subject: Subject) -> Iterator[Finding]:
    """Whether the worker's login is let in."""
    try:
        server, is_by_pooler = _met(subject)
    except StorageUnavailable as failure:
        yield error(str(failure), "start PostgreSQL, and check host and port in DATABASE_URL; events wait in the queues until then")
        return
    pooled = ", by way of a pooler: each transaction brings its own settings" if is_by_pooler else ""
    yield ok(f"PostgreSQL {server.version}, {server.database} as {server.login}{pooled}")
    hosts = connection_parameters(subject.config.require_database_url(), "DATABASE_URL").get("host", "").split(",")
    if server.tls is None and not pooled and not all(map(is_near, hosts)):
        yield warning(
            "the way to the database isn't encrypted: whoever is between can read and change it",
            "sslmode=verify-full in DATABASE_URL (docs/operations.md#tls)",
        )


def _met(subject: Subject) -> tuple[Server, bool]:
    with subject.books() as database, database.snapshot() as connection:
        return server_of(connection), is_pooled(connection)


def look_at_owner_login(subject: Subject) -> Iterator[Finding]:
    """Whether the owner's login is let in, and is another one than the worker's."""
    config = subject.config
    with subject.books() as database, database.snapshot() as connection:
        worker, may_change = server_of(connection).login, not troubles_of_revision(connection) and may_change_entries(connection)
    if config.database_owner_url:
        with subject.books(config.require_owner_url()) as database, database.snapshot() as connection:
            owner = server_of(connection).login
        if owner != worker:
            yield ok(f"owner {owner}, worker {worker}")
            return
    if may_change:
        yield warning(
            f"the worker's login {worker} owns the tables or is a superuser: nothing in the database stops a worker from changing entries",
            "two logins, as deploy/postgres-init.sh makes them (docs/operations.md#roles-and-logins)",
        )
    elif not config.database_owner_url:
        yield ok(f"worker {worker}; DATABASE_OWNER_URL is not set here, as it should be where workers run")


def look_at_revision(subject: Subject) -> Iterator[Finding]:
    """Whether the tables are at this program's revision."""
    with subject.books() as database, database.snapshot() as connection:
        found = troubles_of_revision(connection)
    for line in found:
        yield error(*split_cure(line))
    if not found:
        yield ok(f"the tables are at {head()}")


def look_at_tables(subject: Subject) -> Iterator[Finding]:
    """Whether tables, roles and rights are what this program needs."""
    config = subject.config
    if config.database_owner_url:
        found = check(config.require_owner_url(), config.require_database_url(), variable=config.owner_variable)
    else:
        found = _troubles_seen_by_worker(subject)
    for line in found:
        what, cure = split_cure(line)
        yield error(what, cure or "run `tollbook db upgrade`; where that helps nothing, somebody changed the tables by hand")
    if not found:
        yield ok("tables, roles and rights are what this program needs")


def _troubles_seen_by_worker(subject: Subject) -> list[str]:
    with subject.books() as database, database.snapshot() as connection:
        return troubles_of_roles(connection, None if may_change_entries(connection) else server_of(connection).login)


def look_at_server(subject: Subject) -> Iterator[Finding]:
    """Whether what the server commits lasts, and whether it takes writes."""
    with subject.books() as database, database.snapshot() as connection:
        server = server_of(connection)
    bad = list(_bad_settings(server))
    yield from bad or [ok(f"fsync, full_page_writes, autovacuum on; synchronous_commit {server.synchronous_commit}")]
    if server.version_number < _VERSION_MIN:
        yield warning(f"PostgreSQL {server.version} is older than those that Tollbook is tested with", "PostgreSQL 15 or later")
    if server.oldest_transaction > _TRANSACTIONS_WARNING:
        what = f"the oldest transaction that isn't frozen is {server.oldest_transaction:,} transactions old: at 2 billion nothing is written any more"
        yield warning(what, "VACUUM (FREEZE) as a superuser, and see what holds it up (prepared transactions, replication slots, long sessions)")


def _bad_settings(server: Server) -> Iterator[Finding]:
    for name, harm in _ON.items():
        if getattr(server, name) != "on":
            yield error(f"the server has {name} off: {harm}", f"ALTER SYSTEM SET {name} = on, and reload")
    if server.synchronous_commit in ("off", "local"):
        yield error(
            f"synchronous_commit is {server.synchronous_commit}: what is committed may be lost", "let the pooler pass this program's settings on"
        )
    if server.is_standby:
        yield error(
            "this is a standby: nothing can be written here",
            "name the primary in DATABASE_URL, or several hosts with target_session_attrs=read-write",
        )
    elif server.is_read_only:
        yield error("transactions are read-only here", "ALTER DATABASE or ALTER ROLE … RESET default_transaction_read_only")


def look_at_connections(subject: Subject) -> Iterator[Finding]:
    """Whether the server has connections enough for the workers that answer, or for one."""
    with subject.books() as database, database.snapshot() as connection:
        server = server_of(connection)
    workers, pool = max(subject.workers or 0, 1), subject.config.database_pool_size
    told = f"{server.connections} of {server.connections_max} in use; {workers} times TOLLBOOK_DATABASE_POOL_SIZE is {workers * pool}"
    if server.connections_max < workers * pool:
        yield warning(f"the workers may need more connections than the server has: {told}", "a higher max_connections, a pooler, or a smaller pool")
    elif server.connections > 0.9 * server.connections_max:
        yield warning(f"the server's connections are nearly all in use: {told}", "a higher max_connections, or see pg_stat_activity for who has them")
    else:
        yield ok(told)


def look_at_clock(subject: Subject, clock: Callable[[], datetime] = utc_now) -> Iterator[Finding]:
    """Whether the database's clock and this machine's agree; `clock` is this machine's."""
    with subject.books() as database, database.snapshot() as connection:
        server_time(connection)  # so that no opening of a connection lies between
        before = clock()
        there = server_time(connection)
        after = clock()
    apart = timedelta(0) if before <= there <= after else max(before - there, there - after)
    ahead = "ahead of" if there > after else "behind"
    cure = "let both follow one time server (chrony, systemd-timesyncd)"
    told = f"the database's clock is {apart.total_seconds():.1f} s {ahead} this machine's"
    if apart >= SKEW_ERROR:
        yield error(f"{told}: events are judged and days are closed by the database's clock", cure)
    elif apart >= SKEW_WARNING:
        yield warning(told, cure)
    else:
        yield ok("the database's clock and this machine's agree")


def look_at_partitions(subject: Subject) -> Iterator[Finding]:
    """Whether the months to come have their partitions."""
    ahead = subject.config.partitions_ahead
    with subject.books() as database:
        found = partitions(database, ROOT, months_ahead=ahead)
        soon = set(partitions(database, ROOT, months_ahead=_MONTH_NEXT - 1).missing)
    cure = "`tollbook jobs --job books.housekeep` tells why; it makes them every six hours, where beat and a worker of `maintenance` run"
    if soon:
        yield error(f"no partition for {', '.join(sorted(soon))}: entries go to the default one, which must be moved later", cure)
    if later := [month for month in found.missing if month not in soon]:
        yield warning(f"no partition yet for {', '.join(later)}", cure)
    if found.rows_in_default:
        yield warning("entries stand in the default partition", f"{cure}; it moves them")
    if not found.missing and not found.rows_in_default:
        yield ok(f"this month and {ahead} more have theirs")


def look_at_zones(subject: Subject) -> Iterator[Finding]:
    """Whether this program and the database know the time zones of all mandates."""
    with subject.books() as database:
        found = unknown_zones(database, ROOT, rows_max=3)
    if not found.total:
        yield ok("both sides know every mandate's time zone; `tollbook zones check` compares the days of all entries, too")
        return
    some = ", ".join(f"{one.mandate_id}: {one.time_zone}" for one in found.mandates)
    yield error(f"time zones are or were not known, of {found.total} mandates ({some})", "tollbook zones check (docs/operations.md#time-zones)")


def look_at_installation(subject: Subject) -> Iterator[Finding]:
    """Whether books and broker are this installation's."""
    config = subject.config
    with subject.books() as database, database.snapshot() as connection:
        here, books = identity_here(connection, config.installation), identity_written(connection)
    broker = read(config.require_broker_url())
    if books is not None and books != here:
        yield error(
            f"the books are installation {books}'s, and this one is {here}: workers refuse to start",
            f"check DATABASE_URL and TOLLBOOK_INSTALLATION; {ADOPT}",
        )
    if broker is not None and broker != str(here):
        yield error(f"the broker is installation {broker}'s, and this one is {here}: workers refuse to start", f"check CELERY_BROKER_URL; {ADOPT}")
    if books in (None, here) and broker in (None, str(here)):
        yield ok(f"{here}" if books and broker else "nobody's yet: the first worker makes them its own")


def look_at_directory(subject: Subject) -> Iterator[Finding]:
    """Whether the application's database answers the three SELECTs, where it is configured."""
    if subject.config.directory_url is None or not subject.config.directory_url.get_secret_value():
        yield skipped("DIRECTORY_URL is not set: the directory comes from files, if at all")
        return
    patient = subject.config.model_copy(update={"directory_timeout_seconds": min(10.0, subject.config.directory_timeout_seconds)})
    with directory_source(patient) as source:
        for part in (MANDATES, MEMBERSHIPS, USERS):
            source.try_out(part)
    yield ok("the application's database answers, and takes the three SELECTs")
