"""Commands about commits and commit sets (reference pfs 1.3, 1.4)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice

import click

from local_runner.cli.app import COUNT, App, asks, command, in_project, with_times
from local_runner.cli.output import lay_out
from local_runner.cli.repo_text import shown_name
from local_runner.documents.infos import commit_document, commit_info_document, commit_set_info_document
from local_runner.errors import Invalid
from local_runner.model.names import is_id
from local_runner.model.refs import BranchRef, parse_commit
from local_runner.model.repos import ORIGIN_AUTO, ORIGIN_FSCK, ORIGIN_USER, CommitInfo, CommitSetInfo
from local_runner.model.units import human_size

HEADER = ("PROJECT", "REPO", "COMMIT", "FINISHED", "SIZE", "ORIGIN", "CREATOR", "DESCRIPTION")
SET_HEADER = ("ID", "SUBCOMMITS", "PROGRESS", "CREATED", "MODIFIED")

_ORIGINS = (ORIGIN_USER, ORIGIN_AUTO, ORIGIN_FSCK)

_message = click.option("-m", "--message", "-d", "--description", "description", default="", metavar="TEXT", help="What it changes.")
_origin = click.option(
    "--origin", type=click.Choice(_ORIGINS, case_sensitive=False), metavar="KIND", help="Only of this kind: user, auto, fsck."
)
_all_kinds = click.option("--all", "all_kinds", is_flag=True, help="Commits of every origin.")


@command("start commit images@master", transactional=True)
@click.argument("branch", metavar="REPO@BRANCH")
@click.option("-p", "--parent", default="", metavar="COMMIT", help="The parent of the new commit; by default the head of the branch.")
@_message
@in_project
def start_commit(app: App, branch: str, parent: str, description: str) -> None:
    """Start a commit and print its id; it takes files until it is finished."""
    ref = app.branch(branch)
    on = parse_commit(f"{ref.repo}@{parent}") if parent else None
    started = app.runner.start_commit(ref, on, description)
    app.say_if_in_transaction()
    app.out.line(started.id)


@command("finish commit images@master", transactional=True, waits=True)
@click.argument("commit", metavar="REPO@COMMIT")
@_message
@click.option("-f", "--force", is_flag=True, help="Finish it even if a job writes to it; that ends the job.")
@in_project
def finish_commit(app: App, commit: str, description: str, force: bool) -> None:
    """Finish a started commit: pipelines behind it begin to work."""
    app.runner.finish_commit(app.commit(commit), description, force=force)


@command("inspect commit images@master^")
@click.argument("commit", metavar="REPO@COMMIT")
@with_times
@in_project
def inspect_commit(app: App, commit: str) -> None:
    """Show a commit."""
    _show(app, app.runner.inspect_commit(app.commit(commit)))


@command("wait commit edges@master")
@click.argument("commit", metavar="REPO@COMMIT")
@with_times
@in_project
def wait_commit(app: App, commit: str) -> None:
    """Wait until a commit is finished (that of a pipeline: until the job is over) and show it."""
    _show(app, app.runner.inspect_commit(app.commit(commit), wait=True))


def _show(app: App, info: CommitInfo) -> None:
    def text(info: CommitInfo) -> Iterator[str]:
        yield f"Commit: {info.commit.repo.name}@{info.commit.id}"
        yield f"Description: {info.description}"
        if info.parent:
            yield f"Parent: {info.parent.id}"
        yield f"Started: {app.out.when(info.started)}"
        if info.finished is not None:
            yield f"Finished: {app.out.when(info.finished)}"
        yield f"Size: {_size(info)}"

    app.out.show_one(info, commit_info_document, text)


@command("list commit images@master --number 3")
@click.argument("commit", metavar="[COMMIT-ID | REPO[@COMMIT]]", required=False)
@click.option("-f", "--from", "from_", default="", metavar="COMMIT", help="Only what came after this commit.")
@click.option("-n", "--number", default=0, type=COUNT, metavar="N", help="List at most so many; 0 for all.")
@click.option("-x", "--expand", is_flag=True, help="Without an argument: a line for each commit of each set.")
@_all_kinds
@_origin
@with_times
@in_project
def list_commit(app: App, commit: str | None, from_: str, number: int, expand: bool, all_kinds: bool, origin: str | None) -> None:
    """List commits: all sets of a project, the commits of one set, or those of a repo or branch; the newest first."""
    if all_kinds and origin:
        raise Invalid("cannot specify both --all and --origin")
    if commit is None or is_id(commit):
        listed = "all commits" if commit is None else "subcommits"
        for flag, given in (("--origin", origin), ("--from", from_), ("--all", all_kinds and commit)):
            if given:
                raise Invalid(f"cannot specify {flag} when listing {listed}", hint="name a repo or branch, as in images@master")
    if commit is None and not expand:
        _show_sets(app, islice(app.runner.list_commit_set(app.project), number or None))
    elif commit is None:
        sets = app.runner.list_commit_set(app.project)
        _show_list(app, islice(chain.from_iterable(found.commits for found in sets), number or None))
    elif is_id(commit):
        _show_list(app, islice(app.runner.inspect_commit_set(commit).commits, number or None))
    else:
        query = parse_commit(commit, app.project)
        since = parse_commit(f"{query.repo}@{from_}") if from_ else None
        to = query if query.branch or query.id else None
        _show_list(app, app.runner.list_commit(query.repo, to, since, number, origin=origin or ""))


@command("subscribe commit images@master --new")
@click.argument("branch", metavar="REPO[@BRANCH]")
@click.option("--from", "from_", default="", metavar="COMMIT", help="Only what comes after this commit.")
@click.option("--new", "only_new", is_flag=True, help="Only what comes after now.")
@_all_kinds
@_origin
@with_times
@in_project
def subscribe_commit(app: App, branch: str, from_: str, only_new: bool, all_kinds: bool, origin: str | None) -> None:
    """Print the commits of a branch or repo, the oldest first, and go on as more are started; Ctrl-C ends it."""
    if only_new and from_:
        raise Invalid("--new and --from cannot be used together")
    if all_kinds and origin:
        raise Invalid("cannot specify both --all and --origin")
    ref = app.branch(branch) if "@" in branch else BranchRef(app.repo(branch), "")
    since = parse_commit(f"{ref.repo}@{from_}") if from_ else None
    for count, info in enumerate(app.runner.subscribe_commit(ref.repo, ref.name, since, origin or "", only_new=only_new)):
        if app.out.raw:
            app.out.documents([commit_info_document(info)])
        else:
            for line in list(lay_out(HEADER, [_row(app, info)]))[count > 0 :]:
                app.out.line(line)
        sys.stdout.flush()


@command("squash commit 5f93d03b65fa421996185e53f7f8b1e4", transactional=True)
@click.argument("commit", metavar="COMMIT-ID | REPO@COMMIT")
@click.option("-r", "--recursive", is_flag=True, help="With REPO@COMMIT: also the commits made from it.")
@asks
@in_project
def squash_commit(app: App, commit: str, recursive: bool, yes: bool) -> None:
    """Remove a commit set, or one commit; what it holds goes over to its children."""
    app.confirm_loss(f"This will remove {commit} from history", yes)
    if is_id(commit):
        app.runner.squash_commit_set(commit)
    else:
        app.runner.squash_commit(app.commit(commit), recursive=recursive)


@command("delete commit 5f93d03b65fa421996185e53f7f8b1e4", transactional=True)
@click.argument("commit", metavar="COMMIT-ID | REPO@COMMIT")
@click.option("-r", "--recursive", is_flag=True, help="With REPO@COMMIT: also the commits made from it.")
@asks
@in_project
def delete_commit(app: App, commit: str, recursive: bool, yes: bool) -> None:
    """Remove a commit set, or one commit, that has no children, with what it holds."""
    app.confirm_loss(f"This will delete {commit} with the files it brought", yes)
    if is_id(commit):
        app.runner.drop_commit_set(commit)
    else:
        app.runner.drop_commit(app.commit(commit), recursive=recursive)


@command("find commit images@master:/liberty.jpg")
@click.argument("file", metavar="REPO@COMMIT:PATH")
@click.option("--limit", default=0, type=COUNT, metavar="N", help="Stop after so many; 0 for all.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--timeout", default="", expose_value=False, hidden=True)
@in_project
def find_commit(app: App, file: str, limit: int, as_json: bool) -> None:
    """Find the commits in which a file changed, going back from a commit."""
    results = app.runner.find_commit(app.file(file), limit)
    if as_json:
        steps = list(results)
        document = {
            "FoundCommits": [commit_document(commit) for kind, commit, _ in steps if kind == "found"],
            "LastSearchedCommit": next((commit_document(commit) for kind, commit, _ in steps if kind == "last"), None),
            "CommitsSearched": steps[-1][2] if steps else 0,
        }
        app.out.line(json.dumps(document, separators=(",", ":")))
        return
    found = False
    app.out.line("FOUND IN COMMITS")
    for kind, commit, _ in results:
        if kind == "found":
            found = True
            app.out.line(commit.id)
        else:
            app.out.line("" if found else "no commits found.\n")
            app.out.line(f"LAST SEARCHED COMMIT\n{commit.id}")


def _show_list(app: App, found: Iterable[CommitInfo]) -> None:
    app.out.show(found, commit_info_document, HEADER, lambda info: _row(app, info))


def _row(app: App, info: CommitInfo) -> tuple[str, ...]:
    repo, finished = info.commit.repo, app.out.when(info.finished)
    return repo.project, shown_name(repo), info.commit.id, finished, _size(info), info.origin, "-", info.description


def _size(info: CommitInfo) -> str:
    """The size of a commit; 0 while it is open, as a cluster counts only when it finishes."""
    return human_size(info.size or 0)


def _show_sets(app: App, found: Iterable[CommitSetInfo]) -> None:
    def row(info: CommitSetInfo) -> tuple[str, ...]:
        done = sum(commit.finished is not None and not commit.error for commit in info.commits)
        failed = sum(commit.finished is not None and bool(commit.error) for commit in info.commits)
        times = [commit.started for commit in info.commits]
        bar = app.out.progress(done, len(info.commits) - done - failed, failed)
        first, last = (min(times), max(times)) if times else (None, None)
        return info.id, str(len(info.commits)), bar, app.out.when(first), app.out.when(last)

    app.out.show(found, commit_set_info_document, SET_HEADER, row)
