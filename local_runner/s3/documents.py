"""XML as S3 writes and reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias
from xml.parsers import expat
from xml.sax.saxutils import escape

from local_runner.s3.errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MAX_DOCUMENT = 2 * 1024 * 1024  # bytes of a document that a client sends: 1000 keys of 1024 bytes, and the tags around them
_MAX_DEPTH = 16
HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Value: TypeAlias = "str | int | bool | Sequence[Field]"  # the text of a tag, or the tags inside it
Field: TypeAlias = tuple[str, Value]


def write_document(name: str, fields: Value, *, namespace: bool = True) -> bytes:
    """A document whose root has this name."""
    attribute = f' xmlns="{NAMESPACE}"' if namespace else ""
    return HEAD + f"<{name}{attribute}>{_inside(fields)}</{name}>".encode()


def error_document(error: S3Error, resource: str = "", request_id: str = "") -> bytes:
    """What a client is told about an error."""
    fields: list[Field] = [("Code", error.code), ("Message", error.message), ("Resource", resource), ("RequestId", request_id)]
    return write_document("Error", fields, namespace=False)


def _inside(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return escape(_NOT_XML.sub("\ufffd", str(value)))
    return "".join(f"<{tag}>{_inside(inner)}</{tag}>" for tag, inner in value)


def timestamp(seconds: float) -> str:
    """A time as S3 writes it, in whole seconds: some clients cannot read fractions."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


@dataclass(slots=True)
class Element:
    """A tag of a document that was read: its name without namespace, its text, and the tags inside."""

    name: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, name: str) -> list[Element]:
        return [child for child in self.children if child.name == name]

    def value(self, name: str, default: str = "") -> str:
        """The text of the first tag of a name inside."""
        found = self.all(name)
        return found[0].text.strip() if found else default


def read_document(text: bytes, root: str) -> Element:
    """A document whose root must have this name. Raises `MalformedXML`, also for one that declares a type or entities."""
    stack = [Element("")]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(stack) > _MAX_DEPTH:
            raise S3Error("MalformedXML")
        element = Element(name.rpartition(" ")[2])
        stack[-1].children.append(element)
        stack.append(element)

    def end(name: str) -> None:
        stack.pop()

    def data(piece: str) -> None:
        stack[-1].text += piece

    def declared(*arguments: object) -> None:
        raise S3Error("MalformedXML", "A document with a DOCTYPE is not read.")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = declared
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, ValueError, LookupError):  # an encoding that nobody knows
        raise S3Error("MalformedXML") from None
    if stack[0].children[0].name != root:
        raise S3Error("MalformedXML", f"Expected a document {root}.")
    return stack[0].children[0]
