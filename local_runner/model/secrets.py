"""Reads Kubernetes secret documents (reference pps 5.1)."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from local_runner.errors import Invalid

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_FORM = 'it has the form {"metadata": {"name": "…"}, "stringData": {"key": "value"}}'
_LONGEST_NAME = 253
_MOST_BYTES = 1 << 20  # of all values, as in Kubernetes


def read_secret(text: bytes) -> dict[str, Any]:
    """A secret from its JSON. Raises `Invalid`."""
    try:
        found = json.loads(text)
    except RecursionError:
        raise Invalid("secret: it is nested too deeply", hint=_FORM) from None
    except ValueError as error:
        raise Invalid(f"secret: no JSON: {error}", hint=_FORM) from None
    if not isinstance(found, dict):
        raise Invalid("secret: it is no JSON object", hint=_FORM)
    return found


def check_secret(document: Mapping[str, Any]) -> str:
    """The name of a secret that may be kept. Raises `Invalid`, which names the field."""
    kind = document.get("kind", "Secret")
    if kind != "Secret":
        raise _invalid("kind", f"{kind!r} is not Secret")
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not name:
        raise _invalid("metadata.name", "a secret needs one")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        hint = f"small letters, digits, - and . within, at most {_LONGEST_NAME} of them"
        raise _invalid("metadata.name", f"{name!r} is no name of a secret", hint)
    if sum(map(len, values_of(document).values())) > _MOST_BYTES:
        raise _invalid("data", f"it holds more than {_MOST_BYTES} bytes")
    return name


def values_of(document: Mapping[str, Any]) -> dict[str, bytes]:
    """The values of a secret by key; each key can be a file name. Raises `Invalid`, which names the field."""
    found = {key: _decoded(field, value) for field, key, value in _entries(document, "data")}
    for field, key, value in _entries(document, "stringData"):
        try:
            found[key] = value.encode()
        except UnicodeEncodeError:
            raise _invalid(field, "its text cannot be written as UTF-8") from None
    return found


def _entries(document: Mapping[str, Any], name: str) -> Iterator[tuple[str, str, str]]:
    """(field, key, text) of one of its maps."""
    entries = document.get(name)
    if entries is None:
        return
    if not isinstance(entries, Mapping):
        raise _invalid(name, "it has to be an object: key to text")
    for key, value in entries.items():
        field = f"{name}[{key}]"
        if not isinstance(key, str) or not _KEY.fullmatch(key) or key == "." or key.startswith("..") or len(key) > _LONGEST_NAME:
            hint = f"letters, digits, -, _ and ., at most {_LONGEST_NAME}, not beginning with .."
            raise _invalid(field, f"{key!r} is no name of a file", hint)
        if not isinstance(value, str):
            raise _invalid(field, f"it has to be a text, and is {'null' if value is None else type(value).__name__}")
        yield field, key, value


def _decoded(field: str, text: str) -> bytes:
    try:
        # Line ends are passed over, as by Kubernetes; anything else that is no base64 is not.
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        raise _invalid(field, "it is no base64", "encode it, or write it under stringData as it is") from None


def _invalid(field: str, what: str, hint: str = "") -> Invalid:
    return Invalid(f"secret: {field}: {what}", hint=hint)
