"""A Pachyderm cluster as `deploy` and `pull` need it, called through python-pachyderm."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from local_runner.deploy.address import certificates, context_for, whole_address
from local_runner.deploy.refusals import found, said_plainly
from local_runner.errors import Invalid, LocalRunnerError, NotFound, Unavailable, Unsupported, WorkFailed
from local_runner.model.jobs import Counters, JobState
from local_runner.model.refs import BranchRef, CommitQuery, CommitRef, PipelineRef, RepoRef
from local_runner.specs.check import normal

_PER_CALL = frozenset({"update", "reprocess", "dryRun"})  # said of one call, not of the pipeline


@dataclass(frozen=True, slots=True)
class RemoteCommit:
    """A commit on a cluster; `made_from` are the commits it was made from."""

    commit: CommitRef
    is_finished: bool
    error: str
    made_from: tuple[CommitRef, ...]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A regular file on a cluster, with Pachyderm's hash of it."""

    path: str
    hash: bytes
    size: int


@dataclass(frozen=True, slots=True)
class RemotePipeline:
    """A pipeline as a cluster reports it. `spec_json` is the spec it was made with, "" before Pachyderm 2.8; `last_job` a state's word."""

    spec_json: str
    image: str
    state: str
    reason: str
    stopped: bool
    last_job: str


@dataclass(frozen=True, slots=True)
class RemoteJob:
    """A job as a cluster reports it."""

    state: JobState
    reason: str
    counters: Counters


