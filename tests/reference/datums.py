"""Input expressions as specs have them, and the datums they make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.lab import Lab

Input = Mapping[str, Any]

FOO = [f"/foo{i}" for i in range(50)]
BITS = [f"/file.{i:>4b}" for i in range(16)]  # numbers from 0 to 1111, with leading blanks


def pfs(glob: str, repo: str = "data", name: str = "", **fields: Any) -> Input:
    return {"pfs": {"repo": repo, "glob": glob, **({"name": name} if name else {}), **fields}}


def fill(lab: Lab, **repos: list[str]) -> None:
    """Repos with these files; each holds its own path."""
    for repo, paths in repos.items():
        lab.put(f"{repo}@master", {path: path for path in paths})


def datums(lab: Lab, input: Input) -> list[list[str]]:
    """The paths of each datum that a spec would make now, datums sorted by them."""
    found = lab.runner.list_datum_of({"pipeline": {"name": "p"}, "input": input}, "default")
    return sorted([file.path for file in info.datum.inputs] for info in found)


def ids(lab: Lab, input: Input) -> list[str]:
    found = lab.runner.list_datum_of({"pipeline": {"name": "p"}, "input": input}, "default")
    return [info.datum.id for info in found]
