"""Database URLs, read as libpq reads them: each works, or is refused in one line that names its variable and shows no part of a password."""

import re
from collections.abc import Mapping
from urllib.parse import unquote

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from core.database.logins import ENCODE, split_login
from core.errors import Misconfigured

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9.-]*)(\+\w+)?://")
_EXAMPLE = "postgresql://user:password@host:5432/tollbook"
_FURTHER_EQUALS = re.compile(r"([^&=]*=)([^&]*)")
_NAME = re.compile(r"[?&]([^=&]*)")
_WORD = re.compile(r"(?:\\.|[^\s\\])+")  # of `options`: a backslash takes what follows as it is
_OPTION = re.compile(r"(?:-c|--)([A-Za-z_][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)
_NUMBERS = ("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
_KNOWN = frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults()) | {"ssl"}
_VALUES = {
    "sslmode": "disable, allow, prefer, require, verify-ca or verify-full",
    "target_session_attrs": "any, read-write, read-only, primary, standby or prefer-standby",
    "channel_binding": "disable, prefer or require",
    "gssencmode": "disable, prefer or require",
    "load_balance_hosts": "disable or random",
}


def connection_parameters(url: str, variable: str) -> dict[str, str]:
    """What libpq is to be given for a URL; nothing is connected. Several hosts, sockets and every option of libpq are served.

    Args:
        url: of a PostgreSQL database; libpq's `host=… dbname=…` is as good.
        variable: the environment variable that has it, for messages.

    Raises:
        Misconfigured: it can't be used; the message names the variable and the cure.
    """
    login, rest = _split(url, variable)
    names = _NAME.findall(rest)
    if twice := next((name for name in names if name in _KNOWN and names.count(name) > 1), None):
        raise Misconfigured(f"{variable}: the option {twice} stands there twice; several hosts are written host1:5432,host2:5432 before the database")
    try:
        parameters = {name: str(value) for name, value in conninfo_to_dict(rest).items()}
    except psycopg.Error:
        raise Misconfigured(_unreadable(rest, variable)) from None
    parameters |= login
    _check(parameters, variable, guarded=rest.count("@") > 1)
    return parameters


def settings_in(parameters: Mapping[str, str], variable: str) -> dict[str, str]:
    """The settings of the session that the option `options` asks for, such as `-c work_mem=64MB`.

    Raises:
        Misconfigured: it asks for something else.
    """
    found: dict[str, str] = {}
    words = iter(re.sub(r"\\(.)", r"\1", word) for word in _WORD.findall(parameters.get("options", "")))
    for word in words:
        setting = _OPTION.fullmatch(word + next(words, "") if word == "-c" else word)
        if setting is None:
            raise Misconfigured(f"{variable}: options takes settings alone, each as -c name=value, percent-encoded as -c%20name%3Dvalue")
        found[setting[1].lower().replace("-", "_")] = setting[2]  # as PostgreSQL compares them
    return found


def startup_options(settings: Mapping[str, str]) -> str:
    """The settings as the startup parameter `options` has them."""
    return " ".join(f"-c {name}=" + re.sub(r"([\\\s])", r"\\\1", value) for name, value in settings.items())


def _split(url: str, variable: str) -> tuple[dict[str, str], str]:
    """Who logs in, and the URL without that, for libpq; a bare `name=value` list is all libpq's."""
    scheme = _SCHEME.match(url)
    if scheme is None:
        if "=" in url and ":/" not in url:
            return {}, url
        raise Misconfigured(f"{variable} is not a database URL such as {_EXAMPLE}")
    if scheme[1] not in ("postgresql", "postgres"):
        raise Misconfigured(f"{variable} names {scheme[1]}, but this is read from PostgreSQL only, as {_EXAMPLE}")
    user, password, rest = split_login(url[scheme.end() :])
    if "@" in rest.partition("?")[0]:
        raise Misconfigured(f"{variable}: {ENCODE}")
    login = {"user": user, "password": password}
    place, mark, query = rest.partition("?")
    query = _FURTHER_EQUALS.sub(lambda found: found[1] + found[2].replace("=", "%3D"), query)  # libpq wants it so, nobody else does
    # With the empty login libpq looks for no other one.
    return {name: unquote(value) for name, value in login.items() if value}, f"postgresql://@{place}{mark}{query}"


def _unreadable(rest: str, variable: str) -> str:
    unknown = [name for name in _NAME.findall(rest) if name not in _KNOWN]
    if unknown and rest.count("@") <= 1 and re.fullmatch(r"\w{1,40}", unknown[0]):
        return f"{variable}: PostgreSQL's client knows no option {unknown[0]}; leave it out of the URL"
    return f"{variable} is not a database URL such as {_EXAMPLE}, with an IPv6 address in brackets; {ENCODE}"


def _check(parameters: dict[str, str], variable: str, *, guarded: bool) -> None:
    """Refuses what libpq would refuse at every attempt, or forget; `guarded`: values may hold parts of a password."""
    for port in filter(None, parameters.get("port", "").split(",")):
        if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):
            raise Misconfigured(f"{variable}: the port after the host is no number from 1 to 65535; {ENCODE}")
    for name in _NUMBERS:
        if not re.fullmatch(r"-?\d{1,9}", parameters.get(name, "0")):
            raise Misconfigured(f"{variable}: the option {name} is no whole number")
    if parameters.get("client_encoding", "utf8").lower().replace("-", "") not in ("utf8", "unicode", "auto"):
        raise Misconfigured(f"{variable}: the option client_encoding must be UTF8; leave it out")
    if (refused := _refused_by_libpq(parameters)) is not None:
        cure = next((f"use {values}" for name, values in _VALUES.items() if name in refused), "mend or leave out that option")
        raise Misconfigured(f"{variable}: {'an option has an invalid value' if guarded else refused}; {cure}")


def _refused_by_libpq(parameters: Mapping[str, str]) -> str | None:
    """What libpq itself says against the options, before it connects: it is given sockets that don't exist in place of the hosts."""
    nowhere = ",".join("/nonexistent" for _ in parameters.get("host", "").split(","))
    given = {name: value for name, value in parameters.items() if name not in ("hostaddr", "password", "client_encoding")}
    try:
        attempt = pq.PGconn.connect_start(make_conninfo(**{**given, "host": nowhere}).encode())
    except psycopg.Error:
        return "libpq can't read it"
    message = attempt.error_message.decode(errors="replace").strip().partition("\n")[0]
    attempt.finish()
    return None if message.startswith("connection to server") or not message else message
