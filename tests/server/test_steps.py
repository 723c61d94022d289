"""Messages that change files are read by hand as protobuf reads them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.errors import Invalid
from local_runner.server.schema import from_document, new
from local_runner.server.steps import Step, _step, read_step

TEXT = st.text(max_size=200)
VALUE = st.binary(max_size=300).map(lambda content: new("google.protobuf.BytesValue", value=content))
ADD = st.builds(lambda **fields: new("pfs_v2.AddFile", **fields), path=TEXT, datum=TEXT, raw=st.none() | VALUE)
DELETE = st.builds(lambda **fields: new("pfs_v2.DeleteFile", **fields), path=TEXT, datum=TEXT)
REQUEST = st.one_of(ADD.map(lambda add: {"add_file": add}), DELETE.map(lambda delete: {"delete_file": delete}))


@given(REQUEST)
def test_a_step_read_by_hand_is_that_of_the_message(fields: Any) -> None:
    request = new("pfs_v2.ModifyFileRequest", **fields)
    assert read_step(request.SerializeToString())[:4] == _step(request)[:4]


@settings(max_examples=300)
@given(REQUEST, st.data())
def test_whatever_is_done_to_the_bytes_both_read_the_same(fields: Any, data: st.DataObject) -> None:
    sound = bytearray(new("pfs_v2.ModifyFileRequest", **fields).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        if sound:
            sound[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(sound[: data.draw(st.integers(0, len(sound)))])
    try:
        expected = _step(from_wire(cut))
    except Invalid:
        with pytest.raises(Invalid):
            read_step(cut)
    else:
        assert read_step(cut)[:4] == expected[:4]


def from_wire(data: bytes) -> Any:
    from local_runner.server.schema import parse

    return parse("pfs_v2.ModifyFileRequest", data)


@pytest.mark.parametrize("body", ["set_commit", "copy_file"])
def test_other_messages_are_read_by_protobuf(body: str) -> None:
    step = read_step(from_document("pfs_v2.ModifyFileRequest", {body: {}}).SerializeToString())
    assert (step.kind, step.request.WhichOneof("body")) == (body, body)
    assert read_step(b"") == Step("", request=step.request.__class__())


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("12080a01ff0a032fc3a9"),  # two paths, the first no UTF-8
        bytes.fromhex("120c0a022f781a030a01781a00"),  # a content, and one more that says nothing and leaves it
        bytes.fromhex("12100a022f781a030a01781a030a0179"),  # two contents, of which the last counts
        bytes.fromhex("1a080a022f610a022f62"),
    ],
)
def test_fields_that_come_twice_are_read_as_by_protobuf(data: bytes) -> None:
    try:
        expected = _step(from_wire(data))[:4]
    except Invalid:
        with pytest.raises(Invalid):
            read_step(data)
        return
    assert read_step(data)[:4] == expected
