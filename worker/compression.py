"""kombu opens a compressed body before anybody has looked at the message: 847 bytes of bzip2 become a gigabyte.

Here it stays as it came, on either broker, and whoever decodes it looks at the header `compression` first: a usage message becomes a
dead letter (`unsupported_content`), any other is refused.
"""

from typing import Any

from kombu import compression, message


def never_decompress() -> None:
    """Applies this to the process, once."""
    message.decompress = _unopened  # type: ignore[attr-defined]
    setattr(compression, "decompress", _refused)  # noqa: B010 - mypy forbids the plain way; for whoever asks it by that name


def _unopened(body: Any, _content_type: str) -> Any:
    return body


def _refused(_body: Any, content_type: str) -> Any:
    raise ValueError(f"compressed bodies ({content_type}) are not opened")
