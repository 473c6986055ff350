"""Where in a URL the login ends: passwords that were pasted as they are, not percent-encoded, move the border for those who read on."""

import re

ENCODE = "in user names and passwords write / as %2F, # as %23, ? as %3F, @ as %40, : as %3A and % as %25 (percent-encode them)"
_AUTHORITY = re.compile(r"[^/?#]*")


def split_login(rest: str) -> tuple[str, str, str]:
    """User and password, as they stand there, and what follows, of a URL without its scheme; a password may hold `/`, `?` or `#` as they are."""
    authority = _AUTHORITY.match(rest)
    assert authority is not None
    if "@" not in rest or ("@" not in authority[0] and ":" not in authority[0]):
        return "", "", rest
    login, _, after = rest.partition("@")
    user, _, password = login.partition(":")
    return user, password, after


def has_raw_password(url: str) -> bool:
    """Whether a login seems to hold a `/`, `?` or `#` as it is, so that the URL means another host and shows parts of the password."""
    rest = url.partition("://")[2]
    authority = _AUTHORITY.match(rest)
    assert authority is not None
    return "@" in rest[authority.end() :] or "#" in rest
