"""Crowds that benchmarks record for: so many accounts of so many mandates, made by SQL, and who of them uses something."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import psycopg

from lab.bench.traffic import Member

_DRAWN_AT_ONCE = 10_000

_MANDATES = """
    INSERT INTO directory_mandates (id, name) SELECT %(name)s || to_char(m, 'FM00000'), 'Mandate ' || m FROM generate_series(0, %(mandates)s - 1) m
"""

_SETTINGS = """
    WITH settled AS (
        INSERT INTO billing_settings (mandate_id, version, billing_model, default_user_credit, warning_threshold_percent, block_on_zero_balance,
                                      notify_on_warning, time_zone)
        SELECT id, 1, 'PREPAY_USER', 10, 10, true, true, 'UTC' FROM directory_mandates WHERE starts_with(id, %(name)s)
        RETURNING *
    )
    INSERT INTO billing_settings_history (mandate_id, version, billing_model, default_user_credit, warning_threshold_percent,
                                          block_on_zero_balance, notify_on_warning, time_zone, changed_by)
    SELECT mandate_id, version, billing_model, default_user_credit, warning_threshold_percent, block_on_zero_balance, notify_on_warning, time_zone,
           'bench' FROM settled
"""

_MEMBERS = """
    INSERT INTO directory_memberships (mandate_id, user_id)
    SELECT id, 'u' || to_char(u, 'FM00000') FROM directory_mandates, generate_series(0, %(users)s - 1) u WHERE starts_with(id, %(name)s)
"""

# In no order that has to do with who they are, as accounts come over the years.
_ACCOUNTS = """
    INSERT INTO accounts (mandate_id, user_id, account_type, opened_version, balance)
    SELECT mandate_id, user_id, 'USER', 1, 1000000 FROM directory_memberships WHERE starts_with(mandate_id, %(name)s)
     ORDER BY hashtext(mandate_id || user_id)
"""


@dataclass(frozen=True)
class Crowd:
    """The members of `mandates` mandates under PREPAY_USER, `users` of each.

    Args:
        name: what the ids of its mandates begin with, and those of no other mandate.
        mandates: how many.
        users: of each of them.
    """

    name: str
    mandates: int
    users: int

    @property
    def accounts(self) -> int:
        """How many accounts it has."""
        return self.mandates * self.users

    def make(self, owner_url: str, *, with_accounts: bool = True) -> None:
        """Writes directory, settings and accounts with much credit, and tells the planner; done again, it does nothing."""
        parameters = {"name": self.name, "mandates": self.mandates, "users": self.users}
        with psycopg.connect(owner_url, autocommit=True, cursor_factory=psycopg.ClientCursor) as owner:
            if owner.execute("SELECT FROM directory_mandates WHERE starts_with(id, %(name)s) LIMIT 1", parameters).fetchone() is not None:
                return
            for statement in (_MANDATES, _SETTINGS, _MEMBERS, *([_ACCOUNTS] if with_accounts else [])):
                owner.execute(statement, parameters)
            owner.execute("VACUUM ANALYZE")

    def member(self, number: int) -> Member:
        """The one with this number, below `accounts`; neighbours are of different mandates."""
        user, mandate = divmod(number, self.mandates)
        return f"{self.name}{mandate:05}", f"u{user:05}"

    def each_once(self) -> Iterator[Member]:
        """Each member once, in random order."""
        yield from map(self.member, random.sample(range(self.accounts), self.accounts))

    def uniform(self) -> Iterator[Member]:
        """Any member, again and again."""
        while True:
            yield self.member(random.randrange(self.accounts))

    def zipf(self) -> Iterator[Member]:
        """Some much more often than others, again and again: the n-th a n-th as often as the first one (Zipf's law, exponent 1)."""
        everybody, shares = range(self.accounts), list(accumulate(1 / n for n in range(1, self.accounts + 1)))
        while True:
            yield from map(self.member, random.choices(everybody, cum_weights=shares, k=_DRAWN_AT_ONCE))
