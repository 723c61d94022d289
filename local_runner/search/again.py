"""Whether a point comes to the same when it is computed once more: if not, something in its program is left to chance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from local_runner.model.refs import CommitQuery, FileQuery
from local_runner.model.space import shown
from local_runner.search.checks import Remark
from local_runner.search.results import Results

if TYPE_CHECKING:
    from local_runner.executors.base import Executor
    from local_runner.runner import Runner
    from local_runner.search.ledger import Ledger


def compute_again(runner: Runner, ledger: Ledger, results: Results, executor: Executor, count: int) -> Iterator[Remark]:
    """Run the datums that scored the best `count` points again, commit nothing, and compare what they write byte by byte."""
    commit, same = ledger.score_commit, 0
    for trial in results.done[:count] if commit else ():
        for score in trial.scores:
            assert commit is not None
            found = runner.find_datum_of_file(FileQuery(CommitQuery(commit.repo, id=commit.id), score.file))
            transform = found.spec.transform
            with runner.open_datum(found, executor) as session:
                result = session.run(transform.cmd, _ignore, stdin=session.stdin, timeout=found.spec.datum_timeout)
                now = {file.path: file.content.name for file in session.written()}
            before = {path: content.name for path, content in (found.before.files if found.before else {}).items()}
            if not result.accepted(transform.accept_return_code):
                yield Remark("again", f"{trial.name} ({shown(trial.point)}) failed when it was computed again: {result.reason}")
            elif changed := sorted(path for path in now.keys() | before.keys() if now.get(path) != before.get(path)):
                where = f"{', '.join(changed)} ({trial.name}, {shown(trial.point)})"
                yield Remark("again", f"the same point gave other bytes in {where}: a seed is not fixed")
            else:
                same += 1
    if same:
        yield Remark("again", f"{same} datums of the best points gave the same bytes when they were computed again", is_warning=False)


def _ignore(stream: str, block: bytes) -> None:
    """What is printed was seen before."""
