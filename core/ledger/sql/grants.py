"""SQL of grants: one per account for ever, whoever tries it and however often."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from core.ledger.entry import Entry

_CLAIM = text("""
    INSERT INTO operation_keys (mandate_id, operation, idempotency_key, content_hash, hash_version)
    SELECT d.mandate_id, 'grant', 'grant:' || d.account_id, sha256(convert_to(d.amount::text, 'UTF8')), 1
      FROM unnest(CAST(:account_ids AS bigint[]), CAST(:mandate_ids AS text[]), CAST(:amounts AS numeric[])) AS d(account_id, mandate_id, amount)
     ORDER BY d.account_id
    ON CONFLICT DO NOTHING
    RETURNING CAST(substr(idempotency_key, 7) AS bigint) AS account_id
""")


def claim_grants(connection: Connection, grants: Sequence[Entry]) -> list[Entry]:
    """Those grants, by account id, whose account never had one: the caller posts them. A replay claims none."""
    parameters = {
        "account_ids": [g.account_id for g in grants],
        "mandate_ids": [g.settings.mandate_id for g in grants],
        "amounts": [g.amount for g in grants],
    }
    claimed = set(connection.execute(_CLAIM, parameters).scalars())
    return sorted((g for g in grants if g.account_id in claimed), key=lambda g: g.account_id)
