"""Objects that come in parts: start, bring parts, list, finish, give up."""

from __future__ import annotations

import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from itertools import pairwise
from threading import Thread
from typing import TypeVar

from local_runner.errors import LocalRunnerError
from local_runner.runner import Runner
from local_runner.s3.bodies import Checked, Pieces, ending
from local_runner.s3.buckets import Bucket, Buckets
from local_runner.s3.checksums import echoed
from local_runner.s3.conditions import read_range
from local_runner.s3.documents import HEAD, MAX_DOCUMENT, Element, Field, error_document, read_document, timestamp, write_document
from local_runner.s3.errors import S3Error, as_s3_error
from local_runner.s3.listing import MAX_KEYS, OWNER, key_writer
from local_runner.s3.objects import (
    Expected,
    changing,
    check_promises,
    check_writable,
    copy_source,
    cut,
    expected,
    found_source,
    writable_path,
    written,
)
from local_runner.s3.request import Request, Response, xml_response
from local_runner.s3.uploads import Joined, Part, Upload, Uploads

MAX_PARTS = 10_000
MIN_PART = 5 * 1024 * 1024  # bytes, of all but the last
_REMEMBERED = 1000  # finished uploads, for clients that ask again
_SILENT, _BREATH = 20.0, 10.0  # seconds until a client that waits for an object is sent a blank, and between blanks
_T = TypeVar("_T")


class Multipart:
    """The requests about parts."""

    def __init__(self, runner: Runner, buckets: Buckets, uploads: Uploads) -> None:
        self._runner, self._buckets, self._uploads = runner, buckets, uploads
        self._finished: OrderedDict[str, bytes] = OrderedDict()  # upload id -> answer

    def start(self, bucket: Bucket, request: Request) -> Response:
        check_writable(bucket)
        check_promises(request)
        writable_path(request.key)  # before gigabytes are sent
        upload = self._uploads.start(bucket.name, request.key)
        fields: list[Field] = [("Bucket", bucket.name), ("Key", request.key), ("UploadId", upload.id)]
        return xml_response(write_document("InitiateMultipartUploadResult", fields))

    def put_part(self, bucket: Bucket, request: Request) -> Response:
        upload, number = self._upload(bucket, request), _part_number(request)
        request.body.also("md5", hashlib.md5(usedforsecurity=False))
        part = self._uploads.take(upload, number, request.body)
        return Response(200, {"ETag": f'"{part.tag}"'} | echoed(request.headers))

    def copy_part(self, bucket: Bucket, request: Request) -> Response:
        """A part that is a range of another object."""
        upload, number = self._upload(bucket, request), _part_number(request)
        source, key, version = copy_source(self._buckets, request)
        info, commit = found_source(self._runner, source, key, version, request)
        text = request.headers.get("x-amz-copy-source-range", "")
        wanted = read_range(text, info.size)
        if text and wanted is None:
            raise S3Error("InvalidArgument", "The x-amz-copy-source-range value must be of the form bytes=first-last")
        first, last = wanted or (0, info.size - 1)
        with ending(cut(self._runner.read_content(info, first), last - first + 1)) as pieces:
            body = Checked(Pieces(pieces), {"md5": hashlib.md5(usedforsecurity=False)}, lambda digests: None)
            part = self._uploads.take(upload, number, body)
        response = xml_response(write_document("CopyPartResult", [("LastModified", timestamp(part.changed)), ("ETag", f'"{part.tag}"')]))
        if source.has_versions:
            response.headers["x-amz-copy-source-version-id"] = commit.commit.id
        return response

    def list_parts(self, bucket: Bucket, request: Request) -> Response:
        upload = self._upload(bucket, request)
        after, most = request.number("part-number-marker", 0), min(request.number("max-parts", MAX_KEYS), MAX_KEYS)
        left = [part for part in self._uploads.parts(upload) if part.number > after]
        fields: list[Field] = [
            ("Bucket", bucket.name),
            ("Key", key_writer(request)(upload.key)),
            ("UploadId", upload.id),
            ("Initiator", OWNER[1]),
            OWNER,
            ("StorageClass", "STANDARD"),
            ("PartNumberMarker", after),
            ("MaxParts", most),
            ("IsTruncated", len(left) > most > 0),
        ]
        shown = left[:most]
        if shown:
            fields.append(("NextPartNumberMarker", shown[-1].number))
        fields += [("Part", _part(part)) for part in shown]
        return xml_response(write_document("ListPartsResult", fields))

    def list_uploads(self, bucket: Bucket, request: Request) -> Response:
        if request.value("delimiter"):
            raise S3Error("NotImplemented", "Uploads are not grouped by a delimiter here.")
        written_key = key_writer(request)
        prefix, most = request.value("prefix"), min(request.number("max-uploads", MAX_KEYS), MAX_KEYS)
        key, id = request.value("key-marker"), request.value("upload-id-marker")
        left = [
            upload
            for upload in self._uploads.all(bucket.name)
            if upload.key.startswith(prefix) and (upload.key > key or (upload.key == key and bool(id) and upload.id > id))
        ]
        shown = left[:most]
        fields: list[Field] = [
            ("Bucket", bucket.name),
            ("KeyMarker", written_key(key)),
            ("UploadIdMarker", id),
            ("Prefix", written_key(prefix)),
            ("MaxUploads", most),
            ("IsTruncated", len(left) > most > 0),
        ]
        if len(left) > most > 0:
            fields += [("NextKeyMarker", written_key(shown[-1].key)), ("NextUploadIdMarker", shown[-1].id)]
        fields += [("Upload", _about(upload, written_key)) for upload in shown]
        return xml_response(write_document("ListMultipartUploadsResult", fields))

    def abort(self, bucket: Bucket, request: Request) -> Response:
        self._uploads.remove(self._upload(bucket, request))
        return Response(204)

    def complete(self, bucket: Bucket, request: Request) -> Response:
        """Write the object. A client that waits long is sent blanks, and then learns in the document how it ended, as in S3."""
        check_writable(bucket)
        wanted = _wanted(read_document(request.body.whole(MAX_DOCUMENT), "CompleteMultipartUpload"))
        done = self._finished.get(request.value("uploadId"))
        if done:
            return xml_response(HEAD + done)
        upload = self._upload(bucket, request)
        parts = _chosen(wanted, self._uploads.parts(upload))
        condition = expected(self._runner, bucket, request)
        future = _in_background(lambda: self._write(bucket, request, upload, parts, condition), self._runner)
        with contextlib.suppress(NotYet):
            return xml_response(HEAD + future.result(_SILENT))
        return Response(200, {"Content-Type": "application/xml"}, pieces=_with_blanks(future), size=-1)

    def _write(self, bucket: Bucket, request: Request, upload: Upload, parts: list[Part], condition: Expected | None) -> bytes:
        with changing(self._runner, bucket) as changes, contextlib.closing(Joined(parts)) as content:
            if condition:
                changes.expect(*condition)
            hash = changes.put(writable_path(request.key), content)
        tag = written(bucket, changes, hash)["ETag"]
        fields: list[Field] = [("Location", request.target.path), ("Bucket", bucket.name), ("Key", request.key), ("ETag", tag)]
        answer = write_document("CompleteMultipartUploadResult", fields).removeprefix(HEAD)
        self._finished[upload.id] = answer
        if len(self._finished) > _REMEMBERED:
            self._finished.popitem(last=False)
        self._uploads.remove(upload)
        return answer

    def _upload(self, bucket: Bucket, request: Request) -> Upload:
        check_writable(bucket)
        return self._uploads.find(request.value("uploadId"), bucket.name, request.key)


