"""What is said of a Dask cluster before anything runs on it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="pip install 'local_runner[dask]'")

from local_runner.errors import Invalid, Unavailable
from local_runner.executors.dask.executor import DaskExecutor
from local_runner.executors.dask.report import examine_cluster
from local_runner.executors.dask.settings import DaskSettings, read_settings
from local_runner.project.file import read_project
from tests.contracts.bench import soon
from tests.support.dask_cluster import dask_cluster


def test_each_worker_is_listed_with_its_versions_resources_and_devices(tmp_path: Path) -> None:
    with dask_cluster(tmp_path, 0) as cluster:
        cluster.start_worker("gpu0", "--resources", "GPU=1 CPU=4", env={"CUDA_VISIBLE_DEVICES": "7"})
        assert soon(lambda: len(list(examine_cluster(cluster.settings()))) == 2)
        scheduler, worker = examine_cluster(cluster.settings())
    assert scheduler.here == f"{cluster.address}: 1 workers, 2 threads"
    assert worker.what == "dask worker gpu0"
    for said in ("2 threads", "GPU 1", "CPU 4", "python 3.", "dask 20", "executor ", "CUDA_VISIBLE_DEVICES=7"):
        assert said in worker.here
    assert not worker.trouble


def test_a_worker_with_another_version_is_named_before_anything_runs(tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(Path(__file__).parents[2] / "local_runner", other / "local_runner")
    (other / "local_runner/changed.py").touch()
    with dask_cluster(tmp_path, 0) as cluster:
        cluster.start_worker("old", env={"PYTHONPATH": str(other)})
        assert soon(lambda: len(list(examine_cluster(cluster.settings()))) == 2)
        with pytest.raises(Unavailable, match=r"Dask worker old \(tcp://.*\): it has local_runner .*, here is ") as raised:
            _ = DaskExecutor(cluster.settings()).cluster
        assert "doctor" in raised.value.hint
        _, worker = examine_cluster(cluster.settings())
    assert "it has local_runner" in worker.trouble


def test_a_cluster_that_is_not_there_is_an_error_that_says_so() -> None:
    (found,) = examine_cluster(DaskSettings("tcp://127.0.0.1:1"))
    assert "tcp://127.0.0.1:1 cannot be reached" in found.trouble


def test_the_environment_wins_over_the_project_file(tmp_path: Path) -> None:
    table = {"scheduler": "tcp://a:8786", "cache_size": "1Gi"}
    settings = read_settings(table, {"DASK_SCHEDULER_ADDRESS": "tls://b:8786", "DASK_LOCAL_RUNNER_VARIABLES": "A,B"})
    assert settings == DaskSettings("tls://b:8786", cache_size="1Gi", variables=("A", "B"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('shedule = "tcp://a:1"', "unknown field shedule"),
        ('scheduler = "http//a"', "is no address"),
        ("workers = -1", "expected 0 or more"),
        ('cache_size = "much"', "is not a quantity"),
        ('executor = "dask"', "cannot be told to use dask"),
        ("cert = 7", "expected a text"),
    ],
)
def test_a_wrong_setting_is_an_error_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "local_runner.toml").write_text(f"pipelines = []\n[dask]\n{line}\n")
    with pytest.raises(Invalid, match=rf"local_runner\.toml:3: dask: .*{said}"):
        read_project(tmp_path)


def test_files_of_certificates_are_relative_to_the_project_file(tmp_path: Path) -> None:
    (tmp_path / "local_runner.toml").write_text('pipelines = []\n[dask]\nca_file = "ca.pem"\n')
    assert read_project(tmp_path).dask == {"ca_file": os.path.join(tmp_path, "ca.pem")}
