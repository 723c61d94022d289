"""Images that are kept unpacked on this machine, each layer once, whatever images have it.

    images/
      images.json           name of an image -> its configuration's digest, and the manifest's it came by
      configs/HEX.json      configurations as they were, under their digest
      layers/HEX/tree       a layer's files, under the digest of its tar file; layer.json beside it says what it removes of others
      roots/HEX/tree        merged copies, where Linux does not stack layers; HEX is of their layers
      drafts/               what is under way: cut downloads, and folders that get their name when they are whole
      lock                  held while names change

It is of one user, and nobody else may look into it: what is in an image may have rights that others must not get.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from local_runner import beneath
from local_runner.errors import Invalid, NotFound, Unavailable
from local_runner.oci.documents import Config, check_digest, digest_of, read_config
from local_runner.oci.merge import merge
from local_runner.oci.reference import Reference, parse_reference
from local_runner.oci.unpack import Layer

_HEX = re.compile(r"[0-9a-f]{64,128}")
_SHORTEST_ID = 12
_ABANDONED = 24 * 3600  # seconds after which nobody comes back to a draft


@dataclass(frozen=True, slots=True)
class Kept:
    """An image that is here. `id` is the digest of its configuration, `digest` that of its manifest, "" if it came without one.

    `size` is in bytes, of all its layers; `pulled` is when it came here.
    """

    reference: Reference
    id: str
    digest: str
    config: Config
    size: int
    pulled: str


class Freed(NamedTuple):
    """What was removed: names of images, folders of layers and copies, and their bytes."""

    images: int
    layers: int
    size: int


class LayerLost(Unavailable):
    """A layer of an image that is named is not here."""


def default_folder() -> Path:
    """Beside what else this user's programs keep that can be had again ($XDG_CACHE_HOME, else ~/.cache)."""
    place = os.environ.get("XDG_CACHE_HOME", "")
    return Path(place if os.path.isabs(place) else os.path.expanduser("~/.cache"), "local_runner", "images")


