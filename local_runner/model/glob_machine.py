"""Matches a glob in time proportional to pattern times path: each state is visited once.

A state is a place in the pattern and one in the path. The machine goes the way of a backtracking regular expression, alternative by
alternative, but keeps of every state whether it leads to a match. So it finds the same captures, and cannot explode.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from local_runner.errors import Invalid
from local_runner.model.glob_syntax import BRACES, GlobGroup, GlobText, One, Sequence, Star

MOST_STATES = 4_000_000  # half a gigabyte

# Of each repetition around a state: it must be gone through; it may be; it may not, since nothing was taken since it began.
_FIRST, _FREE, _STUCK = "first", "free", "stuck"


class _State(NamedTuple):
    step: int
    at: int  # in the path
    loops: tuple[str, ...] = ()  # the outermost first


@dataclass(slots=True)
class _Fork:
    """Go on at any of these steps, the preferred first."""

    targets: tuple[int, ...] = ()


@dataclass(slots=True)
class _Mark:
    """Begin (an even number) or end of a capture."""

    number: int


@dataclass(slots=True)
class _Enter:
    """A repetition begins."""

    loop: str


@dataclass(slots=True)
class _Again:
    """Repeat once more, or go on after the repetition."""

    body: int
    after: int


@dataclass(slots=True)
class _Unless:
    """Go on if what begins at `excluded` does not match here."""

    excluded: int
    after: int


@dataclass(slots=True)
class _End:
    """A match, of the `whole` rest or of its beginning."""

    whole: bool


_Step = GlobText | One | Star | _Fork | _Mark | _Enter | _Again | _Unless | _End


class Machine:
    """A pattern as steps."""

    def __init__(self, elements: Sequence, pattern: str = "") -> None:
        self.steps: list[_Step] = []
        self.groups = 0
        self.pattern = pattern
        self._sequence(elements)
        self._add(_End(whole=True))

    def fullmatch(self, path: str) -> tuple[str | None, ...] | None:
        """The capture of each group, None for one that took no part; None if the path does not match.

        Takes about a microsecond for each of the pattern's elements and each of the path's characters. Raises `Invalid` where those are
        more than memory should hold.
        """
        if len(self.steps) * (len(path) + 1) > MOST_STATES:
            message = f'the glob "{self.pattern[:60]}" is too complicated for a path of {len(path)} characters'
            raise Invalid(message, hint="match less exactly, and let the pipeline look")
        return Run(self.steps, path).captures(self.groups)

    def _add(self, step: _Step) -> int:
        self.steps.append(step)
        return len(self.steps) - 1

    def _sequence(self, elements: Sequence) -> None:
        for element in elements:
            if isinstance(element, GlobGroup):
                self._group(element)
            else:
                self._add(element)

    def _group(self, group: GlobGroup) -> None:
        number = 0
        if group.quantifier != BRACES:
            self.groups += 1
            number = self.groups
            self._add(_Mark(2 * number))
        match group.quantifier:
            case "*" | "+":
                self._add(_Enter(_FIRST if group.quantifier == "+" else _FREE))
                head = self._add(_Fork())
                self._alternatives(group.alternatives)
                self._add(_Fork((head,)))
                self.steps[head] = _Again(head + 1, len(self.steps))
            case "!":
                guard = self._add(_Fork())
                self._alternatives(group.alternatives)
                self._add(_End(group.whole))
                self.steps[guard] = _Unless(guard + 1, len(self.steps))
                self._add(Star(crosses=False))
            case quantifier:
                self._alternatives(group.alternatives, optional=quantifier == "?")
        if number:
            self._add(_Mark(2 * number + 1))

    def _alternatives(self, alternatives: tuple[Sequence, ...], *, optional: bool = False) -> None:
        fork, starts, ends = self._add(_Fork()), [], []
        for alternative in alternatives:
            starts.append(len(self.steps))
            self._sequence(alternative)
            ends.append(self._add(_Fork()))
        after = len(self.steps)
        self.steps[fork] = _Fork((*starts, after) if optional else tuple(starts))
        for end in ends:
            self.steps[end] = _Fork((after,))


class Run:
    """One path on its way through the steps."""

    def __init__(self, steps: list[_Step], path: str) -> None:
        self.known: dict[_State, bool] = {}  # whether each state that was looked at leads to a match
        self._steps, self._path = steps, path

    def captures(self, groups: int) -> tuple[str | None, ...] | None:
        state = _State(0, 0)
        if not self._leads_to_match(state):
            return None
        marks: dict[int, int] = {}
        while not isinstance(step := self._steps[state.step], _End):
            if isinstance(step, _Mark):
                marks[step.number] = state.at
            state = next(way for way in self._ways(state) if self._leads_to_match(way))
        begins = (marks.get(2 * number) for number in range(1, groups + 1))
        return tuple(None if begin is None else self._path[begin : marks[2 * n + 1]] for n, begin in enumerate(begins, 1))

    def _leads_to_match(self, state: _State) -> bool:
        """Whether a state leads to a match, computed without recursion, as paths may be long."""
        known, open_ = self.known, [state]
        while open_:
            verdict = self._verdict(open_[-1])
            if isinstance(verdict, _State):
                open_.append(verdict)
            else:
                known[open_.pop()] = verdict
        return known[state]

    def _verdict(self, state: _State) -> bool | _State:
        """Whether a state leads to a match, or which one has to be looked at before that can be said."""
        known, step = self.known, self._steps[state.step]
        if isinstance(step, _End):
            return not step.whole or state.at == len(self._path)
        if isinstance(step, _Unless):
            excluded = state._replace(step=step.excluded)
            if excluded not in known:
                return excluded
            if known[excluded]:
                return False
        for way in self._ways(state):
            if way not in known:
                return way
            if known[way]:
                return True
        return False

    def _ways(self, state: _State) -> Iterable[_State]:
        """The states reachable from a state, the preferred first."""
        at, loops, path = state.at, state.loops, self._path
        match self._steps[state.step]:
            case GlobText(text):
                if path.startswith(text, at):
                    yield self._taken(state.step + 1, at + len(text), loops)
            case One() as one:
                if at < len(path) and one.takes(path[at]):
                    yield self._taken(state.step + 1, at + 1, loops)
            case Star(crosses):
                if at < len(path) and (crosses or path[at] != "/"):
                    yield self._taken(state.step, at + 1, loops)
                yield _State(state.step + 1, at, loops)
            case _Fork(targets):
                for target in targets:
                    yield _State(target, at, loops)
            case _Enter(loop):
                yield _State(state.step + 1, at, (*loops, loop))
            case _Again(body, after):
                if loops[-1] != _STUCK:
                    yield _State(body, at, (*loops[:-1], _STUCK))
                if loops[-1] != _FIRST:
                    yield _State(after, at, loops[:-1])
            case _Unless(_, after):
                yield _State(after, at, loops)
            case _:
                yield _State(state.step + 1, at, loops)

    @staticmethod
    def _taken(step: int, at: int, loops: tuple[str, ...]) -> _State:
        return _State(step, at, tuple(_FREE if loop == _STUCK else loop for loop in loops) if loops else loops)
