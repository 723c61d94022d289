"""From the texts in `protos/` to one descriptor set: what `protoc` would make of them, so that nobody needs it.

`python -m local_runner.server.proto_text` writes `pachyderm.binpb` anew; a test says when that was forgotten. Only what the texts use is
understood: messages, enums, oneofs, maps, services and imports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROTOS = Path(__file__).parent / "protos"
BINARY = Path(__file__).parent / "pachyderm.binpb"

_TOKEN = re.compile(r'//[^\n]*|"([^"\n]*)"|[A-Za-z_][\w.]*|-?\d+|[{}()<>=;,]')
_NUMBERS = ("double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool", "string")
_SCALARS = {name: number for number, name in enumerate(_NUMBERS, 1)} | {"bytes": 12, "uint32": 13}
_MESSAGE, _ENUM = 11, 14
_ONE, _MANY = 1, 3


class _Text:
    """The tokens of one text, read from front to back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        found = (match[0] for match in _TOKEN.finditer(path.read_text()))
        self._tokens = [token for token in found if not token.startswith("//")]
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._tokens)

    def next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def take(self, *wanted: str) -> bool:
        """Step over these tokens, if they are the next ones."""
        if self._tokens[self._at : self._at + len(wanted)] != list(wanted):
            return False
        self._at += len(wanted)
        return True

    def expect(self, wanted: str) -> None:
        found = self.next()
        if found != wanted:
            raise ValueError(f"{self._path.name}: expected {wanted!r}; got {found!r}")

    def until(self, end: str) -> Iterator[str]:
        while not self.take(end):
            yield self.next()


def compile_texts(folder: Path = PROTOS) -> Any:
    """The FileDescriptorSet of all texts in a folder, each after what it imports. Raises `ValueError` for what it does not understand."""
    from google.protobuf import descriptor_pb2

    files = {path.name: _read(_Text(path), path.name) for path in sorted(folder.glob("*.proto"))}
    kinds = {name: kind for file in files.values() for name, kind in _names(file)}
    found, done = descriptor_pb2.FileDescriptorSet(), set[str]()

    def add(name: str) -> None:
        if name in done or name not in files:
            return
        done.add(name)
        for imported in files[name].dependency:
            add(imported)
        for message in files[name].message_type:
            _resolve(message, f"{files[name].package}.{message.name}", kinds)
        for method in (method for service in files[name].service for method in service.method):
            method.input_type = _absolute(method.input_type, files[name].package, kinds)
            method.output_type = _absolute(method.output_type, files[name].package, kinds)
        found.file.append(files[name])

    for name in files:
        add(name)
    return found


def _read(text: _Text, name: str) -> Any:
    from google.protobuf import descriptor_pb2

    file = descriptor_pb2.FileDescriptorProto(name=name, syntax="proto3")
    while text:
        word = text.next()
        if word == "syntax":
            text.expect("=")
            text.expect('"proto3"')
            text.expect(";")
        elif word == "package":
            file.package = text.next()
            text.expect(";")
        elif word == "import":
            file.dependency.append(text.next().strip('"'))
            text.expect(";")
        elif word == "message":
            _read_message(text, file.message_type.add(name=text.next()))
        elif word == "enum":
            _read_enum(text, file.enum_type.add(name=text.next()))
        elif word == "service":
            _read_service(text, file.service.add(name=text.next()))
        else:
            raise ValueError(f"{name}: {word!r} is not understood")
    return file


def _read_message(text: _Text, message: Any) -> None:
    text.expect("{")
    for word in text.until("}"):
        if word == "message":
            _read_message(text, message.nested_type.add(name=text.next()))
        elif word == "enum":
            _read_enum(text, message.enum_type.add(name=text.next()))
        elif word == "oneof":
            message.oneof_decl.add(name=text.next())
            text.expect("{")
            for kind in text.until("}"):
                _read_field(text, message, kind).oneof_index = len(message.oneof_decl) - 1
        elif word == "map":
            _read_map(text, message)
        elif word == "repeated":
            _read_field(text, message, text.next()).label = _MANY
        else:
            _read_field(text, message, word)


def _read_field(text: _Text, message: Any, kind: str) -> Any:
    field = message.field.add(name=text.next(), label=_ONE)
    text.expect("=")
    field.number = int(text.next())
    text.expect(";")
    _set_type(field, kind)
    return field


def _set_type(field: Any, kind: str) -> None:
    """Whether a name is that of a message or an enum is known when all texts are read."""
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type_name = kind


def _read_map(text: _Text, message: Any) -> None:
    """A map is a list of entries, each a message of its own."""
    text.expect("<")
    key = text.next()
    text.expect(",")
    value = text.next()
    text.expect(">")
    field = _read_field(text, message, "?")
    words = field.name.split("_")
    entry = message.nested_type.add(name="".join(word[:1].upper() + word[1:] for word in words) + "Entry")
    entry.options.map_entry = True
    for number, (name, kind) in enumerate((("key", key), ("value", value)), 1):
        _set_type(entry.field.add(name=name, number=number, label=_ONE), kind)
    field.label, field.type_name = _MANY, entry.name


def _read_enum(text: _Text, enum: Any) -> None:
    text.expect("{")
    for name in text.until("}"):
        text.expect("=")
        enum.value.add(name=name, number=int(text.next()))
        text.expect(";")


def _read_service(text: _Text, service: Any) -> None:
    text.expect("{")
    for word in text.until("}"):
        if word != "rpc":
            raise ValueError(f"service {service.name}: {word!r} is not understood")
        method = service.method.add(name=text.next())
        text.expect("(")
        method.client_streaming = text.take("stream")
        method.input_type = text.next()
        text.expect(")")
        text.expect("returns")
        text.expect("(")
        method.server_streaming = text.take("stream")
        method.output_type = text.next()
        text.expect(")")
        text.expect(";")


# -- names -------------------------------------------------------------------------------------------------------------


def _names(file: Any) -> Iterator[tuple[str, int]]:
    """Each message and enum of a file with its kind."""
    yield from ((f"{file.package}.{enum.name}", _ENUM) for enum in file.enum_type)
    for message in file.message_type:
        yield from _names_below(message, f"{file.package}.{message.name}")


def _names_below(message: Any, name: str) -> Iterator[tuple[str, int]]:
    yield name, _MESSAGE
    yield from ((f"{name}.{enum.name}", _ENUM) for enum in message.enum_type)
    for nested in message.nested_type:
        yield from _names_below(nested, f"{name}.{nested.name}")


def _resolve(message: Any, name: str, kinds: dict[str, int]) -> None:
    for nested in message.nested_type:
        _resolve(nested, f"{name}.{nested.name}", kinds)
    for field in message.field:
        if field.type_name:
            field.type_name = _absolute(field.type_name, name, kinds)
            field.type = kinds.get(field.type_name[1:], _MESSAGE)


def _absolute(name: str, scope: str, kinds: dict[str, int]) -> str:
    """A name as seen from within a message or package, in full: the innermost that fits."""
    if name.startswith("google.protobuf."):
        return f".{name}"
    parts = scope.split(".")
    for length in range(len(parts), -1, -1):
        full = ".".join((*parts[:length], name))
        if full in kinds:
            return f".{full}"
    raise ValueError(f"{scope}: there is no {name}")


if __name__ == "__main__":
    BINARY.write_bytes(compile_texts().SerializeToString(deterministic=True))
