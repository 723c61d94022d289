"""Which services there are and what their messages look like, for tools that ask instead of being told (grpcurl)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from local_runner.server.call import Call
from local_runner.server.schema import Message, new, pool, services

_NOT_FOUND, _UNIMPLEMENTED = 5, 12
_RESPONSE = "grpc.reflection.v1alpha.ServerReflectionResponse"


def server_reflection_info(call: Call, requests: Iterator[Message]) -> Iterator[Message]:
    """An answer for each question."""
    for request in requests:
        answer = new(_RESPONSE, valid_host=request.host, original_request=request)
        kind = request.WhichOneof("message_request")
        if kind == "list_services":
            for name in services():
                answer.list_services_response.service.add(name=name)
        elif kind in ("file_by_filename", "file_containing_symbol"):
            _add_files(answer, kind, getattr(request, kind))
        else:
            answer.error_response.error_code = _UNIMPLEMENTED
            answer.error_response.error_message = "the messages have no extensions"
        yield answer


def _add_files(answer: Message, kind: str, name: str) -> None:
    """A file with all it imports, those first."""
    try:
        found = pool().FindFileByName(name) if kind == "file_by_filename" else pool().FindFileContainingSymbol(name)
    except KeyError:
        answer.error_response.error_code = _NOT_FOUND
        answer.error_response.error_message = f"there is no {name}"
        return
    answer.file_descriptor_response.file_descriptor_proto.extend(file.serialized_pb for file in _with_imports(found, {}))


def _with_imports(file: Any, seen: dict[str, Any]) -> list[Any]:
    for imported in file.dependencies:
        if imported.name not in seen:
            _with_imports(imported, seen)
    seen[file.name] = file
    return list(seen.values())