class Cluster:
    """A connected cluster. Methods raise `LocalRunnerError`."""

    def __init__(self, client: Any, address: str) -> None:
        self._client = client
        self.address = address

    @classmethod
    def connect(cls, address: str) -> Cluster:
        """Connect and say hello. The token comes from PACH_TOKEN, else from pachctl's configuration if it knows this address.

        Raises `Invalid` for an address that cannot be one, `Unavailable` for a cluster that does not answer, and if python-pachyderm
        is not installed; `Refused` if the cluster wants a login.
        """
        whole = whole_address(address)
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its core would print what is said below in our words
        try:
            import python_pachyderm  # of the extra `stages`; the core does without
        except ImportError:
            text = "python-pachyderm is not installed, through which clusters are talked to"
            raise Unavailable(text, hint="pip install 'local_runner[stages]', or take the lines of `deploy --dry-run`") from None
        context = context_for(whole)
        token = os.environ.get("PACH_TOKEN") or context.get("session_token") or None
        try:
            client = python_pachyderm.Client.new_from_pachd_address(whole, auth_token=token, root_certs=certificates(whole, context))
        except ValueError as error:
            raise Invalid(f"{address} is no address of a cluster: {error}", hint="write grpc://HOST:PORT") from None
        cluster = cls(client, whole)
        cluster.greet()
        return cluster

    @said_plainly
    def greet(self) -> str:
        """The version of the cluster, after one call that needs a login where there are logins."""
        version = self._client.get_remote_version()
        found(lambda: self._client.inspect_project("default"), but=("NOT_FOUND", "PERMISSION_DENIED"))
        return f"{version.major}.{version.minor}.{version.micro}"

    # -- repos and files -----------------------------------------------------------------------------------------------

    @said_plainly
    def make_project(self, name: str) -> bool:
        """False if it is there already."""
        if found(lambda: self._client.inspect_project(name)) is not None:
            return False
        self._client.create_project(name)
        return True

    @said_plainly
    def make_repo(self, repo: RepoRef) -> bool:
        """False if it is there already."""
        if found(lambda: self._client.inspect_repo(repo.name, repo.project)) is not None:
            return False
        self._client.create_repo(repo.name, project_name=repo.project)
        return True

    @said_plainly
    def head(self, query: CommitQuery | BranchRef, *, wait: bool = False) -> RemoteCommit:
        """The commit of a branch or an id; with `wait`, once it is finished. Raises `NotFound`."""
        from python_pachyderm.proto.v2.pfs import pfs_pb2

        state = pfs_pb2.CommitState.FINISHED if wait else pfs_pb2.CommitState.STARTED
        [info] = self._client.inspect_commit(_commit(query), state)
        made_from = tuple(ref for ref in map(_ref, info.direct_provenance) if ref.repo.type == "user")
        return RemoteCommit(_ref(info.commit), info.HasField("finished"), info.error, made_from)

    @said_plainly
    def files(self, commit: CommitRef) -> list[RemoteFile]:
        """The regular files of a commit."""
        from python_pachyderm.proto.v2.pfs import pfs_pb2

        found = self._client.walk_file(_commit(commit), "/")
        return [RemoteFile(info.file.path, info.hash, info.size_bytes) for info in found if info.file_type == pfs_pb2.FileType.FILE]

    def files_at(self, branch: BranchRef) -> dict[str, bytes]:
        """Path -> hash of the files at a branch's head; none if there is no such branch."""
        try:
            head = self.head(branch).commit
        except NotFound:
            return {}
        return {file.path: file.hash for file in self.files(head)}

    @said_plainly
    def put(self, branch: BranchRef, files: Mapping[str, Path | bytes], gone: Sequence[str]) -> None:
        """One commit on a branch: these files written, those gone. Returns when the cluster has checked it; raises `WorkFailed`."""
        with self._client.modify_file_client(_commit(branch)) as change:
            for path in gone:
                change.delete_file(path)
            for path, content in files.items():
                # Not put_file_from_filepath, which sends a message for each line (reference pfs 1.6).
                change.put_file_from_fileobj(path, _Lazy(content) if isinstance(content, Path) else io.BytesIO(content))
        done = self.head(branch, wait=True)
        if done.error:
            raise WorkFailed(f"the cluster did not accept the files of {branch}: {done.error}")

    @contextlib.contextmanager
    def open(self, commit: CommitRef, path: str) -> Iterator[BinaryIO]:
        """The content of a file that is not empty. What the connection loses is missing at its end: compare the size."""
        with self._get(commit, path) as file:
            yield file

    @said_plainly
    def _get(self, commit: CommitRef, path: str) -> Any:
        return self._client.get_file(_commit(commit), path)

    # -- pipelines and jobs --------------------------------------------------------------------------------------------

    @said_plainly
    def pipeline(self, pipeline: PipelineRef) -> RemotePipeline | None:
        """A pipeline on the cluster; None if there is none."""
        from python_pachyderm.proto.v2.pps import pps_pb2

        def look() -> Any:
            [info] = self._client.inspect_pipeline(pipeline.name, details=True, project_name=pipeline.project)
            return info

        info = found(look)
        if info is None:
            return None
        # Field 13 is `user_spec_json` since Pachyderm 2.8; python-pachyderm knows the name it had before.
        spec_json, state = info.details_json, pps_pb2.PipelineState.Name(info.state).removeprefix("PIPELINE_").lower()
        last_job = pps_pb2.JobState.Name(info.last_job_state).removeprefix("JOB_").lower()
        return RemotePipeline(spec_json, info.details.transform.image, state, info.reason, info.stopped, last_job)

    @said_plainly
    def send(self, document: Mapping[str, Any], *, update: bool, reprocess: bool) -> None:
        """Create or update a pipeline. Raises `Unsupported` for a field that python-pachyderm does not know."""
        from google.protobuf.json_format import ParseError
        from python_pachyderm.util import parse_dict_pipeline_spec

        try:
            request = parse_dict_pipeline_spec(normal(document))
        except ParseError as error:
            hint = "take the lines of `deploy --dry-run`: pachctl knows all fields"
            raise Unsupported(f"{document['pipeline']['name']}: python-pachyderm cannot send this spec: {error}", hint=hint) from None
        request.update, request.reprocess = update, reprocess
        self._client.create_pipeline_from_request(request)

    @said_plainly
    def job(self, pipeline: PipelineRef, id: str) -> RemoteJob | None:
        """The job of an output commit; None if it has none."""
        from python_pachyderm.proto.v2.pps import pps_pb2

        def look() -> Any:
            [info] = self._client.inspect_job(id, pipeline.name, project_name=pipeline.project)
            return info

        info = found(look)
        if info is None:
            return None
        counters = Counters(info.data_total, info.data_processed, info.data_skipped, info.data_failed, info.data_recovered)
        return RemoteJob(JobState(pps_pb2.JobState.Name(info.state)), info.reason, counters)


def same_spec(mine: Mapping[str, Any], theirs: str) -> bool:
    """Whether a spec says what the cluster's copy says; a copy that cannot be read says something else."""
    try:
        return _own(normal(json.loads(theirs))) == _own(normal(mine))
    except (ValueError, KeyError, TypeError, LocalRunnerError):
        return False


def _own(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in _PER_CALL}


# -- messages ----------------------------------------------------------------------------------------------------------


def _commit(of: CommitQuery | CommitRef | BranchRef) -> Any:
    from python_pachyderm.pfs import Commit

    branch = of.name if isinstance(of, BranchRef) else of.branch if isinstance(of, CommitQuery) else None
    id = of.id if isinstance(of, CommitQuery | CommitRef) else None
    return Commit(of.repo.name, branch or None, id or None, of.repo.type, of.repo.project)


def _ref(commit: Any) -> CommitRef:
    """A commit's reference; clusters before 2.11 name the repo in its branch, later ones in the commit (reference pfs 2.1)."""
    repo = commit.repo if commit.HasField("repo") else commit.branch.repo
    return CommitRef(RepoRef(repo.project.name, repo.name, repo.type), commit.id)


class _Lazy:
    """A file that is opened when it is first read and closed at its end: a commit may hold more files than a process may open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def read(self, size: int) -> bytes:
        self._file = self._file or self._path.open("rb")
        block = self._file.read(size)
        if not block:
            self._file.close()
        return block
