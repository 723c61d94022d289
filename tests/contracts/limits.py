"""Limits of commands, and the ends of other processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from local_runner.errors import Unavailable
from local_runner.executors.base import Executor
from tests.contracts.bench import LONG, PATH, Bench, WithExecutor, is_alive, soon, unique_sleep


class LimitsContract(WithExecutor):
    # Limits and ends of other processes

    def test_a_command_over_its_time_is_killed_with_its_whole_group(self, bench: Bench) -> None:
        marker = unique_sleep()
        result = bench.sh(f"sleep {marker} & sleep {marker}; true", timeout=0.2)
        assert result.timed_out
        assert not result.accepted()
        assert 0.2 <= result.seconds < LONG
        assert not is_alive(marker)

    def test_a_command_within_its_time_is_left_alone(self, bench: Bench) -> None:
        assert bench.run("sleep", "0.05", timeout=30).accepted()

    def test_a_background_child_is_killed_when_the_command_ends_and_does_not_delay_it(self, bench: Bench) -> None:
        marker = unique_sleep()
        result = bench.sh(f"sleep {marker} & echo done")
        assert result.accepted()
        assert result.seconds < LONG
        assert bench.stdout == ["done"]
        assert not is_alive(marker)

    def test_a_child_that_left_the_group_lives_until_the_worker_ends(self, executor: Executor, tmp_path: Path) -> None:
        marker = unique_sleep()
        with self.open(executor, tmp_path) as worker:
            bench = Bench(worker, tmp_path)
            assert bench.sh(f"setsid sleep {marker} & sleep 0.2").seconds < LONG
            assert is_alive(marker)
        assert not is_alive(marker)

    def test_cancel_from_another_thread_kills_the_group(self, bench: Bench) -> None:
        marker = unique_sleep()

        def cancel() -> None:
            soon(lambda: is_alive(marker))
            bench.worker.cancel()

        threading.Thread(target=cancel).start()
        result = bench.sh(f"sleep {marker} & sleep {marker}")
        assert result.cancelled
        assert not result.accepted()
        assert not is_alive(marker)

    def test_cancel_without_a_command_does_nothing(self, bench: Bench) -> None:
        bench.worker.cancel()
        assert bench.run("true").accepted()
        bench.worker.cancel()
        assert bench.run("true").accepted()

    def test_nothing_survives_an_exception_in_the_engine(self, executor: Executor, tmp_path: Path) -> None:
        marker = unique_sleep()

        def fail() -> None:
            with self.open(executor, tmp_path) as worker:
                worker.start(Bench(worker, tmp_path).request("sleep", marker))
                assert soon(lambda: is_alive(marker))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert not is_alive(marker)

    def test_nothing_survives_an_engine_killed_with_9(self, executor: Executor, tmp_path: Path) -> None:
        marker, daemon = unique_sleep(), unique_sleep()
        engine = f"""
            from pathlib import Path
            from {type(executor).__module__} import {type(executor).__name__} as Executor
            from local_runner.executors.base import RunRequest
            from tests.contracts.bench import worker_request
            with Executor().worker(worker_request(Path({str(tmp_path)!r}), {{"PATH": {PATH!r}}}, **{dict(self.more)!r})) as worker:
                worker.run(RunRequest(("sh", "-c", "setsid sleep {daemon} & sleep {marker}"), {{}}, None, print))
        """
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(engine)])
        try:
            assert soon(lambda: is_alive(marker) and is_alive(daemon))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert soon(lambda: not is_alive(marker) and not is_alive(daemon))

    def test_the_end_of_one_worker_is_seen_while_others_live(self, executor: Executor, tmp_path: Path) -> None:
        marker = unique_sleep()
        with self.open(executor, tmp_path / "a") as first:
            with self.open(executor, tmp_path / "b") as second:
                first.start(Bench(first, tmp_path / "a").request("sleep", marker))
                second.start(Bench(second, tmp_path / "b").request("sleep", unique_sleep()))
            assert soon(lambda: is_alive(marker))

    def test_workers_in_several_threads_do_not_disturb_each_other(self, executor: Executor, tmp_path: Path) -> None:
        counts: list[int] = []

        def work(number: int) -> None:
            with self.open(executor, tmp_path / f"{number}") as worker:
                bench = Bench(worker, tmp_path / f"{number}")
                for turn in range(20):
                    bench.run("echo", f"{number} {turn}")
                counts.append(bench.stdout == [f"{number} {turn}" for turn in range(20)])

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counts == [True] * 4

    def test_a_worker_whose_launcher_was_killed_is_broken(self, executor: Executor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path) as worker:
            bench = Bench(worker, tmp_path)
            children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
            os.kill(int(children[-1]), signal.SIGKILL)
            with pytest.raises(Unavailable, match="ended unexpectedly"):
                bench.run("sleep", "5")
