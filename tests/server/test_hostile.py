"""Whatever arrives, the answer is a message or an error with a code that fits; the server goes on."""

from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.server.listen import Done
from local_runner.server.schema import Method, message_class, methods
from local_runner.server.table import handlers
from tests.support.api_client import ApiClient, file

# Those that wait until something happens, and those that end what the others are tried on.
_WAITS = ("Subscribe", "Watch", "DeleteAll", "Fsck", "CheckStorage")
CALLS = sorted(path for path in handlers() if not path.rpartition("/")[2].startswith(_WAITS))
CODES = {
    *("OK", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "UNIMPLEMENTED"),
    *("UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "ABORTED"),
}
ODD_TEXT = st.sampled_from(
    ["", "data", "edges", "master", "/", "..", "/../a", "a/../../b", "\0", "é", "{", "*" * 50, "0" * 32, "a" * 5000, "^", ".1"]
)


def code_of(client: ApiClient, path: str, sent: Any) -> str:
    """The code of a call, with everything read that it gives."""
    try:
        found = client.raw(path, sent)
        if methods()[path].gives_stream:
            for _ in found:
                pass
    except grpc.RpcError as error:
        return str(error.code().name)  # type: ignore[attr-defined]
    return "OK"


def sent_for(method: Method, data: Any) -> Any:
    return iter([data]) if method.takes_stream else data


@pytest.fixture
def home_with_data(client: ApiClient) -> ApiClient:
    client("pfs_v2.API/CreateRepo", repo={"name": "data"})
    client.put("data", {"/a": b"1"})
    client._timeout = 5
    return client


@pytest.mark.parametrize("path", CALLS)
def test_an_empty_message_is_answered_or_refused_with_a_word_about_what_is_missing(home_with_data: ApiClient, path: str) -> None:
    method = methods()[path]
    assert code_of(home_with_data, path, sent_for(method, message_class(method.request)())) in CODES


@settings(max_examples=400)
@given(path=st.sampled_from(CALLS), data=st.binary(max_size=60))
def test_bytes_that_are_no_message_are_refused(home_with_data: ApiClient, path: str, data: bytes) -> None:
    assert code_of(home_with_data, path, sent_for(methods()[path], data)) in CODES


@pytest.mark.parametrize("seconds", [2**63 - 1, -(2**63)])
def test_logs_of_any_age_may_be_asked_for(home_with_data: ApiClient, seconds: int) -> None:
    path = "pps_v2.API/GetLogs"
    message = message_class(methods()[path].request)(since={"seconds": seconds})
    assert code_of(home_with_data, path, sent_for(methods()[path], message)) in CODES


@settings(max_examples=600)
@given(path=st.sampled_from(CALLS), data=st.data())
def test_messages_with_anything_in_them_are_answered_or_refused(home_with_data: ApiClient, path: str, data: st.DataObject) -> None:
    method = methods()[path]
    message = data.draw(messages(method.request))
    assert code_of(home_with_data, path, sent_for(method, message)) in CODES, message


@st.composite
def messages(draw: st.DrawFn, name: str, depth: int = 0) -> Any:
    """A message some of whose fields are set, to values that are odd more often than not."""
    found = message_class(name)()
    for field in found.DESCRIPTOR.fields:
        if draw(st.integers(0, 9)) < 3 + 2 * depth or (field.message_type is not None and field.message_type.GetOptions().map_entry):
            continue
        try:
            value = draw(_value(field, depth))
            many = field.label == field.LABEL_REPEATED
            if field.message_type is not None:
                if value is not None:
                    (getattr(found, field.name).add() if many else getattr(found, field.name)).CopyFrom(value)
            elif many:
                getattr(found, field.name).append(value)
            else:
                setattr(found, field.name, value)
        except (ValueError, TypeError):  # Python's protobuf refuses what the wire could carry
            continue
    return found


def _value(field: Any, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return messages(field.message_type.full_name, depth + 1) if depth < 3 else st.none()
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values] + [99])
    return {
        field.CPPTYPE_STRING: ODD_TEXT if field.type != field.TYPE_BYTES else st.binary(max_size=20),
        field.CPPTYPE_BOOL: st.booleans(),
        field.CPPTYPE_DOUBLE: st.sampled_from([0.0, -1.0, 1e308, float("inf"), float("nan")]),
        field.CPPTYPE_FLOAT: st.sampled_from([0.0, -1.0, 1e30, float("nan")]),
        field.CPPTYPE_INT32: st.sampled_from([0, 1, -1, 2**31 - 1]),
        field.CPPTYPE_UINT32: st.sampled_from([0, 1, 2**32 - 1]),
        field.CPPTYPE_INT64: st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63)]),
        field.CPPTYPE_UINT64: st.sampled_from([0, 1, 2**64 - 1]),
    }[field.cpp_type]


def test_a_message_that_is_too_large_is_refused(home_with_data: ApiClient) -> None:
    message = message_class("pfs_v2.CreateRepoRequest")(description="x" * (65 << 20))
    assert code_of(home_with_data, "pfs_v2.API/CreateRepo", message) == "RESOURCE_EXHAUSTED"
    assert home_with_data.get("data", "/a") == b"1"


def test_an_unknown_call_is_unimplemented(client: ApiClient, calls: list[Done]) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client._channel.unary_unary("/pfs_v2.API/NoSuchCall")(b"")
    assert caught.value.code().name == "UNIMPLEMENTED"  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["/../a", "..", "a/../../b", "/a\0b", "/é", "/a*"])
def test_a_path_that_leads_elsewhere_is_not_written(home_with_data: ApiClient, path: str) -> None:
    to = {"set_commit": {"branch": {"repo": {"name": "data"}, "name": "master"}}}
    change = {"add_file": {"path": path, "raw": "MQ=="}}
    assert home_with_data.error("pfs_v2.API/ModifyFile", [to, change])[0] == "INVALID_ARGUMENT"


def test_a_read_beyond_the_end_is_empty(home_with_data: ApiClient) -> None:
    assert home_with_data("pfs_v2.API/GetFile", file=file("data", "/a"), offset=99) == []


def test_an_error_about_a_long_name_reaches_the_client(client: ApiClient) -> None:
    code, text = client.error("pfs_v2.API/InspectRepo", repo={"name": "é" * 100_000})
    assert code == "NOT_FOUND"
    assert "…" in text
    assert text.endswith("not found")
