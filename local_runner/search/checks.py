"""What one should know before trusting a winner: found in the results, and in the rows that models were trained and judged by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import eq
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from local_runner.errors import NotFound
from local_runner.model.refs import CommitQuery, CommitRef, FileQuery
from local_runner.model.space import Choice, Parameter, show_value, shown, text_of
from local_runner.project.search import FilePath
from local_runner.search.results import Results
from local_runner.search.trials import Trial

if TYPE_CHECKING:
    from local_runner.runner import Runner
    from local_runner.search.ledger import Ledger

_NAMED = 5  # points, or rows, that a sentence names
_EDGE = 0.01  # as a share of a range: nearer than this to its end is at the end


@dataclass(frozen=True, slots=True)
class Remark:
    """What was found, in a sentence. `kind` is one word for it; `is_warning` says that it puts the result in doubt."""

    kind: str
    sentence: str
    is_warning: bool = True


def check_results(results: Results) -> list[Remark]:
    """All that can be said from scores alone."""
    if not results.done:
        sentence = f"no point has a score yet{_with_folds(results)}: search {results.settings.name}"
        return [Remark("none", sentence), *failures(results), *strays(results)]
    return [*ties(results), *without_effect(results), *at_an_edge(results), *lead(results), *failures(results), *strays(results)]


def check_study(runner: Runner, ledger: Ledger, results: Results) -> list[Remark]:
    """All that can be said: also of the rows that models were trained and judged by."""
    return [*check_results(results), *shared_rows(runner, ledger), *looks(results)]


def _with_folds(results: Results) -> str:
    return f" with the folds {results.settings.folder}" if results.settings.folder else ""


def ties(results: Results) -> Iterator[Remark]:
    """All winners, exactly."""
    best = results.winners
    if len(best) > 1:
        named = "; ".join(shown(trial.point) for trial in best)
        yield Remark("ties", f"{len(best)} points tie at {show_value(best[0].score)}: {named}")


def without_effect(results: Results) -> Iterator[Remark]:
    """Parameters along which nothing changes: everywhere, or under one value of a choice."""
    for name in results.names:
        same, groups = _groups_alike(results.done, name)
        if groups and same == groups:
            yield Remark("no effect", f"{name} has no effect: all {groups} groups of points that differ in {name} only score the same")
            continue
        for other in results.names:
            values = {text_of({"v": trial.point[other]}): trial.point[other] for trial in results.done if other in trial.point}
            if other == name or not _is_category(results, other):
                continue
            for value in values.values():
                under = [trial for trial in results.done if trial.point.get(other) == value]
                same, groups = _groups_alike(under, name)
                if groups and same == groups and len(values) > 1:
                    where = f"{name} has no effect under {other}={show_value(value)}"
                    yield Remark("no effect", f"{where}: {_groups(groups)} that differ in {name} only score the same")


def _groups(count: int) -> str:
    return "the points" if count == 1 else f"all {count} groups of points"


def _groups_alike(trials: Sequence[Trial], name: str) -> tuple[int, int]:
    """(groups of points that differ in one parameter only and score the same on every fold, all groups of two points or more)."""
    groups: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        if name in trial.point:
            groups[text_of({key: value for key, value in trial.point.items() if key != name})].append(trial)
    many = [group for group in groups.values() if len(group) > 1]
    return sum(len({tuple(score.value for score in trial.scores) for trial in group}) == 1 for group in many), len(many)


def _is_category(results: Results, name: str) -> bool:
    return any(isinstance(trial.point.get(name), (str, bool)) for trial in results.done)


def at_an_edge(results: Results) -> Iterator[Remark]:
    """Numbers of the winners that are the least or the most that could be: better ones may lie beyond."""
    best = results.winners
    for name in results.names:
        values = [trial.point.get(name) for trial in best]
        numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
        tried = sorted({v for t in results.trials if isinstance(v := t.point.get(name), (int, float)) and not isinstance(v, bool)})
        if len(numbers) < len(best) or len(tried) < 2:
            continue
        low, high = _ends(results, name, best[0]) or (partial(eq, tried[0]), partial(eq, tried[-1]))
        for is_end, word, way in ((low, "least", "smaller"), (high, "largest", "larger")):
            if all(map(is_end, numbers)):
                value = ", ".join(show_value(number) for number in sorted(set(numbers)))
                yield Remark(
                    "edge", f"the best {name} is the {word} there is ({value}): {way} ones may be better, the space could be wider"
                )


def _ends(results: Results, name: str, trial: Trial) -> tuple[Callable[[float], bool], Callable[[float], bool]] | None:
    """Whether a number is at the lower and at the upper end of a range; None for what is no range."""
    space = results.settings.space
    part = space.part_of(trial.point) if space else None
    found: Parameter | None = next((p for p in space.parts[part] if p.name == name), None) if space and part is not None else None
    if found is None or isinstance(found.domain, Choice):
        return None
    domain = found.domain
    if isinstance(domain.low, int):
        return (lambda value: value <= domain.low), (lambda value: value >= domain.high)
    return (lambda value: domain.share(value) <= _EDGE), (lambda value: domain.share(value) >= 1 - _EDGE)


def lead(results: Results) -> Iterator[Remark]:
    """How far the winner leads, against how much its score differs from fold to fold: the one-standard-error set (Breiman et al., 1984)."""
    best = results.winners[0]
    if not best.error:
        return
    others = [trial for trial in results.done if trial.name not in {one.name for one in results.winners}]
    near = [trial for trial in others if abs(trial.score - best.score) <= best.error]
    if near:
        more = f" and {len(near) - _NAMED} more" if len(near) > _NAMED else ""
        named = "; ".join(shown(trial.point) for trial in near[:_NAMED]) + more
        within = f"{len(near)} other points lie within one standard error ({best.error:.4f}) of the best"
        yield Remark("lead", f"{within}, so the folds cannot tell them apart: {named}")
    elif others:
        gap = abs(others[0].score - best.score)
        sentence = f"the best leads by {gap:.4f}, {gap / best.error:.1f} standard errors of its {len(best.scores)} folds"
        yield Remark("lead", sentence, is_warning=False)


def failures(results: Results) -> Iterator[Remark]:
    if results.failed:
        first = results.failed[0]
        reason = first.failure.reason.strip().splitlines()[0] if first.failure and first.failure.reason.strip() else "it gave no reason"
        yield Remark(
            "failed", f"{len(results.failed)} of {len(results.trials)} points failed; {first.name} ({shown(first.point)}): {reason}"
        )


def strays(results: Results) -> Iterator[Remark]:
    for problem in results.problems[:_NAMED]:
        yield Remark("stray", problem)
    if len(results.problems) > _NAMED:
        yield Remark("stray", f"and {len(results.problems) - _NAMED} more such files")


def looks(results: Results) -> Iterator[Remark]:
    """How often the test rows were looked at: the best of many looks is better than the truth."""
    count = len(results.done)
    if count > 1:
        what = f"the test rows of the {len(results.folds)} folds" if results.folds else "the test rows"
        sentence = (
            f"{what} have judged {count} points, so the best score is flattered: judge the winner once by rows that no point has seen"
        )
        yield Remark("looks", sentence, is_warning=not results.folds)


# -- rows that are shared ----------------------------------------------------------------------------------------------


def shared_rows(runner: Runner, ledger: Ledger) -> Iterator[Remark]:
    """Rows that models were trained on and judged by, found by content in the very commits that the scores were made of."""
    settings, commit = ledger.settings, ledger.score_commit
    if settings.train is None or settings.test is None:
        yield Remark("rows", "it is not said which rows models are trained on and judged by: set train and test", is_warning=False)
        return
    if commit is None:
        return
    tests = dict(_files(runner, commit, settings.test, settings.folder))
    trains = dict(_files(runner, commit, settings.train, settings.folder))
    shared, total = 0, 0
    examples: list[str] = []
    for path, test in tests.items():
        train = trains.get(_beside(path, trains))
        if train is None:
            yield Remark("rows", f"{settings.test.repo}:{path} has no training rows beside it")
            continue
        seen = set(_rows(train, test))
        both = [row for row in _rows(test, train) if row in seen]
        total += len(_rows(test, train))
        shared += len(both)
        examples += [f"{settings.test.repo}:{path}: {row.decode(errors='replace')}" for row in both[:1]]
    if shared:
        sentence = (
            f"{shared} of {total} test rows are in the training rows as well, so scores are too good; for example {examples[0][:120]}"
        )
        yield Remark("rows", sentence)
    elif tests:
        yield Remark("rows", f"none of {total} test rows is in the training rows", is_warning=False)
    else:
        yield Remark("rows", f"there are no files {settings.test.repo}:{settings.test.pattern}")


def _beside(path: str, trains: Mapping[str, object]) -> str:
    """The training file that belongs to a test file: that in the same folder, or the only one."""
    folder = PurePosixPath(path).parent
    return next((other for other in trains if PurePosixPath(other).parent == folder), next(iter(trains), "") if len(trains) == 1 else "")


def _rows(content: bytes, other: bytes) -> list[bytes]:
    """The rows of a table; a first line that both tables have and that has no digit is a header."""
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    first = other.splitlines()[:1]
    is_header = lines and first and lines[0] == first[0].strip() and not any(48 <= byte <= 57 for byte in lines[0])
    return lines[1:] if is_header else lines


def _files(runner: Runner, score: CommitRef, path: FilePath, folder: str) -> Iterator[tuple[str, bytes]]:
    """Path and content of what a pattern matches, in the commit of its repo that the scores stand on; of the present folds only."""
    commit = _source(runner, score, path.repo)
    if commit is None:
        return
    query = CommitQuery(commit.repo, id=commit.id)
    try:
        for info, content in runner.get_files(FileQuery(query, path.pattern)):
            if not info.is_folder and (not folder or f"/{folder}/" in info.path):
                yield info.path, b"".join(content)
    except NotFound:
        return


def _source(runner: Runner, commit: CommitRef, repo: str) -> CommitRef | None:
    """The commit of a repo that another one was made of, however far back."""
    ahead, seen = [commit], set[CommitRef]()
    while ahead:
        one = ahead.pop()
        if one.repo.name == repo:
            return one
        if one not in seen:
            seen.add(one)
            ahead += runner.inspect_commit(CommitQuery(one.repo, id=one.id)).direct_provenance
    return None
