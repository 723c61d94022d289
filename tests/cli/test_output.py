"""Tables, bars and documents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.cli.fitting import fit
from local_runner.cli.output import Columns, Output, lay_out, size, width_of


def test_every_cell_of_a_table_is_padded_to_its_column_and_a_blank():
    rows = [("default", "a", ""), ("lab", "images", "words")]
    assert list(lay_out(("PROJECT", "NAME", "DESCRIPTION"), rows)) == [
        "PROJECT NAME   DESCRIPTION ",
        "default a                  ",
        "lab     images words       ",
    ]


def test_colours_take_no_room_in_a_table():
    red = Output(colour=True).paint("failure", "31")
    assert list(lay_out(("STATE", "X"), [(red, "1")])) == ["STATE   X ", f"{red} 1 "]


def test_the_header_of_a_table_comes_again_on_every_screen():
    lines = list(lay_out(("N",), [(str(n),) for n in range(120)]))
    assert [at for at, line in enumerate(lines) if line.startswith("N")] == [0, 50, 100]


def test_a_table_appears_before_its_last_row_is_known():
    def rows():
        for number in range(60):
            yield (str(number),)
        pytest.fail("the first screen waited for all rows")

    lines = lay_out(("N",), rows())
    assert [next(lines) for _ in range(3)] == ["N  ", "0  ", "1  "]


@pytest.mark.parametrize(
    ("done", "unfinished", "failed", "bar"),
    [
        (2, 0, 0, "gggggggg"),
        (0, 1, 0, "yyyyyyyy"),
        (1, 1, 0, "ggggyyyy"),
        (99, 0, 1, "gggggggr"),
        (0, 0, 1, "rrrrrrrr"),
        (0, 0, 0, "        "),
    ],
)
def test_the_bar_of_a_set_shows_what_is_done_and_that_something_failed(done, unfinished, failed, bar):
    colours = {"\x1b[32m▇\x1b[0m": "g", "\x1b[33m▇\x1b[0m": "y", "\x1b[31m▇\x1b[0m": "r"}
    shown = Output(colour=True).progress(done, unfinished, failed)
    for painted, letter in colours.items():
        shown = shown.replace(painted, letter)
    assert shown == bar


def test_a_size_of_which_only_a_bound_is_known_says_so():
    assert size(None, 6) == "≤ 6B"
    assert size(2048, 0) == "2KiB"


def test_moments_are_ages_or_times():
    assert Output(now=1000.0).when(880.0) == "2 minutes ago"
    assert Output(full_timestamps=True).when(0.5) == "1970-01-01T00:00:00Z"
    assert Output().when(None) == "-"


def test_documents_follow_each_other_as_json_or_as_a_stream_of_yaml(capsys):
    documents = [{"repo": {"name": "a"}, "size": "1"}, {"error": "line one: 'x'"}]
    Output(raw=True).documents(documents)
    assert capsys.readouterr().out == '{\n  "repo": {\n    "name": "a"\n  },\n  "size": "1"\n}\n{\n  "error": "line one: \'x\'"\n}\n'
    Output(raw=True, yaml=True).documents(documents)
    assert capsys.readouterr().out == 'repo:\n  name: a\nsize: "1"\n---\nerror: "line one: \'x\'"\n'


def test_yaml_quotes_what_some_reader_would_take_for_something_else(capsys):
    Output(raw=True, yaml=True).documents([{"time": "2026-11-21T20:02:30Z", "size": "12", "names": [{"name": "y", "words": "a: b"}]}])
    lines = ["names:", '  - name: "y"', "    words: 'a: b'", 'size: "12"', 'time: "2026-11-21T20:02:30Z"']
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(lines)


def test_a_table_that_pachctl_prints_wider_has_a_least_width_and_a_gap():
    assert list(lay_out(("A", "B"), [("1", "a long cell")], Columns(5, 3))) == ["A    B             ", "1    a long cell   "]
    assert list(lay_out(("A", "B"), [], Columns(5, 3))) == ["A    B    "]


def test_wide_characters_take_two_cells_and_marks_on_others_none():
    assert [width_of(text) for text in ("abc", "数据", "e\u0301", "\x1b[31mé\x1b[0m")] == [3, 4, 1, 1]


@given(
    st.lists(st.tuples(*[st.text(st.sampled_from("ab -/"), max_size=60)] * 3), min_size=1, max_size=5),
    st.integers(min_value=3 * 13, max_value=200),
)
def test_a_table_is_fitted_to_a_terminal_and_says_the_same(rows, width):
    fitted = list(fit(rows, width))
    assert all(len(line) <= max(width, 3) for line in lay_out(fitted[0], fitted[1:]))
    for column in range(3):
        said = "".join("".join(row[column] for row in rows).split())
        assert "".join("".join(row[column] for row in fitted).split()) == said


def test_a_table_of_our_own_is_fitted_to_a_terminal_only(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    rows = [("a", "words " * 20, "b")]
    assert len(list(Output().wrapped(("A", "WORDS", "B"), rows))) == 2
    lines = list(Output(terminal=True).wrapped(("A", "WORDS", "B"), rows))
    assert len(lines) > 2
    assert max(map(len, lines)) <= 40
