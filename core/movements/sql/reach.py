"""SQL of what versions reach back to: which stamps may be of other rows now, and what was counted."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from core.database.rows import row
from core.prices.model import StampKind

_VERSIONS = text(f"SELECT DISTINCT version_id FROM stamps WHERE kind = '{StampKind.RATED}' AND version_id IS NOT NULL ORDER BY version_id")

_STAMPS = text(f"""
    SELECT s.id FROM stamps s
     WHERE s.kind = '{StampKind.RATED}' AND s.version_id = :version_id
       AND EXISTS (SELECT FROM unnest(s.rows) AS named(id) JOIN price_rows r USING (id)
                     JOIN unnest(CAST(:providers AS text[]), CAST(:models AS text[])) AS m(provider, model)
                       ON m.provider = r.provider AND (m.model IS NULL OR m.model = r.model))
     ORDER BY s.id
""")

_KEEP = text("""
    INSERT INTO price_reach (version_id, events, models) VALUES (:version_id, :events, CAST(:models AS jsonb))
    ON CONFLICT (version_id) DO UPDATE SET events = excluded.events, models = excluded.models, counted_at = now()
""")
_WAIVE = text("""
    UPDATE price_reach SET waived_by = :by, waived_reason = :reason, waived_at = now() WHERE version_id = :version_id AND waived_at IS NULL
""")
_FIND = text("SELECT events, models, counted_at, waived_by, waived_reason, waived_at FROM price_reach WHERE version_id = :version_id")
# What is counted soon after its acceptance is counted once more: some of what was being recorded then was rated by the version before.
_TO_COUNT = text("""
    SELECT p.active_version FROM price_state p LEFT JOIN price_reach r ON r.version_id = p.active_version
      LEFT JOIN price_versions v ON v.id = p.active_version
     WHERE p.active_version IS NOT NULL
       AND (r.version_id IS NULL OR (r.waived_at IS NULL AND (r.events > 0 OR r.counted_at < v.accepted_at + interval '1 hour')))
""")


class Counted(NamedTuple):
    """What was counted of a version, and by whom and why it was waived."""

    events: int
    models: list[dict[str, Any]]
    counted_at: datetime
    waived_by: str | None
    waived_reason: str | None
    waived_at: datetime | None


def stamped_versions(connection: Connection) -> list[int]:
    """The versions that amounts were computed from."""
    return list(connection.execute(_VERSIONS).scalars())


def stamps_of(connection: Connection, version_id: int, models: Collection[tuple[str, str | None]]) -> list[int]:
    """The stamps of a version that name a row of one of these models, each with its provider; None: any of that provider."""
    parameters = {
        "version_id": version_id,
        "providers": [provider for provider, _ in models],
        "models": [model for _, model in models],
    }
    return list(connection.execute(_STAMPS, parameters).scalars())


def keep_reach(connection: Connection, version_id: int, events: int, models: Sequence[dict[str, Any]]) -> None:
    """What the version would change by now; that it was waived stays."""
    connection.execute(_KEEP, {"version_id": version_id, "events": events, "models": json.dumps(list(models))})


def waive_reach(connection: Connection, version_id: int, by: str, reason: str) -> None:
    """From now on what the version would change is to stay as it is; who said so first stays."""
    connection.execute(_WAIVE, {"version_id": version_id, "by": by, "reason": reason})


def find_reach(connection: Connection, version_id: int) -> Counted | None:
    """What was counted of the version, if it ever was."""
    return row(connection, Counted, _FIND, version_id=version_id)


def to_count(connection: Connection) -> int | None:
    """The active version, if what it would change was never counted, or stands."""
    version_id: int | None = connection.execute(_TO_COUNT).scalar_one_or_none()
    return version_id
