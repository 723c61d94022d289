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


def test_a_damaged_content_fails_the_job_and_replaces_no_good_file(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Damaging(Egress):
        def run(self) -> None:
            with lab.runner.database.write() as session:
                session.connection.execute("UPDATE object SET content = x'00' || content WHERE content = x'31'")
            super().run()

    target = tmp_path / "out"
    target.mkdir()
    (target / "a").write_text("old")
    monkeypatch.setattr("local_runner.engine.loop.Egress", Damaging)
    lab.pipeline("p", "data:/a", egress={"URL": str(target)})
    lab.run_all()
    assert lab.state("p") is JobState.FAILURE
    assert "is damaged" in lab.job("p").reason
    assert written(target) == {"a": "old"}


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
    assert lab.job("p").reason == f"egress to {tmp_path}/file: Not a directory"


def test_nothing_to_copy_is_fine(lab: Lab, tmp_path: Path) -> None:
    lab.pipeline("p", "data:/none", egress={"URL": str(tmp_path / "out")})
    lab.run_all()
    assert lab.state("p") is JobState.SUCCESS


# -- where it never goes ----------------------------------------------------------------------------------------------------------


def egress_error(lab: Lab) -> str:
    (info,) = lab.jobs("p")
    assert info.state is JobState.FAILURE
    return info.reason


@pytest.mark.parametrize("below", ["", "logs", "a/new/folder"])
def test_nothing_is_copied_into_the_home(lab: Lab, home: Path, below: str) -> None:
    lab.pipeline("p", "data:/*", egress={"URL": str(home / below)})
    lab.run_all()
    assert "leads into the home" in egress_error(lab)
    assert not list(home.rglob(".egress-*"))
    assert not (home / below / "a").exists()
    assert not (home / "a").exists()


def test_nothing_is_copied_into_the_home_from_above_it_or_under_another_name(lab: Lab, home: Path, tmp_path: Path) -> None:
    """The name of an output file leads there, or the target is a link that does."""
    lab.put("data@master", {f"/{home.name}/FORMAT": "2"})
    lab.pipeline("p", "data:/", egress={"URL": str(home.parent)})
    lab.run_all()
    assert f"{home.name}/FORMAT: leads into a folder that is not to be touched" in egress_error(lab)
    assert (home / "FORMAT").read_text() == "1\n"
    (tmp_path / "alias").symlink_to(home)
    lab.pipeline("p", "data:/*", egress={"URL": str(tmp_path / "alias")}, update=True)
    lab.run_all()
    assert "leads into the home" in lab.jobs("p")[0].reason
    assert not (home / "a").exists()


def test_no_link_in_the_target_is_followed(lab: Lab, tmp_path: Path) -> None:
    target, elsewhere = tmp_path / "target", tmp_path / "elsewhere"
    target.mkdir()
    elsewhere.mkdir()
    (elsewhere / "b").write_text("kept")
    (target / "folder").symlink_to(elsewhere)
    lab.pipeline("p", "data:/", egress={"URL": str(target)})
    lab.run_all()
    assert "/folder/b: a link on the way, which is not followed" in egress_error(lab)
    assert written(elsewhere) == {"b": "kept"}
    assert not list(target.glob(".egress-*"))


def test_a_file_that_is_a_link_in_the_target_is_replaced_and_not_what_it_leads_to(lab: Lab, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "kept").write_text("kept")
    (target / "a").symlink_to(tmp_path / "kept")
    lab.pipeline("p", "data:/a", egress={"URL": str(target)})
    lab.run_all()
    assert lab.state("p") is JobState.SUCCESS
    assert ((target / "a").read_text(), (tmp_path / "kept").read_text()) == ("1", "kept")
