"""A cluster of recorded answers: the part of Pachyderm's gRPC that `deploy` and `pull` use, over plain dictionaries.

Answers have the shape that references pfs 1.10 and 2.1 note of real clusters: which field of a commit names its repo, which codes and
texts errors have. Jobs do not run: each goes through the states a test scripts, and its output is what the test says.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format, timestamp_pb2, wrappers_pb2
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2
from python_pachyderm.proto.v2.version.versionpb import version_pb2

from local_runner.model.file_hash import file_hash

Key = tuple[str, str]  # project, name


class Refusal(Exception):
    """An error as a cluster answers it."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def not_found(text: str) -> Refusal:
    return Refusal(grpc.StatusCode.NOT_FOUND, text)


@dataclass
class Commit:
    """A commit with all its files. `branch` says where it was made; `error` is that of a failed job."""

    repo: Key
    branch: str
    files: dict[str, bytes]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    made_from: Sequence[Commit] = ()
    error: str = ""
    finished: bool = True


@dataclass
class Job:
    """What `InspectJob` answers, one after the other; the last for ever."""

    states: list[tuple[str, int, int]]  # state, datums done, all
    reason: str = ""


@dataclass
class FakeCluster:
    """`old` answers as 2.7 does, else as 2.12: commits name their repo themselves, and pipelines have their spec as text."""

    old: bool = False
    token: str = ""  # that calls must carry, if any
    projects: set[str] = field(default_factory=lambda: {"default"})
    commits: dict[Key, list[Commit]] = field(default_factory=dict)
    pipelines: dict[Key, pps_pb2.PipelineInfo] = field(default_factory=dict)
    jobs: dict[tuple[str, str], Job] = field(default_factory=dict)  # by commit id and pipeline
    script: dict[str, list[tuple[str, int, int]]] = field(default_factory=dict)  # pipeline -> states of its next jobs
    results: dict[str, dict[str, bytes]] = field(default_factory=dict)  # pipeline -> the files its next job makes
    reasons: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    put_messages: int = 0
    cut_short: bool = False  # the connection breaks in the middle of each file
    bad_files: str = ""  # the error that the next commit of files gets

    def head(self, project: str, repo: str, branch: str = "master") -> Commit:
        return next(commit for commit in reversed(self.commits[project, repo]) if commit.branch == branch)

    def files(self, repo: str) -> dict[str, bytes]:
        return self.head("default", repo).files

    def falls(self, pipeline: str, state: str, reason: str) -> None:
        """Something happens to a pipeline."""
        info = self.pipelines["default", pipeline]
        info.state, info.reason = pps_pb2.PipelineState.Value(state), reason

    # -- answers ------------------------------------------------------------------------------------------------------

    def get_version(self, request: Any) -> Any:
        return version_pb2.Version(major=2, minor=7 if self.old else 12, micro=2)

    def inspect_project(self, request: Any) -> Any:
        if request.project.name not in self.projects:
            raise not_found(f'project "{request.project.name}" not found')
        return pfs_pb2.ProjectInfo(project=request.project)

    def create_project(self, request: Any) -> Any:
        self.projects.add(request.project.name)
        return empty_pb2.Empty()

    def inspect_repo(self, request: Any) -> Any:
        self._repo(request.repo)
        return pfs_pb2.RepoInfo(repo=request.repo)

    def create_repo(self, request: Any) -> Any:
        self.commits[_key(request.repo)] = []
        return empty_pb2.Empty()

    def inspect_commit(self, request: Any) -> Any:
        commit = self._commit(request.commit)
        if request.wait == pfs_pb2.CommitState.FINISHED:
            commit.finished = True
        info = pfs_pb2.CommitInfo(commit=self._ref(commit), error=commit.error)
        info.direct_provenance.extend(self._ref(source) for source in commit.made_from)
        if commit.made_from:  # the commit of the spec, too, made it
            info.direct_provenance.append(self._ref(Commit(commit.repo, "master", {}), "spec"))
        if commit.finished:
            info.finished.CopyFrom(timestamp_pb2.Timestamp(seconds=1))
        return info

    def walk_file(self, request: Any) -> Iterator[Any]:
        commit = self._commit(request.file.commit)
        kinds = pfs_pb2.FileType
        for path in sorted(commit.files):
            if path.count("/") > 1:
                folder = path[: path.rindex("/") + 1]
                yield pfs_pb2.FileInfo(file=pfs_pb2.File(path=folder), file_type=kinds.DIR)
            content = commit.files[path]
            info = pfs_pb2.FileInfo(file=pfs_pb2.File(path=path), file_type=kinds.FILE, size_bytes=len(content), hash=file_hash(content))
            yield info

    def modify_file(self, requests: Iterator[Any]) -> Any:
        target = next(requests).set_commit
        repo = self._repo(target.branch.repo)
        files = dict(repo[-1].files) if repo else {}
        for request in requests:
            self.put_messages += 1
            if request.HasField("delete_file"):
                files.pop(request.delete_file.path, None)
            else:
                path = request.add_file.path
                files[path] = files.get(path, b"") + request.add_file.raw.value
        made = Commit(_key(target.branch.repo), target.branch.name, files, error=self.bad_files)
        repo.append(made)
        self._propagate(made)
        return empty_pb2.Empty()

    def get_file(self, request: Any) -> Iterator[Any]:
        content = self._commit(request.file.commit).files[request.file.path]
        for at in range(0, len(content), 1000):
            if self.cut_short and at:
                raise Refusal(grpc.StatusCode.UNAVAILABLE, "transport is closing")
            yield wrappers_pb2.BytesValue(value=content[at : at + 1000])

    def inspect_pipeline(self, request: Any) -> Any:
        if _key(request.pipeline) not in self.pipelines:
            raise not_found(f'pipeline "{request.pipeline.project.name}/{request.pipeline.name}" not found')
        return self.pipelines[_key(request.pipeline)]

    def create_pipeline(self, request: Any) -> Any:
        key = _key(request.pipeline)
        before = self.pipelines.get(key)
        if before is not None and not request.update:
            raise Refusal(grpc.StatusCode.ALREADY_EXISTS, f'pipeline "{key[0]}/{key[1]}" already exists')
        for pfs in _pfs_inputs(request.input):
            self._repo(pfs_pb2.Repo(name=pfs.repo, project=pfs_pb2.Project(name=pfs.project or key[0])))
        info = pps_pb2.PipelineInfo(pipeline=request.pipeline, version=before.version + 1 if before else 1, state=pps_pb2.PIPELINE_RUNNING)
        info.details.transform.CopyFrom(request.transform)
        info.details.input.CopyFrom(request.input)
        if not self.old:
            info.details_json = json_format.MessageToJson(request)
        self.pipelines[key] = info
        self.commits.setdefault(key, [])
        self._start_job(key, uuid.uuid4().hex)
        return empty_pb2.Empty()

    def inspect_job(self, request: Any) -> Any:
        job = self.jobs.get((request.job.id, request.job.pipeline.name))
        if job is None:
            raise not_found(f"job {request.job.pipeline.name}@{request.job.id} not found")
        state, done, total = job.states[0]
        if len(job.states) > 1:
            job.states.pop(0)
        self.pipelines[_key(request.job.pipeline)].last_job_state = pps_pb2.JobState.Value(state)
        return pps_pb2.JobInfo(
            job=request.job, state=pps_pb2.JobState.Value(state), reason=job.reason, data_total=total, data_processed=done
        )

    # -- how a cluster behaves ------------------------------------------------------------------------------------------

    def _start_job(self, key: Key, id: str) -> None:
        sources = [
            self.commits[pfs.project or key[0], pfs.repo][-1]
            for pfs in _pfs_inputs(self.pipelines[key].details.input)
            if self.commits[pfs.project or key[0], pfs.repo]
        ]
        name = key[1]
        made = Commit(key, "master", dict(self.results.get(name, {})), id, sources, self.reasons.get(name, ""))
        self.commits[key].append(made)
        self.jobs[id, name] = Job(list(self.script.get(name, [("JOB_SUCCESS", 1, 1)])), self.reasons.get(name, ""))
        self._propagate(made)

    def _propagate(self, commit: Commit) -> None:
        for key, info in self.pipelines.items():
            if any((pfs.project or key[0], pfs.repo) == commit.repo for pfs in _pfs_inputs(info.details.input)):
                self._start_job(key, commit.id)

    def _repo(self, repo: Any) -> list[Commit]:
        if _key(repo) not in self.commits:
            raise not_found(f"repo {repo.project.name}/{repo.name} not found")
        return self.commits[_key(repo)]

    def _commit(self, ref: Any) -> Commit:
        repo = ref.repo if ref.HasField("repo") else ref.branch.repo
        for commit in reversed(self._repo(repo)):
            if commit.id == ref.id or (not ref.id and commit.branch == ref.branch.name):
                return commit
        if ref.id:
            raise not_found(f"commit {repo.project.name}/{repo.name}@{ref.id} not found")
        raise not_found(f'branch "{ref.branch.name}" not found in repo {repo.project.name}/{repo.name}')

    def _ref(self, commit: Commit, type: str = "user") -> Any:
        """2.7 names the repo in the branch, clusters since 2.11 leave the branch out (reference pfs 2.1)."""
        repo = pfs_pb2.Repo(name=commit.repo[1], type=type, project=pfs_pb2.Project(name=commit.repo[0]))
        if self.old:
            return pfs_pb2.Commit(id=commit.id, branch=pfs_pb2.Branch(repo=repo, name=commit.branch))
        return pfs_pb2.Commit(id=commit.id, repo=repo)


