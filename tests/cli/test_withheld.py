"""What a pipeline does without, said where it is made, checked and looked at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Pachctl, copying

SECRETS = {"secrets": [{"name": "login", "key": "k", "env_var": "T"}, {"name": "keys", "mount_path": "/keys"}]}
SPEC = copying(transform={"cmd": ["copy"], **SECRETS}, datum_tries=1)
LOGIN = "secret login is not here, so variable T is left out; a cluster refuses the spec; to have it: `create secret -f FILE` with"
KEYS = "secret keys is not here, so /keys is left out"


@pytest.fixture
def lab(pachctl: Pachctl) -> Pachctl:
    Path("p.json").write_text(json.dumps(SPEC))
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="good\n")
    return pachctl


def test_a_missing_secret_is_said_when_a_pipeline_is_made_or_checked_and_on_its_jobs(lab: Pachctl) -> None:
    for said in (lab.ok("check p.json").out, lab.ok("create pipeline -f p.json").err):
        assert LOGIN in said
        assert KEYS in said
    job = f"p@{lab.ok('inspect commit p@master --raw').document['commit']['id']}"
    assert lab.ok("list job -p p").lines[1].endswith("success: secret login is not here,...")
    assert [line for line in lab.ok(f"inspect job {job}").out.splitlines() if line.startswith(f"Warning: {LOGIN}")]
    assert lab.ok(f"inspect job {job} --raw").document.get("reason") is None, "as on a cluster"
    assert any(line.startswith(LOGIN) for line in lab.ok("logs -p p --worker").lines)


def test_the_secret_that_the_words_show_is_one_that_is_taken(lab: Pachctl) -> None:
    said = lab.ok("create pipeline -f p.json").err.splitlines()
    for line in said:
        lab.ok("create secret", stdin=line.partition(" with ")[2])
    assert lab.ok("update pipeline -f p.json").err == ""
    assert "secret" not in lab.ok("check p.json").out.partition("datum")[2]


def test_the_datum_that_a_failed_job_names_is_the_one_that_is_explained(lab: Pachctl) -> None:
    for name in "bcdef":
        lab.ok(f"put file data@master:/{name}", stdin="fail\n")
    Path("p.json").write_text(json.dumps(copying(datum_tries=1)))
    lab.ok("create pipeline -f p.json")
    job = f"p@{lab.ok('inspect commit p@master --raw').document['commit']['id']}"
    shown = lab.ok(f"inspect job {job}").out.splitlines()
    reason, explained = [line for line in shown if "datum " in line.lower()][:2]
    named = reason.split()[2]
    assert reason == f"Reason: datum {named} failed"
    assert "Failed: 5" in shown
    assert explained.startswith(f"datum {named} (data:/b): ")


@pytest.mark.parametrize(
    ("limit", "said"),
    [("2GB", "'2GB' is not a quantity: it is ignored, as on a cluster; write \"2G\""), ("64m", "m is a thousandth")],
)
def test_an_amount_that_a_cluster_ignores_is_ignored_with_a_word(lab: Pachctl, limit: str, said: str) -> None:
    Path("p.json").write_text(json.dumps(copying(resource_limits={"memory": limit}, resource_requests={"disk": "1 G"})))
    for shown in (lab.ok("check p.json").out, lab.ok("create pipeline -f p.json").err):
        assert "resource_limits.memory: " in shown
        assert said in shown
        assert "resource_requests.disk: '1 G' is not a quantity" in shown
    assert lab.ok("list job -p p").lines[1].endswith("success")


def test_a_job_that_cannot_run_names_the_pipeline_behind_its_input(lab: Pachctl) -> None:
    lab.ok("put file data@master:/b", stdin="fail\n")
    lab.ok("create pipeline", stdin=json.dumps(copying(datum_tries=1)))
    below = {"pipeline": {"name": "q"}, "transform": {"cmd": ["copy"]}, "input": {"pfs": {"name": "DATA_PATH", "repo": "p", "glob": "/"}}}
    lab.ok("create pipeline", stdin=json.dumps(below))
    job = lab.ok("list job -p q --raw").document["job"]["id"]
    lines = lab.ok(f"inspect job q@{job}").out.splitlines()
    assert "Reason: unrunnable because the following upstream pipelines failed: DATA_PATH" in lines
    assert any(line.startswith("input DATA_PATH is written by p: its job p@") and "failed: datum " in line for line in lines)


@pytest.mark.parametrize(
    ("repo", "hint"),
    [
        ("data@master", 'write "repo": "data", "branch": "master"'),
        ("default/data", 'write "project": "default", "repo": "data"'),
        ("data@master:/*", 'write "repo": "data", "branch": "master", "glob": "/*"'),
    ],
)
def test_a_repo_that_is_written_as_elsewhere_is_told_apart(lab: Pachctl, repo: str, hint: str) -> None:
    for glob in ({"glob": "/"}, {}):
        spec = copying(input={"pfs": {"repo": repo, **glob}})
        ended = lab("create pipeline", stdin=json.dumps(spec))
        assert ended.status == 2
        assert f"repo {repo} not found" in ended.err
        assert hint in ended.err
