"""Images without an engine, as commands; and what a pipeline's image comes to, whichever way it is run."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local_runner.executors.auto import AutoExecutor
from local_runner.executors.process import ProcessExecutor
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.images import notes
from local_runner.images.build import buildables
from local_runner.images.choice import Way, choose_image, missing_words, notes_of
from local_runner.oci.cache import ImageCache
from local_runner.oci.pull import load
from tests.executors.test_sandbox import needs_sandbox
from tests.support.images import FakeRegistry, Image, file, folder, layer, of_this_machine, serving

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/IMAGES.md").read_text()
SMALL = Image([layer(folder("d"), file("d/x", "x"), file("dev"))], {"Env": ["A=1"], "WorkingDir": "/w", "Entrypoint": ["/run"]})


@pytest.fixture(autouse=True)
def nobody(tmp_path, monkeypatch):
    """No login, no cache and no mirror of whoever runs the tests."""
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "CONTAINERS_REGISTRIES_CONF"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A registry on loopback that stands for Docker Hub, with an image of acme in it."""
    with serving(FakeRegistry()) as registry:
        registry.push("acme/scan:1", SMALL)
        conf = tmp_path / "registries.conf"
        conf.write_text(f'[[registry]]\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "{registry.host}"\n')
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(conf))
        yield registry


# Commands


def test_an_image_is_pulled_listed_shown_and_removed(pachctl, hub):
    assert re.fullmatch(r"acme/scan:1 [0-9a-f]{12} 1B", pachctl.ok("image pull acme/scan:1").lines[0])
    assert pachctl.ok("image list").lines[0] == "NAME ID SIZE PULLED"
    assert pachctl.ok("image list").lines[1].startswith("acme/scan:1 ")
    shown = pachctl.ok("image inspect acme/scan:1 --raw").document
    assert (shown["env"], shown["working_dir"], shown["entrypoint"], shown["layers"][0][:7]) == ({"A": "1"}, "/w", ["/run"], "sha256:")
    assert "Entrypoint (not used): /run" in pachctl.ok("image inspect acme/scan:1").lines
    assert pachctl.ok("image rm acme/scan:1").lines == ["1 removed, 1 layers, 1B"]
    assert pachctl.ok("image list").lines == ["NAME ID SIZE PULLED"]
    assert pachctl.ok("image gc").lines == ["0 layers, 0B"]


def test_an_image_is_loaded_from_a_file_a_folder_or_a_pipe(pachctl, tmp_path, monkeypatch):
    archive = SMALL.as_archive(tmp_path / "scan.tar")
    pachctl.ok("image load scan.tar")
    SMALL.as_layout(tmp_path / "layout", name="")
    pachctl.ok("image load layout acme/scan:2")
    piped = io.TextIOWrapper(io.BytesIO(archive.read_bytes()))
    monkeypatch.setattr(sys, "stdin", piped)
    ended = subprocess.run(
        [sys.executable, "-m", "local_runner", "image", "load", "-", "acme/scan:3"],
        input=archive.read_bytes(),
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ended.returncode == 0, ended.stderr
    assert [line.split()[0] for line in pachctl.ok("image list").lines[1:]] == [f"acme/scan:{number}" for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("image inspect acme/other:1", 4, "image acme/other:1 is not here"),
        ("image rm acme/other:1", 4, "image acme/other:1 is not here"),
        ("image pull acme/other:1", 4, "is not in the registry"),
        ("image pull UPPER", 2, "no name of an image"),
        ("image load nowhere.tar", 4, "there is no file"),
        ("image pull acme/scan:1 --platform linux/mips", 2, "is for linux/"),
    ],
)
def test_what_goes_wrong_has_words_and_a_status(pachctl, hub, line, status, said):
    ended = pachctl(line)
    assert (ended.status, said in ended.err) == (status, True), ended


