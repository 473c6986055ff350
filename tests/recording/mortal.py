"""A database whose session ends right before a commit, as if its worker or its server had died there."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from core.database.database import Database


class MortalDatabase(Database):
    """As `Database`, but after `commits_left` more commits one session is ended by the server just before its own; then never again."""

    commits_left: int | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """See `Database.transaction`."""
        with super().transaction() as connection:
            yield connection
            if self.commits_left == 0:
                self.commits_left = None
                connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
            if self.commits_left is not None:
                self.commits_left -= 1
