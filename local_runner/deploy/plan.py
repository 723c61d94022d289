"""Plans a deployment from the project's files: the images, input files and specs that the cluster needs, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_runner.errors import Invalid
from local_runner.images.folder import image_digest, image_folder, read_image
from local_runner.model.inputs import leaves
from local_runner.model.names import DEFAULT_PROJECT, check_path, clean_path
from local_runner.model.pipelines import PipelineSpec
from local_runner.model.refs import BranchRef, RepoRef
from local_runner.project.file import PROJECT_FILE, Project
from local_runner.project.update import in_order, project_files, wanted_specs
from local_runner.specs.effective import BUILT_IN_CLUSTER_DEFAULTS, effective_spec, user_spec

_TAG_DIGITS = 12  # of the digest in a tag; git shows as many of a commit in a large repository


@dataclass(frozen=True, slots=True)
class DeployedImage:
    """An image that is built from a folder and pushed. `name` is how the specs call it, `pushed` how the cluster will.

    `digest` is that of the files it is made of.
    """

    name: str
    folder: Path
    pushed: str
    digest: str


@dataclass(frozen=True, slots=True)
class InputFiles:
    """The files of an input repo at and below `tops`: path in the repo -> file here, or the bytes of one record of a split file."""

    branch: BranchRef
    tops: tuple[str, ...]
    files: Mapping[str, Path | bytes]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A spec as it is sent. `source` is the file that holds it and nothing else, None if no file says exactly this."""

    spec: PipelineSpec
    document: Mapping[str, Any]
    source: Path | None

    @property
    def ends(self) -> bool:
        """Whether its jobs end: a spout's and a service's do not."""
        return self.spec.spout is None and self.spec.service is None


@dataclass(frozen=True, slots=True)
class DeployPlan:
    """Everything to send, in this order; pipelines come after those whose output they read."""

    root: Path
    images: tuple[DeployedImage, ...]
    inputs: tuple[InputFiles, ...]
    pipelines: tuple[Pipeline, ...]

    @property
    def projects(self) -> list[str]:
        """The projects that the plan needs besides `default`."""
        named = {i.branch.repo.project for i in self.inputs} | {p.spec.pipeline.project for p in self.pipelines}
        return sorted(named - {DEFAULT_PROJECT})

    @property
    def results(self) -> list[BranchRef]:
        """The output branches that none of the pipelines reads."""
        read = {leaf.source.repo for pipeline in self.pipelines for leaf in leaves(pipeline.spec.input)}
        return [p.spec.output for p in self.pipelines if p.ends and p.spec.pipeline.repo not in read]


def plan(project: Project, name: str = DEFAULT_PROJECT, registry: str = "") -> DeployPlan:
    """The plan for a project, in the project `name` of a cluster. Without a registry no image is pushed, and specs go as they are.

    Reads files and touches nothing. Raises `Invalid` and `SpecError` for what is wrong in them.
    """
    if not (project.specs or project.repos):
        raise Invalid(f"{project.root / PROJECT_FILE} names no pipelines and no repos", hint="there is nothing to deploy")
    ordered = in_order(list(wanted_specs(project, name, _effective)))
    sources = [source for _, _, source in ordered]
    images: dict[str, DeployedImage] = {}
    pipelines = []
    for document, spec, source in ordered:
        whole = user_spec(document, spec.pipeline.project)
        only = source if sources.count(source) == 1 else None
        folder = image_folder(spec.transform.image, project.images)
        if registry and folder is not None:
            digest = image_digest(read_image(folder))
            image = DeployedImage(spec.transform.image, folder, pushed_name(spec.transform.image, registry, digest), digest)
            images[image.name] = image
            whole |= {"transform": {**whole["transform"], "image": image.pushed}}
            only = None
        pipelines.append(Pipeline(spec, whole, only))
    inputs = tuple(
        InputFiles(
            BranchRef(RepoRef(name, repo.name), repo.branch),
            tuple(clean_path(top) for top in repo.files),
            {check_path(at): file for top, source in repo.files.items() for at, file in project_files(repo, clean_path(top), source)},
        )
        for repo in project.repos
    )
    return DeployPlan(project.root, tuple(images.values()), inputs, tuple(pipelines))


def pushed_name(image: str, registry: str, digest: str) -> str:
    """An image's name in a registry: as in the spec, with a tag that ends in the digest of the files it is made of.

    Nodes of a cluster do not fetch a tag that they have, so new code under an old tag would never run there.
    """
    name = image.partition("@")[0]
    front, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    prefix = registry.rstrip("/") + "/"
    bare = f"{front}{slash}{last}"
    return f"{'' if bare.startswith(prefix) else prefix}{bare}:{tag}{'-' if tag else ''}{digest[:_TAG_DIGITS]}"


def _effective(document: Mapping[str, Any], project: str) -> Mapping[str, Any]:
    """The spec with the defaults of a new cluster, for checks only; the cluster applies its own."""
    return effective_spec(user_spec(document, project), BUILT_IN_CLUSTER_DEFAULTS, {})
