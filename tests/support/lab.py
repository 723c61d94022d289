"""A small builder over the real `Runner`: real store, real engine, and Python functions in place of user code."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local_runner.engine.config import EngineConfig
from local_runner.engine_host import work
from local_runner.executors.base import RunResult
from local_runner.executors.scripted import ScriptedDatum, ScriptedExecutor
from local_runner.model.datums import Datum
from local_runner.model.entries import entry_key
from local_runner.model.jobs import JobInfo, JobState
from local_runner.model.refs import CommitQuery, CommitRef, JobRef, PipelineRef, RepoRef, parse_commit, parse_file, parse_repo
from local_runner.pipelines.meta import meta_path, parse_meta
from local_runner.pipelines.stored_specs import spec_of
from local_runner.planning.plan import Plan
from local_runner.planning.prepare import prepare
from local_runner.runner import Runner
from local_runner.storage.database import Session

Do = Callable[[ScriptedDatum], "int | RunResult | None"]
Files = dict[str, str]


def copy(datum: ScriptedDatum) -> None:
    """Every input file under its own path; of several inputs, the last one's."""
    for name in datum.tree.links:
        if name not in ("out", ".env"):
            for file in (p for p in datum.input(name).rglob("*") if p.is_file()):
                target = datum.out / file.relative_to(datum.input(name))
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read_bytes())


def label(datum: Datum) -> str:
    """A datum by the paths of its inputs: "/a", or "/a /b" of a cross."""
    return " ".join(file.path.rstrip("/") or "/" for file in datum.inputs)


