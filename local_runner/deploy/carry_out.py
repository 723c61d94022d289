"""Carries out a deployment plan: sends what differs from the cluster, then watches its jobs until they end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from local_runner.deploy.cluster import Cluster, RemoteJob, same_spec
from local_runner.deploy.plan import DeployPlan, InputFiles, Pipeline
from local_runner.errors import WorkFailed
from local_runner.model.jobs import JobState
from local_runner.model.refs import CommitQuery
from local_runner.project.update import content_hash

_POLL_SECONDS = 1.0
_AGAIN = ("failure", "killed")  # the last job ended so: the pipeline is updated though its spec is the same, to try once more

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """How the newest job of a pipeline ended; `id` is that of its output commit."""

    pipeline: Pipeline
    id: str
    job: RemoteJob


def send(cluster: Cluster, plan: DeployPlan, say: Say, *, reprocess: bool = False) -> None:
    """Make projects and repos, put the files that differ, create or update the pipelines that differ; in this order.

    Images must have been pushed. `say` hears of each step. Raises `LocalRunnerError`; what was done stays.
    """
    for project in plan.projects:
        if cluster.make_project(project):
            say(f"project {project}: created")
    for repo in plan.inputs:
        _put(cluster, repo, say)
    for pipeline in plan.pipelines:
        say(f"{pipeline.spec.pipeline.name}: {_send(cluster, pipeline, reprocess=reprocess)}")


def _put(cluster: Cluster, repo: InputFiles, say: Say) -> None:
    name = repo.branch.repo.name
    if cluster.make_repo(repo.branch.repo):
        say(f"{name}: repo created")
    there = cluster.files_at(repo.branch)
    wanted = {path: content for path, content in repo.files.items() if there.get(path) != content_hash(content)}
    below = tuple(top.rstrip("/") + "/" for top in repo.tops)
    gone = [path for path in there if path not in repo.files and (path in repo.tops or path.startswith(below))]
    if wanted or gone:
        cluster.put(repo.branch, wanted, gone)
    parts = [f"{_count(len(paths))} {done}" for paths, done in ((wanted, "put"), (gone, "deleted")) if paths]
    say(f"{name}: {', '.join(parts) or 'files are as they should be'}")


def _count(files: int) -> str:
    return f"{files} file{'s' * (files != 1)}"


def _send(cluster: Cluster, pipeline: Pipeline, *, reprocess: bool) -> str:
    there = cluster.pipeline(pipeline.spec.pipeline)
    if there is None:
        cluster.send(pipeline.document, update=False, reprocess=False)
        return "created"
    if not reprocess and there.last_job not in _AGAIN and same_spec(pipeline.document, there.spec_json):
        return "as it should be"
    cluster.send(pipeline.document, update=True, reprocess=reprocess)
    if reprocess:
        return "updated, every datum runs again"
    new_image = there.image != pipeline.spec.transform.image and there.image != pipeline.document["transform"].get("image")
    return "updated" + ("; datums that succeeded with the old image are kept, --reprocess runs them again" if new_image else "")


def wait(cluster: Cluster, pipelines: Sequence[Pipeline], say: Say) -> list[Ended]:
    """Watch the newest job of each pipeline until all have ended, saying each change of state; stopped pipelines are left out.

    Raises `WorkFailed` for a pipeline that cannot work at all: its job might never end.
    """
    said: dict[str, str] = {}

    def news(name: str, text: str) -> None:
        if said.get(name) != text:
            said[name] = text
            say(f"{name}: {text}")

    waiting = [(pipeline, cluster.head(pipeline.spec.output).commit.id) for pipeline in pipelines if pipeline.ends]
    ended = []
    while waiting:
        still = []
        for pipeline, id in waiting:
            ref = pipeline.spec.pipeline
            job = cluster.job(ref, id)
            if job is not None and job.state.is_final:
                news(ref.name, _sentence(job))
                ended.append(Ended(pipeline, id, job))
                continue
            if job is None and cluster.head(CommitQuery(ref.repo, id=id)).is_finished:
                news(ref.name, "no job made its newest commit")
                continue
            there = cluster.pipeline(ref)
            if there is None or there.stopped:
                news(ref.name, "stopped on the cluster, so nothing runs; `pachctl start pipeline` starts it")
                continue
            if there.state == "failure":
                raise WorkFailed(f"{ref.name} cannot work on the cluster: {there.reason}", hint=f"pachctl logs --pipeline {ref.name}")
            if there.state == "crashing":
                news(ref.name, f"crashing: {there.reason}")
            elif job is not None:
                news(ref.name, _sentence(job))
            still.append((pipeline, id))
        waiting = still
        if waiting:
            time.sleep(_POLL_SECONDS)
    return ended


def check(ended: Sequence[Ended]) -> None:
    """Raises `WorkFailed` if a job did not succeed."""
    failed = [one for one in ended if one.job.state is not JobState.SUCCESS]
    if failed:
        first = next((one for one in failed if one.job.state is not JobState.UNRUNNABLE), failed[0])
        names = ", ".join(one.pipeline.spec.pipeline.name for one in failed)
        job = f"{first.pipeline.spec.pipeline.name}@{first.id} --project {first.pipeline.spec.pipeline.project}"
        raise WorkFailed(f"did not succeed on the cluster: {names}", hint=f"pachctl logs --job {job}")


def _sentence(job: RemoteJob) -> str:
    counts = job.counters
    if job.state.is_final:
        return job.state.word + (f": {job.reason}" if job.reason else "")
    done = counts.processed + counts.skipped + counts.failed + counts.recovered
    return f"{job.state.word}, {done} of {counts.total} datums" if counts.total else job.state.word
