"""From what is written of a space, in the project file or in a JSON file of grids, to a `Space`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from local_runner.errors import Invalid
from local_runner.model.space import Choice, Condition, Domain, Parameter, Real, Space, Value, Whole, same

# Says what is wrong with a parameter: its name, the sentence, what to do.
Wrong = Callable[[str, str, str], Invalid]

_RANGE = ("low", "high", "log", "steps", "type", "when")
_CHOICE = ("choices", "when")
_TYPES = ("float", "int")


def read_space(table: Mapping[str, Any], wrong: Wrong) -> Space:
    """A space of ranges, lists and conditions. Raises what `wrong` makes for what is empty, contradicts itself or means nothing."""
    if not table:
        raise wrong("", "the space is empty", "name a parameter: C = { low = 0.001, high = 10000, log = true }")
    parameters = {name: _parameter(name, written, wrong) for name, written in table.items()}
    for parameter in parameters.values():
        for condition in parameter.when:
            _check_condition(parameter.name, condition, parameters, wrong)
    return Space((tuple(_in_order(parameters, wrong)),))


def read_grid(path: Path) -> Space:
    """A grid from a JSON file: {"C": [1, 10], "gamma": [0.1]}, or a list of such. Raises `Invalid` that names file and field."""
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}", hint="grid is a path relative to the project file") from None
    except ValueError as error:
        raise Invalid(f"{path}: it is no JSON: {error}", hint='a grid is written as {"C": [1, 10], "gamma": [0.1, 1]}') from None
    grids = document if isinstance(document, list) else [document]
    if not grids:
        raise Invalid(f"{path}: the grid is empty")
    parts: list[tuple[Parameter, ...]] = []
    for number, grid in enumerate(grids):
        at = f"[{number}]" if isinstance(document, list) else ""

        def wrong(field: str, message: str, hint: str, at: str = at) -> Invalid:
            where = ".".join(filter(None, (at, field)))
            return Invalid(f"{path}: {where}{': ' if where else ''}{message}", hint=hint)

        if not isinstance(grid, dict):
            raise wrong("", "expected an object of lists", 'a grid is written as {"C": [1, 10], "gamma": [0.1, 1]}')
        for name, values in grid.items():
            if not isinstance(values, list):
                raise wrong(name, "expected a list of values", f'write "{name}": [{json.dumps(values)}]')
        parts += read_space(grid, wrong).parts
    return Space(tuple(parts))


def _parameter(name: str, written: Any, wrong: Wrong) -> Parameter:
    if isinstance(written, list):
        return Parameter(name, _choice(name, written, wrong))
    if not isinstance(written, dict):
        return Parameter(name, _choice(name, [written], wrong))
    known = _CHOICE if "choices" in written else _RANGE
    for key in written:
        if key not in known:
            near = get_close_matches(key, known, 1)
            raise wrong(name, f"unknown field {key}", f"did you mean {near[0]}?" if near else f"it is one of {', '.join(known)}")
    if "choices" in written:
        options = written["choices"]
        if not isinstance(options, list):
            raise wrong(name, "choices: expected a list of values", "")
        domain: Domain = _choice(name, options, wrong)
    else:
        domain = _range(name, written, wrong)
    return Parameter(name, domain, _conditions(name, written.get("when", {}), wrong))


def _choice(name: str, options: Sequence[Any], wrong: Wrong) -> Choice:
    if not options:
        raise wrong(name, "an empty list leaves no value", "name at least one")
    for number, option in enumerate(options):
        if not _is_value(option):
            raise wrong(name, f"{option!r} is no value", "a value is a finite number, a text, true or false")
        if any(same(option, other) for other in options[:number]):
            raise wrong(name, f"{option!r} is listed twice", "")
    return Choice(tuple(options))


def _range(name: str, written: Mapping[str, Any], wrong: Wrong) -> Domain:
    for key in ("low", "high"):
        if key not in written:
            raise wrong(name, f"{key} is missing", "a range is written as { low = 0.001, high = 10, log = true }, a choice as a list")
        if not _is_number(written[key]):
            raise wrong(name, f"{key}: {written[key]!r} is no finite number", "")
    low, high, log, steps = written["low"], written["high"], written.get("log", False), written.get("steps", 0)
    if not isinstance(log, bool):
        raise wrong(name, f"log: {log!r} is neither true nor false", "")
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 0:
        raise wrong(name, f"steps: {steps!r} is no number of values", "")
    if low > high:
        raise wrong(name, f"low {low} is above high {high}, so no value lies between", "exchange them")
    if log and low <= 0:
        raise wrong(name, f"low {low} cannot be on a logarithmic scale", "let low be above 0, or leave log out")
    kind = written.get("type", "int" if isinstance(low, int) and isinstance(high, int) else "float")
    if kind not in _TYPES:
        raise wrong(name, f"type: {kind!r} is none of {', '.join(_TYPES)}", "without it, low and high without a point mean whole numbers")
    if kind == "float":
        return Real(float(low), float(high), log, steps)
    if low != int(low) or high != int(high):
        raise wrong(name, f"type: low {low} and high {high} have to be whole numbers", "")
    return Whole(int(low), int(high), log, steps)


def _conditions(name: str, written: Any, wrong: Wrong) -> tuple[Condition, ...]:
    if not isinstance(written, dict):
        raise wrong(name, "when: expected other parameters and their values", 'as in when = { kernel = ["rbf", "poly"] }')
    found = []
    for other, values in written.items():
        listed = values if isinstance(values, list) else [values]
        if not listed or not all(map(_is_value, listed)):
            raise wrong(name, f"when: {other}: expected a value, or a list of them", "")
        found.append(Condition(other, tuple(listed)))
    return tuple(found)


def _check_condition(name: str, condition: Condition, parameters: Mapping[str, Parameter], wrong: Wrong) -> None:
    other = parameters.get(condition.parameter)
    if other is None:
        near = get_close_matches(condition.parameter, parameters, 1)
        raise wrong(name, f"when: there is no parameter {condition.parameter}", f"did you mean {near[0]}?" if near else "")
    for value in condition.values:
        if not other.domain.contains(value):
            raise wrong(name, f"when: {condition.parameter} is never {value!r}", "it would be part of no point")


def _in_order(parameters: Mapping[str, Parameter], wrong: Wrong) -> list[Parameter]:
    """Those that others depend on first, else as written."""
    ordered: dict[str, Parameter] = {}

    def visit(parameter: Parameter, above: tuple[str, ...]) -> None:
        if parameter.name in above:
            circle = " -> ".join((*above[above.index(parameter.name) :], parameter.name))
            raise wrong(parameter.name, f"when: the parameters {circle} depend on each other in a circle", "")
        for condition in parameter.when:
            visit(parameters[condition.parameter], (*above, parameter.name))
        ordered.setdefault(parameter.name, parameter)

    for parameter in parameters.values():
        visit(parameter, ())
    return list(ordered.values())


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_value(value: object) -> bool:
    return isinstance(value, (str, bool)) or _is_number(value)


def as_document(space: Space) -> list[dict[str, Any]]:
    """A space as JSON, which `read_document` reads again."""
    return [{parameter.name: _written(parameter) for parameter in part} for part in space.parts]


def read_document(document: Sequence[Mapping[str, Any]]) -> Space:
    """A space from JSON. Raises `Invalid` that names the field."""

    def wrong(field: str, message: str, hint: str) -> Invalid:
        return Invalid(f"{field}{': ' if field else ''}{message}", hint=hint)

    if not document:
        raise wrong("", "the space is empty", "")
    return Space(tuple(part for table in document for part in read_space(table, wrong).parts))


def _written(parameter: Parameter) -> dict[str, Any]:
    domain = parameter.domain
    written: dict[str, Any]
    if isinstance(domain, Choice):
        written = {"choices": list(domain.options)}
    else:
        kind = "float" if isinstance(domain, Real) else "int"
        written = {"low": domain.low, "high": domain.high, "log": domain.log, "steps": domain.steps, "type": kind}
    when: dict[str, list[Value]] = {condition.parameter: list(condition.values) for condition in parameter.when}
    return written | ({"when": when} if when else {})
