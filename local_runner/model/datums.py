"""Datums: the unit of work, with its identity and what became of it (reference pps 2.1, 3.8, 4.4)."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from local_runner.model.ids import datum_hash, datum_id
from local_runner.model.inputs import Cron, Pfs


class InputFile(NamedTuple):
    """One file or folder (path with trailing slash) of a datum. `commit` is the one it is read from; `hash` Pachyderm's, raw,
    `tag` the datum that wrote the file, as `FileInfo.datum`.

    A named tuple, as a job makes hundred thousands of them: 0.3 µs each, a frozen dataclass 1.2 µs.
    """

    source: Pfs | Cron
    commit: str
    path: str
    hash: bytes
    size: int
    join_on: str = ""
    group_by: str = ""
    tag: str = ""


class Datum(NamedTuple):
    """Inputs in order, with the id they make. `index` is the place in processing order and no part of the identity."""

    id: str
    inputs: tuple[InputFile, ...]
    index: int = 0  # type: ignore[assignment]  # hides tuple.index, which is never used of a datum

    def hash(self, salt: str) -> str:
        """The skip key: equal keys mean equal work (reference pps 2.1). Inputs marked `reference` do not count."""
        contents = (i.hash for i in self.inputs if not i.source.reference)
        return datum_hash(self.id, contents, salt)


def make_datum(inputs: Iterable[InputFile], index: int = 0) -> Datum:
    """A datum of these inputs in this order."""
    files = tuple(inputs)
    return Datum(datum_id([(i.source.name, i.source.repo, i.source.branch, i.path) for i in files]), files, index)


class DatumState(enum.Enum):
    """What became of a datum in the job that ran it."""

    PROCESSED = "PROCESSED"
    FAILED = "FAILED"
    # The command failed, the error command did not: no output, no failure of the job, and it runs again next time.
    RECOVERED = "RECOVERED"


@dataclass(frozen=True, slots=True)
class DatumStats:
    """Times in seconds, sizes in bytes."""

    download_time: float = 0.0
    process_time: float = 0.0
    upload_time: float = 0.0
    download_bytes: int = 0
    upload_bytes: int = 0

    def __add__(self, other: DatumStats) -> DatumStats:
        return DatumStats(
            self.download_time + other.download_time,
            self.process_time + other.process_time,
            self.upload_time + other.upload_time,
            self.download_bytes + other.download_bytes,
            self.upload_bytes + other.upload_bytes,
        )


@dataclass(frozen=True, slots=True)
class DatumInfo:
    """A datum as `list datum` shows it.

    `state` is "success", "failed", "recovered", "skipped" or "unknown" (not run: only possible).
    `job` is the id of the job that processed it, which for a skipped datum is an older one.
    """

    datum: Datum
    job: str
    state: str
    reason: str
    stats: DatumStats | None