class Clock:
    """The time that this machine shows, and as much later as somebody said."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self._ahead

    def forward(self, seconds: float) -> None:
        self._ahead += seconds


class Lab:
    """A home with pretend user code and a `clock` of its own.

    `ran` lists the datums that ran in the last `run_all`, as "pipeline:/path", sorted.
    """

    def __init__(self, home: Path, jobs: int = 2) -> None:
        self.clock = Clock()
        self.runner = Runner.open(home, background=False, clock=self.clock)
        self.executor = ScriptedExecutor(self._behave)
        self.jobs_at_once = jobs
        self.ran: list[str] = []
        self._do: dict[str, Do] = defaultdict(lambda: copy)

    def close(self) -> None:
        self.runner.close()

    # -- data ----------------------------------------------------------------------------------------------------------

    def repo(self, name: str) -> RepoRef:
        """A repo, made if it is not there."""
        ref = parse_repo(name)
        self.runner.create_repo(ref, update=True)
        return ref

    def put(self, commit: str, files: Mapping[str, str | bytes | None]) -> CommitRef:
        """Write files, or with None delete them (a folder, with a trailing slash), as one change; the repo is made if need be."""
        query = parse_commit(commit)
        self.repo(str(query.repo))
        with self.runner.modify_file(query) as change:
            for path, content in files.items():
                if content is None:
                    change.delete(path)
                else:
                    change.put(path, content.encode() if isinstance(content, str) else content)
        return self.head(commit)

    def head(self, commit: str) -> CommitRef:
        return self.runner.inspect_commit(parse_commit(commit)).commit

    def files(self, commit: str) -> Files:
        """Path -> text of every file."""
        return {path: content.decode() for path, (content, _) in self._contents(commit).items()}

    def tags(self, commit: str) -> dict[str, str]:
        """Path -> id of the datum that wrote it."""
        return {path: tag for path, (_, tag) in self._contents(commit).items()}

    def _contents(self, commit: str) -> dict[str, tuple[bytes, str]]:
        listed = self.runner.walk_file(parse_file(f"{commit}:/"))
        query = parse_commit(commit)
        paths = [(info.path, info.datum) for info in listed if not info.is_folder]
        return {path: (self.content(query, path), tag) for path, tag in paths}

    def content(self, commit: CommitQuery, path: str) -> bytes:
        return b"".join(self.runner.get_file(parse_file(f"{commit}:{path}")))

    # -- work ----------------------------------------------------------------------------------------------------------

    def pipeline(
        self,
        name: str,
        input: str | Mapping[str, Any] = "data:/*",
        do: Do | None = None,
        *,
        update: bool = False,
        reprocess: bool = False,
        transform: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        """Create or update a pipeline; `input` is "repo:glob" or the spec's own; `do` is what its command does (`copy`)."""
        if do is not None:
            self._do[name] = do
        if isinstance(input, str):
            repo, _, glob = input.partition(":")
            input = {"pfs": {"repo": repo, "glob": glob}}
        document = {"pipeline": {"name": name}, "transform": {"cmd": ["do"], **(transform or {})}, "input": input, **fields}
        self.runner.create_pipeline(json.loads(json.dumps(document)), project="default", update=update, reprocess=reprocess)

    def does(self, name: str, do: Do) -> None:
        """Change what a pipeline's command does, as somebody edits the code behind an image."""
        self._do[name] = do

    def run_all(self, until: Callable[[], bool] = lambda: False) -> None:
        """Do all work there is."""
        self.ran = []
        work(self.runner, EngineConfig(self.executor, self.jobs_at_once), until)
        self.ran.sort()

    def _behave(self, datum: ScriptedDatum) -> int | RunResult:
        names = [name for name in datum.tree.links if name not in ("out", ".env")]
        paths = (datum.env[name].removeprefix(f"/pfs/{name}") or "/" for name in names)
        self.ran.append(f"{datum.env['PPS_PIPELINE_NAME']}:{' '.join(paths)}")
        end = self._do[datum.env["PPS_PIPELINE_NAME"]](datum)
        return 0 if end is None else end

    def plan(self, pipeline: str) -> dict[str, str]:
        """What the oldest unfinished job of a pipeline will do with each datum."""
        with self.runner.database.read() as session:
            info = next(info for info in session.pipelines.unfinished_jobs() if info.job.pipeline.name == pipeline)
            row = session.pipelines.version(info.job.pipeline, info.pipeline_version)
            assert row is not None
            prepared = prepare(session, info, spec_of(row), row.salt)
            names = {} if prepared.base is None else _names(session, prepared.plan, prepared.base.tree)
            wanted = prepared.plan.steps()
            known = self._wanted(session, pipeline, info)
            return {(label(s.datum) if s.datum else names.get(s.id) or known[s.id]): s.verb.value for s in wanted}

    def _wanted(self, session: Session, pipeline: str, info: JobInfo) -> dict[str, str]:
        document = json.loads(self.runner.inspect_pipeline(info.job.pipeline).user_spec)
        return {found.datum.id: label(found.datum) for found in self.runner.list_datum_of(document, "default")}

    def jobs(self, pipeline: str) -> list[JobInfo]:
        """All jobs, newest first."""
        return list(self.runner.list_job(pipeline=PipelineRef("default", pipeline), history=-1))

    def job(self, pipeline: str) -> JobInfo:
        """The newest job."""
        return self.jobs(pipeline)[0]

    def state(self, pipeline: str) -> JobState:
        return self.job(pipeline).state

    def datums(self, pipeline: str, job: JobRef | None = None) -> dict[str, str]:
        """Path -> state of each datum of the newest job, or of the one given."""
        listed = self.runner.list_datum(job or self.job(pipeline).job)
        return {label(info.datum): info.state for info in listed}

    def counts(self, pipeline: str) -> dict[str, int]:
        """The newest job's counters that are not zero."""
        counters = self.job(pipeline).counters
        named = {name: getattr(counters, name) for name in ("total", "processed", "skipped", "failed", "recovered")}
        return {name: count for name, count in named.items() if count}


def _names(session: Session, plan: Plan, tree: bytes | None) -> dict[str, str]:
    """Labels of datums that are to be removed, out of the documents of the job that made them."""
    found = {}
    for datum in plan.remove:
        value = session.trees.get(tree, entry_key(meta_path(datum), datum))
        assert value is not None
        found[datum] = label(parse_meta(b"".join(session.objects.read(value[:32])), "").datum)
    return found
