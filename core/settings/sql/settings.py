"""SQL of billing settings and their history."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, TextClause, text

from core.billing import BillingModel
from core.database.event_columns import columns
from core.database.known_zones import TakenZone, zones_to_take
from core.database.packing import packed, unpacked_rows
from core.settings.model import DEFAULTS, SETTING_TYPES, SETTINGS, BillingSettings

_KINDS_OF_TYPES = {BillingModel: "text", str: "text", Decimal: "numeric", bool: "boolean", list[str]: "text[]", dict[str, str]: "jsonb"}
KINDS = {name: _KINDS_OF_TYPES[kind] for name, kind in SETTING_TYPES.items()}  # in SQL
_FIELDS = ", ".join(SETTINGS)

_LOAD = text(f"""
    SELECT {columns("s", (field.name for field in fields(BillingSettings)))},
           (SELECT true FROM parked_events p WHERE p.mandate_id = s.mandate_id LIMIT 1) AS has_parked
      FROM billing_settings s
     WHERE s.mandate_id = ANY(:mandate_ids)
""")


# Only what is not as kept comes back: nothing at all of most mandates. Each is looked up by itself (OFFSET 0), and the car park only where
# there is anything in it.
_LOAD_CHANGED = text(f"""
    SELECT wanted.mandate_id AS wanted, s.*
      FROM {unpacked_rows({"mandate_id": "text", "stamp": "text"})} AS wanted
      LEFT JOIN LATERAL (
           SELECT {columns("b", (field.name for field in fields(BillingSettings)))},
                  CAST(b.xmin AS text) || ' ' || b.version || ' ' || b.updated_at || ' ' || coalesce(CAST(b.caps_token AS text), '') AS stamp,
                  CASE WHEN (SELECT EXISTS (SELECT FROM parked_events))
                       THEN (SELECT true FROM parked_events p WHERE p.mandate_id = b.mandate_id LIMIT 1) END AS has_parked
             FROM billing_settings b WHERE b.mandate_id = wanted.mandate_id OFFSET 0) AS s ON true
     WHERE wanted.mandate_id IS NOT NULL AND (s.stamp IS DISTINCT FROM wanted.stamp OR s.has_parked)
""")


def _kept(write: str) -> TextClause:
    """A statement that writes settings, and what they are by it into the history."""
    return text(f"""
        WITH written AS ({write} RETURNING *)
        INSERT INTO billing_settings_history (mandate_id, version, {_FIELDS}, changed_by)
        SELECT mandate_id, version, {_FIELDS}, :changed_by FROM written
        RETURNING mandate_id
    """)


_OPEN = _kept(f"""
    INSERT INTO billing_settings (mandate_id, {_FIELDS}, time_zone_missing)
    SELECT mandate_id, {_FIELDS}, time_zone_missing
      FROM jsonb_to_recordset(CAST(:settings AS jsonb))
           AS g(mandate_id text, {", ".join(f"{name} {kind}" for name, kind in KINDS.items())}, time_zone_missing text)
     ORDER BY mandate_id COLLATE "C"
    ON CONFLICT DO NOTHING
""")

_CHANGE = _kept(f"""
    UPDATE billing_settings
       SET {", ".join(f"{name} = CAST(:{name} AS {kind})" for name, kind in KINDS.items())},
           time_zone_missing = :time_zone_missing, version = version + 1, updated_at = now()
     WHERE mandate_id = :mandate_id
""")

_BILLED_MODEL = text("""
    SELECT billing_model FROM billing_settings_history
     WHERE mandate_id = :mandate_id AND billing_model <> 'UNLIMITED' ORDER BY version DESC LIMIT 1
