"""A refusal names what was wrong and what to write, and never advises to destroy."""

from __future__ import annotations

import json

import pytest


def spec(name: str, repo: str) -> str:
    fields = {"pipeline": {"name": name}, "transform": {"cmd": ["copy"]}, "input": {"pfs": {"repo": repo, "name": "in", "glob": "/"}}}
    return json.dumps(fields)


@pytest.mark.parametrize("line", ["delete repo data", "delete branch data@master", "delete pipeline p"])
def test_what_others_need_is_not_said_to_be_deleted_by_force(pachctl, line):
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="1")
    pachctl.ok("create pipeline", stdin=spec("p", "data"))
    pachctl.ok("create pipeline", stdin=spec("q", "p"))
    ended = pachctl(line)
    assert ended.status == 1
    assert "would lose what they need: update or delete them first" in ended.err
    assert "--force" not in ended.err
    stopped = "p is stopped now, `start pipeline p` lets it go on"
    assert (stopped in ended.err) is (line == "delete pipeline p")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("put file data@master one two", "write `put file data@master -f one -f two`"),
        ("put file data@master -r -f one two", "write `put file data@master -r -f one -f two`"),
        ("put file data@master a b c d", "write -f before each of them, or -r -f FOLDER for all that is in a folder"),
        ("get file data@master:/a here", "write `get file data@master:/a -o here`"),
        ("logs edges", "write `logs -p edges`"),
        ("create pipeline spec.json", "write `create pipeline -f spec.json`"),
        ("create repo a b", "`create repo` takes REPO and no more: see `create repo --help`"),
        ("create-repo a b", "`create repo` takes REPO and no more: see `create repo --help`"),
        ("list repo a", "`list repo` takes flags only: see `list repo --help`"),
        ("version x", "`version` takes flags only: see `version --help`"),
        ("diff data@master:/a", "write `diff file data@master:/a`"),
        ("wait data@master", "write `wait commit data@master`"),
        ("put data@master:/a -f x", "write `put file data@master:/a -f x`"),
        ("put file data@master/a/b -f x", "write data@master:/a/b"),
        ("config set active-project lab", "write `config update context --project lab`"),
        ("inspect repo DATA", "did you mean data?"),
        ("inspect file data@master:/*.csv", "patterns are for `glob file`, which says what is there: `glob file 'data@master:/*.csv'`"),
        ("delete file data@master:/*", "patterns are for `glob file`, which says what is there: `glob file 'data@master:/*'`"),
        ("delete file data@master", "say which file: REPO@BRANCH:/PATH"),
    ],
)
def test_a_line_that_is_nearly_right_is_answered_with_the_right_one(pachctl, line, hint):
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="1")
    ended = pachctl(line)
    assert ended.status in (2, 4)
    assert ended.err.splitlines()[-1] == f"hint: {hint}"


@pytest.mark.parametrize("line", ["squash data@master", "delete data@master", "delete data@master:/a"])
def test_a_destroying_verb_is_not_completed(pachctl, line):
    assert "write `" not in pachctl(line).err


def test_a_list_of_the_jobs_of_no_id_says_how_those_of_a_pipeline_are_listed(pachctl):
    ended = pachctl.ok("list job edges")
    assert ended.err == "edges is no id of jobs: `list job -p edges` lists the jobs of a pipeline\n"


@pytest.mark.parametrize("flags", ["-r -f {}", "-f {}/dead"])
def test_a_link_that_leads_nowhere_is_told_as_such_and_nothing_is_put(pachctl, tmp_path, flags):
    (tmp_path / "a").write_text("1")
    (tmp_path / "dead").symlink_to("nowhere")
    pachctl.ok("create repo data")
    ended = pachctl(f"put file data@master {flags.format(tmp_path)}")
    assert ended.status == 4
    assert ended.err.splitlines()[-1] == "hint: it is a link to nowhere, which is not there: mend the link, or take it away"
    assert pachctl("list branch data --raw").documents == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("copy file data@master:/nope data@dev:/x", "nothing is at data@master:/nope: nothing was copied"),
        ("copy file data@master:/a data@dev:/x", ""),
        ("delete file data@master:/nope", "nothing is at data@master:/nope: nothing was deleted"),
        ("delete file data@master:/a", ""),
        ("list repo --project nope", 'there is no project "nope"; `list project` says which there are'),
        ("list pipeline --project nope", 'there is no project "nope"; `list project` says which there are'),
        ("list repo --project default", ""),
    ],
)
def test_a_success_that_did_nothing_says_so(pachctl, line, said):
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="1")
    assert pachctl.ok(line).err.strip() == said


def test_a_file_put_below_a_file_is_said_at_once_and_lost_for_the_next_commit(pachctl):
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="1")
    said = pachctl.ok("put file data@master:/a/b", stdin="2").err
    assert said.startswith("file / directory path collision (/a/b): commit default/data@")
    assert "the next one goes on from the commit before it" in said
    assert pachctl.ok("put file data@master:/c", stdin="3").err == ""
    assert [info["file"]["path"] for info in pachctl.ok("list file data@master --raw").documents] == ["/a", "/c"]


def test_a_url_that_cannot_be_asked_is_told_in_words(pachctl):
    pachctl.ok("create repo data")
    ended = pachctl("put file data@master -f http://127.0.0.1:9/x")
    assert ended.status == 5
    assert ended.err.splitlines() == [
        "error retrieving content from http://127.0.0.1:9/x: Connection refused",
        "hint: fetch it by other means, and name the local file",
    ]
    assert pachctl.ok("list branch data --raw").documents == []
