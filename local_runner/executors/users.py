"""Looks up `transform.user` as user and group id."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from local_runner.errors import Unavailable


class UserFiles(NamedTuple):
    """What /etc/passwd and /etc/group say."""

    passwd: str
    group: str

    @classmethod
    def of(cls, etc: Path) -> UserFiles:
        return cls(*((etc / name).read_text(errors="replace") if (etc / name).exists() else "" for name in ("passwd", "group")))


def find_user(text: str, files: UserFiles | None = None) -> tuple[int, int]:
    """User and group id of "user[:group]", each by name or number, by `files`, else by those of where this runs (reference pps 3.1).

    Without a group it is the user's own. Raises `Unavailable` for a user or group that is not there.
    """
    files = files or UserFiles.of(Path("/etc"))
    user, _, group = text.partition(":")
    for fields in _records(files.passwd, 4):
        if user in (fields[0], fields[2]) and fields[2].isdecimal() and fields[3].isdecimal():
            return int(fields[2]), _find_group(group, files) if group else int(fields[3])
    raise Unavailable(
        f"guess uid from transform user by reading /etc/passwd: user {user} not found",
        hint="name a user of this machine in transform.user, or leave the field out",
    )


def _find_group(group: str, files: UserFiles) -> int:
    for fields in _records(files.group, 3):
        if group in (fields[0], fields[2]) and fields[2].isdecimal():
            return int(fields[2])
    if group.isdecimal():
        return int(group)
    raise Unavailable(f"transform.user: group {group} not found in /etc/group", hint="name a group of this machine")


def _records(text: str, fields: int) -> list[list[str]]:
    return [record for line in text.splitlines() if len(record := line.split(":")) >= fields]


def main(text: str) -> None:
    """Print the two numbers; run inside an image to read its files."""
    try:
        print(*find_user(text))
    except Unavailable as why:
        raise SystemExit(why.message) from None
