"""Looks up `transform.user` as user and group id."""

from __future__ import annotations

from pathlib import Path

from local_runner.errors import Unavailable


def find_user(text: str, etc: Path = Path("/etc")) -> tuple[int, int]:
    """User and group id of "user[:group]", each by name or number, by the files in `etc` (reference pps 3.1).

    Without a group it is the user's own. Raises `Unavailable` for a user or group that is not there.
    """
    user, _, group = text.partition(":")
    for fields in _records(etc / "passwd", 4):
        if user in (fields[0], fields[2]):
            return int(fields[2]), _find_group(group, etc) if group else int(fields[3])
    raise Unavailable(
        f"guess uid from transform user by reading /etc/passwd: user {user} not found",
        hint="name a user of this machine in transform.user, or leave the field out",
    )


def _find_group(group: str, etc: Path) -> int:
    for fields in _records(etc / "group", 3):
        if group in (fields[0], fields[2]):
            return int(fields[2])
    if group.isdecimal():
        return int(group)
    raise Unavailable(f"transform.user: group {group} not found in /etc/group", hint="name a group of this machine")


def _records(path: Path, fields: int) -> list[list[str]]:
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return [record for line in lines if len(record := line.split(":")) >= fields]


def main(text: str) -> None:
    """Print the two numbers; run inside an image to read its files."""
    try:
        print(*find_user(text))
    except Unavailable as why:
        raise SystemExit(why.message) from None
