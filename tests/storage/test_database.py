import fcntl
import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_runner.errors import Refused, Unavailable
from local_runner.storage.connect import connect
from local_runner.storage.database import Database
from local_runner.storage.home import Home, open_home
from local_runner.storage.locks import PATIENCE
from tests.support.lab import Lab


def note(database: Database, name: str, value: str) -> None:
    with database.write() as session:
        session.repos.set_setting(name, value)


def noted(database: Database, name: str) -> str | None:
    with database.read() as session:
        return session.repos.setting(name)


def test_a_rehearsal_shows_what_would_be_and_keeps_nothing(database: Database) -> None:
    note(database, "a", "1")
    with database.rehearse() as session:
        session.repos.set_setting("a", "2")
        assert session.repos.setting("a") == "2"
    assert noted(database, "a") == "1"

    def half() -> None:
        with database.rehearse() as session:
            session.repos.set_setting("a", "3")
            raise Refused("no")

    with pytest.raises(Refused):
        half()
    assert noted(database, "a") == "1"


def test_a_write_left_by_an_exception_forgets_everything(database: Database) -> None:
    def half() -> None:
        with database.write() as session:
            session.repos.set_setting("a", "1")
            session.trees.build([(b"k", b"v" * 40)])
            raise Refused("no")

    with pytest.raises(Refused):
        half()
    assert noted(database, "a") is None
    with database.write() as session:
        root = session.trees.build([(b"k", b"v" * 40)])
    other = Database(database.home)
    with other.read() as session:
        assert dict(session.trees.scan(root)) == {b"k": b"v" * 40}
    other.close()


def test_a_reader_sees_one_moment_while_others_write(database: Database) -> None:
    note(database, "a", "1")
    with database.read() as session:
        assert session.repos.setting("a") == "1"
        writer = threading.Thread(target=note, args=(database, "a", "2"))
        writer.start()
        writer.join()
        assert session.repos.setting("a") == "1"
    assert noted(database, "a") == "2"


def test_writers_of_many_threads_and_connections_lose_nothing(home: Path) -> None:
    databases = [Database(open_home(home)) for _ in range(2)]

    def count(database: Database) -> None:
        for _ in range(25):
            with database.write() as session:
                session.repos.set_setting("n", str(int(session.repos.setting("n") or 0) + 1))
        database.close_thread()

    threads = [threading.Thread(target=count, args=(database,)) for database in databases * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert noted(databases[0], "n") == "100"
    for database in databases:
        database.close()


def test_a_writer_that_has_to_wait_is_told_for_whom(home: Path) -> None:
    told: list[str] = []
    first, second = Database(open_home(home)), Database(open_home(home), told.append)
    assert noted(second, "a") is None
    with first.write():
        writer = threading.Thread(target=note, args=(second, "a", "1"))
        writer.start()
        writer.join(PATIENCE + 0.3)
        assert writer.is_alive()
    writer.join()
    assert f"process {os.getpid()}" in told[0]
    first.close()
    second.close()


def test_who_opens_the_records_to_read_does_not_wait_for_who_writes(home: Path) -> None:
    first = Database(open_home(home))
    note(first, "a", "1")
    found: list[str | None] = []

    def look() -> None:
        second = Database(open_home(home))
        found.append(noted(second, "a"))
        second.close()

    with first.write():
        reader = threading.Thread(target=look)
        reader.start()
        reader.join(20)
        assert found == ["1"]
    first.close()


def test_whoever_waits_hears_of_a_write(lab: Lab) -> None:
    writer = threading.Timer(0.05, lab.repo, ["data"])
    writer.start()
    assert lab.runner.wait_until(lambda session: session.repos.repos() or None)
    writer.join()


# -- what breaks -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    mount = tmp_path / "disk"
    mount.mkdir()
    made = (
        os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", mount], capture_output=True).returncode == 0
    )
    if not made:
        pytest.skip("only root can mount a small disk here")
    yield mount
    subprocess.run(["umount", "-l", mount], check=True)


@pytest.mark.parametrize("size", [40_000, 300_000], ids=["rows", "files"])
def test_a_full_disk_is_said_in_words_and_loses_nothing(small_disk: Path, size: int) -> None:
    lab = Lab(small_disk / "home")
    committed: list[str] = []

    def fill() -> None:
        for n in range(100):
            lab.put("data@master", {f"/{n}": os.urandom(size).hex()[:size]})
            committed.append(f"/{n}")

    with pytest.raises(Unavailable, match="is full"):
        fill()
    assert committed
    contents = lab.files("data@master")
    assert sorted(contents) == sorted(committed)
    assert all(len(content) == size for content in contents.values())
    lab.close()

    again = Lab(small_disk / "home")
    assert again.files("data@master") == contents
    again.close()


def test_a_missing_piece_of_a_tree_is_named_with_what_to_do(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1"})
    with lab.runner.database.write() as session:
        session.connection.execute("DELETE FROM node")
        session.trees.forget()
    with pytest.raises(Unavailable, match="piece") as error:
        lab.files("data@master")
    assert "fsck" in error.value.hint


def test_a_database_that_is_none_is_said_in_words(home: Path) -> None:
    open_home(home).database.write_bytes(b"this is no database" * 1000)
    database = Database(open_home(home))
    with pytest.raises(Unavailable, match="cannot use the store"), database.read():
        pass
    database.close()


def test_whoever_writes_again_at_once_lets_those_who_wait_go_first(database: Database) -> None:
    turns: list[str] = []
    line = os.open(database.home.path, os.O_RDONLY)

    def write() -> None:
        with database.write():
            turns.append("other")
        database.close_thread()

    waiting = threading.Thread(target=write)
    with database.write():
        waiting.start()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:  # until it stands in line
            try:
                fcntl.flock(line, fcntl.LOCK_SH | fcntl.LOCK_NB)
                fcntl.flock(line, fcntl.LOCK_UN)
                time.sleep(0.001)
            except BlockingIOError:
                break
    for _ in range(3):
        with database.write():
            turns.append("engine")
    waiting.join()
    os.close(line)
    assert turns[0] == "other"


def test_all_who_open_a_new_home_at_the_same_moment_can(tmp_path: Path) -> None:
    for number in range(20):  # 14 of 150 such homes refused somebody
        made, wrong = open_home(tmp_path / str(number)), []
        together = threading.Barrier(8)

        def open_it(made: Home = made, wrong: list[Exception] = wrong, together: threading.Barrier = together) -> None:
            together.wait()
            try:
                connect(made, create=True).close()
            except sqlite3.Error as error:
                wrong.append(error)

        threads = [threading.Thread(target=open_it) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
