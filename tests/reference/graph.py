"""What jobs and commits of a graph of pipelines look like, and code for its pipelines."""

from __future__ import annotations

from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.model.refs import PipelineRef, parse_repo
from tests.support.lab import Do, Lab, copy

SUCCESS, FAILURE, KILLED, UNRUNNABLE = JobState.SUCCESS, JobState.FAILURE, JobState.KILLED, JobState.UNRUNNABLE


def the(name: str) -> PipelineRef:
    return PipelineRef("default", name)


def states(lab: Lab, pipeline: str) -> list[JobState]:
    """Of all jobs, newest first."""
    return [info.state for info in lab.jobs(pipeline)]


def commits(lab: Lab, repo: str) -> int:
    return sum(1 for _ in lab.runner.list_commit(parse_repo(repo)))


def set_of(lab: Lab, id: str) -> dict[str, JobState]:
    """The jobs of a set, by pipeline."""
    return {info.job.pipeline.name: info.state for info in lab.runner.inspect_job_set(id, wait=True).jobs}


def fails_on(name: str) -> Do:
    """A copy that fails where there is a file of this name."""

    def do(datum: ScriptedDatum) -> int:
        copy(datum)
        return int(any(path.name == name for path in datum.out.iterdir()))

    return do
