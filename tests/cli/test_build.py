"""`build images`, with a program in place of podman that writes down what it is asked."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """What podman was asked to build, so far."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/podman"
    program.write_text(f"""#!/bin/sh
case "$1" in
build) echo "$@" >> {tmp_path}/asked; for word; do case "$word" in local_runner.digest=*) digest=${{word#*=}} ;; esac; done
    echo "{{\\"local_runner.digest\\": \\"$digest\\"}}" > {tmp_path}/labels ;;
image) cat {tmp_path}/labels 2>/dev/null || {{ echo "image not known" >&2; exit 1; }} ;;
esac
""")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.delenv("LOCAL_RUNNER_BASE_IMAGE", raising=False)
    return lambda: (tmp_path / "asked").read_text().splitlines() if (tmp_path / "asked").exists() else []


@pytest.fixture
def project(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train/Dockerfile").write_text("FROM python:3\nCOPY main.py /app/\n")
    (tmp_path / "train/main.py").write_text("print(1)\n")
    (tmp_path / "local_runner.toml").write_text('pipelines = ["train.json"]\n[images]\n"me/train" = "train"\n')
    (tmp_path / "train.json").write_text('{"pipeline": {"name": "train"}, "transform": {"image": "me/train:1.0", "cmd": ["true"]}}')


def test_images_are_built_under_the_names_specs_use_when_their_files_changed(pachctl, project, asked, tmp_path):
    assert pachctl.ok("build images --engine podman").lines[0].startswith("me/train:1.0: built with podman in")
    assert f"--tag me/train:1.0 {tmp_path}/train" in asked()[0]
    assert pachctl.ok("build image train --engine podman").lines == ["me/train:1.0: up to date"]
    (tmp_path / "train/main.py").write_text("print(2)\n")
    pachctl.ok("build images --engine podman")
    assert len(asked()) == 2
    pachctl.ok("build images --engine podman --force --base debian:12")
    assert "--build-arg BASE=debian:12" in asked()[2]


def test_an_image_the_project_does_not_have_is_not_built(pachctl, project, asked):
    ended = pachctl("build images other --engine podman")
    assert (ended.status, asked()) == (4, [])
    assert "image other is not one of the project's" in ended.err
