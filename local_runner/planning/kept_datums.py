"""Finds datums that succeeded in jobs that failed, which the next job of the pipeline takes over instead of running them.

It goes by the skip key, as skipping what a good job left does; the outputs are in the commits of the job that failed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from local_runner.model.datums import Datum, DatumState, DatumStats
from local_runner.model.entries import entry_key, folder_range, parse_value
from local_runner.model.jobs import JobInfo
from local_runner.model.refs import META, JobRef
from local_runner.pipelines.datum_index import DatumRecord, read_datum_index, read_datum_record
from local_runner.pipelines.job_commits import output_commit
from local_runner.pipelines.meta import files_path, meta_path, parse_meta
from local_runner.pipelines.outcome import Outcome, OutputFile
from local_runner.planning.plan import KeptDatum
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Session
from local_runner.storage.objects import Content

KEEP_VARIABLE = "LOCAL_RUNNER_KEEP_SUCCEEDED"
_REACH = 100  # jobs looked back at: the latest of them has taken over what those before had
_FEW = 100  # datums whose datum_index are looked up one by one; of more, all datum_index are read


def find_kept(session: Session, job: JobRef, base: CommitRow | None, datums: Sequence[Datum], salt: str) -> dict[str, KeptDatum]:
    """The datums of a job that succeeded with the same content in a failed job since the base: id -> the newest success."""
    found: dict[str, KeptDatum] = {}
    if not datums or os.environ.get(KEEP_VARIABLE, "").lower() in ("0", "no", "false"):
        return found
    missing: dict[str, bytes] = {}
    for info, meta, output in _failed_jobs(session, job, base):
        missing = missing or {datum.id: bytes.fromhex(datum.hash(salt)) for datum in datums}
        own = bytes.fromhex(info.job.id)
        for name, record in list(_records(session, meta, missing)):
            if record.job == own and record.state is DatumState.PROCESSED and record.hash == missing.get(name):
                found[name] = KeptDatum(info.job.id, info.state.word, meta.key, output.key)
                del missing[name]
        if not missing:
            break
    return found


def _failed_jobs(session: Session, job: JobRef, base: CommitRow | None) -> Iterator[tuple[JobInfo, CommitRow, CommitRow]]:
    """The jobs between a job and its base in which something succeeded, the newest first, with their meta and output commits.

    Not those whose datums wrote one path: what they left cannot stand side by side, so it has to be made anew.
    """
    row = output_commit(session, job, META)
    for _ in range(_REACH):
        if row is None or row.parent is None:
            return
        row = session.commits.at(row.parent)
        if base is not None and row.key == base.key:
            return
        ref = JobRef(job.pipeline, row.ref.id)
        info, output = session.pipelines.job(ref), output_commit(session, ref)
        if info and info.state.is_final and info.counters.processed and output and not output.unreadable:
            yield info, row, output


def _records(session: Session, meta: CommitRow, wanted: Mapping[str, bytes]) -> Iterator[tuple[str, DatumRecord]]:
    if len(wanted) > _FEW:
        yield from read_datum_index(session.trees, meta.datum_index)
        return
    for name in wanted:
        record = read_datum_record(session.trees, meta.datum_index, name)
        if record is not None:
            yield name, record


def kept_outcome(session: Session, kept: KeptDatum, datum: Datum) -> Outcome:
    """The outcome of a kept datum, as if it had run now. Raises `LocalRunnerError` if its output is gone."""
    meta, output = session.commits.at(kept.meta), session.commits.at(kept.output)
    document = session.trees.get(meta.tree, entry_key(meta_path(datum.id), datum.id))
    content = b"".join(session.objects.read(document[:32])) if document else b"{}"
    info = parse_meta(content, kept.job)
    outputs, seen = [], []
    folder = files_path(datum.id)
    for key, value in session.trees.scan(meta.tree, *folder_range(folder)):
        path = key.decode().partition("\0")[0].removeprefix(folder)
        seen.append(OutputFile(path, Content(*parse_value(value))))
        if path.startswith("/out/") and session.trees.get(output.tree, entry_key(path.removeprefix("/out"), datum.id)) == value:
            outputs.append(OutputFile(path.removeprefix("/out"), seen[-1].content))
    return Outcome(datum, DatumState.PROCESSED, DatumState.PROCESSED, "", info.stats or DatumStats(), outputs, seen)
