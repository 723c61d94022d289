"""One datum: what it sees, and what becomes of what it writes (reference pps 3)."""

import os
import socket
import threading
from pathlib import Path

import pytest

from local_runner.engine import staging
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.model.refs import CommitQuery
from tests.engine.one_job import run_once
from tests.support.lab import Lab, copy


def test_links_to_inputs_become_their_content(lab: Lab) -> None:
    def link(datum: ScriptedDatum) -> None:
        (datum.out / "one").symlink_to("/pfs/data/d/x")
        (datum.out / "all").symlink_to("/pfs/data/d")

    run_once(lab, link, {"/d/x": "1", "/d/y": "2"})
    assert lab.files("p@master") == {"/one": "1", "/all/x": "1", "/all/y": "2"}
    assert lab.job("p").stats.upload_bytes == 0


def test_a_link_that_leads_nowhere_fails_the_datum_by_name(lab: Lab) -> None:
    run_once(lab, lambda d: (d.out / "bad").symlink_to("/pfs/data/nothing"), datum_tries=1)
    assert lab.state("p") is JobState.FAILURE
    assert "cannot upload /bad: it is a link that leads nowhere" in next(iter(lab.runner.list_datum(lab.job("p").job))).reason


def test_links_in_a_circle_fail_the_datum(lab: Lab) -> None:
    def circle(datum: ScriptedDatum) -> None:
        (datum.out / "x").symlink_to("/pfs/out/y")
        (datum.out / "y").symlink_to("/pfs/out/x")

    run_once(lab, circle, datum_tries=1)
    assert lab.state("p") is JobState.FAILURE


@pytest.mark.parametrize("name", ["a*", "ü", "me@x", b"\xff"])
def test_a_name_no_repo_accepts_fails_the_datum(lab: Lab, name: str | bytes) -> None:
    run_once(lab, lambda d: open(os.path.join(os.fsencode(d.out), os.fsencode(name)), "w").close(), datum_tries=1)
    assert lab.state("p") is JobState.FAILURE
    assert "cannot upload file" in next(iter(lab.runner.list_datum(lab.job("p").job))).reason


def test_empty_folders_and_pipes_are_passed_over_and_sockets_are_not(lab: Lab) -> None:
    def odd(datum: ScriptedDatum) -> None:
        (datum.out / "empty").mkdir()
        os.mkfifo(datum.out / "pipe")
        (datum.out / "file").write_text("x")

    run_once(lab, odd)
    assert lab.files("p@master") == {"/file": "x"}

    def listen(datum: ScriptedDatum) -> None:
        here = os.getcwd()
        os.chdir(datum.out)  # a socket's name is short
        try:
            socket.socket(socket.AF_UNIX).bind("s")
        finally:
            os.chdir(here)

    lab.does("p", listen)
    lab.put("data@master", {"/b": "1"})
    with pytest.warns(ResourceWarning):
        lab.run_all()
    assert lab.state("p") is JobState.FAILURE


def test_inputs_are_private_to_the_datum(lab: Lab) -> None:
    def scribble(datum: ScriptedDatum) -> None:
        (datum.input("data") / "a").write_text("changed")
        (datum.input("data") / "more").write_text("x")

    big = "x" * 100_000
    run_once(lab, scribble, {"/a": big})
    assert lab.files("data@master") == {"/a": big}
    meta = lab.files("p.meta@master")
    assert [text for path, text in meta.items() if path.endswith("/data/a")] == ["changed"]


def test_a_datum_knows_itself_by_its_environment(lab: Lab) -> None:
    seen: dict[str, str] = {}

    def look(datum: ScriptedDatum) -> None:
        seen.update(datum.env)
        seen[".env"] = (datum.worker.pfs / datum.tree.links[".env"]).read_text()

    run_once(lab, look, {"/d/x": "1"}, transform={"env": {"MINE": "1"}})
    datum = next(iter(lab.runner.list_datum(lab.job("p").job))).datum
    expected = {
        "data": "/pfs/data/d",
        "data_COMMIT": lab.head("data@master").id,
        "PACH_JOB_ID": lab.job("p").job.id,
        "PACH_OUTPUT_COMMIT_ID": lab.job("p").job.id,
        "PACH_DATUM_ID": datum.id,
        "PPS_PIPELINE_NAME": "p",
        "MINE": "1",
    }
    assert expected.items() <= seen.items()
    assert f"PACH_DATUM_ID={datum.id}\n" in seen[".env"]


@pytest.mark.parametrize("size", [1, 300_000])
def test_a_lazy_file_is_read_when_it_is_opened(lab: Lab, size: int) -> None:
    lab.put("data@master", {"/a": "x" * size})
    spec = {"pfs": {"repo": "data", "glob": "/*", "lazy": True}}
    lab.pipeline("p", spec, lambda datum: (datum.out / "n").write_text(str(len((datum.input("data") / "a").read_text()))) and 0)
    lab.run_all()
    assert lab.files("p@master") == {"/n": str(size)}
    assert lab.job("p").stats.download_bytes == size


