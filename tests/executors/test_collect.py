"""Output is read as it lies there: what becomes a link while it is read leads nowhere."""

import os
from pathlib import Path

import pytest

from local_runner.executors.launcher import collect
from local_runner.executors.launcher.collect import BAD, Collector


def test_a_file_that_becomes_a_link_after_it_was_listed_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    out = tmp_path / "datum" / "out"
    out.mkdir(parents=True)
    (out / "file").write_text("of the datum")
    listed = collect._entries

    def listed_then_swapped(folder: str) -> list[os.DirEntry[str]]:
        entries = listed(folder)
        for entry in entries:
            entry.stat(follow_symlinks=False)  # as it was listed, a regular file
        (out / "file").unlink()
        (out / "file").symlink_to(secret)
        return entries

    monkeypatch.setattr(collect, "_entries", listed_then_swapped)
    pieces, is_all = Collector(str(tmp_path)).answer("collect", str(tmp_path / "datum"), ["out"], [])
    assert is_all
    assert [(path, kind) for path, kind, *_ in pieces] == [("out/file", BAD)]
