"""A portrait of a home: all that a person can read of it, as plain data, so that two moments can be compared."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from local_runner.model.datums import DatumInfo
from local_runner.model.jobs import JobInfo
from local_runner.model.refs import CommitQuery, FileQuery, RepoRef
from local_runner.model.repos import BranchInfo, CommitInfo
from local_runner.pipelines.transactions import to_document
from local_runner.runner import Runner

Portrait = dict[str, Any]  # "repo default/data" -> what is known of it; values are JSON


def portrait(runner: Runner) -> Portrait:
    """Everything: projects, repos of all types, branches, commits, contents of files (as SHA-256), pipelines, jobs, datums, logs, secrets.

    Raises `LocalRunnerError` where something cannot be read.
    """
    found: Portrait = {f"project {project.name}": [project.description, project.created] for project in runner.list_project()}
    for info in runner.list_repo(type=""):
        found[f"repo {info.repo}"] = [info.description, info.created, sorted(map(str, info.branches))]
        found |= _versions(runner, info.repo)
    for pipeline in runner.list_pipeline(history=-1):
        said = [pipeline.spec_commit, pipeline.salt, pipeline.user_spec, pipeline.effective_spec, pipeline.state.value]
        found[f"pipeline {pipeline.pipeline} {pipeline.version}"] = said
    for job in runner.list_job(history=-1):
        found[f"job {job.job}"] = _job(job)
        found |= {f"datum {job.job} {datum.datum.id}": _datum(datum) for datum in runner.list_datum(job.job)}
        found[f"logs {job.job}"] = [[line["datumId"], line["message"]] for line in runner.logs(job=job.job)]
    for name, created in runner.list_secret():
        found[f"secret {name}"] = [created, runner.inspect_secret(name)]
    found |= {f"transaction {row.id}": [row.started, [to_document(verb) for verb in row.requests]] for row in runner.list_transaction()}
    return found


def portrait_at(home: Path) -> Portrait:
    """The same of a home that is closed."""
    with Runner.open(home, background=False) as runner:
        return portrait(runner)


def contents(found: Portrait) -> Portrait:
    """What of a portrait is bytes of files."""
    return {name: what for name, what in found.items() if name.startswith("file ")}


def _versions(runner: Runner, repo: RepoRef) -> Portrait:
    found: Portrait = {f"branch {info.branch}": _branch(info) for info in runner.list_branch(repo)}
    for commit in runner.list_commit(repo):
        found[f"commit {commit.commit}"] = _commit(commit)
        query = CommitQuery(repo, id=commit.commit.id)
        for file in list(runner.walk_file(FileQuery(query, "/"))):
            if not file.is_folder:
                content = b"".join(runner.get_file(FileQuery(query, file.path)))
                found[f"file {commit.commit}:{file.path} {file.datum}"] = [file.size, hashlib.sha256(content).hexdigest()]
    return found


def _branch(info: BranchInfo) -> list[object]:
    return [info.head and str(info.head), sorted(map(str, info.direct_provenance)), repr(info.trigger)]


def _commit(info: CommitInfo) -> list[object]:
    sources = sorted(map(str, info.direct_provenance))
    times = [info.started, info.finishing, info.finished]
    return [info.origin, info.description, info.branch, info.parent and str(info.parent), sources, times, info.error, info.size]


def _job(info: JobInfo) -> list[object]:
    counters = info.counters
    counts = [counters.total, counters.processed, counters.skipped, counters.failed, counters.recovered]
    return [info.pipeline_version, info.state.value, info.reason, info.created, info.started, info.finished, counts]


def _datum(info: DatumInfo) -> list[object]:
    return [info.state, info.job, info.reason, [file.path for file in info.datum.inputs]]
