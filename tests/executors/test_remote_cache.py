"""The contents that are kept on a worker's machine: whole or not at all, and not more than there may be."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.errors import WorkerLost
from local_runner.executors.remote.cache import ContentCache, NotKept
from local_runner.executors.remote.contents import Sender, WithFiles
from local_runner.model.file_hash import file_hash


def keep(cache: ContentCache, content: bytes) -> bytes:
    """Keep a content; returns its name."""
    draft = cache.begin()
    draft.write([content])
    assert cache.keep(draft, file_hash(content), hashlib.sha256(content).digest())
    return file_hash(content)


def read(cache: ContentCache, name: bytes) -> bytes:
    return b"".join(cache.read(name))


def test_what_is_kept_is_found_by_others_and_after_a_restart(tmp_path: Path) -> None:
    one, two = ContentCache(tmp_path, 1 << 20), ContentCache(tmp_path, 1 << 20)
    for content in (b"", b"small", os.urandom(3_000)):
        assert read(two, keep(one, content)) == content
    assert read(ContentCache(tmp_path, 1 << 20), file_hash(b"small")) == b"small"


def test_what_arrived_otherwise_than_it_left_is_not_kept(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path, 1 << 20)
    draft = cache.begin()
    draft.write([b"damaged"])
    assert not cache.keep(draft, file_hash(b"content"), hashlib.sha256(b"content").digest())
    assert not cache.has(file_hash(b"content"))
    assert not list((tmp_path / "drafts").iterdir())


@pytest.mark.parametrize("harm", ["changed", "cut", "extended", "emptied"])
def test_what_was_damaged_is_given_to_nobody_and_is_gone(tmp_path: Path, harm: str) -> None:
    cache, content = ContentCache(tmp_path, 1 << 20), os.urandom(5_000)
    name = keep(cache, content)
    (path,) = tmp_path.glob("??/*")
    whole = path.read_bytes()
    path.write_bytes({"changed": b"?" + whole[1:], "cut": whole[:-40], "extended": whole + b"?", "emptied": b""}[harm])
    given_out = []
    with pytest.raises(NotKept):
        given_out += cache.read(name)
    assert not given_out
    assert not cache.has(name)


def test_what_was_not_used_for_the_longest_time_makes_room(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path, 100_000)
    names = [keep(cache, os.urandom(20_000)) for _ in range(4)]
    for age, name in enumerate(names):
        os.utime(tmp_path / name.hex()[:2] / name.hex()[2:], (age, age))
    assert cache.has(names[0])  # and so it is used
    names += [keep(cache, os.urandom(20_000)) for _ in range(2)]
    assert [cache.has(name) for name in names] == [True, False, False, True, True, True]
    assert cache.size() <= 100_000


class Machine:
    """A machine with a cache, as a sender meets it; `loses` are how many first pieces do not arrive."""

    def __init__(self, folder: Path, loses: int = 0) -> None:
        from local_runner.executors.remote.host import HostSettings, RemoteHost

        self.host = RemoteHost(HostSettings("process", str(folder / "cache")), folder / "workers", "test")
        self.loses = loses
        self.largest = 0

    def __call__(self, verb: str, *details: object) -> object:
        from local_runner.executors.remote import wire

        message = wire.question(verb, *details)
        self.largest = max(self.largest, len(message))
        if verb == "put" and self.loses:
            self.loses -= 1
            return False
        return wire.value_of(self.host.answer(message))


class Store:
    """Contents by their hashes."""

    def __init__(self, *contents: bytes) -> None:
        self.contents = {file_hash(content): content for content in contents}
        self.path: Path | None = None

    def read(self, name: bytes) -> list[bytes]:
        content = self.contents[name]
        return [content[at : at + 700_000] for at in range(0, len(content), 700_000)]

    def file(self, name: bytes) -> Path | None:
        return self.path


@settings(max_examples=25)
@given(size=st.integers(0, 9_000_000), loses=st.integers(0, 2))
def test_a_content_of_any_size_arrives_whole_in_pieces(tmp_path_factory: pytest.TempPathFactory, size: int, loses: int) -> None:
    content = (os.urandom(1_000) * (size // 1_000 + 1))[:size]
    machine, store, sender = Machine(tmp_path_factory.mktemp("machine"), loses), Store(content), Sender()
    try:
        name = file_hash(content)
        for _ in range(2):
            sender.send(machine, "here", [name], store)  # type: ignore[arg-type]
        assert machine.host._cache.has(name)
        assert b"".join(machine.host._cache.read(name)) == content
        assert sender.moved == size
        assert machine.largest < 4_300_000
    finally:
        machine.host.close()


@pytest.mark.parametrize(("there", "moved"), [(b"the same", 0), (b"another.", 8)])
def test_a_file_that_both_see_is_read_where_it_is_if_it_is_the_same(tmp_path: Path, there: bytes, moved: int) -> None:
    machine, store, sender = Machine(tmp_path), Store(b"the same"), Sender()
    store.path = tmp_path / "shared"
    store.path.write_bytes(there)
    sender.send(machine, "here", [file_hash(b"the same")], store)  # type: ignore[arg-type]
    assert read(machine.host._cache, file_hash(b"the same")) == b"the same"
    assert sender.moved == moved
    machine.host.close()


def test_nothing_is_left_of_what_a_full_disk_could_not_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would stay full."""
    cache = ContentCache(tmp_path, 1 << 20)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for _ in range(2):
        draft = cache.begin()
        monkeypatch.setattr(draft, "_file", SimpleNamespace(write=full, flush=full, close=draft._file.close))
        with pytest.raises(OSError, match="No space"):
            draft.write([b"content"])
        assert not list((tmp_path / "drafts").iterdir())
    draft = cache.begin()
    draft.write([b"content"])
    monkeypatch.setattr(draft, "finish", full)
    with pytest.raises(OSError, match="No space"):
        cache.keep(draft, file_hash(b"content"), hashlib.sha256(b"content").digest())
    assert not list((tmp_path / "drafts").iterdir())


def test_code_that_changes_while_it_is_sent_is_not_kept_as_what_it_was(tmp_path: Path) -> None:
    """Whoever has the code as it was would be given the other."""
    machine, sender, path = Machine(tmp_path), Sender(), tmp_path / "code"
    name = file_hash(b"as it was when it was looked at")
    path.write_bytes(b"as it is now")
    for contents in (WithFiles(None, {name: path}), WithFiles(Store(), {name: path})):
        with pytest.raises(WorkerLost, match="was changed while it was sent"):
            sender.send(machine, "here", [name], contents)  # type: ignore[arg-type]
    assert not machine.host._cache.has(name)
    machine.host.close()
