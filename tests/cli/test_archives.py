"""`put file --untar`: what is in an archive is put whole or not at all."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

CONTENT = {"a": b"1", "d/b": b"2" * 2000, "c": b""}


@pytest.fixture
def repo(pachctl, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pachctl.ok("create repo data")
    return pachctl


def archive(*more: tarfile.TarInfo, mode: str = "w") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as tar:
        for name, content in CONTENT.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in more:
            tar.addfile(member)
    return made.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


def files(pachctl) -> list[str]:
    return [
        document["file"]["path"] for document in pachctl("glob file data@master:/** --raw").documents if document["file_type"] == "FILE"
    ]


@pytest.mark.parametrize("ending", ["tar", "tgz"])
def test_an_archive_that_is_cut_anywhere_puts_nothing(repo, ending) -> None:
    whole = archive() if ending == "tar" else gzip.compress(archive())
    end = len(whole) if ending == "tgz" else 512 * 9  # members, one block of zeros
    for length in sorted({*range(0, end, 97 if ending == "tar" else 7), end - 1}):
        Path(f"x.{ending}").write_bytes(whole[:length])
        ended = repo(f"put file data@master --untar -f x.{ending}")
        assert ended.status == 2, length
        assert f"x.{ending}" in ended.err
        assert "error" not in ended.err.split(f"x.{ending}")[0]
        assert files(repo) == []


def test_a_flipped_byte_in_an_archive_never_loses_a_member_in_silence(repo) -> None:
    whole = archive()
    for at in range(0, 512, 31):
        damaged = bytearray(whole)
        damaged[1024 + at] ^= 1  # in the header of the second member
        Path("x.tar").write_bytes(damaged)
        ended = repo("put file data@master --untar -f x.tar")
        assert ended.status == 2 or len(files(repo)) == len(CONTENT), at


def test_a_compressed_archive_is_held_against_its_sums(repo) -> None:
    damaged = bytearray(gzip.compress(archive()))
    damaged[-5] ^= 1
    Path("x.tgz").write_bytes(damaged)
    ended = repo("put file data@master --untar -f x.tgz")
    assert ended.status == 2
    assert "damaged" in ended.err


def test_links_in_an_archive_are_the_files_they_lead_to(repo) -> None:
    Path("x.tar").write_bytes(archive(link("hard", "d/b", tarfile.LNKTYPE), link("d/soft", "../a")))
    repo.ok("put file data@master --untar -f x.tar")
    assert files(repo) == ["/a", "/c", "/d/b", "/d/soft", "/hard"]
    assert repo.ok("get file data@master:/hard").out == "2" * 2000
    assert repo.ok("get file data@master:/d/soft").out == "1"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd", "nowhere", "loop", ""])
def test_a_link_that_leads_out_of_its_archive_is_refused(repo, kind, target) -> None:
    Path("x.tar").write_bytes(archive(link("loop", target, kind)))
    ended = repo("put file data@master --untar -f x.tar")
    assert ended.status == 2
    assert "x.tar: loop is a link" in ended.err
    assert files(repo) == []


def test_pipes_and_devices_in_an_archive_are_left_out_with_a_word(repo) -> None:
    Path("x.tar").write_bytes(archive(link("pipe", "", tarfile.FIFOTYPE), link("disk", "", tarfile.BLKTYPE)))
    ended = repo.ok("put file data@master --untar -f x.tar")
    assert "left out: pipe in x.tar" in ended.err
    assert "left out: disk" in ended.err
    assert files(repo) == ["/a", "/c", "/d/b"]


@pytest.mark.parametrize("name", ["../b", "/../b", "d/../../b"])
def test_a_member_that_leads_outside_is_refused(repo, name) -> None:
    Path("x.tar").write_bytes(archive(tarfile.TarInfo(name)))
    ended = repo("put file data@master --untar -f x.tar")
    assert ended.status == 2
    assert "invalid" in ended.err
    assert files(repo) == []
