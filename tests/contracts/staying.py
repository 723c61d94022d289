"""Commands that stay over many datums, and commands at a terminal."""

from __future__ import annotations

import os
import pty
import signal
import termios

from local_runner.executors.launcher.tree import Tree
from local_runner.executors.terminal import Terminal
from tests.contracts.bench import LONG, Bench, WithExecutor, converse, is_alive, soon, tree_of, unique_sleep


class StayingContract(WithExecutor):
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
        end = process.wait(LONG)
        assert end
        assert end.exit_code == 4
        assert bench.stdout == ["last words"]
        assert bench.run("true").accepted()

    def test_waiting_for_a_staying_command_has_a_limit(self, bench: Bench) -> None:
        process = bench.worker.start(bench.request("sleep", unique_sleep()))
        assert process.wait(0.05) is None
        process.kill()
        assert process.wait(LONG) is not None

    def test_a_staying_command_that_is_killed_at_once_is_gone(self, bench: Bench) -> None:
        for _ in range(5):
            marker = unique_sleep()
            process = bench.worker.start(bench.request("sleep", marker))
            process.kill()
            assert process.poll() is not None
            assert not is_alive(marker)

    def test_a_staying_command_that_cannot_be_started_ended(self, bench: Bench) -> None:
        end = bench.worker.start(bench.request("/no/such")).wait(LONG)
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
