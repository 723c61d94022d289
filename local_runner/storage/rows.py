"""Turns damaged rows into `Unavailable` with words, wherever rows are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from local_runner.errors import Unavailable

_Row = TypeVar("_Row")
_Made = TypeVar("_Made")

# What code meets in values of the wrong kind.
MISREADINGS = (ValueError, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError, RecursionError)


def damaged_row(what: str, why: object = "") -> Unavailable:
    """The error for a row that is not what was written."""
    return Unavailable(
        f"the records are damaged: {what}{f' ({why})' if why else ''}",
        hint="run fsck to see all that is; what can be mended, fsck --fix mends",
    )


def reads(table: str) -> Callable[[Callable[[_Row], _Made]], Callable[[_Row], _Made]]:
    """Decorates a function that reads a row: it raises `Unavailable` for a damaged one."""

    def decorate(make: Callable[[_Row], _Made]) -> Callable[[_Row], _Made]:
        @wraps(make)
        def made(row: _Row) -> _Made:
            try:
                return make(row)
            except MISREADINGS as error:
                raise damaged_row(f"a row of {table} that begins {str(row)[:60]}… cannot be read", error) from error

        return made

    return decorate


def read_json(text: str, what: str) -> Any:
    """A document of a row. Raises `Unavailable` for one that is none."""
    try:
        return json.loads(text)
    except MISREADINGS as error:
        raise damaged_row(f"the document of {what} cannot be read", error) from None
