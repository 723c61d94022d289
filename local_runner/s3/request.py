"""A request of S3, read from what HTTP brought: which bucket and key, which parameters, and its body."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import unquote_to_bytes

from local_runner.s3.bodies import Checked
from local_runner.s3.errors import S3Error

MAX_KEY = 1024  # bytes, as in S3
_MAX_NUMBER_DIGITS = 18

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Target:
    """What stands in the first line: the path as it was sent, the bucket and key it names ("" for none), and the parameters in order."""

    path: str
    bucket: str
    key: str
    query: Pairs


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Names of `headers` are in lower case; several of one name are joined by commas."""

    method: str
    target: Target
    headers: Mapping[str, str]
    body: Checked

    @property
    def bucket(self) -> str:
        return self.target.bucket

    @property
    def key(self) -> str:
        return self.target.key

    def has(self, name: str) -> bool:
        """Whether there is such a parameter."""
        return any(found == name for found, _ in self.target.query)

    def value(self, name: str, default: str = "") -> str:
        """The first parameter of a name."""
        return next((value for found, value in self.target.query if found == name), default)

    def number(self, name: str, default: int) -> int:
        """A parameter that is a whole number from 0 on. Raises `InvalidArgument`."""
        text = self.value(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit()) or len(text) > _MAX_NUMBER_DIGITS:
            raise S3Error("InvalidArgument", f"Provided {name} not an integer or within integer range")
        return int(text)


@dataclass(slots=True)
class Response:
    """What is answered. A body in pieces says its `size`; pieces are closed by who sends them."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    pieces: Iterator[bytes] | None = None
    size: int = 0  # of the pieces; -1 if nobody knows


def xml_response(body: bytes, status: int = 200) -> Response:
    return Response(status, {"Content-Type": "application/xml"}, body)


def read_target(text: str) -> Target:
    """The target of a request line. Raises `InvalidURI`, also for bytes that are no UTF-8 text."""
    if "://" in text.partition("?")[0][:8]:
        text = "/" + text.split("/", 3)[3] if text.count("/") >= 3 else "/"
    path, _, query = text.partition("#")[0].partition("?")
    if not path.startswith("/"):
        raise S3Error("InvalidURI")
    bucket, _, key = path[1:].partition("/")
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    parameters = tuple((_text(name, plus=True), _text(value, plus=True)) for name, _, value in pairs)
    return Target(path, _text(bucket), _text(key), parameters)


def _text(quoted: str, *, plus: bool = False) -> str:
    raw = unquote_to_bytes((quoted.replace("+", " ") if plus else quoted).encode("latin-1", "replace"))
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise S3Error("InvalidURI", "The URI is no UTF-8 text.") from None


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


def http_date(seconds: float) -> str:
    return formatdate(int(seconds), usegmt=True)
