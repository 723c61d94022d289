import os
import select
import threading
from pathlib import Path

from local_runner.storage.wakeup import Wakeup, notify_all


def test_a_ring_between_looking_and_waiting_is_not_missed(tmp_path: Path) -> None:
    with Wakeup(tmp_path) as wakeup:
        notify_all(tmp_path)
        assert wakeup.wait(60)
        assert not wakeup.wait(0)


def test_everybody_who_waits_is_woken(tmp_path: Path) -> None:
    with Wakeup(tmp_path) as first, Wakeup(tmp_path) as second:
        threading.Timer(0.05, notify_all, [tmp_path]).start()
        assert first.wait(60)
        assert second.wait(60)


def test_a_ring_never_blocks_though_nobody_has_listened_for_long(tmp_path: Path) -> None:
    with Wakeup(tmp_path) as wakeup:
        for _ in range(70_000):  # more than a pipe holds
            wakeup.notify()
        notify_all(tmp_path)
        assert wakeup.wait(60)
        assert not wakeup.wait(0)


def test_fifos_of_dead_processes_are_removed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "4711-dead")
    with Wakeup(tmp_path):
        notify_all(tmp_path)
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_fifo_that_is_being_made_is_not_taken_for_a_dead_one(tmp_path: Path) -> None:
    over = threading.Event()

    def notify() -> None:
        while not over.is_set():
            notify_all(tmp_path)

    ringer = threading.Thread(target=notify)
    ringer.start()
    try:
        for _ in range(500):
            with Wakeup(tmp_path) as wakeup:
                assert wakeup.wait(60)
    finally:
        over.set()
        ringer.join()


def test_notifying_where_nobody_ever_waited_is_no_error(tmp_path: Path) -> None:
    notify_all(tmp_path / "nowhere")


def test_a_late_ring_writes_into_nobodys_file(tmp_path: Path) -> None:
    wakeup = Wakeup(tmp_path)
    number = wakeup.fileno()
    wakeup.close()
    victim = os.open(tmp_path / "victim", os.O_RDWR | os.O_CREAT)
    if victim != number:  # the number is somebody else's now
        os.dup2(victim, number)
    wakeup.notify()
    wakeup.close()
    assert (tmp_path / "victim").read_bytes() == b""
    for descriptor in {victim, number}:
        os.close(descriptor)


def test_ringing_and_closing_at_once_never_reach_another_descriptor(tmp_path: Path) -> None:
    for _ in range(200):
        wakeup = Wakeup(tmp_path)
        ringers = [threading.Thread(target=wakeup.notify) for _ in range(4)]
        for ringer in ringers:
            ringer.start()
        wakeup.close()
        reads, writes = os.pipe()  # they have the number that was closed
        for ringer in ringers:
            ringer.join()
        assert select.select([reads], [], [], 0)[0] == []
        os.close(reads)
        os.close(writes)


def test_rubbish_among_the_bells_is_not_written_to_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    notify_all(tmp_path)
    assert (tmp_path / "file").read_bytes() == b"mine"
