"""Arguments that a command does not take: what they were probably meant for."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

import click

# Commands whose argument in the wrong place is the value of a flag.
_FLAGS: Mapping[str, str] = {
    "create pipeline": "-f",
    "create secret": "-f",
    "get file": "-o",
    "logs": "-p",
    "put file": "-f",
    "update pipeline": "-f",
}
_SEVERAL = frozenset({"put file"})  # those that take the flag more than once
_MOST = 3


def extra_words(words: str, command: click.Command, given: Sequence[str], extras: Sequence[str]) -> tuple[str, str]:
    """The message and the hint for arguments that are one too many; `given` is all that was typed behind the words of the command."""
    message = f"Got unexpected extra argument{'s' if len(extras) > 1 else ''} ({' '.join(extras)})"
    flag = _FLAGS.get(words)
    if flag and (len(extras) == 1 or (words in _SEVERAL and len(extras) <= _MOST)):
        before = list(given)
        for extra in reversed(extras):
            del before[len(before) - 1 - before[::-1].index(extra)]
        return message, f"write `{' '.join([words, shlex.join([*before, *(part for extra in extras for part in (flag, extra))])])}`"
    if words in _SEVERAL:
        return message, f"write {flag} before each of them, or -r {flag} FOLDER for all that is in a folder"
    taken = " ".join(param.make_metavar(click.Context(command)) for param in command.params if isinstance(param, click.Argument))
    return message, f"`{words}` takes {f'{taken} and no more' if taken else 'flags only'}: see `{words} --help`"
