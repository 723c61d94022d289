"""What nobody needs any more, decided as data before anything goes (FORMAT.md, *Giving room back*)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from local_runner.model.refs import JobRef, PipelineRef
from local_runner.repos.check_home import Leftover, leftovers
from local_runner.storage.arrivals import no_arrivals
from local_runner.storage.database import Database, Session
from local_runner.storage.home import Home
from local_runner.storage.let_go import let_go
from local_runner.storage.log_files import OLD_SUFFIX, SUFFIX, job_id
from local_runner.storage.pages import free_bytes, used_bytes

_LITTLE, _MUCH = 1 << 20, 64 << 20  # bytes of removed commits


class Needed:
    """Pieces and contents that some commit leads to, open ones of jobs that run among them. It only grows: `look` adds what came since."""

    def __init__(self) -> None:
        self.pieces: set[bytes] = set()
        self.contents: set[bytes] = set()
        self._roots: set[bytes] = set()

    def look(self, session: Session) -> None:
        """Walk what was not walked before. Raises `Unavailable` for a tree that is damaged: then nobody knows what it needs."""
        for root in set(session.commits.roots()) - self._roots:
            self.contents.update(session.trees.reach(root, self.pieces))
            self._roots.add(root)


def is_due(session: Session) -> bool:
    """Whether so much was removed since the last collection that one is worth it: 64 MiB, or 1 MiB and as much as is left."""
    removed = let_go(session.connection)
    if removed < _LITTLE or removed >= _MUCH:
        return removed >= _MUCH
    left = session.connection.execute("SELECT coalesce(sum(size), 0) FROM commits").fetchone()[0]
    return bool(removed >= left)


def is_quick(session: Session) -> bool:
    """Whether it is decided in a moment what goes: 10 000 pieces, some 300 000 files, take half a second."""
    return bool(session.connection.execute("SELECT coalesce(max(rowid), 0) FROM node").fetchone()[0] <= 10_000)


class Doomed(NamedTuple):
    """Things that go, and what they hold in bytes."""

    names: tuple[bytes, ...] = ()
    size: int = 0


@dataclass(frozen=True, slots=True)
class GcPlan:
    """What goes: pieces of trees, small and large contents, sums of large ones that are gone, what killed processes left, logs of
    jobs that are gone or too old; and, in bytes, what of the records is free already and what stays."""

    pieces: Doomed
    small: Doomed
    large: Doomed
    sums: Doomed
    leftovers: tuple[Leftover, ...]
    logs: tuple[Leftover, ...]
    free: int
    stays: int
    needed: Needed = field(repr=False, compare=False)

    @property
    def size(self) -> int:
        """Bytes that it gives back, about: rows share pages."""
        rows = self.pieces.size + self.small.size + self.large.size + self.sums.size
        return self.free + rows + sum(leftover.size for leftover in (*self.leftovers, *self.logs))


def plan_gc(database: Database, logs_since: float = 0.0) -> GcPlan:
    """What could go now. `logs_since`: logs that were last written to before that time go, too. Raises `Unavailable` for damaged trees."""
    home = database.home
    there = dict(_large(home))  # before the records: what is stored meanwhile is no candidate
    with no_arrivals(home) as held:
        pass
    needed = Needed()
    with database.read_apart() as session:
        needed.look(session)
        kept = needed.contents | held
        connection = session.connection
        pieces = _doomed(connection.execute("SELECT name, length(content) FROM node"), needed.pieces)
        small = _doomed(connection.execute("SELECT name, length(content) FROM object"), kept)
        large = _doomed(there.items(), kept)
        sums = Doomed()
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'block_sums'").fetchone():
            sums = _doomed(connection.execute("SELECT name, length(sums) FROM block_sums"), kept)
        logs = tuple(gone_logs(session, home, logs_since))
        free, used = free_bytes(connection), used_bytes(connection)
    stays = used - pieces.size - small.size - sums.size + sum(there.values()) - large.size
    return GcPlan(pieces, small, large, sums, tuple(leftovers(home)), logs, free, stays, needed)


def _doomed(there: Iterable[tuple[bytes, int]], kept: set[bytes]) -> Doomed:
    found = [(name, size) for name, size in there if name not in kept]
    return Doomed(tuple(name for name, _ in found), sum(size for _, size in found))


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
