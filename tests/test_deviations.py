"""Where this runner does otherwise than a cluster, on purpose: one test a row of DEVIATIONS.md, which gives the reasons."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_runner.errors import Refused, RepoNotFound, SpecError, Unsupported
from local_runner.executors.base import RunResult
from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from local_runner.model.pipelines import PipelineState
from local_runner.model.refs import PipelineRef, parse_commit, parse_file
from local_runner.model.units import rfc3339
from local_runner.specs.read import read_documents
from tests.support.lab import Lab

FAILED, SUCCEEDED = JobState.FAILURE, JobState.SUCCESS

DATA = {"/a": "1", "/b": "2"}


@pytest.fixture
def lab(lab: Lab) -> Lab:
    """With a repo `data` of two files."""
    lab.put("data@master", DATA)
    return lab


# -- what a datum leaves -----------------------------------------------------------------------------------------------


def _bad_name(datum: ScriptedDatum) -> None:
    (datum.out / "a*").write_text("x")


def _dangling(datum: ScriptedDatum) -> None:
    (datum.out / "link").symlink_to("/nowhere")


def _socket(datum: ScriptedDatum) -> None:
    # A socket's path may be a hundred bytes long, and this one is longer.
    here = os.open(datum.out, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{here}/socket")
    os.close(here)


@pytest.mark.parametrize("leave", [_bad_name, _dangling, _socket])
def test_output_that_cannot_be_stored_fails_its_datum(lab: Lab, leave: Callable[[ScriptedDatum], None]) -> None:
    lab.pipeline("p", "data:/a", leave)
    lab.run_all()
    assert lab.state("p") is FAILED
    assert lab.datums("p") == {"/a": "failed"}
    assert lab.ran == ["p:/a"] * 3


def test_a_datum_that_removes_its_out_has_no_output(lab: Lab) -> None:
    lab.pipeline("p", do=lambda datum: datum.out.rmdir())
    lab.run_all()
    assert lab.state("p") is SUCCEEDED
    assert lab.files("p@master") == {}


def test_the_job_of_a_commit_that_was_dropped_stays_killed(lab: Lab) -> None:
    def drop(datum: ScriptedDatum) -> int:
        lab.runner.drop_commit_set(lab.job("p").job.id)
        return int(datum.cancelled.wait(30))

    lab.pipeline("p")
    lab.run_all()
    lab.does("p", drop)
    lab.put("data@master", {"/c": "3"})
    lab.run_all()
    assert (lab.state("p"), lab.job("p").reason) == (JobState.KILLED, "output commit removed")


def test_a_link_from_out_to_out_is_content(lab: Lab) -> None:
    def do(datum: ScriptedDatum) -> None:
        (datum.out / "real").write_text("x")
        (datum.out / "link").symlink_to(datum.out / "real")

    lab.pipeline("p", "data:/a", do)
    lab.run_all()
    assert lab.files("p@master") == {"/link": "x", "/real": "x"}


def test_an_appended_file_has_the_hash_of_its_content(lab: Lab) -> None:
    piece = b"x" * 1_000_000
    for append in (False, True):
        with lab.runner.modify_file(parse_commit("data@master")) as change:
            change.put("/pieces", piece, append=append)
    with lab.runner.modify_file(parse_commit("data@master")) as change:
        change.put("/whole", piece * 2)
    pieces, whole = (lab.runner.inspect_file(parse_file(f"data@master:/{name}")).hash for name in ("pieces", "whole"))
    assert pieces == whole


def test_datums_of_a_job_that_wrote_one_path_run_again_and_are_shown_so(lab: Lab) -> None:
    def same(datum: ScriptedDatum) -> None:
        (datum.out / "same").write_text("x")

    lab.pipeline("p", "data:/*", same)
    lab.run_all()
    assert lab.state("p") is FAILED
    lab.put("data@master", {"/b": None})
    lab.run_all()
    assert lab.datums("p") == {"/a": "success"}
    assert lab.counts("p") == {"total": 1, "processed": 1}


# -- inputs ------------------------------------------------------------------------------------------------------------


def test_an_input_may_be_what_a_pipelines_jobs_write_down(lab: Lab) -> None:
    def sizes(datum: ScriptedDatum) -> None:
        for document in datum.input("p").rglob("meta/*/meta"):
            inputs = json.loads(document.read_text())["inputs"]
            (datum.out / "-".join(file["fileInfo"]["file"]["path"].strip("/") for file in inputs)).touch()

    lab.pipeline("p", "data:/*", lambda datum: int((datum.input("data") / "b").exists()), datum_tries=1)
    lab.pipeline("q", {"pfs": {"repo": "p", "repo_type": "meta", "glob": "/meta/*"}}, sizes)
    lab.run_all()
    assert (lab.state("p"), lab.state("q")) == (FAILED, JobState.UNRUNNABLE)
    lab.put("data@master", {"/b": None, "/c": "3"})
    lab.run_all()
    assert lab.files("q@master") == {"/a": "", "/c": ""}
    assert [file.source.repo_type for info in lab.runner.list_datum(lab.job("q").job) for file in info.datum.inputs] == ["meta"] * 2
    with pytest.raises(RepoNotFound, match=r"default/data\.meta not found"):
        lab.pipeline("r", {"pfs": {"repo": "data", "repo_type": "meta", "glob": "/"}})
    with pytest.raises(Refused, match="direct provenance of"):
        lab.runner.delete_pipeline(PipelineRef("default", "p"))


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_a_batching_process_that_ends_before_its_first_call_is_a_failed_attempt(lab: Lab) -> None:
    lab.executor.stay = lambda datum: 1
    lab.pipeline("p", "data:/a", transform={"datum_batching": True})
    lab.run_all()
    assert lab.state("p") is FAILED
    assert len(lab.executor.requests) >= 3


def test_workers_at_once_are_bounded_whatever_the_parallelism(home: Path) -> None:
    lab = Lab(home, jobs=1)
    lab.put("data@master", {f"/{number}": "x" for number in range(6)})
    busy, most = threading.Semaphore(1), [0]

    def do(datum: ScriptedDatum) -> int:
        if not busy.acquire(blocking=False):
            most[0] += 1
            return 1
        time.sleep(0.01)
        busy.release()
        return 0

    lab.pipeline("p", "data:/*", do, parallelism_spec={"constant": 6})
    lab.run_all()
    lab.close()
    assert most == [0]
    assert lab.executor.requests


def test_a_glob_that_does_not_compile_fails_its_job_once(lab: Lab) -> None:
    lab.pipeline("p", "data:/[a")
    lab.run_all()
    assert lab.state("p") is FAILED
    assert 'invalid glob "/[a"' in lab.job("p").reason


def test_the_job_of_a_pipeline_without_input_fails(lab: Lab) -> None:
    lab.runner.create_pipeline({"pipeline": {"name": "p"}, "transform": {"cmd": ["do"]}}, project="default")
    lab.run_all()
    assert lab.state("p") is FAILED
    assert "the pipeline has no input" in lab.job("p").reason


def test_a_datum_set_spec_of_zeros_is_the_default(lab: Lab) -> None:
    lab.pipeline("p", "data:/*", datum_set_spec={"number": 0, "per_worker": 0})
    lab.run_all()
    assert lab.counts("p") == {"total": 2, "processed": 2}


def test_the_restart_counter_stays_at_zero(lab: Lab) -> None:
    lab.pipeline("p", "data:/*", lambda datum: 1)
    lab.run_all()
    assert lab.job("p").restart == 0


def test_an_input_may_be_named_like_out(lab: Lab) -> None:
    lab.pipeline("p", {"pfs": {"repo": "data", "name": "outer", "glob": "/*"}})
    lab.run_all()
    lab.put("data@master", {"/a": None, "/b": "3"})
    lab.run_all()
    assert lab.files("p@master") == {"/b": "3"}


def test_after_a_job_timeout_the_next_job_finds_its_worker_free(lab: Lab) -> None:
    def hang(datum: ScriptedDatum) -> RunResult:
        datum.cancelled.wait(120)
        return RunResult(-9, 0.0, cancelled=True)

    patience = time.monotonic() + 60
    lab.pipeline("p", "data:/a", hang, job_timeout="0.3s")
    lab.run_all(until=lambda: time.monotonic() > patience)
    assert lab.state("p") is JobState.KILLED
    lab.does("p", lambda datum: 0)
    lab.put("data@master", {"/a": "other"})
    lab.run_all(until=lambda: time.monotonic() > patience)
    assert lab.state("p") is SUCCEEDED


def test_after_a_forced_delete_in_the_middle_the_jobs_below_end(lab: Lab) -> None:
    for name, source in (("a", "data"), ("b", "a"), ("c", "b")):
        lab.pipeline(name, f"{source}:/*")
    lab.run_all()
    lab.runner.delete_pipeline(PipelineRef("default", "b"), force=True)
    lab.put("data@master", {"/new": "3"})
    lab.run_all()
    assert lab.counts("a") == {"total": 3, "processed": 1, "skipped": 2}
    assert all(info.state.is_final for info in lab.jobs("c"))
    assert lab.files("c@master") == DATA


def test_dry_run_in_a_spec_changes_nothing(lab: Lab) -> None:
    lab.pipeline("p", "data:/*")
    lab.run_all()
    lab.pipeline("p", "data:/*", update=True, dry_run=True)
    lab.run_all()
    assert lab.counts("p") == {"total": 2, "skipped": 2}


def test_missed_ticks_are_made_up_for_by_the_next_engine(lab: Lab) -> None:
    start = rfc3339(int(time.time() - 2.5 * 3600))
    lab.pipeline("p", {"cron": {"name": "tick", "spec": "@every 1h", "start": start}})
    lab.run_all()
    assert len(lab.files("p_tick@master")) == 2


# -- what there is none of ---------------------------------------------------------------------------------------------


def test_the_s3_gateway_of_a_worker_is_on_its_loopback_interface(lab: Lab) -> None:
    seen: list[tuple[str, list[str], list[str]]] = []

    def look(datum: ScriptedDatum) -> None:
        host = datum.env["S3_ENDPOINT"].rpartition(":")[0]
        seen.append((host, os.listdir(datum.input("data")), sorted(datum.tree.links)))

    lab.pipeline("p", {"pfs": {"repo": "data", "glob": "/", "s3": True}}, look)
    lab.pipeline("q", "data:/", look, s3_out=True)
    lab.run_all()
    assert {host for host, _, _ in seen} == {"http://127.0.0.1"}
    assert sorted((sorted(files), links) for _, files, links in seen) == [([], [".env", "data", "out"]), (["a", "b"], [".env", "data"])]
    assert lab.state("p") is lab.state("q") is SUCCEEDED


def test_a_backup_is_not_restored(lab: Lab) -> None:
    with pytest.raises(Unsupported, match="spec_commit"):
        lab.pipeline("p", spec_commit={"id": "0" * 32})


def test_egress_to_elsewhere_copies_nothing_and_says_so(lab: Lab) -> None:
    lab.pipeline("p", "data:/*", egress={"URL": "s3://bucket/folder"})
    lab.run_all()
    assert lab.state("p") is SUCCEEDED
    said = [str(line["message"]) for line in lab.runner.logs(job=lab.job("p").job)]
    assert said == ["egress: nothing is copied to s3://bucket/folder; a local path or a file:// URL would be"]


def test_an_egress_that_fails_fails_its_job(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lab.pipeline("p", "data:/*", egress={"URL": f"file://{tmp_path}/file"})
    lab.run_all()
    assert lab.state("p") is FAILED
    assert lab.job("p").reason.startswith("egress to ")


def test_spouts_and_services_are_left_to_the_background(lab: Lab) -> None:
    document = {"pipeline": {"name": "spout"}, "transform": {"cmd": ["do"]}, "spout": {}}
    lab.runner.create_pipeline(document, project="default")
    lab.pipeline("service", "data:/", service={"internal_port": 8000})
    lab.run_all()
    assert lab.executor.requests == []
    assert not lab.state("service").is_final
    assert lab.runner.inspect_pipeline(PipelineRef("default", "spout")).state is PipelineState.RUNNING
    assert lab.runner.has_work()


def test_what_only_a_scheduler_looks_at_has_no_effect(lab: Lab) -> None:
    more: dict[str, Any] = {
        "scheduling_spec": {"node_selector": {"disk": "none"}},
        "tolerations": [{"key": "none", "operator": "EXISTS"}],
        "pod_patch": '[{"op": "add", "path": "/none"}]',
        "metadata": {"labels": {"none": "none"}},
        "resource_limits": {"disk": "1"},
        "determined": {"workspaces": ["none"]},
    }
    lab.pipeline("p", "data:/*", **more)
    lab.run_all()
    assert lab.state("p") is SUCCEEDED


def test_a_secret_that_does_not_exist_is_left_out(lab: Lab) -> None:
    seen = {}

    def do(datum: ScriptedDatum) -> None:
        seen.update(datum.env)

    lab.runner.create_secret({"metadata": {"name": "login"}, "stringData": {"key": "open sesame"}})
    secrets = [{"name": name, "key": key, "env_var": f"{name}_{key}"} for name, key in (("login", "key"), ("login", "no"), ("no", "key"))]
    lab.pipeline("p", "data:/a", do, transform={"secrets": secrets})
    lab.run_all()
    assert {name: seen.get(name) for name in ("login_key", "login_no", "no_key")} == {
        "login_key": "open sesame",
        "login_no": None,
        "no_key": None,
    }


def test_variables_about_pods_are_absent(lab: Lab) -> None:
    seen = {}

    def do(datum: ScriptedDatum) -> None:
        seen.update(datum.env)

    lab.pipeline("p", "data:/a", do)
    lab.run_all()
    assert "PACH_JOB_ID" in seen
    assert not {"PPS_WORKER_IP", "PACH_NAMESPACE", "PEER_PORT", "FILESET_ID"} & seen.keys()


# -- specs and commands ------------------------------------------------------------------------------------------------


def test_an_empty_list_of_specs_is_an_error() -> None:
    with pytest.raises(SpecError, match="empty list"):
        list(read_documents("[]", "specs.json"))


def test_a_service_and_a_spout_in_one_spec_are_an_error(lab: Lab) -> None:
    document = {"pipeline": {"name": "p"}, "transform": {"cmd": ["do"]}, "spout": {}, "service": {"internal_port": 80}}
    with pytest.raises(SpecError, match="only one of service and spout can be set"):
        lab.runner.create_pipeline(document, project="default")


# -- kept, though odd --------------------------------------------------------------------------------------------------


def test_a_file_and_a_folder_of_one_name_escape_if_something_sorts_between(lab: Lab) -> None:
    def do(datum: ScriptedDatum) -> None:
        if datum.env["data"].endswith("/a"):
            (datum.out / "x").write_text("file")
            (datum.out / "x.txt").write_text("between")
        else:
            (datum.out / "x").mkdir()
            (datum.out / "x" / "y").write_text("below")

    lab.pipeline("p", "data:/*", do)
    lab.run_all()
    assert lab.state("p") is SUCCEEDED
