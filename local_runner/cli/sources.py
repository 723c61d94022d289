"""Opens the sources of commands: local files, folders, archives, standard input and URLs (reference pfs 1.11)."""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, cast

from local_runner.cli.output import note
from local_runner.errors import Invalid, NotFound, Refused, Unavailable, Unsupported
from local_runner.storage.home import home_around, is_home

STDIN = "-"

_SMALL = 64 * 1024  # bytes that are read at once: the usual file then costs four calls of the system, not nine

_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")


def is_url(source: str) -> bool:
    return _URL.match(source) is not None


def read_text(source: str) -> str:
    """The whole text of a file, a URL or, for "-", of standard input. Raises `NotFound`, `Invalid` or `Unavailable`."""
    if source == STDIN and sys.stdin.isatty():
        note("Reading from stdin.")
    try:
        with ExitStack() as stack:
            content = open_binary(source, stack).read()
    except OSError as error:
        raise cannot_open(source, error) from None
    except ValueError as error:  # no file can be called so
        raise Invalid(f"open {source!a}: {error}") from None
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f'"{source}" is no UTF-8 text: {error.reason} at byte {error.start}', hint="iconv converts it") from None


def open_binary(source: str, stack: ExitStack) -> BinaryIO:
    """A file, URL or standard input as a stream that is closed with the stack. Raises `OSError` for what is no readable file."""
    if source == STDIN:
        with contextlib.suppress(ValueError):  # a stream of a test has no descriptor
            os.read(sys.stdin.fileno(), 0)
        return sys.stdin.buffer
    if is_url(source):
        return _open_url(source, stack)
    return stack.enter_context(open(source, "rb"))


def stream(source: str, stack: ExitStack) -> BinaryIO:
    """Open a source as `open_binary` does, with errors in words. Raises `NotFound`, `Invalid` or `Unavailable`."""
    try:
        return open_binary(source, stack)
    except OSError as error:
        raise cannot_open(source, error) from None


def local_content(source: str, stack: ExitStack) -> bytes | Path | BinaryIO:
    """A small regular file as its bytes, a large one as its path, for the store to copy; what else can be read (a pipe, a device) as a
    stream. Raises `NotFound` or `Invalid`.
    """
    try:
        status = os.stat(source)
        if stat.S_ISDIR(status.st_mode):
            raise _no_file(source)
        if not stat.S_ISREG(status.st_mode):
            return open_binary(source, stack)
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if status.st_size <= _SMALL:
                content = os.read(descriptor, _SMALL + 1)
                if len(content) == status.st_size:  # else it is none that knows its size, as under /proc
                    return content
        finally:
            os.close(descriptor)
        return Path(source)
    except OSError as error:
        raise cannot_open(source, error) from None
    except ValueError as error:
        raise Invalid(f"open {source!a}: {error}") from None


def _no_file(folder: str) -> Invalid:
    """The error for a folder where a file was expected."""
    if os.path.islink(folder):
        return Invalid(f"read {folder}: is a directory", hint=f"-r follows no link to a folder; name the link itself: -r -f {folder}")
    return Invalid(f"read {folder}: is a directory", hint="put a folder with -r")


def cannot_open(source: str, error: OSError) -> NotFound | Invalid:
    """The error for a file that could not be opened."""
    name = "standard input" if source == STDIN else f'path "{source}"'
    message = f"could not open {name}: {(error.strerror or str(error)).lower()}"
    if isinstance(error, FileNotFoundError) and os.path.islink(source):
        there = f"it is a link to {os.readlink(source)}, which is not there"
        return NotFound(message, hint=f"{there}: mend the link, or take it away")
    if isinstance(error, FileNotFoundError):
        return NotFound(message, hint=f"paths are taken from {Path.cwd()}")
    return Invalid(message)


def _open_url(url: str, stack: ExitStack) -> BinaryIO:
    scheme = url.partition("://")[0].lower()
    if scheme not in ("http", "https"):
        raise Unsupported(f"cannot read {scheme} URLs: {url}", hint="fetch it with the store's own client, and put the local file")
    import urllib.request  # 30 ms
    from urllib.error import URLError

    try:
        return cast(BinaryIO, stack.enter_context(urllib.request.urlopen(url)))
    except (URLError, ValueError) as error:
        why = getattr(error, "reason", error)
        why = (isinstance(why, OSError) and why.strerror) or why
        raise Unavailable(f"error retrieving content from {url}: {why}", hint="fetch it by other means, and name the local file") from None


def targets(path: str, sources: Sequence[str], recursive: bool, full_path: bool) -> list[tuple[str, str]]:
    """(path in the repo, source) for each source of `put file`, where `path` is what was typed after the colon.

    Paths are cleaned as they were typed, so that `../a` goes on to be refused, and `/../a` is `/a`.
    Raises `Invalid` where a name is missing.
    """
    found = []
    for source in sources:
        name = source if full_path else _base(source)
        if not path:
            if source == STDIN:
                raise Invalid("must specify filename when reading data from stdin", hint="write repo@branch:/name")
            target = _joined("", name)
        elif len(sources) > 1 or (recursive and full_path) or (not recursive and path.endswith("/")):
            target = _joined(path, name)
        else:
            target = path
        cleaned = posixpath.normpath(target)
        found.append(("/" if recursive and cleaned == "." else "/" + cleaned.lstrip("/"), source))
    return found


def _base(source: str) -> str:
    return posixpath.basename(posixpath.normpath(source))


def _joined(prefix: str, name: str) -> str:
    """The path of a source below a prefix; of a URL, without scheme and host."""
    if is_url(name):
        name = name.partition("://")[2].partition("/")[2]
    return f"{prefix}/{name}" if prefix else name


def walk(source: str, target: str) -> Iterator[tuple[str, str]]:
    """(path in the repo, file) for every file of a folder, in order of names; for a file, itself. Links to folders are not followed.

    Pipes, sockets and devices are left out, with a word, as reading them may never end; and so are homes, with all their files.
    """
    source = posixpath.normpath(source)
    if not os.path.isdir(source):
        if not os.path.lexists(source):
            raise NotFound(f"{source} doesn't exist", hint=f"paths are taken from {Path.cwd()}")
        yield target, source
        return
    todo = [(target, source, True)]
    while todo:
        inside, path, is_folder = todo.pop()
        if is_folder and is_home(path):
            note(f"left out: {path} is a home of this runner")
        elif is_folder:
            with os.scandir(path) as entries:
                found = sorted(entries, key=attrgetter("name"), reverse=True)
            todo += [(f"{inside.rstrip('/')}/{entry.name}", entry.path, entry.is_dir(follow_symlinks=False)) for entry in found]
        elif what := _endless(path):
            note(f"left out: {path} is {what}")
        else:
            yield inside, path


def check_is_data(sources: Sequence[str]) -> None:
    """Raises `Refused` for a source that is part of a home: what this runner writes down never becomes data."""
    for source in sources:
        home = None if source == STDIN or is_url(source) else home_around(source)
        if home:
            raise Refused(f"{source} belongs to the home {home}, whose files are no data", hint="copy it elsewhere, and put the copy")


def _endless(path: str) -> str:
    """What a path is that is neither file nor folder ("a pipe", "a device"); "" if it is one of those or missing."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return ""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return ""
    return "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
