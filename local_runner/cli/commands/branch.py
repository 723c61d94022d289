"""Commands about branches (reference pfs 1.5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import click

from local_runner.cli.app import NUMBER, App, command, in_project, raw_output, with_times
from local_runner.documents.infos import branch_info_document
from local_runner.errors import Invalid
from local_runner.model.refs import parse_commit
from local_runner.model.repos import BranchInfo, Trigger
from local_runner.model.units import rfc3339

HEADER = ("BRANCH", "HEAD", "TRIGGER", "CREATOR", "CREATED")


@command("create branch images@release --head master^2", transactional=True, waits=True)
@click.argument("branch", metavar="REPO@BRANCH")
@click.option("-p", "--provenance", multiple=True, metavar="REPO@BRANCH", help="A branch that this one is made from; repeatable.")
@click.option("--head", default="", metavar="COMMIT", help="The head: a branch or commit of the same repo, or repo@branch=id.")
@click.option("-t", "--trigger", default="", metavar="BRANCH", help="Move the head by itself when this branch of the repo …")
@click.option("--trigger-cron", default="", metavar="SPEC", help="… and this time comes.")
@click.option("--trigger-size", default="", metavar="SIZE", help="… grew by this size: 100M.")
@click.option("--trigger-commits", default=0, type=NUMBER, metavar="N", help="… got so many commits.")
@click.option("--trigger-rate-limit", default="", metavar="SPEC", help="… got a commit, but not more often than this.")
@click.option("--trigger-all", is_flag=True, help="All conditions must hold, not just one.")
@in_project
def create_branch(
    app: App,
    branch: str,
    provenance: Sequence[str],
    head: str,
    trigger: str,
    trigger_cron: str,
    trigger_size: str,
    trigger_commits: int,
    trigger_rate_limit: str,
    trigger_all: bool,
) -> None:
    """Create a branch, or give one another head, provenance or trigger."""
    ref = app.branch(branch)
    sources = [app.branch(text) for text in provenance]
    wanted = Trigger(trigger, trigger_all, trigger_rate_limit, trigger_size, trigger_commits, trigger_cron)
    if sources and trigger:
        raise Invalid("cannot use provenance and triggers on the same branch")
    if wanted != Trigger("") and not trigger:
        raise Invalid("trigger condition specified without a branch to trigger on", hint="say which branch with --trigger")
    at = None if not head else app.commit(head) if "@" in head else parse_commit(f"{ref.repo}@{head}")
    app.runner.create_branch(ref, at, sources, wanted if trigger else None)


@command("inspect branch images@master")
@click.argument("branch", metavar="REPO@BRANCH")
@with_times
@in_project
def inspect_branch(app: App, branch: str) -> None:
    """Show a branch, its head and what it stands on."""

    def text(info: BranchInfo) -> Iterator[str]:
        yield f"Name: {info.branch.repo.name}@{info.branch.name}"
        if info.head:
            yield f"Head Commit: {info.head.repo.name}@{info.head.id}"
        if info.provenance:
            yield "Provenance: " + " ".join(f"{source.repo.name}@{source.name}" for source in info.provenance)
        if info.trigger:
            yield f"Trigger: {describe_trigger(info.trigger)}"
        yield ""  # where a cluster with users names the creator
        yield f"Created at: {rfc3339(int(info.created))}"

    app.out.show_one(app.runner.inspect_branch(app.branch(branch)), branch_info_document, text)


@command("list branch images")
@click.argument("repo")
@raw_output
@in_project
def list_branch(app: App, repo: str) -> None:
    """List the branches of a repo, the newest first."""

    def row(info: BranchInfo) -> tuple[str, ...]:
        trigger = describe_trigger(info.trigger) if info.trigger else "-"
        return info.branch.name, info.head.id if info.head else "-", trigger, "-", _local_time(info.created)

    app.out.show(app.runner.list_branch(app.repo(repo)), branch_info_document, HEADER, row)


@command("delete branch images@release", transactional=True)
@click.argument("branch", metavar="REPO@BRANCH")
@click.option("-f", "--force", is_flag=True, help="Delete it even if other branches stand on it.")
@in_project
def delete_branch(app: App, branch: str, force: bool) -> None:
    """Delete a branch; its commits stay."""
    app.runner.delete_branch(app.branch(branch), force=force)


def describe_trigger(trigger: Trigger) -> str:
    """When a trigger fires, in a few words: "master on Size(1K) or Commits(3)"."""
    if trigger.cron_spec:
        return f"{trigger.branch} on Cron({trigger.cron_spec})"
    conditions = [
        *([f"Rate Limit({trigger.rate_limit_spec})"] if trigger.rate_limit_spec else []),
        *([f"Size({trigger.size})"] if trigger.size else []),
        *([f"Commits({trigger.commits})"] if trigger.commits else []),
    ]
    return f"{trigger.branch} on {(' and ' if trigger.all else ' or ').join(conditions)}"


def _local_time(seconds: float) -> str:
    """A local time as Go prints it: with seconds, and "Z" for UTC."""
    return datetime.fromtimestamp(int(seconds)).astimezone().isoformat().replace("+00:00", "Z")
