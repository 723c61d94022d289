"""How commands end, what they are given, and what they print."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from local_runner.executors.base import Executor, Pachctl, RunRequest
from tests.contracts.bench import ANSWER, PATH, Bench, WithExecutor, is_alive, soon, unique_sleep


class CommandContract(WithExecutor):
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
        pachctl = Pachctl(("sh", "-c", 'echo "$WHO: $*"; exit 3', "sh"), (sys.executable, "-c", ANSWER), variables)
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
