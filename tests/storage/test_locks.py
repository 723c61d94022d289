import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from local_runner.storage.locks import FileLock

HOLD = "import sys; from local_runner.storage.locks import FileLock; from pathlib import Path\n"
HOLD += "lock = FileLock(Path(sys.argv[1])); lock.acquire(); print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    lock = tmp_path / "a.lock"
    lock.touch()
    return lock


def holder(path: Path) -> "subprocess.Popen[str]":
    """Another process that holds the lock until its input ends."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_holder_waits_and_is_told_for_whom(path: Path) -> None:
    with holder(path) as first:
        told: list[str] = []
        lock = FileLock(path)
        waiter = threading.Thread(target=lock.acquire, args=(told.append, 0.02))
        waiter.start()
        waiter.join(0.1)
        assert waiter.is_alive()
        assert FileLock(path).is_taken()
        assert not FileLock(path).try_acquire()
        first.communicate()
        waiter.join(60)
        assert lock.is_held
        assert str(first.pid) in told[0]
        lock.release()


def test_the_lock_of_a_dead_holder_is_free(path: Path) -> None:
    with holder(path) as first:
        first.kill()
        first.communicate()
    assert not FileLock(path).is_taken()
    lock = FileLock(path)
    assert lock.try_acquire()
    assert str(os.getpid()) in lock.holder()
    lock.release()


def test_a_lock_nobody_ever_took_is_free(path: Path) -> None:
    assert not FileLock(path).is_taken()
    assert FileLock(path).holder() == ""


def test_two_who_look_at_once_do_not_see_each_other(path: Path) -> None:
    lock = FileLock(path)
    lock.acquire()
    lock.release()
    seen: list[bool] = []
    threads = [threading.Thread(target=lambda: seen.extend(FileLock(path).is_taken() for _ in range(200))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 800
    assert not any(seen)


def test_whoever_wants_a_lock_again_at_once_lets_those_in_line_go_first(path: Path, tmp_path: Path) -> None:
    turns: list[str] = []
    busy = FileLock(path, tmp_path)
    busy.acquire()

    def wait() -> None:
        other = FileLock(path, tmp_path)
        other.acquire()
        turns.append("other")
        other.release()

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not _is_locked(tmp_path):
        time.sleep(0.001)
    for _ in range(3):  # as an engine: hardly has it let go, it wants it again
        busy.release()
        busy.acquire()
        turns.append("engine")
    busy.release()
    waiting.join()
    assert turns[0] == "other"


def _is_locked(folder: Path) -> bool:
    """Whether somebody stands in line."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
