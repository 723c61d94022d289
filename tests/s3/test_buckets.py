"""Buckets are branches and commits, by the names that a cluster's gateway gives them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.errors import LocalRunnerError, NotEmpty
from local_runner.model.names import is_id
from local_runner.model.refs import BranchRef, CommitQuery, RepoRef, parse_branch, parse_repo
from local_runner.s3.buckets import bucket_name, read_bucket_name
from local_runner.s3.errors import S3Error
from tests.s3.conftest import Gateway
from tests.support.lab import Lab

ID = "09abcd098faa4fd98643023485739adb"
NAMES = st.text("abcXYZ019_-", min_size=1, max_size=40).filter(lambda name: not is_id(name))


@pytest.mark.parametrize(
    ("name", "repo", "branch", "id"),
    [
        ("data", "default/data", "master", ""),
        ("dev.data", "default/data", "dev", ""),
        ("dev.data.other", "other/data", "dev", ""),
        (f"{ID}.data", "default/data", "", ID),
        (f"{ID}.dev.data", "default/data", "dev", ID),
        (f"{ID}.dev.data.other", "other/data", "dev", ID),
    ],
)
def test_a_name_means_a_commit_a_branch_a_repo_and_a_project(name: str, repo: str, branch: str, id: str) -> None:
    project, _, repo_name = repo.partition("/")
    assert read_bucket_name(name).commit == CommitQuery(RepoRef(project, repo_name), branch, id)


@pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a..b", "a.b.c.d", f"{ID}.a.b.c.d", ID, "a b", "a/b", "ä", "a" * 256, "a@b", "a=b"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(S3Error) as error:
        read_bucket_name(name)
    assert error.value.code == "InvalidBucketName"


@given(NAMES, NAMES, NAMES)
def test_the_name_that_is_listed_leads_back_to_the_branch(project: str, repo: str, branch: str) -> None:
    ref = BranchRef(RepoRef(project, repo), branch)
    assert read_bucket_name(bucket_name(ref)).branch == ref


def test_every_branch_is_a_bucket_and_a_repo_without_branch_is_none(gateway: Gateway) -> None:
    gateway.lab.put("data@master", {"/a": "1"})
    gateway.lab.put("data@dev", {"/a": "1"})
    gateway.lab.repo("empty")
    listed = gateway.client().list_buckets()["Buckets"]
    assert [bucket["Name"] for bucket in listed] == ["dev.data.default", "master.data.default"]


def test_a_bucket_can_be_made_once_and_removed_when_it_is_empty(gateway: Gateway) -> None:
    client = gateway.client()
    client.create_bucket(Bucket="master.new")
    client.create_bucket(Bucket="dev.new")
    again = gateway.ask("PUT", "/master.new")
    assert (again.status, again.code) == (409, "BucketAlreadyOwnedByYou")
    assert "The bucket you tried to create already exists, and you own it." in again.body.decode()

    client.put_object(Bucket="master.new", Key="deep/file", Body=b"x")
    full = gateway.ask("DELETE", "/master.new")
    assert (full.status, full.code) == (409, "BucketNotEmpty")
    client.delete_object(Bucket="master.new", Key="deep/file")
    client.delete_bucket(Bucket="master.new")
    assert [str(info.repo) for info in gateway.lab.runner.list_repo()] == ["default/new"]
    client.delete_bucket(Bucket="dev.new")
    assert gateway.lab.runner.list_repo() == []
    assert gateway.ask("DELETE", "/dev.new").code == "NoSuchBucket"


def test_a_bucket_is_removed_with_its_repo_or_not_at_all(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    with pytest.raises(NotEmpty, match="default/data@master has files"):
        lab.runner.delete_empty_branch(parse_branch("data@master"))
    lab.put("data@master", {"/a": None})
    lab.pipeline("copy")
    lab.run_all()
    with pytest.raises(LocalRunnerError, match="associated with a pipeline"):
        lab.runner.delete_empty_branch(parse_branch("copy@master"))
    assert [info.branch.name for info in lab.runner.list_branch(parse_repo("copy"))] == ["master"]


@pytest.mark.parametrize("name", ["a%20b", "a.b.c.d", f"{ID}.data", "master.data.nowhere", f"{ID}.master.data"])
def test_a_bucket_that_cannot_be_leaves_nothing_behind(gateway: Gateway, name: str) -> None:
    assert gateway.ask("PUT", f"/{name}").code == "InvalidBucketName"
    assert gateway.lab.runner.list_repo() == []


def test_heads_say_which_buckets_there_are(gateway: Gateway) -> None:
    there = gateway.lab.put("data@master", {"/a": "1"})
    found = {name: gateway.ask("HEAD", f"/{name}").status for name in ("data", "dev.data", "nothing", f"{there.id}.data", f"{ID}.data")}
    assert found == {"data": 200, "dev.data": 404, "nothing": 404, f"{there.id}.data": 200, f"{ID}.data": 404}


def test_a_branch_without_commits_is_an_empty_bucket(gateway: Gateway) -> None:
    client = gateway.client()
    client.create_bucket(Bucket="master.data")
    assert client.list_objects_v2(Bucket="data")["KeyCount"] == 0
    assert gateway.ask("GET", "/data/file").code == "NoSuchKey"


def test_location_and_versioning_are_what_a_cluster_says(gateway: Gateway) -> None:
    gateway.lab.put("data@master", {"/a": "1"})
    client = gateway.client()
    assert client.get_bucket_location(Bucket="data")["LocationConstraint"] == "PACHYDERM"
    assert client.get_bucket_versioning(Bucket="data")["Status"] == "Enabled"
    client.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
    for status, code in (("Suspended", "NotImplemented"), ("Perhaps", "IllegalVersioningConfigurationException")):
        body = f"<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>"
        assert gateway.ask("PUT", "/data?versioning", body).code == code
