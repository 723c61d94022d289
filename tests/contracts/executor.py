"""What every executor that starts real processes owes the engine. Subclass `ExecutorContract` and provide the fixture `executor`."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from local_runner.errors import Unavailable
from local_runner.executors.base import Executor, Pachctl, RunRequest, RunResult, Worker, WorkerRequest
from local_runner.executors.launcher.collect import Collected
from local_runner.executors.launcher.tree import Tree, TreeChanges
from local_runner.executors.terminal import Terminal

PATH = "/usr/local/bin:/usr/bin:/bin"
# The runner's end of a call of pachctl.
_ANSWER = """
import os, socket
from local_runner.executors.pachctl.frames import receive, send
line = socket.socket(fileno=0)
kind, words = receive(line)
send(line, b"1", os.environb[b"WHO"] + b": " + words.replace(b"\\0", b" ") + b"\\n")
send(line, b"s", b"3")
"""


@dataclass
class Bench:
    """A worker of the request in `home`, and what its commands print."""

    worker: Worker
    home: Path
    lines: list[tuple[str, str]] = field(default_factory=list)

    @property
    def pfs(self) -> Path:
        return self.home / "pfs"

    @property
    def scratch(self) -> Path:
        return self.home / "folder/scratch"

    @property
    def out(self) -> Path:
        return self.home / "folder" / tree_of("one").folder.replace(".scratch", "scratch") / "out"

    @property
    def stdout(self) -> list[str]:
        return [line for stream, line in self.lines if stream == "stdout"]

    def request(self, *cmd: str, datum: str = "one", env: Mapping[str, str] | None = None, **more: object) -> RunRequest:
        more.setdefault("tree", tree_of(datum))
        return RunRequest(cmd, env or {}, output=self.take, **more)  # type: ignore[arg-type]

    def take(self, stream: str, block: bytes) -> None:
        self.lines += [(stream, line) for line in block.decode(errors="replace").split("\n")]

    def run(self, *cmd: str, **more: object) -> RunResult:
        return self.worker.run(self.request(*cmd, **more))  # type: ignore[arg-type]

    def collect(self, *paths: str, real: Sequence[str] = (), datum: str = "one") -> Iterator[Collected]:
        return self.worker.collect(tree_of(datum).folder, paths, real)

    def sh(self, script: str, **more: object) -> RunResult:
        return self.run("sh", "-c", script, **more)


def tree_of(datum: str, **more: object) -> Tree:
    """A datum with one input file, which holds its name."""
    folder = f".scratch/set/{datum}/pfs/{datum}"
    links = {"in": f"{folder}/in", "out": f"{folder}/out", ".env": f"{folder}/.env"}
    files = [(".env", b"A=1\n"), ("in/file", f"{datum}\n".encode())]
    return Tree(folder, links, [("out", 0o777), ("in", 0o700)], files)._replace(**more)  # type: ignore[arg-type]


def worker_request(home: Path, env: Mapping[str, str], **more: object) -> WorkerRequest:
    """A worker with its two folders in `home`."""
    (home / "pfs").mkdir(parents=True)
    return WorkerRequest("w", home / "pfs", home / "folder", env, **more)  # type: ignore[arg-type]


def is_alive(marker: str) -> bool:
    """Whether any process has `marker` among its arguments."""
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and marker.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False


def soon(is_so: Callable[[], bool], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


_sleeps = iter(range(86_400 + os.getpid() * 100, 10**9))


def unique_sleep() -> str:
    """How long a process of a test sleeps, so that it can be told from all others."""
    return str(next(_sleeps))


Step = tuple[str, "str | Callable[[int], None]"]  # a text to wait for, then keys to type, or what to do with the terminal


def converse(bench: Bench, script: str, *steps: Step) -> tuple[RunResult, str]:
    """Run a script at a terminal where somebody sits; returns its end and all that was shown."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    shown = bytearray()

    def sit() -> None:
        todo = list(steps)
        while data := os.read(ours, 65536):
            shown.extend(data)
            while todo and todo[0][0].encode() in shown:
                act = todo.pop(0)[1]
                if callable(act):
                    act(theirs)
                else:
                    os.write(ours, act.encode())
            if shown.endswith(b"<end>"):
                return

    person = threading.Thread(target=sit)
    person.start()
    try:
        before = termios.tcgetattr(theirs)
        result = bench.sh(script, terminal=Terminal(theirs, theirs), timeout=20)
        assert termios.tcgetattr(theirs) == before
    finally:
        os.write(theirs, b"<end>")
        person.join()
        os.close(ours)
        os.close(theirs)
    return result, shown.decode().removesuffix("<end>")


