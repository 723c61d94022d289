"""Cuts the power: of what was done after the last sync, a disk may have any part. From the order in which calls were really made."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from local_runner.errors import LocalRunnerError
from local_runner.runner import Runner
from tests.reliability.attack import MEMORY, Report, scaled
from tests.reliability.portrait import Portrait, contents, portrait
from tests.reliability.preloaded import Shim, run_preloaded, why_not
from tests.support.lab import Lab

SHARE = 150  # cuts
_ROUNDS = 6
_LARGE = "large" * 20_000


@dataclass
class _File:
    """What a disk may hold of a file: what is safe, and what was written since the last sync."""

    safe: bytearray = field(default_factory=bytearray)
    loose: list[tuple[int, bytes]] = field(default_factory=list)  # offset and bytes; -1: cut to a length

    def change(self, offset: int, data: bytes) -> None:
        self.loose.append((offset, data))

    def sync(self) -> None:
        for offset, data in self.loose:
            _apply(self.safe, offset, data)
        self.loose.clear()

    def after_a_cut(self, choice: random.Random) -> bytes:
        """All that is safe, and all, none, or some of what is not."""
        kept, share = bytearray(self.safe), choice.choice((0.0, 1.0, choice.random()))
        for offset, data in self.loose:
            if choice.random() < share:
                _apply(kept, offset, data)
        return bytes(kept)


@dataclass
class _Call:
    kind: str
    offset: int
    data: bytes
    path: str
    other: str


def attack(scale: float, seed: int) -> Report:
    """Puts and jobs, cut at random places; whatever is left is a moment of the past, whole."""
    report = Report("power cuts")
    if why_not():
        report.skipped = why_not()
        return report
    found = json.loads(run_preloaded(__name__, str(scale), str(seed)))
    report.did.update(found["did"])
    report.broken = found["broken"]
    return report


# -- inside, with the shim -----------------------------------------------------------------------------------------------


def main(scale: float, seed: int) -> None:
    """Print the report as JSON."""
    report, choice = Report("power cuts"), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="power-", dir=MEMORY) as folder:
        base, home = Path(folder, "base"), Path(folder, "home")
        calls, moments = _work_and_record(Path(folder), home, base)
        _check_order(report, calls)
        for _ in range(scaled(SHARE, scale)):
            _cut(report, choice, calls, moments, base, home)
    print(json.dumps({"did": report.did, "broken": report.broken}))


def _work_and_record(folder: Path, home: Path, base: Path) -> tuple[list[_Call], list[Portrait]]:
    """What was done to a home, call by call, and what a person could read of it in between."""
    lab = Lab(home, jobs=1)
    lab.put("data@master", {"/first": "first", "/large": _LARGE})
    lab.pipeline("up", "data:/*")
    lab.run_all()
    lab.close()
    shutil.copytree(home, base, ignore=_pipes)
    moments = [_look(home)]
    journal, shim = folder / "journal", Shim()
    with journal.open("ab", buffering=0) as out:
        shim.arm(home)
        shim.record(out.fileno())
        lab = Lab(home, jobs=1)
        for number in range(_ROUNDS):
            lab.put("data@master", {f"/small{number}": str(number), "/large": f"{number}{_LARGE}"})
            moments.append(portrait(lab.runner))
            lab.run_all()
            moments.append(portrait(lab.runner))
        shim.record(-1)
        shim.disarm()
        lab.close()
    return list(_read(journal)), moments


def _look(home: Path) -> Portrait:
    with Runner.open(home, background=False) as runner:
        return portrait(runner)


def _read(journal: Path) -> Iterator[_Call]:
    with journal.open("rb") as lines:
        while line := lines.readline():
            head, path, other = line.decode().rstrip("\n").split("\t")
            kind, offset, length = head.split(" ")
            yield _Call(kind, int(offset), lines.read(int(length)), path, other)


def _check_order(report: Report, calls: list[_Call]) -> None:
    """A large content is synced before its name appears (FORMAT.md, *Order of writing*)."""
    unsynced: set[str] = set()
    for call in calls:
        if call.kind == "write":
            unsynced.add(call.path)
        elif call.kind == "sync":
            unsynced.discard(call.path)
        elif call.kind == "rename" and "/objects/" in call.other:
            report.count("large contents")
            if call.path in unsynced:
                report.breaks(f"a content got its name before it was synced: {call.other}")


def _cut(report: Report, choice: random.Random, calls: list[_Call], moments: list[Portrait], base: Path, home: Path) -> None:
    at = choice.randrange(len(calls) + 1)
    _lay_out(choice, calls[:at], base, home)
    report.count("cuts")
    try:
        lost = _open(home)
        report.count("after which the home said what it had lost", int(bool(lost)))
        with Runner.open(home, background=False) as runner:
            found = runner.fsck()
            missing = [finding for finding in found if "is missing" in finding.problem]
            report.count("after which fsck named a content whose name was lost", int(bool(missing)))
            if len(missing) < len(found):
                report.breaks(f"cut at call {at} of {len(calls)}: fsck finds {[tuple(one) for one in found if one not in missing][:2]}")
            elif not missing and not _is_a_moment(portrait(runner), moments):
                report.breaks(f"cut at call {at} of {len(calls)}: what is left is no moment of the past")
        lab = Lab(home, jobs=1)
        lab.put("data@master", {"/large": f"{_ROUNDS}{_LARGE}", "/after": "after"})
        if not missing:
            lab.run_all()
            if lab.files("up@master") != lab.files("data@master"):
                report.breaks(f"cut at call {at} of {len(calls)}: what is worked on afterwards comes out wrong")
        lab.close()
    except Exception as error:
        report.breaks(f"cut at call {at} of {len(calls)}: {error!r}")


def _open(home: Path) -> str:
    """Open it, as a person would: where it says that something was lost, with `fsck --fix`. Returns what it said."""
    with Runner.open(home, background=False) as runner:
        try:
            runner.list_repo()
        except LocalRunnerError as error:
            list(runner.mend(()))
            return error.message
    return ""


def _is_a_moment(seen: Portrait, moments: list[Portrait]) -> bool:
    """Whether the files are those of a moment between two changes; jobs may be anywhere."""
    files = {name: what for name, what in contents(seen).items() if name.startswith("file default/data@")}
    return any(files == {name: what for name, what in contents(one).items() if name.startswith("file default/data@")} for one in moments)


def _lay_out(choice: random.Random, calls: list[_Call], base: Path, home: Path) -> None:
    """The disk after a cut behind these calls: names in the order they were made up to some moment, contents as far as they are."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(base, home, ignore=_pipes)
    files = {str(path): _File(bytearray(path.read_bytes())) for path in home.rglob("*") if path.is_file()}
    syncs = [number for number, call in enumerate(calls) if call.kind == "sync"]
    named_until = choice.randint(syncs[-1] if syncs else 0, len(calls))  # a sync takes the names before it along
    by_name: dict[str, _File] = dict(files)  # what a name means to those who work
    on_disk: dict[str, _File] = dict(files)  # and what it means on the disk
    for number, call in enumerate(calls):
        if call.kind in ("write", "truncate"):
            by_name.setdefault(call.path, _File()).change(call.offset if call.kind == "write" else -1 - call.offset, call.data)
        elif call.kind == "sync" and call.path in by_name:
            by_name[call.path].sync()
        for names, counts in ((by_name, True), (on_disk, number <= named_until)):
            if counts and call.kind == "create":
                names[call.path] = by_name[call.path] = by_name.get(call.path) or _File()
            elif counts and call.kind == "rename" and call.path in names:
                names[call.other] = names.pop(call.path)
            elif counts and call.kind == "unlink":
                names.pop(call.path, None)
    for path in home.rglob("*"):
        if path.is_file() and str(path) not in on_disk:
            path.unlink()
    for name, file in on_disk.items():
        if not name.endswith("-shm"):
            path = Path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_bytes(file.after_a_cut(choice))
    for shared in home.glob("*-shm"):
        shared.unlink()  # memory, not disk


def _apply(content: bytearray, offset: int, data: bytes) -> None:
    if offset < 0:
        length = -1 - offset
        content[length:] = bytes(max(0, length - len(content)))
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _pipes(folder: str, names: list[str]) -> list[str]:
    return names if folder.endswith("/bells") else []


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
    os._exit(0)
