"""The home folder: how it is found, its layout, and its format (FORMAT.md, *The folder*)."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from local_runner.errors import DiskFull, Unavailable
from local_runner.storage.atomic import publish

FORMAT = 1
WITH_PARTS = 2  # the format of a home that has contents in parts, which earlier versions cannot read
WITH_PACKED = 3  # and of one that has packed contents or pieces
_KNOWN = (str(FORMAT), str(WITH_PARTS), str(WITH_PACKED))
_MARK = "FORMAT"  # the file that is written last when a home is made
FOLDER = ".local_runner"
_WRITE_LOCK = "write.lock"  # in every home
STARTED_IN = "LOCAL_RUNNER_STARTED_IN"  # a variable: the folder of the command that started an engine
VARIABLE = "LOCAL_RUNNER_HOME"
PROJECT_FILE = "local_runner.toml"
_MEMORY = Path("/dev/shm")
_MOST_LOOKED_AT = 500  # folders, which take some milliseconds
_DISK = Path("/var/tmp")  # unlike /tmp it is never memory


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below the home folder; holds no open file."""

    path: Path

    @property
    def database(self) -> Path:
        return self.path / "records.sqlite"

    @property
    def committed(self) -> Path:
        return self.path / "committed"

    @property
    def objects(self) -> Path:
        return self.path / "objects"

    @property
    def drafts(self) -> Path:
        return self.path / "drafts"

    @property
    def wakeups(self) -> Path:
        return self.path / "bells"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def workers(self) -> tuple[Path, ...]:
        """Folders for what workers have: one in memory, where there is some, for the links in their `/pfs`, and one on a disk, which
        comes last.

        Not in the home, which may be copied or removed meanwhile. Datums lie on the disk: in memory one that does nothing would cost
        a fifth less, but user code can tell (a folder there has no 4096 bytes).
        """
        disk = _DISK if os.access(_DISK, os.W_OK) else Path(tempfile.gettempdir())
        places = (_MEMORY, disk) if os.access(_MEMORY, os.W_OK) else (disk,)
        name = blake2b(str(self.path).encode(), digest_size=6).hexdigest()
        return tuple(place / f"local_runner-{os.getuid()}" / name for place in places)

    @property
    def write_lock(self) -> Path:
        return self.path / _WRITE_LOCK

    @property
    def engine_lock(self) -> Path:
        return self.path / "engine.lock"

    @property
    def engine_log(self) -> Path:
        return self.path / "engine.log"

    @property
    def server_lock(self) -> Path:
        return self.path / "server.lock"

    @property
    def server_file(self) -> Path:
        """Says where a server of this home listens, as long as there is one."""
        return self.path / "server.json"

    @property
    def server_log(self) -> Path:
        return self.path / "server.log"


def disk_full(path: Path | str) -> DiskFull:
    """The error for a disk that takes no more; `path` is something on it."""
    return DiskFull(f"the disk that holds {path} is full", hint="free some space; nothing that was committed is lost")


def find_home(start: Path | None = None) -> Path:
    """Where the home is or would be: `$LOCAL_RUNNER_HOME`, else `.local_runner` in the nearest folder upward that has one or a
    project file, else `.local_runner` in the working directory."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).absolute()
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / FOLDER).is_dir() or (folder / PROJECT_FILE).is_file():
            return folder / FOLDER
    return here / FOLDER


def is_made(home: Path) -> bool:
    """Whether a home has been made at this path."""
    return (home / _MARK).exists()


def is_home(folder: Path | str) -> bool:
    """Whether a folder is a home, under whatever name, or is called like one."""
    return os.path.basename(folder) == FOLDER or (os.path.exists(f"{folder}/{_MARK}") and os.path.exists(f"{folder}/{_WRITE_LOCK}"))


def home_around(path: Path | str) -> Path | None:
    """The home that a file or folder belongs to, also by links; None if it belongs to none."""
    real = Path(os.path.realpath(path))
    return next((folder for folder in (real, *real.parents) if is_home(folder)), None)


def homes_near(start: Path) -> list[Path]:
    """Homes two folders below one at most, then those of its neighbours. It looks at `_MOST_LOOKED_AT` folders and no more."""
    beside = (folder for folder in _folders(start.parent) if folder != start)
    below = _folders(start)
    deeper = (folder for child in _folders(start) for folder in _folders(child))
    looked_at = itertools.islice(itertools.chain(below, deeper, beside), _MOST_LOOKED_AT)
    return [folder / FOLDER for folder in looked_at if is_made(folder / FOLDER)]


def _folders(folder: Path) -> Iterator[Path]:
    """The folders in a folder that are not hidden and may be looked into, in order of names; links are not followed."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_dir(follow_symlinks=False))
    except OSError:
        return
    yield from (folder / name for name in names if os.access(folder / name, os.X_OK))


def open_home(path: Path, *, create: bool = True) -> Home:
    """The home at this path, made if it is not there; what a killed maker left is completed. A home that cannot be written can be read.

    Raises `Unavailable` where none can be made, or it has a newer format, or is not there and not to be made.
    """
    path = path.absolute()  # for processes that are started with it, which work elsewhere
    home, mark = Home(path), path / _MARK
    try:
        if not mark.exists():
            if not create:
                raise Unavailable(f"there is no home at {path}")
            for folder in (home.path, home.objects, home.drafts, home.wakeups, home.logs):
                folder.mkdir(parents=True, exist_ok=True)
            (home.path / ".gitignore").write_text("*\n")
            publish(mark, f"{FORMAT}\n".encode())
        found = mark.read_bytes().strip().decode(errors="backslashreplace")
        if found in _KNOWN and os.access(path, os.W_OK):
            _complete(home)
    except OSError as error:
        raise Unavailable(
            f"cannot use {path} as home: {error.strerror or error}", hint=f"set {VARIABLE} to a folder that can be written"
        ) from None
    if not found.isascii() or not found.isdigit():
        raise Unavailable(
            f"{mark} is damaged: it says {found!r}, not the number of a format",
            hint=f"if this home was made by this version, write {FORMAT} into it; then run fsck",
        )
    if found not in _KNOWN:
        raise Unavailable(
            f"{path} has format {found}, this version knows {FORMAT} to {WITH_PACKED}",
            hint="use the newer local_runner that made it, or another home",
        )
    return home


def need_format(home: Home, needed: int) -> None:
    """Say in `FORMAT` that there may be what came with a format. It comes before the first of it: a kill in between harms nothing."""
    mark = home.path / _MARK
    if int(mark.read_bytes()) < needed:
        publish(mark, f"{needed}\n".encode())


def _complete(home: Home) -> None:
    """Make what is missing beside FORMAT: the maker was killed, or a copy was made without it."""
    for folder in (home.objects, home.drafts, home.wakeups, home.logs):
        folder.mkdir(exist_ok=True)
    for lock in (home.write_lock, home.engine_lock):
        if not lock.exists():
            lock.touch()
