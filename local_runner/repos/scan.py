"""Files of a commit by the beginning of their paths, from any point on, without the folders between: what a long list in pages needs."""

from __future__ import annotations

from collections.abc import Iterator

from local_runner.model.entries import parse_entry
from local_runner.model.refs import CommitQuery
from local_runner.model.repos import FileInfo
from local_runner.repos.commits import content_root, resolve_readable
from local_runner.storage.database import Session

_LAST = "\x7f"  # after every character of a path


def scan_file(session: Session, commit: CommitQuery, prefix: str, after: str, delimiter: str) -> Iterator[FileInfo | str]:
    """Files whose path begins with `prefix`, in byte order of their paths, without those up to and with `after`.

    With a `delimiter`, those that have it after the prefix are told as one: as the text up to and with it, which counts as their path.
    Costs what it gives: what is told as one is skipped. Raises `NotFound`.
    """
    row = resolve_readable(session, commit)
    root = content_root(session, row)
    end = (prefix + _LAST).encode()
    group = _group(after, prefix, delimiter)
    at = max(prefix, group + _LAST if group else after + "\1" if after else "").encode()
    last = ""
    while True:
        for key, value in session.trees.scan(root, at, end):
            group = _group(key.decode().partition("\0")[0], prefix, delimiter)
            if group:
                yield group
                at = (group + _LAST).encode()
                break
            entry = parse_entry(key, value)
            if entry.path != last:  # two datums may write one path until the commit is finished
                last = entry.path
                yield FileInfo(row.ref, entry.path, entry.hash, entry.size, row.finishing, entry.tag)
        else:
            return


def _group(path: str, prefix: str, delimiter: str) -> str:
    """What a path is told as: up to the first delimiter after the prefix; "" if it has none there."""
    if not delimiter or not path.startswith(prefix):
        return ""
    cut = path.find(delimiter, len(prefix))
    return path[: cut + len(delimiter)] if cut >= 0 else ""
