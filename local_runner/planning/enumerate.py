"""Makes datums of an input expression and the files that its globs select (reference pps 1.4).

Each level is sorted by id and deduplicated; of datums with one id the first wins. Ids decide about order and deduplication at every
level, so the rules here are exactly Pachyderm's, pseudo-random order included.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from local_runner.model.datums import Datum, InputFile, make_datum
from local_runner.model.ids import digest
from local_runner.model.inputs import Cron, Cross, Group, Input, Join, Pfs, Union

FilesOf = Callable[[Pfs | Cron], Sequence[InputFile]]
_Buckets = dict[str, list[InputFile]]


def enumerate_datums(expression: Input | None, files_of: FilesOf) -> list[Datum]:
    """All datums, in ascending order of id; `index` is their place in processing order, which several may share.

    `files_of` gives the files a leaf selects, in path order, with `join_on` and `group_by` evaluated. One input of 100 000 files
    takes 0.4 s.
    """
    match expression:
        case None:
            return []
        case Pfs() | Cron():
            return _as_set(make_datum((file,), index) for index, file in enumerate(files_of(expression)))
        case Union(children):
            return _as_set(datum for child in children for datum in enumerate_datums(child, files_of))
        case Cross(children):
            return _as_set(_cross([enumerate_datums(child, files_of) for child in children]))
        case Join(children):
            return _as_set(_join([_buckets(enumerate_datums(child, files_of), _join_key) for child in children]))
        case Group(children):
            return _as_set(_group([_buckets(enumerate_datums(child, files_of), _group_key) for child in children]))


def processing_order(datums: Iterable[Datum]) -> list[Datum]:
    """Datums in the order in which they are cut into sets and run: by index, then id."""
    return sorted(datums, key=lambda datum: (datum.index, datum.id))


def _as_set(datums: Iterable[Datum]) -> list[Datum]:
    found: dict[str, Datum] = {}
    for datum in datums:
        found.setdefault(datum.id, datum)
    return [found[identity] for identity in sorted(found)]


def _cross(children: Sequence[Sequence[Datum]]) -> Iterator[Datum]:
    for index, combination in enumerate(itertools.product(*children)):
        yield make_datum([file for datum in combination for file in datum.inputs], index)


def _join_key(file: InputFile) -> str:
    return file.join_on


def _group_key(file: InputFile) -> str:
    return file.group_by


def _buckets(datums: Iterable[Datum], key: Callable[[InputFile], str]) -> _Buckets:
    """The files of a child's datums by key. Joins and groups split composite children into single files, repetitions included."""
    buckets: _Buckets = {}
    for datum in datums:
        for file in datum.inputs:
            buckets.setdefault(key(file), []).append(file)
    return buckets


def _keys(children: Sequence[_Buckets]) -> list[str]:
    """All keys in the order of their hashes."""
    return sorted({key for buckets in children for key in buckets}, key=lambda key: digest(key.encode()))


def _join(children: Sequence[_Buckets]) -> Iterator[Datum]:
    for key in _keys(children):
        present = [buckets[key] for buckets in children if key in buckets]
        if len(present) == len(children):
            yield from map(make_datum, itertools.product(*present))
            continue
        # Inner files are left out of such a datum. Leaving them out before, and once, spares all their combinations.
        for choice in itertools.product(*(dict.fromkeys(file if _is_outer(file) else None for file in files) for files in present)):
            outer = [file for file in choice if file]
            if outer:
                yield make_datum(outer)


def _is_outer(file: InputFile) -> bool:
    return file.source.outer_join


def _group(children: Sequence[_Buckets]) -> Iterator[Datum]:
    for key in _keys(children):
        yield make_datum([file for buckets in children for file in buckets.get(key, ())])
