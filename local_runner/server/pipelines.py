"""Calls about pipelines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from local_runner.errors import Invalid, LocalRunnerError, Unsupported
from local_runner.model.names import DEFAULT_PROJECT
from local_runner.model.pipelines import PipelineInfo, PipelineState
from local_runner.server import infos, refs
from local_runner.server.call import Call
from local_runner.server.repos import paged
from local_runner.server.schema import Document, Message, new, nothing, to_document

# Fields of a CreatePipelineRequest that say what to do with the spec, and are no part of it.
_NO_SPEC = frozenset({"update", "reprocess", "spec_commit", "dry_run"})
_STATE = re.compile(r'\.state\s*==\s*"((?:PIPELINE|JOB)_[A-Z]+)"')
_ONE_OF = "STATE(?:\\s*or\\s*STATE)*".replace("STATE", _STATE.pattern.replace("(", "(?:", 1))
_FILTER = re.compile(rf"{_ONE_OF}|(?:\.\s*\|\s*)?select\(\s*{_ONE_OF}\s*\)")  # pachctl sends the first


def create_pipeline(call: Call, request: Message) -> Message:
    """As a message, which older clients and the Python ones send."""
    document = {name: value for name, value in to_document(request).items() if name not in _NO_SPEC}
    _create(call, document, update=request.update, reprocess=request.reprocess, dry_run=request.dry_run)
    return nothing()


def create_pipeline_v2(call: Call, request: Message) -> Message:
    """As the text of a spec."""
    from local_runner.specs.read import read_documents

    found = [document.values for document in read_documents(request.create_pipeline_request_json, "spec")]
    if len(found) != 1:
        raise Invalid(f"expected one pipeline spec; got {len(found)}", hint="each is created by a call of its own")
    effective = _create(call, found[0], update=request.update, reprocess=request.reprocess, dry_run=request.dry_run)
    return new("pps_v2.CreatePipelineV2Response", effective_create_pipeline_request_json=json.dumps(effective))


def _create(call: Call, document: Mapping[str, Any], *, update: bool, reprocess: bool, dry_run: bool) -> Document:
    return call.runner.create_pipeline(document, project=DEFAULT_PROJECT, update=update, reprocess=reprocess, dry_run=dry_run)


def inspect_pipeline(call: Call, request: Message) -> Message:
    ref, back = refs.pipeline(refs.given(request, "pipeline")), 0
    if name := re.fullmatch(r"(.*?)(\^+|\^\d+)", ref.name):
        ref, back = ref._replace(name=name[1]), int(name[2][1:]) if name[2][1:].isdigit() else len(name[2])
    return infos.pipeline_info(call.runner.inspect_pipeline(ref, back), request.details)


def list_pipeline(call: Call, request: Message) -> Iterator[Message]:
    """With details, as a cluster has it whatever is asked for; a filter may name states."""
    pipeline = refs.pipeline(request.pipeline) if request.HasField("pipeline") else None
    wanted = states_of(request.jqFilter)
    found = call.runner.list_pipeline(refs.projects(request.projects), pipeline, request.history, request.commit_set.id)
    chosen = [info for info in found if wanted is None or info.state.value in wanted]
    return (infos.pipeline_info(info) for info in paged(chosen, request.page))


def states_of(jq: str) -> frozenset[str] | None:
    """The states that a filter in jq's language asks for, None without one. Raises `Unsupported` for any other filter."""
    if not jq.strip():
        return None
    if not _FILTER.fullmatch(jq.strip()):
        raise Unsupported(f"the filter {jq!r} is not understood", hint='filters may name states: select(.state == "JOB_RUNNING" or …)')
    return frozenset(_STATE.findall(jq))


def delete_pipeline(call: Call, request: Message) -> Message:
    if request.all:
        _delete(call, call.runner.list_pipeline(), request)
    else:
        call.runner.delete_pipeline(
            refs.pipeline(refs.given(request, "pipeline")), force=request.force, keep_repo=request.keep_repo, must_exist=request.must_exist
        )
    return nothing()


