"""What an executor that isolates owes whoever runs code that he did not write: each test tries to get out by one way.

Subclass `IsolationContract` beside `ExecutorContract`, which provides `open`. Run as root it is hardest.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from local_runner.executors.base import Executor, Worker
from local_runner.executors.resources import Resources
from tests.contracts.executor import PATH, Bench, is_alive, unique_sleep

_CONNECT = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 2)"


class IsolationContract:
    python = "python3"

    def open(self, executor: Executor, home: Path, **more: object) -> AbstractContextManager[Worker]:
        raise AssertionError("ExecutorContract provides it")

    def test_the_executor_says_that_it_isolates(self, executor: Executor) -> None:
        can = executor.capabilities
        assert can.private_tmp
        assert can.hides_host_files
        assert can.hides_processes
        assert can.limits_memory
        assert can.limits_network

    # Files

    def test_the_files_of_the_host_cannot_be_changed(self, bench: Bench) -> None:
        for folder in ("/etc", "/usr", "/var/lib"):
            bench.sh(f"touch {folder}/local_runner-test")
            assert not Path(folder, "local_runner-test").exists()

    def test_the_home_folder_of_whoever_runs_this_is_not_seen(self, bench: Bench) -> None:
        marker = Path(os.path.expanduser("~"), f"local_runner-test-{unique_sleep()}")
        marker.touch()
        try:
            assert not bench.run("cat", str(marker)).accepted()
        finally:
            marker.unlink()

    def test_the_data_of_another_worker_are_not_seen(self, executor: Executor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path / "a") as first, self.open(executor, tmp_path / "b") as second:
            one, two = Bench(first, tmp_path / "a"), Bench(second, tmp_path / "b")
            assert one.sh("echo secret > /pfs/out/secret").accepted()
            two.sh("cat $(find / -name secret -path '*out/secret' 2>/dev/null) /dev/null", timeout=60)
        assert two.stdout == []

    def test_what_is_read_only_stays_so(self, bench: Bench) -> None:
        for trick in ("mount -o remount,rw,bind /usr", "mount -t tmpfs x /mnt", "umount /etc", "mount --bind /tmp /usr"):
            assert not bench.sh(trick).accepted()

    def test_no_device_leads_to_a_disk(self, bench: Bench) -> None:
        bench.sh("find /dev -type b; ls /dev")
        assert {"null", "zero", "full", "random", "urandom", "shm", "pts", "ptmx"} <= set(bench.stdout)
        assert not any(line.startswith("/") for line in bench.stdout)
        number = os.stat("/").st_dev
        bench.sh(f"mknod /tmp/disk b {os.major(number)} {os.minor(number)}; head -c 1 /tmp/disk && echo read")
        assert "read" not in bench.stdout

    def test_the_kernel_cannot_be_told_anything(self, bench: Bench) -> None:
        before = Path("/proc/sys/kernel/core_pattern").read_text()
        try:
            assert not bench.sh("echo /tmp/core > /proc/sys/kernel/core_pattern").accepted()
        finally:
            if Path("/proc/sys/kernel/core_pattern").read_text() != before:
                Path("/proc/sys/kernel/core_pattern").write_text(before)
        assert not bench.sh("echo h > /proc/sysrq-trigger").accepted()
        assert not bench.sh("head -c 1 /proc/kcore | grep -q .").accepted()

    def test_the_sockets_of_the_host_are_not_there(self, bench: Bench) -> None:
        bench.sh("find /run /var/run/ -type s 2>/dev/null")
        assert bench.stdout == []

    # Processes

    def test_other_processes_are_neither_seen_nor_ended(self, bench: Bench) -> None:
        assert not bench.run("kill", "-9", str(os.getpid())).accepted()
        bench.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert not any("pytest" in line for line in bench.stdout)

    def test_the_launcher_cannot_be_ended_from_inside(self, bench: Bench) -> None:
        bench.sh("kill -9 1; kill -9 -1")
        assert bench.run("true").accepted()

    def test_what_runs_too_long_is_ended_with_all_it_started(self, executor: Executor, tmp_path: Path) -> None:
        marker = unique_sleep()
        with self.open(executor, tmp_path) as worker:
            assert Bench(worker, tmp_path).sh(f"setsid sleep {marker} & trap '' TERM INT; sleep {marker}", timeout=0.3).timed_out
        assert not is_alive(marker)

    def test_memory_is_limited(self, executor: Executor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path, resources=Resources(memory=100_000_000)) as worker:
            bench = Bench(worker, tmp_path)
            take = "x = b'x' * int(__import__('sys').argv[1])"
            assert bench.run(self.python, "-c", take, "20000000").accepted()
            assert not bench.run(self.python, "-c", take, "200000000").accepted()
            assert bench.run("true").accepted()

    # Network

    @pytest.mark.parametrize("allowed", [False, True])
    def test_there_is_no_network_unless_it_is_allowed(self, executor: Executor, tmp_path: Path, allowed: bool) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server, self.open(executor, tmp_path, network=allowed) as worker:
            bench = Bench(worker, tmp_path)
            assert bench.run(self.python, "-c", _CONNECT, str(server.getsockname()[1])).accepted() is allowed
            bench.sh("tail -n +3 /proc/net/dev | cut -d : -f 1 | tr -d ' '")
            assert allowed or bench.stdout == ["lo"]

    def test_the_port_of_the_runner_is_reached_and_no_other(self, executor: Executor, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as other:
            threading.Thread(target=_send_back, args=(server,), daemon=True).start()
            port = server.getsockname()[1]
            ask = (
                "import socket\n"
                f"connection = socket.create_connection(('127.0.0.1', {port}))\n"
                "connection.sendall(b'x' * 1_000_000)\n"
                "connection.shutdown(socket.SHUT_WR)\n"
                "print(len(b''.join(iter(lambda: connection.recv(65536), b''))))\n"
            )
            with self.open(executor, tmp_path, env={"PATH": PATH, "PPS_WORKER_GRPC_PORT": str(port)}) as worker:
                bench = Bench(worker, tmp_path)
                for _ in range(3):
                    assert bench.run(self.python, "-c", ask).accepted()
                assert not bench.run(self.python, "-c", _CONNECT, str(other.getsockname()[1])).accepted()
        assert bench.stdout == ["1000000"] * 3


def _send_back(server: socket.socket) -> None:
    """Answer each connection with what it sent, when it has sent all."""
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
            connection.sendall(b"".join(parts))
