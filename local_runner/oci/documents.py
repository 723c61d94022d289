"""What registries, layouts and archives say about an image: indexes, manifests and configurations, read and checked."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_runner.errors import Invalid, NotFound, Unsupported

INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_OLD_MANIFEST = "application/vnd.docker.distribution.manifest.v1"
LARGEST_DOCUMENT = 4 << 20  # bytes; what registries accept of a manifest
_MOST_LAYERS = 500  # as many as Linux stacks

_DIGEST = re.compile(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})")
# What Python calls a processor -> what images call it, and its variants from best to oldest.
_PROCESSORS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "x86_64": ("amd64", ("", "v1")),
    "aarch64": ("arm64", ("v8", "")),
    "armv7l": ("arm", ("v7", "v6", "v5", "")),
    "armv6l": ("arm", ("v6", "v5", "")),
    "i686": ("386", ("",)),
    "ppc64le": ("ppc64le", ("",)),
    "s390x": ("s390x", ("",)),
    "riscv64": ("riscv64", ("",)),
    "loongarch64": ("loong64", ("",)),
}


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Points to something by its digest. `size` is in bytes, -1 if it is not told; `digest` is "" where an old archive has none."""

    digest: str
    size: int
    media_type: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image of one platform: its configuration, and its layers from the lowest to the topmost."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class Config:
    """How an image wants to be run. `layers` are the digests of its unpacked layers, from the lowest to the topmost."""

    layers: tuple[str, ...]
    env: Mapping[str, str]
    working_dir: str = "/"
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    labels: Mapping[str, str] = ()  # type: ignore[assignment]  # always given
    platform: str = ""
    created: str = ""


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def hasher(digest: str) -> Any:
    """What computes digests of the kind of this one. Raises `Invalid` for one that is none."""
    found = _DIGEST.fullmatch(digest)
    if not found:
        raise Invalid(f"{digest!r} is no digest of sha256 or sha512")
    return hashlib.new(found[1] or found[3])


def check_digest(content: bytes, digest: str, what: str) -> None:
    """Raises `Invalid` if these are not the bytes that the digest is of."""
    computed = hasher(digest)
    computed.update(content)
    if computed.hexdigest() != digest.partition(":")[2]:
        raise Invalid(f"{what} is not what its digest {digest} is of", hint="it was damaged or replaced on its way; get it again")


def host_platform() -> str:
    """Of this machine, as images name it: `linux/amd64`, `linux/arm64/v8`."""
    name, variants = _PROCESSORS.get(os.uname().machine, (os.uname().machine, ("",)))
    return "/".join(filter(None, ("linux", name, variants[0])))


def is_index(document: Mapping[str, Any], media_type: str = "") -> bool:
    return (document.get("mediaType") or media_type) in INDEXES or isinstance(document.get("manifests"), list)


def read_document(content: bytes, what: str) -> dict[str, Any]:
    """Raises `Invalid` for what is no JSON object of a sensible size."""
    try:
        if len(content) > LARGEST_DOCUMENT:
            raise ValueError(f"{len(content)} bytes are too many")
        document = json.loads(content)
        if not isinstance(document, dict):
            raise ValueError("it is no object")
    except (ValueError, RecursionError) as why:
        raise Invalid(f"{what} cannot be read: {why}", hint="is that a registry of images?") from None
    return document


def choose_platform(document: Mapping[str, Any], wanted: str, what: str) -> Descriptor:
    """The manifest in an index that is for a platform; a variant that is older will do. Raises `NotFound`, `Invalid`."""
    system, _, rest = wanted.partition("/")
    name, _, variant = rest.partition("/")
    variants = next((known for other, known in _PROCESSORS.values() if other == name and variant in known), (variant, ""))
    variants = variants[variants.index(variant) :]
    listed = [entry for entry in _list(document, "manifests", what) if isinstance(entry, dict)]
    offered: dict[str, Descriptor] = {}
    for entry in listed:
        platform = entry.get("platform")
        if isinstance(platform, dict):
            offered.setdefault(
                "/".join(str(platform.get(part, "")) for part in ("os", "architecture", "variant")), _descriptor(entry, what)
            )
        elif len(listed) == 1:
            return _descriptor(entry, what)
    for candidate in variants:
        if found := offered.get(f"{system}/{name}/{candidate}"):
            return found
    there = ", ".join(sorted(key.rstrip("/") for key in offered if not key.startswith("unknown/"))) or "none"
    raise NotFound(f"{what} is not there for {wanted}, only for {there}", hint="take a tag that was built for this machine's processor")


def read_manifest(document: Mapping[str, Any], media_type: str, what: str) -> Manifest:
    """Raises `Invalid`, or `Unsupported` for the form of before 2016."""
    kind = str(document.get("mediaType") or media_type)
    if kind.startswith(_OLD_MANIFEST) or document.get("schemaVersion") == 1:
        raise Unsupported(
            f"{what} has a manifest of schema 1, which registries gave up", hint="push the image again with a present docker or podman"
        )
    if not isinstance(document.get("config"), dict):
        raise Invalid(f"{what} has no manifest of an image", hint="is it an image, and not a chart or another artifact?")
    layers = tuple(_descriptor(entry, what) for entry in _list(document, "layers", what))
    if len(layers) > _MOST_LAYERS:
        raise Invalid(f"{what} has {len(layers)} layers; {_MOST_LAYERS} can be stacked")
    return Manifest(_descriptor(document["config"], what), layers)


def read_config(content: bytes, what: str) -> Config:
    """The configuration of an image, as docker and OCI write it. Raises `Invalid`."""
    document = read_document(content, f"the configuration of {what}")
    rootfs, wanted = document.get("rootfs"), document.get("config") or {}
    if not isinstance(rootfs, dict) or not isinstance(wanted, dict):
        raise Invalid(f"{what} has no configuration of an image", hint="is it an image, and not a chart or another artifact?")
    layers = tuple(str(digest) for digest in _list(rootfs, "diff_ids", what))
    for digest in layers:
        hasher(digest)
    if len(layers) > _MOST_LAYERS:
        raise Invalid(f"{what} has {len(layers)} layers; {_MOST_LAYERS} can be stacked")
    env = dict(str(line).partition("=")[::2] for line in wanted.get("Env") or () if "=" in str(line))
    platform = "/".join(filter(None, (str(document.get(part) or "") for part in ("os", "architecture", "variant"))))
    return Config(
        layers,
        env,
        working_dir=str(wanted.get("WorkingDir") or "/"),
        user=str(wanted.get("User") or ""),
        entrypoint=_words(wanted.get("Entrypoint")),
        command=_words(wanted.get("Cmd")),
        labels={str(key): str(value) for key, value in (wanted.get("Labels") or {}).items()},
        platform=platform,
        created=str(document.get("created") or ""),
    )


def _descriptor(entry: Any, what: str) -> Descriptor:
    if not isinstance(entry, dict) or not isinstance(size := entry.get("size", -1), int):
        raise Invalid(f"{what} points to something in a way that cannot be read", hint="is that a registry of images?")
    digest = str(entry.get("digest", ""))
    hasher(digest)
    return Descriptor(digest, size, str(entry.get("mediaType", "")))


def _list(document: Mapping[str, Any], field: str, what: str) -> Sequence[Any]:
    found = document.get(field)
    if not isinstance(found, list):
        raise Invalid(f"{what}: {field} is no list")
    return found


def _words(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else (str(value),) if value else ()
