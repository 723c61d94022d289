"""Homes that earlier versions made are read by today's code as it read them, and worked on to their end."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_runner.errors import Unavailable
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.file_hash import file_hash
from local_runner.model.jobs import JobState
from local_runner.model.refs import parse_commit, parse_file
from local_runner.pipelines.verbs import CreateRepo
from tests.reliability.homes.make import DATUMS, LARGE
from tests.reliability.portrait import portrait
from tests.support.lab import Lab, copy

HOMES = Path(__file__).with_name("homes")
NAMES = sorted(path.name.removesuffix(".tar.xz") for path in HOMES.glob("*.tar.xz"))


def unpacked(name: str, home: Path) -> Path:
    with tarfile.open(HOMES / f"{name}.tar.xz") as archive:
        archive.extractall(home, filter="tar")
    return home


@pytest.fixture
def killed(home: Path) -> Iterator[Lab]:
    lab = Lab(unpacked("killed_in_the_middle", home))
    yield lab
    lab.close()


@pytest.mark.parametrize("name", NAMES)
def test_all_of_a_home_that_an_earlier_version_made_is_read_as_it_was(name: str, home: Path) -> None:
    lab = Lab(unpacked(name, home))
    assert portrait(lab.runner) == json.loads((HOMES / f"{name}.json").read_text())
    lab.close()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wrong_with_a_home_that_an_earlier_version_made(name: str, home: Path) -> None:
    lab = Lab(unpacked(name, home))
    (home / "drafts" / "tmpleft").unlink(missing_ok=True)  # fsck may name what a killed writer left
    assert lab.runner.fsck() == []
    lab.run_all()
    assert lab.runner.fsck() == []
    lab.close()


def test_an_engine_goes_on_where_the_one_of_format_1_was_killed(killed: Lab) -> None:
    finished = {path for path, state in killed.datums("up").items() if state == "success"}
    assert len(finished) == 17
    killed.run_all()
    assert sorted(path for path in killed.ran if path.startswith("up:")) == sorted(
        f"up:{path}" for path in [*DATUMS, "/large"] if path not in finished
    )
    assert [killed.state(name) for name in ("up", "down")] == [JobState.SUCCESS, JobState.SUCCESS]
    assert killed.files("up@master") == killed.files("down@master") == DATUMS | {"/large": LARGE.decode()}


def test_new_work_stands_on_what_format_1_holds(home: Path) -> None:
    lab = Lab(unpacked("repos_pipelines_jobs", home))

    def upper(datum: ScriptedDatum) -> None:
        copy(datum)
        for path in (path for path in datum.out.rglob("*") if path.is_file()):
            path.write_bytes(path.read_bytes().upper())

    lab.put("data@master", {"/new": "new"})
    lab.run_all()
    assert lab.ran == ["down:/new", "up:/new"]  # the others are skipped
    lab.pipeline("up", "data:/*", upper, update=True, reprocess=True)
    lab.run_all()
    assert lab.files("down@master")["/dir/large"] == LARGE.decode().upper()
    assert isinstance(lab.runner.finish_transaction().requests[0], CreateRepo)
    assert lab.runner.fsck() == []
    lab.close()


def test_appends_of_format_2_share_what_is_there(home: Path) -> None:
    lab = Lab(unpacked("large_appends", home))
    assert (home / "FORMAT").read_text() == "2\n"
    with lab.runner.modify_file(parse_commit("data@master")) as changes:
        changes.put("/large", b"!", append=True)
    content = b"".join(lab.runner.get_file(parse_file("data@master:/large")))
    assert content == bytes(41_000_000) + b"moreand more!"
    assert lab.runner.inspect_file(parse_file("data@master:/large")).hash == file_hash(content)
    lab.close()


def test_logs_and_secrets_of_format_1_are_shown(home: Path) -> None:
    lab = Lab(unpacked("logs_and_secrets", home))
    said = [line["message"] for line in lab.runner.logs(job=lab.job("speaks").job)]
    assert said.count("try 1 has value") == said.count("try 2 has value") == 5
    assert lab.runner.inspect_secret("coded")["data"] == {"key": "dmFsdWU="}
    lab.put("data@master", {"/f1": "changed"})
    lab.run_all()
    assert lab.ran == ["speaks:/f1"]
    lab.close()


def test_a_newer_format_is_refused_with_the_next_step(home: Path) -> None:
    unpacked("logs_and_secrets", home)
    (home / "FORMAT").write_text("99\n")
    with pytest.raises(Unavailable, match="format 99") as refused:
        Lab(home)
    assert "newer local_runner" in refused.value.hint
    assert (home / "FORMAT").read_text() == "99\n"
