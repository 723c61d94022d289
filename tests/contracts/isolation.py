"""What an executor that isolates owes whoever runs code that he did not write: each test tries to get out by one way.

Subclass `IsolationContract` beside `ExecutorContract`, which provides `open`. Run as root it is hardest.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from local_runner.executors.base import MOST_PROCESSES, Executor, Worker
from local_runner.executors.resources import Resources
from tests.contracts.bench import PATH, Bench, is_alive, unique_sleep

# Tries to get itself more processes and then forks until it may no more: the others sleep, each in a session of its own, and the one
# that began ends with a status.
BOMB = """
import contextlib, os, resource, sys, time
began = os.getpid()
for limit in (resource.RLIM_INFINITY, 10_000):
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
with contextlib.suppress(OSError), open("/proc/sys/kernel/pid_max", "w") as most:
    most.write("100000")
while True:
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError as why:
        if os.getpid() != began:
            time.sleep(600)
        print(sum(name.isdecimal() for name in os.listdir("/proc")), why.strerror)
        sys.exit(int(sys.argv[1]))
"""
_SHM_GET = "import ctypes, sys; sys.exit(ctypes.CDLL(None).shmget(int(sys.argv[1]), 0, 0) == -1)"
_TRACE = "import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(16, 1, 0, 0))"  # PTRACE_ATTACH to process 1
# In linux/capability.h: dac_read_search, net_admin, sys_module, sys_rawio, sys_ptrace, sys_admin, sys_boot, sys_time, syslog, perfmon, bpf.
_DANGEROUS = (2, 12, 16, 17, 19, 21, 22, 25, 34, 38, 39)

_CONNECT = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 2)"
_SEND_BACK = """
import socket, sys
if inside := int(sys.argv[1]):
    from local_runner.executors.launcher.join import join_namespaces
    join_namespaces(inside)
with socket.create_server(("127.0.0.1", int(sys.argv[2]))) as server:
    print(flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"".join(iter(lambda: connection.recv(65536), b"")))
