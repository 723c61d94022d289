"""Calls about branches."""

from __future__ import annotations

from collections.abc import Iterator

from local_runner.model.refs import BranchRef
from local_runner.model.repos import Trigger
from local_runner.server import infos, refs
from local_runner.server.call import Call
from local_runner.server.schema import Message, nothing


def create_branch(call: Call, request: Message) -> Message:
    never = [refs.branch(spec.branch) for spec in request.branch_propagation_specs if spec.propagation_spec.never]
    call.runner.create_branch(
        refs.branch(refs.given(request, "branch")),
        refs.commit_or_none(request, "head"),
        [refs.branch(source) for source in request.provenance],
        _trigger(request.trigger) if request.HasField("trigger") else None,
        never,
    )
    return nothing()


def _trigger(message: Message) -> Trigger:
    return Trigger(message.branch, message.all, message.rate_limit_spec, message.size, message.commits, message.cron_spec)


def inspect_branch(call: Call, request: Message) -> Message:
    return infos.branch_info(call, call.runner.inspect_branch(refs.branch(refs.given(request, "branch"))))


def list_branch(call: Call, request: Message) -> Iterator[Message]:
    found = call.runner.list_branch(refs.repo(refs.given(request, "repo")), reverse=request.reverse)
    return (infos.branch_info(call, info) for info in found)


def delete_branch(call: Call, request: Message) -> Message:
    call.runner.delete_branch(refs.branch(refs.given(request, "branch")), force=request.force)
    return nothing()


def walk_branch_provenance(call: Call, request: Message) -> Iterator[Message]:
    return _walk(call, request, upward=True)


def walk_branch_subvenance(call: Call, request: Message) -> Iterator[Message]:
    return _walk(call, request, upward=False)


def _walk(call: Call, request: Message, upward: bool) -> Iterator[Message]:
    """Level by level, each branch once, those it starts from left out; at most so many, and so deep, if that is said."""
    level = [refs.picked_branch(picker) for picker in request.start]
    seen: set[BranchRef] = set(level)
    count, depth = 0, 0
    while level and not (request.max_depth and depth == request.max_depth):
        around: list[BranchRef] = []
        for ref in level:
            info = call.runner.inspect_branch(ref)
            near = info.direct_provenance if upward else _direct_subvenance(call, ref, info.subvenance)
            around += [other for other in dict.fromkeys(near) if other not in seen and not seen.add(other)]  # type: ignore[func-returns-value]
        for ref in around:
            if request.max_branches and count == request.max_branches:
                return
            count += 1
            yield infos.branch_info(call, call.runner.inspect_branch(ref))
        level, depth = around, depth + 1


def _direct_subvenance(call: Call, ref: BranchRef, below: tuple[BranchRef, ...]) -> list[BranchRef]:
    return [other for other in below if ref in call.runner.inspect_branch(other).direct_provenance]
