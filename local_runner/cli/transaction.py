"""Commands about transactions: several changes as one commit set (reference pfs 1.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from local_runner.cli.door import Door, command, with_times
from local_runner.errors import Refused
from local_runner.model.units import rfc3339

if TYPE_CHECKING:
    from local_runner.storage.pipeline_records import PendingRow

HEADER = ("TRANSACTION", "STARTED", "OPS")

_transaction = click.argument("transaction", metavar="[TRANSACTION]", default="")


@command("start transaction")
def start_transaction(door: Door) -> None:
    """Begin to collect changes of repos, branches, commits and pipelines; files are not part of it."""
    door.out.line(f'started new transaction: "{door.runner.start_transaction()}"')


@command("finish transaction", waits=True)
@_transaction
def finish_transaction(door: Door, transaction: str) -> None:
    """Do all that was collected, as one commit set."""
    row = door.runner.finish_transaction(transaction or _active(door))
    door.out.line(f"Completed transaction with {len(row.requests)} requests: {row.id}")


@command("stop transaction")
def stop_transaction(door: Door) -> None:
    """Leave the active transaction: commands act at once again, `resume transaction` goes on with it."""
    _active(door)
    door.out.line(f"Cleared active transaction: {door.runner.stop_transaction()}")


@command("delete transaction")
@_transaction
def delete_transaction(door: Door, transaction: str) -> None:
    """Forget a transaction; nothing of it is done."""
    door.runner.delete_transaction(transaction or _active(door))


@command("resume transaction 5f93d03b65fa421996185e53f7f8b1e4")
@click.argument("transaction")
def resume_transaction(door: Door, transaction: str) -> None:
    """Go on collecting for a transaction that was begun before."""
    door.runner.resume_transaction(transaction)
    row = door.runner.inspect_transaction(transaction)
    door.out.line(f"Resuming existing transaction with {len(row.requests)} requests: {row.id}")


@command("inspect transaction")
@_transaction
@with_times
def inspect_transaction(door: Door, transaction: str) -> None:
    """Show what a transaction has collected."""

    def text(row: PendingRow) -> Iterator[str]:
        yield f"ID: {row.id}"
        yield f"Started: {door.out.when(row.started)}"
        yield "Requests:"
        yield from (f"  {_words(request)}" for request in row.requests)
        if not row.requests:
            yield "  -"

    door.out.show_one(door.runner.inspect_transaction(transaction or _active(door)), _document, text)


@command("list transaction")
@with_times
def list_transaction(door: Door) -> None:
    """List transactions that are not finished."""

    def row(row: PendingRow) -> tuple[str, ...]:
        return row.id, door.out.when(row.started), str(len(row.requests))

    door.out.show(door.runner.list_transaction(), _document, HEADER, row)


def _active(door: Door) -> str:
    active = door.runner.active_transaction()
    if not active:
        raise Refused("no active transaction", hint="`start transaction` begins one, `list transaction` shows others")
    return active


def _document(row: PendingRow) -> dict[str, Any]:
    requests = [{request["verb"]: request["arguments"]} for request in row.requests]
    return {"transaction": {"id": row.id}, "requests": requests, "started": rfc3339(row.started)}


def _words(request: dict[str, Any]) -> str:
    """A collected request in the words of the command line: "create repo default/images"."""
    arguments = request["arguments"]
    subject = next((_subject(value) for name, value in arguments.items() if name in _SUBJECTS), "")
    verb = str(request["verb"]).replace("_", " ")
    if verb == "create repo" and arguments.get("update"):
        verb = "update repo"
    return f"{verb} {subject}".rstrip()


_SUBJECTS = ("repo", "branch", "commit", "id", "job", "request")


def _subject(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):  # a commit as typed, or a request for a pipeline
        if "document" in value:
            return str(value["document"]["pipeline"]["name"])
        return f"{'/'.join(value['repo'][:2])}@{value['id'] or value['branch']}"
    if isinstance(value[0], list):  # a branch or a job
        return f"{'/'.join(value[0][:2])}@{value[1]}"
    return "/".join(value[:2])
