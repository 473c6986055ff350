"""What is looked at: one installation as this process's configuration names it."""

import ipaddress
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from core.config import Configuration
from core.database.database import Database
from core.database.logins import split_login

_LOGIN = re.compile(r"(?<=://)[^/\s@]*:[^/\s@]*@")
_SECRET_LENGTH_MIN = 6  # shorter ones would be found in every word


@dataclass(slots=True)
class Subject:
    """The configuration, and what looks have learnt for those that come after them."""

    config: Configuration
    workers: int | None = None  # how many answered

    @contextmanager
    def books(self, url: str | None = None) -> Iterator[Database]:
        """The database under the worker's login, or at `url`, by one connection. What hangs is given up by the look's limit."""
        lean = self.config.model_copy(update={"database_pool_size": 1})
        database = Database(url or self.config.require_database_url(), lean)
        try:
            yield database
        finally:
            database.dispose()

    def without_secrets(self, text: str) -> str:
        """The text without logins of URLs, whoever wrote it."""
        for secret in self._secrets():
            text = text.replace(secret, "***")
        return _LOGIN.sub("***@", text)

    def _secrets(self) -> list[str]:
        found: set[str] = set()
        for url in (self.config.database_url, self.config.database_owner_url, self.config.directory_url, self.config.broker_url):
            _, password, _ = split_login(url.get_secret_value().partition("://")[2]) if url else ("", "", "")
            found |= {one for one in (password, unquote(password)) if len(one) >= _SECRET_LENGTH_MIN and one not in ("tollbook", "worker")}
        return sorted(found, key=len, reverse=True)


def is_near(host: str) -> bool:
    """Whether a host is this machine, or in a network of containers, where a name has no dot; empty, or a path: a socket."""
    if not host or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return "." not in host


def shown_place(url: str) -> str:
    """Where a broker's URL leads that was found usable: host, port and database, never the login."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.hostname}{port}{parts.path}" if parts.hostname else f"the socket {parts.path}"
