from __future__ import annotations

import os
import subprocess
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from local_runner.errors import NotFound, Unavailable, WorkFailed
from local_runner.executors.container_engines import BUILDERS
from local_runner.images.build import Buildable, Builder, buildables, find_builder
from tests.support.containers import needs_builder, packed

# A builder that keeps the labels of an image in a file of its name, and says what it was told.
_PROGRAM = """#!/bin/sh
cd {folder}
case "$1" in
build)
    echo "$@" >> calls
    if [ -e fail ]; then cat fail; exit 1; fi
    for word; do
        case "$word" in local_runner.digest=*) digest=${{word#*=}} ;; local_runner.base=*) base=${{word#*=}} ;; */*:*) name=$word ;; esac
    done
    echo "{{\\"local_runner.digest\\": \\"$digest\\", \\"local_runner.base\\": \\"$base\\"}}" > "$(echo $name | tr / _)"
    ;;
*)
    for word; do name=$word; done
    cat "$(echo $name | tr / _)" 2>/dev/null || {{ echo "Error: $name: image not known" >&2; exit 1; }}
    ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of an image."""
    folder = tmp_path / "train"
    folder.mkdir()
    (folder / "Dockerfile").write_text("ARG BASE=python:3\nFROM $BASE\nCOPY main.py /app/\n")
    (folder / "main.py").write_text("print(1)\n")
    return folder


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a podman in it, on the PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "podman").write_text(_PROGRAM.format(folder=programs))
    (programs / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return programs


def test_an_image_is_up_to_date_until_a_file_or_the_base_changes(folder: Path, bin_folder: Path) -> None:
    def image() -> Buildable:
        return buildables({"me/train": folder}, ["me/train:1.0"])[0]

    builder = find_builder("podman")
    assert not builder.is_up_to_date(image())
    builder.build(image())
    assert builder.is_up_to_date(image())
    assert not Builder("podman", "debian:12").is_up_to_date(image())
    (folder / "not-copied").touch()
    assert builder.is_up_to_date(image())
    (folder / "main.py").write_text("print(2)\n")
    assert not builder.is_up_to_date(image())


def test_a_base_is_given_to_the_dockerfile(folder: Path, bin_folder: Path) -> None:
    image = buildables({"me/train": folder}, [])[0]
    find_builder("podman", "debian:12").build(image)
    assert f"--build-arg BASE=debian:12 --tag me/train:latest {folder}" in (bin_folder / "calls").read_text()


def test_the_base_may_come_from_a_variable(bin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RUNNER_BASE_IMAGE", "debian:12")
    assert find_builder().base == "debian:12"
    assert find_builder("podman", "debian:13").base == "debian:13"


def test_images_are_called_by_their_name_or_the_last_part_of_it(folder: Path) -> None:
    folders = {"me/train": folder, "me/test": folder}
    assert [image.name for image in buildables(folders, ["me/train:2", "other:1"])] == ["me/train:2", "me/test:latest"]
    assert [image.name for image in buildables(folders, [], ["train"])] == ["me/train:latest"]
    assert [image.name for image in buildables(folders, ["me/train:1", "me/train:2"], ["me/train"])] == ["me/train:1", "me/train:2"]
    with pytest.raises(NotFound, match="image tes is not one") as raised:
        buildables(folders, [], ["tes"])
    assert raised.value.hint == "[images] has me/train, me/test"


def test_a_build_that_fails_says_its_last_line_and_where_to_look(folder: Path, bin_folder: Path) -> None:
    (bin_folder / "fail").write_text("STEP 3: COPY\nthere is no main.py\n")
    image = buildables({"me/train": folder}, [])[0]
    lines: list[str] = []
    with pytest.raises(WorkFailed, match=r"image me/train:latest cannot be built: there is no main\.py") as raised:
        find_builder("podman").build(image, lines.append)
    assert str(folder / "Dockerfile") in raised.value.hint
    assert lines == ["STEP 3: COPY", "there is no main.py"]


@pytest.mark.parametrize(("said", "meaning"), [("write /x: no space left on device", "disk is full"), ("x: no such host", "registry")])
def test_what_is_not_the_dockerfiles_fault_is_called_by_its_name(folder: Path, bin_folder: Path, said: str, meaning: str) -> None:
    (bin_folder / "fail").write_text(f"{said}\n")
    with pytest.raises(Unavailable, match=meaning) as raised:
        find_builder("podman").build(buildables({"me/train": folder}, [])[0])
    assert raised.value.exit_status == 5


@pytest.mark.parametrize("program", [pytest.param(name, marks=needs_builder(name)) for name in BUILDERS])
def test_every_builder_builds_an_image_and_knows_it_again(program: str, tmp_path: Path) -> None:
    (tmp_path / "system.tar").write_bytes(packed(("sh", "cat")))
    (tmp_path / "code").write_text("code\n")
    (tmp_path / "Dockerfile").write_text(
        'ARG BASE=scratch\nFROM $BASE\nADD system.tar /\nCOPY code /\nRUN ["/bin/sh", "-c", "read x < code"]\n'
    )
    name = f"local_runner-test/{uuid.uuid4().hex}:1"
    image, builder = Buildable(name, tmp_path, "one"), Builder(program)
    try:
        assert not builder.is_up_to_date(image)
        builder.build(image)
        assert builder.is_up_to_date(image)
        assert not builder.is_up_to_date(replace(image, digest="two"))
        (tmp_path / "code").unlink()
        with pytest.raises(WorkFailed, match=rf"image {name} cannot be built: .*code"):
            builder.build(image)
    finally:
        subprocess.run([program, "rmi", name], capture_output=True, check=True)


def test_without_a_builder_it_is_said_what_to_install() -> None:
    with pytest.raises(Unavailable, match="no no-such-builder here") as raised:
        find_builder("no-such-builder")
    assert "install podman or docker" in raised.value.hint
