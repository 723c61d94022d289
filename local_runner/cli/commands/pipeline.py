"""Commands that make, change and end pipelines (reference pps 5)."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from local_runner.cli import spec_text
from local_runner.cli.app import App, asks, command, everywhere, in_project, raw_output
from local_runner.cli.image_notes import image_notes
from local_runner.cli.output import note
from local_runner.cli.specs import read_specs
from local_runner.errors import Invalid, SpecError, Unavailable, Unsupported

if TYPE_CHECKING:
    from local_runner.specs.read import SpecDocument


def _spec_flags(function: Any) -> Any:
    flags = (
        click.option("-f", "--file", "source", default="", metavar="SPEC", help="A file, a URL or - (the default)."),
        click.option("--jsonnet", default="", metavar="TEMPLATE", help="A jsonnet template, in place of a spec: a file, a URL or -."),
        click.option("--arg", "args", multiple=True, metavar="NAME=VALUE", help="A parameter of the template; repeatable."),
        click.option("-p", "--push-images", is_flag=True, help="Not done here: there is no registry to push to."),
        click.option("-r", "--registry", default="", hidden=True, expose_value=False),
        click.option("-u", "--username", default="", hidden=True, expose_value=False),
        click.option("--dry-run", is_flag=True, help="Only print the spec that would count, with its defaults."),
    )
    for flag in reversed(flags):
        function = flag(function)
    return function


@command("create pipeline -f edges.yaml", transactional=True, waits=True, makes_home=True)
@_spec_flags
@raw_output
@in_project
def create_pipeline(app: App, source: str, jsonnet: str, args: Sequence[str], push_images: bool, dry_run: bool) -> None:
    """Create pipelines from specs; each gets a job for what its inputs hold now."""
    _make(app, read_specs(source, jsonnet, args), push_images, dry_run, update=False, reprocess=False)


@command("update pipeline -f edges.yaml --reprocess", transactional=True, waits=True, makes_home=True)
@_spec_flags
@click.option("--reprocess", is_flag=True, help="Run all datums again, also those that succeeded before.")
@raw_output
@in_project
def update_pipeline(app: App, source: str, jsonnet: str, args: Sequence[str], push_images: bool, dry_run: bool, reprocess: bool) -> None:
    """Give pipelines new specs; those that are missing are created."""
    _make(app, read_specs(source, jsonnet, args), push_images, dry_run, update=True, reprocess=reprocess)


def _make(app: App, specs: Iterator[SpecDocument], push_images: bool, dry_run: bool, *, update: bool, reprocess: bool) -> None:
    """Create or update pipelines, spec by spec; an error stops the rest, and those before it stay.

    `update` and `reprocess` in a document hold for those that follow too (reference pps 5.3).
    """
    from local_runner.specs.effective import dry_run_document  # no `--help` needs specs

    if push_images:
        note("--push-images is not done here: an image is a folder under images/, and its code is read from there")
    for spec in specs:
        document = spec.values
        update = bool(document.get("update", update))
        reprocess = bool(document.get("reprocess", reprocess))
        effective = _make_one(app, spec, app.project, update=update, reprocess=reprocess, dry_run=dry_run)
        if dry_run:
            app.out.show_one(effective, dry_run_document, spec_text.dry_run_text)


def _make_one(app: App, spec: SpecDocument, project: str, *, update: bool, reprocess: bool, dry_run: bool = False) -> Mapping[str, Any]:
    """Create or update the pipeline of one spec, and say what is to be known about it; returns its effective spec."""
    from local_runner.specs.effective import image_warnings  # as above
    from local_runner.specs.notes import notes
    from local_runner.specs.parse import parse_spec

    for warning in image_warnings(spec.values):
        note(warning)
    try:
        effective = app.runner.create_pipeline(spec.values, project=project, update=update, reprocess=reprocess, dry_run=dry_run)
    except SpecError as error:
        raise spec.locate(error) from None
    if not dry_run:
        parsed = parse_spec(effective, project)
        # pachctl says nothing here about an image that a cluster can run.
        said = (*notes(parsed), *app.runner.missing_secrets(parsed.transform))
        for sentence in (*said, *image_notes(app.runner.home, parsed.transform.image, only_lacks=True)):
            note(sentence)
    return effective


@command("validate pipeline -f edges.yaml")
@click.option("-f", "--file", "source", default="", metavar="SPEC", help="A file, a URL or - (the default).")
def validate_pipeline(app: App, source: str) -> None:
    """Check that a spec can be read; whether its repos exist is not asked."""
    for _ in read_specs(source):
        pass


@command("edit pipeline edges", transactional=True, waits=True)
@click.argument("pipeline")
@click.option("--reprocess", is_flag=True, help="Run all datums again, also those that succeeded before.")
@click.option("--editor", default="", metavar="PROGRAM", help="The editor; else $EDITOR, else vi.")
@click.option("-o", "--output", "form", type=click.Choice(["json", "yaml"]), default="json", help="The format to edit the spec in.")
@in_project
def edit_pipeline(app: App, pipeline: str, reprocess: bool, editor: str, form: str) -> None:
    """Edit the spec of a pipeline in your text editor, and update it when the editor ends."""
    info = app.runner.inspect_pipeline(app.pipeline(pipeline))
    before = json.loads(info.user_spec)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{info.pipeline.name}.pipeline.{form}"
        path.write_text(_as_text(before, form))
        _edit(editor or os.environ.get("EDITOR") or "vi", path)
        specs = list(read_specs(str(path)))
    if len(specs) != 1:
        raise Invalid(f"expected one spec, got {len(specs)}: a pipeline is edited alone")
    after = specs[0].values
    if after == before:
        app.out.line("Pipeline unchanged, no update will be performed.")
        return
    name = after["pipeline"]
    if name.get("name") != info.pipeline.name:
        raise Invalid("may not change pipeline name", hint="create a pipeline with the new name")
    if name.get("project", {}).get("name", info.pipeline.project) != info.pipeline.project:
        raise Invalid("may not change project name", hint="create the pipeline in the other project")
    _make_one(app, specs[0], info.pipeline.project, update=True, reprocess=reprocess)


def _as_text(document: dict[str, Any], form: str) -> str:
    if form == "json":
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    import io

    from ruamel.yaml import YAML  # 60 ms, for `-o yaml` only

    text, yaml = io.StringIO(), YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(document, text)
    return text.getvalue()


def _edit(editor: str, path: Path) -> None:
    try:
        done = subprocess.run([*shlex.split(editor), str(path)], check=False)
    except ValueError as error:
        raise Invalid(f"the editor {editor}: {error}", hint="name one with --editor or $EDITOR") from None
    except OSError as error:
        raise Unavailable(f"cannot start the editor {editor}: {error.strerror}", hint="name one with --editor or $EDITOR") from None
    if done.returncode:
        raise Unavailable(f"the editor {editor} ended with exit status {done.returncode}; nothing was changed")


@command("start pipeline edges", waits=True)
@click.argument("pipeline")
@in_project
def start_pipeline(app: App, pipeline: str) -> None:
    """Let a stopped pipeline work again, beginning with what its inputs hold now."""
    app.runner.start_pipeline(app.pipeline(pipeline))


@command("stop pipeline edges")
@click.argument("pipeline")
@in_project
def stop_pipeline(app: App, pipeline: str) -> None:
    """Stop a pipeline: its jobs are killed, new commits make none."""
    app.runner.stop_pipeline(app.pipeline(pipeline))


@command("rerun pipeline edges --reprocess", waits=True)
@click.argument("pipeline")
@click.option("--reprocess", is_flag=True, help="Run all datums again, also those that succeeded before.")
@in_project
def rerun_pipeline(app: App, pipeline: str, reprocess: bool) -> None:
    """Make a new version with the same spec, and a job for it."""
    app.runner.rerun_pipeline(app.pipeline(pipeline), reprocess=reprocess)


@command("run cron nightly", waits=True)
@click.argument("pipeline")
@in_project
def run_cron(app: App, pipeline: str) -> None:
    """Let every cron input of a pipeline tick now."""
    app.runner.run_cron(app.pipeline(pipeline))


@command("delete pipeline edges --keep-repo")
@click.argument("pipeline", required=False)
@click.option("--all", "all_pipelines", is_flag=True, help="Every pipeline of the project.")
@click.option("-f", "--force", is_flag=True, help="Delete it even if others read its output.")
@click.option("--keep-repo", is_flag=True, help="Keep its output as a plain repo.")
@asks
@everywhere
@in_project
def delete_pipeline(
    app: App, pipeline: str | None, all_pipelines: bool, force: bool, keep_repo: bool, yes: bool, all_projects: bool
) -> None:
    """Delete a pipeline, with its jobs and its output."""
    if pipeline is None:
        if not all_pipelines:
            raise Invalid("either a pipeline name or the --all flag needs to be provided", hint="`list pipeline` says which there are")
        doomed = app.runner.list_pipeline(app.projects(all_projects))
        app.confirm_loss(f"This will delete {', '.join(str(info.pipeline) for info in doomed) or 'nothing'}", yes)
        for info in doomed:  # what is stopped stands on nothing, so that the order does not matter
            app.runner.stop_pipeline(info.pipeline)
        for info in doomed:
            app.runner.delete_pipeline(info.pipeline, force=force, keep_repo=keep_repo)
    elif all_pipelines or all_projects:
        raise Invalid(f"cannot use the --all{'' if all_pipelines else '-projects'} flag with an argument")
    else:
        app.runner.delete_pipeline(app.pipeline(pipeline), force=force, keep_repo=keep_repo, must_exist=True)


@command("run pipeline edges", hidden=True)
@click.argument("arguments", nargs=-1)
def run_pipeline(app: App, arguments: Sequence[str]) -> None:
    """Gone since Pachyderm 2."""
    raise Unsupported("there is no `run pipeline` since Pachyderm 2", hint="`rerun pipeline`, or `run cron` for one with a cron input")
