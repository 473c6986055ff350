"""Names of files made of ids that anybody may have chosen."""

import re
from hashlib import sha256

_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NO_FILES = re.compile(r"con|prn|aux|nul|com[0-9]|lpt[0-9]")  # of Windows
_DIGEST_LENGTH, _READABLE_LENGTH = 32, 40


def safe_name(some_id: str) -> str:
    """A name for a file that every file system takes, and that no other id has, also where case or accents make no difference.

    An id of lower-case letters, digits, `-` and `_` is its own name. Of any other one what is readable stands before a `~` and its SHA-256
    (128 bits of it), which no plain name has.
    """
    if _PLAIN.fullmatch(some_id) and not _NO_FILES.fullmatch(some_id):
        return some_id
    readable = re.sub(r"[^a-z0-9]+", "-", some_id.lower())[:_READABLE_LENGTH].strip("-") or "id"
    digest = sha256(some_id.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_LENGTH]
    return f"{readable}~{digest}"
