"""Which pipelines lie between the points and the score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local_runner.model.inputs import leaves
from local_runner.model.pipelines import PipelineInfo
from local_runner.model.refs import RepoRef
from local_runner.project.search import SearchSettings

if TYPE_CHECKING:
    from local_runner.runner import Runner


def find_route(runner: Runner, settings: SearchSettings) -> list[PipelineInfo]:
    """The pipelines whose datums a score needs, those upstream first; those of points only, if there is a repo of them.

    Raises `Invalid` that names the field if no pipeline writes the scores, or none of it depends on the points.
    """
    project = runner.current_project
    makers = {info.pipeline.repo: info for info in runner.list_pipeline()}
    score, points = RepoRef(project, settings.score.repo), RepoRef(project, settings.points)
    if score not in makers:
        names = ", ".join(sorted(repo.name for repo in makers)) or "none"
        raise settings.wrong("score", f"there is no pipeline {settings.score.repo}", f"there are {names}; `pipelines` names spec files")
    ordered: dict[RepoRef, bool] = {}

    def visit(repo: RepoRef) -> bool:
        """Whether what is in a repo depends on the points."""
        if settings.points and repo == points:
            return True
        if repo not in makers:
            return not settings.points
        if repo not in ordered:
            found = [visit(leaf.source.repo) for leaf in leaves(makers[repo].spec.input)]
            ordered[repo] = any(found)
        return ordered[repo]

    if not visit(score):
        hint = f"let its input, or that of a pipeline it reads, read {settings.points}"
        raise settings.wrong("score", f"the pipeline {settings.score.repo} does not depend on the points in {settings.points}", hint)
    return [makers[repo] for repo, depends in ordered.items() if depends]
