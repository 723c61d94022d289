"""Pipelines over repos of several projects (reference pps 1.1, 1.3)."""

from __future__ import annotations

import pytest

from local_runner.errors import RepoNotFound
from local_runner.model.refs import PipelineRef
from tests.support.lab import Lab


def pfs(project: str, **fields: object) -> dict[str, object]:
    return {"pfs": {"project": project, "repo": "data", "glob": "/*", **fields}}


@pytest.fixture
def lab(lab: Lab) -> Lab:
    """With a repo `data` in the projects default and north."""
    lab.runner.create_project("north")
    lab.put("data@master", {"/a": "south"})
    lab.put("north/data@master", {"/a": "north", "/b": "north"})
    return lab


def test_a_pipeline_reads_a_repo_of_another_project_and_follows_its_changes(lab: Lab) -> None:
    lab.pipeline("p", pfs("north"))
    lab.run_all()
    assert lab.files("p@master") == {"/a": "north", "/b": "north"}
    lab.put("north/data@master", {"/b": "changed"})
    lab.run_all()
    assert lab.ran == ["p:/b"]
    with pytest.raises(RepoNotFound, match="repo north/other not found"):
        lab.pipeline("q", pfs("north", repo="other"))


def test_a_pipeline_of_another_project_reads_its_own_unless_told_otherwise(lab: Lab) -> None:
    document = {"pipeline": {"name": "p"}, "transform": {"cmd": ["do"]}, "input": {"pfs": {"repo": "data", "glob": "/b"}}}
    lab.runner.create_pipeline(document, project="north")
    lab.run_all()
    assert lab.files("north/p@master") == {"/b": "north"}
    assert [info.pipeline for info in lab.runner.list_pipeline()] == [PipelineRef("north", "p")]


def test_equal_paths_of_repos_of_one_name_are_one_datum_of_a_union(lab: Lab) -> None:
    # A datum's id does not know projects, on a cluster either.
    lab.pipeline("p", {"union": [pfs("default"), pfs("north")]})
    lab.run_all()
    assert lab.counts("p") == {"total": 2, "processed": 2}
    assert lab.files("p@master") == {"/a": "south", "/b": "north"}


def test_a_set_of_jobs_that_reaches_into_another_project_is_listed_with_the_jobs_of_each_alone(lab: Lab) -> None:
    lab.pipeline("p", pfs("default"))
    document = {
        "pipeline": {"name": "q"},
        "transform": {"cmd": ["do"]},
        "input": {"pfs": {"project": "default", "repo": "p", "glob": "/*"}},
    }
    lab.runner.create_pipeline(document, project="north")
    lab.put("data@master", {"/a": "changed"})
    lab.run_all()

    def listed(*projects: str) -> list[list[str]]:
        return [sorted(str(job.job.pipeline) for job in found.jobs) for found in lab.runner.list_job_set(projects)]

    assert listed("default", "north")[0] == ["default/p", "north/q"]
    assert listed("default")[0] == ["default/p"]
    assert listed("north")[0] == ["north/q"]
    assert listed("default", "south") == listed("default")
    assert listed("south") == []
