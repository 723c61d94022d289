"""Points as files: one JSON file a point, named by its content."""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any

from local_runner.errors import Invalid
from local_runner.model.space import Point, canonical, text_of

_NAME = re.compile(r"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])")
_DIGITS = 16


def name_of(point: Point) -> str:
    """The name of a point: the first 16 digits of the SHA-256 of its JSON."""
    return hashlib.sha256(text_of(point).encode()).hexdigest()[:_DIGITS]


def named_in(path: str) -> str:
    """The name of the point that a path is about: the one in it that looks like one; "" if there is none, or several."""
    found = set(_NAME.findall(path))
    return found.pop() if len(found) == 1 else ""


def path_of(folder: str, name: str) -> str:
    """Where a point lies in its repo; `folder` is that of its set of folds, "" without folds."""
    return f"/{folder}/{name}.json" if folder else f"/{name}.json"


def content_of(point: Point) -> bytes:
    return f"{text_of(point)}\n".encode()


def read_point(content: bytes, where: str) -> Point:
    """A point from its file. Raises `Invalid` that names the file, and the field."""
    try:
        document: Any = json.loads(content)
    except ValueError as error:
        raise Invalid(f"{where}: it is no JSON: {error}", hint='a point is written as {"C": 1, "gamma": 0.1}') from None
    if not isinstance(document, dict):
        raise Invalid(f"{where}: expected an object", hint='a point is written as {"C": 1, "gamma": 0.1}')
    for name, value in document.items():
        if not isinstance(value, (str, int, float, bool)) or (isinstance(value, float) and not math.isfinite(value)):
            raise Invalid(f"{where}: {name}: expected a number, a text or true or false")
    return {name: canonical(value) for name, value in document.items()}