def test_the_page_is_what_happens(pachctl, hub, tmp_path):
    """Each command that is shown there, in order; of what it prints `…` stands for anything."""
    SMALL.as_archive(tmp_path / "scan.tar")
    SMALL.as_layout(tmp_path / "layout", name="")
    played = 0
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.S):
        for command, shown in re.findall(r"^\$ python -m local_runner (.*)\n((?:(?!\$ ).*\n)*)", block, re.M):
            printed = pachctl.ok(command).lines
            for line in shown.splitlines():
                wanted = re.compile(re.escape(line).replace("…", ".*"))
                assert line == "…" or any(wanted.fullmatch(other) for other in printed), (command, line, printed)
            played += 1
    assert played == 7


# The choice


class Engine(AutoExecutor):
    """Has one image."""

    def engine_with(self, image):
        return "podman" if image == "acme/engine:1" else ""


@pytest.fixture
def folders(tmp_path):
    for name in ("one", "two", "any"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Dockerfile").write_text("FROM scratch\n")
    return {
        "acme/scan:1": tmp_path / "one",
        "acme/scan:2": tmp_path / "two",
        "acme/scan": tmp_path / "any",
        "acme/only:1": tmp_path / "one",
    }


@pytest.mark.parametrize(
    ("image", "way"),
    [
        ("acme/scan:1", Way.FOLDER),
        ("acme/only:1", Way.FOLDER),
        ("acme/only:2", Way.MISSING),
        ("acme/engine:1", Way.CONTAINER),
        ("acme/kept:1", Way.KEPT),
        ("acme/kept:2", Way.MISSING),
        ("", Way.HOST),
        ("ubuntu:22.04", Way.HOST),
        ("python:3.6", Way.HOST),
        ("docker.io/library/alpine", Way.HOST),
        ("gcr.io/x/python:3.6", Way.MISSING),
        ("r-base:4", Way.MISSING),
    ],
)
def test_each_pipeline_gets_its_image_the_first_way_that_fits(folders, tmp_path, image, way):
    load(ImageCache(), SMALL.as_archive(tmp_path / "kept.tar", "acme/kept:1"))
    assert choose_image(image, folders, Engine()).way is way
    if way in (Way.KEPT, Way.CONTAINER):
        assert choose_image(image, folders, ProcessExecutor()).way is Way.MISSING


def test_a_key_with_a_tag_is_for_that_tag_only(folders, tmp_path):
    from local_runner.images.folder import image_folder

    found = [image_folder(name, folders) for name in ("acme/scan:1", "acme/scan:2", "acme/scan:3", "acme/scan", "acme/only:1", "acme/only")]
    assert [place and place.name for place in found] == ["one", "two", "any", "any", "one", None]
    assert image_folder("acme/x", {"acme/x:latest": tmp_path / "one"}) == tmp_path / "one"
    assert [image.name for image in buildables({"acme/only:1": tmp_path / "one"}, [])] == ["acme/only:1"]


def test_a_plain_base_says_what_differs(folders):
    (said,) = notes_of("python:3.6", folders, SandboxExecutor())
    here = ".".join(map(str, sys.version_info[:3]))
    assert said == f"image python:3.6 is a plain base: its commands run on this host, but with Python {here}"
    (said,) = notes_of(f"python:{here}-slim", folders, SandboxExecutor())
    assert "but" not in said
    assert notes_of("", folders, SandboxExecutor()) == []
    assert notes_of("python:3.6", folders, SandboxExecutor(), only_lacks=True), "another Python is said when it is created"
    assert notes_of(f"python:{here}-slim", folders, SandboxExecutor(), only_lacks=True) == [], "a cluster says nothing, either"


def test_a_missing_image_names_three_ways_in_one_line():
    said = missing_words("acme/contour:1")
    assert "\n" not in said
    for way in ("image pull acme/contour:1", '[images] "acme/contour:1" = "FOLDER"', "podman pull acme/contour:1", "--executor container"):
        assert way in said


SPEC = {"pipeline": {"name": "p"}, "datum_tries": 1, "input": {"pfs": {"repo": "data", "glob": "/"}}}


@pytest.fixture
def sandboxed(monkeypatch):
    monkeypatch.setattr(notes, "choose", lambda name: (SandboxExecutor(), ""))


def test_creation_check_plan_and_inspect_say_that_an_image_is_missing(pachctl, sandboxed, tmp_path):
    said = missing_words("acme/contour:1")
    (tmp_path / "p.json").write_text(json.dumps({**SPEC, "transform": {"image": "acme/contour:1", "cmd": ["python3", "/contour.py"]}}))
    pachctl.ok("create repo data")
    assert said in pachctl("check p.json").out
    assert said in pachctl.ok("plan -f p.json").out
    assert said in pachctl.ok("create pipeline -f p.json").err
    assert said in pachctl.ok("inspect pipeline p").out
    (found,) = [check for check in pachctl("doctor --raw").documents if check["what"] == "image acme/contour:1"]
    assert "image pull acme/contour:1" in found["remedy"]


@needs_sandbox
@pytest.mark.parametrize("place", ["around the home", "where the command is given"])
def test_pipelines_run_in_their_images_or_say_what_is_missing(tmp_path, place):
    """The whole way, with engines in the background."""
    programs = [program for program in ("sh", "cat", "cp") if shutil.which(program)]
    image = Image(
        [
            of_this_machine(*programs),
            layer(folder("app"), file("app/main", "#!/bin/sh\ncat /app/model /pfs/data/a > /pfs/out/a\n", mode=0o755)),
        ]
    )
    image = Image([*image.layers, layer(file("app/model", "of the image "))], {"WorkingDir": "/app"})
    home = tmp_path / "home" if place != "around the home" else tmp_path / ".local_runner"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "LOCAL_RUNNER_HOME": str(home), "LOCAL_RUNNER_EXECUTOR": "sandbox"}
    home.parent.mkdir(exist_ok=True)
    project = tmp_path if place == "around the home" else tmp_path / "project"
    (project / "code").mkdir(parents=True)
    (project / "code/Dockerfile").write_text("FROM scratch\nCOPY model /app/model\n")
    (project / "code/model").write_text("of the folder ")
    (project / "local_runner.toml").write_text('[images]\n"acme/folder:1" = "code"\n')

    def run(*words, stdin=""):
        command = [sys.executable, "-m", "local_runner", *words]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, env=env, cwd=project, timeout=120)

    run("image", "load", str(image.as_archive(tmp_path / "image.tar", "acme/scan:1")))
    run("create", "repo", "data")
    run("put", "file", "data@master:/a", stdin="data")
    tried = {
        "kept": ("acme/scan:1", ["./main"]),
        "folder": ("acme/folder:1", ["sh", "-c", "cat /app/model /pfs/data/a > /pfs/out/a"]),
        "missing": ("acme/other:1", ["python3", "/contour.py"]),
    }
    for name, (named, cmd) in tried.items():
        spec = {**SPEC, "pipeline": {"name": name}, "transform": {"image": named, "cmd": cmd}}
        assert run("create", "pipeline", "-f", "-", stdin=json.dumps(spec)).returncode == 0
    for name in tried:
        run("wait", "commit", f"{name}@master")
    assert run("get", "file", "kept@master:/a").stdout == "of the image data"
    assert run("get", "file", "folder@master:/a").stdout == "of the folder data"
    jobs = json.loads(run("list", "job", "-p", "missing", "--raw").stdout)
    assert jobs["state"] == "JOB_FAILURE"
    assert missing_words("acme/other:1") in jobs["reason"]


def test_an_engine_is_asked_once_for_many_workers_and_again_later(monkeypatch):
    asked, now = [], [100.0]
    executor = AutoExecutor()
    has = [""]
    monkeypatch.setattr(AutoExecutor, "_ask", lambda self, image: asked.append(image) or has[0])
    monkeypatch.setattr("local_runner.executors.auto.time.monotonic", lambda: now[0])
    assert [executor.engine_with("acme/scan:1") for _ in range(3)] == ["", "", ""]
    has[0] = "podman"
    now[0] += 10
    assert [executor.engine_with("acme/scan:1") for _ in range(3)] == ["podman"] * 3
    assert len(asked) == 2
