"""Whether a request was signed with the token: versions 4 and 2, in headers or in the address (presigned), and pieces of a body.

After the Signature Version 4 and Version 2 pages of the Amazon S3 reference. The secret is the token of the server; the access key is
the token, too, as on a cluster, or the word `pachyderm`, which does not send the token along.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote_to_bytes, urlencode

from local_runner.s3.errors import S3Error
from local_runner.s3.request import Pairs, Target, names

ACCESS_KEY = "pachyderm"
UNSIGNED = "UNSIGNED-PAYLOAD"
_SKEW = timedelta(minutes=15)
_LONGEST = 7 * 24 * 3600  # seconds that a presigned address may hold
_V4 = "AWS4-HMAC-SHA256"
_STAMP = "%Y%m%dT%H%M%SZ"
_HEADER = re.compile(
    rf"{_V4}\s+Credential=(?P<credential>[^,\s]+)\s*,\s*SignedHeaders=(?P<headers>[^,\s]+)\s*,\s*Signature=(?P<signature>[0-9a-f]{{64}})"
)
_CREDENTIAL = re.compile(r"(?P<key>.+)/(?P<date>\d{8})/(?P<region>[^/]*)/(?P<service>[^/]+)/aws4_request")
_EMPTY = hashlib.sha256(b"").hexdigest()

# Parameters that are part of what version 2 signs.
_V2_PARAMETERS = names(
    """
    acl accelerate cors delete lifecycle location logging notification partNumber policy requestPayment tagging torrent uploadId
    uploads versionId versioning versions website response-cache-control response-content-disposition response-content-encoding
    response-content-language response-content-type response-expires
    """
)


@dataclass(slots=True)
class Seal:
    """What the signatures of the pieces of a body go on from: each is made of the one before."""

    key: bytes
    stamp: str
    scope: str
    last: str

    def sign_piece(self, digest: bytes) -> str:
        """The signature of the next piece, from the SHA-256 of its content."""
        return self._next("AWS4-HMAC-SHA256-PAYLOAD", _EMPTY, digest.hex())

    def sign_trailers(self, digest: bytes) -> str:
        return self._next("AWS4-HMAC-SHA256-TRAILER", digest.hex())

    def _next(self, *parts: str) -> str:
        text = "\n".join((parts[0], self.stamp, self.scope, self.last, *parts[1:]))
        self.last = hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()
        return self.last


def check_signature(method: str, target: Target, headers: Mapping[str, str], token: str, now: datetime) -> Seal | None:
    """Raises `S3Error` if a request is not signed with the token, now. Returns how pieces of its body are signed, for version 4."""
    parameters = dict(reversed(target.query))
    authorization = headers.get("authorization", "")
    if authorization.startswith(_V4):
        return _check_v4_header(method, target, headers, authorization, token, now)
    if authorization.startswith("AWS "):
        _check_v2_header(method, target, headers, authorization, token, now)
        return None
    if "X-Amz-Signature" in parameters:
        return _check_v4_query(method, target, headers, parameters, token, now)
    if "Signature" in parameters and "AWSAccessKeyId" in parameters:
        _check_v2_query(method, target, headers, parameters, token, now)
        return None
    raise S3Error("AccessDenied", "This server has a token: requests must be signed with it.")


def presigned(endpoint: str, bucket: str, key: str, token: str, now: datetime, seconds: int) -> str:
    """The address at which an object can be fetched for so long, as whoever has the token may; a plain one without a token."""
    path = f"/{quote(bucket, safe='-_.~')}/{quote(key, safe='/-_.~')}"
    if not token:
        return endpoint + path
    stamp = now.strftime(_STAMP)
    credential = f"{ACCESS_KEY}/{stamp[:8]}/us-east-1/s3/aws4_request"
    signing, scope = _scoped(credential, now, token, "AuthorizationQueryParametersError")
    query = (
        ("X-Amz-Algorithm", _V4),
        ("X-Amz-Credential", credential),
        ("X-Amz-Date", stamp),
        ("X-Amz-Expires", str(seconds)),
        ("X-Amz-SignedHeaders", "host"),
    )
    headers = {"host": endpoint.partition("://")[2]}
    text = "\n".join((_V4, stamp, scope, hashlib.sha256(_canonical("GET", path, query, headers, ["host"], UNSIGNED)).hexdigest()))
    signature = hmac.new(signing, text.encode(), hashlib.sha256).hexdigest()
    return f"{endpoint}{path}?{urlencode((*query, ('X-Amz-Signature', signature)))}"


# -- version 4 ---------------------------------------------------------------------------------------------------------


def _check_v4_header(method: str, target: Target, headers: Mapping[str, str], authorization: str, token: str, now: datetime) -> Seal:
    found = _HEADER.fullmatch(authorization.strip())
    if not found:
        raise S3Error("AuthorizationHeaderMalformed")
    stamp = headers.get("x-amz-date", "")
    moment = _moment(stamp) if stamp else _http_moment(headers.get("date", ""))
    if abs(moment - now) > _SKEW:
        raise S3Error("RequestTimeTooSkewed")
    key, scope = _scoped(found["credential"], moment, token, "AuthorizationHeaderMalformed")
    signed = found["headers"].lower().split(";")
    if "host" not in signed or any(name.startswith("x-amz-") and name not in signed for name in headers):
        raise S3Error("AccessDenied", "There were headers present in the request which were not signed")
    seal = Seal(key, moment.strftime(_STAMP), scope, found["signature"])
    payload = headers.get("x-amz-content-sha256", UNSIGNED)
    _compare(seal, _canonical(method, target.path, target.query, headers, signed, payload))
    return seal


def _check_v4_query(
    method: str, target: Target, headers: Mapping[str, str], parameters: Mapping[str, str], token: str, now: datetime
) -> Seal:
    malformed = "AuthorizationQueryParametersError"
    expires = parameters.get("X-Amz-Expires", "")
    if parameters.get("X-Amz-Algorithm") != _V4 or not expires.isdigit() or not 0 < int(expires[:10]) <= _LONGEST:
        raise S3Error(malformed)
    moment = _moment(parameters.get("X-Amz-Date", ""), malformed)
    if moment - now > _SKEW or now > moment + timedelta(seconds=int(expires)):
        raise S3Error("AccessDenied", "Request has expired")
    key, scope = _scoped(parameters.get("X-Amz-Credential", ""), moment, token, malformed)
    signed = parameters.get("X-Amz-SignedHeaders", "").lower().split(";")
    query = tuple(pair for pair in target.query if pair[0] != "X-Amz-Signature")
    seal = Seal(key, moment.strftime(_STAMP), scope, parameters["X-Amz-Signature"])
    payload = headers.get("x-amz-content-sha256", UNSIGNED) if "x-amz-content-sha256" in signed else UNSIGNED
    _compare(seal, _canonical(method, target.path, query, headers, signed, payload))
    return seal


def _scoped(credential: str, moment: datetime, token: str, malformed: str) -> tuple[bytes, str]:
    """The key that signs within a credential's day, region and service; and that scope."""
    found = _CREDENTIAL.fullmatch(credential)
    if not found or found["service"] != "s3" or found["date"] != moment.strftime("%Y%m%d"):
        raise S3Error(malformed)
    _check_access_key(found["key"], token)
    key = f"AWS4{token}".encode()
    for part in (found["date"], found["region"], "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key, f"{found['date']}/{found['region']}/s3/aws4_request"


def _canonical(method: str, path: str, query: Pairs, headers: Mapping[str, str], signed: list[str], payload: str) -> bytes:
    address = quote(unquote_to_bytes(path), safe="/-_.~")
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query)
    lines = "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in signed)
    joined = "&".join(f"{name}={value}" for name, value in pairs)
    return "\n".join((method, address, joined, lines, ";".join(signed), payload)).encode()


