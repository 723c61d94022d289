"""`watch` runs again what a change asks for."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from local_runner.project import watch as watching
from tests.cli.run.conftest import PROJECT, Folder


@pytest.fixture
def edits(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What somebody does each time `watch` waits; then comes Ctrl-C."""
    waiting: list[Callable[[], object]] = []
    real = watching.ProjectWatcher.wait

    def wait(watcher: watching.ProjectWatcher, seen: watching.Stamps) -> watching.Stamps:
        if not waiting:
            raise KeyboardInterrupt
        waiting.pop(0)()
        return real(watcher, seen)

    monkeypatch.setattr(watching, "PAUSE", 0)
    monkeypatch.setattr(watching.ProjectWatcher, "wait", wait)
    return waiting


def test_watch_runs_again_what_a_change_asks_for_until_ctrl_c(project: Folder, edits: list[Callable[[], object]]) -> None:
    def edit() -> None:
        assert len(project.ran) == 5
        project.numbers(1, 2, 3, 4)

    edits.append(edit)
    ended = project("watch")
    assert ended.status == 130
    assert project.ran == ["square: 4", "total: 1 2 3 4"]
    assert " numbers.txt changed\n" in ended.err
    assert "watching 6 files; Ctrl-C ends" in ended.err


def test_watch_survives_a_broken_spec_a_broken_project_and_a_datum_that_fails(project: Folder, edits: list[Callable[[], object]]) -> None:
    def mend() -> None:
        project.pipeline("total", "square")
        project.write("local_runner.toml", PROJECT)
        project.numbers("bad")

    edits += [
        lambda: project.write("total.json", "{"),
        lambda: project.write("local_runner.toml", "pipelines = ["),
        mend,
        lambda: project.numbers(9),
    ]
    ended = project("watch")
    assert ended.status == 130
    assert "total.json:1:2: malformed pipeline spec" in ended.err
    assert "local_runner.toml: Invalid value" in ended.err
    assert "that was bad" in ended.err
    assert project.text("total@master:/0000000000000000") == "9"


def test_watch_makes_everything_only_the_first_time(project: Folder, edits: list[Callable[[], object]]) -> None:
    project("-q")
    _ = project.ran

    def edit() -> None:
        assert len(project.ran) == 5
        project.write("words.txt", "good bye\n")

    edits.append(edit)
    project("watch -B")
    assert project.ran == ["upper: good bye"]


def test_watch_breaks_off_a_run_whose_specs_change(project: Folder, edits: list[Callable[[], object]]) -> None:
    started: list[str] = []

    def meanwhile(pipeline: str) -> None:
        if pipeline == "upper" and not started:
            started.append(pipeline)
            project.pipeline("upper", "words", transform={"cmd": ["do", "better"]})
            time.sleep(1.5)  # longer than an engine goes without looking

    project.meanwhile = meanwhile
    edits.append(lambda: None)  # it waits for nothing: the change is there
    ended = project("watch")
    assert "upper: transform.cmd changed, so every datum runs again" in ended.err
    assert [info.state.word for info in project.jobs("upper")] == ["success", "killed"]
