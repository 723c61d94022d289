"""Commands about the defaults of specs, of all projects ("the cluster's") or of one (reference pps 5.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from local_runner.cli.app import App, command
from local_runner.cli.sources import STDIN, read_text
from local_runner.errors import Invalid

_cluster = click.option("--cluster", is_flag=True, help="The defaults of all projects.")
_project = click.option("--project", "of_project", metavar="NAME", help="The defaults of a project.")
_file = click.option("-f", "--file", "source", default=STDIN, metavar="FILE", help="A file, a URL or - (the default).")


def _changing(function: Callable[..., Any]) -> Callable[..., Any]:
    for flag in (
        click.option("--dry-run", is_flag=True, help="Only print which pipelines would change."),
        click.option("--reprocess", is_flag=True, help="Also run all their datums again."),
        click.option("--regenerate", is_flag=True, help="Update the pipelines whose spec changes by it."),
    ):
        function = flag(function)
    return function


@command("inspect defaults --cluster")
@_cluster
@_project
@click.option("--raw", "whole", is_flag=True, hidden=True, expose_value=False)
def inspect_defaults(app: App, cluster: bool, of_project: str | None) -> None:
    """Print the defaults as JSON."""
    app.out.line(app.runner.get_defaults(_chosen(cluster, of_project)))


@command("create defaults --cluster -f defaults.json", makes_home=True)
@_cluster
@_project
@_file
@_changing
def create_defaults(app: App, cluster: bool, of_project: str | None, source: str, regenerate: bool, reprocess: bool, dry_run: bool) -> None:
    """Replace the defaults by a document of the form {"create_pipeline_request": {…}}."""
    _replace(app, _chosen(cluster, of_project), source, regenerate, reprocess, dry_run)


@command("update defaults --project lab --regenerate -f defaults.json", makes_home=True)
@_cluster
@_project
@_file
@_changing
def update_defaults(app: App, cluster: bool, of_project: str | None, source: str, regenerate: bool, reprocess: bool, dry_run: bool) -> None:
    """The same as `create defaults`."""
    _replace(app, _chosen(cluster, of_project), source, regenerate, reprocess, dry_run)


@command("delete defaults --cluster")
@_cluster
@_project
@_changing
def delete_defaults(app: App, cluster: bool, of_project: str | None, regenerate: bool, reprocess: bool, dry_run: bool) -> None:
    """Have no defaults but the built-in ones."""
    _set(app, None, _chosen(cluster, of_project), regenerate, reprocess, dry_run)


def _chosen(cluster: bool, project: str | None) -> str | None:
    if cluster == (project is not None):
        raise Invalid("must pass either --cluster or --project PROJECT", hint="--cluster means those of all projects")
    return project


def _replace(app: App, project: str | None, source: str, regenerate: bool, reprocess: bool, dry_run: bool) -> None:
    from local_runner.specs.read import read_defaults  # no `--help` needs specs

    _set(app, read_defaults(read_text(source), source), project, regenerate, reprocess, dry_run)


def _set(app: App, document: dict[str, Any] | None, project: str | None, regenerate: bool, reprocess: bool, dry_run: bool) -> None:
    affected = app.runner.set_defaults(document, project, regenerate=regenerate or reprocess, reprocess=reprocess, dry_run=dry_run)
    if not (regenerate or reprocess):
        return
    app.out.line("affected pipelines:" if affected else "no affected pipelines")
    for pipeline in affected:
        app.out.line(f"\t {pipeline}")