def _compare(seal: Seal, canonical: bytes) -> None:
    text = "\n".join((_V4, seal.stamp, seal.scope, hashlib.sha256(canonical).hexdigest()))
    if not _same(hmac.new(seal.key, text.encode(), hashlib.sha256).hexdigest(), seal.last):
        raise S3Error("SignatureDoesNotMatch")


def _moment(stamp: str, malformed: str = "AccessDenied") -> datetime:
    try:
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        raise S3Error(malformed, "AWS authentication requires a valid Date or x-amz-date header") from None


def _http_moment(text: str) -> datetime:
    try:
        found = parsedate_to_datetime(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, TypeError):
        raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header") from None


# -- version 2 ---------------------------------------------------------------------------------------------------------


def _check_v2_header(method: str, target: Target, headers: Mapping[str, str], authorization: str, token: str, now: datetime) -> None:
    access_key, _, signature = authorization.removeprefix("AWS ").strip().partition(":")
    _check_access_key(access_key, token)
    date = headers.get("date", "")
    if abs(_http_moment(headers.get("x-amz-date", date)) - now) > _SKEW:
        raise S3Error("RequestTimeTooSkewed")
    _compare_v2(method, target, headers, "" if "x-amz-date" in headers else date, signature, token)


def _check_v2_query(
    method: str, target: Target, headers: Mapping[str, str], parameters: Mapping[str, str], token: str, now: datetime
) -> None:
    _check_access_key(parameters["AWSAccessKeyId"], token)
    expires = parameters.get("Expires", "")
    if not expires.isdigit() or len(expires) > 12 or now.timestamp() > int(expires):
        raise S3Error("AccessDenied", "Request has expired")
    _compare_v2(method, target, headers, expires, parameters["Signature"], token)


def _compare_v2(method: str, target: Target, headers: Mapping[str, str], date: str, signature: str, token: str) -> None:
    ours = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(headers) if name.startswith("x-amz-"))
    named = sorted(pair for pair in target.query if pair[0] in _V2_PARAMETERS)
    # A bucket is signed with the slash after it, also by clients that do not send it.
    path = target.path if target.key or not target.bucket or target.path.endswith("/") else target.path + "/"
    resource = path + ("?" if named else "") + "&".join(f"{name}={value}" if value else name for name, value in named)
    text = "\n".join((method, headers.get("content-md5", ""), headers.get("content-type", ""), date, ours + resource))
    right = base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()
    if not _same(right, signature):
        raise S3Error("SignatureDoesNotMatch")


def _check_access_key(access_key: str, token: str) -> None:
    if not (_same(access_key, token) or access_key == ACCESS_KEY):
        raise S3Error("InvalidAccessKeyId")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
