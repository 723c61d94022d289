"""Unpacks one layer into a folder of its own, by descriptors: no path and no link leads out of it, whatever the tar file says.

What a layer removes of those below stands there as Linux's overlay wants it (whiteouts, Documentation/filesystems/overlayfs.rst), and in
a list as well, for where nothing can be stacked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from local_runner import beneath
from local_runner.errors import DiskFull, Invalid, Unavailable
from local_runner.oci.streams import Checked, Readable, unpacked
from local_runner.oci.tar import TarEntry, entries, inside

# How layers say what of those below is gone (OCI image-spec, layer.md).
_WHITEOUT, _OPAQUE, _INTERNAL = ".wh.", ".wh..wh..opq", ".wh..wh."
_OPAQUE_ATTRIBUTE = "user.overlay.opaque"
_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE, _OPEN = 0o7777, 0o700
_NO_OWNER = 2**32 - 1
_UNSAID = (0o755, 0.0, 0, 0)  # of a folder that a layer has things in, but does not tell of


@dataclass(frozen=True, slots=True)
class Layer:
    """What was unpacked: `files` entries of `size` bytes. `whiteouts` are paths that the layers below lose; folders in `opaque` lose all
    that those have in them. `stackable` says that both stand in the folder in a way Linux understands. `notes` are for people.
    """

    size: int = 0
    files: int = 0
    whiteouts: tuple[str, ...] = ()
    opaque: tuple[str, ...] = ()
    stackable: bool = True
    notes: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, document: dict[str, Any]) -> Layer:
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in document.items()}
        return cls(**values)


def unpack(source: Readable, diff_id: str, folder: str | os.PathLike[str], what: str) -> Layer:
    """Unpack a layer, packed or not, into an empty folder, and check that its tar file has the digest `diff_id`.

    Owners are kept by root; what anybody else unpacks belongs to him, and so to root in a sandbox of his. Device nodes and pipes are left
    out with a note. Raises `Invalid` for what is damaged or made to do harm, `DiskFull`, `Unavailable`; then the folder is good for
    nothing.
    """
    tar = Checked(unpacked(source, what), diff_id, what)
    root = beneath.open_root(folder)
    try:
        with contextlib.closing(_Unpacking(root, what)) as unpacking:
            for entry in entries(tar, what):
                unpacking.add(entry)
            tar.finish()
            return unpacking.finish()
    except OSError as why:
        raise _explained(why, what) from None
    finally:
        os.close(root)


def _explained(why: OSError, what: str) -> Exception:
    if why.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"there is no room to unpack {what}", hint="free some space, or set XDG_CACHE_HOME to a folder on another disk")
    if why.errno in (errno.ELOOP, errno.ENOTDIR, errno.EINVAL, errno.ENAMETOOLONG, errno.EPERM, errno.ENOENT, errno.EISDIR):
        name = f" {why.filename!a}" if why.filename else ""
        hint = "such an image is made to do harm; do not use it"
        return Invalid(f"{what} is refused: a path in it{name} leads through a link or to nothing ({why.strerror})", hint=hint)
    return Unavailable(f"{what} cannot be unpacked: {why}", hint="can this user write there?")


@dataclass(slots=True)
class _Unpacking:
    """The folder as it grows. Entries mostly come folder by folder, so the last one is kept open."""

    root: int
    what: str
    keeps_owners: bool = field(default_factory=lambda: os.geteuid() == 0)
    size: int = 0
    files: int = 0
    folders: dict[str, tuple[int, float, int, int]] = field(default_factory=dict)  # path -> mode, time, owner, group
    parents: set[str] = field(default_factory=set)  # folders in which something was made
    whiteouts: set[str] = field(default_factory=set)
    opaque: set[str] = field(default_factory=set)
    left_out: dict[str, list[str]] = field(default_factory=dict)  # why -> paths
    here: tuple[str, int] = ("", -1)

    def close(self) -> None:
        if self.here[1] != -1:
            os.close(self.here[1])
        self.here = ("", -1)

    def add(self, entry: TarEntry) -> None:
        """Raises OSError, `Invalid`."""
        parent, _, name = entry.path.rpartition("/")
        self.files += 1
        if name.startswith(_WHITEOUT):
            self._remember(parent, name)
        elif not name:
            if not entry.header.isdir():
                raise Invalid(f"{self.what} is refused: its root is no folder")
            self._note_folder("", entry)
        elif entry.header.isdir():
            self._add_folder(self._folder(parent), name, entry)
        elif entry.header.isreg():
            self._add_file(self._folder(parent), name, entry)
        elif entry.header.issym():
            self._add_link(self._folder(parent), name, entry)
        elif entry.header.islnk():
            self._add_hard_link(self._folder(parent), name, entry)
        else:
            kind = (
                "device nodes" if entry.header.ischr() or entry.header.isblk() else "pipes" if entry.header.isfifo() else "unknown things"
            )
            self.left_out.setdefault(f"{kind} are not made", []).append(entry.path)

    def finish(self) -> Layer:
        """Make what can only be made at the end: whiteouts, and folders that are not to be written to."""
        stackable = "" not in self.opaque
        for path in sorted(filter(self._has_parent, self.whiteouts)):
            stackable &= self._white_out(path)
        self.opaque = set(filter(self._is_folder, self.opaque))
        for path in sorted(self.opaque):
            with self._opened(path) as folder:
                try:
                    os.setxattr(folder, _OPAQUE_ATTRIBUTE, b"y")
                except OSError:
                    stackable = False
        unsaid = {parent: _UNSAID for path in self.parents for parent in _upward(path)}
        for path, (mode, time, user, group) in sorted((unsaid | self.folders).items(), reverse=True):
            if not self._is_folder(path):
                continue
            with self._opened(path) as folder:
                self._own(folder, user, group)
                os.fchmod(folder, mode if self.keeps_owners else mode | _OPEN)
                _set_time(folder, time)
        notes = (
            f"{why}: {', '.join(paths[:3])}{f' and {len(paths) - 3} more' if len(paths) > 3 else ''}"
            for why, paths in self.left_out.items()
        )
        gone = tuple(sorted(self.whiteouts - self.opaque))
        return Layer(self.size, self.files, gone, tuple(sorted(self.opaque)), stackable, tuple(notes))

    def _remember(self, parent: str, name: str) -> None:
        if name == _OPAQUE:
            self._folder(parent)
            self.opaque.add(parent)
        elif not name.startswith(_INTERNAL):
            gone = name.removeprefix(_WHITEOUT)
            if gone in ("", ".", ".."):
                raise Invalid(
                    f"{self.what} is refused: {name!a} removes what is outside", hint="such an image is made to do harm; do not use it"
                )
            self._folder(parent)
            self.whiteouts.add(f"{parent}/{gone}".lstrip("/"))

    def _add_folder(self, folder: int, name: str, entry: TarEntry) -> None:
        try:
            os.mkdir(name, _OPEN, dir_fd=folder)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=folder)
                os.mkdir(name, _OPEN, dir_fd=folder)
        self._note_folder(entry.path, entry)

    def _note_folder(self, path: str, entry: TarEntry) -> None:
        self.folders[path] = (entry.header.mode & _MODE, entry.header.mtime, *self._owner(entry))

    def _add_file(self, folder: int, name: str, entry: TarEntry) -> None:
        try:
            file = os.open(name, _FILE, 0o600, dir_fd=folder)
        except FileExistsError:
            self._clear(folder, name)
            file = os.open(name, _FILE, 0o600, dir_fd=folder)
        try:
            for piece in entry.read():
                view = memoryview(piece)
                while view:
                    view = view[os.write(file, view) :]
                self.size += len(piece)
            self._own(file, *self._owner(entry))
            os.fchmod(file, entry.header.mode & _MODE)
            _set_time(file, entry.header.mtime)
        finally:
            os.close(file)

    def _add_link(self, folder: int, name: str, entry: TarEntry) -> None:
        if not entry.header.linkname:
            raise Invalid(f"{self.what} is refused: the link {entry.path!a} leads to nothing")
        try:
            os.symlink(entry.header.linkname, name, dir_fd=folder)
        except FileExistsError:
            self._clear(folder, name)
            os.symlink(entry.header.linkname, name, dir_fd=folder)
        if self.keeps_owners:
            user, group = self._owner(entry)
            with self._tolerant():
                os.chown(name, user, group, dir_fd=folder, follow_symlinks=False)

    def _add_hard_link(self, folder: int, name: str, entry: TarEntry) -> None:
        parent, _, target = inside(entry.header.linkname, self.what).rpartition("/")
        if f"{parent}/{target}".lstrip("/") == entry.path:
            return
        source = beneath.open_folder(self.root, parent)
        try:
            self._clear(folder, name)
            os.link(target, name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(source)

    def _white_out(self, path: str) -> bool:
        """Whether the place where something of below was looks as Linux wants it. What this layer has there itself hides that anyway."""
        parent, _, name = path.rpartition("/")
        folder = self._folder(parent)
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            try:
                os.mknod(name, stat.S_IFCHR, 0, dir_fd=folder)
            except PermissionError:
                return False
            return True
        if stat.S_ISDIR(found.st_mode):
            self.opaque.add(path)
        return True

    def _clear(self, folder: int, name: str) -> None:
        """Make room for what comes later under the same name: the last one counts."""
        with contextlib.suppress(FileNotFoundError):
            beneath.remove_tree(folder, name)

    def _folder(self, path: str) -> int:
        """A descriptor of a folder, made if it is not there yet; good until the next is asked for."""
        if self.here[1] == -1 or self.here[0] != path:
            self.close()
            self.parents.add(path)
            self.here = (path, beneath.make_folders(self.root, path, 0o755))
        return self.here[1]

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        folder = beneath.open_folder(self.root, path)
        try:
            yield folder
        finally:
            os.close(folder)

    def _has_parent(self, path: str) -> bool:
        return self._is_folder(path.rpartition("/")[0])

    def _is_folder(self, path: str) -> bool:
        """Whether one is still there, and was not replaced by a later entry."""
        try:
            os.close(beneath.open_folder(self.root, path))
        except OSError as why:
            if why.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise
            return False
        return True

    def _owner(self, entry: TarEntry) -> tuple[int, int]:
        user, group = entry.header.uid, entry.header.gid
        if not (0 <= user < _NO_OWNER and 0 <= group < _NO_OWNER):
            raise Invalid(f"{self.what} is refused: {entry.path!a} belongs to nobody there can be ({user}:{group})")
        return user, group

    def _own(self, descriptor: int, user: int, group: int) -> None:
        if self.keeps_owners:
            with self._tolerant():
                os.fchown(descriptor, user, group)

    @contextlib.contextmanager
    def _tolerant(self) -> Iterator[None]:
        """Root of a user namespace may give files only to those it has."""
        try:
            yield
        except OSError as why:
            if why.errno not in (errno.EINVAL, errno.EPERM):
                raise
            self.keeps_owners = False
            self.left_out.setdefault("owners are not kept, for this root may not give files away", [])


def _set_time(descriptor: int, seconds: float) -> None:
    with contextlib.suppress(OverflowError, ValueError, OSError):
        os.utime(descriptor, (seconds, seconds))


def _upward(path: str) -> Iterator[str]:
    """A path and the folders it lies in, to the root."""
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield ""
