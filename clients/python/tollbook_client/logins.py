"""Passwords that were pasted into a URL as they are: what reads the URL on would mean another host, and tell a part of the password in its errors."""

import re

_AUTHORITY = re.compile(r"[^/?#]*")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
ENCODE = "in a password write / as %2F, ? as %3F, # as %23, @ as %40 and % as %25"


def refuse_raw_password(url: str, name: str, *, at_signs: int) -> None:
    """Returns if the login of a URL ends where everybody takes it to end.

    Args:
        url: with a scheme.
        name: what to call it.
        at_signs: how many there may be before the host: some clients look for the last one, some for the first.

    Raises:
        ValueError: it does not; the message says what helps, and shows nothing of it.
    """
    rest = url.partition("://")[2]
    authority = _AUTHORITY.match(rest)
    assert authority is not None
    login = authority[0]
    if "@" in rest[authority.end() :] or "#" in rest or login.count("@") > at_signs or _ESCAPE.search(login):
        raise ValueError(f"{name} can't be read; {ENCODE}")
