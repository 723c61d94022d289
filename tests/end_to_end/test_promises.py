"""What versioning promises, over the four real stages: the README's session is played, then the repos are looked at."""

from __future__ import annotations

from pathlib import Path

from tests.end_to_end.project import ProjectCopy, play


def test_one_more_parameter_trains_only_its_models(finished: ProjectCopy) -> None:
    before = finished.files("model@master")
    answer = play(finished, "One more parameter: only its models are trained")[-1]
    assert answer.rows() == {"model": (7, 77, 0, "success"), "test": (7, 77, 0, "success"), "select": (1, 0, 0, "success")}
    after = finished.files("model@master")
    assert len(after.keys() - before.keys()) == 7
    assert before.items() <= after.items()


def test_a_removed_parameter_takes_its_models_away_and_trains_none(finished: ProjectCopy) -> None:
    before = finished.files("model@master")
    answer = play(finished, "One parameter less: its models go, nothing is trained")[-1]
    assert answer.rows() == {"model": (0, 66, 0, "success"), "test": (0, 66, 0, "success"), "select": (1, 0, 0, "success")}
    after = finished.files("model@master")
    assert len(before.keys() - after.keys()) == 11
    assert after.items() <= before.items()
    assert len(finished.files("test@master")) == 66
    assert finished.files("model@master^") == before


def test_other_data_runs_everything_and_replaces_the_old_output(finished: ProjectCopy) -> None:
    before = finished.files("model@master")
    answer = play(finished, "Other data: everything runs, and replaces what was there")[-1]
    assert {name: row[:2] for name, row in answer.rows().items()} == {"split": (1, 0), "model": (77, 0), "test": (77, 0), "select": (1, 0)}
    after = finished.files("model@master")
    assert after.keys() == before.keys()
    assert not after.items() & before.items()


def test_other_code_runs_again_says_why_and_can_be_told_not_to(finished: ProjectCopy) -> None:
    before = finished.files("model@master")
    _, kept, again = play(finished, "Other code: what it made is made again")
    assert kept.rows() == {}
    assert again.rows() == {"model": (77, 0, 0, "success"), "test": (0, 77, 0, "success"), "select": (0, 1, 0, "success")}
    assert finished.files("model@master") == before


def test_a_look_ahead_touches_nothing(finished: ProjectCopy) -> None:
    before = contents(finished.root / ".local_runner")
    play(finished, "A look ahead: what would run, and why")
    assert contents(finished.root / ".local_runner") == before


def test_a_look_ahead_makes_no_home(fresh: ProjectCopy) -> None:
    answer = fresh.local_runner("--dry-run")
    assert "split: runs 1 datum" in answer.lines
    assert not (fresh.root / ".local_runner").exists()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that is part of the state; SQLite's shared memory comes and goes with any reader."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".sqlite-shm", ".lock"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.read_bytes()}
