"""Commands about projects, and the current one (reference pfs 1.2)."""

from __future__ import annotations

from collections.abc import Iterator

import click

from local_runner.cli.door import Door, asks, command, raw_output
from local_runner.cli.output import note
from local_runner.cli.raw import project_info_document
from local_runner.errors import Refused
from local_runner.model.repos import ProjectInfo
from local_runner.model.units import rfc3339

HEADER = ("ACTIVE", "PROJECT", "CREATED", "DESCRIPTION")

# "context" or "active-context", perhaps with a name.
_context = click.argument("context", nargs=-1, expose_value=False)
_describe = click.option("-d", "--description", default="", metavar="TEXT", help="What the project is for.")


@command("create project lab --description 'a place to try things'")
@click.argument("project_name", metavar="PROJECT")
@_describe
def create_project(door: Door, project_name: str, description: str) -> None:
    """Create a project, a name under which repos and pipelines stand."""
    door.runner.create_project(project_name, description)


@command("update project lab --description 'no longer a place to try things'")
@click.argument("project_name", metavar="PROJECT")
@_describe
def update_project(door: Door, project_name: str, description: str) -> None:
    """Change the description of a project."""
    door.runner.create_project(project_name, description, update=True)


@command("inspect project lab")
@click.argument("project_name", metavar="PROJECT")
@raw_output
def inspect_project(door: Door, project_name: str) -> None:
    """Show a project."""

    def text(info: ProjectInfo) -> Iterator[str]:
        yield f"Name: {info.name}"
        if info.description:
            yield f"Description: {info.description}"
            yield ""
        yield f"Created at: {rfc3339(int(info.created))}"
        yield ""
        yield f"Defaults: {door.runner.get_defaults(info.name)}"

    door.out.show_one(door.runner.inspect_project(project_name), project_info_document, text)


@command("list project")
@raw_output
def list_project(door: Door) -> None:
    """List projects; a star marks the current one."""

    def row(info: ProjectInfo) -> tuple[str, ...]:
        return "*" if info.name == door.project else " ", info.name, door.out.when(info.created), info.description or "-"

    door.out.show(door.runner.list_project(), project_info_document, HEADER, row)


@command("delete project lab")
@click.argument("project_name", metavar="PROJECT")
@click.option("-f", "--force", is_flag=True, help="Even if something in it resists.")
@asks
def delete_project(door: Door, project_name: str, force: bool, yes: bool) -> None:
    """Delete a project; asks before its pipelines go, and again before its repos do."""
    pipelines = door.runner.list_pipeline([project_name])
    for info in pipelines:
        note(f"This will delete pipeline {info.pipeline}")
    if pipelines and not door.confirm(yes):
        raise Refused(f"cannot delete project with {len(pipelines)} pipelines")
    # The newest first: nothing stands on it.
    for info in pipelines:
        door.runner.delete_pipeline(info.pipeline)
    repos = door.runner.list_repo([project_name])
    for repo in repos:
        note(f"This will delete repo {repo.repo}")
    if repos and not door.confirm(yes):
        raise Refused(f"cannot delete project with {len(repos)} repos")
    for repo in repos:
        door.runner.delete_repo(repo.repo)
    door.runner.delete_project(project_name, force)
    if project_name == door.runner.current_project:
        note(f"warning: deleted current project {project_name}; choose another: config update context --project PROJECT")


@command("config update context --project lab")
@_context
@click.option("--project", "project_name", default="", metavar="NAME", help="The project commands mean from now on.")
@click.option("--overwrite", is_flag=True, hidden=True, expose_value=False)
def set_context(door: Door, project_name: str) -> None:
    """Choose the current project. Contexts themselves do not exist here: there is no cluster to be in touch with."""
    if project_name:
        door.runner.set_current_project(project_name)


@command("config get context")
@_context
def get_context(door: Door) -> None:
    """Print the current project."""
    door.out.documents([{"project": door.runner.current_project}])
