"""Transitive provenance and subvenance of branches (reference pfs 1.4)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from local_runner.storage.database import Session
from local_runner.storage.repo_records import BranchRow


def provenance(session: Session, branch: int) -> dict[int, BranchRow]:
    """The keys of all branches upstream of this one."""
    return _closure(branch, lambda key: (source.branch for source in session.repos.sources(key)))


def subvenance(session: Session, branch: int) -> dict[int, BranchRow]:
    """The keys of all branches downstream of this one."""
    return _closure(branch, lambda key: (source.branch for source in session.repos.dependants(key)))


def _closure(start: int, neighbours: Callable[[int], Iterable[BranchRow]]) -> dict[int, BranchRow]:
    found: dict[int, BranchRow] = {}
    waiting = [start]
    while waiting:
        for row in neighbours(waiting.pop()):
            if row.key not in found:
                found[row.key] = row
                waiting.append(row.key)
    return found


def sources_first(graph: Mapping[int, Sequence[int]]) -> Iterator[tuple[int, Sequence[int]]]:
    """The keys of a graph, given with what each stands on, each after those it stands on; else in the order they came."""
    waits = {key: sum(source in graph for source in sources) for key, sources in graph.items()}
    dependants: dict[int, list[int]] = {key: [] for key in graph}
    for key, sources in graph.items():
        for source in sources:
            if source in graph:
                dependants[source].append(key)
    ready = deque(key for key, count in waits.items() if not count)
    while ready:
        key = ready.popleft()
        yield key, graph[key]
        for dependant in dependants[key]:
            waits[dependant] -= 1
            if not waits[dependant]:
                ready.append(dependant)
