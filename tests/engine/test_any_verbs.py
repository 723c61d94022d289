"""After any verbs that the commands allow, an engine works on, the store is sound, and what can run has run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from local_runner.errors import Refused
from local_runner.model.inputs import Cron, Pfs, leaves
from local_runner.model.jobs import JobState
from local_runner.model.pipelines import PipelineInfo
from local_runner.model.refs import BranchRef, CommitQuery, CommitRef, RepoRef
from local_runner.repos.check import check
from tests.support.lab import Lab
from tests.support.verbs import History, World, begin, home_below, work_to_the_end

_HISTORIES = 60  # in CI's share: 20 s
_LONGEST = 10
_PLACE = Path("/dev/shm") if Path("/dev/shm").is_dir() else None


def test_after_any_verbs_an_engine_works_on(reliability_scale: float, seed: int) -> None:
    for number in range(int(_HISTORIES * reliability_scale)):
        history = History.of((seed, number), _LONGEST)
        fault = fault_of(history)
        if fault is not None:
            shortest, fault = shorten(history, fault)
            raise AssertionError(f"history {number} of seed {seed}, without what has no part in it: {shortest}") from fault


def fault_of(history: History) -> Exception | None:
    """What is wrong after a history, if anything is."""
    with TemporaryDirectory(dir=_PLACE) as folder, contextlib.closing(home_below(folder, "lab")) as lab:
        try:
            begin(lab, history.graph)
            with contextlib.closing(World(lab)) as world:
                world.play(history.verbs)
            assert_sound(lab)
            work_to_the_end(lab)
            assert_sound(lab)
            assert_all_is_over(lab)
            assert_what_can_run_runs(lab)
            assert_outputs_are_those_of_a_fresh_home(lab, Path(folder))
        except Exception as error:
            return error
    return None


def shorten(history: History, fault: Exception) -> tuple[History, Exception]:
    """Take verbs away as long as something stays wrong."""
    for shorter in history.shorter():
        other = fault_of(shorter)
        if other is not None:
            return shorten(shorter, other)
    return history, fault


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
        try:
            new = lab.put(f"{name}@master", {"/new": "new"}).id
        except Refused:  # somebody made it stand on something
            continue
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
        output = lab.runner.inspect_commit(CommitQuery(info.pipeline.repo, id=job.job.id))
        read = {ref.repo: ref for ref in output.direct_provenance}
        if all(leaf.source.repo in read for leaf in leaves(info.spec.input)):  # else an input was deleted since
            assert lab.files(str(output.commit)) == _from_scratch(lab, folder, info, read)


def _from_scratch(lab: Lab, folder: Path, info: PipelineInfo, read: Mapping[RepoRef, CommitRef]) -> dict[str, str]:
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
