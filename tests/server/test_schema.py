"""The texts of the calls, the descriptor set that is made of them, and the table of handlers say the same."""

import re
from pathlib import Path

import pytest

from local_runner.server.proto_text import BINARY, compile_texts
from local_runner.server.schema import descriptor_set, from_document, message_class, methods, parse, to_document
from local_runner.server.table import REFUSED, handlers, refusal

SERVER_PAGE = Path(__file__).parents[2] / "docs" / "SERVER.md"


def test_the_descriptor_set_is_what_the_texts_say() -> None:
    """If not: `python -m local_runner.server.proto_text` writes it anew."""
    assert descriptor_set() == compile_texts()


def test_every_file_can_be_loaded_and_every_message_made() -> None:
    for method in methods().values():
        message_class(method.request)(), message_class(method.response)()
    assert BINARY.stat().st_size < 60_000


def test_what_the_texts_name_is_what_python_pachyderm_sends() -> None:
    """Names and numbers of fields are facts of the wire: those its generated code has."""
    pfs = pytest.importorskip("python_pachyderm.proto.v2.pfs.pfs_pb2", reason="python-pachyderm is not installed")
    pps = pytest.importorskip("python_pachyderm.proto.v2.pps.pps_pb2", reason="python-pachyderm is not installed")
    compared = 0
    for module, package in ((pfs, "pfs_v2"), (pps, "pps_v2")):
        for name, theirs in module.DESCRIPTOR.message_types_by_name.items():
            try:
                ours = message_class(f"{package}.{name}").DESCRIPTOR
            except KeyError:  # of a call that is not served
                continue
            for field in theirs.fields:
                found = ours.fields_by_number.get(field.number)
                if found is not None and found.name == field.name:
                    assert (found.type, found.label) == (field.type, field.label), f"{name}.{field.name}"
                    compared += 1
    assert compared > 400


def test_a_call_is_served_or_refused_for_a_reason_and_never_both() -> None:
    assert set(handlers()) | {path for path in methods() if refusal(path)} == set(methods())
    assert not set(handlers()) & {path for path in methods() if refusal(path)}
    assert set(handlers()) <= set(methods())


def test_the_page_about_the_server_lists_every_call() -> None:
    text = SERVER_PAGE.read_text()
    served = set(re.findall(r"`(\w+)`", text.partition("## Calls that are served")[2].partition("\n## ")[0]))
    assert {path.partition("/")[2] for path in handlers()} <= served
    refused = text.partition("## Calls that are refused")[2]
    for name, reason in REFUSED.items():
        assert f"| `{name}` | {reason} |" in refused


def test_a_message_survives_the_way_to_json_and_back() -> None:
    document = {"repo": {"name": "data", "project": {"name": "lab"}}, "created": "2024-01-31T12:00:00Z", "size_bytes_upper_bound": "5"}
    message = from_document("pfs_v2.RepoInfo", document)
    assert to_document(parse("pfs_v2.RepoInfo", message.SerializeToString())) == document


def test_a_text_that_is_not_understood_is_named(tmp_path: Path) -> None:
    (tmp_path / "odd.proto").write_text('syntax = "proto3";\npackage odd;\nextend Odd {}\n')
    with pytest.raises(ValueError, match=r"odd.proto: 'extend' is not understood"):
        compile_texts(tmp_path)
    (tmp_path / "odd.proto").write_text('syntax = "proto3";\npackage odd;\nmessage A {\n  Missing b = 1;\n}\n')
    with pytest.raises(ValueError, match=r"odd.A: there is no Missing"):
        compile_texts(tmp_path)


def test_only_the_transport_knows_grpc() -> None:
    importers = [path.name for path in BINARY.parent.glob("*.py") if re.search(r"^\s*(import|from) grpc", path.read_text(), flags=re.M)]
    assert importers == ["listen.py"]
