"""Reads and writes the rows of pipelines, jobs, open transactions and secrets."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from local_runner.model.datums import DatumStats
from local_runner.model.jobs import Counters, JobInfo, JobState, RunningDatum
from local_runner.model.pipelines import PipelineState
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.storage.rows import read_json, reads


class PipelineRow(NamedTuple):
    """One version. `code` says, as JSON, what the files behind its image were when its datums were made."""

    pipeline: PipelineRef
    version: int
    spec_commit: str
    user_spec: str
    effective_spec: str
    salt: str
    state: PipelineState
    reason: str
    stopped: bool
    created: float
    updated: float
    code: str


class PendingRow(NamedTuple):
    """An open transaction: the requests so far, each a verb with its arguments."""

    id: str
    started: float
    requests: list[dict[str, Any]]


_PIPELINE = (
    "SELECT project, name, version, spec_commit, user_spec, effective_spec, salt, state, reason, stopped, created, updated, code"
    " FROM pipeline"
)
_JOB = (
    "SELECT project, pipeline, id, version, output_branch, state, reason, created, started, finished, counters, restart, running FROM job"
)
_UNFINISHED = tuple(state.value for state in JobState if not state.is_final)


class PipelineRecords:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    # -- pipelines -------------------------------------------------------------------------------------------------

    def pipeline(self, ref: PipelineRef, back: int = 0) -> PipelineRow | None:
        """The newest version, or one some versions before it."""
        query = f"{_PIPELINE} WHERE project = ? AND name = ? ORDER BY version DESC LIMIT 1 OFFSET ?"
        found = self._db.execute(query, (*ref, back)).fetchone()
        return _pipeline(found) if found else None

    def version(self, ref: PipelineRef, version: int) -> PipelineRow | None:
        found = self._db.execute(f"{_PIPELINE} WHERE project = ? AND name = ? AND version = ?", (*ref, version)).fetchone()
        return _pipeline(found) if found else None

    def pipelines(self) -> list[PipelineRow]:
        """The newest version of each, the latest made first: an update brings a pipeline to the front."""
        newest = "version = (SELECT max(version) FROM pipeline p WHERE p.project = pipeline.project AND p.name = pipeline.name)"
        return [_pipeline(row) for row in self._db.execute(f"{_PIPELINE} WHERE {newest} ORDER BY updated DESC, name")]

    def newest(self) -> list[tuple[PipelineRef, tuple[Any, ...]]]:
        """Every pipeline with what differs when its newest version, or the state of that, does; without its spec, and not looked at."""
        query = "SELECT project, name, max(version), state, reason, stopped, salt, updated FROM pipeline GROUP BY project, name"
        return [(PipelineRef(row[0], row[1]), row[2:]) for row in self._db.execute(query)]

    def of_project(self, project: str) -> list[PipelineRef]:
        """The pipelines of a project."""
        return [PipelineRef(*row) for row in self._db.execute("SELECT DISTINCT project, name FROM pipeline WHERE project = ?", (project,))]

    def versions(self, ref: PipelineRef) -> list[PipelineRow]:
        """All versions, newest first."""
        query = f"{_PIPELINE} WHERE project = ? AND name = ? ORDER BY version DESC"
        return [_pipeline(row) for row in self._db.execute(query, ref)]

    def add_pipeline(self, row: PipelineRow) -> None:
        values = (*row.pipeline, *row[1:6], row.state.value, row.reason, int(row.stopped), row.created, row.updated, row.code)
        self._db.execute(f"INSERT INTO pipeline VALUES ({', '.join('?' * len(values))})", values)

    def set_pipeline_state(self, ref: PipelineRef, state: PipelineState, reason: str = "", *, stopped: bool | None = None) -> None:
        """Set the state of a pipeline's newest version."""
        self._db.execute(
            "UPDATE pipeline SET state = ?, reason = ?, stopped = coalesce(?, stopped) WHERE project = ? AND name = ?"
            " AND version = (SELECT max(version) FROM pipeline p WHERE p.project = pipeline.project AND p.name = pipeline.name)",
            (state.value, reason, None if stopped is None else int(stopped), *ref),
        )

    def set_pipeline_code(self, ref: PipelineRef, code: str) -> None:
        """Set the code of all versions of a pipeline."""
        self._db.execute("UPDATE pipeline SET code = ? WHERE project = ? AND name = ?", (code, *ref))

    def remove_pipeline(self, ref: PipelineRef) -> None:
        """Remove a pipeline with its jobs."""
        self._db.execute("DELETE FROM pipeline WHERE project = ? AND name = ?", ref)
        self._db.execute("DELETE FROM job WHERE project = ? AND pipeline = ?", ref)

    # -- jobs ------------------------------------------------------------------------------------------------------

    def job(self, ref: JobRef) -> JobInfo | None:
        found = self._db.execute(f"{_JOB} WHERE project = ? AND pipeline = ? AND id = ?", (*ref.pipeline, ref.id)).fetchone()
        return _job(found) if found else None

    def jobs(self, pipeline: PipelineRef | None = None, *, reverse: bool = False, beyond: float | None = None) -> Iterator[JobInfo]:
        """Newest first, or oldest first; of one pipeline, if given, and of those made beyond a moment, to microseconds."""
        terms, values = (["project = ?", "pipeline = ?"], [*pipeline]) if pipeline else ([], [])
        if beyond is not None:
            terms.append(f"CAST(round(created * 1000000) AS INTEGER) {'>' if reverse else '<'} {round(beyond * 10**6)}")
        where = f" WHERE {' AND '.join(terms)}" if terms else ""
        rows = self._db.execute(f"{_JOB}{where} ORDER BY key {'ASC' if reverse else 'DESC'}", values).fetchall()
        return map(_job, rows)  # each is read when it is asked for

    def newer_jobs(self, key: int, pipeline: PipelineRef | None = None) -> list[tuple[int, JobInfo]]:
        """Jobs whose keys are greater, with those, oldest first; of one pipeline, if given."""
        where, values = (" AND project = ? AND pipeline = ?", tuple(pipeline)) if pipeline else ("", ())
        query = f"{_JOB.replace(' FROM job', ', key FROM job')} WHERE key > ?{where} ORDER BY key"
        return [(row[-1], _job(row[:-1])) for row in self._db.execute(query, (key, *values))]

    def last_ended(self, pipeline: PipelineRef) -> JobInfo | None:
        """The newest job of a pipeline that is over."""
        marks = ", ".join("?" * len(_UNFINISHED))
        query = f"{_JOB} WHERE project = ? AND pipeline = ? AND state NOT IN ({marks}) ORDER BY key DESC LIMIT 1"
        found = self._db.execute(query, (*pipeline, *_UNFINISHED)).fetchone()
        return _job(found) if found else None

    def jobs_of_set(self, job_id: str) -> list[JobInfo]:
        """The jobs of a commit set, in order of creation."""
        return [_job(row) for row in self._db.execute(f"{_JOB} WHERE id = ? ORDER BY key", (job_id,))]

    def job_set_ids(self) -> list[str]:
        """All of them, newest first."""
        return [row[0] for row in self._db.execute("SELECT id FROM job GROUP BY id ORDER BY max(key) DESC")]

    def unfinished_jobs(self, pipeline: PipelineRef | None = None) -> list[JobInfo]:
        """Oldest first; of one pipeline, if given."""
        where, values = (" AND project = ? AND pipeline = ?", tuple(pipeline)) if pipeline else ("", ())
        marks = ", ".join("?" * len(_UNFINISHED))
        return [_job(row) for row in self._db.execute(f"{_JOB} WHERE state IN ({marks}){where} ORDER BY key", (*_UNFINISHED, *values))]

    def unfinished(self) -> list[tuple[JobRef, str, bool]]:
        """Oldest first: each unfinished job, its state, and whether the engine is asked something; nothing else of it is looked at."""
        marks = ", ".join("?" * len(_UNFINISHED))
        query = f"SELECT project, pipeline, id, state, request != '' FROM job WHERE state IN ({marks}) ORDER BY key"
        return [(JobRef(PipelineRef(row[0], row[1]), row[2]), row[3], bool(row[4])) for row in self._db.execute(query, _UNFINISHED)]

    def add_job(self, info: JobInfo) -> None:
        self._db.execute(
            "INSERT INTO job (project, pipeline, id, version, output_branch, state, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*info.job.pipeline, info.job.id, info.pipeline_version, info.output_branch, info.state.value, info.created),
        )

    def update_job(self, info: JobInfo) -> None:
        """Write everything about a job that may change, but what it is asked."""
        counters = json.dumps([[*_counts(info.counters)], [*asdict(info.stats).values()], info.unread, info.warnings])
        running = json.dumps([[r.worker, r.datum, r.paths, r.started, r.hashes] for r in info.running]) if info.running else ""
        self._db.execute(
            "UPDATE job SET state = ?, reason = ?, started = ?, finished = ?, counters = ?, restart = ?, running = ?"
            " WHERE project = ? AND pipeline = ? AND id = ?",
            (info.state.value, info.reason, info.started, info.finished, counters, info.restart, running, *info.job.pipeline, info.job.id),
        )

    def remove_job(self, ref: JobRef) -> None:
        self._db.execute("DELETE FROM job WHERE project = ? AND pipeline = ? AND id = ?", (*ref.pipeline, ref.id))

    def ask(self, ref: JobRef, datums: Sequence[str]) -> None:
        """Ask the engine to start these datums of a job anew."""
        where = " WHERE project = ? AND pipeline = ? AND id = ?"
        self._db.execute(f"UPDATE job SET request = ?{where}", (json.dumps([*self.asked(ref), *datums]), *ref.pipeline, ref.id))

    def asked(self, ref: JobRef) -> list[str]:
        """The datums that `ask` recorded for a job."""
        found = self._db.execute(
            "SELECT request FROM job WHERE project = ? AND pipeline = ? AND id = ?", (*ref.pipeline, ref.id)
        ).fetchone()
        return read_json(found[0], f"job {ref}") if found and found[0] else []

    def answered(self, ref: JobRef) -> None:
        """Clear what `ask` recorded."""
        self._db.execute("UPDATE job SET request = '' WHERE project = ? AND pipeline = ? AND id = ?", (*ref.pipeline, ref.id))

    # -- transactions and secrets ------------------------------------------------------------------------------------

    def pending(self, transaction: str) -> PendingRow | None:
        found = self._db.execute("SELECT id, started, requests FROM pending WHERE id = ?", (transaction,)).fetchone()
        return PendingRow(found[0], found[1], read_json(found[2], f"transaction {transaction}")) if found else None

    def all_pending(self) -> list[PendingRow]:
        rows = self._db.execute("SELECT id, started, requests FROM pending ORDER BY started")
        return [PendingRow(row[0], row[1], read_json(row[2], f"transaction {row[0]}")) for row in rows]

    def put_pending(self, row: PendingRow) -> None:
        self._db.execute("INSERT OR REPLACE INTO pending VALUES (?, ?, ?)", (row.id, row.started, json.dumps(row.requests)))

    def remove_pending(self, transaction: str) -> None:
        self._db.execute("DELETE FROM pending WHERE id = ?", (transaction,))

    def secret(self, name: str) -> Mapping[str, Any] | None:
        found = self._db.execute("SELECT document FROM secret WHERE name = ?", (name,)).fetchone()
        return read_json(found[0], f"secret {name}") if found else None

    def secrets(self) -> list[tuple[str, float]]:
        """Names and times of creation."""
        return list(self._db.execute("SELECT name, created FROM secret ORDER BY name"))

    def put_secret(self, name: str, created: float, document: Mapping[str, Any]) -> None:
        self._db.execute("INSERT OR REPLACE INTO secret VALUES (?, ?, ?)", (name, created, json.dumps(document)))

    def remove_secret(self, name: str) -> None:
        self._db.execute("DELETE FROM secret WHERE name = ?", (name,))


