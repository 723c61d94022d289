"""The findings of a check, and how a check survives damage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, ParamSpec

_P = ParamSpec("_P")


class Finding(NamedTuple):
    """A violation: the commit, branch, job, row, piece or content it is about, and what is wrong."""

    subject: str
    problem: str


def guarded(sentence: Callable[_P, Iterator[Finding]], *arguments: _P.args, **named: _P.kwargs) -> Iterator[Finding]:
    """Run one check; if damage stops it, yield a finding that says so.

    Damage can raise any error anywhere in the code, and none of them may hide other damage.
    """
    try:
        yield from sentence(*arguments, **named)
    except Exception as error:
        promise = (sentence.__doc__ or "").partition("\n")[0].rstrip(".")
        why = str(error) or type(error).__name__
        yield Finding("records", f"damage keeps from checking whether this holds: {promise[:1].lower()}{promise[1:]} ({why})")
