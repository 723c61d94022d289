"""Commands about projects (reference pfs 1.2)."""

from __future__ import annotations

from collections.abc import Iterator

import click

from local_runner.cli.app import App, asks, command, raw_output
from local_runner.cli.output import note
from local_runner.documents.infos import project_info_document
from local_runner.errors import Refused
from local_runner.model.repos import ProjectInfo
from local_runner.model.units import rfc3339

HEADER = ("ACTIVE", "PROJECT", "CREATED", "DESCRIPTION")

_describe = click.option("-d", "--description", default="", metavar="TEXT", help="What the project is for.")


@command("create project lab --description 'a place to try things'", makes_home=True)
@click.argument("project_name", metavar="PROJECT")
@_describe
def create_project(app: App, project_name: str, description: str) -> None:
    """Create a project, a name under which repos and pipelines stand."""
    app.runner.create_project(project_name, description)


@command("update project lab --description 'no longer a place to try things'", makes_home=True)
@click.argument("project_name", metavar="PROJECT")
@_describe
def update_project(app: App, project_name: str, description: str) -> None:
    """Change the description of a project."""
    app.runner.create_project(project_name, description, update=True)


@command("inspect project lab")
@click.argument("project_name", metavar="PROJECT")
@raw_output
def inspect_project(app: App, project_name: str) -> None:
    """Show a project."""

    def text(info: ProjectInfo) -> Iterator[str]:
        yield f"Name: {info.name}"
        if info.description:
            yield f"Description: {info.description}"
            yield ""
        yield f"Created at: {rfc3339(int(info.created))}"
        yield ""
        yield f"Defaults: {app.runner.get_defaults(info.name)}"

    app.out.show_one(app.runner.inspect_project(project_name), project_info_document, text)


@command("list project")
@raw_output
def list_project(app: App) -> None:
    """List projects; a star marks the current one."""

    def row(info: ProjectInfo) -> tuple[str, ...]:
        return "*" if info.name == app.project else " ", info.name, app.out.when(info.created), info.description or "-"

    app.out.show(app.runner.list_project(), project_info_document, HEADER, row)


@command("delete project lab")
@click.argument("project_name", metavar="PROJECT")
@click.option("-f", "--force", is_flag=True, help="Delete it even if others stand on what is in it.")
@asks
def delete_project(app: App, project_name: str, force: bool, yes: bool) -> None:
    """Delete a project; asks before its pipelines go, and again before its repos do."""
    pipelines = app.runner.list_pipeline([project_name])
    for info in pipelines:
        note(f"This will delete pipeline {info.pipeline}")
    if pipelines and not app.confirm(yes):
        raise Refused(f"cannot delete project with {len(pipelines)} pipelines")
    # The newest first: nothing stands on it.
    for info in pipelines:
        app.runner.delete_pipeline(info.pipeline)
    repos = app.runner.list_repo([project_name])
    for repo in repos:
        note(f"This will delete repo {repo.repo}")
    if repos and not app.confirm(yes):
        raise Refused(f"cannot delete project with {len(repos)} repos")
    for repo in repos:
        app.runner.delete_repo(repo.repo)
    app.runner.delete_project(project_name, force=force)
    if project_name == app.runner.current_project:
        note(f"warning: deleted current project {project_name}; choose another: config update context --project PROJECT")
