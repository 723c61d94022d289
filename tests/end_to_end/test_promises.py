"""What a change runs again, over the four real stages: each row of the tour's table is played, then the repos are looked at."""

from __future__ import annotations

import re
from pathlib import Path

from tests.end_to_end.project import TOUR, Answer, ProjectCopy, play

PIPELINES = ("split", "model", "test", "select")
RUN = ".venv/bin/python -m local_runner"


def change(project: ProjectCopy, what: str, *before: str) -> Answer:
    """Make the change that a row of the table begins with, and run; what ran and was reused is what the row says.

    `before` are commands between the change and the run.
    """
    [row] = re.findall(rf"^\| {what}: `(.*)` \|(.*)\|(.*)\|(.*)\|(.*)\|$", TOUR, flags=re.M)
    for command in (row[0], *before):
        made = project.bash(command)
        assert made.status == 0, made.text
    answer = project.bash(RUN)
    counted = {name: re.fullmatch(r"(\d+) \+ (\d+)", cell.strip()) for name, cell in zip(PIPELINES, row[1:], strict=True)}
    shown = {name: (int(found[1]), int(found[2]), 0, "success") for name, found in counted.items() if found}
    assert answer.rows() == shown, answer.text
    return answer


def test_one_more_parameter_trains_only_its_models(finished: ProjectCopy) -> None:
    before = finished.files("model@master")
    change(finished, "one more parameter")
    after = finished.files("model@master")
    assert len(after.keys() - before.keys()) == 7
    assert before.items() <= after.items()


def test_a_removed_parameter_takes_its_models_away_and_trains_none(finished: ProjectCopy) -> None:
    before = finished.files("model@master")
    change(finished, "one parameter less")
    after = finished.files("model@master")
    assert len(before.keys() - after.keys()) == 11
    assert after.items() <= before.items()
    assert len(finished.files("test@master")) == 66
    assert finished.files("model@master^") == before


def test_other_data_runs_everything_and_replaces_the_old_output(finished: ProjectCopy) -> None:
    before = finished.files("model@master")
    change(finished, "other data")
    after = finished.files("model@master")
    assert after.keys() == before.keys()
    assert not after.items() & before.items()


def test_other_code_runs_again_says_why_and_can_be_told_not_to(finished: ProjectCopy) -> None:
    before = finished.files("model@master")
    answer = change(finished, "other code", f"{RUN} --no-reprocess 2>&1 | grep 'nothing to do'")
    assert "model: images/model/train.py changed, so every datum runs again" in answer.lines
    assert finished.files("model@master") == before


def test_a_look_ahead_touches_nothing(finished: ProjectCopy) -> None:
    before = contents(finished.root / ".local_runner")
    play(finished, "Before a change runs")
    assert contents(finished.root / ".local_runner") == before


def test_a_look_ahead_makes_no_home(fresh: ProjectCopy) -> None:
    answer = fresh.local_runner("--dry-run")
    assert "split: runs 1 datum" in answer.lines
    assert not (fresh.root / ".local_runner").exists()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that is part of the state; SQLite's shared memory comes and goes with any reader."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".sqlite-shm", ".lock"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.read_bytes()}
