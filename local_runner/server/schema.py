"""The messages and calls of a Pachyderm server, out of one descriptor set in a pool of its own.

No generated code: that binds to one major version of protobuf and would collide with what python-pachyderm brings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from local_runner.errors import Invalid
from local_runner.model.wire import extent
from local_runner.server.proto_text import BINARY

Message = Any  # protobuf ships no types
Document = dict[str, Any]

_WELL_KNOWN = ("any", "duration", "empty", "struct", "timestamp", "wrappers")
_NOTHING = "google.protobuf.Empty"


class Method(NamedTuple):
    """A call as the descriptors have it: the names of its messages, and whether either side is a stream of them."""

    path: str
    request: str
    response: str
    takes_stream: bool
    gives_stream: bool


@cache
def pool() -> Any:
    """All messages and services, well-known types included; loading takes 30 ms, so only on demand."""
    from importlib import import_module

    from google.protobuf import descriptor_pool

    found = descriptor_pool.DescriptorPool()
    for name in _WELL_KNOWN:
        found.AddSerializedFile(import_module(f"google.protobuf.{name}_pb2").DESCRIPTOR.serialized_pb)
    # Each file as it lies in the set: to write it once more takes as long as to read it.
    data, end = BINARY.read_bytes(), 0
    while end < len(data):
        begin, end = extent(data, end + 1)
        found.AddSerializedFile(data[begin:end])
    return found


@cache
def descriptor_set() -> Any:
    """The descriptors of our own texts, each file after those it imports."""
    from google.protobuf import descriptor_pb2

    return descriptor_pb2.FileDescriptorSet.FromString(BINARY.read_bytes())


@cache
def methods() -> Mapping[str, Method]:
    """Every call of the texts by its path, `pfs_v2.API/ListRepo`."""
    found = {}
    for file in descriptor_set().file:
        for service in file.service:
            for m in service.method:
                path = f"{file.package}.{service.name}/{m.name}"
                found[path] = Method(path, m.input_type[1:], m.output_type[1:], m.client_streaming, m.server_streaming)
    return found


@cache
def message_class(name: str) -> Any:
    """The class of a message by its full name."""
    from google.protobuf import message_factory

    descriptor = pool().FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool()).GetPrototype(descriptor)  # protobuf 3.20


def new(name: str, /, **fields: Any) -> Message:
    """A message with these fields; a field that is None is left unset."""
    return message_class(name)(**{field: value for field, value in fields.items() if value is not None})


def nothing() -> Message:
    """The empty message."""
    return message_class(_NOTHING)()


def parse(name: str, data: bytes) -> Message:
    """A message from the wire. Raises `Invalid` for bytes that are none."""
    from google.protobuf.message import DecodeError

    try:
        return message_class(name).FromString(data)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"what was sent is no {name}: {error}") from None


def from_document(name: str, document: Mapping[str, Any]) -> Message:
    """A message from its JSON document; what the message does not know is left out."""
    from google.protobuf import json_format

    return json_format.ParseDict(document, message_class(name)(), ignore_unknown_fields=True)


def to_document(message: Message) -> Document:
    """The JSON document of a message, with the names of the texts and without what is unset. Raises `Invalid` for a time beyond all."""
    from google.protobuf import json_format

    try:
        found: Document = json_format.MessageToDict(message, preserving_proto_field_name=True)
    except (ValueError, json_format.Error) as error:
        raise Invalid(f"what was sent cannot be written as JSON: {error}") from None
    return found


def services() -> Iterator[str]:
    """The full names of all services, sorted."""
    return iter(sorted({path.partition("/")[0] for path in methods()}))
