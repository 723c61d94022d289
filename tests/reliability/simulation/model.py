"""What must be true of a home, whatever happened to it: a small model of what people were told, and the questions asked after each step."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from local_runner.errors import LocalRunnerError
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.inputs import Cron, leaves
from local_runner.model.jobs import JobInfo, JobState
from local_runner.model.pipelines import PipelineState
from local_runner.model.refs import CommitQuery, CommitRef, FileQuery, PipelineRef, RepoRef, parse_repo
from local_runner.model.repos import CommitInfo
from local_runner.model.units import parse_rfc3339
from local_runner.runner import Runner

Files = dict[str, bytes]
Inputs = Mapping[str, Files]  # repo -> files

BAD = b"bad"  # a file that begins so lets the datums of `up` fail
TICKS = "clock_tick"  # the repo of the clock of the pipeline `clock`
HOUR = 3600.0
GRAPH: Mapping[str, dict[str, object]] = {
    "up": {"pfs": {"repo": "data", "glob": "/*"}},
    "down": {"pfs": {"repo": "up", "glob": "/*"}},
    "both": {"union": [{"pfs": {"repo": "up", "glob": "/*"}}, {"pfs": {"repo": "extra", "glob": "/*"}}]},
    "clock": {"cron": {"name": "tick", "spec": "@every 1h"}},
    "pair": {"cross": [{"pfs": {"repo": "data", "glob": "/"}}, {"pfs": {"repo": "extra", "glob": "/"}}]},
}
AT_ONCE: Mapping[str, int] = {"up": 3, "both": 2, "pair": 2}  # jobs of a pipeline in progress at once; of the others one
SOURCES: Mapping[str, tuple[str, ...]] = {
    "up": ("data",),
    "down": ("up",),
    "both": ("up", "extra"),
    "pair": ("data", "extra"),
    "clock": (TICKS,),
}
ROOTS = ("data", "extra")


class Broken(AssertionError):
    """A promise that was not kept."""


def command(datum: ScriptedDatum) -> int:
    """What user code does in every pipeline: `expected`, for one datum."""
    name = datum.env["PPS_PIPELINE_NAME"]
    files = {
        source: {f"/{path.relative_to(folder)}": path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        for source in datum.tree.links
        if source not in ("out", ".env")
        for folder in [datum.input(source)]
    }
    if name == "up" and any(content.startswith(BAD) for content in files["data"].values()):
        return 1
    for path, content in expected(name, files).items():
        target = datum.out / path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return 0


def expected(pipeline: str, inputs: Inputs) -> Files:
    """The output of a pipeline as a function of all files of its inputs."""
    name = pipeline.encode()
    if pipeline == "pair":
        listed = [b"%s=%s" % (path.encode(), content) for source in sorted(inputs) for path, content in sorted(inputs[source].items())]
        return {"/sum": b"\n".join(listed)} if all(inputs.values()) else {}  # a commit without files has no datum, not even of "/"
    return {path: b"%s(%s)" % (name, content) for files in inputs.values() for path, content in files.items()}


@dataclass
class Model:
    """What people were told so far.

    `commits` are the contents of finished and open commits of the repos people write to, `heads` the newest of each repo; `pipelines`
    those that are there, with whether they are stopped; `done` the datums of each job that were seen to be done; `excused` are jobs that
    somebody stopped or a failing disk may have ended, `may_crash` says that a disk has failed.
    """

    commits: dict[tuple[str, str], Files] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    pipelines: dict[str, bool] = field(default_factory=dict)
    done: dict[str, set[str]] = field(default_factory=dict)
    excused: set[str] = field(default_factory=set)
    may_crash: bool = False
    _seen: dict[tuple[str, str], bytes | None] = field(default_factory=dict)  # roots of trees that were read and found right
    _judged: dict[str, Files] = field(default_factory=dict)  # finished output commits that were found right

    def head(self, repo: str) -> Files:
        """The files at the head of a repo."""
        return self.commits.get((repo, self.heads.get(repo, "")), {})

    def excuse(self, runner: Runner) -> None:
        """Whatever did not succeed so far may have failed for a reason that is none of its own."""
        self.excused |= {str(job.job) for job in runner.list_job(history=-1) if job.state is not JobState.SUCCESS}

    def forget_set(self, name: str) -> None:
        """Somebody removed a commit set, and with it what its jobs did."""
        for job in [job for job in self.done if job.endswith(f"@{name}")]:
            del self.done[job]

    def see_pipelines(self, runner: Runner) -> None:
        """These are there, stopped or not; one that is made again begins anew. One that a failing disk let crash waits for its start."""
        listed = runner.list_pipeline()
        found = {info.pipeline.name: info.stopped or info.state is PipelineState.CRASHING for info in listed}
        if crashed := [info.reason for info in listed if info.state is PipelineState.CRASHING and not self.may_crash]:
            raise Broken(f"a pipeline crashed: {crashed[0]}")
        for name in self.pipelines.keys() - found.keys():
            self._judged.pop(name, None)
        self.pipelines = found

    # -- questions -----------------------------------------------------------------------------------------------------

    def check(self, runner: Runner, *, thoroughly: bool = True) -> None:
        """Ask all of them; `thoroughly` asks fsck too, which costs as much as the others. Raises `Broken`."""
        self._check_commits(runner)
        self._check_outputs(runner)
        self._check_datums(runner)
        found = runner.fsck() if thoroughly else []
        if found:
            raise Broken(f"fsck finds {[tuple(finding) for finding in found[:3]]}")

    def _check_commits(self, runner: Runner) -> None:
        """What was committed is there with the same bytes, and nothing else."""
        for repo in ROOTS:
            if repo not in self.heads:
                continue
            listed = {info.commit.id: info for info in runner.list_commit(parse_repo(repo))}
            known = {key[1] for key in self.commits if key[0] == repo}
            if listed.keys() != known:
                raise Broken(f"{repo} has commits {sorted(listed.keys() - known)} too many, and lacks {sorted(known - listed.keys())}")
            for name in listed:
                self._check_files(runner, repo, name)

    def _check_files(self, runner: Runner, repo: str, name: str) -> None:
        ref = CommitRef(parse_repo(repo), name)
        root = _root(runner, ref)
        if (repo, name) in self._seen and self._seen[repo, name] == root:
            return
        found, wanted = _files(runner, ref), self.commits[repo, name]
        if found != wanted:
            raise Broken(f"{ref} has {_short(found)}, not {_short(wanted)}")
        self._seen[repo, name] = root

    def _check_outputs(self, runner: Runner) -> None:
        """A finished output commit without error is a function of the commits it stands on."""
        for pipeline in self.pipelines:
            for info in runner.list_commit(RepoRef("default", pipeline, "user")):
                if info.finished is None or info.error or info.commit.id in self._judged.get(pipeline, {}):
                    continue
                self._judge(runner, pipeline, info)

    def _judge(self, runner: Runner, pipeline: str, info: CommitInfo) -> None:
        sources = {ref.repo.name: ref for ref in info.direct_provenance if ref.repo.type == "user"}
        if sources.keys() != set(SOURCES[pipeline]):
            if not _has_job(runner, pipeline, info):
                return  # the head that a new branch begins with
            raise Broken(f"{info.commit} stands on {sorted(map(str, sources.values()))}")
        inputs = {name: _files(runner, sources[name]) for name in SOURCES[pipeline]}
        found, wanted = _files(runner, info.commit), expected(pipeline, inputs)
        if found != wanted and _has_job(runner, pipeline, info):
            raise Broken(f"{info.commit} has {_short(found)}, not {_short(wanted)}")
        self._judged.setdefault(pipeline, {})[info.commit.id] = b""

    def _check_datums(self, runner: Runner) -> None:
        """A datum that was done stays done."""
        there = set()
        for job in runner.list_job(history=-1):
            name = str(job.job)
            there.add(name)
            done = {info.datum.id for info in runner.list_datum(job.job) if info.state == "success" and info.job == job.job.id}
            lost = self.done.get(name, set()) - done
            if lost and job.state is not JobState.KILLED:
                raise Broken(f"{len(lost)} datums of job {name} were done and are not any more; it is {job.state.word}")
            self.done[name] = done
        for name in self.done.keys() - there:
            del self.done[name]

    def check_rest(self, runner: Runner) -> None:
        """Nothing is left to do, and the newest job of each pipeline that is not stopped came to the end it should."""
        if runner.has_work():
            raise Broken("an engine ended, and left work")
        self._check_clock(runner)
        open_roots = {repo for repo in self.heads if _info(runner, repo).finished is None}
        for pipeline, stopped in self.pipelines.items():
            if stopped:
                continue
            jobs = list(runner.list_job(pipeline=PipelineRef("default", pipeline), history=-1))
            if not jobs or self._waits(pipeline, open_roots):
                continue
            self._check_end(runner, jobs[0])

    def _check_clock(self, runner: Runner) -> None:
        """Each hour has its tick, once, up to now; an update lets the clock begin anew."""
        if self.pipelines.get("clock", True):
            return
        [start] = [
            leaf.start for leaf in leaves(runner.inspect_pipeline(PipelineRef("default", "clock")).spec.input) if isinstance(leaf, Cron)
        ]
        began, found = parse_rfc3339(start), read_head(runner, TICKS)
        ticks = [at for path in (found[1] if found else ()) if (at := parse_rfc3339(path[1:])) >= began]
        gaps = {round(after - before) for before, after in itertools.pairwise(sorted(ticks))}
        late = time.time() - max(ticks, default=began)
        if gaps - {HOUR} or not 0 <= late < HOUR + 60:
            raise Broken(f"ticks are {sorted(gaps)} s apart, the last is {late:.0f} s ago")

    def _waits(self, pipeline: str, open_roots: set[str]) -> bool:
        sources = SOURCES[pipeline]
        return any(self.pipelines.get(name, False) or name in open_roots for name in sources) or any(
            self._waits(name, open_roots) for name in sources if name in GRAPH
        )

    def _check_end(self, runner: Runner, job: JobInfo) -> None:
        if job.state is JobState.SUCCESS or str(job.job) in self.excused:
            return
        name = job.job.pipeline.name
        if job.state is JobState.FAILURE and name == "up" and _has_bad_input(runner, job):
            return
        if job.state is JobState.UNRUNNABLE and name in ("down", "both"):
            return
        raise Broken(f"job {job.job} is {job.state.word}: {job.reason}")


def read_head(runner: Runner, repo: str) -> tuple[str, Files] | None:
    """Id and files of the head of a repo; None if there is none."""
    try:
        ref = runner.inspect_commit(CommitQuery(parse_repo(repo), branch="master")).commit
    except LocalRunnerError:
        return None
    return ref.id, _files(runner, ref)


def _has_bad_input(runner: Runner, job: JobInfo) -> bool:
    info = runner.inspect_commit(CommitQuery(RepoRef("default", "up", "user"), id=job.job.id))
    sources = [ref for ref in info.direct_provenance if ref.repo.type == "user"]
    return any(content.startswith(BAD) for ref in sources for content in _files(runner, ref).values())


def _has_job(runner: Runner, pipeline: str, info: CommitInfo) -> bool:
    with runner.database.read() as session:
        return any(job.job.id == info.commit.id and job.job.pipeline.name == pipeline for job in session.pipelines.jobs())


def _info(runner: Runner, repo: str) -> CommitInfo:
    return runner.inspect_commit(CommitQuery(parse_repo(repo), branch="master"))


def _root(runner: Runner, ref: CommitRef) -> bytes | None:
    with runner.database.read() as session:
        repo = session.repos.repo(ref.repo)
        row = session.commits.find(repo.key, ref.id) if repo else None
        return row.tree if row else None


def _files(runner: Runner, ref: CommitRef) -> Files:
    query = CommitQuery(ref.repo, id=ref.id)
    paths = [info.path for info in runner.walk_file(FileQuery(query, "/")) if not info.is_folder]
    return {path: b"".join(runner.get_file(FileQuery(query, path))) for path in paths}


def _short(files: Files) -> str:
    return str({path: content[:40] for path, content in sorted(files.items())})
