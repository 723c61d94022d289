"""One object: look at it, read it, write it, copy it, delete it; and many at once."""

from __future__ import annotations

import contextlib
import mimetypes
import time
from collections.abc import Iterator
from urllib.parse import unquote

from local_runner.errors import ChangedMeanwhile, Invalid, NotFound, Refused
from local_runner.model.names import check_path, is_id
from local_runner.model.refs import CommitQuery, FileQuery
from local_runner.model.repos import CommitInfo, FileInfo
from local_runner.repos.file_changes import FileChanges
from local_runner.runner import Runner
from local_runner.s3.bodies import ending
from local_runner.s3.buckets import Bucket, Buckets, commit_of, exact
from local_runner.s3.checksums import echoed
from local_runner.s3.conditions import check_conditions, read_range
from local_runner.s3.documents import MAX_DOCUMENT, Field, read_document, timestamp, write_document
from local_runner.s3.errors import S3Error, as_s3_error
from local_runner.s3.listing import etag, modified
from local_runner.s3.request import MAX_KEY, Request, Response, http_date, xml_response

_MAX_DELETED = 1000
_SNIFFED = 512  # bytes that tell text from other content
_BINARY = frozenset(range(32)) - frozenset(b"\t\n\f\r\x1b")
_TYPES = mimetypes.MimeTypes()  # the same on every machine
_OVERRIDES = {  # parameters that set a header of the answer
    f"response-{name.lower()}": name
    for name in ("Content-Type", "Content-Language", "Expires", "Cache-Control", "Content-Disposition", "Content-Encoding")
}
_PROMISES = ("x-amz-server-side-encryption-customer-algorithm", "x-amz-object-lock-mode", "x-amz-object-lock-legal-hold", "x-amz-tagging")
Found = tuple[FileInfo, CommitInfo]
Expected = tuple[str, bytes | None]  # a path, and the hash of what lies there


# -- reading -----------------------------------------------------------------------------------------------------------


def find_object(runner: Runner, bucket: Bucket, key: str, version: str = "") -> Found:
    """The file behind a key, as it is, or as it was in the commit whose id is the version. Raises `NoSuchKey`, `NoSuchVersion`."""
    if not bucket.readable:
        raise S3Error("NoSuchKey")
    commit = _version(runner, bucket, version) if version else commit_of(runner, bucket)
    path = "/" + key
    if commit is not None and not key.startswith("/"):
        with ending(runner.scan_file(exact(commit), path)) as found:
            info = next(found, None)
        if isinstance(info, FileInfo) and info.path == path:
            return info, commit
    raise S3Error("NoSuchKey")


def get_object(runner: Runner, bucket: Bucket, request: Request) -> Response:
    """An object, or a part of it; without its content for HEAD."""
    if request.value("partNumber", "1") != "1":
        raise S3Error("NotImplemented", "Objects are not read part by part here: ask for a range of bytes.")
    info, commit = find_object(runner, bucket, request.key, request.value("versionId"))
    headers = {"ETag": etag(info), "Last-Modified": http_date(modified(info, commit)), "Accept-Ranges": "bytes"}
    if bucket.has_versions:
        headers["x-amz-version-id"] = commit.commit.id
    check_conditions(request.headers, etag(info), modified(info, commit))
    headers["Content-Type"] = _content_type(runner, info)
    headers |= {_OVERRIDES[name]: value for name, value in request.target.query if name in _OVERRIDES and value.isprintable()}
    wanted = read_range(request.headers.get("range", ""), info.size)
    first, last = wanted or (0, info.size - 1)
    if wanted:
        headers["Content-Range"] = f"bytes {first}-{last}/{info.size}"
    pieces = iter(()) if request.method == "HEAD" else cut(runner.read_content(info, first), last - first + 1)
    return Response(206 if wanted else 200, headers, pieces=pieces, size=last - first + 1)


