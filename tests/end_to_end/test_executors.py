"""The whole search by every executor, its two warm stages batched or started for each datum: the same bytes, hashes and datums."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from local_runner.executors.process import ProcessExecutor
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.model.datums import DatumInfo
from local_runner.model.refs import META, USER, CommitQuery
from local_runner.runner import Runner
from tests.end_to_end.conftest import FirstRun
from tests.end_to_end.project import ProjectCopy
from tests.support.containers import why_not

REASONS = {"sandbox": SandboxExecutor().why_not(), "process": ProcessExecutor().why_not(), "container": why_not()}

# Each way but the README's own, which is a batched sandbox. Processes cannot be batched: the client library of such a stage reads
# /pfs/.env, which is not there where nothing is at /pfs. Unbatched, each datum imports scikit-learn, 1.2 s of processor time: 4 of
# the 77 points do.
UNBATCHED = ("sandbox", "process", "container")
LINES = 2  # of each parameter file, where datums are not batched


def test_containers_make_the_same_search(first_run: FirstRun, tmp_path: Path) -> None:
    expected, found = account(first_run[0]), searched(ProjectCopy.fresh(tmp_path / "project"), "container")
    assert {pipeline: len(datums) for pipeline, datums in found.datums.items()} == {"split": 1, "model": 77, "test": 77, "select": 1}
    assert [file.path for file in found.files["select"]] == ["/model_C128.0_G0.004.pkl", "/model_C2048.0_G0.001.pkl"]
    assert found == expected


@pytest.mark.parametrize("executor", UNBATCHED)
def test_a_process_for_each_datum_makes_the_same_models(first_run: FirstRun, tmp_path: Path, executor: str) -> None:
    project = ProjectCopy.fresh(tmp_path / "project")
    start_for_each_datum(project)
    for name in ("c_parameters.txt", "gamma_parameters.txt"):
        lines = (project.root / "parameters" / name).read_text().splitlines(keepends=True)
        project.write(f"parameters/{name}", "".join(lines[:LINES]))
    expected, found = account(first_run[0]), searched(project, executor)
    for pipeline, count in (("split", 1), ("model", LINES**2), ("test", LINES**2)):
        assert len(found.datums[pipeline]) == count
        assert all(datum in expected.datums[pipeline] for datum in found.datums[pipeline])
        for repo in (pipeline, f"{pipeline}.meta"):
            assert found.files[repo]
            assert set(found.files[repo]) <= set(expected.files[repo])


def searched(project: ProjectCopy, executor: str) -> Account:
    if REASONS[executor]:
        pytest.skip(REASONS[executor])
    ran = project.local_runner(f"--executor {executor}", timeout=900)
    assert ran.status == 0, ran.text
    return account(project)


def start_for_each_datum(project: ProjectCopy) -> None:
    for name in ("model", "test"):
        spec = json.loads((project.root / f"pipelines/{name}.json").read_text())
        del spec["transform"]["datum_batching"]
        spec["parallelism_spec"] = {"constant": 2}
        project.write(f"pipelines/{name}.json", json.dumps(spec))


class File(NamedTuple):
    """A file of a commit, or of the inputs of a datum; `writer` is the datum that wrote it."""

    path: str
    hash: bytes
    size: int
    writer: str = ""


class Account(NamedTuple):
    """What a search left behind: repo -> the files of its last commit, pipeline -> id, state and inputs of the datums of its job."""

    files: dict[str, list[File]]
    datums: dict[str, list[tuple[str, str, list[File]]]]


def account(project: ProjectCopy) -> Account:
    with Runner.open(project.root / ".local_runner", background=False) as runner:
        repos = [info.repo for kind in (USER, META) for info in runner.list_repo(type=kind)]
        jobs = list(runner.list_job(history=-1))
        return Account(
            {f"{repo.name}.{repo.type}".removesuffix(".user"): files(runner, CommitQuery(repo, "master")) for repo in repos},
            {info.job.pipeline.name: sorted(datum(info) for info in runner.list_datum(info.job)) for info in jobs},
        )


def files(runner: Runner, commit: CommitQuery) -> list[File]:
    """All of a commit. Of those in which a meta repo keeps times and the ids of jobs, neither hash nor size; list_datum reads them."""
    found = (file for file in runner.glob_file(commit, "/**") if not file.is_folder)
    known = (File(file.path, file.hash, file.size, file.datum) for file in found)
    return [File(file.path, b"", 0, file.writer) if file.path.endswith(("/meta", "/.env")) else file for file in known]


def datum(info: DatumInfo) -> tuple[str, str, list[File]]:
    return info.datum.id, info.state, [File(file.path, file.hash, file.size) for file in info.datum.inputs]
