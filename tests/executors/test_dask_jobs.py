"""Jobs whose datums run on the workers of a Dask cluster: the same commits, whatever happens to workers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local_runner.errors import ClusterLost
from local_runner.executors.base import Executor
from local_runner.executors.table import choose
from local_runner.model.jobs import JobState
from local_runner.model.refs import parse_commit
from tests.contracts.bench import is_alive, soon, unique_sleep
from tests.reference.machine import Machine

if TYPE_CHECKING:
    from local_runner.executors.dask.executor import DaskExecutor
    from tests.support.dask_cluster import DaskCluster

LARGE = os.urandom(3_000_000)


def executor_of(cluster: DaskCluster, **more: Any) -> DaskExecutor:
    from local_runner.executors.dask.executor import DaskExecutor

    return DaskExecutor(cluster.settings(**more))


@pytest.fixture
def on_dask(dask_of_tests: DaskCluster) -> Iterator[DaskExecutor]:
    executor = executor_of(dask_of_tests)
    yield executor
    executor.close()


def results(home: Path, executor: Executor) -> dict[str, Any]:
    """What a job leaves that is given inputs of all kinds, copies, changes, links and prints."""
    machine = Machine(home, executor)
    machine.put("data@master", {"/a": "small", "/b": LARGE, "/c/d": "deep", "/c/e": b""})
    machine.put("more@master", {"/x": "1", "/y": LARGE[:100_000]})
    cross = [
        {"pfs": {"repo": "data", "name": "in", "glob": "/*"}},
        {"pfs": {"repo": "more", "name": "lazily", "glob": "/*", "lazy": True}},
    ]
    lines = [
        "cd /pfs/out; mkdir $PACH_DATUM_ID; cp -r /pfs/in/* $PACH_DATUM_ID/; cat /pfs/lazily/* > $PACH_DATUM_ID.lazy",
        "ln -s /pfs/in/* $PACH_DATUM_ID.link; echo $in; echo changed >> /pfs/.env",
    ]
    machine.script("p", *lines, input={"cross": cross})
    machine.run_all()
    assert machine.job("p").state is JobState.SUCCESS, machine.reasons("p")
    found = {path: info.hash for path, info in listed(machine, "p@master").items()}
    stats = machine.job("p").stats
    machine.close()
    return {"files": found, "downloaded": stats.download_bytes, "uploaded": stats.upload_bytes}


def listed(machine: Machine, commit: str) -> dict[str, Any]:
    from local_runner.model.refs import parse_file

    return {info.path: info for info in machine.runner.walk_file(parse_file(f"{commit}:/"))}


def test_a_job_leaves_the_same_bytes_as_in_the_sandbox(on_dask: DaskExecutor, tmp_path: Path) -> None:
    assert results(tmp_path / "far/home", on_dask) == results(tmp_path / "near/home", choose("auto")[0])


@pytest.fixture
def own(tmp_path: Path) -> Iterator[DaskCluster]:
    """A cluster of two workers with a thread each, to be broken."""
    pytest.importorskip("distributed", reason="pip install 'local_runner[dask]'")
    from tests.support.dask_cluster import dask_cluster

    (tmp_path / "cluster").mkdir()
    with dask_cluster(tmp_path / "cluster", threads=1) as cluster:
        yield cluster


def while_it_runs(machine: Machine, marker: str, act: Any) -> None:
    """Run all there is to do, and do something as soon as a command with `marker` runs."""
    helper = threading.Thread(target=lambda: soon(lambda: is_alive(marker)) and act())
    helper.start()
    machine.run_all()
    helper.join()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_the_datums_of_a_worker_that_is_killed_or_cut_off_run_elsewhere_and_no_try_is_lost(
    own: DaskCluster, tmp_path: Path, how: signal.Signals
) -> None:
    marker, flag = unique_sleep(), tmp_path / "flag"
    executor = executor_of(own, executor="process")
    machine = Machine(tmp_path / "home", executor)
    machine.put("data@master", {f"/{number}": str(number) for number in range(4)})
    # The first datum on w0 waits to be killed; whoever comes later does not.
    wait = f"if test -e /pfs/in/2 && mkdir {flag}; then echo last words; readlink -f . ; sleep {marker}; fi"
    machine.script("p", wait, "cp /pfs/in/* /pfs/out/", datum_tries=1, parallelism_spec={"constant": 2})

    broken: list[str] = []

    def break_it() -> None:
        (running,) = [one for one in processes_of(own) if marker in one[1]]
        assert soon(lambda: any(f" on {running[0]} (tcp://" in one.worker for one in machine.job("p").running))
        broken.append(running[0])
        own.kill(running[0], how)

    while_it_runs(machine, marker, break_it)
    executor.close()
    assert machine.job("p").state is JobState.SUCCESS, machine.reasons("p")
    assert machine.files("p@master") == {f"/{number}": str(number) for number in range(4)}
    said = [line["message"] for line in machine.runner.logs(job=machine.job("p").job)]
    assert broken
    assert "last words" in said
    assert any("its worker was lost, it runs again" in line for line in said)
    machine.close()


def processes_of(cluster: DaskCluster) -> list[tuple[str, str]]:
    """The commands that run below each worker of a cluster: worker, command line."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_text().replace("\0", " ")
            ancestors, pid = set(), int(folder.name)
            while pid > 1:
                pid = int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
                ancestors.add(pid)
        except (OSError, ValueError):
            continue
        found += [(name, words) for name, process in cluster.processes.items() if process.pid in ancestors]
    return found