def _version(runner: Runner, bucket: Bucket, version: str) -> CommitInfo:
    if not bucket.has_versions:
        raise S3Error("NotImplemented")
    if not is_id(version):
        raise S3Error("InvalidArgument", "Invalid version id specified")
    try:
        return runner.inspect_commit(CommitQuery(bucket.commit.repo, id=version))
    except NotFound:
        raise S3Error("NoSuchVersion") from None


def cut(content: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The first bytes of a content, which is closed after them."""
    with ending(content):
        while size > 0 and (piece := next(content, b"")):
            yield piece[:size]
            size -= len(piece)


def _content_type(runner: Runner, info: FileInfo) -> str:
    """By the end of the name, else by the first bytes: what was said when it was put is not kept."""
    named = _TYPES.guess_type(info.path)
    if named[0] and not named[1]:
        return f"{named[0]}; charset=utf-8" if named[0].startswith("text/") else named[0]
    head = b"".join(cut(runner.read_content(info), _SNIFFED))
    return "application/octet-stream" if _BINARY.intersection(head) else "text/plain; charset=utf-8"


# -- writing -----------------------------------------------------------------------------------------------------------


def put_object(runner: Runner, bucket: Bucket, request: Request) -> Response:
    """Write an object, as one commit, or into the open one."""
    check_writable(bucket)
    check_promises(request)
    path = writable_path(request.key)
    condition = expected(runner, bucket, request)
    with changing(runner, bucket) as changes:
        if condition:
            changes.expect(*condition)
        hash = changes.put(path, request.body)
    return Response(200, written(bucket, changes, hash) | echoed(request.headers))


def copy_object(runner: Runner, buckets: Buckets, bucket: Bucket, request: Request) -> Response:
    """Write an object that is another one's content, which is not read for it."""
    check_writable(bucket)
    check_promises(request)
    path = writable_path(request.key)
    source, key, version = copy_source(buckets, request)
    if (source.name, key, version) == (bucket.name, request.key, ""):
        raise S3Error("InvalidRequest", "source and destination are the same, and there is no metadata that a copy could change")
    info, commit = found_source(runner, source, key, version, request)
    with changing(runner, bucket) as changes:
        changes.copy(FileQuery(exact(commit), info.path), path)
    headers = written(bucket, changes, info.hash)
    if source.has_versions:
        headers["x-amz-copy-source-version-id"] = commit.commit.id
    told: list[Field] = [("LastModified", timestamp(time.time())), ("ETag", headers.pop("ETag"))]
    response = xml_response(write_document("CopyObjectResult", told))
    response.headers |= headers
    return response


def copy_source(buckets: Buckets, request: Request) -> tuple[Bucket, str, str]:
    """Bucket, key and version that a copy is made of. Raises `InvalidArgument`."""
    text, _, parameters = request.headers["x-amz-copy-source"].partition("?")
    name, slash, key = unquote(text).removeprefix("/").partition("/")
    version = parameters.removeprefix("versionId=") if parameters else ""
    if not slash or not key or (parameters and not version):
        raise S3Error("InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
    return buckets.find(name), key, version


def found_source(runner: Runner, source: Bucket, key: str, version: str, request: Request) -> Found:
    """The file that a copy is made of, if it is as the client wants it."""
    info, commit = find_object(runner, source, key, version)
    check_conditions(request.headers, etag(info), modified(info, commit), prefix="x-amz-copy-source-")
    return info, commit


def delete_object(runner: Runner, bucket: Bucket, request: Request) -> Response:
    """Take an object away; one that is not there is no error."""
    check_writable(bucket)
    if request.value("versionId"):
        raise S3Error("NotImplemented", "A version is a commit: drop commit or squash commit removes it.")
    if not request.key.endswith("/"):  # there are no empty folders
        path = writable_path(request.key)
        with changing(runner, bucket) as changes:
            changes.delete(path)
    return Response(204)


def delete_objects(runner: Runner, bucket: Bucket, request: Request) -> Response:
    """Take many objects away as one change; what cannot be deleted is named, and the others are."""
    check_writable(bucket)
    document = read_document(request.body.whole(MAX_DOCUMENT), "Delete")
    wanted = [(item.value("Key"), item.value("VersionId")) for item in document.all("Object")]
    if not 1 <= len(wanted) <= _MAX_DELETED or any(not key for key, _ in wanted):
        raise S3Error("MalformedXML")
    paths: list[str] = []
    told: list[Field] = []
    for key, version in wanted:
        try:
            if version:
                raise S3Error("NotImplemented", "A version is a commit: drop commit or squash commit removes it.")
            if not key.endswith("/"):
                paths.append(writable_path(key))
            if document.value("Quiet") != "true":
                told.append(("Deleted", [("Key", key)]))
        except S3Error as error:
            told.append(("Error", [("Key", key), ("Code", error.code), ("Message", error.message)]))
    if paths:
        with changing(runner, bucket) as changes:
            for path in paths:
                changes.delete(path)
    return xml_response(write_document("DeleteResult", told))


def check_writable(bucket: Bucket) -> None:
    if not bucket.writable:
        raise S3Error("NotImplemented")


def check_promises(request: Request) -> None:
    """Raises `NotImplemented` for what a client would rely on and does not get."""
    for name in _PROMISES:
        if name in request.headers:
            raise S3Error("NotImplemented", f"{name} is not served.")


def writable_path(key: str) -> str:
    """The path of a key that is to be written. Raises `InvalidFilePath`."""
    if len(key.encode()) > MAX_KEY:
        raise S3Error("InvalidFilePath", f"Your key is too long: it has more than {MAX_KEY} bytes.")
    if key.endswith("/"):
        raise S3Error("InvalidFilePath", "A key cannot end with a slash: a repo has no empty folders; put a file below it.")
    with as_file_path():
        return check_path("/" + key)


def expected(runner: Runner, bucket: Bucket, request: Request) -> Expected | None:
    """What a client says is there before it writes: no object, or a certain one. Raises `NoSuchKey` if there is none to be the one."""
    no_match, match = request.headers.get("if-none-match"), request.headers.get("if-match")
    if no_match is None and match is None:
        return None
    if not bucket.readable or (no_match is not None and (match is not None or no_match.strip() != "*")):
        raise S3Error("NotImplemented", "Of conditions of a write, If-None-Match: * and If-Match are served.")
    path = writable_path(request.key)
    if match is None:
        return path, None
    found = find_object(runner, bucket, request.key)[0]
    check_conditions({"if-match": match}, etag(found), 0.0)
    return path, found.hash


@contextlib.contextmanager
def changing(runner: Runner, bucket: Bucket) -> Iterator[FileChanges]:
    """Changes of a bucket's files, with the errors of S3."""
    query = bucket.commit
    try:
        with as_file_path(), runner.modify_file(query, as_job=bucket.is_output) as changes:
            yield changes
    except ChangedMeanwhile:
        raise S3Error("PreconditionFailed") from None
    except Refused as error:
        is_output = not query.id and bool(runner.inspect_branch(bucket.branch).direct_provenance)
        raise S3Error("WriteToOutputBranch" if is_output else "InvalidRequest", "" if is_output else as_s3_error(error).message) from None


@contextlib.contextmanager
def as_file_path() -> Iterator[None]:
    """What a path is refused for, as an error of S3."""
    try:
        yield
    except Invalid as error:
        raise S3Error("InvalidFilePath", as_s3_error(error).message) from None


def written(bucket: Bucket, changes: FileChanges, hash: bytes) -> dict[str, str]:
    """Headers about an object that was just written: its tag, and the commit it is in."""
    version = {"x-amz-version-id": changes.commit.id} if changes.commit and bucket.has_versions else {}
    return {"ETag": f'"{hash.hex()}"', **version}
