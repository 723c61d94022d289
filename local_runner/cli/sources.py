"""Where the content of commands comes from: local files, folders, archives, standard input and the web (reference pfs 1.11)."""

from __future__ import annotations

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

from local_runner.errors import Invalid, NotFound, Unavailable, Unsupported

STDIN = "-"

_SMALL = 64 * 1024  # bytes that are read at once: the usual file then costs four calls of the system, not nine

_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")


def is_url(source: str) -> bool:
    return _URL.match(source) is not None


def read_text(source: str) -> str:
    """The whole text of a file, a URL or, for "-", of standard input. Raises `NotFound`, `Invalid` or `Unavailable`."""
    if source == STDIN and sys.stdin.isatty():
        print("Reading from stdin.", file=sys.stderr)
    try:
        with ExitStack() as stack:
            content = open_binary(source, stack).read()
    except OSError as error:
        raise cannot_open(source, error) from None
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f'"{source}" is no UTF-8 text: {error.reason} at byte {error.start}') from None


def open_binary(source: str, stack: ExitStack) -> BinaryIO:
    """A file, URL or standard input as a stream that is closed with the stack. Raises `OSError` for what is no readable file."""
    if source == STDIN:
        return sys.stdin.buffer
    if is_url(source):
        return _open_url(source, stack)
    return stack.enter_context(open(source, "rb"))


def local_content(source: str, stack: ExitStack) -> bytes | Path | BinaryIO:
    """A small regular file as its bytes, a large one as its path, for the store to copy; what else can be read (a pipe, a device) as a
    stream. Raises `NotFound` or `Invalid`.
    """
    try:
        status = os.stat(source)
        if stat.S_ISDIR(status.st_mode):
            raise Invalid(f"read {source}: is a directory", hint="put a folder with -r")
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
        raise Invalid(f"open {source!r}: {error}") from None


def cannot_open(source: str, error: OSError) -> NotFound | Invalid:
    """What to say about a file that could not be opened."""
    message = f'could not open path "{source}": {(error.strerror or str(error)).lower()}'
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
        raise Unavailable(f"error retrieving content from {url}: {getattr(error, 'reason', error)}") from None


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
    """Below the prefix; of a URL, scheme and host do not count."""
    if is_url(name):
        name = name.partition("://")[2].partition("/")[2]
    return f"{prefix}/{name}" if prefix else name


def walk(source: str, target: str) -> Iterator[tuple[str, str]]:
    """(path in the repo, file) for every file of a folder, in order of names; for a file, itself. Links to folders are not followed."""
    source = posixpath.normpath(source)
    if not os.path.isdir(source):
        if not os.path.lexists(source):
            raise NotFound(f"{source} doesn't exist", hint=f"paths are taken from {Path.cwd()}")
        yield target, source
        return
    for entry in sorted(os.scandir(source), key=attrgetter("name")):
        inside = f"{target.rstrip('/')}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from walk(entry.path, inside)
        else:
            yield inside, entry.path


def untar(source: str, stack: ExitStack) -> Iterator[tuple[str, BinaryIO]]:
    """(path, content) of the files in a .tar, .tar.gz or .tgz; names are taken as they are. Raises `Invalid`."""
    import tarfile  # 15 ms

    try:
        archive = stack.enter_context(tarfile.open(source))  # noqa: SIM115 - the stack closes it
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                yield member.name if member.name.startswith("/") else f"/{member.name}", cast(BinaryIO, content)
    except tarfile.TarError as error:
        raise Invalid(f"{source} is no tar archive: {error}") from None
    except OSError as error:
        raise cannot_open(source, error) from None


def is_archive(source: str) -> bool:
    return source.endswith((".tar", ".tar.gz", ".tgz"))
