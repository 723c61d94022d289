"""Checks a document against its protobuf message, and converts its spelling: as written, lowerCamel, snake_case.

Documents are plain JSON values. Everything here goes by the table in `fields`; nothing knows what a field means.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from local_runner.errors import Invalid
from local_runner.model.names import is_text
from local_runner.model.units import is_proto_duration, parse_proto_duration, parse_rfc3339, proto_duration, rfc3339
from local_runner.specs.fields import BY_KEY, ENUMS, HONOURED, MAP, MESSAGES, ONE_OF, REQUEST, Field
from local_runner.specs.meant import meant, name_hint
from local_runner.specs.removed import removed_hint

Document = Mapping[str, Any]
Path = tuple[str | int, ...]

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1), "uint64": (0, 2**64 - 1)}
_FLOAT_MAX = 3.4028235677973366e38
_SHOWN, _LONGEST_EXAMPLE = 60, 300  # characters of a wrong value in a message, and of what to write instead
_NOTHING = object()


class Fault(NamedTuple):
    """A fault in a document: where (keys as spelled), what is wrong, and what to do.

    `example` is what the hint says to write in its place, which fits the field; `_NOTHING` if it says none. `misfit` is the field that a
    value does not fit, and the value.
    """

    path: Path
    text: str
    hint: str = ""
    example: object = _NOTHING
    misfit: tuple[Field, object] | None = None

    @property
    def has_example(self) -> bool:
        return self.example is not _NOTHING

    @property
    def advised(self) -> Fault:
        """The same with a value that was probably meant, if there is one."""
        if self.misfit is None:
            return self
        field, value = self.misfit
        for candidate in meant(value, field):
            if any(_field_faults(candidate, field, ())):
                continue
            shown = json.dumps(candidate, ensure_ascii=False)
            if len(shown) <= _LONGEST_EXAMPLE:
                verb = "put it in quotes:" if candidate == json.dumps(value, default=repr) else "write"
                return self._replace(hint=f"{verb} {shown}", example=candidate)
        return self._replace(hint=self.hint or _HINTS.get(field.type, ""))


def dotted(path: Sequence[str | int]) -> str:
    """A path for people: `input.cross[0].pfs.glob`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def is_number(text: str) -> bool:
    """Whether the text is a number in JSON's grammar."""
    return _NUMBER.fullmatch(text) is not None


def integer(value: object) -> int | None:
    """The integer in a JSON value, as protobuf reads it: 3, 3.0, "3" and "3e0" are the same; None if it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if not isinstance(value, str) or not is_number(value):
        return None
    exact = Decimal(value)
    # Digits beyond any 64-bit number: not worth the memory of 1e999999999.
    if exact and exact.adjusted() > 20:
        return None
    return int(exact) if exact == exact.to_integral_value() else None


def real(value: object) -> float | None:
    """The number in a JSON value, text included; None if it is none or too large for the 32 bits of a `float`."""
    if isinstance(value, str):
        if value in ("NaN", "Infinity", "-Infinity"):
            return float(value)
        if not is_number(value):
            return None
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) < _FLOAT_MAX else None


def faults(value: object, message: str = REQUEST) -> Iterator[Fault]:
    """Everything in a document that its message does not allow, in the document's order (reference pps 5.1)."""
    return (fault.advised for fault in _faults(value, Field("", message, HONOURED, ""), ()))


def _faults(value: object, at: Field, path: Path) -> Iterator[Fault]:
    message = at.element
    if not isinstance(value, dict):
        yield _unexpected(path, value, "an object", at)
        return
    seen: dict[str, str] = {}
    for key, item in value.items():
        field = BY_KEY[message].get(key)
        if not isinstance(key, str):
            yield Fault(path, f"syntax error: unexpected key {_shown(key)}, expected text")
        elif field is None:
            yield Fault((*path, key), f'unknown field "{key}"', _unknown_hint(message, key, seen))
        elif item is not None:
            if field.name in seen:
                yield Fault((*path, key), f'duplicate field "{key}", it is also given as "{seen[field.name]}"', "remove one of the two")
            seen[field.name] = key
            yield from _field_faults(item, field, (*path, key))
    both = [seen[name] for name in ONE_OF.get(message, ()) if name in seen]
    if len(both) > 1:
        yield Fault((*path, both[1]), f"{' and '.join(both)} cannot both be set", "remove one of the two")


def null_faults(value: object, message: str = REQUEST, path: Path = ()) -> Iterator[Fault]:
    """The lists and maps that are null: what reads a spec takes them, what merges defaults into it does not. No other null is a fault."""
    for key, item in value.items() if isinstance(value, dict) else ():
        field = BY_KEY[message][key]
        if item is None and (field.is_list or field.type == MAP):
            yield Fault((*path, key), "it is null", "leave it out")
        elif field.element in MESSAGES:
            for index, element in enumerate(item) if field.is_list else [(None, item)]:
                yield from null_faults(element, field.element, (*path, key) if index is None else (*path, key, index))


def _field_faults(value: object, field: Field, path: Path) -> Iterator[Fault]:
    if field.is_list:
        if not isinstance(value, list):
            yield _unexpected(path, value, "a list", field)
            return
        for index, item in enumerate(value):
            yield from _value_faults(item, field._replace(type=field.element), (*path, index))
    elif field.type == MAP:
        if not isinstance(value, dict):
            yield _unexpected(path, value, "an object", field)
            return
        for key, item in value.items():
            yield from _value_faults(key, _TEXT, path)
            yield from _value_faults(item, _TEXT, (*path, key))
    else:
        yield from _value_faults(value, field, path)


