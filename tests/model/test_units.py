"""Sizes, durations and times as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.errors import Invalid
from local_runner.model import units


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("100", 100), ("100B", 100), ("1K", 1000), ("1kB", 1000), ("2KiB", 2000), ("2.5M", 2_500_000), ("1 G", 10**9), (".5k", 500)],
)
def test_sizes_count_in_thousands_whatever_their_unit_is_called(text, size):
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "K", "-1K", "1X", "1KX", "1ib", "1 K B", "1Bi", "one"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(Invalid, match="invalid size"):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (1023, "1023B"), (1024, "1KiB"), (1536, "1.5KiB"), (58_644, "57.27KiB"), (10**6, "976.6KiB"), (2**31, "2GiB")],
)
def test_sizes_in_tables_have_binary_units_and_four_digits(size, text):
    assert units.human_size(size) == text


MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.9, "Less than a second"),
        (1.9, "1 second"),
        (59.9, "59 seconds"),
        (MINUTE, "About a minute"),
        (2 * MINUTE - 1, "About a minute"),
        (59 * MINUTE, "59 minutes"),
        (HOUR, "About an hour"),
        (1.5 * HOUR - 1, "About an hour"),
        (1.5 * HOUR, "2 hours"),
        (47 * HOUR, "47 hours"),
        (2 * DAY, "2 days"),
        (13 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (730 * DAY, "2 years"),
    ],
)
def test_ages_get_coarser_as_they_grow(seconds, text):
    assert units.human_duration(seconds) == text


DURATIONS = [
    (0, "0s"),
    (1.5, "1.5s"),
    (120, "2m0s"),
    (3605, "1h0m5s"),
    (0.3, "300ms"),
    (1.5e-6, "1.5µs"),
    (2e-9, "2ns"),
    (-90.25, "-1m30.25s"),
]


@pytest.mark.parametrize(("seconds", "text"), DURATIONS)
def test_go_durations_are_printed_and_read(seconds, text):
    assert units.go_duration(seconds) == text
    assert units.parse_go_duration(text) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize("text", ["", "5", "s", "1.s.", "1h 30m", "1d", "5e3s", "300000000h"])
def test_what_go_does_not_take_as_a_duration_is_refused(text):
    with pytest.raises(Invalid, match="invalid duration"):
        units.parse_go_duration(text)


@given(st.integers(0, 10**15).map(lambda micros: micros / 10**6))
def test_a_printed_go_duration_reads_back(seconds):
    assert units.parse_go_duration(units.go_duration(seconds)) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    ("seconds", "text"), [(90, "90s"), (1.5, "1.500s"), (0, "0s"), (-0.25, "-0.250s"), (1e-6, "0.000001s"), (1e-9, "0.000000001s")]
)
def test_protobuf_durations_have_none_three_six_or_nine_decimals(seconds, text):
    assert units.proto_duration(seconds) == text
    assert units.parse_proto_duration(text) == seconds


@pytest.mark.parametrize(("text", "seconds"), [("+5s", 5), ("1.s", 1), (".5s", 0.5), ("-.5s", -0.5)])
def test_protobuf_reads_signs_and_lone_points(text, seconds):
    assert units.parse_proto_duration(text) == seconds


@pytest.mark.parametrize("text", ["10m", "5", "1h30m", "s", "01s", "1.0000000001s", "400000000000s"])
def test_protobuf_takes_no_other_durations(text):
    with pytest.raises(Invalid, match="invalid duration"):
        units.parse_proto_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1.5, "1970-01-01T00:00:01.500Z"),
        (1_700_000_000.25, "2023-11-14T22:13:20.250Z"),
        (-1, "1969-12-31T23:59:59Z"),
    ],
)
def test_times_are_utc_with_as_few_decimals_as_they_need(seconds, text):
    assert units.rfc3339(seconds) == text
    assert units.parse_rfc3339(text) == seconds


def test_a_time_with_an_offset_is_read_as_utc():
    assert units.rfc3339(units.parse_rfc3339("2024-01-31T12:00:00.5+02:00")) == "2024-01-31T10:00:00.500Z"


@pytest.mark.parametrize("text", ["", "2024-01-31", "2024-01-31 12:00:00Z", "2024-01-31T12:00:00", "2024-02-30T12:00:00Z"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(Invalid, match="invalid time"):
        units.parse_rfc3339(text)


@given(st.integers(-(10**15), 10**15).map(lambda micros: micros / 10**6))
def test_a_printed_time_reads_back(seconds):
    assert units.parse_rfc3339(units.rfc3339(seconds)) == pytest.approx(seconds, abs=1e-6)
