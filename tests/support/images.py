"""Images made by hand, byte by byte, and a registry of the test's own that can be told to misbehave."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import io
import json
import re
import shutil
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local_runner.oci.documents import host_platform
from tests.support.containers import packed

INDEX, MANIFEST = "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"
LAYER, LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip"
_OS, _, _ARCHITECTURE = host_platform().partition("/")

# What the suites for executors start.
_WANTED = (
    "sh bash cat chgrp chmod chown cp cut dd df dirname echo env false find grep head id kill ln ls mkdir mkfifo mknod mount mv nsenter"
    " printf pwd readlink rm rmdir sed seq setsid sleep sort stat stty tail test touch tr true truncate tty umount uname unshare wc yes"
)
PROGRAMS = tuple(filter(shutil.which, _WANTED.split()))

Entry = tuple[str, bytes | str | None, dict[str, Any]]


def file(path: str, content: bytes | str = b"", **header: Any) -> Entry:
    return path, content.encode() if isinstance(content, str) else content, header


def folder(path: str, **header: Any) -> Entry:
    return path, None, {"type": tarfile.DIRTYPE, "mode": 0o755, **header}


def link(path: str, target: str, **header: Any) -> Entry:
    return path, None, {"type": tarfile.SYMTYPE, "linkname": target, "mode": 0o777, **header}


def hard_link(path: str, target: str, **header: Any) -> Entry:
    return path, None, {"type": tarfile.LNKTYPE, "linkname": target, **header}


def device(path: str, kind: bytes = tarfile.CHRTYPE, **header: Any) -> Entry:
    return path, None, {"type": kind, "devmajor": 1, "devminor": 3, **header}


def layer(*entries: Entry) -> bytes:
    """A tar file, not packed."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, data, header in entries:
            info = tarfile.TarInfo(path)
            info.mode = 0o644
            for name, value in header.items():
                setattr(info, name, value)
            if isinstance(data, bytes):
                info.size = header.get("size", len(data))
            tar.addfile(info, io.BytesIO(data) if isinstance(data, bytes) else None)
    return content.getvalue()


def of_this_machine(*programs: str) -> bytes:
    """A layer with programs of this host and the libraries they are linked to: enough to run in."""
    return packed(programs)


