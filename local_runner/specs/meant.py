"""Guesses what was meant by a value that does not fit its field, and by a name that no field has."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal

from local_runner.errors import Invalid
from local_runner.model.quantity import quantity
from local_runner.model.units import parse_go_duration, proto_duration
from local_runner.specs.command_words import split_command
from local_runner.specs.fields import ENUMS, MAP, MESSAGES, Field, rows

# The field of a message that is meant where the message itself is given as a number or text.
_MAIN: Mapping[str, str] = {
    "Pipeline": "name",
    "Project": "name",
    "Repo": "name",
    "ParallelismSpec": "constant",
    "DatumSetSpec": "number",
    "Egress": "URL",
    "ObjectStorageEgress": "url",
    "GPUSpec": "number",
    "Service": "internal_port",
    "SecretMount": "name",
}
_USUAL: Mapping[str, Mapping[str, object]] = {"GPUSpec": {"type": "nvidia.com/gpu"}}
_JSON = frozenset({"pod_spec", "pod_patch"})  # texts that hold JSON
_COMMANDS = frozenset({"cmd", "err_cmd"})
_YES, _NO = frozenset({"true", "yes", "on", "y", "1", 1}), frozenset({"false", "no", "off", "n", "0", 0})
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(s|sec|second|m|min|minute|h|hr|hour|d|day|w|week)s?", re.IGNORECASE)
_UNITS: Mapping[str, int] = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}  # by their first letter
_SHOWN_PATHS, _LISTED = 3, 20


def meant(value: object, field: Field) -> Iterator[object]:
    """Values that may have been meant, the likeliest first; whether they fit is looked at by who asks."""
    if field.is_list:
        yield from _lists(value, field)
    elif field.type == MAP:
        yield from _maps(value)
    elif field.type in MESSAGES:
        yield from _messages(value, field.type)
    elif field.type in ENUMS:
        yield str(value).strip().upper()
    elif field.type == "string":
        yield from _texts(value, field.name)
    elif field.type == "bool":
        word = value.strip().lower() if isinstance(value, str) else value
        if isinstance(word, (str, int)) and (word in _YES or word in _NO):
            yield word in _YES
    elif field.type == "duration":
        yield from _durations(value)
    elif field.type == "timestamp":
        yield f"{str(value).strip().replace(' ', 'T')}Z"
        yield f"{str(value).strip()}T00:00:00Z"
    else:
        yield from _numbers(value, whole=field.type != "float")


def _lists(value: object, field: Field) -> Iterator[object]:
    if isinstance(value, str) and field.name in _COMMANDS and (written := split_command(value)):
        yield written
    if value is not None and not isinstance(value, list):
        for element in (value, *meant(value, field._replace(type=field.element))):
            yield [element]


def _maps(value: object) -> Iterator[object]:
    """Of a list, as Kubernetes and compose files write variables."""
    found: dict[str, object] = {}
    for item in value if isinstance(value, list) else [value]:
        name, value_of = (item.get("name"), item.get("value", "")) if isinstance(item, dict) else (item, None)
        if isinstance(item, str) and "=" in item:
            name, _, value_of = item.partition("=")
        if not isinstance(name, str) or value_of is None:
            return
        found[name] = value_of if isinstance(value_of, str) else _json(value_of)
    yield found


def _messages(value: object, message: str) -> Iterator[object]:
    if isinstance(value, list) and len(value) == 1:
        yield value[0]
    elif isinstance(value, str) and message == "Input":
        yield {"pfs": {"repo": value, "glob": "/*"}}
    elif isinstance(value, bool):
        if value:
            yield {}
    elif isinstance(value, (str, int, float)) and message in _MAIN:
        yield {**_USUAL.get(message, {}), _MAIN[message]: value}


def _texts(value: object, name: str) -> Iterator[object]:
    if name in _JSON and isinstance(value, (dict, list)):
        yield _json(value)
    elif isinstance(value, dict):
        if isinstance(its_name := value.get("name"), str):
            yield its_name
        elif len(value) == 1:
            ((key, said),) = value.items()  # `- echo total: 3` is a mapping in YAML
            if isinstance(key, str) and " " in key and isinstance(said, str):
                yield f"{key}: {said}"
    elif isinstance(value, list):
        if len(value) == 1 and isinstance(value[0], str):
            yield value[0]
    elif isinstance(value, (bool, int, float)):
        yield _json(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=repr)


def _durations(value: object) -> Iterator[object]:
    """Of the seconds, of Go's form, such as "10m", which Pachyderm took up to 2.6, or of words, as in "2 days"; else an example."""
    if isinstance(value, str) and (found := _AMOUNT.fullmatch(value.strip())):
        yield proto_duration(float(found[1]) * _UNITS[found[2][0].lower()])
    try:
        seconds = parse_go_duration(value.strip()) if isinstance(value, str) else float(value) if isinstance(value, int) else 90.0
    except (Invalid, OverflowError):
        seconds = 90.0
    yield proto_duration(seconds)
    yield proto_duration(90.0)


def _numbers(value: object, *, whole: bool) -> Iterator[object]:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict) and len(value) == 1:
        (value,) = value.values()
    if isinstance(value, str):
        text = re.sub(r"(?<=\d)[_, ](?=\d{3})|[bB]$", "", value.strip())
        try:
            number: Decimal | float = quantity(text)
        except Invalid:
            return
        exact = int(number) if number == int(number) else float(number)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        exact = value
    else:
        return
    if not whole or isinstance(exact, int):
        yield exact


def name_hint(message: str, key: str, present: Collection[str]) -> str:
    """What to write for a name that no field of a message has, where `present` are the names that are given already."""
    name = re.sub("([a-z0-9])([A-Z])", r"\1_\2", key).lower().replace("-", "_")
    names = {field.name.lower(): field.name for field in MESSAGES[message]}
    near = [names[found] for found in difflib.get_close_matches(name, names, 3) if names[found] not in present]
    if near:
        return f'did you mean "{near[0]}"?'
    others = sorted((path for path, field in rows() if field.name == name and path != name), key=lambda path: path.count("."))
    if elsewhere := others[:_SHOWN_PATHS]:
        return f"{name} belongs elsewhere: {' or '.join(elsewhere)}"
    return f"the fields here are {', '.join(names.values())}" if len(names) <= _LISTED else "`local_runner explain spec` lists all fields"
