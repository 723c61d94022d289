"""Calls about secrets."""

from __future__ import annotations

from local_runner.server import refs
from local_runner.server.call import Call
from local_runner.server.schema import Message, from_document, new, nothing


def create_secret(call: Call, request: Message) -> Message:
    """From the text of a Kubernetes secret."""
    from local_runner.model.secrets import read_secret

    call.runner.create_secret(read_secret(request.file))
    return nothing()


def list_secret(call: Call, request: Message) -> Message:
    return new("pps_v2.SecretInfos", secret_info=[_info(call, name, created) for name, created in call.runner.list_secret()])


def inspect_secret(call: Call, request: Message) -> Message:
    name = refs.given(request, "secret").name
    call.runner.inspect_secret(name)
    return _info(call, name, dict(call.runner.list_secret()).get(name))


def _info(call: Call, name: str, created: float | None) -> Message:
    from local_runner.model.units import rfc3339

    kind = str(call.runner.inspect_secret(name).get("type") or "Opaque")
    document = {"secret": {"name": name}, "type": kind} | ({"creation_timestamp": rfc3339(created)} if created is not None else {})
    return from_document("pps_v2.SecretInfo", document)


def delete_secret(call: Call, request: Message) -> Message:
    call.runner.delete_secret(refs.given(request, "secret").name)
    return nothing()
