"""Reads spec text, JSON or YAML, into documents checked against the table of fields (reference pps 5.3)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from local_runner.errors import SpecError
from local_runner.specs.check import Fault, dotted, faults
from local_runner.specs.fields import DEFAULTS, REQUEST, lower_camel
from local_runner.specs.mending import foreign_hint
from local_runner.specs.nodes import MAPPING, MAX_DEPTH, SCHEMA_KEY, SEQUENCE, TOO_DEEP, SpecNode, documents, to_json, whole

_MOST_DIGITS = 400  # of an integer; no field takes one of more than twenty


@dataclass(frozen=True, slots=True)
class SpecDocument:
    """One spec as it was written: JSON values, names in the spelling of the text, without `$schema`.

    `index` counts the specs of the text from 0, and not the documents, as a document may be a list.
    """

    values: dict[str, Any]
    source: str
    text: str = field(repr=False)
    index: int = 0

    def where(self, path: Sequence[str | int] = ()) -> str:
        """ "file:line:column" of a key or list item; of the nearest thing around it if it is not there itself."""
        return _where(self.text, self.source, self.index, path)

    def locate(self, error: SpecError) -> SpecError:
        """The error with the place of its field in front, for one that was found after reading."""
        if error.where:
            return error
        path = [int(index) if index else key for key, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", error.field)]
        return SpecError(error.message, where=self.where(path), field=error.field, hint=error.hint)


def read_documents(text: str, source: str, *, message: str = REQUEST) -> Iterator[SpecDocument]:
    """The specs of a text, one after the other: an error stops the rest, but those before it were given.

    `source` names the text in errors. Specs must have a pipeline with a name and no field that `CreatePipelineRequest` does not have;
    what they mean is not looked at. Raises `SpecError` with line, column and field.
    """
    for document, errors in examine_documents(text, source, message=message):
        for error in errors:
            raise error
        yield document


def examine_documents(text: str, source: str, *, message: str = REQUEST) -> Iterator[tuple[SpecDocument, Iterator[SpecError]]]:
    """Each spec of a text with all for which `read_documents` refuses it; the values of such a one may be anything.

    Raises `SpecError` where the text is no YAML or JSON, as nothing after that can be read.
    """
    for index, values in enumerate(_values(text, source)):
        if isinstance(values, SpecError):
            yield SpecDocument({}, source, text, index), iter([values])
        else:
            document = SpecDocument(values, source, text, index)
            yield document, _errors(document, message)


def read_defaults(text: str, source: str) -> dict[str, Any]:
    """The one document of `create defaults`, as it was written. Raises `SpecError`."""
    found = list(read_documents(text, source, message=DEFAULTS))
    if len(found) != 1:
        raise SpecError(f"invalid defaults: expected a single document; got {len(found)}", where=source)
    return found[0].values


def _errors(document: SpecDocument, message: str) -> Iterator[SpecError]:
    for fault in faults(document.values, message):
        yield _unmarshal_error(document, fault, message)
    if message != REQUEST or not isinstance(document.values, dict):
        return
    pipeline = document.values.get("pipeline")
    if pipeline is None:
        path, missing = ["pipeline"], "no `pipeline` specified"
    elif isinstance(pipeline, dict) and not pipeline.get("name"):
        path, missing = ["pipeline", "name"], "no pipeline `name` specified"
    else:
        return
    yield SpecError(missing, where=document.where(path), field=dotted(path), hint='add pipeline: {name: "…"}')


def _values(text: str, source: str) -> Iterator[Any]:
    """The JSON values of a text's specs; a `SpecError` for one that JSON has no place for."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(text, parse_int=_integer, parse_float=_float, parse_constant=_no_constant, object_pairs_hook=_without_schema)
        except (ValueError, RecursionError):
            value = None
        # If that was no piece of JSON, an empty or too deep one, the other reader knows what is wrong, and in which line.
        if value and not is_too_deep(value):
            yield from value if isinstance(value, list) else [value]
            return
    for node in _spec_nodes(text, source):
        try:
            yield to_json(node, source)
        except SpecError as error:
            yield error


def check_document(document: Any) -> None:
    """Check a spec that is given as a value as strictly as one given as text. Raises `SpecError`."""
    if is_too_deep(document):
        raise SpecError(f"malformed pipeline spec: {TOO_DEEP}")
    for fault in faults(document):
        raise _unmarshal_error(SpecDocument({}, "", ""), fault, REQUEST)


def is_too_deep(value: Any) -> bool:
    """Whether a JSON value has more lists and objects within each other than a spec may."""
    level, depth = [value], 0
    while level and depth <= MAX_DEPTH:
        inner = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, (dict, list)))
        level, depth = [part for parts in inner for part in parts], depth + 1
    return bool(level)


def _integer(text: str) -> int:
    if text == "-0" or len(text) > _MOST_DIGITS:
        raise ValueError(text)
    return int(text)


def _float(text: str) -> int | float:
    return whole(float(text))


def _no_constant(text: str) -> None:
    raise ValueError(text)


def _without_schema(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in pairs if key != SCHEMA_KEY}


def _spec_nodes(text: str, source: str) -> Iterator[SpecNode]:
    for node in documents(text, source):
        if node.kind == SEQUENCE and node.value:
            yield from node.value
        elif node.kind == MAPPING:
            yield node
        else:
            got = "an empty list" if node.kind == SEQUENCE else f"the {node.kind} {node.value!r}" if node.value else "an empty document"
            message = f"malformed pipeline spec: expected a mapping or a list of mappings; got {got}"
            raise SpecError(message, where=f"{source}:{node.line}:{node.column}", hint=foreign_hint(text))


def _unmarshal_error(document: SpecDocument, fault: Fault, message: str) -> SpecError:
    at = _printable(dotted(fault.path))
    # The cluster says for defaults "invalid cluster defaults: …".
    front = f"could not unmarshal pipeline spec as {REQUEST}" if message == REQUEST else "invalid defaults"
    said = _printable(f"{front}: {at}: {fault.text}" if at else f"{front}: {fault.text}")
    return SpecError(said, where=document.where(fault.path), field=at, hint=_printable(fault.hint))


def _printable(text: str) -> str:
    """A text with halves of surrogate pairs escaped, so that it can be printed."""
    return text.encode(errors="backslashreplace").decode()


def _where(text: str, source: str, index: int, path: Sequence[str | int]) -> str:
    """The place of a field, found by reading the text again with line numbers; only for errors."""
    try:
        node = next(node for at, node in enumerate(_spec_nodes(text, source)) if at == index)
    except (SpecError, StopIteration):
        return source
    line, column = node.line, node.column
    for part in path:
        if node.kind == MAPPING:
            pairs = [(key, value) for key, value in node.value if key.value in (part, lower_camel(str(part)))]
            if not pairs:
                break
            (key, node) = pairs[-1]
            line, column = key.line, key.column
        elif node.kind == SEQUENCE and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line, column = node.line, node.column
        else:
            break
    return f"{source}:{line}:{column}"
