"""Brings images into the cache: from a registry, or from a folder or tar file. Layers come and are unpacked side by side."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from local_runner.errors import Invalid
from local_runner.oci import layout
from local_runner.oci.cache import ImageCache, Kept
from local_runner.oci.documents import (
    Descriptor,
    check_digest,
    choose_platform,
    digest_of,
    host_platform,
    is_index,
    read_config,
    read_document,
    read_manifest,
)
from local_runner.oci.reference import Reference, parse_reference
from local_runner.oci.registry import Registry
from local_runner.oci.streams import Checked, Readable
from local_runner.oci.unpack import unpack

_AT_ONCE = 4  # layers; more only share the same line


class Progress(Protocol):
    """Is told how far a pull is, from several threads."""

    def begins(self, image: str, layers: int, size: int) -> None:
        """So many layers are missing, of so many bytes as they come; 0 if that is not known."""
        ...

    def came(self, size: int) -> None:
        """So many more bytes; fewer than none where something has to come again."""
        ...

    def unpacked(self) -> None:
        """One more layer is here."""
        ...


class Silent:
    def begins(self, image: str, layers: int, size: int) -> None: ...

    def came(self, size: int) -> None: ...

    def unpacked(self) -> None: ...


class _Source(Protocol):
    """An image that is somewhere else. `layers` are as they are there, the lowest first."""

    @property
    def config(self) -> bytes: ...

    @property
    def digest(self) -> str: ...

    @property
    def layers(self) -> Sequence[Descriptor]: ...

    def open(self, number: int, came: Callable[[int], None]) -> AbstractContextManager[Readable]:
        """A layer by its number; `came` is told of its bytes as they come."""
        ...


def pull(cache: ImageCache, text: str, *, insecure: Collection[str] = (), platform: str = "", progress: Progress | None = None) -> Kept:
    """Take an image from its registry, for this machine unless a platform is named; what is here already is not fetched again.

    `insecure` are names of registries that need not prove who they are. Raises `Invalid`, `NotFound`, `Unavailable`, `DiskFull`.
    """
    reference = parse_reference(text)
    progress = progress or Silent()
    remote = _Remote(cache, reference, Registry(reference, insecure), platform)
    return _keep(cache, remote, [reference], platform, progress)[0]


def load(cache: ImageCache, path: Path, *, name: str = "", platform: str = "", progress: Progress | None = None) -> list[Kept]:
    """Take the images in a folder of the OCI layout, or in a tar file of `docker save` or `podman save`, under the names they have there.

    `name` is for an image that has none, or another name for the only one. Raises as `pull`.
    """
    progress = progress or Silent()
    kept: list[Kept] = []
    with layout.opened(path) as files:
        found = layout.images_in(files, str(path), platform)
        if name and len(found) != 1:
            raise Invalid(
                f"{path} has {len(found)} images, so they cannot all be called {name}", hint="leave the name out: they have their own"
            )
        for image in found:
            references = [parse_reference(name)] if name else list(_names(image.names, path))
            kept += _keep(cache, image, references, platform, progress)
    return kept


def _names(names: Sequence[str], path: Path) -> Iterator[Reference]:
    """Those that are names; some tools write no more than a tag."""
    usable = [name for name in names if "/" in name or ":" in name]
    if not usable:
        raise Invalid(f"the image in {path} has no name", hint="give it one: image load PATH NAME")
    for name in usable:
        # podman says localhost/ of what was built here, where specs do not.
        yield parse_reference(name.removeprefix("localhost/"))


def _keep(cache: ImageCache, source: _Source, references: Sequence[Reference], platform: str, progress: Progress) -> list[Kept]:
    what = references[0].familiar
    config = read_config(source.config, what)
    _check_platform(config.platform, platform or host_platform(), what)
    if len(config.layers) != len(source.layers):
        raise Invalid(f"{what} has {len(source.layers)} layers, and its configuration speaks of {len(config.layers)}")
    here = [cache.find(str(reference)) for reference in references]
    if all(kept and (kept.id, kept.digest) == (digest_of(source.config), source.digest) for kept in here):
        progress.begins(what, 0, 0)
        return [kept for kept in here if kept]
    missing = {digest: number for number, digest in enumerate(config.layers) if not cache.has_layer(digest)}
    progress.begins(what, len(missing), sum(max(0, source.layers[number].size) for number in missing.values()))
    _bring(cache, source, missing, what, progress)
    with contextlib.ExitStack() as stack:  # nobody collects them before they have a name
        for digest in set(config.layers):
            stack.enter_context(cache.using_layer(digest, what))
        return [cache.keep_image(reference, source.config, source.digest) for reference in references]


def _check_platform(platform: str, wanted: str, what: str) -> None:
    """Processors that are not named are taken to fit, and variants are the index's affair."""
    ours, theirs = wanted.split("/")[:2], platform.split("/")[:2]
    if len(theirs) == 2 and theirs != ours:
        raise Invalid(
            f"{what} is for {platform}, and this machine is {wanted}", hint="take a tag that was built for this machine's processor"
        )


def _bring(cache: ImageCache, source: _Source, missing: dict[str, int], what: str, progress: Progress) -> None:
    """Fetch and unpack layers; the first that fails stops the others."""
    stop = threading.Event()

    def go_on() -> None:
        if stop.is_set():
            raise _Stopped

    def came(size: int) -> None:
        go_on()
        progress.came(size)

    def bring(digest: str, number: int) -> None:
        with cache.only_one(digest):
            if not cache.has_layer(digest):
                with source.open(number, came) as stream:
                    _unpack(cache, Checked(stream, source.layers[number].digest, f"a layer of {what}", lambda _: go_on()), digest, what)
        progress.unpacked()

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pull") as pool:
        try:
            for task in as_completed([pool.submit(bring, *item) for item in missing.items()]):
                task.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _unpack(cache: ImageCache, stream: Checked, digest: str, what: str) -> None:
    with cache.new_folder() as folder:
        tree = folder / "tree"
        tree.mkdir()
        tree.chmod(0o755)
        layer = unpack(stream, digest, tree, f"a layer of {what}")
        stream.finish()
        cache.keep_layer(digest, folder, layer)


class _Stopped(Exception):
    """Another layer failed, or somebody pressed Ctrl-C, and that is what is told."""


class _Remote:
    """An image in a registry; layers are downloaded before anything is done with them, and what is cut goes on next time."""

    def __init__(self, cache: ImageCache, reference: Reference, registry: Registry, platform: str) -> None:
        self._cache, self._registry = cache, registry
        what = reference.familiar
        content, media_type = registry.manifest(reference.version)
        if reference.digest:
            check_digest(content, reference.digest, what)
        self.digest = digest_of(content)
        document = read_document(content, f"the manifest of {what}")
        if is_index(document, media_type):
            chosen = choose_platform(document, platform or host_platform(), what)
            content, media_type = registry.manifest(chosen.digest)
            check_digest(content, chosen.digest, what)
            document = read_document(content, f"the manifest of {what}")
        manifest = read_manifest(document, media_type, what)
        self.layers = manifest.layers
        self.config = registry.blob(manifest.config.digest)
        check_digest(self.config, manifest.config.digest, f"the configuration of {what}")

    @contextlib.contextmanager
    def open(self, number: int, came: Callable[[int], None]) -> Iterator[Readable]:
        blob = self.layers[number]
        draft = self._cache.draft(f"{blob.digest}.part")
        self._registry.download(blob, draft, came)
        with draft.open("rb") as file:
            yield file
        draft.unlink(missing_ok=True)
