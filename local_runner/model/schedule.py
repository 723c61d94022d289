"""Parses cron expressions as Pachyderm does, and computes when they fire (reference pps 1.1, 4.9).

That is the parser of robfig/cron 1.2, which the cluster uses: five fields, descriptors, `@every`; no seconds and no `TZ=`
prefix; all times are UTC. `@never` is Pachyderm's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from local_runner.errors import Invalid
from local_runner.model.units import parse_go_duration

_YEARS_AHEAD = 5  # a date further away, such as 30 February, is never


@dataclass(frozen=True, slots=True)
class Never:
    """`@never`: only `run cron` makes ticks."""

    def next_after(self, now: datetime) -> datetime | None:
        """None: it never ticks by itself."""
        return None


@dataclass(frozen=True, slots=True)
class Every:
    """`@every 10s`: a fixed distance, in whole seconds, from the moment it is asked."""

    seconds: int

    def next_after(self, now: datetime) -> datetime | None:
        """The first tick after an aware time, in UTC, on a whole second; None if it lies beyond the calendar."""
        try:
            return now.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=self.seconds)
        except OverflowError:
            return None


@dataclass(frozen=True, slots=True)
class Calendar:
    """The five fields. `both_days` says that day of month and day of week must both hold, as one of them was written as a star."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both_days: bool

    def next_after(self, now: datetime) -> datetime | None:
        """The first matching minute after an aware time, in UTC; None if there is none within five years."""
        now = now.astimezone(UTC)
        day, last_year = now.date(), now.year + _YEARS_AHEAD
        while day.year <= last_year:
            if self._matches(day):
                for tick in self._ticks(day):
                    if tick > now:
                        return tick
            if day == date.max:
                return None
            day += timedelta(days=1)
        return None

    def _matches(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month and of_week if self.both_days else of_month or of_week

    def _ticks(self, day: date) -> list[datetime]:
        return [datetime.combine(day, time(hour, minute), UTC) for hour in sorted(self.hours) for minute in sorted(self.minutes)]


Schedule = Never | Every | Calendar


class _Bounds(NamedTuple):
    low: int
    high: int
    names: Mapping[str, int]


def _names(words: str, first: int) -> Mapping[str, int]:
    return {word: number for number, word in enumerate(words.split(), first)}


_MINUTE, _HOUR, _DAY = _Bounds(0, 59, {}), _Bounds(0, 23, {}), _Bounds(1, 31, {})
_MONTH = _Bounds(1, 12, _names("jan feb mar apr may jun jul aug sep oct nov dec", 1))
_WEEKDAY = _Bounds(0, 6, _names("sun mon tue wed thu fri sat", 0))
_FIELDS = (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = "@every "


def parse_schedule(text: str) -> Schedule:
    """The schedule of a cron expression. Raises `Invalid`."""
    if text.strip() == "@never":
        return Never()
    if not text:
        raise Invalid("Empty spec string", hint='write five fields as in "*/10 * * * *", or @daily, @every 10m, @never')
    if text.startswith(_EVERY):
        try:
            seconds = parse_go_duration(text.removeprefix(_EVERY))
        except Invalid as error:
            raise Invalid(f"{text}: {error.message}", hint=error.hint) from None
        return Every(max(1, int(seconds)))
    if text.startswith("@") and text not in _DESCRIPTORS:
        raise Invalid(f"{text} is no known schedule", hint=f"there are {', '.join(_DESCRIPTORS)}, @every DURATION and @never")
    fields = _DESCRIPTORS.get(text, text).split()
    if len(fields) != len(_FIELDS):
        raise Invalid(f"Expected exactly 5 fields, found {len(fields)}: {text}", hint="minute, hour, day of month, month, day of week")
    minutes, hours, days, months, weekdays = (_field(field, bounds) for field, bounds in zip(fields, _FIELDS, strict=True))
    return Calendar(minutes.values, hours.values, days.values, months.values, weekdays.values, both_days=days.starred or weekdays.starred)


class _Choice(NamedTuple):
    values: frozenset[int]
    starred: bool


def _field(text: str, bounds: _Bounds) -> _Choice:
    choices = [_range(part, bounds) for part in text.split(",") if part]
    return _Choice(frozenset().union(*(choice.values for choice in choices)), any(choice.starred for choice in choices))


def _range(text: str, bounds: _Bounds) -> _Choice:
    """One of `*`, `5`, `1-5`, `mon-fri`, each with `/step`; "5/10" runs from 5 to the end."""
    ends, *steps = text.split("/")
    low, *highs = ends.split("-")
    starred = low in ("*", "?")
    if starred:
        start, end = bounds.low, bounds.high
    else:
        if len(highs) > 1:
            raise Invalid(f"{text}: a range has one hyphen")
        start = _number(low, bounds)
        end = _number(highs[0], bounds) if highs else start
    if len(steps) > 1:
        raise Invalid(f"{text}: a range has one step")
    step = _number(steps[0], None) if steps else 1
    if steps and not highs:
        end = bounds.high
    if not bounds.low <= start <= end <= bounds.high:
        raise Invalid(f"{text}: {start} to {end} is no range within {bounds.low} to {bounds.high}")
    if step == 0:
        raise Invalid(f"{text}: a step is at least 1")
    return _Choice(frozenset(range(start, end + 1, step)), starred)


def _number(text: str, bounds: _Bounds | None) -> int:
    if bounds and text.lower() in bounds.names:
        return bounds.names[text.lower()]
    if not re.fullmatch(r"\+?[0-9]{1,18}", text):
        raise Invalid(f'"{text}" is no number')
    return int(text)
