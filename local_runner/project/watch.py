"""Watches the files of a project for changes of time or size, at most twice a second.

Looking is what every system can do, and needs no library: 18 files take 2 ms, 10 000 take 80. A pause is at least
twenty times as long as a look, so watching costs 5 % of a core at most, however many files there are.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local_runner.errors import Invalid, LocalRunnerError
from local_runner.images.folder import read_image
from local_runner.model.wording import change_word
from local_runner.project.file import Project, source_files

PAUSE = 0.5  # seconds between two looks
_SETTLING = 0.1  # an editor writes several files: a change counts when nothing has changed for so long
_SHARE = 20

Stamps = Mapping[str, tuple[int, int, int]]  # file -> time of its last change in ns, size, inode


def code_files(project: Project) -> Iterator[str]:
    """The specs of a project and what its images are made of."""
    yield from map(str, project.specs)
    for folder in project.images.values():
        yield str(folder / "Dockerfile")
        with contextlib.suppress(Invalid):
            yield from map(str, read_image(folder).files)


def input_files(project: Project) -> Iterator[str]:
    """The files that are committed to a project's input repos."""
    for source in (source for repo in project.repos for source in repo.files.values()):
        yield from source_files(source)


def stamps(files: Iterable[str]) -> Stamps:
    """Time, size and inode of each file that exists."""
    found = {}
    for file in files:
        with contextlib.suppress(OSError):
            status = os.stat(file)
            found[file] = (status.st_mtime_ns, status.st_size, status.st_ino)
    return found


def changes(before: Stamps, after: Stamps, root: Path) -> list[str]:
    """One sentence for each file that differs, named as seen from `root`."""
    sentences = []
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            verb = change_word(before=path in before, after=path in after)
            sentences.append(f"{path.removeprefix(f'{root}/')} {verb}")
    return sentences


@dataclass
class ProjectWatcher:
    """Watches the project that `read` reads, and `anchors`: the files that say what it is, looked at even while it cannot be read."""

    read: Callable[[], Project]
    anchors: Sequence[Path]
    _project: Project | None = None
    _code: Stamps = field(default_factory=dict)
    _next: float = 0.0  # moment of the monotonic clock before which there is no second look at the code

    def look(self) -> Stamps:
        """Every file as it is now."""
        code = self._look_at_code()
        return {**code, **(stamps(input_files(self._project)) if self._project else {})}

    def begin(self) -> Stamps:
        """Look, and let `is_outdated` compare with that from now on."""
        seen = self.look()
        self._code = self._look_at_code()
        return seen

    def is_outdated(self) -> bool:
        """Whether specs or code changed since `begin`: what runs now would have to run again. Asked often, it looks seldom."""
        now = time.monotonic()
        if now < self._next:
            return False
        outdated = self._look_at_code() != self._code
        self._next = 0.0 if outdated else now + max(PAUSE, (time.monotonic() - now) * _SHARE)
        return outdated

    def wait(self, seen: Stamps) -> Stamps:
        """Sleep until something differs from what was seen and has come to rest; returns what there is then."""
        while True:
            began = time.monotonic()
            found = self.look()
            if found != seen:
                return self._unchanged_for_a_while(found)
            time.sleep(max(PAUSE, (time.monotonic() - began) * _SHARE))

    def _unchanged_for_a_while(self, found: Stamps) -> Stamps:
        while True:
            time.sleep(_SETTLING)
            again = self.look()
            if again == found:
                return found
            found = again

    def _look_at_code(self) -> Stamps:
        with contextlib.suppress(LocalRunnerError, OSError):  # while it is being written, the files of the last good one count
            self._project = self.read()
        return stamps([*map(str, self.anchors), *(code_files(self._project) if self._project else ())])
