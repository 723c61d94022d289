"""Pairs of texts that people attach to things, and how they are changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from local_runner.errors import Invalid, Refused
from local_runner.model.refs import BranchRef, CommitQuery, PipelineRef, RepoRef

# A project by its name; None is the home itself, a cluster's metadata.
Target: TypeAlias = str | RepoRef | BranchRef | CommitQuery | PipelineRef | None


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of a thing's pairs: `put` is laid over what is there, or with `replace` in its place; then those of `delete` go.

    With `only_new`, a key of `put` must not be there yet.
    """

    target: Target
    put: Mapping[str, str] = field(default_factory=dict, hash=False)
    delete: tuple[str, ...] = ()
    replace: bool = False
    only_new: bool = False

    def apply(self, pairs: Mapping[str, str]) -> dict[str, str]:
        """What becomes of these pairs. Raises `Refused` for a key that is there already, `Invalid` for an empty one."""
        if "" in self.put or "" in self.delete:
            raise Invalid("a key of metadata must not be empty")
        there = next((key for key in self.put if key in pairs), None)
        if self.only_new and there is not None:
            raise Refused(f'add_key target key "{there}" already exists; use edit_key instead')
        found = dict(self.put) if self.replace else {**pairs, **self.put}
        return {key: value for key, value in found.items() if key not in self.delete}
