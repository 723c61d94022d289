"""When cron expressions fire."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.errors import Invalid
from local_runner.model.schedule import parse_schedule


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("spec", "now", "tick"),
    [
        ("* * * * *", "2024-01-01T00:00:00", "2024-01-01T00:01:00"),
        ("* * * * *", "2024-01-01T00:00:59.999999", "2024-01-01T00:01:00"),
        ("0 0 * * *", "2024-01-01T00:00:00", "2024-01-02T00:00:00"),
        ("*/15 * * * *", "2024-01-01T00:16:00", "2024-01-01T00:30:00"),
        ("5/20 * * * *", "2024-01-01T00:05:00", "2024-01-01T00:25:00"),
        ("0 9-17/4 * * mon-fri", "2024-01-05T18:00:00", "2024-01-08T09:00:00"),
        ("0 0 29 feb ?", "2023-03-01T00:00:00", "2024-02-29T00:00:00"),
        ("0 0 1,15 * *", "2024-01-02T00:00:00", "2024-01-15T00:00:00"),
        ("0 0 * JAN,Jul SUN", "2024-02-01T00:00:00", "2024-07-07T00:00:00"),
        ("@yearly", "2024-06-01T00:00:00", "2025-01-01T00:00:00"),
        ("@annually", "2024-06-01T00:00:00", "2025-01-01T00:00:00"),
        ("@monthly", "2024-12-31T00:00:00", "2025-01-01T00:00:00"),
        ("@weekly", "2024-01-01T00:00:00", "2024-01-07T00:00:00"),
        ("@daily", "2024-01-01T05:00:00", "2024-01-02T00:00:00"),
        ("@midnight", "2024-01-01T05:00:00", "2024-01-02T00:00:00"),
        ("@hourly", "2024-01-01T05:00:00", "2024-01-01T06:00:00"),
        ("@every 10s", "2024-01-01T00:00:00.75", "2024-01-01T00:00:10"),
        ("@every 1h30m", "2024-01-01T00:00:00", "2024-01-01T01:30:00"),
        ("@every 10ms", "2024-01-01T00:00:00", "2024-01-01T00:00:01"),
        ("@every 2.9s", "2024-01-01T00:00:00", "2024-01-01T00:00:02"),
    ],
)
def test_the_next_tick_is_the_first_after_now(spec, now, tick):
    assert parse_schedule(spec).next_after(at(now)) == at(tick)


@pytest.mark.parametrize(("spec", "tick"), [("0 0 13 * 5", "2024-09-06"), ("0 0 13 * *", "2024-09-13"), ("0 0 */2 * 5", "2024-09-13")])
def test_one_of_two_given_days_is_enough_but_a_star_restricts_nothing(spec, tick):
    # 2024-09-06 and -13 are Fridays; "*/2" is odd days, and counts as a star.
    assert parse_schedule(spec).next_after(at("2024-09-05T00:00:00")) == at(tick)


@pytest.mark.parametrize("spec", ["@never", " @never ", "0 0 30 2 *", ", * * * *"])
def test_some_schedules_never_fire(spec):
    assert parse_schedule(spec).next_after(at("2024-01-01T00:00:00")) is None


def test_the_end_of_the_calendar_is_no_error():
    end = datetime.max.replace(tzinfo=UTC)
    assert [parse_schedule(spec).next_after(end) for spec in ("@every 1h", "@yearly")] == [None, None]


def test_schedules_are_in_utc():
    evening = datetime(2024, 1, 1, 23, tzinfo=timezone(timedelta(hours=-5)))
    assert parse_schedule("@daily").next_after(evening) == at("2024-01-03T00:00:00")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "Empty spec string"),
        ("every day", "Expected exactly 5 fields, found 2: every day"),
        ("* * * * * *", "Expected exactly 5 fields, found 6: * * * * * *"),
        ("TZ=Asia/Tokyo 0 5 * * *", "Expected exactly 5 fields, found 6: TZ=Asia/Tokyo 0 5 * * *"),
        ("@fortnightly", "@fortnightly is no known schedule"),
        ("@every soon", '@every soon: invalid duration "soon"'),
        ("x * * * *", '"x" is no number'),
        ("-5 * * * *", '"" is no number'),
        ("60 * * * *", "60: 60 to 60 is no range within 0 to 59"),
        ("* * 0 * *", "0: 0 to 0 is no range within 1 to 31"),
        ("* * * * 7", "7: 7 to 7 is no range within 0 to 6"),
        ("30-10 * * * *", "30-10: 30 to 10 is no range within 0 to 59"),
        ("1-2-3 * * * *", "1-2-3: a range has one hyphen"),
        ("*/2/3 * * * *", "*/2/3: a range has one step"),
        ("*/0 * * * *", "*/0: a step is at least 1"),
        ("mon * * * *", '"mon" is no number'),
    ],
)
def test_a_bad_expression_is_refused_with_the_part_that_is_wrong(spec, message):
    with pytest.raises(Invalid) as refused:
        parse_schedule(spec)
    assert refused.value.message == message


def slow_next(fields: list[set[int] | None], now: datetime) -> datetime:
    """Minute by minute; None stands for a star."""
    minute, hour, day, month, weekday = fields
    tick = now.replace(second=0, microsecond=0)
    while True:
        tick += timedelta(minutes=1)
        of_month = day is None or tick.day in day
        of_week = weekday is None or (tick.weekday() + 1) % 7 in weekday
        days = of_month and of_week if day is None or weekday is None else of_month or of_week
        if days and all(
            choice is None or part in choice for choice, part in ((minute, tick.minute), (hour, tick.hour), (month, tick.month))
        ):
            return tick


def choice(low: int, high: int) -> st.SearchStrategy[set[int] | None]:
    return st.none() | st.sets(st.integers(low, high), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(choice(0, 59), choice(0, 23), choice(1, 28), st.none(), choice(0, 6)).map(list),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
def test_the_next_tick_is_what_counting_minutes_finds(fields, now):
    spec = " ".join("*" if values is None else ",".join(map(str, values)) for values in fields)
    assert parse_schedule(spec).next_after(now) == slow_next(fields, now)


def test_the_names_of_days_and_months_are_those_of_the_calendar():
    for number, name in enumerate(calendar.month_abbr[1:], 1):
        assert parse_schedule(f"0 0 1 {name} *") == parse_schedule(f"0 0 1 {number} *")
    for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"]):
        assert parse_schedule(f"0 0 * * {name}") == parse_schedule(f"0 0 * * {number}")
