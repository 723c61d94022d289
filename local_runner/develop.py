"""The development loop: bring a home up to date with its project file. Decides what changed, as data; then does it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from local_runner.engine.jobs import output_commit
from local_runner.engine.pipelines import Request, create_pipeline, effective
from local_runner.engine.plan import Plan
from local_runner.engine.prepare import input_commits, prepare
from local_runner.engine.specs_at_rest import spec_of
from local_runner.engine.triggers import settle
from local_runner.errors import Invalid, SpecError, Unavailable
from local_runner.executors.images import code_digest, image_folder, read_image
from local_runner.model.file_hash import FileHasher
from local_runner.model.ids import new_id
from local_runner.model.inputs import leaves
from local_runner.model.jobs import JobInfo, JobState
from local_runner.model.names import clean_path
from local_runner.model.pipelines import PipelineSpec
from local_runner.model.refs import BranchRef, CommitQuery, PipelineRef, RepoRef
from local_runner.project import InputRepo, Project
from local_runner.repos.commits import content_root
from local_runner.repos.files import Change, Delete, Put, check_change, modify
from local_runner.repos.lifecycle import create_repo
from local_runner.repos.nodes import files_below
from local_runner.repos.split import pieces, records
from local_runner.repos.transaction import Transaction
from local_runner.runner import Runner
from local_runner.specs.effective import spec_json, user_spec
from local_runner.specs.notes import notes
from local_runner.specs.parse import parse_spec
from local_runner.specs.read import read_documents
from local_runner.storage.database import Session
from local_runner.storage.objects import Content

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class FilesChanged:
    """An input repo that has to get a commit. A `Put` of a large file has only its hash until it is stored."""

    repo: InputRepo
    changes: tuple[Change, ...]
    sources: Mapping[str, Path | bytes]

    @property
    def sentence(self) -> str:
        put = [c.path for c in self.changes if isinstance(c, Put)]
        gone = [c.path for c in self.changes if isinstance(c, Delete)]
        parts = [f"{_count(put)} to put"] * bool(put) + [f"{_count(gone)} to delete"] * bool(gone)
        return f"{self.repo.name}: {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class SpecChanged:
    """A pipeline that has to be created or updated, and why; `notes` are what to know about its spec."""

    request: Request
    pipeline: PipelineRef
    reason: str
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        again = ", so every datum runs again" if self.request.reprocess else ""
        return "\n".join((f"{self.pipeline.name}: {self.reason}{again}", *(f"{self.pipeline.name}: {text}" for text in self.notes)))


@dataclass(frozen=True, slots=True)
class ToDo:
    """Everything that has to be done to a home, in this order."""

    files: tuple[FilesChanged, ...] = ()
    specs: tuple[SpecChanged, ...] = ()
    adopt: Mapping[PipelineRef, str] = field(default_factory=dict)  # pipelines whose code is to be noted, without running anything

    @property
    def is_nothing(self) -> bool:
        return not self.files and not self.specs

    @property
    def sentences(self) -> list[str]:
        return [change.sentence for change in self.files] + [change.sentence for change in self.specs]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a job would do: its plan, or the inputs it has to wait for."""

    pipeline: PipelineRef
    plan: Plan | None
    waits_for: tuple[str, ...] = ()


# -- decide ------------------------------------------------------------------------------------------------------------


def compare(session: Session, project: Project, *, reprocess: bool = True) -> ToDo:
    """What differs between the project and the home. Without `reprocess`, changed code alone makes nothing to do.

    Raises `Invalid` and `SpecError` for what is wrong in the project's files.
    """
    wanted = list(_wanted_specs(session, project))
    changed = []
    adopt = {}
    for document, spec, source in _in_order(wanted):
        code = _code(project, spec)
        change = _spec_change(session, document, spec, source, code, reprocess)
        if change is not None:
            changed.append(dataclasses.replace(change, notes=tuple(notes(spec))))
        elif reprocess and (row := session.pipelines.pipeline(spec.pipeline)) is not None and not row.code:
            adopt[spec.pipeline] = code
    files = (_files_change(session, repo) for repo in project.repos)
    return ToDo(tuple(change for change in files if change is not None), tuple(changed), adopt)


