"""What a Dockerfile installs with pip, against the Python in use."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^]]*\])?\s*\(?(?P<versions>[^;@)]*)")
_CLAUSE = re.compile(r"(===|==|~=|!=|<=|>=|<|>)\s*([^\s,]+)")


def read_requirements(path: Path) -> tuple[str, ...]:
    """The requirements in a file and in those it names with -r; options, links and local packages are left out. Raises OSError."""
    found: list[str] = []
    for line in path.read_text().replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        if nested := re.fullmatch(r"(?:-r|--requirement)[\s=]*(\S+)", line):
            found += read_requirements(path.parent / nested[1])
        elif line and not line.startswith(("-", ".", "/")) and "://" not in line.split("@")[0]:
            found.append(re.split(r"\s+--", line)[0].strip())
    return tuple(found)


def unmet(requirements: Iterable[str]) -> tuple[str, ...]:
    """Those the Python in use does not meet, each with what there is instead: "numpy<2 (2.1.0 is installed)".

    A requirement with an environment marker is passed over: it may not be meant for this machine.
    """
    from importlib import metadata  # 30 ms, for the few commands that ask

    missing = []
    for requirement in requirements:
        parsed = _REQUIREMENT.match(requirement)
        if not parsed or ";" in requirement:
            continue
        try:
            installed = metadata.version(parsed["name"])
        except metadata.PackageNotFoundError:
            missing.append(f"{requirement} (not installed)")
            continue
        if not all(_meets(installed, operator, wanted) for operator, wanted in _CLAUSE.findall(parsed["versions"])):
            missing.append(f"{requirement} ({installed} is installed)")
    return tuple(missing)


def _meets(installed: str, operator: str, wanted: str) -> bool:
    """Whether a version is as wanted; only the numbers of a release are compared, pre-releases count as the release."""
    if operator == "===":
        return installed == wanted
    if wanted.endswith(".*"):
        prefix = _release(wanted[:-2])
        same = _release(installed)[: len(prefix)] == prefix
        return same if operator == "==" else not same
    have, want = _padded(_release(installed), _release(wanted))
    if operator == "~=":
        series = _release(wanted)[:-1]
        return have >= want and have[: len(series)] == series
    return {"==": have == want, "!=": have != want, "<": have < want, ">": have > want, "<=": have <= want, ">=": have >= want}[operator]


def _release(version: str) -> tuple[int, ...]:
    found = re.match(r"v?(?:\d+!)?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def _padded(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    length = max(len(one), len(other))
    return one + (0,) * (length - len(one)), other + (0,) * (length - len(other))