def _part_number(request: Request) -> int:
    number = request.number("partNumber", 0)
    if not 1 <= number <= MAX_PARTS:
        raise S3Error("InvalidArgument", f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive")
    return number


def _wanted(document: Element) -> list[tuple[int, str]]:
    """Numbers and tags of the parts that a client names, in its order."""
    named = [(part.value("PartNumber"), part.value("ETag").strip('"')) for part in document.all("Part")]
    if not named or any(not (number.isascii() and number.isdigit() and len(number) < 9) for number, _ in named):
        raise S3Error("MalformedXML")
    wanted = [(int(number), tag) for number, tag in named]
    if any(later[0] <= earlier[0] for earlier, later in pairwise(wanted)):
        raise S3Error("InvalidPartOrder")
    return wanted


def _chosen(wanted: list[tuple[int, str]], there: list[Part]) -> list[Part]:
    parts = {part.number: part for part in there}
    chosen = [parts.get(number) for number, _ in wanted]
    if any(part is None or part.tag != tag for part, (_, tag) in zip(chosen, wanted, strict=True)):
        raise S3Error("InvalidPart")
    found = [part for part in chosen if part is not None]
    if any(part.size < MIN_PART for part in found[:-1]):
        raise S3Error("EntityTooSmall")
    return found


def _part(part: Part) -> list[Field]:
    return [("PartNumber", part.number), ("LastModified", timestamp(part.changed)), ("ETag", f'"{part.tag}"'), ("Size", part.size)]


def _about(upload: Upload, written_key: Callable[[str], str]) -> list[Field]:
    return [
        ("Key", written_key(upload.key)),
        ("UploadId", upload.id),
        ("Initiator", OWNER[1]),
        OWNER,
        ("StorageClass", "STANDARD"),
        ("Initiated", timestamp(upload.started)),
    ]


def _in_background(work: Callable[[], _T], runner: Runner) -> Future[_T]:
    """Work done by a thread of its own."""
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
        finally:
            runner.close_thread()

    Thread(target=run, name="s3-complete").start()
    return future


def _with_blanks(future: Future[bytes]) -> Iterator[bytes]:
    yield HEAD
    while True:
        try:
            yield future.result(_BREATH)
            return
        except NotYet:
            yield b" "
        except LocalRunnerError as error:
            yield error_document(as_s3_error(error)).removeprefix(HEAD)
            return
        except S3Error as error:
            yield error_document(error).removeprefix(HEAD)
            return