class ExecutorContract:
    more: Mapping[str, Any] = MappingProxyType({})  # what its workers are asked for besides

    @pytest.fixture
    def executor(self) -> Executor:
        raise AssertionError("a subclass provides the executor")

    @pytest.fixture
    def bench(self, executor: Executor, tmp_path: Path) -> Iterator[Bench]:
        with self.open(executor, tmp_path) as worker:
            yield Bench(worker, tmp_path)

    def open(self, executor: Executor, home: Path, **more: object) -> AbstractContextManager[Worker]:
        more.setdefault("env", {"PATH": PATH, "COLOUR": "red", "HOME": os.path.expanduser("~")})
        return executor.worker(worker_request(home, **{**self.more, **more}))

    # How a command ends

    def test_a_command_that_exits_with_0_succeeds(self, bench: Bench) -> None:
        result = bench.run("true")
        assert result.accepted()
        assert 0 < result.seconds < 1

    def test_a_failing_command_is_a_result_not_an_exception(self, bench: Bench) -> None:
        result = bench.sh("exit 3")
        assert result.exit_code == 3
        assert not result.accepted()
        assert result.accepted(frozenset({3}))

    def test_a_death_by_signal_is_a_negative_exit_code(self, bench: Bench) -> None:
        result = bench.sh("kill -9 $$")
        assert result.exit_code == -9
        assert not result.accepted(frozenset({9, 137}))

    @pytest.mark.parametrize("program", ["exit 1", "/no/such/program", "/etc/passwd", ""])
    def test_a_program_that_cannot_be_started_is_a_result_that_names_it(self, bench: Bench, program: str) -> None:
        result = bench.run(program)
        assert result.exit_code is None
        assert result.error.startswith("exec: ")
        assert program in result.error
        assert bench.run("true").accepted()

    def test_no_shell_comes_between(self, bench: Bench) -> None:
        assert bench.run("sh", "-c", 'test "$1" = "\\$HOME *"', "x", "$HOME *").accepted()

    # Working directory

    def test_the_working_directory_is_the_root_folder_unless_told_otherwise(self, bench: Bench) -> None:
        bench.run("pwd")
        assert bench.stdout == ["/"]

    def test_a_relative_working_directory_counts_from_the_root_folder(self, bench: Bench) -> None:
        bench.run("pwd", working_dir="usr/bin")
        bench.run("pwd", working_dir="/usr")
        assert bench.stdout == ["/usr/bin", "/usr"]

    def test_a_working_directory_that_does_not_exist_is_a_command_that_never_starts(self, bench: Bench) -> None:
        result = bench.run("true", working_dir="/no/such")
        assert (result.exit_code, result.error) == (None, "chdir /no/such: no such file or directory")

    def test_the_working_directory_of_the_image_is_there_even_if_the_host_has_none(self, executor: Executor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path, working_dir="/no/such/place") as worker:
            assert Bench(worker, tmp_path).sh("pwd").accepted()

    # Standard input

    def test_stdin_is_what_was_given(self, bench: Bench) -> None:
        bench.run("cat", stdin=b"first\n\n  third\n")
        assert bench.stdout == ["first", "", "  third"]

    def test_a_command_need_not_read_its_stdin(self, bench: Bench) -> None:
        assert bench.run("true", stdin=b"x" * 1_000_000).accepted()

    def test_stdin_larger_than_a_pipe_arrives_whole(self, bench: Bench) -> None:
        bench.run("wc", "-c", stdin=b"x" * 1_000_000)
        assert bench.stdout == ["1000000"]

    def test_without_stdin_there_is_dev_null(self, bench: Bench) -> None:
        bench.sh("readlink /proc/self/fd/0; wc -c")
        assert bench.stdout == ["/dev/null", "0"]

    # Environment

    def test_the_environment_is_the_workers_and_over_it_the_datums_and_nothing_else(self, bench: Bench) -> None:
        bench.run("env", env={"COLOUR": "blue", "EMPTY": "", "my-repo": "x=y"})
        assert [line for line in bench.stdout if not line.startswith(("PATH=", "HOME="))] == ["COLOUR=blue", "EMPTY=", "my-repo=x=y"]

    def test_pachctl_comes_last_in_path_and_has_the_runner_do_what_is_asked(self, executor: Executor, tmp_path: Path) -> None:
        variables = {"PYTHONPATH": str(Path(__file__).parents[2]), "WHO": "the runner"}
        pachctl = Pachctl(("sh", "-c", 'echo "$WHO: $*"; exit 3', "sh"), (sys.executable, "-c", _ANSWER), variables)
        with self.open(executor, tmp_path, pachctl=pachctl) as worker:
            bench = Bench(worker, tmp_path)
            assert bench.run("pachctl", "list", "repo").exit_code == 3, bench.lines
            assert bench.sh("echo $PATH").accepted()
        assert bench.stdout[0] == "the runner: list repo"
        assert bench.stdout[1].startswith(f"{PATH}:")

    def test_a_command_inherits_no_open_files(self, bench: Bench) -> None:
        bench.run("ls", "/proc/self/fd")
        assert bench.stdout == ["0", "1", "2", "3"]  # 3 is the folder being listed

    # Output

    def test_lines_come_in_order_and_the_last_needs_no_newline(self, bench: Bench) -> None:
        bench.sh("echo one; echo; echo two; printf three; printf 'oh\\nno' >&2")
        assert bench.stdout == ["one", "", "two", "three"]
        assert [line for stream, line in bench.lines if stream == "stderr"] == ["oh", "no"]

    def test_bytes_that_are_not_text_are_replaced(self, bench: Bench) -> None:
        bench.run("printf", "caf\\303\\251 \\377\\n")
        assert bench.stdout == ["café \N{REPLACEMENT CHARACTER}"]

    def test_a_line_is_seen_before_the_command_ends(self, bench: Bench) -> None:
        request = bench.request("sh", "-c", "echo now; sleep 60")
        thread = threading.Thread(target=bench.worker.run, args=(request,))
        thread.start()
        assert soon(lambda: bench.stdout == ["now"])
        bench.worker.cancel()
        thread.join()

    def test_large_output_does_not_deadlock(self, bench: Bench) -> None:
        assert bench.sh("yes 123456789 | head -c 10000000; head -c 5000000 /dev/zero >&2").accepted()
        assert len(bench.stdout) == 1_000_000
        assert sum(len(line) for stream, line in bench.lines if stream == "stderr") == 5_000_000

    def test_what_was_printed_last_is_not_lost(self, bench: Bench) -> None:
        for number in range(30):
            bench.sh(f"yes {number} | head -c 60000")
        assert sum(len(line) + 1 for line in bench.stdout) == 30 * 60000

    def test_an_output_function_that_raises_ends_the_command_and_not_the_worker(self, bench: Bench) -> None:
        marker = unique_sleep()

        def fail(*_: object) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            bench.worker.run(RunRequest(("sh", "-c", f"echo x; sleep {marker}"), {}, None, fail))
        assert not is_alive(marker)
        bench.run("echo", "well")
        assert bench.stdout == ["well"]

    # Limits and ends of other processes

    def test_a_command_over_its_time_is_killed_with_its_whole_group(self, bench: Bench) -> None:
        marker = unique_sleep()
        started = time.monotonic()
        result = bench.sh(f"sleep {marker} & sleep {marker}; true", timeout=0.2)
        assert result.timed_out
        assert not result.accepted()
        assert 0.2 <= result.seconds < 1.5
        assert time.monotonic() - started < 2
        assert not is_alive(marker)

    def test_a_command_within_its_time_is_left_alone(self, bench: Bench) -> None:
        assert bench.run("sleep", "0.05", timeout=30).accepted()

    def test_a_background_child_is_killed_when_the_command_ends_and_does_not_delay_it(self, bench: Bench) -> None:
        marker = unique_sleep()
        result = bench.sh(f"sleep {marker} & echo done")
        assert result.accepted()
        assert result.seconds < 1
        assert bench.stdout == ["done"]
        assert not is_alive(marker)

    def test_a_child_that_left_the_group_lives_until_the_worker_ends(self, executor: Executor, tmp_path: Path) -> None:
        marker = unique_sleep()
        with self.open(executor, tmp_path) as worker:
            bench = Bench(worker, tmp_path)
            assert bench.sh(f"setsid sleep {marker} & sleep 0.2").seconds < 2
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
            from tests.contracts.executor import worker_request
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

    # /pfs

    def test_links_stand_while_a_command_runs_and_are_replaced_for_the_next(self, bench: Bench) -> None:
        for datum in ("one", "two"):
            bench.run("cat", "/pfs/in/file", datum=datum)
        bench.run("ls", "/pfs", tree=tree_of("three", links={"other": ".scratch/set/three/pfs/three/in"}))
        bench.run("ls", "/pfs", tree=Tree())
        assert bench.stdout == ["one", "two", "other"]

    def test_what_else_a_command_leaves_in_pfs_is_removed(self, bench: Bench) -> None:
        bench.sh("mkdir -p /pfs/more/deep; touch /pfs/more/deep/file /pfs/file; chmod 0 /pfs/more")
        bench.run("ls", "/pfs")
        assert bench.stdout == ["in", "out"]

    def test_out_can_be_written(self, bench: Bench) -> None:
        bench.sh("mkdir /pfs/out/d && cp /pfs/in/file /pfs/out/d/copy", env={"PATH": PATH})
        assert (bench.out / "d/copy").read_text() == "one\n"
        assert (bench.out / "d/copy").stat().st_uid == os.getuid()
        assert (bench.out / "d/copy").stat().st_mode & 0o777 == 0o644

    def test_a_change_of_an_input_is_not_seen_by_the_next_datum(self, bench: Bench) -> None:
        assert bench.sh("echo more >> /pfs/in/file").accepted()
        assert (bench.out.parent / "in/file").read_text() == "one\nmore\n"
        bench.run("cat", "/pfs/in/file", datum="two")
        assert bench.stdout == ["two"]

    def test_a_command_without_a_tree_sees_the_one_before(self, bench: Bench) -> None:
        bench.sh("echo half > /pfs/out/half; exit 1")
        assert bench.run("cat", "/pfs/out/half", tree=None).accepted()
        assert bench.stdout == ["half"]

    def test_what_a_command_left_is_told(self, bench: Bench) -> None:
        assert bench.run("cat", "/pfs/in/file").left == TreeChanges()
        assert bench.run("touch", "/pfs/out/new").left._replace(unread=()) == TreeChanges(wrote=True)
        assert bench.run("mkdir", "/pfs/out/empty").left._replace(unread=()) == TreeChanges(wrote=True)
        left = bench.sh(
            "printf two > /pfs/in/file; rm $(readlink /pfs/.env); mkdir /pfs/in/d; touch /pfs/in/d/new; ln -s file /pfs/in/link"
        ).left
        assert (left.wrote, sorted(left.changed), left.gone) == (False, ["in/d/new", "in/file"], (".env",))
        assert bench.sh("rm -r $(readlink /pfs/in)").left == TreeChanges(gone=("in/file",))

    def test_an_input_nobody_looked_into_is_told(self, bench: Bench) -> None:
        folder = tree_of("one").folder
        two = tree_of("one", links={name: f"{folder}/{name.replace('more', 'in')}" for name in ("in", "more", "out", ".env")})
        assert bench.run("true", tree=two).left.unread == ("in", "more")
        assert bench.run("ls", "/pfs", tree=two).left.unread == ("in", "more")
        assert bench.run("cat", "/pfs/in/file", tree=two).left.unread == ("more",)
        assert bench.sh("cd /pfs/more && ls", tree=two).left.unread == ("in",)

    def test_a_change_is_noticed_however_soon_it_comes_and_whatever_its_size(self, bench: Bench) -> None:
        for _ in range(20):
            assert bench.sh("echo two > /pfs/in/file").left.changed == ("in/file",)

    def test_every_datum_finds_its_folders_as_they_were_made(self, bench: Bench) -> None:
        look = "find /pfs/in/ /pfs/out/ -printf '%P %y %m\\n' | sort"
        for number, harm in enumerate(
            ["true", "mkdir -p /pfs/out/a/b; touch /pfs/out/a/b/c", "chmod 0 /pfs/out/", "rm -r $(readlink /pfs/out)", "touch /pfs/in/more"]
        ):
            assert bench.sh(f"{look}; {harm}", datum=f"d{number}").accepted()
        bench.sh(look, datum="last")
        assert bench.stdout == [" d 700", " d 755", "file f 644"] * 6

    def test_what_outlives_a_command_does_not_get_into_the_next_datum(self, bench: Bench) -> None:
        assert bench.sh("cd /pfs/out; setsid sh -c 'while sleep 0.02; do touch late; done' & sleep 0.1").accepted()
        assert not bench.run("sleep", "0.2", datum="two").left.wrote

    def test_files_and_pipes_that_were_made_before_are_brought(self, bench: Bench) -> None:
        (bench.scratch / "file").write_text("large")
        os.mkfifo(bench.scratch / "pipe")
        brought = [("in/d/large", ".scratch/file", False), ("in/lazy", ".scratch/pipe", True)]
        folders = [("out", 0o777), ("in", 0o700), ("in/d", 0o777)]
        result = bench.run("ls", "-F", "/pfs/in/", "/pfs/in/d", tree=tree_of("one", folders=folders, brought=brought))
        assert result.left == TreeChanges()
        assert {"lazy|", "large"} <= set(bench.stdout)
        assert [path.name for path in bench.scratch.iterdir() if path.name != "set"] == ["pipe"]

    def test_a_tree_that_cannot_be_laid_out_is_the_runners_fault(self, bench: Bench) -> None:
        with pytest.raises(Unavailable, match=r"cannot be laid out: .*x: No such file"):
            bench.run("true", tree=tree_of("one", folders=[("out", 0o777)], files=[("in/x", b"")]))
        assert bench.run("true").accepted()

    def test_a_variable_may_name_a_file_under_pfs(self, bench: Bench) -> None:
        bench.sh('cat "$in"', env={"in": "/pfs/in/file"})
        assert bench.stdout == ["one"]

    def test_what_stands_in_out_is_collected_and_links_lead_where_they_do_for_user_code(self, bench: Bench) -> None:
        scratch = f"/tmp/local_runner-test-{unique_sleep()}"
        bench.sh(
            f"ln -s /pfs/in/file /pfs/out/a; cp -r /pfs/in /pfs/out/b; echo t > {scratch}; ln -s {scratch} /pfs/out/c; ln -s d /pfs/out/d"
            "; cd /pfs/out; mkdir -p e/f; mkfifo e/pipe; head -c 1000000 /dev/zero > e/f/g; ln -s /proc/self/environ h"
        )
        found = {file.path: file.error or file.content.read() for file in bench.collect("out")}
        assert found.pop("out/e/f/g") == bytes(1_000_000)
        assert found == {
            "out/a": b"one\n",
            "out/b/file": b"one\n",
            "out/c": b"t\n",
            "out/d": "too many levels of symbolic links",
            "out/h": "it is a link that leads nowhere",
        }
        bench.run("rm", scratch)

    def test_links_into_an_input_that_stands_for_another_say_where_they_lead(self, bench: Bench) -> None:
        bench.sh("mkfifo /pfs/in/lazy; ln -s /pfs/in/lazy /pfs/out/a; ln -s /pfs/in /pfs/out/b; ln -s /pfs/in/file /pfs/out/c")
        found = sorted((file.path, file.where, file.is_folder, file.linked) for file in bench.collect("out", real=["in"]))
        assert found == [
            ("out/a", "in/lazy", False, True),
            ("out/b", "in", True, True),
            ("out/c", "in/file", False, True),
        ]

    def test_inputs_are_collected_as_they_are_and_what_became_of_them_is_said(self, bench: Bench) -> None:
        bench.sh("echo more >> /pfs/in/file; cd /pfs/in; mkfifo pipe; ln -s file link")
        found = {file.path: file.error or file.content.read() for file in bench.collect("in/file", "in/pipe", "in/link", "in/none")}
        assert found == {
            "in/file": b"one\nmore\n",
            "in/link": "too many levels of symbolic links",
            "in/none": "no such file or directory",
        }

    def test_a_file_that_is_not_read_to_its_end_keeps_nobody_from_the_next(self, bench: Bench) -> None:
        bench.sh("for name in a b c; do head -c 2000000 /dev/zero > /pfs/out/$name; done")
        sizes = {file.path: len(file.content.read(10)) for file in bench.collect("out")}
        assert sizes == {"out/a": 10, "out/b": 10, "out/c": 10}
        begun = bench.collect("out")
        next(begun).content.read(1)
        assert len(list(bench.collect("out"))) == 3

    def test_large_files_come_whole_among_small_ones_and_nothing_stays_open(self, bench: Bench) -> None:
        bench.sh("cd /pfs/out; for name in a c e; do seq 1 300000 > $name; done; echo b > b; echo d > d; ln -s /pfs/out/a f")
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        whole = "".join(f"{number}\n" for number in range(1, 300_001)).encode()
        found = {}
        for file in bench.collect("out"):
            found[file.path] = file.content.read()
            assert bench.worker.look().wrote  # between one file and the next something else may be asked
        assert found == {**{f"out/{name}": whole for name in "acef"}, "out/b": b"b\n", "out/d": b"d\n"}
        if before:
            assert len(os.listdir("/proc/self/fd")) == before

    @pytest.mark.parametrize("harm", ["rm -r $out; ln -s /etc $out", "rm -r $out; touch $out", "chmod 0 $out", "rm -r $out; mkfifo $out"])
    def test_an_output_folder_that_is_none_any_more_leads_nowhere(self, bench: Bench, harm: str) -> None:
        wrote = bench.sh(f"out=$(readlink /pfs/out); {harm}").left.wrote
        found = [file.error for file in bench.collect("out")]
        if "chmod" in harm:
            assert found == (["permission denied"] if wrote else [])  # root may read it
        else:
            assert wrote
            assert found == ["it is no folder any more"]

    def test_folders_above_the_output_that_were_replaced_lead_nowhere_outside(self, bench: Bench) -> None:
        for depth in ("..", "../..", "../../.."):
            bench.sh(
                f"top=$(realpath /pfs/out/{depth}); mv $top $top.away; ln -s / $top; mkdir -p $top/out 2>/dev/null", tree=tree_of("one")
            )
            assert not any(file.path.startswith("out/etc") for file in bench.collect("out"))
            bench.sh("rm -rf /pfs/.scratch/*", tree=None)

    # The image's files

    def test_code_stands_where_the_image_has_it(self, executor: Executor, tmp_path: Path) -> None:
        (tmp_path / "image/lib").mkdir(parents=True)
        (tmp_path / "image/lib/part").write_text("part\n")
        (tmp_path / "image/main").write_text("main\n")
        code = {
            "/no-such-app": tmp_path / "image",
            "/no-such-app/main2": tmp_path / "image/main",
            "/usr/no-such/app/main": tmp_path / "image/main",
        }
        with self.open(executor, tmp_path, code=code, working_dir="/no-such-app") as worker:
            bench = Bench(worker, tmp_path)
            bench.run("cat", "main", "lib/part", "main2", "/no-such-app/main", "/usr/no-such/app/main")
            bench.run("cat", "part", working_dir="/no-such-app/lib")
        assert bench.stdout == ["main", "part", "main", "main", "main", "part"]
        assert sorted(path.name for path in (tmp_path / "image").iterdir()) == ["lib", "main"]

    def test_what_is_mounted_stands_there_and_cannot_be_changed(self, executor: Executor, tmp_path: Path) -> None:
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets/key").write_text("open sesame\n")
        with self.open(executor, tmp_path, mounts={"/no-such/login": tmp_path / "secrets"}) as worker:
            bench = Bench(worker, tmp_path)
            bench.run("cat", "/no-such/login/key")
            if executor.capabilities.absolute_pfs:
                assert not bench.sh("echo x > /no-such/login/key").accepted()
        assert bench.stdout == ["open sesame"]

    # Commands that stay

    def test_a_staying_command_goes_on_over_many_datums(self, bench: Bench) -> None:
        loop = "while :; do read go < /pfs/.scratch/turns && cat /pfs/in/file; done"  # a turn may end before its writer does
        os.mkfifo(bench.scratch / "turns")
        process = bench.worker.start(bench.request("sh", "-c", loop, tree=Tree()))
        for turn, datum in enumerate(["one", "two", "one"], start=1):
            bench.worker.lay(tree_of(datum))
            (bench.scratch / "turns").write_text("go\n")
            assert soon(lambda: len(bench.stdout) == turn)  # noqa: B023  # asked only within this turn
            assert process.poll() is None
        process.kill()
        process.kill()
        assert bench.stdout == ["one", "two", "one"]
        end = process.poll()
        assert end
        assert (end.exit_code, end.cancelled) == (-9, False)

    def test_a_staying_command_may_end_by_itself(self, bench: Bench) -> None:
        process = bench.worker.start(bench.request("sh", "-c", "echo last words; exit 4"))
        end = process.wait(5)
        assert end
        assert end.exit_code == 4
        assert bench.stdout == ["last words"]
        assert bench.run("true").accepted()

    def test_waiting_for_a_staying_command_has_a_limit(self, bench: Bench) -> None:
        process = bench.worker.start(bench.request("sleep", unique_sleep()))
        assert process.wait(0.05) is None
        process.kill()
        assert process.wait(0.05) is not None

    def test_a_staying_command_that_cannot_be_started_ended(self, bench: Bench) -> None:
        end = bench.worker.start(bench.request("/no/such")).wait(5)
        assert end
        assert end.exit_code is None

    # A terminal

    def test_a_command_may_have_a_terminal(self, bench: Bench) -> None:
        script = "test -t 0 && test -t 1 && test -t 2 && stty size && read line && echo got $line"
        result, shown = converse(bench, script, ("24 80", "a line\n"))
        assert result.accepted()
        assert shown == "24 80\r\na line\r\ngot a line\r\n"
        assert bench.lines == []
        assert bench.run("true").accepted()

    def test_ctrl_c_at_a_terminal_is_for_the_command(self, bench: Bench) -> None:
        script = "trap 'echo trapped; exit 5' INT; echo ready; while :; do sleep 0.05; done"
        result, shown = converse(bench, script, ("ready", "\x03"))
        assert result.exit_code == 5
        assert "trapped" in shown

    def test_a_command_is_told_when_its_terminal_changes_its_size(self, bench: Bench) -> None:
        def resize(terminal: int) -> None:
            termios.tcsetwinsize(terminal, (33, 99))
            os.kill(os.getpid(), signal.SIGWINCH)  # we are no session of this terminal, so the kernel does not tell us

        script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done"
        result, shown = converse(bench, script, ("ready", resize))
        assert result.accepted()
        assert "33 99" in shown

    def test_a_terminal_bears_much_in_both_directions(self, bench: Bench) -> None:
        script = "stty raw -echo; echo ready; head -c 100000 | wc -c; seq 100000; echo; echo done"
        result, shown = converse(bench, script, ("ready", "x" * 100_000))
        assert result.accepted()
        assert "100000\n1\n2\n" in shown
        assert shown.endswith("99999\n100000\n\ndone\n")

    def test_a_command_that_cannot_be_started_leaves_the_terminal_as_it_was(self, bench: Bench) -> None:
        ours, theirs = pty.openpty()
        assert bench.run("/no/such", terminal=Terminal(theirs, theirs)).exit_code is None
        assert bench.run("true").accepted()
        os.close(ours)
        os.close(theirs)