def _counts(counters: Counters) -> tuple[int, ...]:
    return counters.total, counters.processed, counters.skipped, counters.failed, counters.recovered


@reads("pipeline")
def _pipeline(row: tuple[Any, ...]) -> PipelineRow:
    """Of the columns that `_PIPELINE` selects."""
    project, name, version, spec_commit, user_spec, effective_spec, salt, state, reason, stopped, created, updated, code = row
    return PipelineRow(
        pipeline=PipelineRef(project, name),
        version=version,
        spec_commit=spec_commit,
        user_spec=user_spec,
        effective_spec=effective_spec,
        salt=salt,
        state=PipelineState(state),
        reason=reason,
        stopped=bool(stopped),
        created=created,
        updated=updated,
        code=code,
    )


@reads("job")
def _job(row: tuple) -> JobInfo:  # type: ignore[type-arg]
    counters, stats, *more = json.loads(row[10]) if row[10] else ((), ())
    running = tuple(RunningDatum(r[0], r[1], tuple(r[2]), r[3], tuple(r[4])) for r in json.loads(row[12])) if row[12] else ()
    return JobInfo(
        JobRef(PipelineRef(row[0], row[1]), row[2]),
        row[3],
        row[4],
        JobState(row[5]),
        row[6],
        row[7],
        row[8],
        row[9],
        Counters(*counters),
        DatumStats(*stats),
        row[11],
        running,
        tuple(more[0]) if more else (),
        tuple(more[1]) if len(more) > 1 else (),
    )
