"""What a client makes a request depend on: tags, times and ranges (RFC 9110, 13 and 14)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from local_runner.s3.errors import S3Error

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def check_conditions(headers: Mapping[str, str], etag: str, changed: float, *, prefix: str = "") -> None:
    """Raises `PreconditionFailed` or `NotModified`; headers are looked up after `prefix`, as those of a copy's source are."""
    unmodified = _moment(headers.get(f"{prefix}if-unmodified-since", ""))
    since = _moment(headers.get(f"{prefix}if-modified-since", ""))
    match, no_match = headers.get(f"{prefix}if-match"), headers.get(f"{prefix}if-none-match")
    if match is not None:
        if not _names(match, etag):
            raise S3Error("PreconditionFailed")
    elif unmodified is not None and int(changed) > unmodified:
        raise S3Error("PreconditionFailed")
    is_same = _names(no_match, etag) if no_match is not None else since is not None and int(changed) <= since
    if is_same:
        raise S3Error("PreconditionFailed" if prefix else "NotModified", headers={"ETag": etag})


def read_range(text: str, size: int) -> tuple[int, int] | None:
    """First and last byte of the one range that is asked for; None for the whole, also if it asks for several or says nothing.

    Raises `InvalidRange` for one that lies outside.
    """
    found = _RANGE.fullmatch(text.strip())
    if not found or not (found[1] or found[2]):
        return None
    if found[1]:
        first, last = int(found[1]), min(int(found[2]), size - 1) if found[2] else size - 1
        if found[2] and int(found[2]) < first:
            return None
    else:
        first, last = max(size - int(found[2]), 0), size - 1
    if first >= size or first > last:
        raise S3Error("InvalidRange", headers={"Content-Range": f"bytes */{size}"})
    return first, last


def _names(listed: str, etag: str) -> bool:
    """Whether a list of tags, with or without quotes, has this one."""
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in listed.split(",")}
    return "*" in tags or etag.strip('"') in tags


def _moment(text: str) -> float | None:
    try:
        found = parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
