"""What people attach to things, through the server and through the API."""

import pytest

from local_runner.errors import NotFound, Refused
from local_runner.model.metadata import Edit
from local_runner.model.refs import PipelineRef, parse_branch, parse_commit, parse_repo
from local_runner.pipelines.metadata import EditsFailed
from tests.support.api_client import ApiClient
from tests.support.lab import Lab

EDIT = "metadata.API/EditMetadata"
REPO = {"name": {"name": "data", "project": {"name": "default"}}}
BRANCH = {"name": {"repo": REPO, "name": "master"}}


@pytest.fixture
def data(client: ApiClient) -> ApiClient:
    client("pfs_v2.API/CreateRepo", repo={"name": "data"})
    client.put("data", {"/a": b"1"})
    return client


def test_each_kind_of_thing_shows_what_is_attached_to_it(data: ApiClient) -> None:
    targets = [
        {"project": {"name": "default"}},
        {"repo": REPO},
        {"branch": BRANCH},
        {"commit": {"branch_head": BRANCH}},
        {"cluster": {}},
    ]
    data(EDIT, edits=[{**target, "add_key": {"key": "of", "value": next(iter(target))}} for target in targets])
    branch = {"repo": {"name": "data"}, "name": "master"}
    infos = [
        data("pfs_v2.API/InspectProject", project={"name": "default"}),
        data("pfs_v2.API/InspectRepo", repo={"name": "data"}),
        data("pfs_v2.API/InspectBranch", branch=branch),
        data("pfs_v2.API/InspectCommit", commit={"branch": branch}),
        data("admin_v2.API/InspectCluster"),
    ]
    assert [info["metadata"] for info in infos] == [{"of": next(iter(target))} for target in targets]


def test_pairs_are_added_changed_deleted_and_replaced(data: ApiClient) -> None:
    def after(**operation: object) -> dict[str, str]:
        data(EDIT, edits=[{"repo": REPO, **operation}])
        found: dict[str, str] = data("pfs_v2.API/InspectRepo", repo={"name": "data"}).get("metadata", {})
        return found

    assert after(add_key={"key": "a", "value": "1"}) == {"a": "1"}
    assert after(edit_key={"key": "b", "value": "2"}) == {"a": "1", "b": "2"}
    assert after(edit_key={"key": "a", "value": "3"}) == {"a": "3", "b": "2"}
    assert after(delete_key={"key": "b"}) == {"a": "3"}
    assert after(replace={"replacement": {"c": "4"}}) == {"c": "4"}
    assert after(replace={}) == {}


def test_one_edit_that_cannot_be_made_makes_none(data: ApiClient) -> None:
    good, twice = {"repo": REPO, "edit_key": {"key": "b"}}, {"repo": REPO, "add_key": {"key": "b"}}
    code, text = data.error(EDIT, edits=[good, twice])
    assert (code, text) == ("FAILED_PRECONDITION", 'apply edits: edit #1: add_key target key "b" already exists; use edit_key instead')
    assert "metadata" not in data("pfs_v2.API/InspectRepo", repo={"name": "data"})


@pytest.mark.parametrize("edit", [{}, {"repo": REPO}, {"edit_key": {"key": "a"}}, {"repo": REPO, "edit_key": {"value": "a"}}])
def test_an_edit_says_of_what_and_what(data: ApiClient, edit: dict[str, object]) -> None:
    assert data.error(EDIT, edits=[edit])[0] == "INVALID_ARGUMENT"


def test_all_that_is_wrong_with_edits_is_said(lab: Lab) -> None:
    edits = [Edit(parse_repo("none"), {"a": "1"}), Edit("no-project", {"a": "1"})]
    with pytest.raises(EditsFailed, match="edit #0: repo default/none not found; edit #1: project") as raised:
        lab.runner.edit_metadata(edits)
    assert (raised.value.grpc_code, raised.value.exit_status) == (NotFound.grpc_code, NotFound.exit_status)
    assert Refused.grpc_code != NotFound.grpc_code


def test_a_thing_that_is_made_anew_has_none_of_those_of_the_old(lab: Lab) -> None:
    lab.put("images@master", {"/a": "1"})
    lab.pipeline("copy", "images:/*")
    targets = ["default", *(parse(f"images{at}") for parse, at in ((parse_repo, ""), (parse_branch, "@master"), (parse_commit, "@master")))]
    for target in (*targets, PipelineRef("default", "copy")):
        lab.runner.edit_metadata([Edit(target, {"a": "1"})])
    assert lab.runner.inspect_pipeline(PipelineRef("default", "copy")).metadata == {"a": "1"}
    lab.runner.delete_project("default", force=True)
    with lab.runner.database.read() as session:
        assert not session.connection.execute("SELECT name FROM setting WHERE name LIKE 'metadata%'").fetchall()
    assert lab.runner.fsck() == []


def test_a_new_version_of_a_pipeline_keeps_them(lab: Lab) -> None:
    lab.put("images@master", {"/a": "1"})
    lab.pipeline("copy", "images:/*")
    lab.runner.edit_metadata([Edit(PipelineRef("default", "copy"), {"a": "1"})])
    lab.pipeline("copy", "images:/*", update=True)
    assert lab.runner.inspect_pipeline(PipelineRef("default", "copy")).metadata == {"a": "1"}
