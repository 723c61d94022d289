"""One object at a time: what is put is got, in whole and in part, under conditions, as it was before, and copied."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.model.refs import parse_branch, parse_commit
from local_runner.s3.conditions import read_range
from local_runner.s3.errors import S3Error
from tests.s3.conftest import Gateway


def test_what_is_put_is_got_and_is_a_commit(gateway: Gateway) -> None:
    gateway.lab.repo("data")
    client = gateway.client()
    client.create_bucket(Bucket="data")
    put = client.put_object(Bucket="data", Key="dir/file", Body=b"content")
    got = client.get_object(Bucket="data", Key="dir/file")
    head = gateway.lab.head("data@master")
    assert (got["Body"].read(), got["ETag"], got["VersionId"]) == (b"content", put["ETag"], head.id)
    assert put["VersionId"] == head.id
    assert gateway.lab.files("data@master") == {"/dir/file": "content"}


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 3 * 1024 * 1024 + 7])
def test_content_of_any_size_comes_back(gateway: Gateway, size: int) -> None:
    gateway.lab.put("data@master", {"/other": ""})
    content = bytes(number * 7 & 255 for number in range(min(size, 4099))) * (size // 4099 + 1)
    gateway.client().put_object(Bucket="data", Key="file", Body=content[:size])
    assert gateway.client().get_object(Bucket="data", Key="file")["Body"].read() == content[:size]


def test_a_put_into_an_open_commit_joins_it(gateway: Gateway) -> None:
    gateway.lab.put("data@master", {"/a": "1"})
    open_commit = gateway.lab.runner.start_commit(parse_branch("data@master"))
    for number in range(3):
        gateway.client().put_object(Bucket="data", Key=f"n/{number}", Body=b"x")
    gateway.lab.runner.finish_commit(parse_commit("data@master"))
    assert gateway.lab.head("data@master") == open_commit
    assert sorted(gateway.lab.files("data@master")) == ["/a", "/n/0", "/n/1", "/n/2"]


def test_a_version_is_a_commit(gateway: Gateway) -> None:
    first = gateway.lab.put("data@master", {"/a": "one", "/b": "b"})
    second = gateway.lab.put("data@master", {"/a": "two"})
    third = gateway.lab.put("data@master", {"/a": None})
    client = gateway.client()
    assert client.get_object(Bucket="data", Key="a", VersionId=first.id)["Body"].read() == b"one"
    assert gateway.ask("GET", "/data/a").code == "NoSuchKey"
    listed = client.list_object_versions(Bucket="data", Prefix="a")
    assert [(item["VersionId"], item["IsLatest"]) for item in listed["DeleteMarkers"]] == [(third.id, True)]
    assert [(item["VersionId"], item["Size"]) for item in listed["Versions"]] == [(second.id, 3), (first.id, 3)]
    for version, code in ((first.id[:-1] + "x", "InvalidArgument"), ("09abcd098faa4fd98643023485739adb", "NoSuchVersion")):
        assert gateway.ask("GET", f"/data/a?versionId={version}").code == code
    assert gateway.ask("DELETE", f"/data/a?versionId={first.id}").code == "NotImplemented"


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_versions_come_in_pages(gateway: Gateway, size: int) -> None:
    for number in range(3):
        gateway.lab.put("data@master", {"/a": str(number), f"/d/{number}": "x"})
    pages = gateway.client().get_paginator("list_object_versions").paginate(Bucket="data", PaginationConfig={"PageSize": size})
    assert [item["Key"] for page in pages for item in page["Versions"]] == ["a", "a", "a", "d/0", "d/1", "d/2"]
    grouped = gateway.client().list_object_versions(Bucket="data", Delimiter="/")
    assert [item["Prefix"] for item in grouped["CommonPrefixes"]] == ["d/"]


@given(first=st.none() | st.integers(0, 12), last=st.none() | st.integers(0, 12), size=st.integers(0, 10))
def test_a_range_is_what_a_slice_is(first: int | None, last: int | None, size: int) -> None:
    content = bytes(range(size))
    text = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    if first is None:
        wanted = content if last is None else content[max(size - last, 0) :] if last else b""
    else:
        wanted = content if last is not None and last < first else content[first : None if last is None else last + 1]
    is_range = (first is not None or last is not None) and not (None not in (first, last) and last < first)  # type: ignore[operator]
    if is_range and not wanted:
        with pytest.raises(S3Error, match="InvalidRange"):
            read_range(text, size)
        return
    found = read_range(text, size)
    assert (content if found is None else content[found[0] : found[1] + 1]) == wanted


@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "bytes=x-", "lines=1-2", "bytes=-", ""])
def test_several_ranges_and_none_give_everything(asked: str) -> None:
    assert read_range(asked, 10) is None


def test_a_range_outside_says_how_long_the_object_is(gateway: Gateway) -> None:
    gateway.lab.put("data@master", {"/a": "12345"})
    answer = gateway.ask("GET", "/data/a", headers={"Range": "bytes=5-"})
    assert (answer.status, answer.code, answer.headers["content-range"]) == (416, "InvalidRange", "bytes */5")
    part = gateway.ask("GET", "/data/a", headers={"Range": "bytes=1-2"})
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"23", "bytes 1-2/5")


def test_conditions_of_reading(gateway: Gateway) -> None:
    gateway.lab.put("data@master", {"/a": "1"})
    tag = gateway.ask("HEAD", "/data/a").headers["etag"]
    early, late = "Mon, 01 Jan 2001 00:00:00 GMT", "Tue, 01 Jan 2105 00:00:00 GMT"
    for header, value, status in [
        ("If-Match", tag, 200),
        ("If-Match", tag.strip('"'), 200),
        ("If-Match", '"other"', 412),
        ("If-None-Match", tag, 304),
        ("If-None-Match", "*", 304),
        ("If-None-Match", '"other"', 200),
        ("If-Modified-Since", early, 200),
        ("If-Modified-Since", late, 304),
        ("If-Unmodified-Since", early, 412),
        ("If-Unmodified-Since", late, 200),
        ("If-Modified-Since", "yesterday", 200),
    ]:
        assert gateway.ask("GET", "/data/a", headers={header: value}).status == status, (header, value)


def test_conditions_of_writing(gateway: Gateway) -> None:
    gateway.lab.put("data@master", {"/a": "1"})
    tag = gateway.ask("HEAD", "/data/a").headers["etag"]
    assert gateway.ask("PUT", "/data/a", "2", {"If-None-Match": "*"}).code == "PreconditionFailed"
    assert gateway.ask("PUT", "/data/b", "2", {"If-None-Match": "*"}).status == 200
    assert gateway.ask("PUT", "/data/a", "2", {"If-Match": '"other"'}).code == "PreconditionFailed"
    assert gateway.ask("PUT", "/data/a", "2", {"If-Match": tag}).status == 200
    assert gateway.ask("PUT", "/data/a", "3", {"If-Match": tag}).code == "PreconditionFailed"
    assert gateway.ask("PUT", "/data/no", "3", {"If-Match": tag}).code == "NoSuchKey"
    assert gateway.lab.files("data@master") == {"/a": "2", "/b": "2"}


def test_a_copy_is_another_name_for_the_same_content(gateway: Gateway) -> None:
    first = gateway.lab.put("data@master", {"/a b": "one"})
    gateway.lab.put("data@master", {"/a b": "two"})
    client = gateway.client()
    client.create_bucket(Bucket="other")
    client.copy_object(Bucket="other", Key="now", CopySource={"Bucket": "data", "Key": "a b"})
    client.copy_object(Bucket="other", Key="then", CopySource={"Bucket": "data", "Key": "a b", "VersionId": first.id})
    assert gateway.lab.files("other@master") == {"/now": "two", "/then": "one"}
    for source, condition, code in [
        ("data/none", {}, "NoSuchKey"),
        ("nothing/a", {}, "NoSuchBucket"),
        ("data", {}, "InvalidArgument"),
        ("other/now", {}, "InvalidRequest"),
        ("data/a%20b", {"x-amz-copy-source-if-match": "other"}, "PreconditionFailed"),
    ]:
        assert gateway.ask("PUT", "/other/now", headers={"x-amz-copy-source": source, **condition}).code == code
    assert gateway.lab.files("other@master") == {"/now": "two", "/then": "one"}


def test_what_is_deleted_twice_is_gone_once(gateway: Gateway) -> None:
    gateway.lab.put("data@master", {"/a": "1", "/d/b": "2", "/d/c": "3"})
    assert [gateway.ask("DELETE", "/data/a").status for _ in range(2)] == [204, 204]
    assert gateway.ask("DELETE", "/data/d").status == 204  # a folder is no object
    assert sorted(gateway.lab.files("data@master")) == ["/d/b", "/d/c"]


def test_many_are_deleted_as_one_commit(gateway: Gateway) -> None:
    gateway.lab.put("data@master", {f"/{number}": "x" for number in range(5)})
    before = len(list(gateway.lab.runner.list_commit(gateway.lab.repo("data"))))
    keys = [{"Key": str(number)} for number in range(4)] + [{"Key": "no*path"}, {"Key": "../up"}, {"Key": "never"}]
    answer = gateway.client().delete_objects(Bucket="data", Delete={"Objects": keys})
    assert [item["Key"] for item in answer["Deleted"]] == ["0", "1", "2", "3", "never"]
    assert [(item["Key"], item["Code"]) for item in answer["Errors"]] == [("no*path", "InvalidFilePath"), ("../up", "InvalidFilePath")]
    assert gateway.lab.files("data@master") == {"/4": "x"}
    assert len(list(gateway.lab.runner.list_commit(gateway.lab.repo("data")))) == before + 1


@pytest.mark.parametrize(
    ("path", "content", "type"),
    [
        ("a.csv", "1,2", "text/csv; charset=utf-8"),
        ("a.json", "{}", "application/json"),
        ("a.png", "x", "image/png"),
        ("plain", "text", "text/plain; charset=utf-8"),
        ("empty", "", "text/plain; charset=utf-8"),
        ("a.bin", "\0\1", "application/octet-stream"),
        ("a.tar.gz", "\x1f\x00", "application/octet-stream"),
    ],
)
def test_the_type_is_told_by_name_and_content(gateway: Gateway, path: str, content: str, type: str) -> None:
    gateway.lab.put("data@master", {f"/{path}": content})
    assert gateway.ask("HEAD", f"/data/{path}").headers["content-type"] == type
    assert gateway.ask("GET", f"/data/{path}?response-content-type=text/x").headers["content-type"] == "text/x"


def test_the_output_of_a_pipeline_is_read_and_not_written(gateway: Gateway) -> None:
    gateway.lab.put("data@master", {"/a": "1"})
    gateway.lab.pipeline("p")
    waiting = gateway.ask("GET", "/p/a")
    assert waiting.status in (404, 503)
    gateway.lab.run_all()
    assert gateway.ask("GET", "/p/a").body == b"1"
    for answer in (gateway.ask("PUT", "/p/a", "2"), gateway.ask("DELETE", "/p/a")):
        assert (answer.status, answer.code) == (400, "WriteToOutputBranch")
    assert gateway.lab.files("p@master") == {"/a": "1"}


@pytest.mark.parametrize(
    "key", ["a//b", "/a", "a/./b", "a/../../b", "..", "a*b", "a%5Bb", "%C3%A4", "a%00b", "a%0Ab", "a/", "x" * 1025, "%7F"]
)
def test_keys_that_no_file_can_have_are_refused(gateway: Gateway, key: str) -> None:
    gateway.lab.put("data@master", {"/there": "1"})
    answer = gateway.ask("PUT", f"/data/{key}", "content")
    assert (answer.status, answer.code) == (400, "InvalidFilePath")
    assert gateway.ask("GET", f"/data/{key}").code == "NoSuchKey"
    assert gateway.lab.files("data@master") == {"/there": "1"}


def test_a_file_under_a_file_is_refused_with_the_reason(gateway: Gateway) -> None:
    gateway.lab.put("data@master", {"/a": "1"})
    before = gateway.lab.head("data@master")
    answer = gateway.ask("PUT", "/data/a/b", "2")
    assert answer.status in (200, 400)
    if answer.status == 400:
        assert gateway.lab.head("data@master") == before


@given(content=st.binary(max_size=300))
@settings(max_examples=25)
def test_sums_are_compared_with_what_came(gateway: Gateway, content: bytes) -> None:
    gateway.lab.put("data@master", {"/a": "before"})
    wrong = hashlib.sha256(content + b"x").hexdigest()
    assert gateway.ask("PUT", "/data/a", content, {"x-amz-content-sha256": wrong}).code == "XAmzContentSHA256Mismatch"
    assert gateway.ask("PUT", "/data/a", content, {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}).code == "BadDigest"
    assert gateway.ask("PUT", "/data/a", content, {"Content-MD5": "short"}).code == "InvalidDigest"
    assert gateway.lab.files("data@master") == {"/a": "before"}


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_each_sum_of_a_client_fits(gateway: Gateway, algorithm: str) -> None:
    gateway.lab.put("data@master", {"/a": "before"})
    answer: dict[str, Any] = gateway.client().put_object(Bucket="data", Key="a", Body=b"after", ChecksumAlgorithm=algorithm)
    assert answer[f"Checksum{algorithm}"]
    assert gateway.lab.files("data@master") == {"/a": "after"}


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/data?acl", "NotImplemented"),
        ("GET", "/data?policy", "NotImplemented"),
        ("PUT", "/data/a?tagging", "NotImplemented"),
        ("POST", "/data/a?select&select-type=2", "NotImplemented"),
        ("POST", "/data", "MethodNotAllowed"),
        ("POST", "/data/a", "MethodNotAllowed"),
        ("PATCH", "/data/a", "MethodNotAllowed"),
        ("OPTIONS", "/data/a", "MethodNotAllowed"),
        ("PUT", "/", "MethodNotAllowed"),
        ("GET", "/data/a?partNumber=2", "NotImplemented"),
    ],
)
def test_what_is_not_served_says_so(gateway: Gateway, method: str, path: str, code: str) -> None:
    gateway.lab.put("data@master", {"/a": "1"})
    assert gateway.ask(method, path, b"").code == code


def test_promises_that_are_not_kept_are_not_given(gateway: Gateway) -> None:
    gateway.lab.put("data@master", {"/a": "1"})
    for header in ("x-amz-server-side-encryption-customer-algorithm", "x-amz-object-lock-mode", "x-amz-tagging"):
        assert gateway.ask("PUT", "/data/a", "2", {header: "x"}).code == "NotImplemented"
    assert gateway.lab.files("data@master") == {"/a": "1"}
