"""A command that is written as for a shell is said, with how to write it."""

from __future__ import annotations

import pytest

from local_runner.specs.command_words import shell_hint


@pytest.mark.parametrize(
    ("cmd", "hint"),
    [
        (["python3 /x.py"], '\'python3 /x.py\' is taken for the name of one program: write ["python3", "/x.py"]'),
        (["echo hi > /pfs/out/x"], 'write ["sh", "-c", "echo hi > /pfs/out/x"]'),
        (["python3 /x.py", "-v"], 'write ["python3", "/x.py", "-v"]'),
        (["cd", "/pfs/in"], 'cd is a word of shells, and no program: write ["sh", "-c", "cd /pfs/in"]'),
        (["echo", "hi", ">", "/pfs/out/x"], 'so > is an argument like others: write ["sh", "-c", "echo hi > /pfs/out/x"]'),
        (["cat", "/pfs/in/a", "|", "wc"], 'so | is an argument like others: write ["sh", "-c", "cat /pfs/in/a | wc"]'),
    ],
)
def test_a_command_for_a_shell_is_said_with_one(cmd: list[str], hint: str) -> None:
    assert shell_hint(cmd).endswith(hint)
    assert shell_hint(["sh", "-c", hint]) == ""


@pytest.mark.parametrize(
    "cmd",
    [[], ["sh"], ["sh", "-c", "a > b | c"], ["expr", "1", "<", "2"], ["/usr/bin/test", "a", ">", "b"], ["find", "-exec", "rm", "{}", ";"]],
)
def test_a_command_that_runs_as_it_is_meant_is_left_alone(cmd: list[str]) -> None:
    assert shell_hint(cmd) == ""
