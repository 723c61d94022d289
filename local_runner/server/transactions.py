"""Calls about transactions: several changes that are made as one. Which of them a call joins, its metadata say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from local_runner.errors import Invalid, Unsupported
from local_runner.model.refs import CommitRef
from local_runner.model.units import rfc3339
from local_runner.pipelines.transactions import OpenTransaction, to_document
from local_runner.server import branches, commits, infos, jobs, refs, repos
from local_runner.server.call import Call, Handler
from local_runner.server.schema import Message, from_document, new, nothing

# What may stand in a transaction, by the field of its message.
_PARTS: Mapping[str, Handler] = {
    "create_repo": repos.create_repo,
    "delete_repo": repos.delete_repo,
    "start_commit": commits.start_commit,
    "finish_commit": commits.finish_commit,
    "squash_commit_set": commits.squash_commit_set,
    "create_branch": branches.create_branch,
    "delete_branch": branches.delete_branch,
    "stop_job": jobs.stop_job,
}


def start_transaction(call: Call, request: Message) -> Message:
    return new("transaction_v2.Transaction", id=call.home.begin_transaction())


def inspect_transaction(call: Call, request: Message) -> Message:
    return _info(call.home.inspect_transaction(_id(request)))


def list_transaction(call: Call, request: Message) -> Message:
    return new("transaction_v2.TransactionInfos", transaction_info=map(_info, call.home.list_transaction()))


def finish_transaction(call: Call, request: Message) -> Message:
    """With an answer for each request: the commit, if one was started."""
    return _finish(call, _id(request))


def _finish(call: Call, id: str) -> Message:
    row = call.home.inspect_transaction(id)
    done = call.home.finish_transaction(id)
    return _info(row._replace(requests=done.requests), done.results)


def delete_transaction(call: Call, request: Message) -> Message:
    call.home.delete_transaction(_id(request))
    return nothing()


def delete_all(call: Call, request: Message) -> Message:
    call.home.delete_all_transactions()
    return nothing()


def batch_transaction(call: Call, request: Message) -> Message:
    """All requests at once; none of them is done if one cannot be."""
    id = call.home.begin_transaction()
    part = Call(call.home.view(transaction=id, stop=call.stop), call.home, call.stop, call.agent, id)
    try:
        for one in request.requests:
            _add(part, one)
        return _finish(call, id)
    except BaseException:
        call.home.delete_transaction(id)
        raise


def _add(call: Call, request: Message) -> None:
    """Raises `Invalid` for a request that says nothing, or several things; `Unsupported` for what cannot be part of one."""
    said = [field.name for field, _ in request.ListFields()]
    if len(said) != 1:
        raise Invalid(f"a request of a transaction says one thing; this one says {', '.join(said) or 'nothing'}")
    if said[0] not in _PARTS:
        raise Unsupported(f"{said[0]} cannot be part of a batch", hint="start a transaction, and call it within")
    _PARTS[said[0]](call, getattr(request, said[0]))


def _id(request: Message) -> str:
    found: str = refs.given(request, "transaction").id
    if not found:
        raise Invalid("transaction ID must not be empty")
    return found


def _info(row: OpenTransaction, results: Iterable[object] = ()) -> Message:
    document = {"transaction": {"id": row.id}, "started": rfc3339(row.started)}
    info = from_document("transaction_v2.TransactionInfo", document)
    for request in map(to_document, row.requests):
        _REQUESTS.get(request["verb"], _unknown)(info.requests.add(), request["arguments"])
    for result in results:
        answer = info.responses.add()
        if isinstance(result, CommitRef):
            answer.commit.CopyFrom(new("pfs_v2.Commit", repo=infos.repo(result.repo), id=result.id))
    return info


# -- requests that wait, as messages -----------------------------------------------------------------------------------


def _unknown(message: Message, arguments: Mapping[str, Any]) -> None:
    """What no message of a transaction says."""


def _set_repo(message: Message, found: list[str]) -> None:
    message.name, message.type, message.project.name = found[1], found[2], found[0]


def _set_branch(message: Message, found: list[Any]) -> None:
    _set_repo(message.repo, found[0])
    message.name = found[1]


def _set_commit(message: Message, found: Mapping[str, Any] | None) -> None:
    if found is not None:
        _set_repo(message.repo, found["repo"])
        message.id = found["id"]
        if found["branch"]:
            _set_branch(message.branch, [found["repo"], found["branch"]])


def _create_repo(message: Message, a: Mapping[str, Any]) -> None:
    _set_repo(message.create_repo.repo, a["repo"])
    message.create_repo.description, message.create_repo.update = a["description"], a["update"]


def _delete_repo(message: Message, a: Mapping[str, Any]) -> None:
    _set_repo(message.delete_repo.repo, a["repo"])
    message.delete_repo.force = a["force"]


def _create_branch(message: Message, a: Mapping[str, Any]) -> None:
    _set_branch(message.create_branch.branch, a["branch"])
    _set_commit(message.create_branch.head, a["head"])
    for source in a["provenance"]:
        _set_branch(message.create_branch.provenance.add(), source)


def _delete_branch(message: Message, a: Mapping[str, Any]) -> None:
    _set_branch(message.delete_branch.branch, a["branch"])
    message.delete_branch.force = a["force"]


def _start_commit(message: Message, a: Mapping[str, Any]) -> None:
    _set_branch(message.start_commit.branch, a["branch"])
    _set_commit(message.start_commit.parent, a["parent"]) if a["parent"] else None
    message.start_commit.description = a["description"]


def _finish_commit(message: Message, a: Mapping[str, Any]) -> None:
    _set_commit(message.finish_commit.commit, a["commit"])
    message.finish_commit.description, message.finish_commit.error = a["description"], a["error"]
    message.finish_commit.force = a["force"]


def _squash(message: Message, a: Mapping[str, Any]) -> None:
    message.squash_commit_set.commit_set.id = a["id"]


def _stop_job(message: Message, a: Mapping[str, Any]) -> None:
    pipeline = message.stop_job.job.pipeline
    (pipeline.project.name, pipeline.name), message.stop_job.job.id = a["job"]
    message.stop_job.reason = a["reason"]


def _create_pipeline(message: Message, a: Mapping[str, Any]) -> None:
    import json

    message.create_pipeline_v2.user_json = json.dumps(a["request"]["document"])


_REQUESTS: Mapping[str, Callable[[Message, Mapping[str, Any]], None]] = {
    "create_repo": _create_repo,
    "delete_repo": _delete_repo,
    "create_branch": _create_branch,
    "delete_branch": _delete_branch,
    "start_commit": _start_commit,
    "finish_commit": _finish_commit,
    "squash_commit_set": _squash,
    "stop_job": _stop_job,
    "create_pipeline": _create_pipeline,
}
