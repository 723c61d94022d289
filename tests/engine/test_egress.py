"""Output that is copied to a folder of this machine (reference pps 4.7)."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_runner.engine.egress import Egress
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.runner import Runner
from tests.support.lab import Lab


def written(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def lab(lab: Lab) -> Lab:
    lab.put("data@master", {"/a": "1", "/folder/b": "2"})
    return lab


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}"])
@pytest.mark.parametrize("field", ["URL", "object_storage"])
def test_all_files_are_copied_over_what_is_there_and_nothing_is_deleted(lab: Lab, tmp_path: Path, form: str, field: str) -> None:
    target = tmp_path / "a place"
    target.mkdir()
    (target / "a").write_text("old")
    (target / "stale").write_text("old")
    url = form.format(str(target).replace(" ", "%20") if "://" in form else target)
    lab.pipeline("p", "data:/*", egress={field: {"url": url} if field == "object_storage" else url})
    lab.run_all()
    assert lab.state("p") is JobState.SUCCESS
    assert written(target) == {"a": "1", "folder/b": "2", "stale": "old"}
    lab.put("data@master", {"/a": "3"})
    lab.run_all()
    assert written(target) == {"a": "3", "folder/b": "2", "stale": "old"}


def test_a_relative_path_counts_from_the_folder_the_home_lies_in(lab: Lab, home: Path) -> None:
    lab.pipeline("p", "data:/a", egress={"URL": "out"})
    lab.run_all()
    assert written(home.parent / "out") == {"a": "1"}


def test_a_job_is_egressing_while_it_copies(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Watched(Egress):
        def run(self) -> None:
            with Runner.open(lab.runner.home, background=False) as other:
                (info,) = other.list_job()
                seen.append((info.state, info.counters.processed))
            super().run()

    monkeypatch.setattr("local_runner.engine.loop.Egress", Watched)
    lab.pipeline("p", "data:/*", egress={"URL": str(tmp_path / "out")})
    lab.run_all()
    assert seen == [(JobState.EGRESSING, 2)]
    assert lab.state("p") is JobState.SUCCESS


def test_a_job_that_failed_copies_nothing(lab: Lab, tmp_path: Path) -> None:
    lab.pipeline("p", do=lambda datum: 1, egress={"URL": str(tmp_path / "out")})
    lab.run_all()
    assert lab.state("p") is JobState.FAILURE
    assert not (tmp_path / "out").exists()


def test_output_that_is_no_folder_tree_is_not_copied(lab: Lab, tmp_path: Path) -> None:
    def same(datum: ScriptedDatum) -> None:
        (datum.out / "same").write_text("x")

    lab.pipeline("p", do=same, egress={"URL": str(tmp_path / "out")})
    lab.run_all()
    assert lab.state("p") is JobState.FAILURE
    assert not (tmp_path / "out").exists()


def test_a_target_that_cannot_be_written_fails_the_job_by_name(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lab.pipeline("p", egress={"URL": str(tmp_path / "file")})
    lab.run_all()
    assert lab.state("p") is JobState.FAILURE
    assert lab.job("p").reason == f"egress to {tmp_path}/file: File exists"


def test_nothing_to_copy_is_fine(lab: Lab, tmp_path: Path) -> None:
    lab.pipeline("p", "data:/none", egress={"URL": str(tmp_path / "out")})
    lab.run_all()
    assert lab.state("p") is JobState.SUCCESS