def _key(named: Any) -> Key:
    return named.project.name or "default", named.name


def _pfs_inputs(input: Any) -> Iterator[Any]:
    if input.HasField("pfs"):
        yield input.pfs
    for part in (*input.cross, *input.union, *input.join, *input.group):
        yield from _pfs_inputs(part)


# -- over the wire -----------------------------------------------------------------------------------------------------

_METHODS: dict[str, dict[str, tuple[str, Any]]] = {
    "versionpb_v2.API": {"GetVersion": ("unary_unary", empty_pb2.Empty)},
    "pfs_v2.API": {
        "InspectProject": ("unary_unary", pfs_pb2.InspectProjectRequest),
        "CreateProject": ("unary_unary", pfs_pb2.CreateProjectRequest),
        "InspectRepo": ("unary_unary", pfs_pb2.InspectRepoRequest),
        "CreateRepo": ("unary_unary", pfs_pb2.CreateRepoRequest),
        "InspectCommit": ("unary_unary", pfs_pb2.InspectCommitRequest),
        "WalkFile": ("unary_stream", pfs_pb2.WalkFileRequest),
        "ModifyFile": ("stream_unary", pfs_pb2.ModifyFileRequest),
        "GetFile": ("unary_stream", pfs_pb2.GetFileRequest),
    },
    "pps_v2.API": {
        "InspectPipeline": ("unary_unary", pps_pb2.InspectPipelineRequest),
        "CreatePipeline": ("unary_unary", pps_pb2.CreatePipelineRequest),
        "InspectJob": ("unary_unary", pps_pb2.InspectJobRequest),
    },
}


