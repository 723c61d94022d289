"""The name of a repo in tables."""

from __future__ import annotations

from local_runner.model.refs import USER, RepoRef


def shown_name(repo: RepoRef) -> str:
    """The name with its type, if that is not "user", as tables show it."""
    return repo.name if repo.type == USER else f"{repo.name}.{repo.type}"
