"""Books for benchmarks: a database of their own with a directory of 50 mandates of 20 users and one mandate with a hot pool."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from core.schema.migrate import upgrade
from lab import services
from lab.bench.traffic import HOT_MANDATE, MANDATES, USERS
from lab.process import temporary_dir
from lab.services import Services

_DIRECTORY = f"""
    INSERT INTO directory_mandates (id, name) SELECT 'm' || g, 'Mandate ' || g FROM generate_series(0, {MANDATES - 1}) g;
    INSERT INTO directory_mandates (id, name) VALUES ('{HOT_MANDATE}', 'Hot');
    INSERT INTO directory_memberships (mandate_id, user_id) SELECT m.id, 'u' || u FROM directory_mandates m, generate_series(0, {USERS - 1}) u;
    INSERT INTO billing_settings (mandate_id, billing_model, default_user_credit, warning_threshold_percent, block_on_zero_balance,
                                  notify_on_warning, time_zone)
    VALUES ('{HOT_MANDATE}', 'PREPAY_MANDATE', 10, 10, true, true, 'UTC');
    INSERT INTO billing_settings_history (mandate_id, version, billing_model, default_user_credit, warning_threshold_percent, block_on_zero_balance,
                                          notify_on_warning, time_zone, changed_by)
    VALUES ('{HOT_MANDATE}', 1, 'PREPAY_MANDATE', 10, 10, true, true, 'UTC', 'bench');
"""


@contextmanager
def benchmark_services() -> Iterator[Services]:
    """Servers of their own with migrated books and that directory, gone when the block ends."""
    with temporary_dir() as folder:
        own = services.up(folder)
        try:
            upgrade(own.database_owner_url, own.database_url)
            fill_directory(own.database_owner_url)
            yield own
        finally:
            services.down(folder, delete=True)


def fill_directory(owner_url: str) -> None:
    """Writes that directory into migrated books, where it isn't there."""
    with psycopg.connect(owner_url) as connection:
        if connection.execute("SELECT FROM directory_mandates WHERE id = %s", [HOT_MANDATE]).fetchone() is None:
            connection.execute(_DIRECTORY)
