"""Cuts the datums of a step into sets, which workers are given one at a time (reference pps 2.7)."""

from __future__ import annotations

from collections.abc import Sequence

from local_runner.model.datums import Datum
from local_runner.model.pipelines import PipelineSpec

# A set of datums is cut so that each worker gets about four.
_SETS_PER_WORKER = 4


def cut_sets(datums: Sequence[Datum], spec: PipelineSpec, unskipped: int) -> list[tuple[Datum, ...]]:
    """Datums in processing order, cut as `datum_set_spec` says (reference pps 2.7); zeros mean the default.

    The default goes by all datums of the job that are not known to be skipped (`unskipped`), however few of them run in this step. It
    shows in how often a batching process starts; several workers rather share the few.
    """
    if not datums:
        return []
    wanted = spec.datum_sets
    if wanted and wanted.size_bytes:
        return _by_size(datums, wanted.size_bytes)
    number = wanted.number if wanted and wanted.number else 0
    if not number:
        per_worker = (wanted.per_worker if wanted else 0) or _SETS_PER_WORKER
        number = max(1, (unskipped if spec.parallelism == 1 else len(datums)) // (spec.parallelism * per_worker))
    return [tuple(datums[at : at + number]) for at in range(0, len(datums), number)]


def _by_size(datums: Sequence[Datum], size: int) -> list[tuple[Datum, ...]]:
    sets: list[tuple[Datum, ...]] = []
    held: list[Datum] = []
    weight = 0
    for datum in datums:
        if held and weight >= size:
            sets.append(tuple(held))
            held, weight = [], 0
        held.append(datum)
        weight += sum(file.size for file in datum.inputs)
    return [*sets, tuple(held)]
