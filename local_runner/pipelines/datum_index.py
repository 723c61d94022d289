"""The skip index of a commit: a tree from datum id to skip key, state and job, quick to compare for 100 000 datums.

It stands beside the files of each meta commit and says what `/meta/<id>/meta` says there, without a document to read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from local_runner.model.datums import DatumState
from local_runner.storage.trees import Root, Trees

_LETTERS = {DatumState.PROCESSED: b"P", DatumState.FAILED: b"F", DatumState.RECOVERED: b"R"}
_STATES = {letter: state for state, letter in _LETTERS.items()}


class DatumRecord(NamedTuple):
    """The skip key (raw), the state, and the id of the job that did it (raw)."""

    hash: bytes
    state: DatumState
    job: bytes

    def encode(self) -> bytes:
        """49 bytes: a value of the tree."""
        return self.hash + _LETTERS[self.state] + self.job


def read_datum_record(trees: Trees, root: Root, datum_id: str) -> DatumRecord | None:
    """The record of one datum, None if it has none."""
    value = trees.get(root, datum_id.encode())
    return _decode(value) if value is not None else None


def read_datum_index(trees: Trees, root: Root) -> Iterator[tuple[str, DatumRecord]]:
    """All records of a commit's datum index, by datum id."""
    for key, value in trees.scan(root):
        yield key.decode(), _decode(value)


def _decode(value: bytes) -> DatumRecord:
    return DatumRecord(value[:32], _STATES[value[32:33]], value[33:])
