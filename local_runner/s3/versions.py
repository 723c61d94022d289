"""Versions of objects: what each commit of a branch changed. The id of a version is that of its commit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from local_runner.model.refs import FileQuery
from local_runner.model.repos import CommitInfo, FileInfo
from local_runner.runner import Runner
from local_runner.s3.buckets import Bucket, commit_of, exact
from local_runner.s3.documents import Field, read_document, timestamp, write_document
from local_runner.s3.errors import S3Error
from local_runner.s3.listing import MAX_KEYS, OWNER, etag, key_writer
from local_runner.s3.request import Request, Response, xml_response

_MAX_STATUS = 64 * 1024  # bytes


class Version(NamedTuple):
    """What a commit made of an object: other content, or nothing."""

    key: str
    commit: CommitInfo
    file: FileInfo | None
    is_latest: bool


def list_versions(runner: Runner, bucket: Bucket, request: Request) -> Response:
    """A page of all versions, by key, and the newest of a key first. Looks through the whole history of the bucket for each page."""
    if not bucket.has_versions:
        raise S3Error("NotImplemented")
    written = key_writer(request)
    prefix, delimiter, most = request.value("prefix"), request.value("delimiter"), min(request.number("max-keys", MAX_KEYS), MAX_KEYS)
    key, id = request.value("key-marker"), request.value("version-id-marker")
    shown: list[Version | str] = []
    is_truncated, last = False, ("", "")
    for item in _grouped(_after(_versions(runner, bucket, prefix), key, id), prefix, delimiter):
        name, version = (item, "") if isinstance(item, str) else (item.key, item.commit.commit.id)
        if isinstance(item, str) and item <= key:
            continue
        if len(shown) == most:
            is_truncated = most > 0
            break
        shown.append(item)
        last = (name, version)
    fields: list[Field] = [
        ("Name", bucket.name),
        ("Prefix", written(prefix)),
        ("KeyMarker", written(key)),
        ("VersionIdMarker", id),
        ("MaxKeys", most),
        ("IsTruncated", is_truncated),
    ]
    if delimiter:
        fields.append(("Delimiter", written(delimiter)))
    if request.value("encoding-type"):
        fields.append(("EncodingType", "url"))
    if is_truncated:
        fields += [("NextKeyMarker", written(last[0])), ("NextVersionIdMarker", last[1])]
    for item in shown:
        if isinstance(item, str):
            fields.append(("CommonPrefixes", [("Prefix", written(item))]))
        else:
            fields.append(("Version" if item.file else "DeleteMarker", _about(item, written(item.key))))
    return xml_response(write_document("ListVersionsResult", fields))


def versioning_status(bucket: Bucket) -> Response:
    """Branches keep every commit: versioning is on, and cannot be turned off."""
    fields: list[Field] = [("Status", "Enabled")] if bucket.has_versions else []
    return xml_response(write_document("VersioningConfiguration", fields))


def set_versioning(bucket: Bucket, request: Request) -> Response:
    status = read_document(request.body.whole(_MAX_STATUS), "VersioningConfiguration").value("Status")
    if status not in ("Enabled", "Suspended", "Disabled"):
        raise S3Error("IllegalVersioningConfigurationException")
    if status != ("Enabled" if bucket.has_versions else "Disabled"):
        raise S3Error("NotImplemented", "A branch keeps all its commits: versioning cannot be turned off.")
    return Response()


def _versions(runner: Runner, bucket: Bucket, prefix: str) -> list[Version]:
    head = commit_of(runner, bucket)
    found: list[tuple[str, int, CommitInfo, FileInfo | None]] = []
    for age, commit in enumerate(_history(runner, head)):
        for new, old in runner.diff_file(FileQuery(exact(commit))):
            either = new or old
            path = either.path if either else "/"
            if not path.endswith("/") and path[1:].startswith(prefix.removeprefix("/")):
                found.append((path[1:], age, commit, new))
    found.sort(key=lambda item: item[:2])
    versions = []
    for key, of_key in groupby(found, key=lambda item: item[0]):
        versions += [Version(key, commit, file, number == 0) for number, (_, _, commit, file) in enumerate(of_key)]
    return versions


def _history(runner: Runner, head: CommitInfo | None) -> Iterator[CommitInfo]:
    """A commit and its parents, newest first."""
    if head:
        yield from runner.list_commit(head.commit.repo, to=exact(head))


def _after(versions: list[Version], key: str, id: str) -> Iterator[Version]:
    """Those after a version, or without an id after all of a key."""
    is_past = not id
    for version in versions:
        if version.key > key or (version.key == key and id and is_past):
            yield version
        is_past = is_past or (version.key == key and version.commit.commit.id == id)


def _grouped(versions: Iterator[Version], prefix: str, delimiter: str) -> Iterator[Version | str]:
    last = ""
    for version in versions:
        cut = version.key.find(delimiter, len(prefix.removeprefix("/"))) if delimiter else -1
        group = version.key[: cut + len(delimiter)] if cut >= 0 else ""
        if not group:
            yield version
        elif group != last:
            last = group
            yield group


def _about(version: Version, key: str) -> list[Field]:
    commit = version.commit
    fields: list[Field] = [
        ("Key", key),
        ("VersionId", commit.commit.id),
        ("IsLatest", version.is_latest),
        ("LastModified", timestamp(commit.finishing or commit.started)),
        OWNER,
    ]
    if version.file:
        fields += [("ETag", etag(version.file)), ("Size", version.file.size), ("StorageClass", "STANDARD")]
    return fields
