"""Events of version 2 whose calls were authorised, or whose mandates have caps, beside the same without either."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product

import psycopg

from core.asking.rights import ROOT
from core.billing import CapDimension, CapPeriod, CapScope
from core.caps.set_cap import NewCap, set_cap
from core.config import Configuration
from core.database.database import Database
from core.prices.model import Mode
from lab.bench.crowds import Crowd
from lab.bench.drains import Drained, drain
from lab.bench.goals import V2_CAPPED, V2_GIVEN, V2_HELD
from lab.bench.priced import MODELS, priced_events
from lab.bench.traffic import MANDATES, USERS, Event
from lab.services import Services

CROWDS = {name: Crowd(f"{name}-", MANDATES, USERS) for name in ("given", "held-", "caps-")}  # of one length
_HOURS = timedelta(hours=1)

# What authorisations leave behind; accounts are moved once each.
_COPY = """
    COPY holds (mandate_id, hold_key, user_id, balance_account_id, amount, local_date, authorised_at, expires_at, content_hash) FROM STDIN
"""
_ADD_HELD = """
    UPDATE accounts a SET held = h.open FROM (
        SELECT balance_account_id AS id, sum(amount - captured) AS open FROM holds WHERE settled_at IS NULL GROUP BY balance_account_id) AS h
     WHERE a.id = h.id
"""


def held_events(services: Services, n: int) -> list[Event]:
    """`n` events of version 2, for each of which a hold of CHF 1, more than it costs, is open."""
    found = list(_events("held-", n))
    for event in found:
        event["hold_key"] = f"call-{event['event_id']}"
    _authorised(services, found)
    return found


def _authorised(services: Services, found: Iterable[Event]) -> None:
    now, one = datetime.now(UTC), Decimal(1)
    with psycopg.connect(services.database_owner_url, autocommit=True) as owner:
        rows = owner.execute("SELECT mandate_id, user_id, id FROM accounts WHERE user_id IS NOT NULL")
        ids = {(mandate_id, user_id): account_id for mandate_id, user_id, account_id in rows}
        with owner.cursor() as cursor, cursor.copy(_COPY) as copy:
            for event in found:
                whose = event["mandate_id"], event["user_id"]
                times = now.date(), now, now + _HOURS
                copy.write_row((whose[0], event["hold_key"], whose[1], ids[whose], one, *times, bytes(32)))
        owner.execute(_ADD_HELD)
        owner.execute("VACUUM ANALYZE accounts, holds")


def set_caps(services: Services) -> None:
    """20 caps for each mandate of one crowd, of which each event counts in nine or ten; none is ever reached.

    Of all usage by each window, of its provider and feature (7); of each user by day and month (2); of nine of 30 models (9), and of two of
    20 users (2).
    """
    config = Configuration(database_url=services.database_url)
    database = Database(config.require_database_url(), config)
    for number, fields in product(range(MANDATES), _caps()):
        mandate_id, _ = CROWDS["caps-"].member(number)
        set_cap(database, ROOT, NewCap.read({"mandate_id": mandate_id, "limit_chf": "1000000000", "by": "bench", **fields}))
    database.dispose()


def _caps() -> Iterator[dict[str, str]]:
    day, month = CapPeriod.DAY, CapPeriod.MONTH
    for window in CapPeriod:
        yield {"period": window}
    yield {"period": month, "dimension": CapDimension.PROVIDER, "value": "openai"}
    for period in (day, month):
        yield {"period": period, "dimension": CapDimension.FEATURE, "value": "chat"}
        yield {"period": period, "scope": CapScope.EACH_USER}
    yield from ({"period": month, "dimension": CapDimension.MODEL, "value": model} for model in MODELS[:9])
    yield from ({"period": day, "user_id": f"u{user:05}"} for user in range(2))


def recording_paths(services: Services, n: int) -> dict[str, Callable[[], Drained]]:
    """What records `n` events of version 2 without and with holds and caps; two processes."""
    for crowd in CROWDS.values():
        crowd.make(services.database_owner_url)
    set_caps(services)
    return {
        V2_GIVEN: lambda: drain(services, "single", n, 2, source=_events("given", n)),
        V2_HELD: lambda: drain(services, "single", n, 2, source=iter(held_events(services, n))),
        V2_CAPPED: lambda: drain(services, "single", n, 2, source=_events("caps-", n)),
    }


def _events(crowd: str, n: int) -> Iterator[Event]:
    return priced_events(n, Mode.GIVEN, members=CROWDS[crowd].uniform())
