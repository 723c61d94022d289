"""What a client lets the server fetch: content behind http and https URLs, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import IO

from local_runner.errors import Invalid, Unavailable, Unsupported

_PATIENCE = 60.0  # seconds without a byte
_LONGEST_TEXT = 64 << 20


@contextlib.contextmanager
def opened(url: str) -> Iterator[IO[bytes]]:
    """The content behind a URL, to be read. Raises `Unsupported` for other kinds of URLs, `Unavailable`."""
    scheme = url.partition("://")[0].lower()
    if scheme not in ("http", "https"):
        raise Unsupported(f"cannot read {scheme} URLs: {url}", hint="fetch it with the store's own client, and put the local file")
    import urllib.request
    from urllib.error import URLError

    try:
        with urllib.request.urlopen(url, timeout=_PATIENCE) as content:
            yield content
    except (URLError, ValueError, OSError) as error:
        raise Unavailable(f"error retrieving content from {url}: {getattr(error, 'reason', error)}") from None


def text_at(url: str) -> str:
    """The text behind a URL. Raises likewise, and `Invalid` for what is no text, or too much."""
    with opened(url) as content:
        found = content.read(_LONGEST_TEXT + 1)
    if len(found) > _LONGEST_TEXT:
        raise Invalid(f"{url}: it holds more than {_LONGEST_TEXT} bytes")
    try:
        return found.decode()
    except UnicodeDecodeError:
        raise Invalid(f"{url}: it is no UTF-8 text") from None
