"""The Python clients, as people use them."""

import io
import os
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest

from local_runner.server.listen import Server
from tests.support.lab import Lab


@pytest.fixture
def old(server: Server) -> Any:
    """python-pachyderm."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        python_pachyderm = pytest.importorskip("python_pachyderm", reason="python-pachyderm is not installed")
    return python_pachyderm.Client(host="127.0.0.1", port=server.port)


def test_python_pachyderm_writes_and_reads_files(old: Any) -> None:
    old.create_repo("data", "of a test")
    with old.commit("data", "master") as commit:
        old.put_file_bytes(commit, "a.txt", b"one\n")
        old.put_file_bytes(commit, "a.txt", b"two\n", append=True)
    with old.modify_file_client(("data", "master")) as change:
        change.put_file_from_fileobj("/b", io.BytesIO(b"x" * 100_000))
    assert old.get_file(("data", "master"), "a.txt").read() == b"one\ntwo\n"
    assert [(info.file.path, info.size_bytes) for info in old.list_file(("data", "master"), "/")] == [("/a.txt", 8), ("/b", 100_000)]
    assert old.path_exists(("data", "master"), "b")
    assert not old.path_exists(("data", "master"), "none")
    with pytest.raises(ValueError, match="nonexistent commit"):
        old.path_exists(("none", "master"), "b")
    with old.get_file_tar(("data", "master"), "/*") as archive:
        assert sorted(member.name for member in archive) == ["a.txt", "b"]


def test_python_pachyderm_runs_a_pipeline(lab: Lab, old: Any) -> None:
    import python_pachyderm.proto.v2.pps.pps_pb2 as pps

    old.create_repo("data")
    old.put_file_bytes(("data", "master"), "a", b"1")
    transform = pps.Transform(cmd=["do"], image="none")
    old.create_pipeline("edges", transform=transform, input=pps.Input(pfs=pps.PFSInput(repo="data", glob="/*")))
    lab.run_all()
    job = next(iter(old.list_job("edges")))
    assert old.wait_job("edges", job.job.id)[0].state == job.state if hasattr(old, "wait_job") else job.data_processed == 1
    assert old.get_file(("edges", "master"), "a").read() == b"1"
    assert [info.data[0].file.path for info in old.list_datum("edges", job.job.id)] == ["/a"]
    old.delete_all()
    assert list(old.list_repo()) == []


def test_python_pachyderm_collects_a_transaction(old: Any) -> None:
    with old.transaction() as transaction:
        old.create_repo("a")
        old.create_repo("b")
        assert list(old.list_repo()) == []
    assert {info.repo.name for info in old.list_repo()} == {"a", "b"}
    assert list(old.list_transaction()) == []
    assert transaction.id


def test_pachyderm_sdk_does_what_its_users_do(lab: Lab, server: Server, tmp_path: Path) -> None:
    """In an environment of its own: it needs another grpc-interceptor than python-pachyderm."""
    python = os.environ.get("PACHYDERM_SDK_PYTHON")
    if not python:
        pytest.skip("PACHYDERM_SDK_PYTHON names no Python with pachyderm-sdk 2.12")
    script = Path(__file__).with_name("pachyderm_sdk_script.py")
    for step, expected in (("prepare", "prepared"), ("look", "looked")):
        done = subprocess.run([python, script, step, str(server.port)], capture_output=True, text=True, timeout=60, cwd=tmp_path)
        assert done.stdout.strip() == expected, done.stderr
        lab.run_all()
