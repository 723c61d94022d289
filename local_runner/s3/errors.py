"""What S3 says of a request that fails: a code, a status and a sentence; and which of them an error of the runner becomes."""

from __future__ import annotations

from collections.abc import Mapping

from local_runner import errors

# Code -> status and sentence, in the words of the S3 reference and of Pachyderm's gateway, which clients match on.
CODES = {
    "AccessDenied": (403, "Access Denied"),
    "AuthorizationHeaderMalformed": (400, "The authorization header you provided is invalid."),
    "AuthorizationQueryParametersError": (400, "The authorization query parameters you provided are invalid."),
    "BadDigest": (400, "The Content-MD5 or checksum value that you specified did not match what the server received."),
    "BucketAlreadyOwnedByYou": (409, "The bucket you tried to create already exists, and you own it."),
    "BucketNotEmpty": (409, "The bucket you tried to delete is not empty."),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed object size."),
    "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed size: 5 MiB for each part but the last."),
    "IllegalVersioningConfigurationException": (400, "The versioning configuration specified in the request is invalid."),
    "IncompleteBody": (400, "You did not provide the number of bytes specified by the Content-Length HTTP header."),
    "InsufficientStorage": (507, "The disk of the server is full."),
    "InternalError": (500, "The server encountered an internal error."),
    "InvalidAccessKeyId": (403, "The AWS access key ID you provided does not exist in our records."),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidDigest": (400, "The Content-MD5 or checksum value that you specified is not valid."),
    "InvalidFilePath": (400, "Invalid file path"),
    "InvalidPart": (400, "One or more of the specified parts could not be found, or the entity tag of one did not match."),
    "InvalidPartOrder": (400, "The list of parts was not in ascending order."),
    "InvalidRange": (416, "The requested range is not satisfiable."),
    "InvalidRequest": (400, "Invalid Request"),
    "InvalidURI": (400, "The URI you specified could not be parsed."),
    "MalformedXML": (400, "The XML you provided was not well-formed or did not validate against the published schema."),
    "MaxMessageLengthExceeded": (400, "Your request was too big."),
    "MetadataTooLarge": (400, "The headers of your request are too large."),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "NoSuchBucket": (404, "The specified bucket does not exist."),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchUpload": (404, "The specified multipart upload does not exist. It may have been aborted or completed."),
    "NoSuchVersion": (404, "The version ID specified in the request does not match an existing version."),
    "NotImplemented": (501, "This functionality is not implemented."),
    "NotModified": (304, ""),
    "PreconditionFailed": (412, "At least one of the preconditions you specified did not hold."),
    "RequestTimeout": (400, "Your socket connection to the server was not read from or written to within the timeout period."),
    "RequestTimeTooSkewed": (403, "The difference between the request time and the server's time is too large."),
    "ServiceUnavailable": (503, "The server cannot do that now."),
    "SignatureDoesNotMatch": (403, "The request signature we calculated does not match the signature you provided."),
    "SlowDown": (503, "Please reduce your request rate."),
    "WriteToOutputBranch": (400, "You cannot write to an output branch"),
    "XAmzContentSHA256Mismatch": (400, "The provided 'x-amz-content-sha256' header does not match what was computed."),
}


class S3Error(Exception):
    """The end of a request that fails. `code` is one of `CODES`; a `message` replaces its sentence."""

    def __init__(self, code: str, message: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        self.code = code
        self.status, said = CODES[code]
        self.message = message or said
        self.headers = dict(headers or {})
        super().__init__(f"{code}: {self.message}")


def as_s3_error(error: errors.LocalRunnerError) -> S3Error:
    """What an error of the runner is to a client of S3: codes it knows, with the runner's own sentence where S3's says less."""
    for kind, code in _CODE_OF.items():
        if isinstance(error, kind):
            return S3Error(code, "" if code in _SAID_BY_S3 else _sentence(error))
    return S3Error("InternalError", _sentence(error))


def _sentence(error: errors.LocalRunnerError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message


_SAID_BY_S3 = ("NoSuchBucket", "NoSuchKey", "BucketAlreadyOwnedByYou")

# The first that fits counts, so kinds of a kind stand before it.
_CODE_OF: dict[type[errors.LocalRunnerError], str] = {
    errors.PathNotFound: "NoSuchKey",
    errors.NotFound: "NoSuchBucket",
    errors.AlreadyExists: "BucketAlreadyOwnedByYou",
    errors.Invalid: "InvalidArgument",
    errors.Refused: "InvalidRequest",
    errors.Unsupported: "NotImplemented",
    errors.ContentLost: "InternalError",
    errors.Busy: "SlowDown",
    errors.DiskFull: "InsufficientStorage",
    errors.Unavailable: "ServiceUnavailable",
}
