"""Contents on their way in: the drafts of the dead go, and what the living hold is known."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_runner.storage.arrivals import Arrivals, clear_dead, dead_drafts, no_arrivals
from local_runner.storage.database import Database
from local_runner.storage.home import Home, open_home

LARGE = b"x" * 100_000
NAMES = [bytes([number]) * 32 for number in range(3)]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


@pytest.fixture
def database(home: Home) -> Iterator[Database]:
    database = Database(home)
    yield database
    database.close()


def held(home: Home) -> set[bytes]:
    with no_arrivals(home) as names:
        return names


def test_a_content_is_held_until_a_commit_has_it(database: Database) -> None:
    content = database.files.take(LARGE)
    assert held(database.home) == {content.name}
    with database.write() as session:
        session.objects.add([content])
    assert held(database.home) == set()


def test_a_change_that_is_taken_back_goes_on_holding_its_contents(database: Database) -> None:
    content = database.files.take(LARGE)
    with contextlib.suppress(ZeroDivisionError), database.write() as session:
        session.objects.add([content])
        raise ZeroDivisionError
    with database.write():
        pass
    assert held(database.home) == {content.name}


def test_what_was_brought_twice_is_held_until_both_have_their_commit(database: Database) -> None:
    content = database.files.take(LARGE)
    database.files.take(LARGE)
    for names in ({content.name}, set()):
        with database.write() as session:
            session.objects.add([content])
        assert held(database.home) == names


def test_the_list_of_one_who_brings_much_stays_short(home: Home) -> None:
    arrivals = Arrivals(home)
    arrivals.hold(NAMES[:1])
    for _ in range(3000):
        arrivals.hold(NAMES[1:2])
        arrivals.release(NAMES[1:2])
    (path,) = home.drafts.glob("*/held")
    assert path.stat().st_size < 1100 * 32
    assert held(home) >= {NAMES[0]}
    arrivals.close()
    assert not [*home.drafts.iterdir()]


def test_what_the_dead_held_is_held_by_nobody_and_their_drafts_go_with_the_next_who_writes(home: Home) -> None:
    script = """
import sys, time
from pathlib import Path
from local_runner.storage.database import Database
from local_runner.storage.home import open_home
class Slow:
    def read(self, size):
        if sys.argv[2] == "said":
            print("ready", flush=True); time.sleep(60)
        sys.argv[2] = "said"
        return b"y" * 100_000
files = Database(open_home(Path(sys.argv[1]))).files
files.take(b"x" * 100_000)
files.take(Slow())
"""
    process = subprocess.Popen([sys.executable, "-c", script, home.path, ""], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    clear_dead(home)
    assert len(held(home)) == 1
    assert dead_drafts(home) == []
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert held(home) == set()
    assert len(dead_drafts(home)) == 1
    (home.drafts / "tmpold").write_bytes(b"of an older program")
    other = Database(home)
    other.files.take(io.BytesIO(LARGE))
    assert [path.name.partition("-")[0] for path in home.drafts.iterdir()] == [str(os.getpid())]
    other.close()


def test_half_a_name_that_did_not_fit_is_taken_back(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    arrivals = Arrivals(home)
    arrivals.hold(NAMES[:1])
    write = os.write
    with monkeypatch.context() as patch:
        # The first write takes a part, the next one nothing.
        patch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:7] if len(content) == 32 else b""))
        with pytest.raises(OSError, match="No space"):
            arrivals.hold(NAMES[1:2])
    arrivals.hold(NAMES[2:])
    assert held(home) == {NAMES[0], NAMES[2]}
    arrivals.close()
