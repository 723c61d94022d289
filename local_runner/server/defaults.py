"""Calls about the defaults of specs, of all projects ("the cluster's") or of one."""

from __future__ import annotations

from local_runner.errors import Invalid
from local_runner.model.refs import PipelineRef
from local_runner.server import infos, refs
from local_runner.server.call import Call
from local_runner.server.schema import Message, new


def get_cluster_defaults(call: Call, request: Message) -> Message:
    return new("pps_v2.GetClusterDefaultsResponse", cluster_defaults_json=call.runner.get_defaults())


def set_cluster_defaults(call: Call, request: Message) -> Message:
    affected = _set(call, request, request.cluster_defaults_json, None)
    return new("pps_v2.SetClusterDefaultsResponse", affected_pipelines=map(infos.pipeline, affected))


def get_project_defaults(call: Call, request: Message) -> Message:
    found = call.runner.get_defaults(refs.project(refs.given(request, "project")))
    return new("pps_v2.GetProjectDefaultsResponse", project_defaults_json=found)


def set_project_defaults(call: Call, request: Message) -> Message:
    affected = _set(call, request, request.project_defaults_json, refs.project(refs.given(request, "project")))
    return new("pps_v2.SetProjectDefaultsResponse", affected_pipelines=map(infos.pipeline, affected))


def _set(call: Call, request: Message, text: str, project: str | None) -> list[PipelineRef]:
    """Raises `Invalid`."""
    from local_runner.specs.read import read_defaults

    if request.reprocess and not request.regenerate:
        raise Invalid("reprocess: must be false if regenerate is false")
    document = read_defaults(text, "defaults") if text.strip() else None
    return call.runner.set_defaults(document, project, regenerate=request.regenerate, reprocess=request.reprocess, dry_run=request.dry_run)
