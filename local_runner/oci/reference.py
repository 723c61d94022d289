"""The name of an image, read by docker's rules: which registry, which repository there, and which tag or digest."""

from __future__ import annotations

import re
from dataclasses import dataclass

from local_runner.errors import Invalid

DOCKER_HUB = "docker.io"
_OFFICIAL = "library/"
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(?::\d+)?"
)
_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Reference:
    """An image in a registry. `tag` is "" only where there is a digest, which then is all that counts."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def version(self) -> str:
        """What a registry is asked for: the digest if there is one, else the tag."""
        return self.digest or self.tag

    @property
    def familiar(self) -> str:
        """As people write it: `python:3.12` for docker.io/library/python:3.12."""
        short = self.repository.removeprefix(_OFFICIAL) if self.repository.count("/") == 1 else self.repository
        is_clear = self.registry == DOCKER_HUB and not _is_registry(*short.partition("/")[:2])
        return (short if is_clear else self.name) + self._suffix

    def __str__(self) -> str:
        return self.name + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str) -> Reference:
    """`python`, `acme/scan:1`, `host:5000/team/scan@sha256:…` as docker reads them (distribution's grammar). Raises `Invalid`.

    What stands before the first slash is a registry if it has a dot, a colon or a capital letter in it, or is `localhost`; else the
    registry is docker.io.
    """
    name, _, digest = text.partition("@")
    head, colon, tag = name.rpartition(":")
    if colon and "/" not in tag:
        name = head
    else:
        tag = ""
    if (colon and not tag and "/" not in name.rpartition(":")[2]) or ("@" in text and not _DIGEST.fullmatch(digest)):
        raise _no_reference(text)
    registry, slash, repository = name.partition("/")
    if not _is_registry(registry, slash):
        registry, repository = DOCKER_HUB, name
    if registry in ("index.docker.io", "registry-1.docker.io"):
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in repository:
        repository = _OFFICIAL + repository
    is_name = _HOST.fullmatch(registry) and all(map(_PART.fullmatch, repository.split("/"))) and len(name) <= _LONGEST_NAME
    if not is_name or (tag and not _TAG.fullmatch(tag)):
        raise _no_reference(text)
    return Reference(registry, repository, tag or ("" if digest else "latest"), digest)


def _is_registry(head: str, slash: str) -> bool:
    return bool(slash) and (bool(re.search(r"[.:A-Z]", head)) or head == "localhost")


def _no_reference(text: str) -> Invalid:
    return Invalid(f"{text!r} is no name of an image", hint="write it as python:3.12, acme/scan:1 or host:5000/acme/scan@sha256:…")