def serve(cluster: FakeCluster) -> tuple[grpc.Server, str]:
    """A server on a free port of this machine, and its address."""
    server = grpc.server(ThreadPoolExecutor(4))
    for service, methods in _METHODS.items():
        handlers = {name: _handler(cluster, name, kind, request) for name, (kind, request) in methods.items()}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"grpc://127.0.0.1:{port}"


def _handler(cluster: FakeCluster, name: str, kind: str, request: Any) -> Any:
    answer: Callable[[Any], Any] = getattr(cluster, "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_"))

    def admit(context: grpc.ServicerContext) -> None:
        cluster.calls.append(name)
        given = dict(context.invocation_metadata()).get("authn-token", "")
        if cluster.token and name != "GetVersion" and given != cluster.token:
            text = "provided auth token is corrupted or has expired" if given else "no authentication token"
            context.abort(grpc.StatusCode.UNAUTHENTICATED, f"{text} (try logging in)")

    def one(asked: Any, context: grpc.ServicerContext) -> Any:
        admit(context)
        try:
            return answer(asked)
        except Refusal as refusal:
            context.abort(refusal.code, refusal.text)

    def many(asked: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        admit(context)
        try:
            yield from answer(asked)
        except Refusal as refusal:
            context.abort(refusal.code, refusal.text)

    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(
        many if kind == "unary_stream" else one,
        request_deserializer=request.FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
