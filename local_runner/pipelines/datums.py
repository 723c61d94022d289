"""The datums of a job: list and inspect (reference pps 4.4)."""

from __future__ import annotations

from collections.abc import Iterator

from local_runner.errors import DatumNotFound, Refused
from local_runner.model.datums import DatumInfo
from local_runner.model.entries import entry_key, parse_value
from local_runner.model.jobs import FORGOTTEN
from local_runner.model.refs import META, JobRef
from local_runner.pipelines.datum_index import read_datum_index
from local_runner.pipelines.job_commits import meta_roots, output_commit
from local_runner.pipelines.jobs import find_job
from local_runner.pipelines.meta import meta_path, parse_meta
from local_runner.storage.database import Session
from local_runner.storage.trees import Root


def _known(session: Session, ref: JobRef) -> tuple[Root, Root]:
    row = output_commit(session, ref, META)
    if row is not None and row.error == FORGOTTEN:
        raise Refused(f"job {ref}: {FORGOTTEN}", hint="how long it is kept, `datums` under [keep] in local_runner.toml says")
    return meta_roots(session, ref)


def list_datum(session: Session, ref: JobRef) -> Iterator[DatumInfo]:
    """The datums of a job by id, as far as they are done. Raises `NotFound`."""
    find_job(session, ref)
    tree, datum_index = _known(session, ref)
    for datum_id, _ in read_datum_index(session.trees, datum_index):
        yield _datum(session, tree, ref, datum_id)


def inspect_datum(session: Session, ref: JobRef, datum_id: str) -> DatumInfo:
    """One datum of a job. Raises `NotFound`."""
    find_job(session, ref)
    tree, datum_index = _known(session, ref)
    if session.trees.get(datum_index, datum_id.encode()) is None:
        raise DatumNotFound(datum_id, ref)
    return _datum(session, tree, ref, datum_id)


def _datum(session: Session, tree: Root, ref: JobRef, datum_id: str) -> DatumInfo:
    value = session.trees.get(tree, entry_key(meta_path(datum_id), datum_id))
    assert value is not None, f"datum_index of {ref} name {datum_id}, its files do not"
    return parse_meta(b"".join(session.objects.read(parse_value(value)[0])), ref.id)
