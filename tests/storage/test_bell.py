import os
import select
import threading
from pathlib import Path

from local_runner.storage.bell import Bell, ring_all


def test_a_ring_between_looking_and_waiting_is_not_missed(tmp_path: Path) -> None:
    with Bell(tmp_path) as bell:
        ring_all(tmp_path)
        assert bell.wait(5)
        assert not bell.wait(0)


def test_everybody_who_waits_is_woken(tmp_path: Path) -> None:
    with Bell(tmp_path) as first, Bell(tmp_path) as second:
        threading.Timer(0.05, ring_all, [tmp_path]).start()
        assert first.wait(5)
        assert second.wait(5)


def test_a_ring_never_blocks_though_nobody_has_listened_for_long(tmp_path: Path) -> None:
    with Bell(tmp_path) as bell:
        for _ in range(70_000):  # more than a pipe holds
            bell.ring()
        ring_all(tmp_path)
        assert bell.wait(5)
        assert not bell.wait(0)


def test_bells_of_the_dead_are_taken_down(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "4711-dead")
    with Bell(tmp_path):
        ring_all(tmp_path)
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_bell_that_is_being_hung_up_is_not_taken_for_a_dead_one(tmp_path: Path) -> None:
    over = threading.Event()

    def ring() -> None:
        while not over.is_set():
            ring_all(tmp_path)

    ringer = threading.Thread(target=ring)
    ringer.start()
    try:
        for _ in range(500):
            with Bell(tmp_path) as bell:
                assert bell.wait(5)
    finally:
        over.set()
        ringer.join()


def test_ringing_where_no_bell_ever_hung_is_no_error(tmp_path: Path) -> None:
    ring_all(tmp_path / "nowhere")


def test_a_late_ring_writes_into_nobodys_file(tmp_path: Path) -> None:
    bell = Bell(tmp_path)
    number = bell.fileno()
    bell.close()
    victim = os.open(tmp_path / "victim", os.O_RDWR | os.O_CREAT)
    if victim != number:  # the number is somebody else's now
        os.dup2(victim, number)
    bell.ring()
    bell.close()
    assert (tmp_path / "victim").read_bytes() == b""
    for descriptor in {victim, number}:
        os.close(descriptor)


def test_ringing_and_closing_at_once_never_reach_another_descriptor(tmp_path: Path) -> None:
    for _ in range(200):
        bell = Bell(tmp_path)
        ringers = [threading.Thread(target=bell.ring) for _ in range(4)]
        for ringer in ringers:
            ringer.start()
        bell.close()
        reads, writes = os.pipe()  # they have the number that was closed
        for ringer in ringers:
            ringer.join()
        assert select.select([reads], [], [], 0)[0] == []
        os.close(reads)
        os.close(writes)


def test_rubbish_among_the_bells_is_not_written_to_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    ring_all(tmp_path)
    assert (tmp_path / "file").read_bytes() == b"mine"