def _value_faults(value: object, field: Field, path: Path) -> Iterator[Fault]:
    kind = field.type
    if kind in MESSAGES:
        yield from _faults(value, field, path)
    elif kind in ENUMS:
        if value not in ENUMS[kind] and (integer(value) is None or isinstance(value, str)):
            yield Fault(path, f"invalid value for enum type: {_shown(value)}", f"one of {', '.join(ENUMS[kind])}", misfit=(field, value))
    elif not _FITS[kind](value):
        yield Fault(path, f"invalid value for {kind} type: {_shown(value)}", misfit=(field, value))


def _in_range(kind: str) -> Callable[[object], bool]:
    low, high = _RANGES[kind]

    def fits(value: object) -> bool:
        number = integer(value)
        return number is not None and low <= number <= high

    return fits


def _is_text(value: object) -> bool:
    """Whether a value is text that UTF-8 can store, so without halves of surrogate pairs."""
    return isinstance(value, str) and is_text(value)


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and math.isfinite(parse_rfc3339(value))
    except Invalid:
        return False


_FITS: Mapping[str, Callable[[object], bool]] = {
    "string": _is_text,
    "bool": lambda value: isinstance(value, bool),
    "float": lambda value: real(value) is not None,
    "duration": lambda value: isinstance(value, str) and is_proto_duration(value),
    "timestamp": _is_time,
    **{kind: _in_range(kind) for kind in _RANGES},
}
_HINTS = {
    "string": "write text",
    "bool": "write true or false, without quotes",
    "timestamp": 'write it in quotes, as in "2024-01-31T12:00:00Z"',
    **dict.fromkeys(_RANGES, "write a whole number"),
    "float": "write a number, as in 0.5",
    MAP: 'write it as in {"NAME": "value"}',
}
_TEXT = Field("", "string", HONOURED, "")


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _unexpected(path: Path, value: object, expected: str, field: Field) -> Fault:
    hint = "put it in brackets" if field.is_list else ""
    return Fault(path, f"syntax error: unexpected value {_shown(value)}, expected {expected}", hint, misfit=(field, value))


def _unknown_hint(message: str, key: str, present: Collection[str]) -> str:
    return removed_hint(message, key) or name_hint(message, key, present)


def to_camel(document: Document, message: str = REQUEST) -> dict[str, Any]:
    """The document with lowerCamel names, as it is merged and stored. Nulls stay.

    Values stay as they were written, but for numbers of enums, which become names. The document must be free of faults.
    """
    return {
        field.json_name: _respelled(value, field, to_camel)
        for field, value in ((BY_KEY[message][key], value) for key, value in document.items())
    }


def to_snake(document: Document, message: str = REQUEST) -> dict[str, Any]:
    """The document with snake_case names; otherwise as `to_camel`."""
    return {
        field.name: _respelled(value, field, to_snake)
        for field, value in ((BY_KEY[message][key], value) for key, value in document.items())
    }


def _respelled(value: Any, field: Field, spell: Callable[[Document, str], dict[str, Any]]) -> Any:
    if value is None or field.type == MAP:
        return value
    if field.is_list:
        return [_respelled(item, field._replace(type=field.element), spell) for item in value]
    if field.type in MESSAGES:
        return spell(value, field.type)
    return _enum_name(value, field.type) if field.type in ENUMS else value


def _enum_name(value: Any, kind: str) -> Any:
    number = integer(value) if not isinstance(value, str) else None
    return ENUMS[kind][number] if number is not None and 0 <= number < len(ENUMS[kind]) else value


def normal(document: Document, message: str = REQUEST, *, snake: bool = False) -> dict[str, Any]:
    """The document as protobuf prints it: in the table's order, 64-bit integers as text, zero values and nulls left out.

    Names are lowerCamel, or snake_case as after `--raw`. The document must be free of faults, in any spelling.
    """
    given = {BY_KEY[message][key]: value for key, value in document.items() if value is not None}
    spelled: dict[str, Any] = {}
    for field in MESSAGES[message]:
        if field in given:
            value = _normal_value(given[field], field, snake)
            # A message is there as soon as it is set, and toleration_seconds is one in disguise.
            if field.type in MESSAGES or field.name == "toleration_seconds" or not _is_zero(value, field):
                spelled[field.name if snake else field.json_name] = value
    return spelled


def _is_zero(value: Any, field: Field) -> bool:
    return not value or (field.type in ("int64", "uint64") and value == "0")


def _normal_value(value: Any, field: Field, snake: bool) -> Any:
    if field.is_list:
        return [_normal_value(item, field._replace(type=field.element), snake) for item in value]
    if field.type in MESSAGES:
        return normal(value, field.type, snake=snake)
    if field.type in ENUMS:
        name = _enum_name(value, field.type)
        return None if name == ENUMS[field.type][0] else name
    if field.type in ("int64", "uint64"):
        return str(integer(value))
    if field.type == "int32":
        return integer(value)
    if field.type == "float":
        number = real(value)
        if number is None or not math.isfinite(number):
            return value
        return int(number) if number.is_integer() else number
    if field.type == "duration":
        return proto_duration(parse_proto_duration(value))
    if field.type == "timestamp":
        return rfc3339(parse_rfc3339(value))
    return value
