"""Commands that do otherwise than pachctl, on purpose: a row of DEVIATIONS.md each, which gives the reasons."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from local_runner.cli.unsupported import ELSEWHERE
from local_runner.model.refs import parse_branch
from local_runner.runner import Runner

SPEC = {
    "pipeline": {"name": "p"},
    "datum_tries": 1,
    "transform": {"cmd": ["copy"]},
    "input": {"pfs": {"repo": "data", "name": "in", "glob": "/*"}},
}


@pytest.fixture
def data(pachctl):
    """A repo of three commits, each of which wrote `/a`."""
    pachctl.ok("create repo data")
    for text in "123":
        pachctl.ok("put file data@master:/a", stdin=text)
    return pachctl


def ids(pachctl, arguments="data@master"):
    return [found["commit"]["id"] for found in pachctl.ok(f"list commit {arguments} --raw").documents]


def test_one_commit_is_squashed_or_deleted_by_its_repo_and_branch(data):
    newest, _, oldest = ids(data)
    data.ok("squash commit data@master^")
    assert ids(data) == [newest, oldest]
    data.ok(f"delete commit data@{newest}")
    assert ids(data) == [oldest]
    for verb in ("squash", "delete"):
        assert data(f"{verb} commit oldest").status != 0


def test_the_newest_commits_of_all_repos_are_listed_too(data):
    assert len(data.ok("list commit -n 1 --raw").documents) == 1


def test_the_project_of_everything_that_names_none_stays(data):
    assert data("delete project default --yes").status == 0
    assert [found["project"]["name"] for found in data.ok("list project --raw").documents] == ["default"]


def test_a_commit_may_be_started_on_another(data):
    started = data.ok("start commit data@dev -p master^").out.strip()
    assert data.ok(f"inspect commit data@{started} --raw").document["parent_commit"]["id"] == ids(data)[1]


@pytest.mark.parametrize("since", ["master^", "old"])
def test_a_list_of_commits_is_cut_at_a_branch_or_an_ancestor(data, since):
    data.ok("create branch data@old --head master^")
    assert ids(data, f"data@master --from {since}") == ids(data)[:1]


def test_a_name_with_a_slash_begins_with_a_project(data):
    data.ok("create project lab")
    data.ok("create repo lab/data")
    data.ok("put file lab/data@master:/a", stdin="of the lab")
    assert data.ok("get file data@master:/a --project lab").out == "of the lab"
    assert data.ok("get file data@master:/a").out == "3"


def test_a_commit_that_changed_nothing_is_not_among_those_found(data):
    data.ok("put file data@master:/a", stdin="3")
    data.ok("delete file data@master:/nope")
    assert len(ids(data)) == 5
    assert data.ok("find commit data@master:/a").lines[1:4] == ids(data)[2:]
    assert "no commits found." in data.ok("find commit data@master:/nope").out


@pytest.mark.parametrize("flag", ["--new", "--from master"])
def test_whoever_subscribes_to_what_is_new_is_told_of_nothing_else(data, monkeypatch, flag):
    came = []

    def wait(self, seconds):
        if came:
            raise KeyboardInterrupt
        with Runner.open(background=False) as runner:
            came.append(runner.start_commit(parse_branch("data@master")).id)

    monkeypatch.setattr("local_runner.storage.wakeup.Wakeup.wait", wait)
    told = [found["commit"]["id"] for found in data(f"subscribe commit data@master {flag} --raw").documents]
    assert told == came == ids(data)[:1]


def test_a_copy_gets_no_name_that_a_put_could_not_give(data):
    refused = data("copy file data@master:/a", "data@master:/a*")
    assert refused.status == 2
    assert refused.err.startswith("path (/a*) invalid: globbing character (*) not allowed in path\n")


def test_a_description_may_be_in_any_language(data):
    data.ok("update repo data -d", "Größe 大小")
    assert data.ok("inspect repo data --raw").document["description"] == "Größe 大小"


def test_a_failed_datum_is_shown_with_its_reason(data):
    data.ok("put file data@master:/a", stdin="fail")
    data.ok("create pipeline", stdin=json.dumps(SPEC))
    datum = data.ok(f"list datum p@{ids(data, 'p')[0]} --raw").document["datum"]
    assert any(line.startswith("Reason") for line in data.ok(f"inspect datum p@{datum['job']['id']} {datum['id']}").lines)


def test_the_requests_of_a_transaction_are_shown_as_they_are_kept(data):
    data.ok("start transaction")
    data.ok("create repo more")
    (request,) = data.ok("inspect transaction --raw").document["requests"]
    assert request == {"create_repo": {"repo": ["default", "more", "user"], "description": "", "update": False}}


def test_a_check_mends_from_the_files_of_the_project_and_says_what_is_lost(data):
    with sqlite3.connect(Path("home/records.sqlite")) as connection:
        connection.execute("UPDATE object SET content = CAST('9' AS BLOB) WHERE content = CAST('3' AS BLOB)")
    connection.close()
    refused = data("get file data@master:/a")
    assert (refused.status, "is damaged" in refused.err, "fsck --fix" in refused.err) == (5, True, True)
    ended = data("fsck --fix")
    assert (ended.status, "the above is lost" in ended.err) == (1, True)
    assert data("fsck").out == ended.out
    Path("a").write_text("3")
    Path("local_runner.toml").write_text('[[repo]]\nname = "data"\nfiles = { "/a" = "a" }\n')
    ended = data("fsck --fix")
    assert (ended.status, ended.out) == (0, "No errors found.\n")
    assert "put the content of default/data@" in ended.err
    assert data.ok("get file data@master:/a").out == "3"


@pytest.mark.parametrize("name", ["auth", "enterprise", "debug", "mount", "connect"])
def test_what_belongs_to_a_cluster_is_refused_by_name(pachctl, name):
    refused = pachctl(name)
    assert (refused.status, ELSEWHERE[name] in refused.err) == (1, True)
