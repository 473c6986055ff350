"""What the roles may do: one declaration, what of it a database lacks or has too much of, and the SQL that mends it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Connection, text

from core.schema import metadata
from core.schema.roles import Roles, quoted

PUBLIC = ""  # everybody; no role has an empty name
_SHOWN_MAX = 3
_DEFAULT_PARTITION = "transactions_default"  # looked at for what has no partition of its own
_READ_ONLY_TABLES = (_DEFAULT_PARTITION, "alembic_version")

# What the worker's role may do beside reading. What is written stays written: keys and transactions are never updated or deleted.
WRITES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "event_keys",
            "operation_keys",
            "transactions",
            "refunds",
            "amendments",
            "billing_settings_history",
            "batches",
            "former_offsets",
            "usage_shapes",
            "stamps",
        ),
        ("INSERT",),
    ),
    **dict.fromkeys(
        ("billing_settings", "directory_mandates", "directory_memberships", "directory_users", "dead_letter_overflow"), ("INSERT", "UPDATE")
    ),
    **dict.fromkeys(
        (
            "dead_letters",
            "usage_statistics",
            "usage_measures",
            "job_runs",
            "reconcile_findings",
            "reconcile_checkpoint",
            "reconcile_sums",
            "reconcile_measures",
        ),
        ("INSERT", "UPDATE", "DELETE"),
    ),
    "accounts": ("INSERT", *(f"UPDATE ({c})" for c in ("balance", "held", "credit_limit", "warning_threshold", "enabled", "grant_due"))),
    "balance_alerts": ("INSERT", "UPDATE (published_at)", "UPDATE (withheld_at)"),
    "balance_marks": ("INSERT", "DELETE"),
    "cap_alerts": ("INSERT", "UPDATE (published_at)", "UPDATE (withheld_at)"),
    "cap_counters": ("INSERT", *(f"UPDATE ({c})" for c in ("spent", "held", "updated_at"))),
    "caps": (
        "INSERT",
        *(f"UPDATE ({c})" for c in ("limit_chf", "action", "shares", "first_day", "changed_by", "changed_at", "removed_by", "removed_at")),
    ),
    "holds": (  # a trigger lets only the transaction that wrote a hold take it back
        "INSERT",
        "DELETE",
        *(
            f"UPDATE ({c})"
            for c in (
                "balance_account_id",
                "state",
                "captured",
                "released",
                "expired",
                "used",
                "over_hold",
                "use_count",
                "late_count",
                "expires_at",
                "settled_at",
                "settled_by_id",
            )
        ),
    ),
    "installation": tuple(f"UPDATE ({c})" for c in ("name", "system_identifier", "database_oid")),
    "parked_events": ("INSERT", "UPDATE (reason)", "DELETE"),
    **dict.fromkeys(("producer_ranges", "outcome_messages"), ("INSERT", "DELETE")),
    **dict.fromkeys(("producers", "producer_gaps"), ("INSERT", "UPDATE", "DELETE")),
    "rollup_pending": ("INSERT", "UPDATE (batch_id)", "DELETE"),
    **dict.fromkeys(("price_rows", "price_book", "price_modes"), ("INSERT",)),
    **dict.fromkeys(("price_aliases", "sale_rules", "uncharged_rules"), ("INSERT", "UPDATE (closed_by)", "UPDATE (valid)")),
    "fx_rates": ("INSERT", "UPDATE (replaced_at)"),
    "price_reach": ("INSERT", "UPDATE"),
    "price_state": tuple(f"UPDATE ({c})" for c in ("revision", "token", "active_version", "dialects_revision")),
    "price_versions": ("INSERT", *(f"UPDATE ({c})" for c in ("accepted_by", "accepted_at", "accepted_revision"))),
}
CALLS = ("ensure_partitions(integer)", "move_default_month()")  # functions that run with the owner's rights

# Of these tables, their partitions and sequences, of functions that run with their owner's rights, of the schema and the database.
_PRESENT = text("""
    WITH ours AS (
        SELECT oid, relname, relkind, relacl FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relname = ANY(:tables)
        UNION
        SELECT c.oid, c.relname, c.relkind, c.relacl FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = to_regclass('public.transactions')
    ), sequences AS (
        SELECT s.oid, s.relname, s.relkind, s.relacl FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
         WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT oid FROM ours)
    ), functions AS (
        SELECT oid, proacl, proowner FROM pg_proc p
         WHERE pronamespace = 'public'::regnamespace AND prosecdef
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    ), present (kind, object, acl) AS (
        SELECT 'TABLE', quote_ident(relname), relacl FROM ours
        UNION ALL SELECT 'SEQUENCE', quote_ident(relname), relacl FROM sequences
        UNION ALL SELECT 'FUNCTION', oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner)) FROM functions
        UNION ALL SELECT 'SCHEMA', nspname, coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace WHERE nspname = 'public'
        UNION ALL SELECT 'DATABASE', datname, coalesce(datacl, acldefault('d', datdba)) FROM pg_database WHERE datname = current_database()
    ), granted (kind, object, privilege, grantee) AS (
        SELECT p.kind, p.object, a.privilege_type, a.grantee FROM present p CROSS JOIN aclexplode(p.acl) a
        UNION ALL
        SELECT 'TABLE', quote_ident(o.relname), format('%s (%I)', a.privilege_type, c.attname), a.grantee
          FROM ours o JOIN pg_attribute c ON c.attrelid = o.oid CROSS JOIN aclexplode(c.attacl) a
    )
    SELECT kind, object, NULL AS privilege, NULL AS role FROM present
    UNION ALL
    SELECT g.kind, g.object, g.privilege, coalesce(r.rolname, '') FROM granted g LEFT JOIN pg_roles r ON r.oid = g.grantee
     WHERE g.grantee = 0 OR r.rolname = ANY(:roles)