def test_a_datum_that_takes_each_of_its_workers_along_is_at_fault_and_the_others_are_not(own: DaskCluster, tmp_path: Path) -> None:
    for number in range(2, 6):
        own.start_worker(f"w{number}")
    executor = executor_of(own, executor="process")
    machine = Machine(tmp_path / "home", executor, jobs=1)
    machine.put("data@master", {"/good": "", "/killer": ""})
    kill = "if test -e /pfs/in/killer; then kill -9 $(ps -o ppid= -p $PPID); sleep 5; fi; cp /pfs/in/* /pfs/out/"
    machine.script("p", kill)
    assert soon(lambda: len(executor.cluster.workers()) == 6)
    machine.run_all()
    executor.close()
    assert machine.job("p").state is JobState.FAILURE
    reasons = machine.reasons("p")
    assert list(reasons) == ["/killer"]
    assert "its worker was lost 3 times" in reasons["/killer"]
    machine.close()


def test_when_the_scheduler_is_gone_the_run_says_so_and_the_next_one_goes_on(own: DaskCluster, tmp_path: Path) -> None:
    marker = unique_sleep()
    executor = executor_of(own, executor="process")
    machine = Machine(tmp_path / "home", executor, jobs=1)
    machine.put("data@master", {"/a": "1", "/b": "2"})
    machine.script(
        "p", f"test -e /pfs/in/a || test -e {tmp_path}/go || sleep {marker}", "cp /pfs/in/* /pfs/out/", datum_set_spec={"number": 1}
    )
    with pytest.raises(ClusterLost, match=r"the Dask scheduler tcp://.* is gone"):
        while_it_runs(machine, marker, lambda: own.kill("scheduler"))
    executor.close()
    assert machine.job("p").state is JobState.RUNNING
    assert soon(lambda: not is_alive(marker))
    (tmp_path / "go").touch()
    own.start_scheduler()
    own.start_worker("w9")
    with_another = machine.real = executor_of(own, executor="process")
    machine.run_all()
    with_another.close()
    assert machine.job("p").state is JobState.SUCCESS
    assert machine.files("p@master") == {"/a": "1", "/b": "2"}
    machine.close()


def test_a_datum_goes_where_its_resources_are_with_the_variables_of_that_worker(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="pip install 'local_runner[dask]'")
    from tests.support.dask_cluster import dask_cluster

    with dask_cluster(tmp_path, 1) as cluster:
        for number in range(2):
            variables = {"CUDA_VISIBLE_DEVICES": str(number), "LICENSE": "ours", "OTHER": "not ours"}
            cluster.start_worker(f"gpu{number}", "--resources", "GPU=1", env=variables)
        executor = executor_of(cluster, variables=("LICENSE",))
        assert soon(lambda: len(executor.cluster.workers()) == 3)
        machine = Machine(tmp_path / "home", executor, jobs=4)
        machine.put("data@master", {f"/{number}": "" for number in range(4)})
        with_gpu = {"resource_limits": {"gpu": {"type": "nvidia.com/gpu", "number": 1}}, "parallelism_spec": {"constant": 2}}
        machine.script("p", "sleep 0.3; echo $CUDA_VISIBLE_DEVICES $LICENSE $OTHER; env > /pfs/out/$(ls /pfs/in)", **with_gpu)
        machine.script("too-much", "true", resource_limits={"gpu": {"type": "nvidia.com/gpu", "number": 2}})
        machine.run_all()
        executor.close()
    assert sorted(set(machine.printed("p"))) == ["0 ours", "1 ours"]
    assert machine.job("too-much").state is JobState.FAILURE
    assert "no Dask worker has 2 GPU" in machine.job("too-much").reason
    machine.close()


