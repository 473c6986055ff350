"""Holds, which keep money for calls that are under way, and caps, which bound what may be used in a window of time.

Triggers keep a settled hold as it was settled, and let only the transaction that wrote a hold take it back; the migration has them.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from core.billing import CapAction, CapDimension, CapPeriod, CapScope, HoldState
from core.money import AMOUNT_MAX
from core.schema.columns import BALANCE_ROOM, balance, count, day, in_room, key, metadata, money, one_of, time, total

_UNSETTLED = text("settled_at IS NULL")
_UNBILLED = text("state = 'EXPIRED' AND use_count = 0")

holds = Table(
    "holds",
    metadata,
    key("mandate_id"),
    key("hold_key"),
    key("user_id"),
    Column("balance_account_id", BigInteger),  # whoever pays for the user now; NULL: nobody, or it isn't open yet
    money("amount"),
    Column("state", Text, nullable=False, server_default=text("'OPEN'")),
    *[money(name, default="0") for name in ("captured", "released", "expired")],
    *[total(name) for name in ("used", "over_hold")],
    *[count(name) for name in ("use_count", "late_count")],
    *[key(name, nullable=True) for name in ("provider", "model", "feature_code")],
    Column("price_version", BigInteger),  # by which an estimate was priced
    day("local_date"),
    time("authorised_at"),
    time("expires_at"),
    time("settled_at", nullable=True),
    Column("settled_by_id", BigInteger),  # the debit that settled it; NULL: none did
    Column("content_hash", LargeBinary),  # of the question; NULL: an event came before it
    PrimaryKeyConstraint("mandate_id", "hold_key"),
    one_of("state", HoldState),
    CheckConstraint(f"amount BETWEEN 0 AND {AMOUNT_MAX}", name="amount_range"),
    CheckConstraint("captured >= 0 AND released >= 0 AND expired >= 0", name="parts_sign"),
    CheckConstraint("captured + released + expired <= amount", name="parts_room"),
    CheckConstraint("(state = 'OPEN') = (settled_at IS NULL)", name="settled_state"),
    CheckConstraint("state = 'OPEN' OR captured + released + expired = amount", name="settled_whole"),
    CheckConstraint("state <> 'OPEN' OR released + expired = 0", name="open_parts"),
    Index("ix_holds_unsettled", "mandate_id", "expires_at", postgresql_where=_UNSETTLED),
    Index(None, "authorised_at", postgresql_using="brin"),
    Index("ix_holds_expiring", "expires_at", postgresql_where=_UNSETTLED),
    Index("ix_holds_unbilled", "mandate_id", "settled_at", "hold_key", postgresql_where=_UNBILLED),
    Index("ix_holds_unbilled_newest", "settled_at", "mandate_id", "hold_key", postgresql_where=_UNBILLED),
)

caps = Table(
    "caps",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    key("mandate_id"),
    Column("scope", Text, nullable=False),
    *[Column(name, Text(collation="C"), nullable=False, server_default=text("''")) for name in ("user_id", "dimension", "value")],
    Column("period", Text, nullable=False),
    money("limit_chf"),
    Column("action", Text, nullable=False),
    Column("shares", ARRAY(SmallInteger), nullable=False, server_default=text("'{50,80,100}'")),
    day("first_day"),  # of the first window that it counts
    Column("created_by", Text, nullable=False),
    time("created_at", now=True),
    Column("changed_by", Text),
    time("changed_at", nullable=True),
    Column("removed_by", Text),
    time("removed_at", nullable=True),
    one_of("scope", CapScope),
    CheckConstraint(f"dimension IN ('', {', '.join(repr(d.value) for d in CapDimension)})", name="dimension_known"),
    one_of("period", CapPeriod),
    one_of("action", CapAction),
    CheckConstraint(f"limit_chf BETWEEN 0 AND {AMOUNT_MAX}", name="limit_range"),
    CheckConstraint("(scope = 'USER') = (user_id <> '')", name="user_named"),
    CheckConstraint("(dimension = '') = (value = '')", name="value_named"),
    Index(
        "uq_caps_present",
        "mandate_id",
        "scope",
        "user_id",
        "dimension",
        "value",
        "period",
        unique=True,
        postgresql_where=text("removed_at IS NULL"),
    ),
    Index(None, "mandate_id", "id"),
)

cap_counters = Table(
    "cap_counters",
    metadata,
    Column("cap_id", BigInteger, nullable=False),
    key("user_id"),  # empty: of everybody together
    day("window_start"),
    *[total(name) for name in ("spent", "held")],
    time("updated_at", now=True),
    PrimaryKeyConstraint("cap_id", "window_start", "user_id"),  # a window's users stand together
    CheckConstraint(f"held >= 0 AND held < {BALANCE_ROOM}", name="held_room"),
    *in_room("spent"),
    postgresql_with={"fillfactor": 70},  # room for heap-only updates
)

cap_alerts = Table(
    "cap_alerts",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, server_default=text("nextval('balance_alerts_id_seq')")),
    key("mandate_id"),
    Column("cap_id", BigInteger, nullable=False),
    key("user_id"),
    day("window_start"),
    Column("share", SmallInteger, nullable=False),
    Column("recovered", Boolean, nullable=False),
    *[balance(name) for name in ("spent_before", "spent_after", "threshold")],
    money("limit_chf"),
    Column("batch_id", BigInteger),
    time("recorded_at", now=True),
    time("published_at", nullable=True),
    time("withheld_at", nullable=True),
    UniqueConstraint("cap_id", "user_id", "window_start", "share", "recovered"),  # each is told once
    Index(None, "mandate_id", "id"),
    Index("ix_cap_alerts_reached", "window_start", postgresql_where=text("share = 100 AND NOT recovered")),
    Index("ix_cap_alerts_waiting", "id", postgresql_where=text("published_at IS NULL AND withheld_at IS NULL")),
)
