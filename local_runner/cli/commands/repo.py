"""Commands about repos (reference pfs 1.2)."""

from __future__ import annotations

from collections.abc import Iterator

import click

from local_runner.cli.app import App, asks, command, everywhere, in_project, with_times
from local_runner.cli.output import note, size
from local_runner.cli.repo_text import shown_name
from local_runner.documents.infos import repo_info_document
from local_runner.errors import Invalid, NotFound
from local_runner.model.refs import META, SPEC, USER, RepoRef
from local_runner.model.repos import RepoInfo
from local_runner.model.units import human_size

HEADER = ("PROJECT", "NAME", "CREATED", "SIZE (MASTER)", "DESCRIPTION")

_describe = click.option("-d", "--description", default="", metavar="TEXT", help="What the repo holds.")


@command("create repo images --description 'what the camera saw'", transactional=True, makes_home=True)
@click.argument("repo")
@_describe
@in_project
def create_repo(app: App, repo: str, description: str) -> None:
    """Create a repo, a place for versioned files."""
    project, _, name = repo.rpartition("/")  # a dot is part of the name here, and refused: the repos of pipelines are theirs to make
    app.runner.create_repo(RepoRef(project or app.project, name), description)


@command("update repo images --description 'what both cameras saw'", transactional=True, makes_home=True)
@click.argument("repo")
@_describe
@in_project
def update_repo(app: App, repo: str, description: str) -> None:
    """Change the description of a repo; one that is missing is created."""
    app.runner.create_repo(app.repo(repo), description, update=True)


@command("inspect repo images")
@click.argument("repo")
@with_times
@in_project
def inspect_repo(app: App, repo: str) -> None:
    """Show a repo."""

    def text(info: RepoInfo) -> Iterator[str]:
        yield f"Name: {info.repo.name}"
        if info.description:
            yield f"Description: {info.description}"
        yield f"Created: {app.out.when(info.created)}"
        if info.size is not None:
            yield f"Size of HEAD on master: {human_size(info.size)}"

    app.out.show_one(app.runner.inspect_repo(app.repo(repo)), repo_info_document, text)


@command("list repo")
@click.option("--all", "all_types", is_flag=True, help="Also the meta and spec repos of pipelines.")
@click.option("--type", "kind", default=USER, metavar="TYPE", help="Only repos of this type: user, meta or spec.")
@everywhere
@with_times
@in_project
def list_repo(app: App, all_types: bool, kind: str, all_projects: bool) -> None:
    """List repos."""

    def row(info: RepoInfo) -> tuple[str, ...]:
        return (
            info.repo.project,
            shown_name(info.repo),
            app.out.when(info.created),
            size(info.size, info.size_upper_bound),
            info.description,
        )

    if kind not in (USER, META, SPEC):
        raise Invalid(f"there are no repos of type {kind!r}", hint="user, meta or spec")
    found = app.runner.list_repo(app.projects(all_projects), "" if all_types else kind)
    app.out.show(found, repo_info_document, HEADER, row)


@command("delete repo images", transactional=True)
@click.argument("repo", required=False)
@click.option("--all", "all_repos", is_flag=True, help="Every repo of the project.")
@click.option("-f", "--force", is_flag=True, help="Delete it even if branches of other repos stand on it.")
@asks
@everywhere
@in_project
def delete_repo(app: App, repo: str | None, all_repos: bool, force: bool, yes: bool, all_projects: bool) -> None:
    """Delete a repo with everything in it."""
    if repo is None:
        if not all_repos:
            raise Invalid("either a repo name or the --all flag needs to be provided", hint="`list repo` says which there are")
        doomed = app.runner.list_repo(app.projects(all_projects))
        app.confirm_loss(f"This will delete {', '.join(str(info.repo) for info in doomed) or 'nothing'}", yes)
        app.runner.delete_repos(app.projects(all_projects), force=force)
    elif all_repos or all_projects:
        raise Invalid(f"cannot use the --all{'' if all_repos else '-projects'} flag with an argument")
    else:
        _delete(app, app.repo(repo), force, yes)


def _delete(app: App, repo: RepoRef, force: bool, yes: bool) -> None:
    if force:
        app.confirm_loss(f"This will delete {repo}, and leave those that depend on it without", yes)
    if app.runner.delete_repo(repo, force=force) or app.runner.active_transaction():  # which may hold what makes it
        note("Repo deleted.")
    else:
        raise NotFound("No repo deleted.", hint=f"there is no repo {repo}; see `list repo`")
