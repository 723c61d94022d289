"""The commands of searches: what they print, and how they end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_runner.cli.main import main
from tests.search.conftest import Bench


@pytest.fixture
def searched(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A search over x from 0 to 9 that is done; x = 4 failed, and 8 and 9 tie."""

    def score(point: dict[str, Any]) -> float:
        if point["x"] == 4:
            raise ValueError("four is no number of layers")
        return float(min(point["x"], 8))

    bench.search(score, 10)
    monkeypatch.chdir(bench.root)
    return bench


def test_results_are_a_table_with_remarks(searched: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "results", "s"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["RANK", "POINT", "X", "VALUE", "SECONDS", "STATE"]
    assert [line.split()[2] for line in lines[1:3]] == ["8", "9"] or [line.split()[2] for line in lines[1:3]] == ["9", "8"]
    assert lines[10].split()[2:4] == ["4", "-"]
    assert any(line.startswith("warning: ties: 2 points tie at 8: ") for line in lines)
    assert any("failed: 1 of 10 points failed" in line for line in lines)


def test_results_as_json_and_csv(searched: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "result", "s", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["trials"]) == 10
    assert document["trials"][-1]["failure"]["words"] == ["four is no number of layers"]
    assert main(["search", "results", "s", "--csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 11


def test_a_point_is_explained_by_how_its_name_begins(searched: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    [failed] = searched.study().results().failed
    assert main(["search", "explain", failed.name[:8]]) == 0
    out = capsys.readouterr().out
    assert f"point {failed.name} of search s: x=4" in out
    assert "  | four is no number of layers" in out
    best = searched.study().results().winners[0]
    assert main(["search", "explain", best.name]) == 0
    assert f"where it comes from: why score@master:/{best.name}.json" in capsys.readouterr().out
    assert main(["search", "explain", "nothing"]) == 4


def test_searches_are_compared(searched: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "compare", "s", "s"]) == 0
    [header, one, other] = capsys.readouterr().out.splitlines()
    assert header.split()[:6] == ["SEARCH", "FOLDS", "POINTS", "FAILED", "BEST", "ERROR"]
    assert one == other
    assert one.split()[:5] == ["s", "-", "9", "1", "8"]


def test_check_says_only_what_puts_the_result_in_doubt(searched: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "check", "s"]) == 0
    assert all(line.startswith(("warning: ", "note: ")) for line in capsys.readouterr().out.splitlines())


def test_before_the_first_run_there_are_no_results(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(bench.root)
    for words in (["results", "s"], ["check", "s"]):
        assert main(["search", *words]) == 0
        assert "warning: none: no point has a score yet: search s" in capsys.readouterr().out
    assert main(["search", "compare", "s"]) == 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["search", "t"], 4, "has no search 't'"),
        (["search", "results", "s", "--kfolds", "3"], 2, "search.s.folds: it has no folds whose number could be chosen"),
        (["search", "compare", "s@three"], 2, "s@three: the number of folds is written as in s@5"),
        (["search", "s", "--sampler", "best"], 2, "'best' is not one of"),
        (["search", "results", "s", "--plot", "a.jpg"], 2, "neither .svg nor .png"),
    ],
)
def test_what_cannot_be_done_is_said(
    searched: Bench, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, said: str
) -> None:
    assert main(arguments) == status
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('[search.s]\nscore = "score:/*#v"\n', 1, "search.s.points: it needs either points"),
        ('[search.s]\npoints = "p"\nscore = "score:/*#v"\n', 1, "search.s.space: it is not said where to look"),
        ('[search.s]\npoints = "p"\nscore = "score"\ngrid = "g.json"\n', 4, ""),
        ('[search.s]\npoints = "p"\nscore = "score"\nspace = { x = [1] }\n', 3, "search.s.score: 'score' does not say where the number is"),
        ('[search.s]\npoints = "p"\nscore = "s:/*#v"\nsampler = "tp"\nspace = { x = [1] }\n', 4, "search.s.sampler: tp is none of"),
        (
            '[search.s]\npoints = "p"\nscore = "s:/*#v"\n\n[search.s.space]\nx = { low = 2, high = 1 }\n',
            6,
            "search.s.space.x: low 2 is above",
        ),
        ('[search.s]\npints = "p"\n', 2, "search.s.pints: unknown field"),
        (
            '[search.s]\nparameters = ["C"]\nscore = "s:/*#v"\n[search.s.space]\nx = [1]\n',
            1,
            "search.s.space: the pipelines make the points",
        ),
    ],
)
def test_what_is_wrong_in_the_project_file_is_named_with_line_and_field(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, line: int, said: str
) -> None:
    (bench.root / "local_runner.toml").write_text(text)
    monkeypatch.chdir(bench.root)
    assert main(["search", "check", "s"]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert f"local_runner.toml:{line}: " in err or "g.json: " in err
