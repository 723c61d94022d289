"""What a project stands on, and how a change of it is noticed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from local_runner.project import watch as watching
from local_runner.project.file import read_project
from local_runner.project.watch import ProjectWatcher, changes


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(watching, "PAUSE", 0)
    monkeypatch.setattr(watching, "_SETTLING", 0.01)
    monkeypatch.setattr(watching, "_SHARE", 0)
    for folder in ("data", "data/deep", "image", "specs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "data" / "a").write_text("1")
    (tmp_path / "specs" / "edges.json").write_text("{}")
    (tmp_path / "image" / "Dockerfile").write_text("FROM python\nCOPY code.py /\n")
    (tmp_path / "image" / "code.py").write_text("")
    (tmp_path / "image" / "notes.txt").write_text("")
    (tmp_path / "local_runner.toml").write_text(
        'pipelines = ["specs/*.json"]\n[[repo]]\nname = "data"\nfiles = { "/" = "data" }\n[images]\nedges = "image"\n'
    )
    return tmp_path


def watcher(project: Path) -> ProjectWatcher:
    return ProjectWatcher(lambda: read_project(project), [project / "local_runner.toml"])


EDITS: dict[str, Callable[[Path], object]] = {
    "data/a changed": lambda root: (root / "data" / "a").write_text("12"),
    "data/deep/b appeared": lambda root: (root / "data" / "deep" / "b").touch(),
    "data/a is gone": lambda root: (root / "data" / "a").unlink(),
    "specs/more.json appeared": lambda root: (root / "specs" / "more.json").touch(),
    "image/code.py changed": lambda root: (root / "image" / "code.py").write_text("1"),
    "image/Dockerfile changed": lambda root: (root / "image" / "Dockerfile").write_text("FROM"),
    "local_runner.toml changed": lambda root: (root / "local_runner.toml").write_text("pipelines = ["),
}


@pytest.mark.parametrize("sentence", EDITS)
def test_a_change_of_input_spec_or_code_is_noticed_and_named(project: Path, sentence: str) -> None:
    watch = watcher(project)
    seen = watch.look()
    EDITS[sentence](project)
    assert sentence in changes(seen, watch.wait(seen), project)


def test_files_that_no_image_takes_are_not_watched(project: Path) -> None:
    watch = watcher(project)
    seen = watch.look()
    (project / "image" / "notes.txt").write_text("a remark")
    assert watch.look() == seen


def test_only_changed_code_makes_a_run_outdated(project: Path) -> None:
    watch = watcher(project)
    watch.begin()
    (project / "data" / "a").write_text("12")
    assert not watch.is_outdated()
    (project / "image" / "code.py").write_text("1")
    assert watch.is_outdated()
    watch.begin()
    assert not watch.is_outdated()


def test_changes_are_waited_for_until_they_come_to_rest(project: Path) -> None:
    watch = watcher(project)
    seen = watch.look()
    looked = watch.look
    written: list[int] = []

    def look() -> watching.Stamps:
        if len(written) < 5:  # somebody writes one file after the other
            written.append(len(written))
            (project / "data" / f"new{len(written)}").touch()
        return looked()

    watch.look = look  # type: ignore[method-assign]
    assert len(changes(seen, watch.wait(seen), project)) == 5


def test_a_project_file_that_is_mended_is_noticed(project: Path) -> None:
    good = (project / "local_runner.toml").read_text()
    (project / "local_runner.toml").write_text("pipelines = [")
    watch = watcher(project)
    seen = watch.look()
    threading.Timer(0.1, lambda: (project / "local_runner.toml").write_text(good)).start()
    assert "specs/edges.json appeared" in changes(seen, watch.wait(seen), project)
