"""A client of image registries: the reading half of the distribution API, over the standard library.

A pull is a dozen requests, most of them large and of a kind: what a library of HTTP would add (pools, HTTP/2, asynchrony) saves nothing
here, and urllib brings the proxies and certificates that this machine is set up with.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode, urlsplit

from local_runner.errors import Invalid, LocalRunnerError, NotFound, Unavailable
from local_runner.oci.auth import Challenge, Credentials, find_credentials, parse_challenge
from local_runner.oci.documents import INDEXES, LARGEST_DOCUMENT, MANIFESTS, Descriptor, hasher
from local_runner.oci.hosts import Endpoint, endpoints, tls_context
from local_runner.oci.reference import Reference

_SECONDS = 30.0  # without a byte, after which a connection counts as dead
_TRIES, _PAUSE, _LONGEST_PAUSE = 5, 0.5, 20.0
_CHUNK = 1 << 18
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses that another try may well not meet
_BROKEN = (ConnectionError, TimeoutError, http.client.HTTPException, ssl.SSLEOFError)


class Registry:
    """One image's repository, wherever it can be had from. Several threads may use it."""

    def __init__(self, reference: Reference, insecure: Collection[str] = (), pause: float = _PAUSE) -> None:
        """`insecure` are names of registries that need not prove who they are; `pause` is in seconds, before the second try."""
        self.reference = reference
        self._endpoints = endpoints(reference, insecure)
        self._pause = pause
        self._connection: _Connection | None = None

    def manifest(self, version: str, accept: Collection[str] = (*INDEXES, *MANIFESTS)) -> tuple[bytes, str]:
        """A manifest or an index by tag or digest, and its media type; digests are the caller's to check.

        The first endpoint that has it is the one that blobs are taken from. Raises `NotFound`, `Unavailable`.
        """
        if self._connection is not None:
            return self._connection.document(f"manifests/{version}", accept)
        failures: list[LocalRunnerError] = []
        for endpoint in self._endpoints:
            for base in endpoint.bases:
                connection = _Connection(endpoint, base, self.reference, self._pause)
                try:
                    found = connection.document(f"manifests/{version}", accept)
                except _Unreachable as why:
                    failures.append(why)
                except LocalRunnerError as why:
                    failures.append(why)
                    break  # it did answer
                else:
                    self._connection = connection
                    return found
        # What somebody said is worth more than that others cannot be reached, and most what the registry itself said, which comes last.
        raise next((why for why in reversed(failures) if not isinstance(why, _Unreachable)), failures[0])

    def blob(self, digest: str) -> bytes:
        """A small one, as a configuration is; its digest is the caller's to check."""
        return self._connected.document(f"blobs/{digest}", ())[0]

    def download(self, blob: Descriptor, draft: Path, advance: Callable[[int], None] = lambda size: None) -> None:
        """Bring a blob into a file, and go on where an earlier try left it. What is there at the end has the digest.

        `advance` is told of bytes as they come, and of those that were there. Raises `Invalid` for other contents than were announced,
        `Unavailable`.
        """
        self._connected.download(blob, draft, advance)

    @property
    def _connected(self) -> _Connection:
        if self._connection is None:
            self.manifest(self.reference.version)
        assert self._connection
        return self._connection


class _Unreachable(Unavailable):
    """Nobody answers there, or not in a language that is understood."""


