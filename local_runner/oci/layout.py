"""Images in files: the folder and the tar file that `podman save`, `docker save`, `skopeo copy` and `buildah push` make."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from local_runner import beneath
from local_runner.errors import Invalid, NotFound
from local_runner.oci.documents import (
    LARGEST_DOCUMENT,
    Descriptor,
    Manifest,
    check_digest,
    choose_platform,
    hasher,
    host_platform,
    is_index,
    read_document,
    read_manifest,
)
from local_runner.oci.streams import CHUNK, Begun, Checked, Readable, unpacked

_NAME = "org.opencontainers.image.ref.name"
_FULL_NAMES = ("io.containerd.image.name", _NAME)  # annotations; the second is a mere tag with some tools


class Files(Protocol):
    """Files by their path. Raises `NotFound` for one that is not there, `Invalid` for one that leads elsewhere."""

    def open(self, path: str) -> AbstractContextManager[Readable]: ...


class Folder:
    """The files of a folder; links in it are not followed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[Readable]:
        root = beneath.open_root(self.path)
        try:
            file = beneath.open_file(root, path)
        except OSError as why:
            if why.errno == errno.ENOENT:
                raise NotFound(f"{self.path} has no {path}", hint="is it whole? `podman save --format oci-dir` makes one") from None
            raise Invalid(f"{self.path}: {path} cannot be read: {why.strerror}") from None
        finally:
            os.close(root)
        with os.fdopen(file, "rb") as stream:
            yield stream


class Archive:
    """The files of a tar file, which is not packed itself; those that are links in it stand for what they lead to there."""

    def __init__(self, path: Path, tar: tarfile.TarFile) -> None:
        self.path = path
        self._members = {os.path.normpath(member.name): member for member in tar.getmembers()}

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[Readable]:
        """By a descriptor of its own: several may be read at once."""
        try:
            member = self._members[os.path.normpath(path)]
            for _ in range(40):
                if not member.issym() and not member.islnk():
                    break
                base = os.path.dirname(member.name) if member.issym() else ""
                member = self._members[os.path.normpath(os.path.join(base, member.linkname))]
        except KeyError:
            raise NotFound(
                f"{self.path} has no {path}", hint="is it whole, and does `docker save` or `podman save` make such files?"
            ) from None
        if not member.isreg() or member.issparse():
            raise Invalid(f"{self.path}: {path} is no file that can be read")
        with self.path.open("rb") as file:
            file.seek(member.offset_data)
            yield _Part(file, member.size)


class _Part:
    """So many bytes of a file."""

    def __init__(self, file: Readable, size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int, /) -> bytes:
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Files]:
    """A folder with images in it, or a tar file, also one that gzip or zstd packed. Raises `NotFound`, `Invalid`."""
    if path.is_dir():
        yield Folder(path)
        return
    with contextlib.ExitStack() as stack:
        yield _archive(path, stack)


def _archive(path: Path, stack: contextlib.ExitStack) -> Archive:
    try:
        plain = stack.enter_context(_plain(path))
        with tarfile.open(plain, "r:") as tar:
            return Archive(plain, tar)
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}", hint="name a folder or a tar file with images, as docker save makes it") from None
    except (tarfile.TarError, EOFError, RecursionError, OverflowError, ValueError) as why:
        raise Invalid(f"{path} is no tar file: {why}", hint="name what docker save or podman save made") from None
    except OSError as why:
        raise Invalid(f"{path} cannot be read: {why.strerror}") from None


@contextlib.contextmanager
def _plain(path: Path) -> Iterator[Path]:
    """The file itself, or if it is packed a temporary one with what is in it: layers are taken from the middle of it."""
    with path.open("rb") as file:
        stream = unpacked(file, str(path))
        if isinstance(stream, Begun):
            yield path
            return
        with tempfile.NamedTemporaryFile(prefix="local_runner-") as copy:
            while piece := stream.read(CHUNK):
                copy.write(piece)
            copy.flush()
            yield Path(copy.name)