def _files_change(session: Session, repo: InputRepo) -> FilesChanged | None:
    ref = _repo_ref(session, repo)
    there: dict[str, bytes] = {}
    branch = session.repos.branch(BranchRef(ref, repo.branch))
    if branch is not None and branch.head is not None:
        root = content_root(session, session.commits.at(branch.head))
        there = {node.path: node.hash for node in files_below(session.trees, root)}
    changes: list[Change] = []
    sources: dict[str, Path | bytes] = {}
    for name, source in repo.files.items():
        top = clean_path(name)
        here = dict(_project_files(repo, top, source))
        for path, content in here.items():
            taken = _hashed(content)
            if there.get(path) != taken.name:
                changes.append(check_change(Put(path, taken)))
                sources[path] = content
        stale = (path for path in there if (path == top or path.startswith(top.rstrip("/") + "/")) and path not in here)
        changes += [Delete(path) for path in stale]
    is_new = session.repos.repo(ref) is None
    return FilesChanged(repo, tuple(changes), sources) if changes or is_new else None


def _project_files(repo: InputRepo, top: str, source: Path) -> Iterator[tuple[str, Path | bytes]]:
    """Path in the repo -> file, or the bytes of a record."""
    for file in sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]:
        path = top if file == source else clean_path(f"{top}/{file.relative_to(source).as_posix()}")
        if not repo.split:
            yield path, file
            continue
        for name, record in pieces(records(repo.split, file.read_bytes(), str(file))):
            yield f"{path}/{name}", record


def _hashed(content: Path | bytes) -> Content:
    """The hash and size of a content, stored nowhere yet."""
    hasher, size = FileHasher(), 0
    if isinstance(content, bytes):
        hasher.update(content)
        return Content(hasher.digest(), len(content))
    with content.open("rb") as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
            size += len(block)
    return Content(hasher.digest(), size)


Wanted = tuple[Mapping[str, Any], PipelineSpec, Path]


def _wanted_specs(session: Session, project: Project) -> Iterator[Wanted]:
    current = session.repos.setting("current project") or "default"
    for path in project.specs:
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"{path} cannot be read: {error}") from None
        for document in read_documents(text, str(path)):
            try:
                spec = parse_spec(effective(session, document.values, current), current)
            except SpecError as error:
                raise document.locate(error) from None
            yield document.values, spec, path


def _in_order(wanted: Sequence[Wanted]) -> list[Wanted]:
    """Pipelines after those whose output they read. Raises `Invalid` for pipelines in a circle."""
    makers = {spec.pipeline.repo: (document, spec, path) for document, spec, path in wanted}
    ordered: dict[PipelineRef, Wanted] = {}

    def visit(one: Wanted, above: tuple[PipelineRef, ...]) -> None:
        pipeline = one[1].pipeline
        if pipeline in above:
            circle = " -> ".join(p.name for p in (*above[above.index(pipeline) :], pipeline))
            raise Invalid(f"{one[2]}: the pipelines {circle} read each other in a circle")
        if pipeline in ordered:
            if ordered[pipeline][2] != one[2]:
                raise Invalid(f"{one[2]} and {ordered[pipeline][2]} are both for pipeline {pipeline.name}")
            return
        for leaf in leaves(one[1].input):
            if leaf.source.repo in makers:
                visit(makers[leaf.source.repo], (*above, pipeline))
        ordered[pipeline] = one

    for one in wanted:
        visit(one, ())
    return list(ordered.values())


def _code(project: Project, spec: PipelineSpec) -> str:
    """What the datums of a pipeline are made with, as text to compare: the files behind its image, and its transform."""
    folder = image_folder(spec.transform.image, project.images)
    files: dict[str, str] = {}
    if folder is not None:
        shown = folder.relative_to(project.root) if folder.is_relative_to(project.root) else folder
        files = {f"{shown}/{name}": digest for name, digest in code_digest(read_image(folder)).items()}
    transform = dataclasses.asdict(spec.transform)
    transform["accept_return_code"] = sorted(transform["accept_return_code"])
    return json.dumps({"files": files, "transform": transform}, sort_keys=True)


