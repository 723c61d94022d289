"""Transactions that are open: the verbs they have collected, as documents that can be kept until they are finished (reference pfs 1.4)."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple

from local_runner.errors import NotFound, Unsupported
from local_runner.pipelines import verbs
from local_runner.pipelines.verbs import Verb
from local_runner.storage.database import Session
from local_runner.storage.pipeline_records import PendingRow
from local_runner.storage.rows import MISREADINGS, damaged_row

Document = dict[str, Any]

# By the names that the records have for them.
_VERBS: Mapping[str, type[Any]] = {
    "create_repo": verbs.CreateRepo,
    "delete_repo": verbs.DeleteRepo,
    "create_branch": verbs.CreateBranch,
    "delete_branch": verbs.DeleteBranch,
    "start_commit": verbs.StartCommit,
    "finish_commit": verbs.FinishCommit,
    "squash_commit_set": verbs.SquashCommitSet,
    "drop_commit_set": verbs.DropCommitSet,
    "remove_commit": verbs.RemoveCommit,
    "stop_job": verbs.StopJob,
    "create_pipeline": verbs.CreatePipeline,
}
_NAMES = {kind: name for name, kind in _VERBS.items()}


class OpenTransaction(NamedTuple):
    """A transaction that is not finished: when it was started, in seconds since the epoch, and what it has collected, in order."""

    id: str
    started: float
    requests: tuple[Verb[object], ...] = ()


def find_transaction(session: Session, id: str) -> OpenTransaction:
    """An open transaction. Raises `NotFound`."""
    row = session.pipelines.pending(id)
    if row is None:
        raise NotFound(f"transaction {id or '(none)'} not found", hint="start transaction begins one")
    return _opened(row)


def open_transactions(session: Session) -> list[OpenTransaction]:
    """All that are open, in the order they were started."""
    return [_opened(row) for row in session.pipelines.all_pending()]


def put_transaction(session: Session, transaction: OpenTransaction) -> None:
    """Keep a transaction, in place of what was known of it."""
    requests = [to_document(request) for request in transaction.requests]
    session.pipelines.put_pending(PendingRow(transaction.id, transaction.started, requests))


def _opened(row: PendingRow) -> OpenTransaction:
    try:
        return OpenTransaction(row.id, row.started, tuple(from_document(request) for request in row.requests))
    except MISREADINGS as error:
        raise damaged_row(f"a request of transaction {row.id} cannot be read", error) from error


# -- verbs as documents ------------------------------------------------------------------------------------------------


def to_document(verb: Verb[object]) -> Document:
    """A verb as JSON values: its name, and its arguments."""
    return {"verb": _NAMES[type(verb)], "arguments": _plain(verb)}


def from_document(document: Document) -> Verb[object]:
    """The verb that `to_document` wrote; arguments it did not have then are as by default. Raises `Unsupported` for one of another name."""
    name = document["verb"]
    if name not in _VERBS:
        raise Unsupported(f"{name} cannot be part of a transaction")
    found: Verb[object] = _typed(document["arguments"], _VERBS[name])
    return found


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _typed(value: Any, kind: Any) -> Any:
    """A JSON value as one of a type: a dataclass of an object, a named tuple of a list."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _typed(value, inner[0])
    if origin is tuple:
        return tuple(_typed(item, inner[0]) for item in value)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        parts = typing.get_type_hints(kind)
        return kind(**{name: _typed(item, parts[name]) for name, item in value.items()})
    if isinstance(kind, type) and issubclass(kind, tuple):
        return kind(*(_typed(item, part) for item, part in zip(value, typing.get_type_hints(kind).values(), strict=True)))
    return value