def test_contents_travel_once_to_a_machine_and_those_damaged_there_come_again(
    dask_of_tests: DaskCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from local_runner.engine.stored_contents import StoredContents

    monkeypatch.setattr(StoredContents, "file", lambda self, name: None)  # as on machines that share no files
    cache = tmp_path / "cache"
    executor = executor_of(dask_of_tests, cache=str(cache))
    machine = Machine(tmp_path / "home", executor)
    machine.put("data@master", {"/large": LARGE})
    moved = []
    for number in range(3):
        machine.script(f"p{number}", "cp /pfs/in/large /pfs/out/")
        machine.run_all()
        moved.append(executor.sender.moved)
        assert machine.content(parse_commit(f"p{number}@master"), "/large") == LARGE
        if number == 1:
            (kept,) = (path for path in cache.glob("??/*"))
            with kept.open("r+b") as file:
                file.seek(1_000_000)
                file.write(b"?")
    executor.close()
    assert moved == [len(LARGE), len(LARGE), 2 * len(LARGE)]
    machine.close()


# Copies what it is given, and its process id; one of its datums it calls bad. What goes over the line are messages of one text field.
ASKS = """
import grpc, os
error = b""
with grpc.insecure_channel("127.0.0.1:" + os.environ["PPS_WORKER_GRPC_PORT"]) as channel:
    ask = channel.unary_unary("/pachyderm.worker.Worker/NextDatum")
    while True:
        ask((b"\\n" + bytes([len(error)]) + error) if error else b"")
        (name,) = os.listdir("/pfs/in")
        error = b"it is bad" if name == "bad" else b""
        for folder in ("in", "lazily"):
            (file,) = os.listdir("/pfs/" + folder)
            with open("/pfs/" + folder + "/" + file, "rb") as given, open("/pfs/out/" + name + "." + folder, "wb") as copy:
                copy.write(given.read() + str(os.getpid()).encode())
        print("did", name, flush=True)
"""


def test_a_batching_process_asks_there_for_one_datum_after_the_other(dask_of_tests: DaskCluster, tmp_path: Path) -> None:
    executor = executor_of(dask_of_tests)
    machine = Machine(tmp_path / "home", executor)
    machine.put("data@master", {"/a": LARGE, "/b": "b", "/c": LARGE[1:], "/d": "d", "/bad": "bad"})
    machine.put("more@master", {"/x": LARGE[2:]})
    cross = [
        {"pfs": {"repo": "data", "name": "in", "glob": "/*"}},
        {"pfs": {"repo": "more", "name": "lazily", "glob": "/*", "lazy": True}},
    ]
    transform = {"cmd": [sys.executable, "-c", ASKS], "stdin": [], "datum_batching": True, "err_cmd": ["true"]}
    machine.script("p", input={"cross": cross}, transform=transform, datum_tries=1, datum_set_spec={"number": 5})
    machine.run_all()
    executor.close()
    job = machine.job("p")
    assert (job.state, job.counters.processed, job.counters.recovered) == (JobState.SUCCESS, 4, 1), (job.reason, machine.printed("p"))
    for path, content in {"/a": LARGE, "/b": b"b", "/c": LARGE[1:], "/d": b"d"}.items():
        assert machine.content(parse_commit("p@master"), f"{path}.in").startswith(content)
        assert machine.content(parse_commit("p@master"), f"{path}.lazily").startswith(LARGE[2:])
    said = [line for line in machine.printed("p") if line.startswith(("did ", "it is "))]  # without its last words
    assert sorted(said) == ["did a", "did b", "did bad", "did c", "did d", "it is bad"]
    assert job.stats.download_bytes > len(LARGE) * 5.9  # two large inputs, and for each of four datums the lazy one
    machine.close()


def test_a_pipeline_whose_code_would_reach_s3_says_that_it_cannot(on_dask: DaskExecutor, tmp_path: Path) -> None:
    machine = Machine(tmp_path / "home", on_dask)
    machine.put("data@master", {"/a": ""})
    machine.script("p", "true", input={"pfs": {"repo": "data", "glob": "/", "s3": True}})
    machine.run_all()
    assert machine.job("p").state is JobState.FAILURE
    assert "cannot reach an S3 gateway" in machine.job("p").reason
    machine.close()


SEARCH = """
[dask]
workers = 2
[search.s]
pipelines = ["score.json"]
points = "points"
score = "score:/*.json#value"
[search.s.space]
x = { low = 4, high = 5 }
"""


def test_a_search_runs_on_a_cluster_that_is_started_for_it_and_ends_with_it(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="pip install 'local_runner[dask]'")
    (tmp_path / "local_runner.toml").write_text(SEARCH)
    script = "f=$(ls /pfs/points/*.json); echo '{\"value\":' $(tr -dc 0-9 < $f) '}' > /pfs/out/$(basename $f)"
    spec = {
        "pipeline": {"name": "score"},
        "transform": {"cmd": ["sh"], "stdin": [script]},
        "input": {"pfs": {"repo": "points", "glob": "/*.json"}},
        "parallelism_spec": {"constant": 2},
    }
    (tmp_path / "score.json").write_text(json.dumps(spec))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "DASK_TEMPORARY_DIRECTORY": str(tmp_path / "dask")}
    words = [sys.executable, "-m", "local_runner", "search", "s", "--trials", "2", "--executor", "dask"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "best: 5 at x=5" in done.stdout
    assert "executor dask: 2 workers with 2 threads, scheduler of this machine" in done.stderr
    assert "leaked" not in done.stderr
    assert soon(lambda: not [words for words in commands() if str(tmp_path) in words])


def commands() -> Iterator[str]:
    """The command lines and working folders of all processes."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdecimal():
                yield (folder / "cmdline").read_text() + os.readlink(folder / "cwd")


def copied(home: Path, executor: DaskExecutor) -> dict[str, str]:
    """What a job leaves that copies small files and reads a large one."""
    machine = Machine(home, executor)
    machine.put("data@master", {"/a": "1", "/b": "2", "/large": LARGE})
    machine.script("p", "cd /pfs/in; for name in *; do md5sum $name > /pfs/out/$name; done")
    machine.run_all()
    executor.close()
    assert machine.job("p").state is JobState.SUCCESS, machine.job("p").reason
    found = {path: text.split()[0] for path, text in machine.files("p@master").items()}
    machine.close()
    return found


COPIED = {f"/{name}": hashlib.md5(content).hexdigest() for name, content in (("a", b"1"), ("b", b"2"), ("large", LARGE))}


def test_workers_that_cannot_be_reached_directly_are_asked_by_way_of_the_scheduler(
    dask_of_tests: DaskCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    executor: DaskExecutor = executor_of(dask_of_tests, cache=str(tmp_path / "cache"))
    inner = executor.cluster._client.rpc
    reach = inner.connect

    async def connect(address: str, **how: Any) -> Any:
        if address in {worker for worker in addresses if worker != dask_of_tests.address}:
            raise OSError("no route to host")
        return await reach(address, **how)

    addresses = {worker.address for worker in executor.cluster.workers()}
    monkeypatch.setattr(inner, "connect", connect)
    assert copied(tmp_path / "home", executor) == COPIED


@pytest.mark.skipif(not shutil.which("openssl"), reason="certificates are made with openssl")
def test_a_cluster_may_speak_tls(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="pip install 'local_runner[dask]'")
    from tests.support.dask_cluster import dask_cluster

    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "2"]
    subprocess.run([*words, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    flags = ("--protocol", "tls", "--tls-ca-file", str(cert), "--tls-cert", str(cert), "--tls-key", str(key))
    with dask_cluster(tmp_path, 1, flags) as cluster:
        assert cluster.address.startswith("tls://")
        executor = executor_of(cluster, ca_file=str(cert), cert=str(cert), key=str(key))
        assert copied(tmp_path / "home", executor) == COPIED
        with pytest.raises(ClusterLost, match="cannot be reached"):
            _ = executor_of(cluster).cluster


def test_a_batching_process_whose_machine_is_lost_is_followed_by_another_elsewhere(own: DaskCluster, tmp_path: Path) -> None:
    marker = unique_sleep()
    wait = f'if name == "2" and not os.path.exists("{tmp_path}/flag"): os.mkdir("{tmp_path}/flag"); os.system("exec sleep {marker}")'
    asks = ASKS.replace('("in", "lazily")', '("in",)').replace("        print(", f"        {wait}\n        print(")
    executor = executor_of(own, executor="process")
    machine = Machine(tmp_path / "home", executor, jobs=1)
    machine.put("data@master", {f"/{number}": str(number) for number in range(5)})
    transform = {"cmd": [sys.executable, "-c", asks], "stdin": [], "datum_batching": True}
    machine.script("p", transform=transform, datum_tries=1, datum_set_spec={"number": 5})

    def break_it() -> None:
        own.kill(next(name for name, words in processes_of(own) if marker in words))

    while_it_runs(machine, marker, break_it)
    executor.close()
    job = machine.job("p")
    assert (job.state, job.counters.processed) == (JobState.SUCCESS, 5), (job.reason, machine.reasons("p"))
    assert {path: text[0] for path, text in machine.files("p@master").items()} == {f"/{number}.in": str(number) for number in range(5)}
    assert len(set(machine.files("p@master").values())) == 5
    machine.close()