class _Connection:
    """One address of a repository, and who one is there."""

    def __init__(self, endpoint: Endpoint, base: str, reference: Reference, pause: float) -> None:
        self._endpoint, self._base, self._reference, self._pause = endpoint, base, reference, pause
        context = tls_context(endpoint.host, insecure=endpoint.insecure)
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _Redirects(insecure=endpoint.insecure))
        self._authorization = ""
        self._asking = threading.Lock()

    def document(self, path: str, accept: Collection[str]) -> tuple[bytes, str]:
        with self._open(path, {"Accept": ", ".join(accept)} if accept else {}) as answer:
            try:
                content = answer.read(LARGEST_DOCUMENT + 1)
            except _BROKEN as why:
                raise self._unreachable(why) from None
            return content, str(answer.headers.get_content_type())

    def download(self, blob: Descriptor, draft: Path, advance: Callable[[int], None]) -> None:
        with draft.open("a+b") as file:
            computed = hasher(blob.digest)
            file.seek(0)
            while piece := file.read(_CHUNK):
                computed.update(piece)
            if blob.size >= 0 and file.tell() > blob.size:
                file.truncate(0)
                computed = hasher(blob.digest)
            advance(file.tell())
            for turn in range(_TRIES):
                before = file.tell()
                if before == blob.size:
                    break
                try:
                    computed = self._append(blob, file, computed, advance)
                    break
                except _BROKEN as why:
                    # A connection that brings something each time may break as often as it likes.
                    if turn == _TRIES - 1 and file.tell() == before:
                        raise self._unreachable(why) from None
                    time.sleep(self._pause * 2**turn)
            else:
                raise Unavailable(
                    f"{self._reference.familiar}: {blob.digest} is cut short again and again", hint="try again: what came is kept"
                )
            file.flush()
            if computed.hexdigest() != blob.digest.partition(":")[2]:
                file.truncate(0)
                raise Invalid(
                    f"{self._reference.familiar}: what {self._endpoint.host} sends for {blob.digest} has another digest",
                    hint="it was damaged or replaced on its way; try again, or another registry",
                )

    def _append(self, blob: Descriptor, file: IO[bytes], computed: Any, advance: Callable[[int], None]) -> Any:
        """Add what is missing to a file; returns what has computed its digest. Raises one of `_BROKEN` where it breaks off."""
        start = file.tell()
        with self._open(f"blobs/{blob.digest}", {"Range": f"bytes={start}-"} if start else {}) as answer:
            if start and answer.status != http.client.PARTIAL_CONTENT:
                advance(-start)
                file.truncate(0)
                file.seek(0)
                computed = hasher(blob.digest)
            while piece := answer.read(_CHUNK):
                if 0 <= blob.size < file.tell() + len(piece):
                    raise Invalid(f"{self._reference.familiar}: {blob.digest} is longer than the {blob.size} bytes that were announced")
                file.write(piece)
                computed.update(piece)
                advance(len(piece))
        if file.tell() < blob.size:
            raise ConnectionResetError(f"{file.tell()} of {blob.size} bytes came")
        return computed

    @contextmanager
    def _open(self, path: str, headers: dict[str, str]) -> Iterator[http.client.HTTPResponse]:
        """An answer that is one; logs in where that is asked for, and tries again what may pass."""
        url = f"{self._base}/{path}"
        for turn in range(_TRIES):
            authorization = self._authorization
            request = urllib.request.Request(url, headers={"User-Agent": "local_runner", **headers})
            if authorization:
                request.add_unredirected_header("Authorization", authorization)
            try:
                answer = self._opener.open(request, timeout=_SECONDS)
            except urllib.error.HTTPError as why:
                with why:
                    if why.code == http.client.UNAUTHORIZED and turn < 2 and self._log_in(why.headers, authorization):
                        continue
                    if why.code not in _PASSING or turn == _TRIES - 1:
                        raise self._refused(why) from None
                    time.sleep(_asked_pause(why.headers) or self._pause * 2**turn)
            except (urllib.error.URLError, *_BROKEN) as why:
                reason = why.reason if isinstance(why, urllib.error.URLError) else why
                if turn == _TRIES - 1 or not isinstance(reason, (ConnectionResetError, TimeoutError, http.client.HTTPException)):
                    raise self._unreachable(reason) from None
                time.sleep(self._pause * 2**turn)
            else:
                with answer:
                    yield answer
                return
        raise self._unreachable("no answer")

    def _log_in(self, headers: Message, tried: str) -> bool:
        """Get what a registry asks for; whether that is worth another try."""
        with self._asking:
            if self._authorization != tried:
                return True  # another thread was here
            challenge = parse_challenge(headers.get("WWW-Authenticate", ""))
            known = find_credentials(self._endpoint.host)
            if challenge.scheme == "basic" and known and not tried:
                self._check_secrecy(self._base)
                self._authorization = known.basic
            elif challenge.scheme == "bearer":
                self._authorization = f"Bearer {self._token(challenge, known)}"
            return self._authorization != tried

    def _token(self, challenge: Challenge, known: Credentials | None) -> str:
        """From the service that a registry names (distribution: token authentication; with an identity token by OAuth2)."""
        realm = challenge.parameters.get("realm", "")
        if urlsplit(realm).scheme not in ("http", "https"):
            raise Unavailable(f"registry {self._endpoint.host} asks for a token and does not say where to get it")
        scope = challenge.parameters.get("scope") or f"repository:{self._endpoint.repository}:pull"
        query = {"service": challenge.parameters.get("service", ""), "scope": scope}
        request = urllib.request.Request(f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}", headers={"User-Agent": "local_runner"})
        if known:
            self._check_secrecy(realm)
            if known.identity_token:
                form = {**query, "grant_type": "refresh_token", "refresh_token": known.identity_token, "client_id": "local_runner"}
                request = urllib.request.Request(realm, urlencode(form).encode(), headers={"User-Agent": "local_runner"})
            else:
                request.add_unredirected_header("Authorization", known.basic)
        try:
            with self._opener.open(request, timeout=_SECONDS) as answer:
                document = json.loads(answer.read(LARGEST_DOCUMENT))
            return str(document.get("token") or document["access_token"])
        except urllib.error.HTTPError as why:
            with why:
                raise self._refused(why) from None
        except (OSError, http.client.HTTPException) as why:
            raise self._unreachable(why) from None
        except (ValueError, KeyError, AttributeError, TypeError):
            raise Unavailable(
                f"{urlsplit(realm).netloc} gives no token that can be read", hint="is it the token service of a registry?"
            ) from None

    def _check_secrecy(self, url: str) -> None:
        if not url.startswith("https:") and not self._endpoint.insecure:
            raise Unavailable(
                f"registry {self._endpoint.host} wants a password over plain HTTP ({urlsplit(url).netloc})",
                hint=f"if that is as it should be: --insecure {self._endpoint.host}",
            )

    def _refused(self, why: urllib.error.HTTPError) -> LocalRunnerError:
        host, name = self._endpoint.host, self._reference.familiar
        if why.code == http.client.NOT_FOUND:
            return NotFound(f"image {name} is not in the registry {host}", hint="is its name right, and its tag?")
        if why.code in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
            return Unavailable(
                f"registry {host} does not give out {name}: it is not there, or only for those who are logged in",
                hint=f"docker login {host}, or podman login {host}; without either, a user and password in ~/.docker/config.json",
            )
        if why.code == http.client.TOO_MANY_REQUESTS:
            return Unavailable(f"registry {host} was asked too often", hint=f"wait, log in (docker login {host}), or name a mirror")
        return Unavailable(f"registry {host} fails: {why.code} {why.reason}", hint="try again later")

    def _unreachable(self, why: object) -> _Unreachable:
        host = self._endpoint.host
        if isinstance(why, ssl.SSLCertVerificationError):
            hint = f"put its certificate into /etc/docker/certs.d/{host}/ca.crt, or trust it anyway: --insecure {host}"
            return _Unreachable(f"registry {host} does not prove who it is: {why.verify_message}", hint=hint)
        said = (why.strerror if isinstance(why, OSError) and why.strerror else str(why)) or type(why).__name__
        hint = f"is there a network, and is the name right? What is here runs without. For a registry without TLS: --insecure {host}"
        return _Unreachable(f"registry {host} cannot be reached: {said[:1].lower() + said[1:]}", hint=hint)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Blobs are often elsewhere: who one is, is told only to whom asked for it, and nothing secure leads to something that is not."""

    def __init__(self, *, insecure: bool) -> None:
        self._insecure = insecure

    def redirect_request(
        self, request: urllib.request.Request, file: IO[bytes], code: int, message: str, headers: http.client.HTTPMessage, url: str
    ) -> urllib.request.Request | None:
        here, there = urlsplit(request.full_url), urlsplit(url)
        if here.scheme == "https" and there.scheme != "https" and not self._insecure:
            raise urllib.error.URLError(f"it leads from https to {there.scheme}: {there.netloc}")
        following = super().redirect_request(request, file, code, message, headers, url)
        if following and (here.scheme, here.netloc) == (there.scheme, there.netloc) and request.has_header("Authorization"):
            following.add_unredirected_header("Authorization", str(request.get_header("Authorization")))
        return following


def _asked_pause(headers: Message) -> float:
    asked = headers.get("Retry-After", "")
    return min(float(asked), _LONGEST_PAUSE) if asked.isdecimal() else 0.0
