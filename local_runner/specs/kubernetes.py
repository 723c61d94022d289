"""Checks names that a cluster accepts and Kubernetes then refuses: of variables, folders, images and users.

One rule for each kind of name, the one of Kubernetes where it has one: names end in files, variables and command lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from local_runner.errors import SpecError
from local_runner.model.names import clean_path

Request = Mapping[str, Any]

_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_SECRET = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_IMAGE = re.compile(r"[a-zA-Z0-9][-._/:@+a-zA-Z0-9]*")
_USER = re.compile(r"[_a-zA-Z0-9][-._a-zA-Z0-9]*\$?(:[_a-zA-Z0-9][-._a-zA-Z0-9]*)?")
_ELEMENT = re.compile(r"[^/\x00-\x1f\x7f]+")  # of a path
_NO_PATH = re.compile(r"[:\x00-\x1f\x7f]")
_LONGEST, _LONGEST_USER = 253, 64

_VARIABLE_HINT = "letters, digits, _, - and . only, and no digit in front"


def name_errors(request: Request) -> Iterator[SpecError]:
    """The errors in the names of a spec, which is in `normal` form with snake_case names."""
    transform = request.get("transform", {})
    yield from _transform_errors(transform)
    for number, secret in enumerate(transform.get("secrets", ())):
        yield from _secret_errors(secret, f"transform.secrets[{number}]")
    yield from _input_errors(request.get("input", {}))


def is_variable(name: str) -> bool:
    """Whether an environment variable of a container may have this name, as Kubernetes decides."""
    return _VARIABLE.fullmatch(name) is not None and name != "." and not name.startswith("..")


def is_image(name: str) -> bool:
    """Whether an image may have this name, with or without registry, tag and digest."""
    return _IMAGE.fullmatch(name) is not None and len(name) <= _LONGEST


def _transform_errors(transform: Request) -> Iterator[SpecError]:
    for name, value in transform.get("env", {}).items():
        if not is_variable(name):
            yield _wrong(f"{name!a} is no name of an environment variable", "transform.env", _VARIABLE_HINT)
        if "\0" in value:
            yield _wrong(f"the value of {name} has a null character, which no variable can have", "transform.env", "leave it out")
    for field in ("cmd", "err_cmd"):
        for number, word in enumerate(transform.get(field, ())):
            if "\0" in word:
                yield _wrong("a null character, which no argument can have", f"transform.{field}[{number}]", "give it by stdin, or a file")
    image, user, folder = (transform.get(field, "") for field in ("image", "user", "working_dir"))
    if image and not is_image(image):
        yield _wrong(f"{image[:_LONGEST]!a} is no name of an image", "transform.image", "write it as in python:3.12 or ghcr.io/me/code:1")
    if user and (not _USER.fullmatch(user) or len(user) > _LONGEST_USER):
        yield _wrong(f"{user!a} is no name of a user", "transform.user", "a name or a number, as in nobody or 1000")
    if re.search(r"[\x00-\x1f\x7f]", folder):
        yield _wrong(f"{folder!a} is no path of a folder", "transform.working_dir", "write it as in /app")


def _secret_errors(secret: Request, at: str) -> Iterator[SpecError]:
    name, key, variable, place = (secret.get(field, "") for field in ("name", "key", "env_var", "mount_path"))
    if not _SECRET.fullmatch(name) or len(name) > _LONGEST:
        yield _wrong(f"{name!a} is no name of a secret", f"{at}.name", "small letters, digits, - and . within")
    if key and (not _KEY.fullmatch(key) or key == "." or key.startswith("..") or len(key) > _LONGEST):
        yield _wrong(f"{key!a} is no key of a secret", f"{at}.key", "letters, digits, -, _ and . only")
    if variable and not is_variable(variable):
        yield _wrong(f"{variable!a} is no name of an environment variable", f"{at}.env_var", _VARIABLE_HINT)
    if place:
        folder = clean_path(place)
        if _NO_PATH.search(place) or ".." in place.split("/"):
            yield _wrong(f"{place!a} is no path to mount a secret at", f"{at}.mount_path", "a path without .. and :, as in /secrets/key")
        elif folder == "/" or f"{folder}/".startswith("/pfs/"):
            yield _wrong(f"a secret cannot be mounted at {place}, in place of what is there", f"{at}.mount_path", "as in /secrets/key")


def _input_errors(node: Request, at: str = "input") -> Iterator[SpecError]:
    for kind in ("cross", "join", "group", "union"):
        for number, child in enumerate(node.get(kind, ())):
            yield from _input_errors(child, f"{at}.{kind}[{number}]")
    for kind in ("pfs", "cron"):
        name = node.get(kind, {}).get("name", "")
        if name and (not _ELEMENT.fullmatch(name) or name in (".", "..") or "=" in name or len(name.encode()) > _LONGEST):
            yield _wrong(
                f"an input cannot be called {name!a}, after which its folder and variable are", f"{at}.{kind}.name", "as in images"
            )


def _wrong(message: str, field: str, hint: str) -> SpecError:
    return SpecError(f"{field}: {message}", field=field, hint=hint)
