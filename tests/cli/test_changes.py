"""Commands that change or take away what was made: each run once, and looked at afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import copying

SPEC = copying(datum_tries=1)


@pytest.fixture
def lab(pachctl):
    """A repo `data` with two commits, `/a` and `/b`, and a pipeline `p` over it."""
    Path("p.json").write_text(json.dumps(SPEC))
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="1")
    pachctl.ok("create pipeline -f p.json")
    pachctl.ok("put file data@master:/b", stdin="2")
    return pachctl


def id_of(lab, commit):
    return lab.ok(f"inspect commit {commit} --raw").document["commit"]["id"]


def test_a_description_can_be_changed(lab):
    lab.ok("update repo data -d 'two files'")
    assert lab.ok("inspect repo data --raw").document["description"] == "two files"


def test_a_deleted_branch_leaves_its_commits(lab):
    lab.ok("create branch data@old --head master^")
    commit = id_of(lab, "data@old")
    lab.ok("delete branch data@old")
    assert lab("inspect branch data@old").status == 4
    assert id_of(lab, f"data@{commit}") == commit


def test_a_deleted_job_is_gone_and_its_output_stays(lab):
    job = id_of(lab, "p@master")
    lab.ok(f"delete job p@{job}")
    assert lab(f"inspect job p@{job}").status == 4
    assert lab.ok("list file p@master").lines[1:] == ["1B /a", "1B /b"]


def test_a_squashed_commit_hands_its_files_on(pachctl):
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="1")
    pachctl.ok("put file data@master:/b", stdin="2")
    first = id_of(pachctl, "data@master^")
    pachctl.ok(f"squash commit {first}")
    assert first not in pachctl.ok("list commit data").out
    assert pachctl.ok("list file data@master").lines[1:] == ["1B /a", "1B /b"]


def test_a_datum_that_is_done_cannot_be_restarted(lab):
    ended = lab(f"restart datum p@{id_of(lab, 'p@master')} /a")
    assert (ended.status, ended.err.splitlines()[1]) == (4, "hint: only a running datum restarts")


def test_defaults_are_kept_as_they_were_spelled(lab):
    Path("defaults.json").write_text('{"create_pipeline_request": {"datumTries": "7", "autoscaling": true}}')
    lab.ok("update defaults --cluster -f defaults.json")
    assert lab.ok("inspect defaults --cluster").out == '{"create_pipeline_request":{"autoscaling":true,"datumTries":"7"}}\n'


def test_the_current_project_is_chosen_by_the_old_word_too(lab):
    lab.ok("create project lab")
    lab.ok("config set context x --project lab")
    assert lab.ok("config get context").document == {"project": "lab"}
    assert lab.ok("list repo --raw").documents == []