def _spec_change(
    session: Session, document: Mapping[str, Any], spec: PipelineSpec, source: Path, code: str, reprocess: bool
) -> SpecChanged | None:
    row = session.pipelines.pipeline(spec.pipeline)
    project = spec.pipeline.project
    if row is None:
        return SpecChanged(Request(document, project, code=code), spec.pipeline, "new pipeline")
    changed_code = _code_reason(row.code, code) if row.code and reprocess else ""
    same_spec = spec_json(user_spec(document, project)) == row.user_spec
    if changed_code:
        return SpecChanged(Request(document, project, update=True, reprocess=True, code=code), spec.pipeline, changed_code)
    if not same_spec:
        kept = row.code or code
        return SpecChanged(Request(document, project, update=True, code=kept), spec.pipeline, f"{source.name} changed")
    if _failed_last(session, spec.pipeline):
        return SpecChanged(Request(document, project, update=True, code=row.code or code), spec.pipeline, "its last job failed")
    return None


def _code_reason(old: str, new: str) -> str:
    """Which file or field of the transform changed, "" if none."""
    before, after = json.loads(old), json.loads(new)
    for kind, word in (("files", ""), ("transform", "transform.")):
        for name in sorted(before[kind].keys() | after[kind].keys()):
            if before[kind].get(name) != after[kind].get(name):
                verb = "appeared" if name not in before[kind] else "is gone" if name not in after[kind] else "changed"
                return f"{word}{name} {verb}"
    return ""


def _failed_last(session: Session, pipeline: PipelineRef) -> bool:
    last = next(session.pipelines.jobs(pipeline), None)
    return last is not None and last.state in (JobState.FAILURE, JobState.KILLED)


def _count(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{len(paths)} files"


# -- do ----------------------------------------------------------------------------------------------------------------


def bring_up_to_date(runner: Runner, todo: ToDo) -> None:
    """Commit the files and create or update the pipelines; each file commit and each pipeline is a change of its own.

    A code that was not known before is noted. Raises `LocalRunnerError`; what was done before it stays.
    """
    for change in todo.files:
        _commit_files(runner, change)
    for spec in todo.specs:
        runner.change(partial(create_pipeline, request=spec.request))
    if todo.adopt:
        with runner.database.write() as session:
            for pipeline, code in todo.adopt.items():
                session.pipelines.set_pipeline_code(pipeline, code)


def _repo_ref(session: Session, repo: InputRepo) -> RepoRef:
    return RepoRef(session.repos.setting("current project") or "default", repo.name)


def _commit_files(runner: Runner, change: FilesChanged) -> None:
    def content(source: Path | bytes) -> Content:
        try:
            return runner.database.files.take(source)
        except FileNotFoundError:
            raise Unavailable(f"{source!s} went away while it was read", hint="run again") from None

    stored = [dataclasses.replace(c, content=content(change.sources[c.path])) if isinstance(c, Put) else c for c in change.changes]

    def commit(txn: Transaction) -> None:
        ref = _repo_ref(txn.session, change.repo)
        if txn.session.repos.repo(ref) is None:
            create_repo(txn, ref)
        modify(txn, CommitQuery(ref, change.repo.branch), stored)

    runner.change(commit)


# -- foretell ----------------------------------------------------------------------------------------------------------


class _TakeBack(Exception):
    pass


def forecast(runner: Runner, todo: ToDo) -> list[Forecast]:
    """What the jobs would do that follow from a list of things to do. Nothing is kept."""
    found: list[Forecast] = []
    try:
        with runner.database.write() as session:
            before = {info.job for info in session.pipelines.jobs()} - {info.job for info in session.pipelines.unfinished_jobs()}
            for change in todo.files:
                ref = _repo_ref(session, change.repo)
                txn = Transaction(session, new_id(), 0.0)
                if session.repos.repo(ref) is None:
                    create_repo(txn, ref)
                modify(txn, CommitQuery(ref, change.repo.branch), change.changes)
                settle(txn)
            for spec in todo.specs:
                txn = Transaction(session, new_id(), 0.0)
                create_pipeline(txn, spec.request)
                settle(txn)
            newest = {info.job.pipeline: info for info in reversed(list(session.pipelines.jobs())) if info.job not in before}
            found = [_foretell(session, info) for info in newest.values()]
            raise _TakeBack
    except _TakeBack:
        return found


def _foretell(session: Session, info: JobInfo) -> Forecast:
    row = session.pipelines.version(info.job.pipeline, info.pipeline_version)
    output = output_commit(session, info.job)
    assert row is not None
    assert output is not None
    spec = spec_of(row)
    commits = input_commits(session, spec, output)
    waits = tuple(leaf.name for leaf in leaves(spec.input) if commits[leaf.source].finished is None)
    return Forecast(info.job.pipeline, None if waits else prepare(session, info, spec, row.salt).plan, waits)
