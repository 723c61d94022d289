"""What a person sees of a search while it runs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from local_runner.cli.search_progress import SearchProgress
from local_runner.search.trials import DONE, WAITING, Score, Trial


def trial(x: int, score: float | None = None) -> Trial:
    scores = (Score("", score, "/f"),) if score is not None else ()
    return Trial(f"{x:016x}", {"x": x}, WAITING if score is None else DONE, scores, None, x)


def seen(progress: SearchProgress) -> list[str]:
    """The lines of its display on a terminal."""
    text = io.StringIO()
    Console(file=text, width=100).print(progress._table())
    return [line.rstrip() for line in text.getvalue().splitlines()]


def test_a_terminal_shows_the_best_points_and_what_those_that_run_printed_last() -> None:
    progress = SearchProgress(quiet=True, maximize=True)
    progress.planned(9, [trial(1, 0.5)])
    progress.points_out(3)
    for x, score in ((2, 0.75), (3, 0.25), (4, 0.625)):
        progress.told(trial(x, score))
    progress.points_out(2)
    progress.said(trial(5).name, "epoch 1: loss 0.9")
    progress.said(trial(5).name, "epoch 2: loss 0.8")
    progress.said(trial(6).name, "epoch 1: loss 0.7")
    first, *rest = seen(progress)
    assert first.startswith("4 of 9 points done, 2 running, best 0.75 (x=2)")
    assert [line.split() for line in rest if line] == [
        ["0.75", "x=2"],
        ["0.625", "x=4"],
        ["0.5", "x=1"],
        [trial(5).name, "epoch", "2:", "loss", "0.8"],
        [trial(6).name, "epoch", "1:", "loss", "0.7"],
    ]
    progress.told(trial(5, 0.1))
    assert not any(trial(5).name in line for line in seen(progress))


def test_elsewhere_each_line_of_a_point_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress = SearchProgress(quiet=False, maximize=True)
    progress.said(trial(5).name, "epoch 1: loss 0.9")
    assert capsys.readouterr().err == f"{trial(5).name}: epoch 1: loss 0.9\n"
