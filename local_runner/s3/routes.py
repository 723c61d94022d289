"""Which function serves a request: a table by method and by the parameters that name a sub-resource."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from local_runner.errors import AlreadyExists, Invalid, LocalRunnerError, NotEmpty, NotFound
from local_runner.model.names import check_branch
from local_runner.runner import Runner
from local_runner.s3.buckets import Bucket, Buckets, read_bucket_name
from local_runner.s3.documents import Field, read_document, timestamp, write_document
from local_runner.s3.errors import S3Error, as_s3_error
from local_runner.s3.listing import OWNER, list_objects
from local_runner.s3.multipart import Multipart
from local_runner.s3.objects import copy_object, delete_object, delete_objects, find_object, get_object, put_object
from local_runner.s3.request import Request, Response, names, xml_response
from local_runner.s3.uploads import Uploads
from local_runner.s3.versions import list_versions, set_versioning, versioning_status

LOCATION = "PACHYDERM"  # what the gateway of a cluster says
_MAX_LOCATION = 64 * 1024  # bytes
_METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")

# Parameters that ask for something else than the bucket or the object itself. What is not among the routes is refused.
SUB_RESOURCES = names(
    """
    accelerate acl analytics attributes cors delete encryption intelligent-tiering inventory legal-hold lifecycle location
    logging metadataTable metrics notification object-lock ownershipControls partNumber policy policyStatus publicAccessBlock
    renameObject replication requestPayment restore retention select select-type session tagging torrent uploadId uploads
    versioning versions website
    """
)
Route = Callable[[Bucket, Request], Response]


class Gateway:
    """Answers requests about some buckets."""

    def __init__(self, runner: Runner, buckets: Buckets, uploads: Uploads) -> None:
        self._runner, self._buckets = runner, buckets
        parts = Multipart(runner, buckets, uploads)

        def on_objects(serve: Callable[[Runner, Bucket, Request], Response]) -> Route:
            return lambda bucket, request: serve(runner, bucket, request)

        # (method, sub-resources) -> what serves it; a key stands for "copy source" in the last two of objects.
        self._of_bucket: dict[tuple[str, frozenset[str]], Route] = {
            ("GET", frozenset()): on_objects(list_objects),
            ("HEAD", frozenset()): lambda bucket, request: Response(),
            ("GET", frozenset({"location"})): _location,
            ("GET", frozenset({"versioning"})): lambda bucket, request: versioning_status(bucket),
            ("PUT", frozenset({"versioning"})): set_versioning,
            ("GET", frozenset({"versions"})): on_objects(list_versions),
            ("GET", frozenset({"uploads"})): parts.list_uploads,
            ("POST", frozenset({"delete"})): on_objects(delete_objects),
            ("DELETE", frozenset()): self._delete_bucket,
        }
        self._of_object: dict[tuple[str, frozenset[str]], Route] = {
            ("GET", frozenset()): on_objects(get_object),
            ("GET", frozenset({"partNumber"})): on_objects(get_object),
            ("HEAD", frozenset()): on_objects(get_object),
            ("HEAD", frozenset({"partNumber"})): on_objects(get_object),
            ("GET", frozenset({"tagging"})): self._tags,
            ("PUT", frozenset()): self._put,
            ("DELETE", frozenset()): on_objects(delete_object),
            ("POST", frozenset({"uploads"})): parts.start,
            ("PUT", frozenset({"uploadId", "partNumber"})): lambda bucket, request: (
                parts.copy_part(bucket, request) if "x-amz-copy-source" in request.headers else parts.put_part(bucket, request)
            ),
            ("GET", frozenset({"uploadId"})): parts.list_parts,
            ("POST", frozenset({"uploadId"})): parts.complete,
            ("DELETE", frozenset({"uploadId"})): parts.abort,
        }

    def answer(self, request: Request) -> Response:
        """Raises `S3Error`, and nothing else that was foreseen."""
        if request.method not in _METHODS:
            raise S3Error("MethodNotAllowed")
        try:
            if not request.bucket:
                return self._service(request)
            wanted = frozenset(name for name, _ in request.target.query if name in SUB_RESOURCES)
            if not request.key and request.method == "PUT" and not wanted:
                return self._make_bucket(request)
            bucket = self._buckets.find(request.bucket)
            routes = self._of_object if request.key else self._of_bucket
            route = routes.get((request.method, wanted))
            if route is None:
                raise S3Error("NotImplemented" if wanted else "MethodNotAllowed")
            return route(bucket, request)
        except LocalRunnerError as error:
            raise as_s3_error(error) from error

    def _service(self, request: Request) -> Response:
        if request.target.path not in ("/", "") or request.method not in ("GET", "HEAD"):
            raise S3Error("MethodNotAllowed" if request.target.path == "/" else "InvalidBucketName")
        buckets: list[Field] = [("Bucket", [("Name", name), ("CreationDate", timestamp(created))]) for name, created in self._buckets.all()]
        return xml_response(write_document("ListAllMyBucketsResult", [OWNER, ("Buckets", buckets)]))

    def _put(self, bucket: Bucket, request: Request) -> Response:
        if "x-amz-copy-source" in request.headers:
            return copy_object(self._runner, self._buckets, bucket, request)
        return put_object(self._runner, bucket, request)

    def _make_bucket(self, request: Request) -> Response:
        """A branch, and the repo of it if there is none."""
        if not self._buckets.can_change:
            raise S3Error("NotImplemented")
        body = request.body.whole(_MAX_LOCATION)
        if body:
            read_document(body, "CreateBucketConfiguration")
        bucket = read_bucket_name(request.bucket)
        if bucket.commit.id:
            raise S3Error("InvalidBucketName", "A bucket that is a commit cannot be made: put an object on a branch.")
        branch = bucket.branch
        try:
            check_branch(branch.name)
            with contextlib.suppress(AlreadyExists):
                self._runner.create_repo(branch.repo)
            if branch in self._runner.inspect_repo(branch.repo).branches:
                raise S3Error("BucketAlreadyOwnedByYou")
            self._runner.create_branch(branch)
        except (Invalid, NotFound) as error:
            raise S3Error("InvalidBucketName", as_s3_error(error).message) from None
        return Response(200, {"Location": f"/{bucket.name}"})

    def _delete_bucket(self, bucket: Bucket, request: Request) -> Response:
        """Take away a branch without files, and with the last branch its repo."""
        if not self._buckets.can_change:
            raise S3Error("NotImplemented")
        if bucket.commit.id:
            raise S3Error("NotImplemented", "A bucket that is a commit cannot be deleted: drop commit or squash commit removes it.")
        try:
            self._runner.delete_empty_branch(bucket.branch)
        except NotEmpty:
            raise S3Error("BucketNotEmpty") from None
        return Response(204)

    def _tags(self, bucket: Bucket, request: Request) -> Response:
        """No object has tags; but clients that copy large ones ask."""
        find_object(self._runner, bucket, request.key, request.value("versionId"))
        return xml_response(write_document("Tagging", [("TagSet", [])]))


def _location(bucket: Bucket, request: Request) -> Response:
    return xml_response(write_document("LocationConstraint", LOCATION))
