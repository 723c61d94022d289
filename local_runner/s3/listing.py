"""Lists of the objects in a bucket, in both versions of S3's request, page by page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

from local_runner.model.repos import CommitInfo, FileInfo
from local_runner.runner import Runner
from local_runner.s3.bodies import ending
from local_runner.s3.buckets import Bucket, commit_of, exact
from local_runner.s3.documents import Field, timestamp, write_document
from local_runner.s3.errors import S3Error
from local_runner.s3.request import Request, Response, xml_response

MAX_KEYS = 1000
OWNER: Field = ("Owner", [("ID", "0" * 32), ("DisplayName", "pachyderm")])


@dataclass(slots=True)
class Page:
    """So many keys and common prefixes, in order; and whether there are more."""

    files: list[FileInfo] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    is_truncated: bool = False
    last: str = ""  # key or prefix


def list_objects(runner: Runner, bucket: Bucket, request: Request) -> Response:
    """A page of a bucket's objects. Raises `S3Error` for parameters that are none."""
    newer = request.value("list-type") == "2"
    if request.value("list-type", "2") != "2":
        raise S3Error("InvalidArgument", "Invalid list-type")
    written = key_writer(request)
    prefix, delimiter, most = request.value("prefix"), request.value("delimiter"), min(request.number("max-keys", MAX_KEYS), MAX_KEYS)
    after = _after(request) if newer else request.value("marker")
    commit = commit_of(runner, bucket) if bucket.readable else None
    page = read_page(runner, commit, prefix, delimiter, after, most) if commit else Page()

    fields: list[Field] = [("Name", bucket.name), ("Prefix", written(prefix)), ("MaxKeys", most), ("IsTruncated", page.is_truncated)]
    if delimiter:
        fields.append(("Delimiter", written(delimiter)))
    if request.value("encoding-type"):
        fields.append(("EncodingType", "url"))
    if newer:
        fields += _newer_fields(request, page, written)
    else:
        fields.append(("Marker", written(after)))
        if page.is_truncated:
            fields.append(("NextMarker", written(page.last)))
    has_owner = not newer or request.value("fetch-owner") == "true"
    if commit:
        fields += [("Contents", _contents(info, commit, written, has_owner)) for info in page.files]
    fields += [("CommonPrefixes", [("Prefix", written(found))]) for found in page.prefixes]
    return xml_response(write_document("ListBucketResult", fields))


def read_page(runner: Runner, commit: CommitInfo, prefix: str, delimiter: str, after: str, most: int) -> Page:
    """What follows `after`, at most so much. A slash before the prefix is nothing: "/" means everything, as on a cluster."""
    page = Page()
    if not most:
        return page
    query = exact(commit)
    top = "/" + prefix.removeprefix("/")
    with ending(runner.scan_file(query, top, "/" + after if after else "", delimiter)) as found:
        for item in found:
            if len(page.files) + len(page.prefixes) == most:
                page.is_truncated = True
                break
            if isinstance(item, str):
                page.prefixes.append(item[1:])
                page.last = item[1:]
            else:
                page.files.append(item)
                page.last = item.path[1:]
    return page


def key_writer(request: Request) -> Callable[[str], str]:
    """How keys are written in an answer: quoted if the client wants that."""
    encoding = request.value("encoding-type")
    if encoding not in ("", "url"):
        raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request")
    return (lambda key: quote(key, safe="/-_.~")) if encoding else (lambda key: key)


def modified(info: FileInfo, commit: CommitInfo) -> float:
    """When a file was last changed, as far as S3 is told: when its commit was closed, or, while it is open, started."""
    return info.committed if info.committed is not None else commit.started


def etag(info: FileInfo) -> str:
    """The entity tag of a file: Pachyderm's hash of it."""
    return f'"{info.hash.hex()}"'


def _contents(info: FileInfo, commit: CommitInfo, written: Callable[[str], str], has_owner: bool) -> list[Field]:
    fields: list[Field] = [
        ("Key", written(info.path[1:])),
        ("LastModified", timestamp(modified(info, commit))),
        ("ETag", etag(info)),
        ("Size", info.size),
        ("StorageClass", "STANDARD"),
    ]
    return [*fields, OWNER] if has_owner else fields


def _newer_fields(request: Request, page: Page, written: Callable[[str], str]) -> list[Field]:
    fields: list[Field] = [("KeyCount", len(page.files) + len(page.prefixes))]
    for name, tag in (("continuation-token", "ContinuationToken"), ("start-after", "StartAfter")):
        if request.value(name):
            fields.append((tag, written(request.value(name)) if tag == "StartAfter" else request.value(name)))
    if page.is_truncated:
        fields.append(("NextContinuationToken", base64.urlsafe_b64encode(page.last.encode()).decode()))
    return fields


def _after(request: Request) -> str:
    token = request.value("continuation-token")
    if not request.has("continuation-token"):
        return request.value("start-after")
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect") from None
