"""Forecasts what unfinished jobs will do: each datum that runs, is reused or removed, and why.

A job whose input another job is still to write is foretold as far as it can be known: what that other job reuses stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from local_runner.errors import LocalRunnerError
from local_runner.model.datums import Datum, DatumState, InputFile
from local_runner.model.entries import entry_key, parse_value
from local_runner.model.inputs import Cron, Group, Input, Pfs
from local_runner.model.jobs import JobInfo, JobState
from local_runner.model.pipelines import PipelineSpec
from local_runner.model.refs import META, BranchRef, JobRef, PipelineRef
from local_runner.pipelines.datum_index import DatumRecord, read_datum_index
from local_runner.pipelines.job_commits import output_commit
from local_runner.pipelines.job_layers import is_apart, own_records, put_on_base
from local_runner.pipelines.meta import meta_path, parse_meta
from local_runner.pipelines.pipelines import NO_COMMAND
from local_runner.pipelines.stored_specs import spec_of
from local_runner.planning.changes import Cause, FileComparison, code_changes, spec_changes
from local_runner.planning.plan import CHANGED, FAILED, NOT_KEPT, Action, Step
from local_runner.planning.prepare import datums_of, input_commits, inputs_state, plan_of
from local_runner.repos.commits import base_root
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Session
from local_runner.storage.pipeline_records import PipelineRow

DEPENDS = "depends on files that are yet to be written"


@dataclass(frozen=True, slots=True)
class JobForecast:
    """The forecast of one job. `done` counts the datums it has finished already, which are no steps.

    `waits_for` names the repos whose content is not known before other jobs have run: if any, more may happen than `steps` say, and
    steps that are `Action.UNKNOWN` are datums of the last success that may run, stay or go. `problem` says why it can do nothing at all.
    """

    job: JobRef
    causes: tuple[Cause, ...] = ()
    steps: tuple[Step, ...] = ()
    waits_for: tuple[str, ...] = ()
    done: int = 0
    problem: str = ""

    @property
    def pipeline(self) -> PipelineRef:
        return self.job.pipeline

    def count(self, verb: Action) -> int:
        return sum(step.verb is verb for step in self.steps)


def forecast_jobs(session: Session) -> Iterator[JobForecast]:
    """Forecast what each unfinished job will do, in the order they run.

    Writes into the records what each job is expected to leave, for the next to stand on: the transaction has to be taken back.
    """
    foresight = _Forecaster(session)
    return map(foresight.look, session.pipelines.unfinished_jobs())


class _Forecaster:
    """Which commits are known in part only; and for datums that were foretold to run, what they read, since no record says so yet."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._partial: set[int] = set()
        self._open: dict[int, frozenset[str]] = {}  # meta commit -> datums whose outcome is unknown
        self._ran: dict[tuple[PipelineRef, str], Datum] = {}

    def look(self, info: JobInfo) -> JobForecast:
        session = self._session
        row = session.pipelines.version(info.job.pipeline, info.pipeline_version)
        output = output_commit(session, info.job)
        if row is None or output is None:
            return JobForecast(info.job, problem="its commits are gone")
        spec = spec_of(row)
        problem = _problem(session, spec, output)
        try:
            return self._fail(info.job, output, problem) if problem else self._plan(info, row, spec, output)
        except LocalRunnerError as error:
            return self._fail(info.job, output, error.message)

    def _fail(self, job: JobRef, output: CommitRow, problem: str) -> JobForecast:
        self._close(output, error=problem)
        return JobForecast(job, problem=problem)

    def _plan(self, info: JobInfo, row: PipelineRow, spec: PipelineSpec, output: CommitRow) -> JobForecast:
        session = self._session
        commits = self._inputs(spec, output)
        waits_for = dict.fromkeys(branch.repo.name for branch, commit in commits.items() if commit.key in self._partial)
        datums, roots = datums_of(session, spec.input, commits)
        plan, base = plan_of(session, info, spec, row.salt, datums)
        known = {datum.id: datum for datum in datums}
        comparison = FileComparison(session, roots)
        last = self._last_records(info.job, base)
        done = self._done(info.job)
        steps = []
        for step in plan.steps():
            if step.id not in done:
                before = self._before(info.job, base, step.id) if step.verb is not Action.REUSE else None
                steps.append(_explained(step, before, known.get(step.id), row.salt, comparison, last.get(step.id)))
        if waits_for or (base and base.key in self._open):
            steps = list(self._certain(steps, spec, commits, base))
        job_forecast = JobForecast(info.job, self._causes(info, row, base), tuple(steps), tuple(waits_for), len(done))
        self._pretend(info.job, job_forecast, base, output, row.salt)
        return job_forecast

    # -- what it reads -------------------------------------------------------------------------------------------------

    def _inputs(self, spec: PipelineSpec, output: CommitRow) -> dict[BranchRef, CommitRow]:
        """As `input_commits`; a commit that a person is still writing counts as entirely unknown."""
        commits = input_commits(self._session, spec, output)
        for branch, commit in commits.items():
            if commit.finished is None:
                self._partial.add(commit.key)
                self._close(commit)
                commits[branch] = self._session.commits.at(commit.key)
        return commits

    def _close(self, commit: CommitRow, **values: object) -> None:
        closed = {"tree": None, "begun": True, "finishing": commit.started, "finished": commit.started}
        self._session.commits.update(commit.key, **{**closed, **values})

    # -- why -----------------------------------------------------------------------------------------------------------

    def _before(self, job: JobRef, base: CommitRow | None, datum_id: str) -> Datum | None:
        """A datum as it was when it last succeeded, None if it never did."""
        if base is None:
            return None
        ran = self._ran.get((job.pipeline, datum_id))
        if ran is not None:
            return ran
        value = self._session.trees.get(base.tree, entry_key(meta_path(datum_id), datum_id))
        return parse_meta(b"".join(self._session.objects.read(parse_value(value)[0])), "").datum if value else None

    def _last_records(self, job: JobRef, base: CommitRow | None) -> dict[str, DatumRecord]:
        """The newest outcome of each datum in the failed jobs since the base."""
        session = self._session
        found: dict[str, DatumRecord] = {}
        row = output_commit(session, job, META)
        while row is not None and row.parent is not None:
            row = session.commits.at(row.parent)
            if base is not None and row.key == base.key:
                break
            own = bytes.fromhex(row.ref.id)
            for name, record in read_datum_index(session.trees, row.datum_index):
                if record.job == own:
                    found.setdefault(name, record)
        return found

    def _done(self, job: JobRef) -> frozenset[str]:
        """The datums that a running job has finished."""
        meta = output_commit(self._session, job, META)
        if meta is None:
            return frozenset()
        own = own_records(self._session, job, meta)
        return frozenset(name for name, record in own.items() if record.state is DatumState.PROCESSED)

    def _causes(self, info: JobInfo, row: PipelineRow, base: CommitRow | None) -> tuple[Cause, ...]:
        """What changed since the base, or since the job before if no job ever succeeded."""
        pipelines = self._session.pipelines
        earlier = pipelines.last_ended(info.job.pipeline)
        made = pipelines.job(JobRef(info.job.pipeline, base.ref.id)) if base else earlier
        causes: list[Cause] = []
        if made is None:
            causes += [Cause("new pipeline")] * (row.version == 1)
        elif made.pipeline_version != info.pipeline_version:
            old = pipelines.version(info.job.pipeline, made.pipeline_version)
            if old is not None:
                causes += [*spec_changes(old.effective_spec, row.effective_spec), *code_changes(old.code, row.code)]
        if earlier and earlier.state is JobState.FAILURE:
            causes.append(Cause("last job", earlier.job.id, new=earlier.reason.strip()))
        return tuple(causes)

    # -- what is certain -----------------------------------------------------------------------------------------------

    def _certain(
        self, steps: list[Step], spec: PipelineSpec, commits: Mapping[BranchRef, CommitRow], base: CommitRow | None
    ) -> Iterator[Step]:
        """The steps that nothing to come can change; the other datums of the base become unknown steps."""
        doubtful = self._open.get(base.key) if base else None
        grows = doubtful is None and _only_grows(spec.input)
        for step in steps:
            may_change = {f.source.name for f in step.datum.inputs if not self._is_settled(f, commits)} if step.datum else {""}
            changes = tuple(change for change in step.changes if change.input not in may_change)
            if step.verb is Action.RUN and grows and (step.reason != CHANGED or changes):
                yield replace(step, changes=changes)
            elif not may_change and (
                (step.verb is Action.KEEP and grows)
                or (step.verb is Action.REUSE and (grows or (doubtful is not None and step.id not in doubtful)))
            ):
                yield step
            elif self._is_in(base, step.id):
                yield replace(step, verb=Action.UNKNOWN, reason=DEPENDS, changes=())

    def _is_settled(self, file: InputFile, commits: Mapping[BranchRef, CommitRow]) -> bool:
        """Whether no output that is still to be written can change what a datum reads."""
        return commits[file.source.source].key not in self._partial or not file.path.endswith("/")

    def _is_in(self, base: CommitRow | None, datum_id: str) -> bool:
        return base is not None and self._session.trees.get(base.datum_index, datum_id.encode()) is not None

    # -- what it leaves ------------------------------------------------------------------------------------------------

    def _pretend(self, job: JobRef, job_forecast: JobForecast, base: CommitRow | None, output: CommitRow, salt: str) -> None:
        """Close the commits of a job as if it had succeeded, with as much of its output as is known."""
        session, meta = self._session, output_commit(self._session, job, META)
        if meta is not None and is_apart(meta):
            put_on_base(session, job, base)
            output, meta = session.commits.at(output.key), session.commits.at(meta.key)
        tree = output.tree if output.begun else base_root(session, output)
        lost = {step.id for step in job_forecast.steps if step.verb is not Action.REUSE}
        if lost and tree is not None:
            doomed = [key for key, _ in session.trees.scan(tree) if key.decode().partition("\0")[2] in lost]
            tree = session.trees.edit(tree, dict.fromkeys(doomed))
        self._close(output, tree=tree)
        if job_forecast.waits_for or job_forecast.count(Action.RUN) or job_forecast.count(Action.KEEP):
            self._partial.add(output.key)
        if meta is None:
            return
        datum_index: dict[bytes, bytes | None] = {}
        for step in job_forecast.steps:
            if step.verb is Action.REMOVE:
                datum_index[step.id.encode()] = None
            elif step.verb in (Action.RUN, Action.KEEP) and step.datum is not None:
                self._ran[job.pipeline, step.id] = step.datum
                record = DatumRecord(bytes.fromhex(step.datum.hash(salt)), DatumState.PROCESSED, bytes.fromhex(job.id))
                datum_index[step.id.encode()] = record.encode()
        before = meta if meta.begun else base
        self._close(
            meta, tree=before.tree if before else None, datum_index=session.trees.edit(before.datum_index if before else None, datum_index)
        )
        if job_forecast.waits_for:
            self._open[meta.key] = frozenset(step.id for step in job_forecast.steps if step.verb is Action.UNKNOWN)