@pytest.mark.parametrize("do", ["nothing", "unlink", "move"])
def test_a_lazy_file_nobody_opens_costs_nothing_and_holds_up_nothing(lab: Lab, do: str) -> None:
    def touch_not(datum: ScriptedDatum) -> None:
        file = datum.input("data") / "a"
        if do == "unlink":
            file.unlink()
        elif do == "move":
            file.rename(datum.input("data") / "b")

    before = threading.active_count()
    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p", {"pfs": {"repo": "data", "glob": "/*", "lazy": True}}, touch_not)
    lab.run_all()
    assert lab.state("p") is JobState.SUCCESS
    assert lab.job("p").stats.download_bytes == 0
    assert threading.active_count() == before


def test_a_link_to_a_lazy_or_empty_file_commits_the_whole_content(lab: Lab) -> None:
    lab.put("data@master", {"/a": "content"})
    for name, flag in (("p", "lazy"), ("q", "empty_files")):
        lab.pipeline(name, {"pfs": {"repo": "data", "glob": "/*", flag: True}}, lambda d: (d.out / "a").symlink_to("/pfs/data/a"))
    lab.run_all()
    assert lab.files("p@master") == lab.files("q@master") == {"/a": "content"}


@pytest.mark.parametrize("flag", ["lazy", "empty_files"])
def test_a_link_to_a_folder_of_a_lazy_or_empty_input_commits_all_that_lies_there_not_only_the_datum(lab: Lab, flag: str) -> None:
    lab.put("data@master", {"/d/x": "1", "/d/e/y": "2", "/other": "3"})

    def link(datum: ScriptedDatum) -> None:
        (datum.out / "folder").symlink_to("/pfs/data/d")
        (datum.out / "all").symlink_to("/pfs/data")

    lab.pipeline("p", {"pfs": {"repo": "data", "glob": "/d/x", flag: True}}, link)
    lab.run_all()
    assert lab.files("p@master") == {
        "/all/d/e/y": "2",
        "/all/d/x": "1",
        "/all/other": "3",
        "/folder/e/y": "2",
        "/folder/x": "1",
    }


def test_empty_files_are_names_without_content(lab: Lab) -> None:
    lab.put("data@master", {"/d/x": "1", "/d/y": "2"})
    lab.pipeline("p", {"pfs": {"repo": "data", "glob": "/*", "empty_files": True}})
    lab.run_all()
    assert lab.files("p@master") == {"/d/x": "", "/d/y": ""}
    assert lab.job("p").stats.download_bytes == 0


def test_a_group_sees_all_its_files_under_one_name(lab: Lab) -> None:
    seen: list[list[str]] = []
    lab.put("data@master", {"/a-1": "1", "/a-2": "2", "/b-1": "3"})
    spec = {"group": [{"pfs": {"repo": "data", "glob": "/(*)-*", "group_by": "$1"}}]}
    lab.pipeline("p", spec, lambda datum: seen.append(sorted(os.listdir(datum.input("data")))))
    lab.run_all()
    assert sorted(seen) == [["a-1", "a-2"], ["b-1"]]


def test_nothing_is_left_of_workers_when_the_work_is_done(lab: Lab) -> None:
    run_once(lab, copy, {f"/{n}": "1" for n in range(20)})
    home = lab.runner.database.home
    assert not any(folder.exists() for folder in home.workers)
    assert [*home.wakeups.iterdir(), *home.drafts.iterdir()] == []


def test_what_a_datum_printed_is_kept_with_its_paths(lab: Lab) -> None:
    run_once(lab, lambda datum: datum.say("hello"))
    lines = [line for line in lab.runner.logs(job=lab.job("p").job) if line.get("user")]
    assert [(line["message"], line["data"][0]["path"]) for line in lines] == [("hello", "/a")]


def test_content_comes_back_byte_for_byte(lab: Lab) -> None:
    every = bytes(range(256)) * 1000
    run_once(lab, copy, {"/a": every})
    assert lab.content(CommitQuery(lab.head("p@master").repo, "master"), "/a") == every


def test_datums_lie_on_the_disk_and_their_links_where_making_them_is_cheap(lab: Lab) -> None:
    seen: list[Path] = []

    def look(datum: ScriptedDatum) -> int | None:
        seen.extend((datum.worker.pfs.resolve(), datum.out.resolve()))
        return copy(datum)

    run_once(lab, look)
    home = lab.runner.database.home
    assert seen[0].is_relative_to(home.workers[0].resolve())
    assert seen[1].is_relative_to(home.workers[-1].resolve())


def test_a_datum_with_more_files_than_fit_into_a_message_is_laid_out_whole(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "_MOST_INLINE", 10)
    files = {f"/{n % 3}/{n}": "x" * (n + 1) for n in range(20)} | {"/large": "y" * 200_000}
    lab.put("data@master", files)
    lab.pipeline("p", {"pfs": {"repo": "data", "glob": "/"}}, copy)
    lab.run_all()
    assert lab.files("p@master") == files
    assert lab.job("p").stats.download_bytes == sum(map(len, files.values()))
    assert {text for path, text in lab.files("p.meta@master").items() if path.endswith("/data/large")} == {"y" * 200_000}
