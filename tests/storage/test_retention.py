"""What a home keeps is said beside it, or by variables; what is wrong with that is named."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from local_runner.errors import Invalid
from local_runner.model.refs import PipelineRef
from local_runner.model.retention import Keep
from local_runner.project.file import read_project
from local_runner.storage.retention import read_keep
from tests.support.lab import Lab


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("LOCAL_RUNNER_LOG_SIZE", "LOCAL_RUNNER_KEEP_LOGS", "LOCAL_RUNNER_KEEP_DATUMS"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def say(project: Path, text: str) -> Keep:
    (project / "local_runner.toml").write_text(text)
    return read_keep(project / ".local_runner")


def test_nothing_said_keeps_64_mb_of_a_datum_and_all_logs_for_ever(project: Path) -> None:
    assert read_keep(project / ".local_runner") == say(project, "") == say(project, "no toml [") == Keep(64_000_000, math.inf, math.inf)


def test_variables_win_over_the_project_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[keep]\nlog_size = "1MB"\nlogs = "24h"\n'
    assert say(project, text) == Keep(1_000_000, 86_400)
    monkeypatch.setenv("LOCAL_RUNNER_LOG_SIZE", "2KB")
    monkeypatch.setenv("LOCAL_RUNNER_KEEP_LOGS", "1m")
    assert say(project, text) == Keep(2000, 60)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('sizes = "1"', ":2: keep: unknown field sizes"),
        ("log_size = 5", ":2: keep: log_size: expected a text"),
        ('log_size = "much"', ':2: keep: log_size: invalid size "much"'),
        ('logs = "a day"', ":2: keep: logs: invalid duration"),
        ('logs = "-1h"', ":2: keep: logs: it cannot be less than nothing"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(project: Path, line: str, why: str) -> None:
    (project / "local_runner.toml").write_text(f"[keep]\n{line}\n")
    with pytest.raises(Invalid) as refused:
        read_project(project)
    assert why in refused.value.message


def test_an_engine_keeps_as_much_of_a_log_as_is_said_and_gc_no_older_ones(project: Path) -> None:
    say(project, '[keep]\nlog_size = "2KB"\nlogs = "1h"\n')
    lab = Lab(project / ".local_runner")
    lab.put("data@master", {"/a": "1"})
    for name in ("old", "new"):
        lab.pipeline(name, do=lambda datum: [datum.say(f"line {number}") for number in range(1000)] and None)
    lab.run_all()
    logs = {name: project / f".local_runner/logs/default/{name}/{lab.job(name).job.id}.log" for name in ("old", "new")}
    assert all(2000 < path.stat().st_size < 3000 for path in logs.values())
    said = [record["message"] for record in lab.runner.logs(PipelineRef("default", "new"))]
    assert "line 1" in said
    assert "line 500" not in said
    assert said[-1] == "line 999"
    os.utime(logs["old"], (0, 0))
    lab.runner.gc()
    assert [name for name, path in logs.items() if path.exists()] == ["new"]
    lab.close()