"""


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
        assert can.limits_processes
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

    @pytest.mark.skipif(not os.access("/home", os.W_OK), reason="only root can look into the homes of others")
    def test_the_home_folders_of_others_are_not_seen(self, bench: Bench) -> None:
        with tempfile.TemporaryDirectory(dir="/home") as folder:
            assert not bench.run("ls", folder).accepted()

    def test_the_data_of_another_worker_are_not_seen(self, executor: Executor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path / "a") as first, self.open(executor, tmp_path / "b") as second:
            one, two = Bench(first, tmp_path / "a"), Bench(second, tmp_path / "b")
            assert one.sh("echo secret > /pfs/out/secret").accepted()
            two.sh("cat $(find / -name secret -path '*out/secret' 2>/dev/null) /dev/null", timeout=60)
        assert two.stdout == []

    def test_what_is_read_only_stays_so(self, bench: Bench) -> None:
        for trick in ("mount -t tmpfs x /mnt", "mount --bind /tmp /usr"):
            assert not bench.sh(trick).accepted()
        for trick in ("mount -o remount,rw,bind /usr", "umount /etc", "umount -l /proc/sys", "mount -t proc x /proc"):
            assert not bench.sh(trick).accepted()
            assert not bench.sh(f"unshare --map-root-user --mount --pid --fork {trick}").accepted()

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

    @pytest.mark.skipif(not os.access("/var/lib", os.W_OK), reason="only root can make a socket where user code could see it")
    def test_a_socket_of_the_host_leads_nowhere_wherever_it_stands(self, executor: Executor, tmp_path: Path) -> None:
        with tempfile.TemporaryDirectory(dir="/var/lib") as folder, socket.socket(socket.AF_UNIX) as server:
            path = f"{folder}/a socket"
            server.bind(path)
            server.listen()
            with self.open(executor, tmp_path) as worker:
                connect = f"import socket; socket.socket(socket.AF_UNIX).connect({path!r})"
                assert not Bench(worker, tmp_path).run(self.python, "-c", connect).accepted()
            assert Path(path).is_socket()

    # Processes

    def test_other_processes_are_neither_seen_nor_ended(self, bench: Bench) -> None:
        assert not bench.run("kill", "-9", str(os.getpid())).accepted()
        bench.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert not any("pytest" in line for line in bench.stdout)

    def test_the_launcher_cannot_be_ended_from_inside(self, bench: Bench) -> None:
        bench.sh("for signal in $(seq 1 64); do kill -$signal 1; done; kill -9 -1")
        assert bench.run("true").accepted()

    def test_the_launcher_cannot_be_looked_into_from_inside(self, bench: Bench) -> None:
        for trick in ("head -c 1 /proc/1/environ | grep -q .", "head -c 1 /proc/1/mem", "ls /proc/1/root/", "nsenter -t 1 -m true"):
            assert not bench.sh(trick).accepted()
        assert not bench.run(self.python, "-c", _TRACE).accepted()

    def test_root_has_none_of_the_rights_that_are_over_the_host(self, bench: Bench) -> None:
        bench.sh("grep CapEff /proc/self/status | cut -f 2")
        rights = int(bench.stdout[0], 16)
        assert not any(rights >> number & 1 for number in _DANGEROUS)

    def test_memory_that_the_host_shares_by_a_key_is_not_found(self, bench: Bench) -> None:
        libc, key = ctypes.CDLL(None), int(unique_sleep())
        segment = libc.shmget(key, 4096, 0o1666)  # IPC_CREAT
        assert segment != -1
        try:
            assert not bench.run(self.python, "-c", _SHM_GET, str(key)).accepted()
        finally:
            libc.shmctl(segment, 0, None)  # IPC_RMID

    def test_what_runs_too_long_is_ended_with_all_it_started(self, executor: Executor, tmp_path: Path) -> None:
        marker = unique_sleep()
        with self.open(executor, tmp_path) as worker:
            assert Bench(worker, tmp_path).sh(f"setsid sleep {marker} & trap '' TERM INT; sleep {marker}", timeout=0.3).timed_out
            assert not is_alive(marker)

    @pytest.mark.parametrize("status", [0, 1])
    def test_a_fork_bomb_goes_off_in_its_own_datum_only(self, bench: Bench, status: int) -> None:
        assert bench.run(self.python, "-c", BOMB, str(status), timeout=60).exit_code == status
        number, _, why = bench.stdout[0].partition(" ")
        assert MOST_PROCESSES // 2 < int(number) <= MOST_PROCESSES + 500
        assert why == "Resource temporarily unavailable"
        assert any(f"a worker has at most {MOST_PROCESSES}" in line for _, line in bench.lines) is bool(status)
        assert bench.sh("true & true; ls -d /proc/[0-9]* | wc -l").accepted()
        assert int(bench.stdout[-1]) < 10

    def test_memory_is_limited(self, executor: Executor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path, resources=Resources(memory=100_000_000)) as worker:
            bench = Bench(worker, tmp_path)
            take = "x = b'x' * int(__import__('sys').argv[1])"
            assert bench.run(self.python, "-c", take, "20000000").accepted()
            assert not bench.run(self.python, "-c", take, "200000000").accepted()
            assert not bench.sh("head -c 200000000 /dev/zero > /dev/shm/file").accepted()
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
        ask = (
            "import socket, sys\n"
            "connection = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
            "connection.sendall(b'x' * 1_000_000)\n"
            "connection.shutdown(socket.SHUT_WR)\n"
            "print(len(b''.join(iter(lambda: connection.recv(65536), b''))))\n"
        )
        with socket.create_server(("127.0.0.1", 0)) as other:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = str(free.getsockname()[1])
            with self.open(executor, tmp_path, env={"PATH": PATH, "PPS_WORKER_GRPC_PORT": port}) as worker, _runner(worker, port):
                bench = Bench(worker, tmp_path)
                for _ in range(3):
                    assert bench.run(self.python, "-c", ask, port).accepted()
                assert not bench.run(self.python, "-c", _CONNECT, str(other.getsockname()[1])).accepted()
        assert bench.stdout == ["1000000"] * 3


@contextlib.contextmanager
def _runner(worker: Worker, port: str) -> Iterator[None]:
    """Something that stands where a worker's processes meet the runner, and answers each connection with what it sent."""
    command = [sys.executable, "-c", _SEND_BACK, str(worker.inside), port]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as runner:
        assert runner.stdout
        runner.stdout.readline()
        yield
        runner.kill()
