"""Says of a command that it is written as for a shell, where none reads it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath

_SHELL = re.compile(r"[|&;<>()$`*?\[\]#~=\n\\]|^\s*(cd|if|for|while|source|\.)\b")  # what only a shell understands
_BUILTINS = frozenset({"cd", "source", ".", "export", "set", "ulimit", "eval", "if", "for", "while"})
_OPERATORS = frozenset({"|", "||", "&&", "<", "<<", ">", ">>", "2>", "2>>", "2>&1", "&>"})
_COMPARE = frozenset({"expr", "test", "["})  # programs with operators of their own


def split_command(text: str) -> list[str]:
    """The words of a command that is one text, or a shell that takes it as it is; nothing for a blank one."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if words and not _SHELL.search(text):
        return words
    return ["sh", "-c", text] if text.strip() else []


def shell_hint(cmd: Sequence[str]) -> str:
    """What to write in place of a command that only a shell could run as it is meant; "" if it needs none."""
    program = cmd[0] if cmd else ""
    if len(program.split()) > 1:
        written = split_command(" ".join(cmd))
        return f"{program!r} is taken for the name of one program: write {json.dumps(written, ensure_ascii=False)}"
    if program in _BUILTINS:
        return f"{program} is a word of shells, and no program: write {_in_shell(cmd)}"
    operator = next((word for word in cmd[1:] if word in _OPERATORS), "")
    if operator and PurePosixPath(program).name not in _COMPARE:
        return f"no shell reads transform.cmd, so {operator} is an argument like others: write {_in_shell(cmd)}"
    return ""


def _in_shell(cmd: Sequence[str]) -> str:
    return json.dumps(["sh", "-c", " ".join(cmd)], ensure_ascii=False)
