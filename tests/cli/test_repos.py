"""Projects, repos, branches, commits and transactions by command."""

from __future__ import annotations

import json
import re
from itertools import islice

import pytest

from local_runner.model.refs import parse_repo
from local_runner.runner import Runner


def commit_id(pachctl, commit="data@master"):
    return pachctl.ok(f"inspect commit {commit} --raw").document["commit"]["id"]


def test_repos_are_created_listed_and_deleted(pachctl):
    pachctl.ok("create repo data --description words")
    pachctl.ok("put file data@master:/a", stdin="hello\n")
    header, row = pachctl.ok("list repo").out.splitlines()
    assert header.split() == ["PROJECT", "NAME", "CREATED", "SIZE", "(MASTER)", "DESCRIPTION"]
    assert header.index("DESCRIPTION") == row.index("words")
    assert "≤ 6B" in row
    assert pachctl.ok("inspect repo data").lines[0:2] == ["Name: data", "Description: words"]
    deleted = pachctl.ok("delete repo data")
    assert (deleted.out, deleted.err) == ("", "Repo deleted.\n")
    missing = pachctl("delete repo data")
    assert (missing.status, missing.err.splitlines()[0]) == (4, "No repo deleted.")


def test_a_dot_in_the_name_of_a_new_repo_is_refused(pachctl):
    pachctl.ok("create repo data")
    refused = pachctl("create repo data.meta")
    assert (refused.status, refused.err.splitlines()[0]) == (
        2,
        "name (data.meta) invalid: only alphanumeric characters, underscores, and dashes are allowed",
    )


def test_all_repos_go_together_or_none(pachctl):
    pachctl.ok("create repo a")
    pachctl.ok("create repo data")
    pachctl.ok("create branch data@master -p a@master")
    pachctl.ok("create repo other")
    pachctl.ok("delete repo --all")
    assert pachctl.ok("list repo --raw").documents == []


def test_errors_have_exit_statuses_of_their_own(pachctl):
    pachctl.ok("create repo data")
    assert pachctl("create repo data").status == 1
    assert pachctl("create repo not.valid").status == 2
    assert pachctl("inspect repo nope").status == 4
    assert pachctl("delete repo").status == 2


def test_a_list_covers_one_project_or_all(pachctl):
    pachctl.ok("create project lab")
    pachctl.ok("create repo data")
    pachctl.ok("create repo data --project lab")
    assert [d["repo"]["project"]["name"] for d in pachctl.ok("list repo --raw").documents] == ["default"]
    assert [d["repo"]["project"]["name"] for d in pachctl.ok("list repo -A --raw").documents] == ["default", "lab"]
    pachctl.ok("config update context --project lab")
    assert [d["repo"]["project"]["name"] for d in pachctl.ok("list repo --raw").documents] == ["lab"]
    assert [row.split()[:2] for row in pachctl.ok("list project").lines if row.startswith("*")] == [["*", "lab"]]
    assert pachctl.ok("config get context").document == {"project": "lab"}
    assert pachctl("config update context --project nope").status == 4


def test_repos_are_listed_by_a_type_that_exists(pachctl):
    pachctl.ok("create repo data")
    assert pachctl.ok("list repo --type meta --raw").documents == []
    assert pachctl("list repo --type nope").status == 2


def test_raw_names_the_branch_of_no_commit_that_was_asked_for(pachctl):
    pachctl.ok("create repo data")
    pachctl.ok("create branch data@master")
    assert list(pachctl.ok("inspect commit data@master --raw").document["commit"]) == ["repo", "id"]


def test_projects_are_listed_in_the_order_they_were_made(pachctl):
    for name in ("zeta", "alpha"):
        pachctl.ok(f"create project {name}")
    assert [d["project"]["name"] for d in pachctl.ok("list project --raw").documents] == ["default", "zeta", "alpha"]


def test_an_update_makes_no_project_that_is_missing(pachctl):
    assert pachctl("update project lab -d words").status == 4
    pachctl.ok("create project lab")
    pachctl.ok("update project lab -d words")
    shown = pachctl.ok("inspect project lab").lines
    assert [line.partition(":")[0] for line in shown] == ["Name", "Description", "", "Created at", "", "Defaults"]
    assert shown[-1] == "Defaults: {}"


def test_a_project_that_does_not_exist_has_nothing_to_list(pachctl):
    for noun in ("repo", "pipeline", "job", "commit"):
        assert len(pachctl.ok(f"list {noun} --project nope").lines) == 1


