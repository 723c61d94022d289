"""Calls about jobs and job sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from local_runner.errors import Invalid
from local_runner.model.jobs import JobInfo, JobSetInfo
from local_runner.server import infos, refs
from local_runner.server.call import Call
from local_runner.server.pipelines import states_of
from local_runner.server.schema import Message, new, nothing


def inspect_job(call: Call, request: Message) -> Message:
    info = call.runner.inspect_job(refs.job(refs.given(request, "job")), wait=request.wait)
    return _info(call, info, request.details)


def _info(call: Call, info: JobInfo, details: bool) -> Message:
    return infos.job_info(info, call.runner.job_pipeline(info.job) if details else None)


def list_job(call: Call, request: Message) -> Iterator[Message]:
    """Newest first, or the other way; beyond the moment of the marker; at most so many."""
    pipeline = refs.pipeline(request.pipeline) if request.HasField("pipeline") else None
    inputs = [refs.commit(commit) for commit in request.input_commit]
    wanted = states_of(request.jqFilter)
    marker = request.paginationMarker
    beyond = marker.seconds + marker.nanos / 10**9 if request.HasField("paginationMarker") else None
    found: Iterable[JobInfo] = call.runner.list_job(
        refs.projects(request.projects), pipeline, inputs, request.history, reverse=request.reverse, beyond=beyond
    )
    if wanted is not None:
        found = (info for info in found if info.state.value in wanted)
    return (_info(call, info, request.details) for info in islice(found, _number(request)))


def _is_beyond(created: float, request: Message) -> bool:
    """Whether a job follows the moment of the marker, to microseconds, which is what a time holds here."""
    marker = request.paginationMarker.seconds * 10**6 + request.paginationMarker.nanos // 1000
    moment = round(created * 10**6)
    return bool(moment > marker if request.reverse else moment < marker)


def inspect_job_set(call: Call, request: Message) -> Iterator[Message]:
    """The jobs of a set, upstream first; with `wait`, each as soon as it is over."""
    for info in call.runner.inspect_job_set(refs.given(request, "job_set").id).jobs:
        yield _info(call, call.runner.inspect_job(info.job, wait=request.wait), request.details)


def list_job_set(call: Call, request: Message) -> Iterator[Message]:
    """Newest first, or the other way; of some projects only their own jobs."""
    projects, wanted = refs.projects(request.projects), states_of(request.jqFilter)
    found = call.runner.list_job_set(projects, reverse=request.reverse)
    return islice(_sets(call, found, request, projects, wanted), _number(request))


def _number(request: Message) -> int | None:
    """How many at most. Raises `Invalid` for less than none."""
    if request.number < 0:
        raise Invalid(f"cannot list {request.number} jobs or job sets")
    return request.number or None


def _sets(
    call: Call, found: Iterable[JobSetInfo], request: Message, projects: list[str] | None, wanted: frozenset[str] | None
) -> Iterator[Message]:
    for one in found:
        jobs = [info for info in one.jobs if projects is None or info.job.pipeline.project in projects]
        if request.HasField("paginationMarker") and not all(_is_beyond(info.created, request) for info in jobs):
            continue
        if wanted is not None:
            jobs = [info for info in jobs if info.state.value in wanted]
        if jobs:
            messages = [_info(call, info, request.details) for info in jobs]
            yield new("pps_v2.JobSetInfo", job_set=new("pps_v2.JobSet", id=one.id), jobs=messages)


def subscribe_job(call: Call, request: Message) -> Iterator[Message]:
    """The jobs of a pipeline, or of all, and each of them again whenever its state changes."""
    pipeline = refs.pipeline(request.pipeline) if request.HasField("pipeline") else None
    return (_info(call, info, request.details) for info in call.runner.subscribe_job(pipeline))


def stop_job(call: Call, request: Message) -> Message:
    call.runner.stop_job(refs.job(refs.given(request, "job")), request.reason)
    return nothing()


def delete_job(call: Call, request: Message) -> Message:
    call.runner.delete_job(refs.job(refs.given(request, "job")))
    return nothing()
