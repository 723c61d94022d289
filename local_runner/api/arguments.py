"""Checks the types of arguments of the Python API, so that a wrong one is named when the method is called."""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from local_runner.errors import Invalid

_Class = TypeVar("_Class", bound=type)
_SHOWN = 60  # characters of a wrong value in a message
_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "True or False", types.NoneType: "None"}


def checked(cls: _Class) -> _Class:
    """A class whose public methods, its own and those it inherits, raise `Invalid` for an argument that is not what is annotated."""
    for name in dir(cls):
        method = inspect.getattr_static(cls, name)
        if not name.startswith("_") and inspect.isfunction(method):
            setattr(cls, name, _checked_method(method))
    return cls


def check_argument(name: str, value: object, annotation: Any) -> None:
    """Raises `Invalid` that names the argument, or the part of it, that is of another type."""
    fault = _fault(value, annotation, name)
    if fault is not None:
        at, found, wanted = fault
        raise Invalid(f"{at}: expected {wanted}; got {_shown(found)}", hint=_hint(wanted))


def _checked_method(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        wanted = _looked_at(method)
        given = dict(zip(wanted.positional, args, strict=False)) | kwargs
        if len(given) != len(args) + len(kwargs) or not wanted.needed <= given.keys() <= wanted.known:
            given = _bound(method, wanted.signature, args, kwargs)
        for name, value in given.items():
            if type(value) not in wanted.plain.get(name, _ANY):
                check_argument(name, value, wanted.annotations[name])
        return method(*args, **kwargs)

    return call


def _bound(method: Callable[..., Any], signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name. Raises `Invalid` for a call that does not fit."""
    try:
        return signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        raise Invalid(f"{method.__name__}: {error}") from None


class _Anything:
    """A set that has everything in it."""

    def __contains__(self, kind: object) -> bool:
        return True


_ANY: Container[type] = _Anything()


class _Wanted(NamedTuple):
    """What is known of a method: those of its arguments that can stand without a name, must be given, and may be; their types; and by
    argument the types whose values need no closer look."""

    signature: inspect.Signature
    positional: tuple[str, ...]
    needed: frozenset[str]
    known: frozenset[str]
    annotations: Mapping[str, Any]
    plain: Mapping[str, frozenset[type]]


@functools.cache
def _looked_at(method: Callable[..., Any]) -> _Wanted:
    """What is known of a method, computed at its first call (0.1 ms)."""
    # What it returns may be named for type checkers only.
    arguments = types.SimpleNamespace(__annotations__={name: hint for name, hint in method.__annotations__.items() if name != "return"})
    signature, names = inspect.signature(method), inspect.unwrap(method).__globals__
    annotations = typing.get_type_hints(arguments, names, _Elsewhere())
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            annotations[name] = types.GenericAlias(Sequence, (annotations[name],))
    parameters = signature.parameters.values()
    return _Wanted(
        signature,
        tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)),
        frozenset(p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)),
        frozenset(signature.parameters),
        annotations,
        {name: frozenset(_plain(annotation)) for name, annotation in annotations.items()},
    )


def _plain(annotation: Any) -> Iterator[type]:
    """The types of an annotation whose values fit as they are: no collection, no protocol, and nothing with parts."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        for choice in typing.get_args(annotation):
            yield from _plain(choice)
        return
    is_collection = annotation in _COLLECTIONS or typing.get_origin(annotation) is not None
    if isinstance(annotation, type) and not (is_collection or getattr(annotation, "_is_protocol", False) or _parts_of(annotation)):
        yield annotation


class _Elsewhere(dict[str, Any]):
    """Types that the API names for type checkers only, as they take long to import: fetched when a method is called that needs them."""

    _MODULES = types.MappingProxyType(
        {
            "Changes": "local_runner.project.update",
            "Executor": "local_runner.executors.base",
            "FileChange": "local_runner.planning.plan",
            "Forecast": "local_runner.project.dry_run",
            "FoundDatum": "local_runner.engine.datum_lookup",
            "Project": "local_runner.project.file",
            "SearchSettings": "local_runner.project.search",
        }
    )

    def __missing__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._MODULES[name]), name)


