"""The commands of the page about searches, typed in a copy of the project that had its first run, and the stages of the examples."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from local_runner.project.file import read_project
from tests.end_to_end.project import ROOT, ProjectCopy, compare, sessions

PAGE = (ROOT / "docs" / "SEARCH.md").read_text()


def test_what_the_page_shows_is_what_comes(finished: ProjectCopy) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra `plot`")
    for shown in sessions(PAGE)["A search"]:
        answer = finished.bash(shown.command)
        assert answer.status == 0, answer.text
        compare(shown, answer)
    [code] = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    finished.write("of_the_page.py", code)
    answer = finished.bash(".venv/bin/python of_the_page.py")
    assert answer.status == 0, answer.text
    assert "{'C': 100, 'gamma': 0.1, 'kernel': 'rbf'} 0.923" in answer.text
    assert (finished.root / "iris.svg").read_text().startswith("<?xml")
    assert (finished.root / "iris.csv").read_text().startswith("gamma \\ C,0.031,")


def test_the_network_learns_and_says_how(finished: ProjectCopy) -> None:
    """Two points, one of them with a rate that no network can stand; on two folds each."""
    points = {"channels": 8, "keep": 1, "pooling": "max", "rate": 0.3}, {"channels": 4, "keep": 0.5, "pooling": "mean", "rate": 1e300}
    finished.write("parameters/two.json", json.dumps([{name: [value] for name, value in point.items()} for point in points]))
    text = (finished.root / "local_runner.toml").read_text()
    head, _, table = text.partition("[search.network]")
    table = re.sub(r"\[search\.network\.space\].*", "", table, flags=re.S).replace('sampler = "tpe"', 'grid = "parameters/two.json"')
    finished.write("local_runner.toml", f"{head}[search.network]{table}")
    answer = finished.local_runner("search network --kfolds 2 -j 2 --json")
    assert answer.status == 0, answer.text
    found = json.loads(answer.text[answer.text.index("\n{\n") :])
    good, bad = found["trials"]
    assert good["parameters"] == points[0]
    assert good["score"] > 0.8
    assert bad["state"] == "failed"
    assert "is too high" in "\n".join(bad["failure"]["words"])
    assert "epoch 5 of 5: loss" in finished.local_runner(f"search explain {good['point']} --kfolds 2").text


def test_what_the_page_writes_is_read(tmp_path: Path) -> None:
    [block] = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.S)
    (tmp_path / "pipelines").symlink_to(ROOT / "pipelines")
    (tmp_path / "local_runner.toml").write_text(block)
    found = read_project(tmp_path).searches["svm"]
    assert found.space is not None
    assert found.space.names == ["kernel", "C", "gamma", "degree"]
    assert found.sampler == "tpe"