USERS = (
    *(folder(name) for name in ("etc", "usr", "usr/bin", "usr/lib", "var", "var/lib", "home", "home/ann", "run", "app")),
    folder("tmp", mode=0o1777),
    file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nann:x:1234:1235::/home/ann:/bin/sh\n"),
    file("etc/group", "root:x:0:\nstaff:x:50:\n"),
    link("var/run", "/run"),
)  # what every image has, and another user


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Image:
    """An image: its blobs by digest, and its manifest."""

    layers: Sequence[bytes]  # as tar files
    config: Mapping[str, Any] = field(default_factory=dict)
    pack: Callable[[bytes], bytes] = lambda content: gzip.compress(content, 1, mtime=0)
    architecture: str = _ARCHITECTURE.partition("/")[0]
    claims: Mapping[str, Any] = field(default_factory=dict)  # what its configuration says besides, or instead

    def __post_init__(self) -> None:
        self.packed = [self.pack(content) for content in self.layers]
        document = {
            "os": "linux",
            "architecture": self.architecture,
            "config": dict(self.config),
            "rootfs": {"type": "layers", "diff_ids": [digest(content) for content in self.layers]},
            **self.claims,
        }
        self.config_blob = json.dumps(document).encode()
        listed = [{"mediaType": LAYER_GZIP, "digest": digest(blob), "size": len(blob)} for blob in self.packed]
        described = {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest(self.config_blob),
            "size": len(self.config_blob),
        }
        self.manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": listed}).encode()

    @property
    def blobs(self) -> dict[str, bytes]:
        return {digest(blob): blob for blob in (*self.packed, self.config_blob)}

    def described(self, **more: Any) -> dict[str, Any]:
        return {"mediaType": MANIFEST, "digest": digest(self.manifest), "size": len(self.manifest), **more}

    def as_layout(self, place: Path, name: str = "acme/scan:1") -> Path:
        """As a folder of the OCI layout."""
        blobs = place / "blobs/sha256"
        blobs.mkdir(parents=True)
        for key, blob in {**self.blobs, digest(self.manifest): self.manifest}.items():
            (blobs / key.partition(":")[2]).write_bytes(blob)
        (place / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        entry = self.described(annotations={"org.opencontainers.image.ref.name": name} if name else {})
        (place / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        return place

    def as_archive(self, path: Path, *names: str) -> Path:
        """As `docker save` wrote it for ten years: manifest.json, and layers that are not packed."""
        identity = digest(self.config_blob).partition(":")[2]
        paths = [f"{digest(content).partition(':')[2]}/layer.tar" for content in self.layers]
        listed = [{"Config": f"{identity}.json", "RepoTags": list(names) or ["acme/scan:1"], "Layers": paths}]
        files = {f"{identity}.json": self.config_blob, **dict(zip(paths, self.layers, strict=True))}
        path.write_bytes(layer(*(file(name, content) for name, content in files.items()), file("manifest.json", json.dumps(listed))))
        return path


def index_of(*images: tuple[str, Image]) -> bytes:
    """A list of manifests for several platforms."""
    entries = []
    for platform, image in images:
        system, architecture, variant = (*platform.split("/"), "")[:3]
        entries.append(image.described(platform={"os": system, "architecture": architecture, **({"variant": variant} if variant else {})}))
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()


@dataclass
class FakeRegistry:
    """Serves images on loopback over plain HTTP. `meddle` may answer a request itself, and then returns True."""

    port: int = 0
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # "acme/scan:1" -> media type, content
    blobs: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    meddle: Callable[[http.server.BaseHTTPRequestHandler], bool] = lambda request: False

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def push(self, name: str, image: Image) -> str:
        """Its name from outside."""
        self.blobs |= image.blobs
        repository = name.partition(":")[0]
        for key in (name, f"{repository}@{digest(image.manifest)}"):
            self.manifests[key] = (MANIFEST, image.manifest)
        return f"{self.host}/{name}"

    def push_index(self, name: str, *images: tuple[str, Image]) -> str:
        for _, image in images:
            self.push(f"{name.partition(':')[0]}:{image.architecture}", image)
        index = index_of(*images)
        self.manifests[name] = self.manifests[f"{name.partition(':')[0]}@{digest(index)}"] = (INDEX, index)
        return f"{self.host}/{name}"

    def asked(self, part: str) -> list[dict[str, str]]:
        """The headers of requests whose path has this in it."""
        return [headers for path, headers in self.requests if part in path]

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        self.requests.append((request.path, dict(request.headers)))
        if self.meddle(request):
            return
        if found := re.fullmatch(r"/v2/(.+)/manifests/(.+)", request.path):
            name, version = found.groups()
            kind, content = self.manifests.get(f"{name}{'@' if ':' in version else ':'}{version}", ("", None))
        elif found := re.fullmatch(r"/v2/.+/blobs/(.+)", request.path):
            kind, content = "application/octet-stream", self.blobs.get(found[1])
        else:
            kind, content = "", None
        if content is None:
            send(request, 404, b"{}")
            return
        start = int(re.sub(r"\D", "", request.headers.get("Range", "0")))
        send(request, 206 if start else 200, content[start:], {"Content-Type": kind})


def send(request: http.server.BaseHTTPRequestHandler, status: int, content: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
    request.send_response(status)
    for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
        request.send_header(name, value)
    request.end_headers()
    with contextlib.suppress(ConnectionError):
        request.wfile.write(content)


@contextlib.contextmanager
def serving(registry: FakeRegistry) -> Iterator[FakeRegistry]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            registry.answer(self)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that goes away is no news; neither is one that wants TLS."""

    with Server(("127.0.0.1", 0), Handler) as server:
        registry.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()


def listing(place: Path) -> dict[str, str]:
    """What stands in a folder: path -> content, `-> target` of a link, or `/` of a folder."""
    found = {}
    for path in sorted(place.rglob("*")):
        name = str(path.relative_to(place))
        found[name] = (
            f"-> {path.readlink()}"
            if path.is_symlink()
            else "/"
            if path.is_dir()
            else path.read_bytes().decode(errors="replace")
            if path.is_file()
            else "device"
        )
    return found


def zstd(content: bytes) -> bytes:
    """Packed as newer tools pack layers; skips the test where this Python cannot."""
    packer: Any = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    return bytes(packer.compress(content))
