"""Finds the datums that specs would make of the present data, and errors that their jobs would end with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

from local_runner.api.pipelines import Pipelines
from local_runner.api.versions import Versions
from local_runner.errors import LocalRunnerError, NotFound
from local_runner.model.datums import DatumInfo
from local_runner.model.inputs import Cron, Input, Pfs, leaves
from local_runner.model.jobs import JobState
from local_runner.model.pipelines import TRANSFORM, PipelineSpec
from local_runner.model.refs import CommitQuery, FileQuery, PipelineRef, RepoRef

# Words in the name or path of what a model is to be judged by.
_TEST = re.compile(r"(?<![a-z])(test(ing|s)?|hold-?_?out|valid(ation)?|eval(uation)?)(?![a-z])", re.IGNORECASE)

_DATUM = re.compile(r"\bfrom ([0-9a-f]{64})\b")  # in the reason of a job that failed of two datums writing one path


@dataclass(frozen=True, slots=True)
class Prospect:
    """`sentence` says how many datums there would be, or when that will be known."""

    sentence: str
    datums: tuple[DatumInfo, ...] = ()
    warnings: tuple[str, ...] = ()


class _File(NamedTuple):
    path: str
    hash: bytes


class Prospects(Versions, Pipelines):
    """What would become of specs that are not pipelines yet."""

    def prospects(self, specs: Sequence[PipelineSpec]) -> dict[PipelineRef, Prospect]:
        """The datums that each of these specs would make of the present data; one may read what another will write.

        Nothing is changed.
        """
        data = _Data(self)
        outputs = {spec.pipeline.repo for spec in specs}
        there = {info.pipeline.repo: info.spec for info in self.list_pipeline()}
        pipelines = there | {spec.pipeline.repo: spec for spec in specs}
        taken = {info.repo for info in self.list_repo()} - there.keys()
        found = {}
        for spec in specs:
            prospect = _prospect(data, spec, outputs, pipelines)
            if spec.pipeline.repo in taken:
                warning = f"there is a repo {spec.pipeline.name} that no pipeline made, so this one cannot be created"
                prospect = replace(prospect, warnings=(warning, *prospect.warnings))
            found[spec.pipeline] = prospect
        return found


class _Data:
    """The files that inputs select now, each input looked up once."""

    def __init__(self, runner: Prospects) -> None:
        self._runner = runner
        self.matches = cache(self._matches)
        self.files = cache(self._files)

    def datums(self, expression: Input, project: str) -> list[DatumInfo]:
        """Raises `NotFound` for a branch that is not there, and whatever keeps its head from being read."""
        from local_runner.specs.inputs import input_document  # lists need no specs

        return list(self._runner.list_datum_of({"input": input_document(expression)}, project))

    def collisions(self, spec: PipelineSpec, datums: Set[str]) -> Iterator[str]:
        """The collision that failed the last job of this pipeline, if the same command would run for the same datums again."""
        with suppress(NotFound):
            job = next(self._runner.list_job(pipeline=spec.pipeline), None)
            rivals = set(_DATUM.findall(job.reason)) if job and job.state is JobState.FAILURE else set()
            if job and len(rivals) == 2 and rivals <= datums and self._runner.job_pipeline(job.job).spec.transform == spec.transform:
                yield f"the last job failed, and the next would too: {job.reason}"

    def unread(self, spec: PipelineSpec) -> Iterator[str]:
        """Inputs that the last job of the same pipeline made datums of, and no datum looked into."""
        with suppress(NotFound):
            job = next(self._runner.list_job(pipeline=spec.pipeline), None)
            if job and job.state is JobState.SUCCESS and self._runner.job_pipeline(job.job).spec.transform == spec.transform:
                yield from (f"input {name}: no datum of the last job looked into it" for name in job.unread)

    def missing_secrets(self, spec: PipelineSpec) -> list[str]:
        return self._runner.missing_secrets(spec.transform)

    def _matches(self, leaf: Pfs) -> list[DatumInfo]:
        return self.datums(leaf, leaf.project)

    def _files(self, leaf: Pfs) -> list[_File]:
        """The files that user code would see: the matches, with everything below matched folders; empty while unknown."""
        commit = CommitQuery(leaf.source.repo, leaf.branch)
        found = []
        try:
            for info in self.matches(leaf):
                (match,) = info.datum.inputs
                if match.path.endswith("/"):
                    below = self._runner.walk_file(FileQuery(commit, match.path))
                    found += [_File(file.path, file.hash) for file in below if file.size and not file.is_folder]
                elif match.size:
                    found.append(_File(match.path, match.hash))
        except LocalRunnerError:
            return []
        return found


def _prospect(data: _Data, spec: PipelineSpec, outputs: set[RepoRef], pipelines: Mapping[RepoRef, PipelineSpec]) -> Prospect:
    from local_runner.specs.uses import constant_outputs  # as above

    warnings = data.missing_secrets(spec)
    if spec.input is None:
        nothing = () if spec.spout is not None else ("without an input there is nothing to run",)
        return Prospect("no input, so no datums", warnings=(*warnings, *nothing))
    waits = []
    for leaf in leaves(spec.input):
        if isinstance(leaf, Cron):
            waits.append(f"{leaf.name} has ticked")
            continue
        try:
            if not data.matches(leaf):
                warnings.append(f"input {leaf.name}: {leaf.glob} matches nothing in {leaf.source}")
        except NotFound as error:
            if leaf.source.repo in outputs and leaf.source.repo != spec.pipeline.repo:
                waits.append(f"{leaf.source.repo.name} has run")
            elif leaf.trigger:
                waits.append(f"the trigger of {leaf.name} has fired")
            else:
                waits.append(f"there is data in {leaf.source}")
                warnings.append(f"input {leaf.name}: {error.message}")
        except LocalRunnerError as error:
            waits.append(f"{leaf.source} can be read")
            warnings.append(f"input {leaf.name}: {error.message}")
    warnings += _leaks(data, spec, pipelines)
    warnings += data.unread(spec)
    if waits:
        return Prospect(f"its datums are known when {' and '.join(dict.fromkeys(waits))}", warnings=tuple(warnings))
    datums = data.datums(spec.input, spec.pipeline.project)
    if not datums and not any("matches nothing" in warning for warning in warnings):
        warnings.append("each input matches files, but together they make no datum")
    if len(datums) > 1 and spec.kind == TRANSFORM and not spec.s3_out:
        warnings += [f"all {len(datums)} datums would write {path}, so the job fails" for path in constant_outputs(spec.transform)]
        warnings += data.collisions(spec, {info.datum.id for info in datums})
    return Prospect("1 datum" if len(datums) == 1 else f"{len(datums)} datums", tuple(datums), tuple(warnings))


def _leaks(data: _Data, spec: PipelineSpec, pipelines: Mapping[RepoRef, PipelineSpec]) -> Iterator[str]:
    """Test data that flows into training, as far as it can be seen without running anything.

    Test data is what its path, or the input's repo or name, calls so. It leaks if another input of the same pipeline was made, over any
    number of steps, by a pipeline that reads the same content: a model is then judged by what it has seen. What made the test data
    itself is not training.
    """
    inputs = [leaf for leaf in leaves(spec.input) if isinstance(leaf, Pfs)]
    for leaf in inputs if len(inputs) > 1 else ():
        named = _TEST.search(leaf.name) or _TEST.search(leaf.repo)
        judged = {file.hash: file.path for file in data.files(leaf) if named or _TEST.search(file.path)}
        makers = _upstream(leaf.source.repo, pipelines)
        for other in inputs if judged else ():
            for repo in sorted(_upstream(other.source.repo, pipelines) - makers):
                for source in leaves(pipelines[repo].input):
                    seen = (f for f in data.files(source) if f.hash in judged) if isinstance(source, Pfs) else iter(())
                    if file := next(seen, None):
                        read = f"{leaf.source}:{judged[file.hash]} is read here and by {repo.name}"
                        copy = "" if file.path == judged[file.hash] else f" (as {source.source}:{file.path})"
                        yield f"test data flows into training: {read}{copy}, which had a part in {other.name}"


def _upstream(repo: RepoRef, pipelines: Mapping[RepoRef, PipelineSpec]) -> set[RepoRef]:
    """The repos upstream of this one, itself included, that pipelines write."""
    found: set[RepoRef] = set()
    waiting = [repo]
    while waiting:
        here = waiting.pop()
        if here in pipelines and here not in found:
            found.add(here)
            waiting += [leaf.source.repo for leaf in leaves(pipelines[here].input)]
    return found
