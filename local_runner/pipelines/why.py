"""Traces files for `why`: backward to the datums that wrote them and to the sources, forward to everything made of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from local_runner.errors import LocalRunnerError
from local_runner.model.datums import DatumInfo, InputFile
from local_runner.model.entries import DEFAULT_TAG, entry_key, folder_range, parse_value
from local_runner.model.refs import USER, CommitRef, FileQuery, JobRef, PipelineRef, RepoRef
from local_runner.pipelines.datum_index import read_datum_index
from local_runner.pipelines.job_commits import meta_roots, output_commit
from local_runner.pipelines.meta import files_path, meta_path, parse_meta
from local_runner.repos.commits import content_root
from local_runner.repos.files import find_node
from local_runner.repos.nodes import Node, files_below, node_at
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Session
from local_runner.storage.trees import Root


@dataclass(frozen=True, slots=True)
class FileNode:
    """A file, or a folder (path with trailing slash), in a commit.

    Looking back, `datums` wrote it, and `put` are the commits in which people put it or what is in it, newest first; looking forward,
    `datums` read it. `gone` says why no more is known.
    """

    commit: CommitRef
    path: str
    hash: bytes
    size: int
    datums: tuple[DatumNode, ...] = ()
    put: tuple[PutFile, ...] = ()
    gone: str = ""


@dataclass(frozen=True, slots=True)
class PutFile:
    """A commit in which people put files: those of them that are meant here, and when it began, in seconds since the epoch."""

    commit: CommitRef
    time: float
    description: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DatumNode:
    """A datum of a job. `files` are what it read, looking back, and what it wrote, looking forward.

    `written` is how many files of the folder above it wrote. `again` says that its files are shown at its first mention only.
    """

    pipeline: PipelineRef
    job: str
    id: str
    state: str
    files: tuple[FileNode, ...] = ()
    written: int = 0
    again: bool = False


# -- back --------------------------------------------------------------------------------------------------------------


def origin(session: Session, file: FileQuery) -> FileNode:
    """A file with the datum that wrote it, what that read, and so on back to what people put. Raises `NotFound`."""
    row, node = find_node(session, file)
    return _Back(session).file(row, node)


class _Back:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._seen: set[tuple[PipelineRef, str, str]] = set()

    def file(self, row: CommitRow, node: Node) -> FileNode:
        writers: dict[str, list[Node]] = defaultdict(list)
        for file in files_below(self._session.trees, content_root(self._session, row), node.path) if node.path.endswith("/") else [node]:
            writers[file.tag].append(file)
        by_people = writers.pop(DEFAULT_TAG, [])
        datums = tuple(self._datum(row, tag, len(files)) for tag, files in writers.items())
        return FileNode(row.ref, node.path, node.hash, node.size, datums, self._put(row, by_people))

    def _datum(self, row: CommitRow, tag: str, written: int) -> DatumNode:
        session, pipeline = self._session, PipelineRef(row.ref.repo.project, row.ref.repo.name)
        info = _datum_of(session, JobRef(pipeline, row.ref.id), tag)
        if info is None:
            return DatumNode(pipeline, "", tag, "its record is gone", written=written)
        key = pipeline, info.job, tag
        again = key in self._seen
        self._seen.add(key)
        files = () if again else tuple(map(self._input, info.datum.inputs))
        return DatumNode(pipeline, info.job, tag, info.state, files, written, again)

    def _input(self, file: InputFile) -> FileNode:
        commit = CommitRef(file.source.source.repo, file.commit)
        known = FileNode(commit, file.path, file.hash, file.size)
        repo = self._session.repos.repo(commit.repo)
        row = self._session.commits.find(repo.key, commit.id) if repo else None
        node = node_at(self._session.trees, self._root(row), file.path.rstrip("/") or "/") if row else None
        return self.file(row, node) if row and node else replace(known, gone="the commit was deleted")

    def _put(self, row: CommitRow, files: Sequence[Node]) -> tuple[PutFile, ...]:
        """The commits in which people put these files with their present content."""
        left = {entry_key(file.path): file.path for file in files}
        found = []
        while left:
            parent = self._session.commits.at(row.parent) if row.parent is not None else None
            differences = self._session.trees.diff(self._root(parent), self._root(row))
            came = [key for key, _, value in differences if value is not None and key in left]
            if came:
                found.append(PutFile(row.ref, row.started, row.description, tuple(map(left.pop, came))))
            if parent is None:
                break
            row = parent
        return tuple(found)

    def _root(self, row: CommitRow | None) -> Root:
        try:
            return content_root(self._session, row) if row else None
        except LocalRunnerError:
            return None


def _datum_of(session: Session, job: JobRef, datum_id: str) -> DatumInfo | None:
    tree = meta_roots(session, job)[0]
    return _record(session, tree, job.id, datum_id)


def _record(session: Session, tree: Root, job: str, datum_id: str) -> DatumInfo | None:
    value = session.trees.get(tree, entry_key(meta_path(datum_id), datum_id))
    return parse_meta(b"".join(session.objects.read(parse_value(value)[0])), job) if value else None


# -- forward -----------------------------------------------------------------------------------------------------------


def consequences(session: Session, file: FileQuery) -> FileNode:
    """A file with the datums that read it in the newest job of each pipeline that did, what they wrote, and so on. Raises `NotFound`."""
    row, node = find_node(session, file)
    return _Forward(session).file(row, node)


class _Forward:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._seen: set[tuple[PipelineRef, str, str]] = set()
        self._readers: dict[tuple[JobRef, RepoRef], dict[str, list[DatumInfo]]] = {}

    def file(self, row: CommitRow, node: Node) -> FileNode:
        found: dict[tuple[PipelineRef, str], DatumNode] = {}
        for output in self._outputs(row):
            pipeline = PipelineRef(output.ref.repo.project, output.ref.repo.name)
            job = JobRef(pipeline, output.ref.id)
            for info in self._reading(job, row.ref.repo, node.path):
                found.setdefault((pipeline, info.datum.id), self._datum(job, output, info))
        return FileNode(row.ref, node.path, node.hash, node.size, tuple(found.values()))

    def _outputs(self, row: CommitRow) -> list[CommitRow]:
        """The newest output commit of each repo that stands on this commit."""
        newest = {one.repo: one for one in self._session.commits.dependants(row.key) if one.ref.repo.type == USER}
        return list(newest.values())

    def _reading(self, job: JobRef, repo: RepoRef, path: str) -> Iterator[DatumInfo]:
        """The datums of a job that read a file, by itself or within a folder; or something in it, if it is a folder."""
        if (job, repo) not in self._readers:
            by_path: dict[str, list[DatumInfo]] = defaultdict(list)
            tree, datum_index = meta_roots(self._session, job)
            for datum_id, _ in read_datum_index(self._session.trees, datum_index):
                info = _record(self._session, tree, job.id, datum_id)
                for read in info.datum.inputs if info else ():
                    if info and read.source.source.repo == repo:
                        by_path[read.path].append(info)
            self._readers[job, repo] = by_path
        known = self._readers[job, repo]
        for at, letter in enumerate(path):
            if letter == "/":
                yield from known.get(path[: at + 1], ())
        if path.endswith("/"):
            yield from (info for below, infos in known.items() if below.startswith(path) and below != path for info in infos)
        else:
            yield from known.get(path, ())

    def _datum(self, job: JobRef, output: CommitRow, info: DatumInfo) -> DatumNode:
        key = job.pipeline, job.id, info.datum.id
        again = key in self._seen
        self._seen.add(key)
        files = () if again else tuple(self.file(output, node) for node in self._written(job, output, info.datum.id))
        return DatumNode(job.pipeline, info.job, info.datum.id, info.state, files, again=again)

    def _written(self, job: JobRef, output: CommitRow, datum_id: str) -> list[Node]:
        session, out = self._session, f"{files_path(datum_id)}/out"
        meta = output_commit(session, job, "meta")
        found = session.trees.scan(meta.tree, *folder_range(out)) if meta else ()
        paths = ((key.decode().partition("\0")[0].removeprefix(out), value) for key, value in found)
        # What a job that failed had written is in no commit.
        kept = ((path, session.trees.get(output.tree, entry_key(path, datum_id)), value) for path, value in paths)
        return [Node(path, *parse_value(value), datum_id) for path, there, value in kept if there == value]