def delete_pipelines(call: Call, request: Message) -> Message:
    """Of some projects; of all of them only if that is said."""
    found = call.runner.list_pipeline(None if request.all else refs.projects(request.projects) or [])
    _delete(call, found, request)
    return new("pps_v2.DeletePipelinesResponse", pipelines=[infos.pipeline(info.pipeline) for info in found])


def _delete(call: Call, found: list[PipelineInfo], request: Message) -> None:
    """All are stopped before the first goes. The latest made come first, so that none goes before those that read it."""
    for info in found:
        call.runner.stop_pipeline(info.pipeline)
    last: LocalRunnerError | None = None
    while found:
        left = []
        for info in found:
            try:
                call.runner.delete_pipeline(info.pipeline, force=request.force, keep_repo=request.keep_repo)
            except LocalRunnerError as error:  # another may read it
                left.append(info)
                last = error
        if len(left) == len(found) and last is not None:
            raise last
        found = left


def start_pipeline(call: Call, request: Message) -> Message:
    call.runner.start_pipeline(refs.pipeline(refs.given(request, "pipeline")))
    return nothing()


def stop_pipeline(call: Call, request: Message) -> Message:
    ref = refs.pipeline(refs.given(request, "pipeline"))
    if request.must_exist or any(info.pipeline == ref for info in call.runner.list_pipeline([ref.project])):
        call.runner.stop_pipeline(ref)
    return nothing()


def rerun_pipeline(call: Call, request: Message) -> Message:
    call.runner.rerun_pipeline(refs.pipeline(refs.given(request, "pipeline")), reprocess=request.reprocess)
    return nothing()


def run_cron(call: Call, request: Message) -> Message:
    call.runner.run_cron(refs.pipeline(refs.given(request, "pipeline")))
    return nothing()


def pipelines_summary(call: Call, request: Message) -> Message:
    """How many pipelines of each project, or of all projects, work, are stopped, and have failed."""
    names = [refs.picked_project(picker) for picker in request.projects] or [info.name for info in call.runner.list_project()]
    return new("pps_v2.PipelinesSummaryResponse", summaries=[_summary(call, name) for name in names])


def _summary(call: Call, name: str) -> Message:
    found = call.runner.list_pipeline([name])
    count = {state: sum(info.state is state for info in found) for state in PipelineState}
    active = sum(count[state] for state in (PipelineState.STARTING, PipelineState.RUNNING, PipelineState.STANDBY))
    unhealthy = count[PipelineState.CRASHING] + sum(
        info.last_job_state in ("JOB_FAILURE", "JOB_KILLED", "JOB_UNRUNNABLE") for info in found
    )
    return new(
        "pps_v2.PipelinesSummary",
        project=new("pfs_v2.Project", name=name),
        active_pipelines=active,
        paused_pipelines=count[PipelineState.PAUSED],
        failed_pipelines=count[PipelineState.FAILURE],
        unhealthy_pipelines=unhealthy,
    )


def check_status(call: Call, request: Message) -> Iterator[Message]:
    """What is wrong with pipelines: those that failed or crash, and those whose last job did not succeed."""
    name = refs.project(request.project) if request.HasField("project") else None
    for info in call.runner.list_pipeline([name] if name else None):
        alerts = []
        if info.state in (PipelineState.FAILURE, PipelineState.CRASHING):
            alerts.append(f"pipeline is {info.state.value}: {info.reason}")
        if info.last_job_state in ("JOB_FAILURE", "JOB_UNRUNNABLE"):
            alerts.append(f"the last job ended as {info.last_job_state}")
        if alerts:
            project = new("pfs_v2.Project", name=info.pipeline.project)
            yield new("pps_v2.CheckStatusResponse", project=project, pipeline=infos.pipeline(info.pipeline), alerts=alerts)