def test_a_project_with_something_in_it_is_deleted_only_after_asking(pachctl):
    pachctl.ok("create project lab")
    pachctl.ok("create repo data --project lab")
    refused = pachctl("delete project lab", stdin="n\n")
    assert refused.status == 1
    assert refused.err.endswith("(y/N): cannot delete project with 1 repos\n")
    pachctl.ok("delete project lab", stdin="y\n")
    assert [d["project"]["name"] for d in pachctl.ok("list project --raw").documents] == ["default"]


def test_everything_is_deleted_only_after_asking(pachctl):
    pachctl.ok("create repo data")
    assert "default/data" in pachctl.ok("delete all", stdin="n\n").err
    assert len(pachctl.ok("list repo --raw").documents) == 1
    pachctl.ok("delete all", stdin="y\n")
    assert pachctl.ok("list repo --raw").documents == []
    pachctl.ok("delete all -y")


def test_branches_are_listed_with_what_triggers_them(pachctl):
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="a")
    pachctl.ok("create branch data@big --trigger master --trigger-size 1K --trigger-commits 2")
    pachctl.ok("create branch data@old --head master")
    old, big, master = pachctl.ok("list branch data").lines[1:]
    assert old.split()[:3] == ["old", commit_id(pachctl), "-"]
    assert "master on Size(1K) or Commits(2)" in big
    assert master.startswith("master ")
    assert "Trigger: master on Size(1K) or Commits(2)" in pachctl.ok("inspect branch data@big").out
    assert pachctl.ok("inspect branch data@big --raw").document["trigger"] == {"branch": "master", "size": "1K", "commits": "2"}


@pytest.mark.parametrize(
    "command",
    [
        "create branch data@not.valid",
        "create branch data@0123456789ab4def8123456789abcdef",
        "create branch data@x --trigger-size 1K",
        "create branch data@x --trigger master -p other@master",
        "create branch data",
        "start commit data",
        "inspect commit data",
        "inspect commit 0123456789ab4def8123456789abcdef",
        "list commit 0123456789ab4def8123456789abcdef --from x",
        "list commit --origin AUTO",
        "list commit data --all --origin AUTO",
        "inspect job 0123456789ab4def8123456789abcdef",
        "list job --state failure",
        "list job --history all",
        "list job -p p --state nope",
        "list datum",
        "list datum p@0123456789ab4def8123456789abcdef -f spec",
        "list pipeline --spec --raw",
        "list repo -o yaml",
        "logs -p p -j p@0123456789ab4def8123456789abcdef",
        "logs -p p --grep (",
        "inspect defaults",
        "inspect defaults --cluster --project lab",
        "delete pipeline",
    ],
)
def test_contradictory_or_missing_arguments_are_bad_usage(pachctl, command):
    pachctl.ok("create repo data")
    ended = pachctl(command)
    assert (ended.status, ended.out) == (2, "")
    assert "internal error" not in ended.err


def test_a_commit_is_started_finished_and_shown(pachctl):
    pachctl.ok("create repo data")
    found = pachctl.ok("start commit data@master -m first").out.strip()
    pachctl.ok("put file data@master:/a", stdin="a\n")
    shown = pachctl.ok("inspect commit data@master").lines
    assert (shown[-2].partition(":")[0], shown[-1]) == ("Started", "Size: 0B")
    assert " - 0B USER - first" in pachctl.ok("list commit data@master").lines[1]
    assert pachctl.ok("inspect commit data@master --raw").document["details"] == {}
    pachctl.ok("finish commit", f"data@{found}")
    shown = pachctl.ok("wait commit data@master").lines
    assert shown[:2] == [f"Commit: data@{found}", "Description: first"]
    assert shown[-1] == "Size: 2B"
    assert pachctl.ok("list commit data@master").lines[1].split()[-3:] == ["USER", "-", "first"]


def test_commits_are_listed_by_repo_set_and_range(pachctl):
    pachctl.ok("create repo data")
    for text in "123":
        pachctl.ok("put file data@master:/a", stdin=text)
    first = commit_id(pachctl, "data@master^2")
    assert len(pachctl.ok("list commit data -n 2 --raw").documents) == 2
    assert len(pachctl.ok(f"list commit data@master --from {first} --raw").documents) == 2
    assert [d["commit"]["id"] for d in pachctl.ok(f"list commit {first} --raw").documents] == [first]
    assert len(pachctl.ok("list commit --raw").documents) == 3
    rows = pachctl.ok("list commit").lines
    assert rows[0] == "ID SUBCOMMITS PROGRESS CREATED MODIFIED"
    assert rows[-1].startswith(f"{first} 1 ▇▇▇▇▇▇▇▇ ")
    assert len(pachctl.ok("list commit -x -n 2").lines) == 3


