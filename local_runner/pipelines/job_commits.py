"""The output commit and the meta commit of a job, and the trees in them (reference pps 3.8, 4.1)."""

from __future__ import annotations

from local_runner.errors import LocalRunnerError
from local_runner.model.refs import META, JobRef, RepoRef
from local_runner.repos.commits import base_root
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Session
from local_runner.storage.trees import Root


def output_commit(session: Session, ref: JobRef, kind: str = "user") -> CommitRow | None:
    """The output commit of a job, or with `kind` "meta" its meta commit."""
    repo = session.repos.repo(RepoRef(ref.pipeline.project, ref.pipeline.name, kind))
    return session.commits.find(repo.key, ref.id) if repo else None


def meta_roots(session: Session, ref: JobRef) -> tuple[Root, Root]:
    """The two trees of a job's meta commit: its files and its datum index."""
    row = output_commit(session, ref, META)
    if row is None:
        return None, None
    if row.begun or row.finished is not None or row.datum_index is not None:  # the last: made beside an older job that still runs
        return row.tree, row.datum_index
    try:
        return base_root(session, row), base_datum_index(session, row)
    except LocalRunnerError:
        return None, None


def base_datum_index(session: Session, row: CommitRow) -> Root:
    """The datum index of the nearest ancestor that is finished without error."""
    base = session.commits.base(row, finished=True)
    return base.datum_index if base else None
