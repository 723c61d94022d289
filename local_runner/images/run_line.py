"""Reads the RUN of a Dockerfile: what it installs with pip, what with other package managers, and what else is worth a word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from local_runner.images.dockerfile import split

# By program, the words that begin an installation, and flags that take a value.
_MANAGERS = {
    **dict.fromkeys(("apt-get", "apt", "aptitude"), ("install",)),
    **dict.fromkeys(("yum", "dnf", "microdnf", "tdnf", "zypper"), ("install",)),
    "apk": ("add",),
    **dict.fromkeys(("conda", "mamba", "micromamba"), ("install", "create")),
    "npm": ("install", "i"),
    "gem": ("install",),
    "pacman": ("-S", "-Sy", "-Syu"),
}
_WITH_VALUE = frozenset({"-t", "-o", "-c", "-n", "--channel", "--name", "--repository", "--target-release", "--virtual", "-p", "--prefix"})
# What only prepares, shows or tidies up.
_HOUSEKEEPING = re.compile(
    r"(cd|set|echo|printf|export|true|ls|pwd|which|test|\[|ldconfig|rm|find|hash|locale-gen|update-ca-certificates)\b"
    r"|(apt-get|apt|yum|dnf|microdnf|apk|zypper|conda|npm|pip3?|pacman) (-\S+ )*(update|upgrade|dist-upgrade|clean|autoclean|autoremove"
    r"|makecache|cache|config|purge|remove|del|info)\b|\S+ (--version|-version|-V)$"
)
_FRONT = re.compile(r"(?:\s*(?:\w+=\S*|sudo|env|exec|time)\s+)*")
_SEPARATOR = re.compile(r"&&|\|\||;|\n")
_SHOWN = 100  # characters of a command


class RunLine(NamedTuple):
    """`pip` are the arguments of each `pip install`, `packages` those of package managers by their program, `others` the commands left."""

    pip: tuple[tuple[str, ...], ...]
    packages: tuple[tuple[str, str], ...]
    others: tuple[str, ...]


def read_run(script: str) -> RunLine:
    """Take a shell's script apart, as far as that can be told without running it."""
    pip: list[tuple[str, ...]] = []
    packages: list[tuple[str, str]] = []
    others: list[str] = []
    for part in _SEPARATOR.split(script):
        command = _FRONT.sub("", part, count=1).strip()
        words = split(command)
        if installed := _pip(words):
            pip.append(tuple(installed))
        elif found := list(_packages(words)):
            packages += found
        elif words and not _HOUSEKEEPING.match(command):
            others.append(command if len(command) <= _SHOWN else f"{command[:_SHOWN]}…")
    return RunLine(tuple(pip), tuple(packages), tuple(others))


def _pip(words: list[str]) -> list[str]:
    """The arguments of a `pip install`, `pip3 install` or `python -m pip install`; empty for another command."""
    for at, word in enumerate(words[:-1]):
        if re.fullmatch(r"(.*/)?pip[\d.]*", word) and words[at + 1] == "install":
            return words[at + 2 :]
    return []


def _packages(words: list[str]) -> Iterator[tuple[str, str]]:
    """(program, package) of what a package manager installs."""
    program = PurePosixPath(words[0]).name if words else ""
    begins = [at for at, word in enumerate(words) if word in _MANAGERS.get(program, ())]
    rest = iter(words[begins[0] + 1 :] if begins else ())
    for word in rest:
        if word in _WITH_VALUE:
            next(rest, None)
        elif word[0:1] not in ("-", ">", "<", "2", "/") and word not in ("|", "&"):
            yield program, word
