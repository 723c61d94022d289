"""Commands about transactions: several changes as one commit set (reference pfs 1.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from local_runner.cli.app import App, command, with_times
from local_runner.errors import Refused
from local_runner.model.refs import BranchRef, RepoRef
from local_runner.model.units import rfc3339

if TYPE_CHECKING:
    from local_runner.storage.pipeline_records import PendingRow

HEADER = ("TRANSACTION", "STARTED", "OPS")

_transaction = click.argument("transaction", metavar="[TRANSACTION]", default="")


@command("start transaction")
def start_transaction(app: App) -> None:
    """Begin to collect changes of repos, branches, commits and pipelines; files are not part of it."""
    app.out.line(f'started new transaction: "{app.runner.start_transaction()}"')


@command("finish transaction", waits=True)
@_transaction
def finish_transaction(app: App, transaction: str) -> None:
    """Do all that was collected, as one commit set."""
    row = app.runner.finish_transaction(transaction or _active(app))
    app.out.line(f"Completed transaction with {len(row.requests)} requests: {row.id}")


@command("stop transaction")
def stop_transaction(app: App) -> None:
    """Leave the active transaction: commands act at once again, `resume transaction` goes on with it."""
    _active(app)
    app.out.line(f"Cleared active transaction: {app.runner.stop_transaction()}")


@command("delete transaction")
@_transaction
def delete_transaction(app: App, transaction: str) -> None:
    """Forget a transaction; nothing of it is done."""
    app.runner.delete_transaction(transaction or _active(app))


@command("resume transaction 5f93d03b65fa421996185e53f7f8b1e4")
@click.argument("transaction")
def resume_transaction(app: App, transaction: str) -> None:
    """Go on collecting for a transaction that was begun before."""
    app.runner.resume_transaction(transaction)
    row = app.runner.inspect_transaction(transaction)
    app.out.line(f"Resuming existing transaction with {len(row.requests)} requests: {row.id}")


@command("inspect transaction")
@_transaction
@with_times
def inspect_transaction(app: App, transaction: str) -> None:
    """Show what a transaction has collected."""

    def text(row: PendingRow) -> Iterator[str]:
        yield f"ID: {row.id}"
        yield f"Started: {app.out.when(row.started)}"
        yield "Requests:"
        yield from (f"  {_words(row.id, request)}" for request in row.requests)
        if not row.requests:
            yield "  -"

    app.out.show_one(app.runner.inspect_transaction(transaction or _active(app)), _document, text)


@command("list transaction")
@with_times
def list_transaction(app: App) -> None:
    """List transactions that are not finished."""

    def row(row: PendingRow) -> tuple[str, ...]:
        return row.id, app.out.when(row.started), str(len(row.requests))

    app.out.show(app.runner.list_transaction(), _document, HEADER, row)


def _active(app: App) -> str:
    active = app.runner.active_transaction()
    if not active:
        raise Refused("no active transaction", hint="`start transaction` begins one, `list transaction` shows others")
    return active


def _document(row: PendingRow) -> dict[str, Any]:
    requests = [{request["verb"]: request["arguments"]} for request in row.requests]
    return {"transaction": {"id": row.id}, "requests": requests, "started": rfc3339(row.started)}


def _words(transaction: str, request: dict[str, Any]) -> str:
    """A collected request as a cluster words it: "create repo default/images"; a commit that was named by its branch has no id there."""
    verb, given = str(request["verb"]), request["arguments"]
    force = " --force" if given.get("force") else ""
    match verb:
        case "create_repo":
            return f"{'update' if given['update'] else 'create'} repo {RepoRef(*given['repo'])}"
        case "delete_repo":
            return f"delete repo {RepoRef(*given['repo'])}{force}"
        case "create_branch" | "delete_branch":
            return f"{verb.replace('_', ' ')} {_branch(given['branch'])}{force if verb == 'delete_branch' else ''}"
        case "start_commit":
            return f"start commit {_branch(given['branch'])} ({transaction})"
        case "finish_commit" | "remove_commit":
            commit = given["commit"]
            return f"{verb.replace('_', ' ')} {RepoRef(*commit['repo'])}@{commit['id']}"
        case "squash_commit_set" | "drop_commit_set":
            return f"{verb.partition('_')[0]} commitset {given['id']}"
        case "create_pipeline":
            asked = given["request"]
            pipeline = asked["document"]["pipeline"]
            project = (pipeline.get("project") or {}).get("name") or asked["project"]
            return f"{'update' if asked['update'] else 'create'} pipeline {project}/{pipeline['name']}"
        case "stop_job":
            (project, name), job = given["job"]
            return f"stop job {project}/{name}@{job}"
    return verb.replace("_", " ")


def _branch(document: list[Any]) -> BranchRef:
    return BranchRef(RepoRef(*document[0]), document[1])
