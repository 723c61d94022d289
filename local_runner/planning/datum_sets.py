"""Cuts the datums of a step into sets, which workers are given one at a time (reference pps 2.7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from local_runner.model.datums import Datum
from local_runner.model.pipelines import PipelineSpec

# A set of datums is cut so that each worker gets about four.
_SETS_PER_WORKER = 4
_MOST_BY_TIME = 2000  # datums whose durations are looked up
NOTHING_KNOWN: Mapping[str, float] = MappingProxyType({})


def goes_by_time(datums: Sequence[Datum], spec: PipelineSpec) -> bool:
    """Whether it is worth it to know how long these datums took the last time: several workers share them, as nobody said how."""
    return spec.parallelism > 1 and not spec.datum_sets and not spec.transform.datum_batching and 1 < len(datums) <= _MOST_BY_TIME


def cut_sets(
    datums: Sequence[Datum], spec: PipelineSpec, unskipped: int, seconds: Mapping[str, float] = NOTHING_KNOWN
) -> list[tuple[Datum, ...]]:
    """Datums in processing order, cut as `datum_set_spec` says (reference pps 2.7); zeros mean the default.

    With `seconds`, how long datums took the last time by id, the longest first (`_by_time`): `goes_by_time` says when they count.

    The default goes by all datums of the job that are not known to be skipped (`unskipped`), however few of them run in this step. It
    shows in how often a batching process starts; several workers rather share the few.
    """
    if not datums:
        return []
    if any(seconds.values()):
        return _by_time(datums, spec.parallelism, seconds)
    wanted = spec.datum_sets
    if wanted and wanted.size_bytes:
        return _by_size(datums, wanted.size_bytes)
    number = wanted.number if wanted and wanted.number else 0
    if not number:
        per_worker = (wanted.per_worker if wanted else 0) or _SETS_PER_WORKER
        number = max(1, (unskipped if spec.parallelism == 1 else len(datums)) // (spec.parallelism * per_worker))
    return [tuple(datums[at : at + number]) for at in range(0, len(datums), number)]


def _by_size(datums: Sequence[Datum], size: int) -> list[tuple[Datum, ...]]:
    weights = [sum(file.size for file in datum.inputs) for datum in datums]
    return _gathered(datums, weights, lambda held, more: held >= size)


def _by_time(datums: Sequence[Datum], workers: int, seconds: Mapping[str, float]) -> list[tuple[Datum, ...]]:
    """The longest first, so that the last sets to end are short ones.

    A set takes about a quarter of what each worker has to do, a longer datum is a set of its own. Datums of which nothing is known come
    last, in their order, and count as the mean of the others.
    """
    mean = sum(seconds.values()) / len(seconds)
    ordered = sorted(datums, key=lambda datum: -seconds.get(datum.id, -1.0))
    weights = [seconds.get(datum.id, mean) for datum in ordered]
    share = sum(seconds.get(datum.id, mean) for datum in datums) / (workers * _SETS_PER_WORKER)
    return _gathered(ordered, weights, lambda held, more: held + more > share)


def _gathered(datums: Sequence[Datum], weights: Sequence[float], ends: Callable[[float, float], bool]) -> list[tuple[Datum, ...]]:
    """Datums in this order; a set `ends`, by the weight it holds and that of the next datum, before this one."""
    sets: list[tuple[Datum, ...]] = []
    held: list[Datum] = []
    weight = 0.0
    for datum, more in zip(datums, weights, strict=True):
        if held and ends(weight, more):
            sets.append(tuple(held))
            held, weight = [], 0.0
        held.append(datum)
        weight += more
    return [*sets, tuple(held)]