def _explained(
    step: Step, before: Datum | None, now: Datum | None, salt: str, comparison: FileComparison, last: DatumRecord | None
) -> Step:
    """The step with its datum, with the files that changed, and with how it ended the last time if that is why it runs."""
    if now is None or step.verb in (Action.REUSE, Action.KEEP):
        return replace(step, datum=now or before)
    reason = step.reason
    if last is not None and last.hash.hex() == now.hash(salt) and last.state is not DatumState.RECOVERED:
        reason = FAILED if last.state is DatumState.FAILED else NOT_KEPT
    changes = comparison.changes(before, now) if before else ()
    return replace(step, reason=reason, changes=changes) if changes or reason != step.reason else step


def _problem(session: Session, spec: PipelineSpec, output: CommitRow) -> str:
    """Why a job can do nothing, "" if it can."""
    if not spec.transform.cmd:
        return NO_COMMAND
    if spec.input is None:
        return "the pipeline has no input, so there is nothing to run"
    try:
        return inputs_state(session, spec, output)[0]
    except LocalRunnerError as error:
        return error.message


def _only_grows(node: Input | None) -> bool:
    """Whether more input files can only add datums; not so for groups and outer joins."""
    if node is None or isinstance(node, (Pfs, Cron)):
        return node is None or not node.outer_join
    return not isinstance(node, Group) and all(map(_only_grows, node.children))
