"""Sizes, durations and times as text, in the dialects of Go, of protobuf's JSON and of Pachyderm's tables. Seconds are floats."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from local_runner.errors import Invalid

_NANOS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_INT64 = 2**63
_SHOWN = 60  # characters of a wrong text in a message
_LONGEST = 1000  # characters of a duration: Python reads numbers of four thousand digits

_SIZE = re.compile(r"(?P<number>(\d+\.?\d*|\.\d+)) ?(?P<unit>[kmgtp]?)(?P<ending>(?<=[kmgtp])i?b|b?)", re.IGNORECASE | re.ASCII)
_POWERS = {unit: 1000**power for power, unit in enumerate(["", "k", "m", "g", "t", "p"])}
_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")

_GO_DURATION = re.compile(r"[-+]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_GO_PART = re.compile(r"(\d*)\.?(\d*)([a-zµμ]+)", re.ASCII)
_PROTO_DURATION = re.compile(r"[-+]?((0|[1-9]\d*)(\.\d{0,9})?|\.\d{1,9})s", re.ASCII)

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_size(text: str) -> int:
    """Bytes in "100", "1K", "2.5MB" or "2KiB": every unit counts in thousands, as in triggers (reference pps 5.9). Raises `Invalid`."""
    found = _SIZE.fullmatch(text)
    if not found:
        raise Invalid(f'invalid size "{text}"', hint="write a number and a unit, as in 100, 1K or 2.5MB")
    size = float(found["number"]) * _POWERS[found["unit"].lower()]
    if size >= _INT64:
        raise Invalid(f'invalid size "{text[:_SHOWN]}"', hint="the largest size is 8 EiB")
    return int(size)


def human_size(size: float) -> str:
    """A size for a table: `0B`, `1.5KiB`; binary units, four significant digits."""
    unit = 0
    while size >= 1024 and unit < len(_BINARY_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.4g}{_BINARY_UNITS[unit]}"


def human_duration(seconds: float) -> str:
    """A rough duration for a table, from "Less than a second" to "3 years" (reference pfs 4, Ages)."""
    whole = int(seconds)
    if whole < 60:
        return "Less than a second" if whole < 1 else "1 second" if whole == 1 else f"{whole} seconds"
    minutes, hours = whole // 60, int(seconds / 3600 + 0.5)
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for limit, length, name in ((14, 1, "days"), (60, 7, "weeks"), (730, 30, "months")):
        if hours < limit * 24:
            return f"{hours // 24 // length} {name}"
    return f"{whole // 3600 // 24 // 365} years"


def go_duration(seconds: float) -> str:
    """A duration as Go prints it: "1.5s", "2m0s", "1h0m5s", "300ms", "0s"."""
    nanos = round(abs(seconds) * 10**9)
    sign = "-" if seconds < 0 and nanos else ""
    if nanos < 10**9:
        unit = "ms" if nanos >= 10**6 else "µs" if nanos >= 10**3 else "ns"
        return sign + _fraction(nanos, _NANOS[unit]) + unit if nanos else "0s"
    minutes, rest = divmod(nanos, _NANOS["m"])
    text = _fraction(rest, 10**9) + "s"
    if minutes:
        text = f"{minutes // 60}h{minutes % 60}m{text}" if minutes >= 60 else f"{minutes}m{text}"
    return sign + text


def _fraction(value: int, unit: int) -> str:
    """`value / unit` in decimals without trailing zeros; `unit` is a power of ten."""
    whole, rest = divmod(value, unit)
    return f"{whole}.{rest:0{len(str(unit)) - 1}d}".rstrip("0").rstrip(".") if rest else str(whole)


def parse_go_duration(text: str) -> float:
    """Seconds in "300ms", "1h30m", "-1.5h" or "0", as Go reads durations. Raises `Invalid`."""
    if not _GO_DURATION.fullmatch(text):
        raise Invalid(f'invalid duration "{text[:_SHOWN]}"', hint="write numbers with units, as in 10s, 5m or 1h30m")
    if len(text) > _LONGEST:
        raise Invalid(f'invalid duration "{text[:_SHOWN]}…"', hint="the longest duration is about 290 years")
    nanos = 0
    for whole, fraction, unit in _GO_PART.findall(text):
        nanos += int(whole or "0") * _NANOS[unit] + int(fraction or "0") * _NANOS[unit] // 10 ** len(fraction)
    if nanos >= _INT64:
        raise Invalid(f'invalid duration "{text}"', hint="the longest duration is about 290 years")
    return (-nanos if text.startswith("-") else nanos) / 10**9


def is_proto_duration(text: str) -> bool:
    """Whether protobuf's JSON takes the text as a duration; its range ends at 10 000 years (reference pps 5.1)."""
    return _PROTO_DURATION.fullmatch(text) is not None and abs(float(text[:-1])) <= 315_576_000_000


def parse_proto_duration(text: str) -> float:
    """Seconds in protobuf's "90s" or "1.5s". Raises `Invalid`."""
    if not is_proto_duration(text):
        raise Invalid(f'invalid duration "{text}"', hint='write the seconds, as in "90s" or "1.5s"')
    return float(text[:-1])


def proto_duration(seconds: float) -> str:
    """A duration as protobuf's JSON has it: "90s", "1.500s"; none, three, six or nine decimals."""
    nanos = round(abs(seconds) * 10**9)
    sign = "-" if seconds < 0 and nanos else ""
    return f"{sign}{nanos // 10**9}{_decimals(nanos % 10**9)}s"


def rfc3339(seconds: float) -> str:
    """A time, seconds since the epoch, as protobuf's JSON has it: UTC, "Z", none, three or six decimals.

    Rounded to microseconds, since a float of today's seconds holds no more.
    """
    time = _EPOCH + timedelta(microseconds=round(seconds * 10**6))
    return f"{time.replace(tzinfo=None).isoformat(timespec='seconds')}{_decimals(time.microsecond * 1000)}Z"


def _decimals(nanos: int) -> str:
    """The decimals of protobuf's JSON for a fraction of a second."""
    if not nanos:
        return ""
    text = f".{nanos:09d}"
    while text.endswith("000"):
        text = text[:-3]
    return text


def parse_rfc3339(text: str) -> float:
    """Seconds since the epoch of a time such as "2024-01-31T12:00:00Z" or with an offset; raises `Invalid`."""
    found = _RFC3339.fullmatch(text)
    try:
        if not found:
            raise ValueError
        whole = datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00")) - _EPOCH
    except ValueError:
        raise Invalid(f'invalid time "{text}"', hint="write it as in 2024-01-31T12:00:00Z") from None
    return whole.total_seconds() + float(found[2] or 0)