class ImageCache:
    """The images of one user. Several processes may use it at once."""

    def __init__(self, folder: Path | None = None) -> None:
        """Nothing is made before something is kept."""
        self.folder = folder or default_folder()

    # What is here

    def images(self) -> list[Kept]:
        """All, by name; one that has lost a layer is not here. Raises `Unavailable`."""
        kept = (self._kept(name, entry) for name, entry in sorted(self._names().items()))
        return [image for image in kept if image is not None]

    def find(self, text: str) -> Kept | None:
        """An image by a name as specs have it, with its digest if one is given, or by the first 12 digits of its id.

        Raises `Invalid` for what is neither.
        """
        names = self._names()
        if _HEX.fullmatch(text.removeprefix("sha256:").ljust(64, "0")) and len(text.removeprefix("sha256:")) >= _SHORTEST_ID:
            wanted = text.removeprefix("sha256:")
            for name, entry in names.items():
                if entry.get("id", "").partition(":")[2].startswith(wanted):
                    return self._kept(name, entry)
        reference = parse_reference(text)
        if reference.digest:
            for name, entry in names.items():
                if parse_reference(name).name == reference.name and reference.digest in (entry.get("digest"), entry.get("id")):
                    return self._kept(name, entry)
            return None
        name = str(reference)
        return self._kept(name, names[name]) if name in names else None

    def get(self, text: str) -> Kept:
        """As `find`. Raises `NotFound`."""
        found = self.find(text)
        if found is None:
            raise NotFound(f"image {text} is not here", hint=f"image pull {text} brings it; image list shows what is here")
        return found

    def has_layer(self, diff_id: str) -> bool:
        return self._layer_folder(diff_id).is_dir()

    # What comes and goes

    def draft(self, name: str) -> Path:
        """A place for something under way, which stays for a later try."""
        self._prepare()
        return self.folder / "drafts" / name.replace(":", "-")

    @contextlib.contextmanager
    def only_one(self, name: str) -> Iterator[None]:
        """Others who want the same draft wait until the block ends."""
        with self._locked(self.draft(f"{name}.lock")):
            yield

    @contextlib.contextmanager
    def new_folder(self) -> Iterator[Path]:
        """A folder that is gone after the block, unless it was kept."""
        self._prepare()
        folder = Path(tempfile.mkdtemp(prefix="new-", dir=self.folder / "drafts"))
        try:
            yield folder
        finally:
            with contextlib.suppress(FileNotFoundError):
                beneath.remove(folder)

    def keep_layer(self, diff_id: str, folder: Path, layer: Layer) -> None:
        """Give a folder from `new_folder`, with the layer's files in its `tree`, the layer's name."""
        (folder / "layer.json").write_text(json.dumps(layer.plain()))
        _publish(folder, self._layer_folder(diff_id))

    def keep_image(self, reference: Reference, config: bytes, digest: str = "") -> Kept:
        """Give an image whose layers are here its name; who had it before loses it. Raises `Invalid`, `LayerLost`."""
        self._prepare()
        image_id = digest_of(config)
        read_config(config, reference.familiar)
        _write(self.folder / "configs" / f"{image_id.partition(':')[2]}.json", config)
        entry = {"id": image_id, "digest": digest, "pulled": datetime.now(UTC).isoformat(timespec="seconds")}
        with self._locked(self.folder / "lock"):
            self._write_names({**self._names(), str(reference): entry})
        kept = self._kept(str(reference), entry)
        if kept is None:
            raise LayerLost(f"a layer of {reference.familiar} was removed while it came", hint="try again")
        return kept

    def remove(self, texts: Sequence[str]) -> Freed:
        """Take away these names, and what no other image needs. Raises `NotFound`; then nothing is removed."""
        gone = {str(self.get(text).reference) for text in texts}
        with self._locked(self.folder / "lock"):
            self._write_names({name: entry for name, entry in self._names().items() if name not in gone})
        freed = self.collect()
        return freed._replace(images=len(gone))

    def collect(self) -> Freed:
        """Remove layers that no image has, unless a worker is using them, and what was begun more than a day ago and never ended."""
        if not self.folder.is_dir():
            return Freed(0, 0, 0)
        with self._locked(self.folder / "lock"):
            names = self._names()
            configs = {entry["id"].partition(":")[2] for entry in names.values()}
            needed = [image.config.layers for image in self.images()]
            layers = {_hex(digest) for digests in needed for digest in digests}
            roots = {_root_name(digests) for digests in needed}
            count = size = 0
            for place, wanted in (("roots", roots), ("layers", layers)):
                for folder in sorted((self.folder / place).iterdir()):
                    if folder.name not in wanted and (freed := self._remove_folder(folder)) is not None:
                        count, size = count + 1, size + freed
            for config in (self.folder / "configs").iterdir():
                if config.stem not in configs:
                    config.unlink(missing_ok=True)
            for draft in (self.folder / "drafts").iterdir():
                status = draft.lstat()
                if status.st_mtime < time.time() - _ABANDONED:
                    size += status.st_size if draft.is_file() else 0
                    beneath.remove(draft)
            return Freed(0, count, size)

    # What workers use

    @contextlib.contextmanager
    def using(self, image: Kept) -> Iterator[list[Path]]:
        """The folders of an image's layers, the topmost first, which stay until the block ends. Raises `LayerLost`.

        A layer that an image has twice is named once: what lies below its own copy is hidden by it.
        """
        with contextlib.ExitStack() as stack:
            found = []
            for digest in dict.fromkeys(reversed(image.config.layers)):
                found.append(stack.enter_context(self.using_layer(digest, image.reference.familiar)))
            yield found

    @contextlib.contextmanager
    def using_layer(self, diff_id: str, what: str) -> Iterator[Path]:
        """One of them; `what` is the image it is wanted for. Raises `LayerLost`."""
        folder = self._layer_folder(diff_id)
        with self._held(folder, what):
            yield folder / "tree"

    @contextlib.contextmanager
    def merged(self, image: Kept) -> Iterator[Path]:
        """A folder with the files of all layers in one, made the first time, which stays until the block ends. Raises `Unavailable`."""
        name = _root_name(image.config.layers)
        folder = self.folder / "roots" / name
        with self.only_one(name), self.using(image) as trees:
            if not folder.is_dir():
                with self.new_folder() as draft:
                    (draft / "tree").mkdir()
                    merge([(tree, self.layer(tree)) for tree in reversed(trees)], draft / "tree")
                    (draft / "layer.json").write_text(json.dumps(Layer().plain()))  # its files are those of the layers
                    _publish(draft, folder)
        with self._held(folder, image.reference.familiar):
            yield folder / "tree"

    def layer(self, tree: Path) -> Layer:
        """What is known of a layer by its folder."""
        return Layer.of(json.loads((tree.parent / "layer.json").read_text()))

    # How it is kept

    def _kept(self, name: str, entry: Mapping[str, str]) -> Kept | None:
        """None where something of it is gone."""
        try:
            content = (self.folder / "configs" / f"{_hex(entry['id'])}.json").read_bytes()
            check_digest(content, entry["id"], name)
            config = read_config(content, name)
            size = sum(self.layer(self._layer_folder(digest) / "tree").size for digest in set(config.layers))
        except (OSError, KeyError, ValueError, Invalid):
            return None
        return Kept(parse_reference(name), entry["id"], entry.get("digest", ""), config, size, entry.get("pulled", ""))

    def _names(self) -> dict[str, dict[str, str]]:
        path = self.folder / "images.json"
        try:
            document = json.loads(path.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as why:
            raise Unavailable(f"{path} cannot be read: {why}", hint="remove it, and pull the images again") from None
        return {str(name): dict(entry) for name, entry in document.items()}

    def _write_names(self, names: Mapping[str, Mapping[str, str]]) -> None:
        _write(self.folder / "images.json", json.dumps(names, indent=1, sort_keys=True).encode())

    def _layer_folder(self, diff_id: str) -> Path:
        return self.folder / "layers" / _hex(diff_id)

    def _prepare(self) -> None:
        if not (self.folder / "drafts").is_dir():
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self.folder.chmod(0o700)
                for name in ("configs", "layers", "roots", "drafts"):
                    (self.folder / name).mkdir(exist_ok=True)
            except OSError as why:
                raise Unavailable(
                    f"images cannot be kept in {self.folder}: {why.strerror}", hint="set XDG_CACHE_HOME to another folder"
                ) from None

    @contextlib.contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        self._prepare()
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _held(self, folder: Path, what: str) -> Iterator[None]:
        """Nobody removes a folder of a layer while this is held."""
        lost = LayerLost(f"a layer of image {what} is not here any more", hint=f"image pull {what} brings it again")
        try:
            file = (folder / "layer.json").open()
        except OSError:
            raise lost from None
        with file:
            fcntl.flock(file, fcntl.LOCK_SH)
            if not folder.is_dir():  # removed while we waited
                raise lost
            yield

    def _remove_folder(self, folder: Path) -> int | None:
        """How many bytes that gave; None if somebody uses it."""
        try:
            with (folder / "layer.json").open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                size = int(json.load(file)["size"])
                gone = Path(tempfile.mkdtemp(prefix="gone-", dir=self.folder / "drafts"))
                folder.rename(gone / "layer")
                beneath.remove(gone)
        except BlockingIOError:
            return None
        except (FileNotFoundError, ValueError, KeyError):
            beneath.remove(folder)
            return 0
        return size


def _hex(digest: str) -> str:
    """The name that something of a digest has here."""
    algorithm, _, name = digest.partition(":")
    if not _HEX.fullmatch(name):
        raise Invalid(f"{digest!r} is no digest")
    return name if algorithm == "sha256" else f"{algorithm}-{name}"


def _root_name(digests: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _publish(draft: Path, target: Path) -> None:
    """Give a folder its name once all in it is on the disk: after a crash it is there whole, or not there."""
    _sync(draft)
    draft.chmod(0o700)
    try:
        draft.rename(target)
    except OSError:
        if not target.is_dir():  # else somebody else was first
            raise


def _sync(folder: Path) -> None:
    """All that was written to the disk it is on: for thousands of files that is quicker than one by one."""
    descriptor = beneath.open_root(folder)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "syncfs"):
            os.sync()
        elif libc.syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as draft:
        draft.write(content)
        draft.flush()
        os.fsync(draft.fileno())
    os.replace(draft.name, path)