Fault = tuple[str, object, str]  # where, what is there, and what was expected


def _fault(value: object, annotation: Any, at: str) -> Fault | None:
    if annotation is Any or isinstance(annotation, TypeVar):
        return None
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        return _fault_of_union(value, inner, at)
    kind = origin or annotation
    # A number may be whole; True is none. A text is a sequence of letters, which is never meant.
    if getattr(kind, "_is_protocol", False):
        return None if _has_members(value, kind) else (at, value, _words(annotation))
    fits = isinstance(value, (int, float) if kind is float else kind) and not (kind in (int, float) and isinstance(value, bool))
    if not fits or (isinstance(value, (str, bytes)) and kind in _COLLECTIONS):
        return at, value, _words(annotation)
    if kind in _COLLECTIONS:
        if not isinstance(value, collections.abc.Collection):  # an iterator: a look would use it up
            return None
        return _first(_fault(item, inner[0], f"{at}[{number}]") for number, item in enumerate(typing.cast(Any, value)) if inner)
    if kind is collections.abc.Mapping and inner:
        return _first(_fault(key, inner[0], f"a key of {at}") or _fault(item, inner[1], f"{at}.{key}") for key, item in _items(value))
    return _fault_of_parts(value, kind, at)


def _has_members(value: object, protocol: type) -> bool:
    """Whether a value has all that a protocol asks for, as far as names go."""
    members = {name for base in protocol.__mro__ for name in (*vars(base), *getattr(base, "__annotations__", ())) if base is not object}
    return all(hasattr(value, name) for name in members if not name.startswith("_"))


def _fault_of_union(value: object, choices: tuple[Any, ...], at: str) -> Fault | None:
    faults = [_fault(value, choice, at) for choice in choices]
    if None in faults:
        return None
    # The one that fits on the outside has the better word about what is wrong inside.
    inside = next((fault for fault in faults if fault and fault[0] != at), None)
    return inside or (at, value, " or ".join(_words(choice) for choice in choices))


def _fault_of_parts(value: object, kind: type, at: str) -> Fault | None:
    """The first field of a reference or query that is of another type; None if there is none."""
    parts = _parts_of(kind)
    return _first(_fault(getattr(value, name), hint, f"{at}.{name}") for name, hint in parts) if parts else None


@functools.cache
def _parts_of(kind: type) -> tuple[tuple[str, Any], ...]:
    """The fields of a named tuple or dataclass with their types; none of anything else. Looking them up takes 0.2 ms."""
    if not (issubclass(kind, tuple) or dataclasses.is_dataclass(kind)) or kind is tuple:
        return ()
    hints = typing.get_type_hints(kind, None, _Elsewhere())
    names = [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else getattr(kind, "_fields", ())
    return tuple((name, hints[name]) for name in names)


_COLLECTIONS = (Sequence, collections.abc.Iterable, collections.abc.Collection, list)


def _items(value: object) -> list[tuple[Any, Any]]:
    return list(typing.cast("collections.abc.Mapping[Any, Any]", value).items())


def _first(faults: collections.abc.Iterable[Fault | None]) -> Fault | None:
    return next((fault for fault in faults if fault is not None), None)


def _words(annotation: Any) -> str:
    if annotation in _WORDS:
        return _WORDS[annotation]
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(map(_words, inner))
    if origin in _COLLECTIONS:
        return f"a list, each {_words(inner[0])}"
    if origin is collections.abc.Mapping:
        return "an object (a dict)"
    name = getattr(origin or annotation, "__name__", str(annotation))
    return f"{'an' if name[0] in 'AEIO' else 'a'} {name}"


def _hint(wanted: str) -> str:
    made = [name for name in ("Repo", "Branch", "Commit", "File") if name in wanted]
    return f"parse_{made[0].lower()}(TEXT) of local_runner.model.refs makes one" if made else ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
