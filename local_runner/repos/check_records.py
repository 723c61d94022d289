"""Checks the tables and rows of the records, with one function for each thing that can be wrong."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping

from local_runner.repos.findings import Finding
from local_runner.storage.connect import empty_records, has_additions
from local_runner.storage.database import Session
from local_runner.storage.row_sums import wrong_rows


def _file(session: Session) -> Iterator[Finding]:
    """The database file must be whole."""
    for (problem,) in session.connection.execute("PRAGMA integrity_check"):
        if problem != "ok":
            yield Finding("records", problem)


def _references(session: Session) -> Iterator[Finding]:
    """A row must not point to a row that is not there."""
    for table, _, target, _ in session.connection.execute("PRAGMA foreign_key_check"):
        yield Finding(f"table {table}", f"a row points to a row of {target} that is not there")


def _tables(session: Session) -> Iterator[Finding]:
    """The tables and indexes must be those of this format."""
    with empty_records(additions=has_additions(session.connection)) as empty:
        wanted, found = _shape(empty), _shape(session.connection)
    for name in sorted(wanted.keys() - found.keys()):
        yield Finding(f"table {name}", "is missing")
    for name in sorted(wanted.keys() & found.keys()):
        if not wanted[name] <= found[name]:
            yield Finding(f"table {name}", "has other columns or indexes than it should")


def _shape(connection: sqlite3.Connection) -> dict[str, set[object]]:
    """The columns, references and indexes of each table."""
    shape: dict[str, set[object]] = {}
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        indexes = [row[1] for row in connection.execute(f'PRAGMA index_list("{name}")')]
        shape[name] = {
            *(("column", *row[1:]) for row in connection.execute(f'PRAGMA table_info("{name}")')),
            *(("reference", *row[2:]) for row in connection.execute(f'PRAGMA foreign_key_list("{name}")')),
            *(("index", *(row[2] for row in connection.execute(f'PRAGMA index_info("{index}")'))) for index in indexes),
        }
    return shape


def _sums(session: Session) -> Iterator[Finding]:
    """A row must be what was written, and none may have gone."""
    if has_additions(session.connection):
        for wrong in wrong_rows(session.connection):
            yield Finding(f"row {wrong.row} of {wrong.table}", wrong.problem)


def _keys(session: Session) -> Iterator[Finding]:
    """No key may be given out twice."""
    given = dict(session.connection.execute("SELECT name, seq FROM sqlite_sequence"))
    for table in ("branch", "commits", "job"):
        (highest,) = session.connection.execute(f"SELECT max(key) FROM {table}").fetchone()
        if highest is not None and given.get(table, 0) < highest:
            yield Finding(f"table {table}", f"new rows would get keys from {given.get(table, 0) + 1}, though {highest} is taken")


def _branches(session: Session) -> Iterator[Finding]:
    """Branches and their triggers must be readable."""
    for branch in session.repos.branches():
        session.repos.sources(branch.key)
    yield from ()


def _jobs(session: Session) -> Iterator[Finding]:
    """Jobs must be readable."""
    for info in session.pipelines.jobs():
        session.pipelines.asked(info.job)
    yield from ()


def _pipelines(session: Session) -> Iterator[Finding]:
    """Pipelines and their specs must be readable."""
    for newest in session.pipelines.pipelines():
        for row in session.pipelines.versions(newest.pipeline):
            if not all(isinstance(json.loads(text), Mapping) for text in (row.user_spec, row.effective_spec)):
                yield Finding(f"pipeline {row.pipeline}", f"version {row.version} has a spec that is none")


def _documents(session: Session) -> Iterator[Finding]:
    """Open transactions and secrets must be readable."""
    session.pipelines.all_pending()
    for name, _ in session.pipelines.secrets():
        if not isinstance(session.pipelines.secret(name), Mapping):
            yield Finding(f"secret {name}", "is none")


RECORDS: tuple[Callable[[Session], Iterator[Finding]], ...] = (
    _file,
    _references,
    _tables,
    _sums,
    _keys,
    _branches,
    _jobs,
    _pipelines,
    _documents,
)
