"""Calls about projects."""

from __future__ import annotations

from collections.abc import Iterator

from local_runner.server import infos, refs
from local_runner.server.call import Call
from local_runner.server.schema import Message, new, nothing


def create_project(call: Call, request: Message) -> Message:
    call.runner.create_project(refs.given(request, "project").name, request.description, update=request.update)
    return nothing()


def inspect_project(call: Call, request: Message) -> Message:
    return infos.project_info(call.runner.inspect_project(refs.given(request, "project").name))


def inspect_project_v2(call: Call, request: Message) -> Message:
    """With the defaults that its pipelines have."""
    info = call.runner.inspect_project(refs.given(request, "project").name)
    return new("pfs_v2.InspectProjectV2Response", info=infos.project_info(info), defaults_json=call.runner.get_defaults(info.name))


def list_project(call: Call, request: Message) -> Iterator[Message]:
    return (infos.project_info(info) for info in call.runner.list_project())


def delete_project(call: Call, request: Message) -> Message:
    """An empty one only: `force` does not take repos along on a cluster, and clients who want that delete those first."""
    call.runner.delete_project(refs.given(request, "project").name)
    return nothing()
