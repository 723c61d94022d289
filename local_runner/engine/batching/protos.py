"""The one gRPC service user code knows, `pachyderm.worker.Worker/NextDatum`, without generated code (reference pfs 5).

Its messages are described here by hand in a pool of their own: generated modules are bound to one major version of protobuf, and
would collide with those python-pachyderm brings.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from local_runner.model.wire import delimited

LOOPBACK = "127.0.0.1"  # where it is served, and nowhere else
METHOD = "NextDatum"
SERVICE = "pachyderm.worker.Worker"


@cache
def messages() -> tuple[Any, Any]:
    """The classes of (NextDatumRequest{error}, NextDatumResponse{env}); loading protobuf takes 20 ms, so only on demand."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="local_runner/worker.proto", package="pachyderm.worker", syntax="proto3")
    request = file.message_type.add(name="NextDatumRequest")
    request.field.add(name="error", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    response = file.message_type.add(name="NextDatumResponse")
    response.field.add(name="env", number=1, type=field.TYPE_STRING, label=field.LABEL_REPEATED)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)

    def message_class(name: str) -> Any:
        descriptor = pool.FindMessageTypeByName(f"pachyderm.worker.{name}")
        if hasattr(message_factory, "GetMessageClass"):
            return message_factory.GetMessageClass(descriptor)
        return message_factory.MessageFactory(pool).GetPrototype(descriptor)  # protobuf 3.20

    return message_class("NextDatumRequest"), message_class("NextDatumResponse")


def next_datum_response(env: Iterable[str]) -> bytes:
    """A NextDatumResponse, serialised: field 1, again and again. By hand, for the engine writes one for each datum.

    The protobuf that python-pachyderm pins is pure Python, and takes 100 µs for this and 30 ms to import.
    """
    return b"".join(delimited(0x0A, pair.encode()) for pair in env)
