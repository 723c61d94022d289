"""Lists of objects: whatever the keys, prefixes, delimiters and sizes of pages are, they are those of S3."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.model.refs import parse_commit
from local_runner.repos.scan import scan_file
from tests.s3.conftest import Gateway
from tests.support.lab import Lab

KEYS = ["0", "a", "a-b/c", "a.txt", "a/b", "a/b/c", "a/b0", "ab", "b/1", "b/2", "b/x y", "b/~", "c/d/e/f", "z"]
PREFIXES = ["", "/", "a", "a/", "a/b", "a/b/", "b/", "b/1", "c/d", "no", "/a", "z"]


def by_the_rules(keys: list[str], prefix: str, delimiter: str, after: str) -> list[str]:
    """Keys and common prefixes after a marker, in order, as the S3 reference says."""
    found = []
    prefix = prefix.removeprefix("/")
    for key in sorted(key for key in keys if key.startswith(prefix)):
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        name = key if cut < 0 else key[: cut + len(delimiter)]
        if name > after and name not in found and not (cut >= 0 and after.startswith(name)):
            found.append(name)
    return found


@given(
    keys=st.lists(st.sampled_from(KEYS), unique=True).filter(lambda keys: not {"a", "a/b"} <= {*keys}),
    prefix=st.sampled_from(PREFIXES),
    delimiter=st.sampled_from(["", "/", "b", "/b", "~"]),
    after=st.sampled_from(["", *KEYS, "a/", "b/", "b/1/2", "~"]),
)
@settings(max_examples=60)
def test_a_scan_gives_what_the_rules_say(lab: Lab, keys: list[str], prefix: str, delimiter: str, after: str) -> None:
    lab.runner.delete_all()
    lab.put("data@master", {f"/{key}": "x" for key in keys if not _is_folder_of_another(key, keys)})
    keys = [path[1:] for path in lab.files("data@master")]
    top, marker = "/" + prefix.removeprefix("/"), f"/{after}" if after else ""
    with lab.runner.database.read() as session:
        found = list(scan_file(session, parse_commit("data@master"), top, marker, delimiter))
    names = [item[1:] if isinstance(item, str) else item.path[1:] for item in found]
    # The slash before every path is none of the key's.
    assert names == by_the_rules(keys, prefix, delimiter, after)


def _is_folder_of_another(key: str, keys: list[str]) -> bool:
    return any(other.startswith(f"{key}/") for other in keys)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("prefix", ["", "a", "b/"])
def test_pages_of_any_size_are_together_the_whole_list(gateway: Gateway, size: int, delimiter: str, prefix: str) -> None:
    keys = [key for key in KEYS if not _is_folder_of_another(key, KEYS)]
    gateway.lab.put("data@master", {f"/{key}": key for key in keys})
    client = gateway.client()
    for operation in ("list_objects", "list_objects_v2"):
        pages = client.get_paginator(operation).paginate(
            Bucket="data", Prefix=prefix, Delimiter=delimiter, PaginationConfig={"PageSize": size}
        )
        found = [sorted(_names(page)) for page in pages]
        assert [name for names in found for name in names] == by_the_rules(keys, prefix, delimiter, ""), operation
        assert all(len(page) <= size for page in found)


def _names(page: dict[str, Any]) -> list[str]:
    return [item["Key"] for item in page.get("Contents", [])] + [item["Prefix"] for item in page.get("CommonPrefixes", [])]


def test_a_list_says_size_time_and_tag_of_each(gateway: Gateway) -> None:
    gateway.lab.put("data@master", {"/dir/file": "content"})
    client = gateway.client()
    listed = client.list_objects_v2(Bucket="data", FetchOwner=True)["Contents"][0]
    looked_at = client.head_object(Bucket="data", Key="dir/file")
    assert (listed["Key"], listed["Size"], listed["StorageClass"]) == ("dir/file", 7, "STANDARD")
    assert (listed["ETag"], listed["LastModified"]) == (looked_at["ETag"], looked_at["LastModified"])
    assert listed["Owner"]["DisplayName"] == "pachyderm"


def test_no_keys_and_very_many_keys_can_be_asked_for(gateway: Gateway) -> None:
    gateway.lab.put("data@master", {f"/{number:04}": "" for number in range(1005)})
    client = gateway.client()
    none = client.list_objects_v2(Bucket="data", MaxKeys=0)
    assert (none["KeyCount"], none["IsTruncated"]) == (0, False)
    many = client.list_objects_v2(Bucket="data", MaxKeys=100_000)
    assert (many["KeyCount"], many["MaxKeys"], many["IsTruncated"]) == (1000, 1000, True)
    rest = client.list_objects_v2(Bucket="data", StartAfter="1002")
    assert _names(rest) == ["1003", "1004"]


def test_a_commit_is_a_bucket_that_stays_as_it_is(gateway: Gateway) -> None:
    first = gateway.lab.put("data@master", {"/a": "1"})
    gateway.lab.put("data@master", {"/b": "2"})
    client = gateway.client()
    assert _names(client.list_objects_v2(Bucket=f"{first.id}.data")) == ["a"]
    assert _names(client.list_objects_v2(Bucket=f"{first.id}.master.data.default")) == ["a"]
    assert _names(client.list_objects_v2(Bucket="data")) == ["a", "b"]
    written = gateway.ask("PUT", f"/{first.id}.data/c", "x")
    assert (written.status, written.code) == (400, "InvalidRequest")


@pytest.mark.parametrize(
    "parameters", ["max-keys=-1", "max-keys=x", "max-keys=²", "list-type=3", "encoding-type=base64", "list-type=2&continuation-token=%21"]
)
def test_parameters_that_mean_nothing_are_refused(gateway: Gateway, parameters: str) -> None:
    gateway.lab.put("data@master", {"/a": "1"})
    answer = gateway.ask("GET", f"/data?{parameters.replace('²', '%C2%B2')}")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_an_old_list_without_quotes_shows_any_prefix(gateway: Gateway) -> None:
    gateway.lab.put("data@master", {"/a": "1"})
    answer = gateway.ask("GET", "/data?prefix=%01%3C%26")
    assert answer.document("ListBucketResult").value("Prefix") == "\ufffd<&"
