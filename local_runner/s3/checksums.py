"""The sums that clients of S3 send with what they put, and what makes a body differ from them an error."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import zlib
from collections.abc import Callable, Mapping

from local_runner.s3.bodies import Sum
from local_runner.s3.crc import Crc
from local_runner.s3.errors import S3Error

_CONTENT_SHA256 = "x-amz-content-sha256"
_PREFIX = "x-amz-checksum-"


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, content: bytes, /) -> None:
        self._value = zlib.crc32(content, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


# The algorithms of S3, by the end of the header that carries them. The polynomials are written with their lowest power first.
ALGORITHMS: dict[str, Callable[[], Sum]] = {
    "crc32": _Crc32,
    "crc32c": lambda: Crc(0x82F63B78, 32),
    "crc64nvme": lambda: Crc(0x9A6C9329AC4BC9B5, 64),
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
}


class Expected:
    """What the headers of a request say about its body; trailers may add to it."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        """Raises `InvalidDigest` for sums that are none, `InvalidRequest` for an algorithm that S3 has not."""
        self.trailers: Mapping[str, str] = {}
        self._said: dict[str, bytes] = {}
        self._in_trailers = [name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",") if name.strip()]
        if "content-md5" in headers:
            self._said["md5"] = _decoded(headers["content-md5"], 16)
        named = [
            name for name in headers if name.startswith(_PREFIX) and name not in (f"{_PREFIX}mode", f"{_PREFIX}type", f"{_PREFIX}algorithm")
        ]
        for name in (*named, *self._in_trailers):
            if name.removeprefix(_PREFIX) not in ALGORITHMS:
                raise S3Error("InvalidRequest", f"The checksum algorithm {name} is not known.")
        for name in named:
            self._said[name.removeprefix(_PREFIX)] = _decoded(headers[name])
        content = headers.get(_CONTENT_SHA256, "")
        self._content = content if _is_sha256(content) else ""

    @property
    def has_content(self) -> bool:
        """Whether the SHA-256 of the body was said."""
        return bool(self._content)

    def sums(self) -> dict[str, Sum]:
        """What has to be summed on the way."""
        names = {*self._said, *(name.removeprefix(_PREFIX) for name in self._in_trailers)}
        sums: dict[str, Sum] = {name: ALGORITHMS[name]() for name in names if name in ALGORITHMS}
        if "md5" in names:
            sums["md5"] = hashlib.md5(usedforsecurity=False)
        if self._content:
            sums["sha256"] = hashlib.sha256()
        return sums

    def compare(self, digests: Mapping[str, bytes]) -> None:
        """Raises `BadDigest`, or `XAmzContentSHA256Mismatch`, if the body is not what was said of it."""
        if self._content and not hmac.compare_digest(digests["sha256"].hex(), self._content):
            raise S3Error("XAmzContentSHA256Mismatch")
        said = dict(self._said)
        for name in self._in_trailers:
            if name not in self.trailers:
                raise S3Error("IncompleteBody", f"The trailer {name} did not come.")
            said[name.removeprefix(_PREFIX)] = _decoded(self.trailers[name])
        for name, digest in said.items():
            if not hmac.compare_digest(digest, digests[name]):
                raise S3Error("BadDigest", f"The {name.upper()} you specified did not match what we received.")


def echoed(headers: Mapping[str, str]) -> dict[str, str]:
    """The sums of a body that was found to fit them, to be sent back."""
    names = [f"{_PREFIX}{name}" for name in ALGORITHMS]
    return {name: headers[name] for name in names if name in headers}


def _decoded(text: str, size: int = 0) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise S3Error("InvalidDigest") from None
    if size and len(found) != size:
        raise S3Error("InvalidDigest")
    return found


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and not text.strip("0123456789abcdef")