def test_the_commits_that_changed_a_file_are_found(pachctl):
    pachctl.ok("create repo data")
    for path in "aba":
        pachctl.ok(f"put file data@master:/{path}", stdin=path)
    newest, oldest = commit_id(pachctl), commit_id(pachctl, "data@master^2")
    assert pachctl.ok("find commit data@master:/b").lines[0] == "FOUND IN COMMITS"
    found = json.loads(pachctl.ok("find commit data@master:/a --json").out)
    assert oldest in {commit["id"] for commit in found["FoundCommits"]} <= {newest, oldest}
    assert found["CommitsSearched"] == 3
    assert "no commits found." in pachctl.ok("find commit data@master:/nope").out


def test_a_transaction_that_is_stopped_stays_listed_and_can_be_resumed(pachctl):
    identity = pachctl.ok("start transaction").out.split('"')[1]
    pachctl.ok("create repo inside")
    assert pachctl.ok("stop transaction").out == f"Cleared active transaction: {identity}\n"
    assert pachctl("stop transaction").err.splitlines()[0] == "no active transaction"
    pachctl.ok("create repo outside")
    assert len(pachctl.ok("list repo").lines) == 2
    assert pachctl.ok("list transaction").lines[1].split()[0] == identity
    pachctl.ok(f"resume transaction {identity}")
    pachctl.ok("finish transaction")
    assert len(pachctl.ok("list repo").lines) == 3


def test_a_transaction_that_is_deleted_is_gone(pachctl):
    identity = pachctl.ok("start transaction").out.split('"')[1]
    pachctl.ok(f"delete transaction {identity}")
    assert len(pachctl.ok("list transaction").lines) == 1
    pachctl.ok("start transaction")


def test_a_transaction_collects_changes_and_makes_them_at_once(pachctl):
    assert pachctl("finish transaction").err.splitlines()[0] == "no active transaction"
    pachctl.ok("create repo data")
    identity = pachctl.ok("start transaction").out.split('"')[1]
    added = pachctl.ok("create repo more --description words")
    assert (added.out, added.err) == (f"Added to transaction: {identity}\n", "")
    assert pachctl.ok("start commit data@master").lines == [f"Added to transaction: {identity}", identity]
    assert [d["repo"]["name"] for d in pachctl.ok("list repo --raw").documents] == ["data"]
    shown = pachctl.ok("inspect transaction").lines
    assert shown[0] == f"ID: {identity}"
    assert shown[3:] == ["create repo default/more", f"start commit default/data@master ({identity})"]
    assert pachctl.ok("list transaction").lines[1].split()[-1] == "2"
    assert pachctl.ok("finish transaction").out == f"Completed transaction with 2 requests: {identity}\n"
    assert commit_id(pachctl) == identity


def test_the_requests_of_a_transaction_are_shown_in_words(pachctl):
    pachctl.ok("create repo data")
    pachctl.ok("create branch data@old")
    identity = pachctl.ok("start transaction").out.split('"')[1]
    pachctl.ok("update repo data --description words")
    pachctl.ok("start commit data@master")
    pachctl.ok("finish commit data@master")
    pachctl.ok("delete branch data@old --force")
    pachctl.ok(f"squash commit {'0' * 12}4{'0' * 3}8{'0' * 15}")
    assert pachctl.ok("inspect transaction").lines[3:] == [
        "update repo default/data",
        f"start commit default/data@master ({identity})",
        "finish commit default/data@",
        "delete branch default/data@old --force",
        f"squash commitset {'0' * 12}4{'0' * 3}8{'0' * 15}",
    ]


def test_a_transaction_makes_one_commit_in_a_repo_and_keeps_the_branches_it_made(pachctl):
    pachctl.ok("create repo data")
    identity = pachctl.ok("start transaction").out.split('"')[1]
    pachctl.ok("create branch data@a")
    for refused in ("create branch data@b", "start commit data@b", "create branch data@b -p more@x"):
        assert (pachctl(refused).status != 0, refused.startswith("create branch data@b -p") or identity in pachctl(refused).err) == (
            True,
            True,
        )
    pachctl.ok("create branch data@b --head a")
    for refused in ("delete branch data@a", "delete repo data"):
        assert "by the transaction that made it" in pachctl(refused).err
    assert pachctl.ok("finish transaction").lines == [f"Completed transaction with 2 requests: {identity}"]


