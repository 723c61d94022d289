"""Uploads in parts, at rest: a folder for each, with a file for each part, until all of them become one object."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from local_runner.model.ids import new_id
from local_runner.model.names import is_id
from local_runner.s3.bodies import PIECE, Checked
from local_runner.s3.errors import S3Error

_ABOUT = "about.json"
_PART = re.compile(r"(?P<number>\d{5})\.(?P<tag>[0-9a-f]{32})")
_KEPT_SECONDS = 7 * 24 * 3600  # since an upload was started; who began it has forgotten it


class Upload(NamedTuple):
    """An upload that is under way."""

    key: str
    id: str
    started: float
    bucket: str


class Part(NamedTuple):
    """A part that has come; its tag is the MD5 of its content, as in S3."""

    number: int
    tag: str
    path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def changed(self) -> float:
        return self.path.stat().st_mtime


class Uploads:
    """All uploads of a gateway, in a folder of its own. They outlive the gateway, but not a week. Safe for several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def start(self, bucket: str, key: str) -> Upload:
        upload = Upload(key, new_id(), time.time(), bucket)
        place = self._folder / upload.id
        place.mkdir(parents=True)
        draft = place / f".{_ABOUT}"
        draft.write_text(json.dumps(upload._asdict()))
        draft.rename(place / _ABOUT)
        return upload

    def find(self, id: str, bucket: str, key: str) -> Upload:
        """Raises `NoSuchUpload`, also for one of another object."""
        found = self._read(self._folder / id) if is_id(id) else None
        if found is None or (found.bucket, found.key) != (bucket, key):
            raise S3Error("NoSuchUpload")
        return found

    def all(self, bucket: str) -> list[Upload]:
        """Uploads to a bucket, by key and id."""
        places = self._folder.iterdir() if self._folder.is_dir() else ()
        return sorted(upload for upload in map(self._read, places) if upload and upload.bucket == bucket)

    def take(self, upload: Upload, number: int, source: Checked) -> Part:
        """Write a part, in place of the one of that number. What breaks off on the way leaves nothing."""
        try:
            descriptor, name = tempfile.mkstemp(prefix=".part-", dir=self._folder / upload.id)
        except FileNotFoundError:
            raise S3Error("NoSuchUpload") from None
        try:
            with open(descriptor, "wb") as file:
                while piece := source.read(PIECE):
                    file.write(piece)
            return self._keep(upload, Path(name), number, source.digests["md5"].hex())
        finally:
            Path(name).unlink(missing_ok=True)

    def _keep(self, upload: Upload, draft: Path, number: int, tag: str) -> Part:
        with self._lock:
            before = [part.path for part in self.parts(upload) if part.number == number]
            path = self._folder / upload.id / f"{number:05}.{tag}"
            try:
                draft.rename(path)
            except FileNotFoundError:
                raise S3Error("NoSuchUpload") from None
            for old in before:
                if old != path:
                    old.unlink(missing_ok=True)
        return Part(number, tag, path)

    def parts(self, upload: Upload) -> list[Part]:
        """The parts that have come, by number."""
        try:
            names = sorted(os.listdir(self._folder / upload.id))
        except FileNotFoundError:
            raise S3Error("NoSuchUpload") from None
        found = ((_PART.fullmatch(name), name) for name in names)
        return [Part(int(part["number"]), part["tag"], self._folder / upload.id / name) for part, name in found if part]

    def remove(self, upload: Upload) -> None:
        shutil.rmtree(self._folder / upload.id, ignore_errors=True)

    def remove_old(self) -> None:
        """Remove what was started more than a week ago, and what nobody can finish."""
        for place in list(self._folder.iterdir()) if self._folder.is_dir() else ():
            found = self._read(place)
            if (found.started if found else place.stat().st_mtime) < time.time() - _KEPT_SECONDS:
                shutil.rmtree(place, ignore_errors=True)

    @staticmethod
    def _read(place: Path) -> Upload | None:
        with contextlib.suppress(OSError, ValueError, TypeError):
            return Upload(**json.loads((place / _ABOUT).read_text()))
        return None


class Joined:
    """The contents of parts, one after the other, as one stream."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._paths = [part.path for part in reversed(parts)]
        self._file: BinaryIO | None = None

    def read(self, size: int = -1, /) -> bytes:
        while True:
            if self._file is None:
                if not self._paths:
                    return b""
                try:
                    self._file = self._paths.pop().open("rb", buffering=0)
                except FileNotFoundError:  # somebody gave the upload up
                    raise S3Error("NoSuchUpload") from None
            piece = self._file.read(size)
            if piece:
                return piece
            self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
