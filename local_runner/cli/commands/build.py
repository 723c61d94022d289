"""`build images`: build the images of the project's folders."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from local_runner.cli.app import App, command
from local_runner.images.build import buildables, find_builder
from local_runner.project.file import Project, project_root, read_project
from local_runner.specs.read import read_documents


@command("build images model test")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--base", default="", metavar="IMAGE", help="The image the Dockerfiles begin with (their ARG BASE); else their own default.")
@click.option("--engine", default="", metavar="PROGRAM", help="podman, docker or buildah; by default the first that is installed.")
@click.option("--force", is_flag=True, help="Build also what is up to date.")
@click.option("--show", is_flag=True, help="Print the lines of the builds.")
@click.option("-C", "--directory", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Run as if started there.")
def build_images(app: App, names: Sequence[str], base: str, engine: str, force: bool, show: bool, directory: Path | None) -> None:
    """Build and tag the images of [images] in local_runner.toml that are not up to date with their folders.

    Only the executor `container` and a cluster need them. LOCAL_RUNNER_BASE_IMAGE is the default of --base.
    """
    project = read_project(project_root(directory or Path.cwd()))
    builder = find_builder(engine, base)
    for image in buildables(project.images, set(_used_images(project)), names):
        if not force and builder.is_up_to_date(image):
            app.out.line(f"{image.name}: up to date")
            continue
        began = time.monotonic()
        builder.build(image, app.out.line if show else lambda line: None)
        app.out.line(f"{image.name}: built with {builder.program} in {time.monotonic() - began:.1f} s")


def _used_images(project: Project) -> Iterator[str]:
    """The images that the project's specs name."""
    for path in project.specs:
        for document in read_documents(path.read_text(), str(path)):
            yield (document.values.get("transform") or {}).get("image", "")