""")

_STRANGERS = text("""
    SELECT CASE WHEN c.relkind = 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, quote_ident(c.relname) AS name,
           pg_get_userbyid(c.relowner) AS owner
      FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace AND NOT pg_has_role(c.relowner, 'USAGE')
       AND (c.relname = ANY(:tables) OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass('public.transactions')))
    UNION ALL
    SELECT 'FUNCTION', p.oid::regprocedure::text, pg_get_userbyid(p.proowner) FROM pg_proc p
     WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef AND NOT pg_has_role(p.proowner, 'USAGE')
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    ORDER BY 1, 2
""")


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """That `role` may do `privilege` with an object (a kind, and its name as SQL takes it)."""

    role: str
    kind: str
    object: str
    privilege: str

    def __str__(self) -> str:
        return f"{self.privilege} on {self.object}"


@dataclass(frozen=True, slots=True)
class Stranger:
    """A table, sequence or function (its kind, and its name as SQL takes it), and the login that owns it."""

    kind: str
    name: str
    owner: str


@dataclass(frozen=True, slots=True)
class Differences:
    """What the roles lack of what is declared, and what they, or everybody, may beyond it."""

    lacking: frozenset[Right]
    beyond: frozenset[Right]

    def lines(self) -> list[str]:
        """One line for each role that is not as declared."""
        said = []
        for verb, rights in (("lacks", self.lacking), ("must not have", self.beyond)):
            for role, group in groupby(sorted(rights), lambda right: right.role):
                said.append(f"{f'role {role}' if role else 'everybody (PUBLIC)'} {verb} {some([str(right) for right in group])}")
        return said

    def statements(self, connection: Connection) -> list[str]:
        """The SQL that makes it as declared."""
        made = []
        for sql, rights in (("REVOKE {} ON {} FROM {}", self.beyond), ("GRANT {} ON {} TO {}", self.lacking)):
            for (role, kind, name), group in groupby(sorted(rights), lambda right: (right.role, right.kind, right.object)):
                where = f"{kind} {name}" if kind in ("SCHEMA", "FUNCTION") else f"{kind} {_qualified(connection, kind, name)}"
                made.append(sql.format(", ".join(right.privilege for right in group), where, quoted(connection, role) if role else "PUBLIC"))
        return made


def differences(connection: Connection, roles: Roles, *, none: bool = False) -> Differences:
    """What differs between what is declared and what these roles, and everybody, may do here.

    With `none` nothing at all is declared for these roles, since others have taken their place.
    """
    rows = connection.execute(_PRESENT, {"tables": _tables(), "roles": [roles.worker, roles.reader]}).all()
    objects = {(row.kind, row.object) for row in rows}
    present = {Right(row.role, row.kind, row.object, row.privilege) for row in rows if row.privilege is not None}
    declared = set() if none else set(_declared(objects, roles))
    beyond = {right for right in present - declared if not _is_harmless(right, none=none)}
    return Differences(frozenset(declared - present), frozenset(beyond))


def strangers(connection: Connection) -> list[Stranger]:
    """What is the books', but belongs to a login whose rights the present one doesn't have."""
    return [Stranger(row.kind, row.name, row.owner) for row in connection.execute(_STRANGERS, {"tables": _tables()})]


def _declared(objects: Iterable[tuple[str, str]], roles: Roles) -> Iterable[Right]:
    for kind, name in objects:
        writes: tuple[str, ...] = ()
        if kind == "TABLE" and name in _tables():
            yield Right(roles.reader, kind, name, "SELECT")
            writes = ("SELECT", *WRITES.get(name, ()))
        elif kind == "SEQUENCE":
            writes = ("USAGE",)
        elif kind == "FUNCTION" and name in CALLS:
            writes = ("EXECUTE",)
        elif kind == "SCHEMA":
            yield Right(roles.reader, kind, name, "USAGE")
            writes = ("USAGE",)
        elif kind == "DATABASE":
            yield Right(roles.reader, kind, name, "CONNECT")
            writes = ("CONNECT", "TEMPORARY")  # the directory is compared in temporary tables
        for privilege in writes:
            yield Right(roles.worker, kind, name, privilege)


def _is_harmless(right: Right, *, none: bool) -> bool:
    """Reading single partitions, which the first ones give, and what PostgreSQL lets everybody do in a schema of all."""
    if right.role == PUBLIC:
        return none or (right.kind == "SCHEMA" and right.privilege == "USAGE")
    return not none and right.kind == "TABLE" and right.privilege == "SELECT" and right.object not in _tables()


def _tables() -> list[str]:
    return [*metadata.tables, *_READ_ONLY_TABLES]


def _qualified(connection: Connection, kind: str, name: str) -> str:
    return quoted(connection, name) if kind == "DATABASE" else f"public.{name}"


def some(things: list[str]) -> str:
    """The first of many things, and how many more there are."""
    more = len(things) - _SHOWN_MAX
    return ", ".join(things[:_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
