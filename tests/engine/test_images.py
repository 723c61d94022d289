"""What an engine knows of the images its pipelines run on."""

from __future__ import annotations

import json
from pathlib import Path

from local_runner.engine.config import EngineConfig
from local_runner.engine_host import engine_of
from local_runner.executors.process import ProcessExecutor
from local_runner.model.jobs import JobState
from local_runner.project.file import Project
from local_runner.project.update import compare
from tests.support.lab import Lab

SOURCE = {"pfs": {"repo": "data", "name": "in", "glob": "/*"}}


def image(folder: Path, greeting: str, more: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(f"FROM python\n{more}\nENV GREETING={greeting}\n")
    return folder


def said(lab: Lab, pipeline: str = "p") -> list[str]:
    return [str(line["message"]) for line in lab.runner.logs(job=lab.job(pipeline).job)]


def test_a_job_says_first_what_its_image_would_install_and_is_missing_here(lab: Lab, tmp_path: Path) -> None:
    lab.put("data@master", {"/a": "1"})
    folder = image(tmp_path / "image", "hello", "RUN pip install no-such-package")
    lab.pipeline("p", SOURCE, transform={"cmd": ["python", "-c", "import no_such_package"], "image": "mine:1"}, datum_tries=1)
    with engine_of(lab.runner, EngineConfig(ProcessExecutor(), 1, lambda: {"mine": folder})) as engine:
        engine.work()
    assert lab.state("p") is JobState.FAILURE
    first, *rest = said(lab)
    assert first == f"image mine:1: {folder}/Dockerfile installs no-such-package (not installed); pip install it here"

    assert "ModuleNotFoundError: No module named 'no_such_package'" in rest


def test_the_development_loop_names_what_is_missing_before_it_runs(lab: Lab, tmp_path: Path) -> None:
    folder = image(tmp_path / "image", "hello", "RUN pip install no-such-package")
    spec = tmp_path / "p.json"
    spec.write_text(json.dumps({"pipeline": {"name": "p"}, "transform": {"image": "mine:1", "cmd": ["do"]}, "input": SOURCE}))
    with lab.runner.database.read() as session:
        (change,) = compare(session, Project(tmp_path, (spec,), images={"mine": folder})).specs
    assert change.sentence.splitlines() == [
        "p: new pipeline",
        f"p: image mine:1: {folder}/Dockerfile installs no-such-package (not installed); pip install it here",
    ]


def test_pipelines_of_a_project_follow_those_whose_bookkeeping_they_read(lab: Lab, tmp_path: Path) -> None:
    lab.put("data@master", {"/a": "1"})
    reads = {"a": {"pfs": {"repo": "b", "repo_type": "meta", "glob": "/meta/*"}}, "b": SOURCE}
    for name, source in reads.items():
        (tmp_path / name).write_text(json.dumps({"pipeline": {"name": name}, "transform": {"cmd": ["do"]}, "input": source}))
    with lab.runner.database.read() as session:
        changes = compare(session, Project(tmp_path, (tmp_path / "a", tmp_path / "b"))).specs
    assert [change.pipeline.name for change in changes] == ["b", "a"]


def test_an_engine_that_lives_on_sees_edits_of_the_images(lab: Lab, tmp_path: Path) -> None:
    lab.put("data@master", {"/a": "1"})
    images = {"mine": image(tmp_path / "one", "hello")}
    with engine_of(lab.runner, EngineConfig(ProcessExecutor(), 1, lambda: images)) as engine:
        for expected in ("hello", "goodbye"):
            lab.pipeline("p", SOURCE, transform={"cmd": ["sh", "-c", "echo $GREETING"], "image": "mine:1"}, update=True, reprocess=True)
            engine.work()
            assert said(lab) == [expected]
            images["mine"] = image(tmp_path / "other", "goodbye")


def test_an_image_that_cannot_be_read_fails_the_job_and_not_the_engine(lab: Lab, tmp_path: Path) -> None:
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p", SOURCE, transform={"image": "mine:1"})
    with engine_of(lab.runner, EngineConfig(ProcessExecutor(), 1, lambda: {"mine": tmp_path})) as engine:
        engine.work()
    assert lab.state("p") is JobState.FAILURE
    assert "Dockerfile cannot be read" in lab.job("p").reason
