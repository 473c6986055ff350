"""Where an actor stops and lets others go on: before each statement and each end of a transaction, by a database of its own."""

import re
from collections.abc import Generator
from functools import lru_cache, partial
from typing import Any, Protocol

from sqlalchemy import event

from core.config import Configuration
from core.database.answers import ImpatientConnection
from core.database.database import Database

COMMIT, ROLLBACK = "commit", "rollback"
_WRITES = re.compile(r"\b(INSERT\s+INTO|(?<!DO )(?<!FOR )(?<!KEY )UPDATE|DELETE\s+FROM)\s+(\w+)", re.IGNORECASE)
_LOCKS = re.compile(r"\bpg_(?:try_)?advisory_xact_lock(?:_shared)?\b")
_READS = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)(?!\()\b", re.IGNORECASE)
_NAMED = re.compile(r"\b(\w+)\s+AS\s+(?:NOT\s+)?(?:MATERIALIZED\s+)?\(", re.IGNORECASE)
_LOCKING = re.compile(r"\bFOR\s+(?:NO\s+KEY\s+)?(?:UPDATE|SHARE)", re.IGNORECASE)


class Runner(Protocol):
    """Whoever decides when a statement runs."""

    def run(self, connection: ImpatientConnection, answering: Generator[Any, Any, Any], about: str | None) -> Any:
        """The answer that `answering` waits for; `about` says what is asked, None: nothing that another could come before."""


class SteppedDatabase(Database):
    """As `Database`, but while it has a `runner` that one runs each statement."""

    def __init__(self, url: str, config: Configuration) -> None:
        super().__init__(url, config)
        self.runner: Runner | None = None
        self._about: str | None = None
        event.listen(self._engine, "connect", self._adopt)
        event.listen(self._engine, "before_cursor_execute", self._before_statement)
        event.listen(self._engine, "commit", lambda _: self._announce(COMMIT))
        event.listen(self._engine, "rollback", lambda _: self._announce(ROLLBACK))

    def _announce(self, about: str) -> None:
        self._about = about

    def _before_statement(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        self._announce(kind_of(statement))

    def _adopt(self, connection: ImpatientConnection, _record: object) -> None:
        setattr(connection, "wait", partial(self._answer, connection))  # noqa: B010, psycopg asks for it by this name on each connection

    def _answer(self, connection: ImpatientConnection, answering: Generator[Any, Any, Any], *timing: float) -> Any:
        about, self._about = self._about, None
        if self.runner is None or connection.closed:
            return ImpatientConnection.wait(connection, answering, *timing)
        return self.runner.run(connection, answering, about)


@lru_cache(maxsize=1000)
def kind_of(statement: str) -> str:
    """What a statement does, in a few words: which tables it writes, else which lock it takes, else what it reads."""
    if writes := _WRITES.findall(statement):
        return ", ".join(dict.fromkeys(f"{' '.join(verb.split()).lower()} {table}" for verb, table in writes))
    if locks := _LOCKS.search(statement):
        return locks.group()
    within = {"unnest", "lateral", *(name.lower() for name in _NAMED.findall(statement))}
    reads = [name for name in dict.fromkeys(_READS.findall(statement)) if name.lower() not in within]
    said = f"select {', '.join(reads[:3])}" if reads else " ".join(statement.split())[:40].lower()
    return f"{said} for update" if _LOCKING.search(statement) else said
