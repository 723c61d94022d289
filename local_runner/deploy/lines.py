"""Prints a deployment plan as lines for a shell, for `deploy --dry-run`."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from local_runner.deploy.plan import DeployedImage, DeployPlan, InputFiles, Pipeline
from local_runner.model.refs import BranchRef

_END_OF_SPEC = "END_OF_SPEC"


def lines(plan: DeployPlan, address: str, tool: str, *, reprocess: bool = False, wait: bool = True) -> Iterator[str]:
    """Lines for docker (or what `tool` names) and pachctl that bring a cluster to the plan, whatever it holds before.

    They may be pasted again: projects, repos and pipelines are made or updated, files written over or taken away.
    """
    yield f"cd {shlex.quote(str(plan.root))}"
    yield f"export PACHD_ADDRESS={shlex.quote(address)}"
    for image in plan.images:
        yield from image_lines(image, tool, plan.root)
    for project in plan.projects:
        name = shlex.quote(project)
        yield f"pachctl inspect project {name} >/dev/null 2>&1 || pachctl create project {name}"
    for repo in plan.inputs:
        yield from _input_lines(repo, plan.root)
    for pipeline in plan.pipelines:
        yield _pipeline_line(pipeline, plan.root, reprocess=reprocess)
    if wait:
        yield from (f"pachctl wait commit {_named(p.spec.output)}" for p in plan.pipelines if p.ends)


def image_lines(image: DeployedImage, tool: str, root: Path) -> list[str]:
    """The build and the push of one image."""
    return [shlex.join([tool, "build", "-t", image.pushed, _shown(image.folder, root)]), shlex.join([tool, "push", image.pushed])]


def _input_lines(repo: InputFiles, root: Path) -> Iterator[str]:
    """The lines that put the files of an input repo as one commit; folders are emptied first."""
    branch = _named(repo.branch)
    yield f"pachctl update repo {shlex.quote(repo.branch.repo.name)} --project {shlex.quote(repo.branch.repo.project)}"
    yield f"pachctl start commit {branch}"
    for top in repo.tops:
        if top not in repo.files:
            yield f"pachctl delete file -r {_named(repo.branch, top)}"
    for path, content in repo.files.items():
        if isinstance(content, Path):
            yield f"pachctl put file {_named(repo.branch, path)} -f {shlex.quote(_shown(content, root))}"
        else:
            yield f"printf {_format(content)} | pachctl put file {_named(repo.branch, path)} -f -"
    yield f"pachctl finish commit {branch}"


def _pipeline_line(pipeline: Pipeline, root: Path, *, reprocess: bool) -> str:
    """The line that creates or updates a pipeline."""
    command = f"pachctl update pipeline --project {shlex.quote(pipeline.spec.pipeline.project)}{' --reprocess' * reprocess}"
    if pipeline.source is not None:
        return f"{command} -f {shlex.quote(_shown(pipeline.source, root))}"
    return f"{command} -f - <<'{_END_OF_SPEC}'\n{json.dumps(pipeline.document, indent=2, ensure_ascii=False)}\n{_END_OF_SPEC}"


def _named(branch: BranchRef, path: str = "") -> str:
    """A branch, or a file on it. The project is always said: the person's context may have another current one."""
    what = f"{branch.repo.name}@{branch.name}"
    return f"{shlex.quote(f'{what}:{path}' if path else what)} --project {shlex.quote(branch.repo.project)}"


def _shown(path: Path, root: Path) -> str:
    shown = os.path.relpath(path, root) if path.is_relative_to(root) else str(path)
    return f"./{shown}" if shown.startswith("-") else shown  # else it would be read as a flag


def _format(content: bytes) -> str:
    """A content as the first argument of `printf`, for any bytes and any shell."""
    special = {ord("\n"): "\\n", ord("\\"): "\\\\", ord("%"): "%%"}
    return shlex.quote("".join(special.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}") for byte in content))
