"""The search, run to its end once; each test gets a copy of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_runner.executors.sandbox import SandboxExecutor
from tests.end_to_end.project import Answer, ProjectCopy, sessions


@pytest.fixture(scope="session")
def able() -> None:
    """The stages' packages and `/pfs` at `/pfs`, which they write to, or the reason why not."""
    for package in ("sklearn", "python_pachyderm"):
        pytest.importorskip(package, reason="needs the extra `stages`")
    if why_not := SandboxExecutor().why_not():
        pytest.skip(f"the stages write to /pfs/out: {why_not}")


FirstRun = tuple[ProjectCopy, Answer]


@pytest.fixture(scope="session")
def first_run(able: None, tmp_path_factory: pytest.TempPathFactory) -> FirstRun:
    """A project on which the first line of the README was run, and what it printed."""
    project = ProjectCopy.fresh(tmp_path_factory.mktemp("search") / "project")
    first = next(shown for shown in sessions()["Run it"] if "venv" in shown.command)
    return project, project.bash(first.command)


@pytest.fixture
def finished(first_run: FirstRun, tmp_path: Path) -> ProjectCopy:
    """The search, finished."""
    return first_run[0].copy(tmp_path / "project")


@pytest.fixture
def fresh(able: None, tmp_path: Path) -> ProjectCopy:
    """The project before its first run, cut down to one model so that it is quick."""
    project = ProjectCopy.fresh(tmp_path / "project")
    project.write("parameters/c_parameters.txt", "8\n")
    project.write("parameters/gamma_parameters.txt", "0.25\n")
    return project
