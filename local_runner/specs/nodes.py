"""Parses YAML into nodes with line numbers, and nodes into JSON values, with pachctl's restrictions (reference pps 5.3).

Scalars are read as gopkg.in/yaml.v3 reads them, which is neither YAML 1.1 nor 1.2: `yes` is text, `0x10` and `01` are integers
(and then refused), `2024-01-01` is a timestamp (and then refused).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple

from local_runner.errors import SpecError
from local_runner.specs.check import is_number
from local_runner.specs.mending import TEMPLATE_HINT, Place, mending_hint

MAPPING, SEQUENCE, SCALAR, ALIAS = "mapping", "sequence", "scalar", "alias"
SCHEMA_KEY = "$schema"  # editors add it
_SHOWN = 60  # characters of a wrong value in a message
MAX_DEPTH = 100  # lists and mappings within each other: thrice what any spec needs
TOO_DEEP = f"it is nested too deeply, more than {MAX_DEPTH} times"

_JSON_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_DATE = re.compile(r"(\d{4})-(\d\d?)-(\d\d?)([Tt ]\d\d?:\d\d?:\d\d?(\.\d+)?(Z|[-+]\d\d:\d\d)?)?", re.ASCII)
_BOOLEANS = frozenset({"true", "True", "TRUE", "false", "False", "FALSE"})
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
# What the parser calls parts of a text.
_PARTS = {
    "document start": "the next document",
    "stream end": "the end of the text",
    "block end": "the end of the block",
    "scalar": "a value",
    "block mapping start": "a mapping",
    "block sequence start": "a list",
    "alias": "an alias",
    "anchor": "an anchor",
}
_TAG_PREFIX = "tag:yaml.org,2002:"
_LARGEST_FLOAT_AS_INTEGER = 1e21  # up to here JSON written by Go shows whole floats as integers


class SpecNode(NamedTuple):
    """A part of a document. `value` is the text of a scalar (or the name of an alias), a list of nodes, or a list of pairs of nodes.

    `tag` is the short tag of a scalar, such as "int" or "str", whether it was written or follows from the text. Lines count from 1.
    """

    kind: str
    value: Any
    tag: str
    line: int
    column: int


def documents(text: str, source: str) -> Iterator[SpecNode]:
    """The documents of a YAML stream, one after the other: those before an error are given before it is raised.

    Raises `SpecError` for what is no YAML.
    """
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # 60 ms, and most specs are JSON

    try:
        events = _events(text)
        for event in events:
            if type(event).__name__ == "DocumentStartEvent":
                yield _compose(events, next(events), source)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        hint = mending_hint(text, Place(mark.line, mark.column), _breaks) if mark and error.problem != TOO_DEEP else ""
        raise SpecError(f"malformed pipeline spec: {_in_words(error.problem or error.context)}", where=where, hint=hint) from None
    except YAMLError as error:
        raise SpecError(f"malformed pipeline spec: {str(error).splitlines()[0]}", where=source) from None
    except (ValueError, IndexError, OverflowError) as error:
        # The scanner lets some of Python's own errors through, as for an escape beyond Unicode.
        raise SpecError(f"malformed pipeline spec: {error}", where=source) from None


def _in_words(problem: str) -> str:
    """What the parser says, without its names for parts of a text."""
    problem = re.sub(r"\('(.)',\)", r"'\1'", problem)
    return re.sub(r"'?<([a-z -]+)>'?", lambda found: _PARTS.get(found[1], f"a {found[1]}"), problem)


def _breaks(text: str) -> Place | None:
    """Where a text stops being YAML, None if it nowhere does."""
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        depth = 0
        for event in _events(text):
            name = type(event).__name__
            depth += name.endswith("StartEvent") - name.endswith("EndEvent")
            if depth > MAX_DEPTH:
                return Place(0, 0)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return Place(mark.line, mark.column) if mark else Place(0, 0)
    except (YAMLError, ValueError, IndexError, OverflowError, RecursionError):
        return Place(0, 0)
    return None


def _events(text: str) -> Iterator[Any]:
    """The parts of a YAML text as they come; deep nesting is an error where it begins, before it takes the time it would."""
    from ruamel.yaml import YAML
    from ruamel.yaml.scanner import Scanner, ScannerError

    class Bounded(Scanner):
        def fetch_flow_collection_start(self, *args: Any, **kwargs: Any) -> None:
            if len(self.flow_context) >= MAX_DEPTH:
                raise ScannerError(None, None, TOO_DEEP, self.reader.get_mark())
            super().fetch_flow_collection_start(*args, **kwargs)

    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = Bounded
    return iter(yaml.parse(text))


def _compose(events: Iterator[Any], event: Any, source: str, depth: int = 1) -> SpecNode:
    line, column = event.start_mark.line + 1, event.start_mark.column + 1
    if depth > MAX_DEPTH:
        raise SpecError(f"malformed pipeline spec: {TOO_DEEP}", where=f"{source}:{line}:{column}")
    match type(event).__name__:
        case "MappingStartEvent":
            pairs = []
            while type(key := next(events)).__name__ != "MappingEndEvent":
                pairs.append((_compose(events, key, source, depth + 1), _compose(events, next(events), source, depth + 1)))
            return SpecNode(MAPPING, pairs, "map", line, column)
        case "SequenceStartEvent":
            items = []
            while type(item := next(events)).__name__ != "SequenceEndEvent":
                items.append(_compose(events, item, source, depth + 1))
            return SpecNode(SEQUENCE, items, "seq", line, column)
        case "AliasEvent":
            return SpecNode(ALIAS, event.anchor, "", line, column)
    plain, quoted = event.implicit
    tag = str(event.tag).removeprefix(_TAG_PREFIX) if not plain and not quoted else _implied_tag(event.value) if plain else "str"
    return SpecNode(SCALAR, event.value, tag, line, column)


def _implied_tag(text: str) -> str:
    if text in _NULLS:
        return "null"
    if text in _BOOLEANS:
        return "bool"
    if text == "<<":
        return "merge"
    if _is_timestamp(text):
        return "timestamp"
    digits = text.replace("_", "")
    if _INTEGER.fullmatch(digits):
        return "int"
    return "float" if _FLOAT.fullmatch(digits) else "str"


def _is_timestamp(text: str) -> bool:
    found = _DATE.fullmatch(text)
    try:
        return found is not None and bool(date(int(found[1]), int(found[2]), int(found[3])))
    except ValueError:
        return False


def to_json(node: SpecNode, source: str) -> Any:
    """The JSON value of a node. Raises `SpecError` for what JSON has no place for. A repeated key counts once, the last time."""
    if node.kind == MAPPING:
        mapping = {}
        for key_node, value_node in node.value:
            key, value = to_json(key_node, source), to_json(value_node, source)
            if not isinstance(key, str):
                is_template = key_node.kind == MAPPING
                said = "an object" if is_template else "a list" if key_node.kind == SEQUENCE else key_node.value[:_SHOWN] or "nothing"
                hint = TEMPLATE_HINT if is_template else "put it in quotes" if key_node.kind == SCALAR else "write a name"
                raise _unconvertible(f"mapping keys must be strings, not {said}", key_node, source, hint)
            if key != SCHEMA_KEY:
                mapping[key] = value
        return mapping
    if node.kind == SEQUENCE:
        return [to_json(item, source) for item in node.value]
    if node.kind == ALIAS:
        hint = f'put it in quotes, as in "*{node.value}"; or write out what the alias stands for'
        raise _unconvertible(f"alias nodes not supported: *{node.value}", node, source, hint)
    return _scalar(node, source)


def _scalar(node: SpecNode, source: str) -> Any:
    text, lowered = node.value, node.value.lower()
    match node.tag:
        case "str":
            return text
        case "null":
            return None
        case "bool" if lowered in ("true", "false"):
            return lowered == "true"
        case "bool":
            raise _unconvertible(f'invalid boolean "{text}"', node, source, "write true or false")
        case "int":
            if not _JSON_INTEGER.fullmatch(text) or len(text) > 400:
                message = f'integer value "{text[:_SHOWN]}" does not match regexp ^(0|(-?[1-9][0-9]*))$'
                raise _unconvertible(message, node, source, "write it in decimal without leading zeros, or put it in quotes")
            return int(text)
        case "float":
            number = f"0{text}" if text.startswith(".") else text
            if not is_number(number):
                raise _unconvertible(f'number "{text}" cannot be written in JSON', node, source, "write it as in 0.5")
            return whole(float(number))
    hint = "put it in quotes" if node.tag in ("timestamp", "merge") else "remove the tag"
    tag = node.tag if node.tag.startswith("!") else f"!!{node.tag}"
    raise _unconvertible(f'tag "{tag}" unsupported', node, source, hint)


def whole(number: float) -> int | float:
    """A float as Go writes it to JSON again: 3.0 is 3."""
    return int(number) if number.is_integer() and abs(number) < _LARGEST_FLOAT_AS_INTEGER else number


def _unconvertible(text: str, node: SpecNode, source: str, hint: str) -> SpecError:
    return SpecError(f"could not convert YAML to JSON object: {text}", where=f"{source}:{node.line}:{node.column}", hint=hint)
