"""After any verbs that the commands allow, an engine works on, the store is sound, and what can run has run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
from hypothesis import HealthCheck, given, settings

from local_runner.model.inputs import Cron, Pfs, leaves
from local_runner.model.jobs import JobState
from local_runner.model.pipelines import PipelineInfo
from local_runner.model.refs import BranchRef, CommitQuery, RepoRef
from local_runner.repos.check import check
from tests.support.lab import Lab
from tests.support.verbs import GRAPH, Shape, Verb, World, begin, home_below, sequences, work_to_the_end

_EXAMPLES = 60  # in CI's share: 20 s
_PLACE = Path("/dev/shm") if Path("/dev/shm").is_dir() else None


def test_after_any_verbs_an_engine_works_on(reliability_scale: float, seed: int) -> None:
    @hypothesis.seed(seed)
    @settings(max_examples=int(_EXAMPLES * reliability_scale), suppress_health_check=list(HealthCheck), database=None)
    @given(GRAPH, sequences(longest=8))
    def play(graph: tuple[Shape, ...], verbs: list[Verb]) -> None:
        with TemporaryDirectory(dir=_PLACE) as folder, contextlib.closing(home_below(folder, "lab")) as lab:
            begin(lab, graph)
            world = World(lab)
            try:
                world.play(verbs)
            finally:
                world.close()
            assert_sound(lab)
            work_to_the_end(lab)
            assert_sound(lab)
            assert_all_is_over(lab)
            assert_what_can_run_runs(lab)
            assert_outputs_are_those_of_a_fresh_home(lab, Path(folder))

    play()


def assert_sound(lab: Lab) -> None:
    with lab.runner.database.read() as session:
        assert check(session) == []


def assert_all_is_over(lab: Lab) -> None:
    """But services, for which there is no engine here."""
    services = {info.pipeline for info in lab.runner.list_pipeline() if info.spec.service is not None}
    assert [info for info in lab.runner.list_job(history=-1) if not info.state.is_final and info.job.pipeline not in services] == []


def assert_what_can_run_runs(lab: Lab) -> None:
    """A new file in each repo of data starts each pipeline that stands on it, unless that is stopped."""
    for name in "xy":
        repo = RepoRef("default", name)
        if repo not in [info.repo for info in lab.runner.list_repo()]:
            continue
        new = lab.put(f"{name}@master", {"/new": "new"}).id
        work_to_the_end(lab)
        assert_sound(lab)
        assert_all_is_over(lab)
        with lab.runner.database.read() as session:
            branch = session.repos.branch(BranchRef(repo, "master"))
            assert branch is not None
            awake = [session.repos.branch_at(key).ref for key in session.repos.awakened([branch.key])]
        for info in lab.runner.list_pipeline():
            if info.spec.output in awake and info.spec.spout is None:
                states = {job.job.pipeline: job.state for job in lab.runner.inspect_job_set(new).jobs}
                assert info.pipeline in states


def assert_outputs_are_those_of_a_fresh_home(lab: Lab, folder: Path) -> None:
    """For each pipeline: what its last good job made is what one pipeline alone makes of the same input commits."""
    for info in lab.runner.list_pipeline():
        job = next((job for job in lab.jobs(info.pipeline.name) if job.state is JobState.SUCCESS), None)
        if job is None or info.spec.service is not None or job.pipeline_version != info.version:
            continue
        found = lab.files(f"{info.pipeline.name}@{job.job.id}")
        assert found == _from_scratch(lab, folder, info, job.job.id)


def _from_scratch(lab: Lab, folder: Path, info: PipelineInfo, job: str) -> dict[str, str]:
    output = lab.runner.inspect_commit(CommitQuery(info.pipeline.repo, id=job))
    read = {ref.repo: ref for ref in output.direct_provenance}
    with contextlib.closing(home_below(folder, f"fresh-{info.pipeline.name}")) as fresh:
        for source in {leaf.source for leaf in leaves(info.spec.input)}:
            fresh.put(str(source), lab.files(str(read[source.repo])))
        document = json.loads(info.user_spec)
        plain = iter([_plain(leaf) for leaf in leaves(info.spec.input)])
        fresh.runner.create_pipeline(document | {"input": _with_leaves(document["input"], plain)}, project="default")
        fresh.run_all()
        assert fresh.state(info.pipeline.name) is JobState.SUCCESS
        return fresh.files(f"{info.pipeline.name}@master")


def _plain(leaf: Pfs | Cron) -> dict[str, object]:
    """An input of the branch that a clock or a trigger moves."""
    glob = leaf.glob if isinstance(leaf, Pfs) else "/*"
    return {"pfs": {"name": leaf.name, "repo": leaf.source.repo.name, "branch": leaf.branch, "glob": glob}}


def _with_leaves(node: dict[str, Any], new: Iterator[dict[str, object]]) -> dict[str, Any]:
    return (
        {kind: [_with_leaves(child, new) for child in node[kind]] for kind in node}
        if isinstance(next(iter(node.values())), list)
        else next(new)
    )