def test_a_transaction_may_delete_a_repo_that_is_not_there_yet(pachctl):
    pachctl.ok("start transaction")
    assert pachctl.ok("delete repo data").err == "Repo deleted.\n"
    assert pachctl.ok("finish transaction").out.startswith("Completed transaction with 1 requests")


def test_what_a_commit_says_of_those_around_it_names_their_branches_but_for_the_parent(pachctl):
    pachctl.ok("create repo data")
    pachctl.ok("create repo out")
    for content in "12":
        pachctl.ok("put file data@master:/a", stdin=content)
    pachctl.ok("create branch out@copy -p data@master")
    newest, oldest = pachctl.ok("list commit data@master --raw").documents
    assert [commit["branch"]["name"] for commit in (*newest["direct_subvenance"], *oldest["child_commits"])] == ["copy", "master"]
    assert "branch" not in newest["parent_commit"]
    assert newest["details"] == {"size_bytes": "1", "compacting_time": "0s", "validating_time": "0s"}
    assert pachctl.ok("inspect commit out@copy --raw").document["details"] == {}


def test_a_list_of_datums_that_fails_has_its_header(pachctl):
    for command in (f"list datum p@{'0' * 12}4{'0' * 3}8{'0' * 15}", "list datum p"):
        ended = pachctl(command)
        assert (ended.status != 0, ended.lines) == (True, ["ID FILES STATUS TIME"])


def test_errors_name_ids_where_a_cluster_does(pachctl):
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="1")
    identity = commit_id(pachctl)
    for command in (f"inspect commit {identity}", f"wait commit {identity}", f"inspect job {identity}", f"get file data@{identity}:/nope"):
        assert identity not in pachctl(command).err
    assert re.search("[0-9a-f]{32}", pachctl("create branch nope@x").err)
    assert not re.search("[0-9a-f]{32}", pachctl("create branch nope@x --head master").err)


def test_secrets_are_kept_but_not_shown(pachctl):
    pachctl.ok("create secret", stdin='{"metadata": {"name": "key"}, "stringData": {"k": "hidden"}}')
    assert pachctl.ok("list secret").lines[1].startswith("key Opaque ")
    assert "hidden" not in pachctl.ok("inspect secret key").out
    again = pachctl("create secret", stdin='{"metadata": {"name": "key"}}')
    assert (again.status, again.err.splitlines()[0]) == (1, 'secret "key" already exists')
    pachctl.ok("delete secret key")
    pachctl.ok("create secret", stdin='{"metadata": {"name": "key"}, "type": "kubernetes.io/tls"}')
    assert pachctl.ok("list secret").lines[1].startswith("key kubernetes.io/tls ")
    pachctl.ok("delete secret key")
    assert len(pachctl.ok("list secret").lines) == 1
    assert pachctl("create secret", stdin="no json").status == 2


def test_a_branch_that_stands_twice_on_another_stands_on_it(pachctl):
    pachctl.ok("create repo data")
    pachctl.ok("create repo out")
    pachctl.ok("create branch out@master -p data@master -p data@master")
    shown = pachctl.ok("inspect branch out@master").lines
    assert [line.partition(":")[0] for line in shown] == ["Name", "Head Commit", "Provenance", "", "Created at"]
    assert shown[2] == "Provenance: data@master"
    assert pachctl("create branch out@other -p data@a,data@b").status == 2


def test_whoever_subscribes_is_told_of_commits_as_they_start(pachctl):
    pachctl.ok("create repo data")
    pachctl.ok("put file data@dev:/a", stdin="a")
    pachctl.ok("start commit data@master")
    told = list(islice(_subscribe(pachctl, "data"), 2))
    assert [(info.branch, info.finished is None) for info in told] == [("dev", False), ("master", True)]
    assert [info.branch for info in islice(_subscribe(pachctl, "data", "master"), 1)] == ["master"]


def _subscribe(pachctl, repo, branch=""):
    with Runner.open(background=False) as runner:
        yield from runner.subscribe_commit(parse_repo(repo), branch)
