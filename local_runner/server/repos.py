"""Calls about repos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from local_runner.errors import Invalid
from local_runner.server import infos, refs
from local_runner.server.call import Call
from local_runner.server.schema import Message, new, nothing

_T = TypeVar("_T")


def create_repo(call: Call, request: Message) -> Message:
    call.runner.create_repo(refs.repo(refs.given(request, "repo")), request.description, update=request.update)
    return nothing()


def inspect_repo(call: Call, request: Message) -> Message:
    return infos.repo_info(call.runner.inspect_repo(refs.repo(refs.given(request, "repo"))))


def list_repo(call: Call, request: Message) -> Iterator[Message]:
    found = call.runner.list_repo(refs.projects(request.projects), request.type)
    return map(infos.repo_info, paged(found, request.page))


def delete_repo(call: Call, request: Message) -> Message:
    deleted = call.runner.delete_repo(refs.repo(refs.given(request, "repo")), force=request.force)
    return new("pfs_v2.DeleteRepoResponse", deleted=deleted)


def delete_repos(call: Call, request: Message) -> Message:
    """Of some projects; of all of them only if that is said."""
    projects = None if request.all else refs.projects(request.projects) or []
    deleted = call.runner.delete_repos(projects, force=request.force)
    return new("pfs_v2.DeleteReposResponse", repos=map(infos.repo, deleted))


def repos_summary(call: Call, request: Message) -> Message:
    """How many repos each project has, and their size."""
    names = [refs.picked_project(picker) for picker in request.projects] or [info.name for info in call.runner.list_project()]
    return new("pfs_v2.ReposSummaryResponse", summaries=[_summary(call, name) for name in names])


def _summary(call: Call, name: str) -> Message:
    found = call.runner.list_repo([name])
    size = sum(info.size_upper_bound for info in found)
    return new("pfs_v2.ReposSummary", project=new("pfs_v2.Project", name=name), user_repo_count=len(found), size_bytes=size)


def paged(found: Sequence[_T], page: Message) -> Sequence[_T]:
    """One page of a list; all of it if no page is asked for. Raises `Invalid` for a page that cannot be."""
    if page.page_size < 0 or page.page_index < 0:
        raise Invalid(f"invalid page: size {page.page_size}, index {page.page_index}", hint="both count from 0")
    begin = page.page_size * page.page_index
    return found[begin : begin + page.page_size] if page.page_size else found
