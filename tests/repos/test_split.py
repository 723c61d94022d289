import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.errors import Invalid
from local_runner.repos.split import pieces, records


@given(st.binary(max_size=60))
def test_lines_put_together_are_the_content(content: bytes) -> None:
    lines = list(records("line", content))
    assert b"".join(lines) == content
    assert all(line.endswith(b"\n") for line in lines[:-1])
    assert all(line.count(b"\n") <= 1 for line in lines)


def test_json_values_may_span_lines() -> None:
    assert list(records("json", b'{"a":\n1} [2]\n3')) == [b'{"a":\n1}', b"[2]", b"3"]
    with pytest.raises(Invalid, match=r"data\.json: line 2"):
        list(records("json", b"1\n{", "data.json"))


def test_a_csv_row_may_span_lines() -> None:
    assert list(records("csv", b'a,b\r\n"x\ny",2\n')) == [b"a,b\n", b'"x\ny",2\n']


def test_a_kind_nobody_knows_is_refused() -> None:
    with pytest.raises(Invalid, match="cannot split by sql") as error:
        list(records("sql", b""))
    assert "line, json, csv" in error.value.hint


def test_pieces_are_numbered_in_hex_from_where_the_last_ended() -> None:
    assert [name for name, _ in pieces([b"a", b"b"], first=15)] == ["000000000000000f", "0000000000000010"]


def test_pieces_hold_so_many_records_or_bytes_and_each_the_header() -> None:
    lines = [b"h\n", b"1\n", b"2\n", b"3\n"]
    assert [content for _, content in pieces(lines, datums=2, header_records=1)] == [b"h\n1\n2\n", b"h\n3\n"]
    assert [content for _, content in pieces(lines, size=4)] == [b"h\n1\n", b"2\n3\n"]
    assert [content for _, content in pieces(lines)] == lines
