"""Legal names of projects, repos, branches, pipelines and paths (reference pfs 1.1, 1.6)."""

from __future__ import annotations

import posixpath
import re

from local_runner.errors import Invalid

DEFAULT_PROJECT = "default"
PROJECT_LENGTH = 51  # Kubernetes allows 63; "-v99" and a separator are Pachyderm's

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_UUID4 = re.compile(r"[0-9a-f]{12}4[0-9a-f]{19}")
_PATH_OK = re.compile(r"[\x20-\x7e]*")
_GLOBBING = re.compile(r"[*?\[\]{}!()@+^]")


def is_id(text: str) -> bool:
    """Whether the text is a commit, commit set or job id: a UUID version 4 without dashes."""
    return _UUID4.fullmatch(text) is not None


def is_text(text: str) -> bool:
    """Whether it can be written as UTF-8: bytes that are none are halves of surrogate pairs in Python."""
    return text.isascii() or text.encode(errors="replace") == text.encode(errors="ignore")


def check_text(text: str) -> str:
    """Text as it is, if it can be stored. Raises `Invalid`."""
    if not is_text(text):
        raise Invalid(f"{text!a:.80} is no UTF-8 text")
    return text


def check_name(name: str) -> str:
    """The name of a repo, branch or pipeline, as it is. Raises `Invalid`."""
    if not _NAME.fullmatch(name):
        raise Invalid(f"name ({name}) invalid: only alphanumeric characters, underscores, and dashes are allowed")
    return name


def check_project(name: str) -> str:
    """The name of a project, as it is. Raises `Invalid`."""
    check_name(name)
    if len(name) > PROJECT_LENGTH:
        raise Invalid(f'project name "{name}" is {len(name) - PROJECT_LENGTH} characters longer than the {PROJECT_LENGTH} max')
    if not name[0].isalnum():
        raise Invalid(f"project names must start with an alphanumeric character: {name}")
    return name


def check_branch(name: str) -> str:
    """The name of a branch, as it is. Raises `Invalid`; a branch must not look like an id."""
    check_name(name)
    if is_id(name):
        raise Invalid(f"branch name cannot be a UUID V4: {name}")
    return name


def clean_path(path: str) -> str:
    """A path with one leading slash, without trailing slash, `.` and `..` resolved; "" and "." are "/"."""
    cleaned = posixpath.normpath("/" + path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def check_path(path: str) -> str:
    """A path a file may be stored under, as it is. Raises `Invalid` (reference pps 1.5, File names)."""
    if not _PATH_OK.fullmatch(path):
        raise Invalid(f"path ({repr(path)[1:-1]}) invalid: only printable ASCII characters are allowed", hint="give it another name")
    found = _GLOBBING.search(path)
    if found:
        raise Invalid(f"path ({path}) invalid: globbing character ({found.group()}) not allowed in path", hint="give it another name")
    # POSIX lets two leading slashes stand.
    if posixpath.normpath(path) != path or not path.startswith("/") or path.startswith("//"):
        raise Invalid(f"path ({path}) invalid: relative file paths are not allowed")
    return path
