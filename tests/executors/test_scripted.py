from __future__ import annotations

import threading
from pathlib import Path

from local_runner.executors.base import RunRequest, RunResult, WorkerRequest
from local_runner.executors.launcher.tree import Tree
from local_runner.executors.scripted import ScriptedDatum, ScriptedExecutor


def worker_request(tmp_path: Path) -> WorkerRequest:
    (tmp_path / "pfs").mkdir()
    return WorkerRequest("w", tmp_path / "pfs", tmp_path / "folder", {"COLOUR": "red"})


def request(lines: list[str], **env: str) -> RunRequest:
    links = {"in": ".scratch/set/1/pfs/1/in", "out": ".scratch/set/1/pfs/1/out"}
    tree = Tree(".scratch/set/1/pfs/1", links, [("in", 0o700), ("out", 0o777)], [("in/file", b"content")])
    return RunRequest(("train",), env, tree, lambda stream, block: lines.append(f"{stream}: {block.decode()}"))


def test_a_function_stands_for_user_code(tmp_path: Path) -> None:
    def copy(datum: ScriptedDatum) -> int:
        (datum.out / "copy").write_text((datum.input("in") / "file").read_text() + datum.env["COLOUR"] + datum.env["SIZE"])
        datum.say("copied")
        return 3

    executor, lines = ScriptedExecutor(copy), list[str]()
    with executor.worker(worker_request(tmp_path)) as worker:
        result = worker.run(request(lines, SIZE="2"))
    assert result.exit_code == 3
    assert (tmp_path / "pfs/out/copy").read_text() == "contentred2"
    assert (tmp_path / "folder/scratch/set/1/pfs/1/out/copy").exists()
    assert lines == ["stdout: copied"]
    assert [made.cmd for made in executor.requests] == [("train",)]


def test_the_function_may_give_a_whole_result(tmp_path: Path) -> None:
    late = RunResult(-9, 2.0, timed_out=True)
    with ScriptedExecutor(lambda _: late).worker(worker_request(tmp_path)) as worker:
        result = worker.run(request([]))
    assert (result.exit_code, result.seconds, result.timed_out) == (-9, 2.0, True)


def test_a_cancelled_command_is_told(tmp_path: Path) -> None:
    started = threading.Event()

    def behave(datum: ScriptedDatum) -> int:
        started.set()
        return 0 if datum.cancelled.wait(60) else 1

    with ScriptedExecutor(behave).worker(worker_request(tmp_path)) as worker:

        def cancel() -> None:
            started.wait(60)
            worker.cancel()

        threading.Thread(target=cancel).start()
        assert worker.run(request([])).cancelled


def test_a_staying_command_goes_on_until_it_is_killed(tmp_path: Path) -> None:
    with ScriptedExecutor(lambda _: 0).worker(worker_request(tmp_path)) as worker:
        process = worker.start(request([]))
        assert process.wait(0.01) is None
        process.kill()
        assert process.poll() == RunResult(-9, 0.0)


def test_a_staying_command_may_be_scripted(tmp_path: Path) -> None:
    with ScriptedExecutor(lambda _: 0, stay=lambda _: 7).worker(worker_request(tmp_path)) as worker:
        end = worker.start(request([])).wait(60)
        assert end
        assert end.exit_code == 7
