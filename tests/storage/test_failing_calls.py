"""Each call to the system that a put or a read makes fails once: it is said, nothing is half done, and everything is given back."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_runner.errors import LocalRunnerError
from local_runner.model.refs import parse_file
from tests.support.lab import Lab

_OS = "open close read write fsync ftruncate fchmod replace rename mkdir unlink mkfifo scandir lseek fstat"
CALLS: list[tuple[object, str]] = [*((os, name) for name in _OS.split()), (fcntl, "flock")]


class Failing:
    """Lets the n-th of all calls fail; a descriptor is closed all the same, as the kernel does it."""

    def __init__(self, patch: pytest.MonkeyPatch, nth: int, error: int) -> None:
        self.left, self._error = nth, error
        self.failed = ""
        for module, name in CALLS:
            patch.setattr(module, name, self._wrapped(name, getattr(module, name)))

    def _wrapped(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object, **named: object) -> object:
            self.left -= 1
            if self.left == 0:
                self.failed = name
                if name == "close":
                    real(*given, **named)
                raise OSError(self._error, os.strerror(self._error))
            return real(*given, **named)

        return call


@pytest.fixture(autouse=True)
def _nobody_waits_for_himself() -> Iterator[None]:
    """Who waits for a lock that his own process holds waits for ever; here he is interrupted."""

    def late(*_: object) -> None:
        raise TimeoutError("somebody waits for ever")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def descriptors(home: Path) -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    held = [path for path in found.values() if path.endswith("/held") and path.startswith(str(home))]
    assert len(held) <= 1  # of those who bring contents to this home, as long as they live
    passing = ("records.sqlite", "/proc/", "/held")
    return {name: path for name, path in found.items() if not any(part in path for part in passing)}


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EMFILE], ids=errno.errorcode.get)
def test_every_call_of_a_put_may_fail(lab: Lab, error: int) -> None:
    lab.put("data@master", {"/before": "before"})
    failed: list[str] = []
    for nth in range(1, 500):
        files: dict[str, str | bytes | None] = {f"/{nth}": f"{nth}", f"/large{nth}": os.urandom(100_000)}
        held = descriptors(lab.runner.home)
        with pytest.MonkeyPatch.context() as patch:
            failing = Failing(patch, nth, error)
            try:
                lab.put("data@master", files)
                is_done = True
            except (LocalRunnerError, OSError):
                is_done = False
        assert descriptors(lab.runner.home) == held, failing.failed
        there = {info.path for info in lab.runner.walk_file(parse_file("data@master:/"))}
        assert (f"/{nth}" in there) == (f"/large{nth}" in there) == is_done, failing.failed
        failed.append(failing.failed)
        if not failing.failed:
            break
    assert not failed[-1]
    assert len(failed) > 15
    lab.put("data@master", {"/after": "after"})
    assert lab.runner.fsck() == []


@pytest.mark.parametrize("error", [errno.EIO, errno.EMFILE], ids=errno.errorcode.get)
def test_every_call_of_a_read_may_fail(lab: Lab, tmp_path: Path, error: int) -> None:
    large = os.urandom(3_000_000)
    lab.put("data@master", {"/large": large, "/small": "small"})
    with lab.runner.database.read() as session:
        names = [value[:32] for _, value in session.trees.scan(session.commits.of_repo(1)[0].tree)]
    for nth in range(1, 200):
        held = descriptors(lab.runner.home)
        with pytest.MonkeyPatch.context() as patch:
            failing = Failing(patch, nth, error)
            try:
                with lab.runner.database.read() as session:
                    for number, name in enumerate(names):
                        session.objects.place(name, tmp_path / f"{nth}-{number}")
                is_done = True
            except (LocalRunnerError, OSError):
                is_done = False
        assert descriptors(lab.runner.home) == held, failing.failed
        found = {len(path.read_bytes()) for path in tmp_path.iterdir() if failing.failed != "unlink"}
        assert found <= {len(large), 5}
        for path in tmp_path.iterdir():
            path.unlink()
        if not failing.failed:
            assert is_done
            return
    raise AssertionError("it never came to its end")
