"""Turns single bits of every file of a home, and asks after each: does fsck find it, is a wrong thing shown, does anything crash?"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from local_runner.errors import LocalRunnerError
from local_runner.runner import Runner
from tests.reliability.attack import MEMORY, Report, scaled
from tests.reliability.homes.make import MAKERS
from tests.reliability.portrait import Portrait, contents, portrait_at
from tests.support.lab import Lab

SHARE = 400  # flips, over all homes
_PATIENCE = 20  # seconds for one
_CHUNK = 100  # flips of one process
_MEMORY_BYTES = 4 << 30
_USELESS = (".gitignore", "bin", "bells", "write.lock", "engine.lock", "engine.log")  # nothing that anybody put there is in them

Flip = tuple[str, int]  # a file below the home, and the number of a bit


def attack(scale: float, seed: int) -> Report:
    """Flips in homes that were closed, and in homes that a kill left with a log."""
    report, choice = Report("one bit turned in a file of a home"), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="flips-", dir=MEMORY) as folder:
        homes = list(_homes(Path(folder)))
        for home in homes:
            for flips in _chunks(choose(home, choice, scaled(SHARE, scale) // len(homes))):
                _judge(report, home, flips)
    return report


def _homes(folder: Path) -> Iterator[Path]:
    for maker in MAKERS:
        home = folder / maker.__name__
        _in_a_child(partial(_make, maker, home))  # it does not close what it opened, as one that is killed
        yield home
        closed = folder / f"{home.name}_closed"
        shutil.copytree(home, closed, ignore=lambda where, names: names if where.endswith("/bells") else [])
        portrait_at(closed)  # what closes it last empties the log
        yield closed


def _make(maker: Callable[[Lab], None], home: Path) -> None:
    maker(Lab(home))


def choose(home: Path, choice: random.Random, count: int) -> list[Flip]:
    """Bits of all files: each kind of file has its share, however small it is."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(home.rglob("*")):
        if path.is_file() and path.stat().st_size and not path.name.endswith("-shm"):
            kinds.setdefault(path.relative_to(home).parts[0], []).append(path)
    weights = {kind: 10 if kind.startswith("records") else 3 if kind in ("objects", "logs") else 1 for kind in kinds}
    flips = []
    for kind in choice.choices(list(kinds), list(weights.values()), k=count):
        path = choice.choice(kinds[kind])
        flips.append((str(path.relative_to(home)), _used(path, choice) * 8 + choice.randrange(8)))
    return flips


def _used(path: Path, choice: random.Random) -> int:
    """A byte that says something: pages of records are half empty."""
    content = path.read_bytes()
    for _ in range(50):
        at = choice.randrange(len(content))
        if content[at]:
            break
    return at


def _chunks(flips: list[Flip]) -> Iterator[list[Flip]]:
    for at in range(0, len(flips), _CHUNK):
        yield flips[at : at + _CHUNK]


def _judge(report: Report, home: Path, flips: list[Flip]) -> None:
    """In a process of its own, as damaged records may end it."""
    results = home.with_name("results")
    while flips:
        results.write_text("")
        status = _in_a_child(partial(_try_all, home, flips, results))
        verdicts = [json.loads(line) for line in results.read_text().splitlines()]
        if len(verdicts) < len(flips):
            verdicts.append(f"the interpreter ended with {status}")
        for (name, bit), verdict in zip(flips, verdicts, strict=False):
            report.count("flips")
            if verdict:
                report.breaks(f"{home.name}/{name}, bit {bit}: {verdict}")
        flips = flips[len(verdicts) :]


def _try_all(home: Path, flips: list[Flip], results: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    signal.signal(signal.SIGALRM, _hangs)
    copy = home.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    _copy(home, copy)
    truth = portrait_at(copy)
    with results.open("a") as out:
        for flip in flips:
            shutil.rmtree(copy)
            _copy(home, copy)
            signal.alarm(_PATIENCE)
            verdict = verdict_of(copy, flip, truth)
            signal.alarm(0)
            print(json.dumps(verdict), file=out, flush=True)


class _Hang(BaseException):
    pass


def _hangs(*_: object) -> None:
    raise _Hang


def verdict_of(home: Path, flip: Flip, truth: Portrait) -> str:
    """What is wrong with how a home takes it that a bit of it is turned; "" if nothing."""
    name, bit = flip
    path = home / name
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    try:
        is_found, said = _is_found(home), ""
        try:
            seen: Portrait | None = portrait_at(home)
        except (LocalRunnerError, OSError) as error:
            seen, said = None, str(error)
    except _Hang:
        return "hangs"
    except Exception as error:
        where = [frame for frame in traceback.extract_tb(error.__traceback__) if "local_runner" in frame.filename]
        return f"traceback: {error!r} in {where[-1].filename.rpartition('/')[2]} {where[-1].name}" if where else f"traceback: {error!r}"
    if seen is not None:
        wrong = {what for what, value in contents(seen).items() if what in truth and truth[what] != value}
        if wrong:
            return f"wrong bytes are served, fsck {'finds it' if is_found else 'is clean'}: {sorted(wrong)[:2]}"
        differs = sorted(what for what in {**truth, **seen} if truth.get(what) != seen.get(what))
        if differs and not is_found:
            return f"fsck is clean, and this is not as it was: {differs[:3]}"
    elif not is_found and not name.startswith(_USELESS):
        return f"fsck is clean, and not everything can be read: {said}"
    return ""


def _is_found(home: Path) -> bool:
    try:
        with Runner.open(home, background=False) as runner:
            return bool(runner.fsck())
    except (LocalRunnerError, OSError):
        return True


def _copy(home: Path, copy: Path) -> None:
    shutil.copytree(home, copy, ignore=lambda where, names: names if where.endswith("/bells") else [])


def _in_a_child(work: Callable[[], object]) -> int:
    """Do it in a process of its own, which ends without closing anything; returns its status."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