""")

_HAS_TRANSACTIONS = text("SELECT EXISTS (SELECT FROM transactions WHERE mandate_id = :mandate_id)")
_HAS_OPEN_HOLDS = text("SELECT EXISTS (SELECT FROM holds WHERE mandate_id = :mandate_id AND settled_at IS NULL)")


def load_settings(connection: Connection, mandate_ids: Iterable[str]) -> tuple[dict[str, BillingSettings], set[str]]:
    """The settings of those mandates that have some, and which of them have parked events."""
    rows = connection.execute(_LOAD, {"mandate_ids": list(mandate_ids)}).all()
    return {row.mandate_id: _settings(row) for row in rows}, {row.mandate_id for row in rows if row.has_parked}


@dataclass(frozen=True, slots=True)
class KeptSettings:
    """Settings as they were read once, and what tells whether the row is still the same: the transaction that wrote it, its version, and when."""

    settings: BillingSettings
    stamp: str


def load_changed_settings(
    connection: Connection, mandate_ids: Sequence[str], kept: dict[str, KeptSettings]
) -> tuple[dict[str, BillingSettings], set[str]]:
    """As `load_settings`, of which only what differs from `kept` is read; that is kept, too."""
    known = [kept.get(mandate_id) for mandate_id in mandate_ids]
    parameters = {"mandate_id": packed(mandate_ids), "stamp": packed(None if one is None else one.stamp for one in known)}
    settings = {mandate_id: one.settings for mandate_id, one in zip(mandate_ids, known, strict=True) if one is not None}
    with_parked = set()
    for row in connection.execute(_LOAD_CHANGED, parameters):
        if row.stamp is None:  # there are none any more
            del settings[row.wanted]
            continue
        settings[row.wanted] = _settings(row)
        kept[row.wanted] = KeptSettings(settings[row.wanted], row.stamp)
        if row.has_parked:
            with_parked.add(row.wanted)
    return settings, with_parked


def open_settings(connection: Connection, time_zones: Mapping[str, str | None], changed_by: str, *, default_time_zone: str) -> int:
    """Each mandate of `time_zones` has settings afterwards: where it had none, with the defaults and the zone named for it, as `zones_to_take`.

    Returns the number made. Race-free: any number of callers at once make one row. A replay makes none.
    """
    taken = zones_to_take(connection, time_zones, default_time_zone)
    return len(open_as_given(connection, {mandate_id: default_settings(zone) for mandate_id, zone in taken.items()}, changed_by))


def default_settings(time_zone: TakenZone) -> dict[str, object]:
    """What new settings have, by column, where nothing else is asked for."""
    return {**DEFAULTS, "time_zone": time_zone.name, "time_zone_missing": time_zone.missing}


def open_as_given(connection: Connection, settings: Mapping[str, Mapping[str, object]], changed_by: str) -> set[str]:
    """Each mandate has settings afterwards: where it had none, these (every column of `default_settings`), as version 1.

    Returns the mandates that had none. Race-free: any number of callers at once make one row. A replay makes none.
    """
    rows = [{"mandate_id": mandate_id, **values} for mandate_id, values in settings.items()]
    return set(connection.execute(_OPEN, {"settings": json.dumps(rows, default=str), "changed_by": changed_by}).scalars())


def change_settings(connection: Connection, mandate_id: str, values: Mapping[str, object], changed_by: str) -> None:
    """Sets every column that `values` (amounts in CHF) names, raises the version by one and keeps it in the history.

    `values` names all that may change, `billing_address` as a dictionary. The caller holds the mandate.
    """
    changes = {**values, "billing_address": json.dumps(values["billing_address"])}
    connection.execute(_CHANGE, {**changes, "mandate_id": mandate_id, "changed_by": changed_by})


def find_billed_model(connection: Connection, mandate_id: str) -> BillingModel | None:
    """The last model that the mandate had under which somebody pays, if it ever had one."""
    found = connection.execute(_BILLED_MODEL, {"mandate_id": mandate_id}).scalar_one_or_none()
    return None if found is None else BillingModel(found)


def has_transactions(connection: Connection, mandate_id: str) -> bool:
    """Whether anything was ever booked for the mandate."""
    found: bool = connection.execute(_HAS_TRANSACTIONS, {"mandate_id": mandate_id}).scalar_one()
    return found


def has_open_holds(connection: Connection, mandate_id: str) -> bool:
    """Whether anything is held in the mandate."""
    found: bool = connection.execute(_HAS_OPEN_HOLDS, {"mandate_id": mandate_id}).scalar_one()
    return found


def _settings(row: Row[Any]) -> BillingSettings:
    told = {field.name: getattr(row, field.name) for field in fields(BillingSettings)}
    return BillingSettings(**told | {"billing_model": BillingModel(row.billing_model)})
