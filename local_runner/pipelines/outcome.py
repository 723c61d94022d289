"""The outcome of a datum as a value: what is committed of it, and how it counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from local_runner.model.datums import Datum, DatumState, DatumStats
from local_runner.storage.objects import Content


class OutputFile(NamedTuple):
    """A file to commit. `linked` ones are content that a link stood for, which is not counted as uploaded."""

    path: str
    content: Content
    linked: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a datum. `counted` is how the job counts it; `state` what its meta document says.

    They differ for a datum that was recovered in one attempt and succeeded in the next (reference pps 2.6, *Quirk*).
    `outputs` and `seen` are to be committed to the output and meta repo; `last_lines` are the end of what it printed, `unread` the
    inputs it did not look into. `hindrances` say what may have made it fail, `warnings` what people should know although it did not.
    """

    datum: Datum
    counted: DatumState
    state: DatumState
    reason: str
    stats: DatumStats
    outputs: Sequence[OutputFile]
    seen: Sequence[OutputFile]
    last_lines: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    hindrances: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
