"""Calls about commits and commit sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from local_runner.errors import Invalid
from local_runner.model.refs import CommitQuery, CommitRef, FileQuery
from local_runner.model.repos import CommitInfo, CommitState
from local_runner.server import infos, refs
from local_runner.server.call import Call
from local_runner.server.schema import Message, new, nothing

_ORIGINS = ("", "USER", "AUTO", "FSCK")
_STATES = (CommitState.STARTED, CommitState.STARTED, CommitState.READY, CommitState.FINISHING, CommitState.FINISHED)


def start_commit(call: Call, request: Message) -> Message:
    branch = refs.branch(refs.given(request, "branch"))
    started = call.runner.start_commit(branch, refs.commit_or_none(request, "parent"), request.description)
    return infos.commit(call, started, branch.name)


def finish_commit(call: Call, request: Message) -> Message:
    call.runner.finish_commit(refs.commit(refs.given(request, "commit")), request.description, request.error, force=request.force)
    return nothing()


def clear_commit(call: Call, request: Message) -> Message:
    call.runner.clear_commit(refs.commit(refs.given(request, "commit")))
    return nothing()


def inspect_commit(call: Call, request: Message) -> Message:
    commit = refs.commit(refs.given(request, "commit"))
    return infos.commit_info(call, call.runner.inspect_commit(commit, wait=_state(request.wait)))


def _state(number: int) -> CommitState:
    """Raises `Invalid` for one that is not in the texts."""
    if not 0 <= number < len(_STATES):
        raise Invalid(f"there is no state {number} of a commit")
    return _STATES[number]


def _origin(number: int) -> str:
    """Raises `Invalid` likewise."""
    if not 0 <= number < len(_ORIGINS):
        raise Invalid(f"there is no kind {number} of origin")
    return _ORIGINS[number]


def list_commit(call: Call, request: Message) -> Iterator[Message]:
    """Of a repo; of all repos if none is named, the newest first."""
    if request.all and request.origin_kind:
        raise Invalid("cannot specify both all and origin_kind")
    origin = _origin(request.origin_kind)
    before = request.started_time.seconds + request.started_time.nanos / 1e9 if request.HasField("started_time") else None
    found = _listed(call, request, origin)
    if before is not None:
        found = (info for info in found if info.started < before)
    return (infos.commit_info(call, info) for info in islice(found, request.number or None))


def _listed(call: Call, request: Message, origin: str) -> Iterator[CommitInfo]:
    if request.number < 0:
        raise Invalid(f"cannot list {request.number} commits")
    if not request.HasField("repo"):
        return call.runner.list_commits(origin=origin, reverse=request.reverse)
    from_, to = refs.commit_or_none(request, "from"), refs.commit_or_none(request, "to")
    return call.runner.list_commit(refs.repo(request.repo), to, from_, 0, reverse=request.reverse, origin=origin)


def subscribe_commit(call: Call, request: Message) -> Iterator[Message]:
    repo, state = refs.repo(refs.given(request, "repo")), _state(request.state)
    found = call.runner.subscribe_commit(repo, request.branch, refs.commit_or_none(request, "from"), _origin(request.origin_kind))
    for info in found:
        reached = call.runner.inspect_commit(CommitQuery(info.commit.repo, id=info.commit.id), wait=state)
        yield infos.commit_info(call, reached)


def squash_commit(call: Call, request: Message) -> Message:
    call.runner.squash_commit(refs.commit(refs.given(request, "commit")), recursive=request.recursive)
    return new("pfs_v2.SquashCommitResponse")


def drop_commit(call: Call, request: Message) -> Message:
    call.runner.drop_commit(refs.commit(refs.given(request, "commit")), recursive=request.recursive)
    return new("pfs_v2.DropCommitResponse")


def find_commits(call: Call, request: Message) -> Iterator[Message]:
    """Commits from a given one back that changed a file; at last how many were looked at."""
    commit = refs.commit(refs.given(request, "start"))
    file = FileQuery(commit, refs.path(request.file_path))
    for what, ref, searched in call.runner.find_commit(file, request.limit):
        field = "found_commit" if what == "found" else "last_searched_commit"
        yield new("pfs_v2.FindCommitsResponse", **{field: infos.commit(call, ref, "")}, commits_searched=searched)


def walk_commit_provenance(call: Call, request: Message) -> Iterator[Message]:
    return _walk(call, request, lambda info: info.direct_provenance)


def walk_commit_subvenance(call: Call, request: Message) -> Iterator[Message]:
    return _walk(call, request, lambda info: info.direct_subvenance)


def _walk(call: Call, request: Message, near: Callable[[CommitInfo], Iterable[CommitRef]]) -> Iterator[Message]:
    """Level by level, each commit once, those it starts from left out; at most so many, and so deep, if that is said."""
    level = [call.runner.inspect_commit(refs.picked_commit(picker)) for picker in request.start]
    seen: set[CommitRef] = {info.commit for info in level}
    count, depth = 0, 0
    while level and not (request.max_depth and depth == request.max_depth):
        found = dict.fromkeys(ref for info in level for ref in near(info) if ref not in seen)
        seen.update(found)
        level, depth = [call.runner.inspect_commit(CommitQuery(ref.repo, id=ref.id)) for ref in found], depth + 1
        for info in level:
            if request.max_commits and count == request.max_commits:
                return
            count += 1
            yield infos.commit_info(call, info)


# -- sets --------------------------------------------------------------------------------------------------------------


def inspect_commit_set(call: Call, request: Message) -> Iterator[Message]:
    """The commits of a set, sources first; with `wait`, each as soon as it is finished."""
    id = refs.given(request, "commit_set").id
    for info in call.runner.inspect_commit_set(id).commits:
        query = CommitQuery(info.commit.repo, id=info.commit.id)
        yield infos.commit_info(call, call.runner.inspect_commit(query, wait=True) if request.wait else info)


def list_commit_set(call: Call, request: Message) -> Iterator[Message]:
    name = refs.project(request.project) if request.HasField("project") else ""
    for found in call.runner.list_commit_set(name):
        commits = [infos.commit_info(call, info) for info in found.commits]
        yield new("pfs_v2.CommitSetInfo", commit_set=new("pfs_v2.CommitSet", id=found.id), commits=commits)


def squash_commit_set(call: Call, request: Message) -> Message:
    call.runner.squash_commit_set(refs.given(request, "commit_set").id)
    return nothing()


def drop_commit_set(call: Call, request: Message) -> Message:
    call.runner.drop_commit_set(refs.given(request, "commit_set").id)
    return nothing()
