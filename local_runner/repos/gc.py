"""Decides, as data, what garbage collection removes (FORMAT.md, *Giving room back*)."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from local_runner.errors import Unavailable
from local_runner.model.jobs import FORGOTTEN, JobState
from local_runner.model.refs import META, JobRef, PipelineRef, RepoRef
from local_runner.repos.check_home import Leftover, leftovers
from local_runner.storage.arrivals import no_arrivals
from local_runner.storage.database import Database, Session
from local_runner.storage.home import Home
from local_runner.storage.log_files import OLD_SUFFIX, SUFFIX, job_id
from local_runner.storage.objects import has_large
from local_runner.storage.packed import packed_sizes
from local_runner.storage.pages import free_bytes, used_bytes
from local_runner.storage.released import let_go, replaced
from local_runner.storage.stored_file import unpack_parts

_LITTLE, _MUCH = 1 << 20, 64 << 20  # bytes of removed commits


class Needed:
    """The pieces and contents reachable from commits, open ones included, and from file sets. Only grows: `look` adds what came since."""

    def __init__(self) -> None:
        self.pieces: set[bytes] = set()
        self.contents: set[bytes] = set()
        self._roots: set[bytes] = set()

    def look(self, session: Session, without: Container[int] = ()) -> None:
        """Walk the trees not walked before, but for some commits. Raises `Unavailable` for a damaged tree, whose needs are unknown."""
        held = {*session.commits.roots(without), *session.file_sets.roots(session.clock())}
        for root in held - self._roots:
            self.contents.update(session.trees.reach(root, self.pieces))
            self._roots.add(root)
        self.contents |= parts_of(session.connection, self.contents)


def parts_of(connection: sqlite3.Connection, names: set[bytes]) -> set[bytes]:
    """The contents from whose files some others are put together. Raises `Unavailable` where that is damaged."""
    if not has_large(connection):
        return set()
    rows = connection.execute("SELECT name, parts FROM large WHERE length(parts) > 0")
    try:
        return {part.name for name, parts in rows if name in names for part in unpack_parts(parts)}
    except (ValueError, TypeError) as error:
        raise Unavailable(str(error), hint="fsck says which file it is; put it again") from None


def is_due(session: Session) -> bool:
    """Whether so much was removed since the last collection that one is worth it: 64 MiB, or 1 MiB and as much as is left.

    Or so many pieces of open commits were replaced that they are a fifth of the records.
    """
    removed, pieces = let_go(session.connection), replaced(session.connection)
    if pieces >= _LITTLE and pieces >= used_bytes(session.connection) // 5:
        return True
    if removed < _LITTLE or removed >= _MUCH:
        return removed >= _MUCH
    left = session.connection.execute("SELECT coalesce(sum(size), 0) FROM commits").fetchone()[0]
    return bool(removed >= left)


def is_quick(session: Session) -> bool:
    """Whether it is decided in a moment what goes: 10 000 pieces, some 300 000 files, take half a second."""
    return bool(session.connection.execute("SELECT coalesce(max(rowid), 0) FROM node").fetchone()[0] <= 10_000)


class Doomed(NamedTuple):
    """Names of things to remove, and their bytes."""

    names: tuple[bytes, ...] = ()
    size: int = 0


@dataclass(frozen=True, slots=True)
class GcPlan:
    """Garbage: pieces of trees, small, packed and large contents, sums and chunks of large ones, what killed processes left, logs of jobs
    that are gone or too old; meta commits, by their keys, of jobs so old that what they know of their datums goes; and, in bytes, what
    of the records is free already and what stays."""

    pieces: Doomed
    small: Doomed
    packed: Doomed
    large: Doomed
    sums: Doomed
    chunks: Doomed
    leftovers: tuple[Leftover, ...]
    logs: tuple[Leftover, ...]
    jobs: tuple[int, ...]
    free: int
    stays: int
    needed: Needed = field(repr=False, compare=False)

    @property
    def size(self) -> int:
        """About how many bytes the plan frees; rows share pages."""
        rows = self.pieces.size + self.small.size + self.packed.size + self.large.size + self.sums.size + self.chunks.size
        return self.free + rows + sum(leftover.size for leftover in (*self.leftovers, *self.logs))


def plan_gc(database: Database, logs_since: float = 0.0, datums_since: float = 0.0) -> GcPlan:
    """What could go now. Logs that were last written to before `logs_since` go, too, and what is known of the datums of jobs that ended
    before `datums_since`. Raises `Unavailable` for damaged trees."""
    home = database.home
    there = dict(_large(home))  # before the records: what is stored meanwhile is no candidate
    with no_arrivals(home) as held:
        pass
    needed = Needed()
    with database.read_apart() as session:
        jobs = tuple(forgettable(session, datums_since))
        needed.look(session, without=jobs)
        kept = needed.contents | held
        connection = session.connection
        pieces = _doomed(connection.execute("SELECT name, length(content) FROM node"), needed.pieces)
        small = _doomed(connection.execute("SELECT name, length(content) FROM object"), kept)
        packed = _doomed(packed_sizes(connection), kept)
        large = _doomed(there.items(), kept)
        sums = Doomed()
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'block_sums'").fetchone():
            sums = _doomed(connection.execute("SELECT name, length(sums) FROM block_sums"), kept)
        chunks = Doomed()
        if has_large(connection):
            chunks = _doomed(connection.execute("SELECT name, length(chunks) + length(parts) FROM large"), kept)
        logs = tuple(gone_logs(session, home, logs_since))
        free, used = free_bytes(connection), used_bytes(connection)
    stays = used - pieces.size - small.size - packed.size - sums.size - chunks.size + sum(there.values()) - large.size
    return GcPlan(pieces, small, packed, large, sums, chunks, tuple(leftovers(home)), logs, jobs, free, stays, needed)


def _doomed(there: Iterable[tuple[bytes, int]], kept: set[bytes]) -> Doomed:
    found = [(name, size) for name, size in there if name not in kept]
    return Doomed(tuple(name for name, _ in found), sum(size for _, size in found))


def forgettable(session: Session, since: float) -> Iterator[int]:
    """The meta commits of jobs that ended before a time and are the base of none to come: a newer job of their pipeline succeeded."""
    if since <= 0:
        return
    superseded: set[PipelineRef] = set()
    for info in session.pipelines.jobs():
        pipeline = info.job.pipeline
        if pipeline in superseded and info.finished is not None and info.finished < since:
            repo = session.repos.repo(RepoRef(pipeline.project, pipeline.name, META))
            row = session.commits.find(repo.key, info.job.id) if repo else None
            if row is not None and row.finished is not None and row.error != FORGOTTEN:
                yield row.key
        if info.state is JobState.SUCCESS:
            superseded.add(pipeline)


def _large(home: Home) -> Iterator[tuple[bytes, int]]:
    """Names of large contents, and what they take on the disk: one with holes is smaller than it says."""
    for folder in os.scandir(home.objects):
        if folder.is_dir(follow_symlinks=False):
            for entry in os.scandir(folder.path):
                try:
                    name, status = bytes.fromhex(folder.name + entry.name), entry.stat(follow_symlinks=False)
                except (ValueError, FileNotFoundError):  # nothing of ours, or gone meanwhile
                    continue
                yield name, min(status.st_blocks * 512, status.st_size)


def gone_logs(session: Session, home: Home, since: float) -> Iterator[Leftover]:
    """Logs of jobs and pipelines that are not in the records, and those last written to before `since`, unless their job goes on."""
    for path in home.logs.glob("*/*/*"):
        if path.name.endswith((SUFFIX, OLD_SUFFIX)):
            pipeline = PipelineRef(path.parent.parent.name, path.parent.name)
            job = JobRef(pipeline, job_id(path))
            info = session.pipelines.job(job)
            # That of a spout has no job.
            is_live = (info and not info.state.is_final) or (not job.id and session.pipelines.pipeline(pipeline) is not None)
            status = path.stat()
            if not is_live and (info is None or status.st_mtime < since):
                yield Leftover(path, status.st_size)
