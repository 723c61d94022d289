"""Compares what a Dockerfile installs with pip with the packages of the Python in use."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path


def read_requirements(path: Path) -> tuple[str, ...]:
    """The requirements in a file and in those it names with -r; options, links and local packages are left out. Raises OSError."""
    return tuple(_read(path, set()))


def _read(path: Path, seen: set[Path]) -> Iterable[str]:
    if path.resolve() in seen:  # files may name each other
        return
    seen.add(path.resolve())
    for line in path.read_text(errors="replace").replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        if nested := re.fullmatch(r"(?:-r|--requirement)[\s=]*(\S+)", line):
            yield from _read(path.parent / nested[1], seen)
        elif line and not line.startswith(("-", ".", "/")) and "://" not in line.split("@")[0]:
            yield re.split(r"\s+--", line)[0].strip()


def unmet(requirements: Iterable[str]) -> tuple[str, ...]:
    """The requirements that the Python in use does not meet, each with what it has: "numpy<2 (2.1.0 is installed)".

    A requirement whose environment marker does not hold here is not meant for this machine; what pip cannot read is left to pip.
    """
    from importlib import metadata  # 30 ms, for the few commands that ask

    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.version import InvalidVersion

    missing = []
    for text in requirements:
        try:
            wanted = Requirement(text)
            if wanted.marker and not wanted.marker.evaluate():
                continue
            installed = metadata.version(wanted.name)
            if not wanted.specifier.contains(installed, prereleases=True):
                missing.append(f"{text} ({installed} is installed)")
        except metadata.PackageNotFoundError:
            missing.append(f"{text} (not installed)")
        except (InvalidRequirement, InvalidVersion):
            continue
    return tuple(missing)
