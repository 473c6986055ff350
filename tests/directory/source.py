"""An application's database as the source of the directory: a second, real database on the test run's server."""

from collections.abc import Sequence

import psycopg

TABLES = """
    CREATE TABLE mandates (id text PRIMARY KEY, name text, label text, enabled boolean, time_zone text);
    CREATE TABLE user_mandates (user_id text, mandate_id text, enabled boolean);
    CREATE TABLE users (id text PRIMARY KEY, username text, display_name text);
"""


class ApplicationDatabase:
    """The tables that the default SELECTs fit, and what a test puts into them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.run(TABLES)

    def run(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Runs statements as the application would, committed at once."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql, parameters or None)

    def put_mandate(self, mandate_id: str = "acme", *, users: Sequence[str] = (), enabled: bool = True, name: str = "Acme") -> None:
        """The application has this mandate with these members."""
        self.run("INSERT INTO mandates VALUES (%s, %s, NULL, %s, 'Europe/Zurich')", (mandate_id, name, enabled))
        for user in users:
            self.run("INSERT INTO user_mandates VALUES (%s, %s, true)", (user, mandate_id))
            self.run("INSERT INTO users VALUES (%s, %s, NULL) ON CONFLICT DO NOTHING", (user, f"{user}.name"))
