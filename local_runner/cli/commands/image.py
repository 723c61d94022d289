"""`image pull|load|list|inspect|rm|gc`: the images that are kept on this machine, for which no container engine is needed."""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from local_runner.cli.app import App, command, raw_output
from local_runner.cli.meter import Meter, with_progress
from local_runner.cli.output import note
from local_runner.model.units import human_size

if TYPE_CHECKING:
    from local_runner.oci.cache import ImageCache, Kept

HEADER = ("NAME", "ID", "SIZE", "PULLED")
_ID_LENGTH = 12


@command("image pull python:3.12-slim")
@click.argument("image")
@click.option("--insecure", multiple=True, metavar="REGISTRY", help="A registry that need not prove who it is, or has no TLS.")
@click.option("--platform", default="", metavar="OS/PROCESSOR", help="Another machine's, as linux/arm64; else this machine's.")
@with_progress
def pull_image(app: App, image: str, insecure: Sequence[str], platform: str, progress: bool | None) -> None:
    """Take an image from its registry and keep it unpacked, so that pipelines that name it run in its files, without docker or podman.

    A pull that was cut goes on where it was. Passwords are those of `docker login` and `podman login`; mirrors are those of podman's
    registries.conf and docker's daemon.json.
    """
    from local_runner.oci.cache import ImageCache
    from local_runner.oci.pull import pull

    shown = _Shown(progress)
    with shown:
        kept = pull(ImageCache(), image, insecure=insecure, platform=platform, progress=shown)
    _tell(app, kept)


@command("image load scan.tar")
@click.argument("path", metavar="PATH|-")
@click.argument("name", default="")
@click.option("--platform", default="", metavar="OS/PROCESSOR", help="Another machine's, as linux/arm64; else this machine's.")
@with_progress
def load_image(app: App, path: str, name: str, platform: str, progress: bool | None) -> None:
    """Keep the images in a tar file of `docker save` or `podman save`, or in a folder of the OCI layout; NAME is for one without a name.

    `-` is standard input: `docker save acme/scan:1 | local_runner image load -`.
    """
    from local_runner.oci.cache import ImageCache
    from local_runner.oci.pull import load

    shown = _Shown(progress)
    with tempfile.NamedTemporaryFile(prefix="local_runner-") as copy, shown:
        if path == "-":
            shutil.copyfileobj(sys.stdin.buffer, copy)
            copy.flush()
        kept = load(ImageCache(), Path(copy.name if path == "-" else path), name=name, platform=platform, progress=shown)
    for image in kept:
        _tell(app, image)


@command("image list")
@raw_output
def list_images(app: App) -> None:
    """List the images that are kept here."""
    from local_runner.oci.cache import ImageCache

    app.out.show(ImageCache().images(), _document, HEADER, _row)


@command("image inspect python:3.12-slim")
@click.argument("image")
@raw_output
def inspect_image(app: App, image: str) -> None:
    """Show what an image that is kept here says of itself; its ENTRYPOINT and CMD are not used, as on a cluster."""
    from local_runner.oci.cache import ImageCache

    cache = ImageCache()
    app.out.show_one(cache.get(image), _document, lambda kept: _text(cache, kept))


@command("image rm python:3.12-slim")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
def remove_image(app: App, images: Sequence[str]) -> None:
    """Remove images that are kept here, with those of their layers that no other image has and no worker uses."""
    from local_runner.oci.cache import ImageCache

    freed = ImageCache().remove(images)
    app.out.line(f"{freed.images} removed, {freed.layers} layers, {human_size(freed.size)}")


@command("image gc")
def collect_images(app: App) -> None:
    """Give back the room of layers that no image has, and of pulls that nobody came back to for a day."""
    from local_runner.oci.cache import ImageCache

    freed = ImageCache().collect()
    app.out.line(f"{freed.layers} layers, {human_size(freed.size)}")


class _Shown(Meter):
    """Shows how far a pull is; layers report from several threads."""

    def __init__(self, shown: bool | None) -> None:
        super().__init__(shown)
        self._lock = threading.Lock()

    def begins(self, image: str, layers: int, size: int) -> None:
        with self._lock:
            self.total += size

    def came(self, size: int) -> None:
        with self._lock:
            self.add(size)

    def unpacked(self) -> None: ...


def _tell(app: App, kept: Kept) -> None:
    from local_runner.oci.cache import ImageCache

    app.out.line(f"{kept.reference.familiar} {_short(kept.id)} {human_size(kept.size)}")
    for text in _notes(ImageCache(), kept):
        note(text)


def _notes(cache: ImageCache, kept: Kept) -> Iterator[str]:
    with cache.using(kept) as trees:
        for tree in reversed(trees):
            yield from (f"image {kept.reference.familiar}: {text}" for text in cache.layer(tree).notes)


def _short(digest: str) -> str:
    return digest.partition(":")[2][:_ID_LENGTH]


def _row(kept: Kept) -> tuple[str, ...]:
    return kept.reference.familiar, _short(kept.id), human_size(kept.size), kept.pulled


def _document(kept: Kept) -> Mapping[str, Any]:
    config = kept.config
    return {
        "name": str(kept.reference),
        "id": kept.id,
        "digest": kept.digest,
        "platform": config.platform,
        "size_bytes": kept.size,
        "created": config.created,
        "pulled": kept.pulled,
        "env": dict(config.env),
        "working_dir": config.working_dir,
        "user": config.user,
        "entrypoint": list(config.entrypoint),
        "cmd": list(config.command),
        "labels": dict(config.labels),
        "layers": list(config.layers),
    }


def _text(cache: ImageCache, kept: Kept) -> Iterator[str]:
    config = kept.config
    yield f"Name: {kept.reference}"
    yield f"Id: {kept.id}"
    yield f"Digest: {kept.digest}"
    yield f"Platform: {config.platform}"
    yield f"Size: {human_size(kept.size)} in {len(config.layers)} layers"
    yield f"Created: {config.created}"
    yield f"Pulled: {kept.pulled}"
    yield f"Working Dir: {config.working_dir}"
    yield f"User: {config.user or 'root'}"
    yield "Env:"
    yield from (f"  {name}={value}" for name, value in config.env.items())
    yield f"Entrypoint (not used): {' '.join(config.entrypoint)}"
    yield f"Cmd (not used): {' '.join(config.command)}"
    yield from (f"Note: {text}" for text in _notes(cache, kept))
