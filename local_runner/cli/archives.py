"""Reads tar archives for `put file --untar`: what is damaged or cut says so, by archive and member, and nothing of it is put."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from lzma import LZMAError
from typing import IO, BinaryIO, cast

from local_runner.cli.output import note
from local_runner.cli.sources import cannot_open
from local_runner.errors import Invalid

_ENDINGS = (".tar", ".tar.gz", ".tgz")
_BLOCK = 512
_DAMAGED = (tarfile.TarError, zlib.error, LZMAError, EOFError, ValueError, OverflowError)


def is_archive(source: str) -> bool:
    return source.endswith(_ENDINGS)


def untar(source: str, stack: ExitStack) -> Iterator[tuple[str, BinaryIO]]:
    """(path, content) of the files in an archive; names are taken as they are.

    A link to a file of the archive is that file once more; pipes and devices are left out, with a word. Raises `Invalid`, also at the
    end of an archive that is cut, and while a content is read.
    """
    try:
        archive = stack.enter_context(tarfile.open(source))  # noqa: SIM115 - the stack closes it
    except _DAMAGED as error:
        raise Invalid(f"{source} is no tar archive: {error}") from None
    except OSError as error:
        raise cannot_open(source, error) from None
    with _readable(source):
        for member in archive:
            if member.isdir():
                continue
            if not (member.isreg() or member.islnk() or member.issym()):
                note(f"left out: {member.name} in {source} is no file")
                continue
            yield f"/{member.name.removeprefix('/')}", cast(BinaryIO, _Member(source, member.name, _content(archive, member, source)))
        _check_end(archive, source)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, source: str) -> IO[bytes]:
    try:
        content = archive.extractfile(member)
    except (KeyError, RecursionError):
        content = None
    if content is None:
        message = f"{source}: {member.name} is a link to {member.linkname}, which is no file of the archive"
        raise Invalid(message, hint="tar -h archives what links lead to")
    return content


def _check_end(archive: tarfile.TarFile, source: str) -> None:
    """Check that an archive ends with a block of zeros, and so was not cut. Raises `Invalid`."""
    file = archive.fileobj
    assert file
    file.seek(archive.offset)
    block = file.read(_BLOCK)
    if len(block) < _BLOCK or any(block):
        raise Invalid(f"{source} is {'damaged' if len(block) == _BLOCK else 'cut'} after {archive.offset} bytes", hint="make it again")
    while file.read(1 << 20):  # the sums of a compressed archive stand at its end
        pass


@contextmanager
def _readable(source: str, member: str = "") -> Iterator[None]:
    where = f"{source}: {member}" if member else source
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise Invalid(f"{where}: {error.strerror}") from None
        raise _damaged(where, error) from None  # a sum that is wrong
    except _DAMAGED as error:
        raise _damaged(where, error) from None


def _damaged(where: str, error: Exception) -> Invalid:
    return Invalid(f"{where}: the archive is damaged: {error}", hint="make it again")


class _Member:
    """The content of a member."""

    def __init__(self, source: str, name: str, content: IO[bytes]) -> None:
        self._source, self._name, self._content = source, name, content

    def read(self, size: int = -1) -> bytes:
        with _readable(self._source, self._name):
            return self._content.read(size)
