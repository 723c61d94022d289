"""Signatures: those of an independent client are taken, those of the reference are met, and nothing else comes in."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shutil
import socket
import subprocess
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local_runner.errors import Invalid
from local_runner.s3.checksums import ALGORITHMS
from local_runner.s3.documents import timestamp
from local_runner.s3.server import serve_s3, tls_context
from local_runner.s3.signatures import Seal, check_signature
from tests.s3.conftest import TOKEN, Answer, Gateway
from tests.support.lab import Lab

# The example of "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks".
_SECRET, _SCOPE = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524/us-east-1/s3/aws4_request"
_SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
_CHUNKS = [
    (b"a" * 65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
    (b"a" * 1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
    (b"", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
]


def seal_of(secret: str, scope: str, stamp: str, seed: str) -> Seal:
    import hmac

    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return Seal(key, stamp, scope, seed)


def test_pieces_are_signed_as_in_the_reference() -> None:
    seal = seal_of(_SECRET, _SCOPE, "20130524T000000Z", _SEED)
    assert [seal.sign_piece(hashlib.sha256(content).digest()) for content, _ in _CHUNKS] == [signature for _, signature in _CHUNKS]


@pytest.fixture
def ready(guarded: Gateway) -> Gateway:
    guarded.lab.put("data@master", {"/a b/c=1": "content"})
    return guarded


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_client_that_has_the_token_is_served(ready: Gateway, version: str) -> None:
    client = ready.client(signature_version=version)
    assert client.get_object(Bucket="data", Key="a b/c=1")["Body"].read() == b"content"
    assert client.list_objects_v2(Bucket="data", Prefix="a b/", Delimiter="/")["KeyCount"] == 1
    client.put_object(Bucket="data", Key="new", Body=b"new")
    assert ready.lab.files("data@master")["/new"] == "new"
    for method, parameters in (("get_object", {}), ("put_object", {})):
        url = client.generate_presigned_url(method, Params={"Bucket": "data", "Key": "new", **parameters})
        request = urllib.request.Request(
            url, b"by address" if method == "put_object" else None, method="PUT" if method == "put_object" else "GET"
        )
        request.add_header("Content-Type", "")
        assert urllib.request.urlopen(request, timeout=60).status == 200
    assert ready.lab.files("data@master")["/new"] == "by address"


def test_the_token_is_an_access_key_too_as_on_a_cluster(ready: Gateway) -> None:
    with pytest.raises(Exception, match="InvalidAccessKeyId"):
        ready.client(key="somebody").list_buckets()
    for key in ("pachyderm", TOKEN):
        assert ready.client(key=key).list_buckets()["Buckets"]


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_who_does_not_have_it_is_not(ready: Gateway, version: str) -> None:
    wrong = ready.client(secret="a guess", signature_version=version)
    for call in (wrong.list_buckets, lambda: wrong.put_object(Bucket="data", Key="new", Body=b"x")):
        with pytest.raises(Exception, match="SignatureDoesNotMatch"):
            call()
    for url in (
        wrong.generate_presigned_url("get_object", Params={"Bucket": "data", "Key": "a b/c=1"}),
        ready.client(signature_version=version)
        .generate_presigned_url("get_object", Params={"Bucket": "data", "Key": "x"})
        .replace("/x?", "/a?"),
    ):
        assert _path(ready, "GET", url).code == "SignatureDoesNotMatch"
    unsigned = ready.ask("GET", "/")
    assert (unsigned.status, unsigned.code) == (403, "AccessDenied")
    assert sorted(ready.lab.files("data@master")) == ["/a b/c=1"]


def _path(gateway: Gateway, method: str, url: str) -> Answer:
    return gateway.ask(method, url.partition(str(gateway.server.port))[2])


def test_an_address_holds_for_its_time_only(ready: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    client = ready.client(signature_version="s3v4")
    url = client.generate_presigned_url("get_object", Params={"Bucket": "data", "Key": "a b/c=1"}, ExpiresIn=60)
    assert _path(ready, "GET", url).status == 200
    _set_clock(monkeypatch, timedelta(seconds=90))
    assert _path(ready, "GET", url).code == "AccessDenied"
    assert _path(ready, "GET", url.replace("Expires=60", "Expires=600000000")).code == "AuthorizationQueryParametersError"


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_request_from_another_time_is_refused(ready: Gateway, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    _set_clock(monkeypatch, timedelta(hours=hours))
    with pytest.raises(Exception, match="RequestTimeTooSkewed"):
        ready.client(signature_version="s3v4").list_buckets()


def _set_clock(monkeypatch: pytest.MonkeyPatch, ahead: timedelta) -> None:
    def check(method: str, target: Any, headers: Any, token: str, now: datetime) -> Any:
        return check_signature(method, target, headers, token, now + ahead)

    monkeypatch.setattr("local_runner.s3.connection.check_signature", check)


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("AWS4-HMAC-SHA256 nonsense", "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 Credential=a/b/c/d/e,SignedHeaders=host,Signature=" + "0" * 64, "AuthorizationHeaderMalformed"),
        ("AWS pachyderm", "AccessDenied"),
        ("AWS :", "InvalidAccessKeyId"),
        ("Bearer token", "AccessDenied"),
        ("Basic " + base64.b64encode(b"a:b").decode(), "AccessDenied"),
    ],
)
def test_what_is_no_signature_is_refused(ready: Gateway, authorization: str, code: str) -> None:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    assert ready.ask("GET", "/", headers={"Authorization": authorization, "x-amz-date": stamp}).code == code


# -- bodies in pieces --------------------------------------------------------------------------------------------------


def _signed_put(gateway: Gateway, kind: str, size: int, extra: dict[str, str]) -> tuple[dict[str, str], Seal]:
    """Headers of a put whose body comes in pieces, signed by botocore, and what the pieces go on from."""
    auth = pytest.importorskip("botocore.auth", reason="botocore is not installed: pip install 'local_runner[dev]'")
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    class Streaming(auth.S3SigV4Auth):  # type: ignore[name-defined, misc]
        def payload(self, request: Any) -> str:
            return kind

    url = f"http://127.0.0.1:{gateway.server.port}/data/new"
    headers = {"x-amz-content-sha256": kind, "x-amz-decoded-content-length": str(size), "Content-Encoding": "aws-chunked", **extra}
    request = AWSRequest("PUT", url, headers=headers)
    Streaming(Credentials("pachyderm", TOKEN), "s3", "us-east-1").add_auth(request)
    signed = dict(request.headers.items())
    stamp = signed["X-Amz-Date"]
    return signed, seal_of(TOKEN, f"{stamp[:8]}/us-east-1/s3/aws4_request", stamp, signed["Authorization"][-64:])


def _pieces(contents: list[bytes], seal: Seal | None) -> bytes:
    body = b""
    for content in (*contents, b""):
        signature = f";chunk-signature={seal.sign_piece(hashlib.sha256(content).digest())}" if seal else ""
        body += f"{len(content):x}{signature}\r\n".encode() + content + (b"\r\n" if content else b"")
    return body


@pytest.mark.parametrize("fault", ["", "content", "signature", "short", "long"])
def test_signed_pieces_are_taken_if_each_is_right(ready: Gateway, fault: str) -> None:
    contents = [b"a" * 70_000, b"b" * 10]
    size = sum(map(len, contents)) + {"short": 1, "long": -1}.get(fault, 0)
    headers, seal = _signed_put(ready, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", size, {})
    body = _pieces(contents, seal) + b"\r\n"
    if fault == "content":
        body = body.replace(b"aaa", b"aab", 1)
    if fault == "signature":
        body = body.replace(b"signature=", b"signature=0", 1)
    answer = ready.ask("PUT", "/data/new", body, headers)
    codes = {"content": "SignatureDoesNotMatch", "signature": "SignatureDoesNotMatch", "short": "IncompleteBody", "long": "IncompleteBody"}
    if fault:
        assert answer.code == codes[fault]
        assert "/new" not in ready.lab.files("data@master")
    else:
        assert answer.status == 200
        assert ready.lab.files("data@master")["/new"] == "a" * 70_000 + "b" * 10


@pytest.mark.parametrize("fault", ["", "sum", "signature", "missing"])
@pytest.mark.parametrize("kind", ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"])
def test_sums_that_come_behind_are_compared(ready: Gateway, kind: str, fault: str) -> None:
    codes = {"sum": "BadDigest", "signature": "SignatureDoesNotMatch", "missing": "IncompleteBody"}
    is_wrong = fault and not (fault == "signature" and "UNSIGNED" in kind)
    for number, algorithm in enumerate(ALGORITHMS):
        content = b"a" * (5000 + number)
        answer = _put_with_trailer(ready, kind, algorithm, content, fault)
        there = ready.lab.files("data@master").get("/new", "")
        if is_wrong:
            assert (answer.code, there) == (codes[fault], ""), algorithm
        else:
            assert (answer.status, len(there)) == (200, len(content)), algorithm


def _put_with_trailer(gateway: Gateway, kind: str, algorithm: str, content: bytes, fault: str) -> Answer:
    headers, found = _signed_put(gateway, kind, len(content), {"x-amz-trailer": f"x-amz-checksum-{algorithm}"})
    seal = found if "AWS4" in kind else None
    taken = ALGORITHMS[algorithm]()
    taken.update(content + (b"x" if fault == "sum" else b""))
    trailer = f"x-amz-checksum-{algorithm}:{base64.b64encode(taken.digest()).decode()}\n".encode()
    trailer = b"" if fault == "missing" else trailer
    body = _pieces([content], seal) + trailer.replace(b"\n", b"\r\n")
    if seal:
        signature = seal.sign_trailers(hashlib.sha256(trailer).digest())
        body += f"x-amz-trailer-signature:{'0' * 64 if fault == 'signature' else signature}\r\n".encode()
    return gateway.ask("PUT", "/data/new", body + b"\r\n", headers)


def test_a_sum_that_nobody_knows_is_refused(ready: Gateway) -> None:
    headers, _ = _signed_put(ready, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", 0, {"x-amz-trailer": "x-amz-checksum-rot13"})
    assert ready.ask("PUT", "/data/new", b"0\r\n\r\n", headers).code == "InvalidRequest"
    assert timestamp(0.9) == "1970-01-01T00:00:00.000Z"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl, which makes a certificate, is not installed")
def test_with_a_certificate_it_speaks_tls_and_nothing_in_the_clear(lab: Lab, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    with pytest.raises(Invalid, match="no certificate and key"):
        tls_context(key, certificate)
    lab.put("data@master", {"/a": "1"})
    with serve_s3(lab.runner, ("127.0.0.1", 0), TOKEN, tls=tls_context(certificate, key)) as server:
        assert server.url.startswith("https://")
        trusting = Gateway(server, lab, TOKEN).client(verify=str(certificate))
        trusting.put_object(Bucket="data", Key="new", Body=b"x" * 100_000)
        assert trusting.get_object(Bucket="data", Key="new")["Body"].read() == b"x" * 100_000
        for number in range(5):  # a body in pieces within pieces is read to its very end
            trusting.put_object(Bucket="data", Key=f"n/{number}", Body=b"x")
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            said = b""
            with contextlib.suppress(ConnectionError):
                said = plain.recv(1000)
            assert b"HTTP" not in said