class Stored:
    """One image among files: its names there, its configuration, and its layers, which `open` gives as they are."""

    def __init__(self, files: Files, names: tuple[str, ...], config: bytes, layers: list[tuple[str, Descriptor]], digest: str = "") -> None:
        self.names, self.config, self.digest = names, config, digest
        self.layers = tuple(descriptor for _, descriptor in layers)
        self._files = files
        self._paths = [path for path, _ in layers]

    @contextlib.contextmanager
    def open(self, number: int, came: Callable[[int], None]) -> Iterator[Readable]:
        """A layer by its number, from the lowest; its digest is the reader's to check. `came` is told of bytes as they are read."""
        with self._files.open(self._paths[number]) as stream:
            yield Checked(stream, "", "", came)


def images_in(files: Files, what: str, platform: str = "") -> list[Stored]:
    """All images for a platform, this machine's unless another is named. Raises `NotFound`, `Invalid`."""
    platform = platform or host_platform()
    listed = _read_optional(files, "manifest.json")
    if listed is not None:
        return _of_docker(files, listed, what)
    index = _read_optional(files, "index.json")
    if index is None:
        raise Invalid(f"{what} has neither index.json nor manifest.json", hint="name what docker save, podman save or skopeo copy made")
    return _of_layout(files, read_document(index, f"index.json in {what}"), what, platform)


def _of_docker(files: Files, listed: bytes, what: str) -> list[Stored]:
    """As `docker save` writes it: manifest.json lists images with the paths of their files (moby image-spec v1.2)."""
    try:
        entries = json.loads(listed)
        found = []
        for entry in entries:
            config = _read(files, str(entry["Config"]), what)
            names = tuple(map(str, entry.get("RepoTags") or ()))
            found.append(Stored(files, names, config, [(str(path), Descriptor("", -1)) for path in entry["Layers"]]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Invalid(f"{what}: manifest.json cannot be read", hint="did docker save or podman save make it?") from None
    return found


def _of_layout(files: Files, index: dict[str, Any], what: str, platform: str) -> list[Stored]:
    """As OCI writes it (image-spec, image-layout.md)."""
    entries = index.get("manifests")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Invalid(f"{what}: index.json lists no manifests")
    if len(entries) > 1 and all("platform" in entry and not entry.get("annotations") for entry in entries):
        entries = [{"digest": choose_platform(index, platform, what).digest}]  # one image for several machines
    found = []
    for entry in entries:
        annotations = entry.get("annotations") or {}
        digest = str(entry.get("digest", ""))
        document, digest = _resolve(files, digest, str(entry.get("mediaType", "")), what, platform)
        manifest = read_manifest(document, "", what)
        layers = [(_blob(layer.digest), layer) for layer in manifest.layers]
        names = tuple(dict.fromkeys(str(annotations[key]) for key in _FULL_NAMES if annotations.get(key)))
        found.append(Stored(files, names[:1], _config(files, manifest, what), layers, digest))
    return found


def _resolve(files: Files, digest: str, media_type: str, what: str, platform: str) -> tuple[dict[str, Any], str]:
    """The manifest behind a digest, and its own digest: an index leads on to that of the platform."""
    content = _checked(files, digest, what)
    document = read_document(content, f"{what}: {digest}")
    if is_index(document, media_type):
        digest = choose_platform(document, platform, what).digest
        document = read_document(_checked(files, digest, what), f"{what}: {digest}")
    return document, digest


def _config(files: Files, manifest: Manifest, what: str) -> bytes:
    return _checked(files, manifest.config.digest, what)


def _checked(files: Files, digest: str, what: str) -> bytes:
    content = _read(files, _blob(digest), what)
    check_digest(content, digest, f"{what}: a blob")
    return content


def _blob(digest: str) -> str:
    hasher(digest)
    algorithm, _, name = digest.partition(":")
    return f"blobs/{algorithm}/{name}"


def _read(files: Files, path: str, what: str) -> bytes:
    content = b""
    with files.open(path) as stream:
        while piece := stream.read(1 << 16):
            content += piece
            if len(content) > LARGEST_DOCUMENT:
                raise Invalid(f"{what}: {path} is too long")
    return content


def _read_optional(files: Files, path: str) -> bytes | None:
    try:
        return _read(files, path, path)
    except NotFound:
        return None
