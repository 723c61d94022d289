"""Brings a home up to date with its project file: first decides, as data, what changed; then does it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from local_runner.errors import Invalid, NotFound, SpecError, Unavailable
from local_runner.images.folder import code_digest, image_folder, read_image
from local_runner.images.notes import notes_here
from local_runner.model.inputs import leaves
from local_runner.model.jobs import JobState
from local_runner.model.names import DEFAULT_PROJECT, clean_path
from local_runner.model.pipelines import PipelineSpec
from local_runner.model.refs import BranchRef, CommitQuery, PipelineRef, RepoRef
from local_runner.model.wording import change_word
from local_runner.pipelines.missing_secrets import missing_secrets
from local_runner.pipelines.pipelines import PipelineRequest, create_pipeline, effective
from local_runner.pipelines.stored_specs import spec_of
from local_runner.project.file import DEFAULT_BRANCH, InputRepo, Project, source_files
from local_runner.repos.commits import content_root
from local_runner.repos.files import Change, Delete, Put, check_change, modify
from local_runner.repos.nodes import files_below
from local_runner.repos.repos import CURRENT_PROJECT, create_repo
from local_runner.repos.split import pieces, records
from local_runner.repos.transaction import Transaction
from local_runner.specs.effective import spec_json, user_spec
from local_runner.specs.notes import notes
from local_runner.specs.parse import parse_new_spec
from local_runner.specs.read import read_documents
from local_runner.storage.database import Session
from local_runner.storage.objects import Content, ObjectFiles, hashed


class ProjectSpec(NamedTuple):
    """A spec of a project: as written, what it means, and its file."""

    document: Mapping[str, Any]
    spec: PipelineSpec
    file: Path


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
        branch = f"@{self.repo.branch}" if self.repo.branch != DEFAULT_BRANCH else ""
        return f"{self.repo.name}{branch}: {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class SpecChanged:
    """A pipeline that has to be created or updated, and why; `notes` are what to know about its spec."""

    request: PipelineRequest
    pipeline: PipelineRef
    reason: str
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        again = ", so every datum runs again" if self.request.reprocess else ""
        return "\n".join((f"{self.pipeline.name}: {self.reason}{again}", *(f"{self.pipeline.name}: {text}" for text in self.notes)))


@dataclass(frozen=True, slots=True)
class Changes:
    """Everything that has to be done to a home, in this order.

    `adopt` are pipelines whose code is to be noted, without running anything. `needed` are those that may work: the targets and
    what they read; None for all.
    """

    files: tuple[FilesChanged, ...] = ()
    specs: tuple[SpecChanged, ...] = ()
    adopt: Mapping[PipelineRef, str] = field(default_factory=dict)
    needed: frozenset[PipelineRef] | None = None

    @property
    def is_nothing(self) -> bool:
        return not self.files and not self.specs

    @property
    def parts(self) -> list[Changes]:
        """The same, cut into as few changes as possible; in one change a repo gets one commit and a pipeline one job."""
        rounds: list[dict[str, FilesChanged]] = [{}]
        for files in self.files:
            if all(files.repo.name in others for others in rounds):
                rounds.append({})
            next(others for others in rounds if files.repo.name not in others)[files.repo.name] = files
        *first, last = (tuple(one.values()) for one in rounds)
        return [*(Changes(files) for files in first), dataclasses.replace(self, files=last)]

    @property
    def sentences(self) -> list[str]:
        return [change.sentence for change in self.files] + [change.sentence for change in self.specs]


# -- decide ------------------------------------------------------------------------------------------------------------


def compare(
    session: Session, project: Project, *, reprocess: bool = True, always_make: bool = False, targets: Sequence[str] = ()
) -> Changes:
    """Compare the project with the home, as far as `targets` (pipelines; none: all) need it.

    Without `reprocess`, changed code alone makes nothing to do; with `always_make`, every pipeline does everything again.
    Raises `Invalid` and `SpecError` for what is wrong in the project's files, `NotFound` for a target.
    """
    current = session.repos.setting(CURRENT_PROJECT) or DEFAULT_PROJECT
    wanted = in_order(list(wanted_specs(project, current, partial(effective, session))))
    if project.is_part and not targets:
        targets = [str(spec.pipeline) for _, spec, _ in wanted]
    needed = _needed(session, wanted, targets, current) if targets else None
    if needed is not None:
        wanted = [one for one in wanted if one.spec.pipeline in needed]
    read = {leaf.source.repo for _, spec, _ in wanted for leaf in leaves(spec.input)}
    repos = (repo for repo in project.repos if needed is None or _repo_ref(session, repo) in read)
    files = [change for change in (_files_change(session, repo) for repo in repos) if change is not None]
    moving = {_repo_ref(session, change.repo) for change in files}  # repos that get a commit, and with it all that read them a job
    changed = []
    adopt = {}
    for document, spec, source in wanted:
        code = code_of(project, spec)
        gets_job = any(leaf.source.repo in moving and not leaf.trigger for leaf in leaves(spec.input))
        flags = {"reprocess": reprocess, "always_make": always_make, "gets_job": gets_job}
        change = _spec_change(session, document, spec, source, code, **flags)
        if change is not None:
            changed.append(
                dataclasses.replace(
                    change,
                    notes=(*notes(spec), *missing_secrets(session, spec.transform), *notes_here(spec.transform.image, project.images)),
                )
            )
        elif reprocess and (row := session.pipelines.pipeline(spec.pipeline)) is not None and not row.code:
            adopt[spec.pipeline] = code
        if change is not None or gets_job:
            moving.add(spec.pipeline.repo)
    return Changes(tuple(files), tuple(changed), adopt, needed)


def _needed(session: Session, wanted: Sequence[ProjectSpec], targets: Sequence[str], current: str) -> frozenset[PipelineRef]:
    """These pipelines and everything upstream of them, in the project or only in the home. Raises `NotFound`."""
    specs = {row.pipeline: spec_of(row) for row in session.pipelines.pipelines()} | {spec.pipeline: spec for _, spec, _ in wanted}
    named = {name: pipeline for pipeline in specs for name in (str(pipeline), *[pipeline.name] * (pipeline.project == current))}
    for target in targets:
        if target not in named:
            near = get_close_matches(target, named, 1)
            raise NotFound(
                f'there is no pipeline "{target}" to bring up to date',
                hint=f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(p.name for p in specs)) or 'none'}",
            )
    found: set[PipelineRef] = set()
    ahead = [named[target] for target in targets]
    while ahead:
        pipeline = ahead.pop()
        if pipeline not in found:
            found.add(pipeline)
            sources = (PipelineRef(leaf.source.repo.project, leaf.source.repo.name) for leaf in leaves(specs[pipeline].input))
            ahead += [source for source in sources if source in specs]
    return frozenset(found)


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
        here = dict(project_files(repo, top, source))
        for path, content in here.items():
            taken = hashed(content)
            if there.get(path) != taken.name:
                changes.append(check_change(Put(path, taken)))
                sources[path] = content
        stale = (path for path in there if (path == top or path.startswith(top.rstrip("/") + "/")) and path not in here)
        changes += [Delete(path) for path in stale]
    is_new = session.repos.repo(ref) is None
    return FilesChanged(repo, tuple(changes), sources) if changes or is_new else None


def project_files(repo: InputRepo, top: str, source: Path) -> Iterator[tuple[str, Path | bytes]]:
    """The files of an input repo: path in the repo -> file here, or the bytes of one record."""
    for file in sorted(filter(Path.is_file, map(Path, source_files(source)))):
        path = top if file == source else clean_path(f"{top}/{file.relative_to(source).as_posix()}")
        if not repo.split:
            yield path, file
            continue
        for name, record in pieces(records(repo.split, file.read_bytes(), str(file))):
            yield f"{path}/{name}", record


def content_hash(content: Path | bytes) -> bytes:
    """The hash that a file of the project has, or would have, in a repo."""
    return hashed(content).name


def wanted_specs(project: Project, current: str, defaults: Callable[[Mapping[str, Any], str], Mapping[str, Any]]) -> Iterator[ProjectSpec]:
    """Each spec of the project: as written, as parsed, and its file. Pipelines that name no project are in `current`.

    `defaults` puts them under a spec as written. Raises `Invalid` and `SpecError`.
    """
    for path in project.specs:
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"{path} cannot be read: {error}") from None
        for document in read_documents(text, str(path)):
            try:
                spec = parse_new_spec(defaults(document.values, current), current)
            except SpecError as error:
                raise document.locate(error) from None
            yield ProjectSpec(document.values, spec, path)


def in_order(wanted: Sequence[ProjectSpec]) -> list[ProjectSpec]:
    """Pipelines after those whose output they read. Raises `Invalid` for pipelines in a circle."""
    makers = {one.spec.pipeline: one for one in wanted}
    ordered: dict[PipelineRef, ProjectSpec] = {}

    def visit(one: ProjectSpec, above: tuple[PipelineRef, ...]) -> None:
        pipeline = one.spec.pipeline
        if pipeline in above:
            circle = " -> ".join(p.name for p in (*above[above.index(pipeline) :], pipeline))
            raise Invalid(f"{one.file}: the pipelines {circle} read each other in a circle")
        if pipeline in ordered:
            if ordered[pipeline].file != one.file:
                raise Invalid(f"{one.file} and {ordered[pipeline].file} are both for pipeline {pipeline.name}")
            return
        for leaf in leaves(one.spec.input):
            # Of its output, or of what its jobs write down.
            maker = makers.get(PipelineRef(leaf.source.repo.project, leaf.source.repo.name))
            if maker is not None:
                visit(maker, (*above, pipeline))
        ordered[pipeline] = one

    for one in wanted:
        visit(one, ())
    return list(ordered.values())


def code_of(project: Project, spec: PipelineSpec) -> str:
    """The code of a pipeline as text to compare: the files behind its image, and its transform."""
    folder = image_folder(spec.transform.image, project.images)
    files: dict[str, str] = {}
    if folder is not None:
        shown = folder.relative_to(project.root) if folder.is_relative_to(project.root) else folder
        files = {f"{shown}/{name}": digest for name, digest in code_digest(read_image(folder)).items()}
    transform = dataclasses.asdict(spec.transform)
    transform["accept_return_code"] = sorted(transform["accept_return_code"])
    return json.dumps({"files": files, "transform": transform}, sort_keys=True)


def _spec_change(
    session: Session,
    document: Mapping[str, Any],
    spec: PipelineSpec,
    source: Path,
    code: str,
    *,
    reprocess: bool,
    always_make: bool,
    gets_job: bool,
) -> SpecChanged | None:
    row = session.pipelines.pipeline(spec.pipeline)
    project = spec.pipeline.project
    if row is None:
        return SpecChanged(PipelineRequest(document, project, code=code), spec.pipeline, "new pipeline")
    changed_code = "--always-make" if always_make else _code_reason(row.code, code) if row.code and reprocess else ""
    same_spec = spec_json(user_spec(document, project)) == row.user_spec
    if changed_code:
        return SpecChanged(PipelineRequest(document, project, update=True, reprocess=True, code=code), spec.pipeline, changed_code)
    kept = row.code or code
    if not same_spec:
        return SpecChanged(PipelineRequest(document, project, update=True, code=kept), spec.pipeline, f"{source.name} changed")
    # A job that comes anyway, or never as long as it is stopped, is not to be asked for.
    if not gets_job and not row.stopped and (failed := _failed_last(session, spec)):
        return SpecChanged(PipelineRequest(document, project, update=True, code=kept), spec.pipeline, f"{failed}, so it is tried again")
    return None


def _code_reason(old: str, new: str) -> str:
    """Which file or field of the transform changed, "" if none."""
    before, after = json.loads(old), json.loads(new)
    for kind, word in (("files", ""), ("transform", "transform.")):
        for name in sorted(before[kind].keys() | after[kind].keys()):
            if before[kind].get(name) != after[kind].get(name):
                verb = change_word(before=name in before[kind], after=name in after[kind])
                return f"{word}{name} {verb}"
    return ""


def _failed_last(session: Session, spec: PipelineSpec) -> str:
    """Why the last job counts as failed, "" if it does not; datums that `-i` let pass count, too."""
    last = next(session.pipelines.jobs(spec.pipeline), None)
    if last is None:
        return ""
    if last.state in (JobState.FAILURE, JobState.KILLED):
        return "its last job failed"
    return "failures in its last job were ignored" if last.counters.recovered and not spec.transform.err_cmd else ""


def _count(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{len(paths)} files"


# -- do ----------------------------------------------------------------------------------------------------------------


def stored(files: ObjectFiles, todo: Changes) -> Changes:
    """The same changes, with every content stored in the home. Raises `Unavailable` for a file that went away."""
    return dataclasses.replace(todo, files=tuple(dataclasses.replace(one, changes=_store(files, one)) for one in todo.files))


def do(txn: Transaction, todo: Changes) -> None:
    """Do it as part of a transaction, and record the code of pipelines that had none recorded. Raises `LocalRunnerError`."""
    for files in todo.files:
        ref = _repo_ref(txn.session, files.repo)
        if txn.session.repos.repo(ref) is None:
            create_repo(txn, ref)
        modify(txn, CommitQuery(ref, files.repo.branch), files.changes)
    for spec in todo.specs:
        create_pipeline(txn, spec.request)
    for pipeline, code in todo.adopt.items():
        txn.session.pipelines.set_pipeline_code(pipeline, code)


def _repo_ref(session: Session, repo: InputRepo) -> RepoRef:
    return RepoRef(session.repos.setting(CURRENT_PROJECT) or DEFAULT_PROJECT, repo.name)


def _store(files: ObjectFiles, change: FilesChanged) -> tuple[Change, ...]:
    """The changes, with every content stored in the home."""

    def content(source: Path | bytes) -> Content:
        try:
            return files.take(source)
        except FileNotFoundError:
            raise Unavailable(f"{source!s} went away while it was read", hint="run again") from None

    return tuple(dataclasses.replace(c, content=content(change.sources[c.path])) if isinstance(c, Put) else c for c in change.changes)
