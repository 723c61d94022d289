"""Commands about transactions: several changes as one commit set (reference pfs 1.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from local_runner.cli.app import App, command, with_times
from local_runner.errors import Refused
from local_runner.model.units import rfc3339

if TYPE_CHECKING:
    from local_runner.pipelines.transactions import OpenTransaction
    from local_runner.pipelines.verbs import Verb

HEADER = ("TRANSACTION", "STARTED", "OPS")

_transaction = click.argument("transaction", metavar="[TRANSACTION]", default="")


@command("start transaction", makes_home=True)
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

    def text(row: OpenTransaction) -> Iterator[str]:
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

    def row(row: OpenTransaction) -> tuple[str, ...]:
        return row.id, app.out.when(row.started), str(len(row.requests))

    app.out.show(app.runner.list_transaction(), _document, HEADER, row)


def _active(app: App) -> str:
    active = app.runner.active_transaction()
    if not active:
        raise Refused("no active transaction", hint="`start transaction` begins one, `list transaction` shows others")
    return active


def _document(row: OpenTransaction) -> dict[str, Any]:
    from local_runner.pipelines.transactions import to_document

    requests = [{document["verb"]: document["arguments"]} for document in map(to_document, row.requests)]
    return {"transaction": {"id": row.id}, "requests": requests, "started": rfc3339(row.started)}


def _words(transaction: str, request: Verb[object]) -> str:
    """A collected request as a cluster words it: "create repo default/images"; a commit that was named by its branch has no id there."""
    from local_runner.pipelines import verbs

    match request:
        case verbs.CreateRepo(repo, _, update):
            return f"{'update' if update else 'create'} repo {repo}"
        case verbs.DeleteRepo(repo, force):
            return f"delete repo {repo}{' --force' * force}"
        case verbs.CreateBranch(branch):
            return f"create branch {branch}"
        case verbs.DeleteBranch(branch, force):
            return f"delete branch {branch}{' --force' * force}"
        case verbs.StartCommit(branch):
            return f"start commit {branch} ({transaction})"
        case verbs.FinishCommit(commit):
            return f"finish commit {commit.repo}@{commit.id}"
        case verbs.RemoveCommit(commit):
            return f"remove commit {commit.repo}@{commit.id}"
        case verbs.SquashCommitSet(id):
            return f"squash commitset {id}"
        case verbs.DropCommitSet(id):
            return f"drop commitset {id}"
        case verbs.CreatePipeline(asked):
            pipeline = asked.document["pipeline"]
            project = (pipeline.get("project") or {}).get("name") or asked.project
            return f"{'update' if asked.update else 'create'} pipeline {project}/{pipeline['name']}"
        case verbs.StopJob(job):
            return f"stop job {job}"
    raise AssertionError(request)
