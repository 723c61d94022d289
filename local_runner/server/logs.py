"""The call about what user code printed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from local_runner.errors import NotFound
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.server import refs
from local_runner.server.call import Call
from local_runner.server.schema import Message, from_document

_LAST = 253_402_300_799.0  # seconds since the epoch: the end of the year 9999, after which a time has no name


def get_logs(call: Call, request: Message) -> Iterator[Message]:
    """Of a pipeline, a job or a datum; with `follow` also what is to come, until the client hangs up."""
    job = _job(request)
    pipeline = refs.pipeline(request.pipeline) if request.HasField("pipeline") and not job else None
    _check_there(call, pipeline, job)
    since = min(time.time() - request.since.seconds - request.since.nanos / 1e9, _LAST) if request.HasField("since") else None
    found = call.runner.logs(
        pipeline,
        job,
        request.datum.id,
        list(request.data_filters),
        since if since is None or since > 0 else None,
        follow=request.follow,
        tail=request.tail or None,
    )
    return map(_message, found)


def _job(request: Message) -> JobRef | None:
    if request.HasField("job"):
        return refs.job(request.job)
    return refs.job(request.datum.job) if request.HasField("datum") and request.datum.HasField("job") else None


def _check_there(call: Call, pipeline: PipelineRef | None, job: JobRef | None) -> None:
    """Raises `NotFound` for a pipeline or a job that is not there."""
    try:
        if job:
            call.runner.inspect_job(job)
        elif pipeline:
            call.runner.inspect_pipeline(pipeline)
    except NotFound as error:
        error.message = f"could not get {'job' if job else 'pipeline'} information for {job or pipeline}: {error.message}"
        raise


def _message(record: Mapping[str, Any]) -> Message:
    return from_document("pps_v2.LogMessage", record)
