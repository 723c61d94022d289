"""Repairs what `check` finds damaged, as far as other copies exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from local_runner.model.entries import entry_key, entry_value, parse_entry
from local_runner.model.refs import META, USER, RepoRef
from local_runner.repos.check import broken_trees, lost_contents
from local_runner.repos.check_home import remove_leftovers
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Database, Session, lost_transactions
from local_runner.storage.objects import hashed
from local_runner.storage.row_sums import sum_all, wrong_rows

Files = Sequence[tuple[str, Path | bytes]]  # path in a repo -> what is to be there

_RUN_AGAIN = b"R"  # the state in a record (pipelines/datum_index.py) with which a datum is not taken for done


def mend(database: Database, sources: Iterable[Files] = ()) -> Iterator[str]:
    """Mend what can be, and say each thing that was done, and what was lost by it: to be read to its end.

    `sources` are the files of input repos.

    What a check still finds afterwards is lost. Raises `Unavailable` for records that cannot be used at all.
    """
    if database.lost:
        yield f"{lost_transactions(database.home, database.lost)}; what is left counts from now on"
        database.accept_loss()
    for step in (_mend_records, partial(_put_again, sources=sources), _sum_again, _run_again, _clear):
        try:
            yield from step(database)
        # As in a check: damage meets code anywhere, and is not to keep the rest from being mended.
        except Exception as error:
            yield f"damage keeps from mending more of this kind: {error or type(error).__name__}"


def _clear(database: Database) -> Iterator[str]:
    for leftover in remove_leftovers(database.home):
        yield f"removed {leftover.path}, which a killed process left ({leftover.size} bytes)"


def _mend_records(database: Database) -> Iterator[str]:
    with database.write() as session:
        yield from _mend_rows(session)


def _mend_rows(session: Session) -> Iterator[str]:
    connection = session.connection
    problems = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    if any("index" in problem for problem in problems):
        connection.execute("REINDEX")
        yield "made the indexes of the records anew"
    wrong = list(wrong_rows(connection))
    for row in wrong:
        what = "is taken as it is now, which is not what was written: look at it" if row.found else "has gone, and is lost"
        yield f"row {row.row} of {row.table} {what}"
    if wrong:
        sum_all(connection)
    for table in ("branch", "commits", "job"):
        connection.execute(
            f"UPDATE sqlite_sequence SET seq = (SELECT max(key) FROM {table})"
            f" WHERE name = '{table}' AND seq < (SELECT max(key) FROM {table})"
        )


def _put_again(database: Database, sources: Iterable[Files]) -> Iterator[str]:
    """Contents and trees that the files of the project make again."""
    with database.read() as session:
        lost = {content.name: content for content in lost_contents(session)}
        broken = broken_trees(session)
    if not lost and not broken:
        return
    for files in sources:
        contents = {path: (source, hashed(source)) for path, source in files}
        found = {content.name: source for source, content in contents.values() if content.name in lost}
        taken = [database.files.take(source) for source in found.values()]
        with database.write() as session:
            session.objects.add(taken)
            if broken:
                # Pieces are named by what they hold: the same files make the same ones, whole.
                session.trees.forget()
                session.trees.build((entry_key(path), entry_value(content.name, content.size)) for path, (_, content) in contents.items())
        for name in found:
            row, path, _ = lost.pop(name).files[0]
            yield f"put the content of {row.ref}:{path} again"
    with database.read() as session:
        if broken - broken_trees(session):
            yield f"{len(broken - broken_trees(session))} trees are whole again"


def _sum_again(database: Database) -> Iterator[str]:
    """Large contents that were stored by an earlier version have no sums, and damaged sums make reading slow."""
    with database.read() as session:
        found = list(session.objects.without_sums())
    if found:
        with database.write() as session:
            session.objects.add(found)
        yield f"summed {len(found)} large contents, which are checked sooner from now on"


def _run_again(database: Database) -> Iterator[str]:
    """Mark datums whose outputs, or documents, are lost: the next job of their pipeline makes them anew."""
    with database.write() as session:
        yield from _mark(session)


def _mark(session: Session) -> Iterator[str]:
    lost = {content.name for content in lost_contents(session)}
    for row in session.pipelines.pipelines() if lost else ():
        output, meta = (_newest(session, RepoRef(row.pipeline.project, row.pipeline.name, kind)) for kind in (USER, META))
        if meta is None:
            continue
        datums = {tag for commit in (output, meta) if commit for tag in _tags_of(session, commit, lost)}
        datum_index = {tag.encode(): record for tag in sorted(datums) if (record := session.trees.get(meta.datum_index, tag.encode()))}
        if datum_index:
            again = {tag: record[:32] + _RUN_AGAIN + record[33:] for tag, record in datum_index.items()}
            session.commits.update(meta.key, datum_index=session.trees.edit(meta.datum_index, again))
            yield f"{len(datum_index)} datums of {row.pipeline} lost outputs, and run again with: rerun pipeline {row.pipeline.name}"


def _newest(session: Session, repo: RepoRef) -> CommitRow | None:
    """The newest finished commit without error."""
    found = session.repos.repo(repo)
    rows = session.commits.of_repo(found.key) if found else []
    return next((row for row in rows if row.finished is not None and not row.error), None)


def _tags_of(session: Session, row: CommitRow, lost: set[bytes]) -> Iterator[str]:
    entries = (parse_entry(key, value) for key, value in session.trees.scan(row.tree))
    return (entry.tag for entry in entries if entry.hash in lost)
