"""Layers that honest tools make, and layers that are made to do harm."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_runner.errors import Invalid, LocalRunnerError, Unavailable
from local_runner.oci import streams
from local_runner.oci.merge import merge
from local_runner.oci.unpack import Layer, unpack
from tests.support.images import Entry, device, digest, file, folder, hard_link, layer, link, listing, zstd


def unpacked(place: Path, content: bytes, packed: bytes | None = None) -> Layer:
    place.mkdir()
    return unpack(io.BytesIO(content if packed is None else packed), digest(content), place, "a layer of scan:1")


@pytest.mark.parametrize(
    "entries",
    [
        [file("../out", "x")],
        [file("a/../../out", "x")],
        [file("/../out", "x")],
        [link("in", "/"), file("in/out", "x")],
        [link("in", "../.."), folder("in/out")],
        [folder("a"), link("a/b", ".."), file("a/b/out", "x")],
        [hard_link("in", "../out")],
        [hard_link("in", "/etc/../../out")],
        [link("l", "/etc"), hard_link("in", "l/passwd")],
        [hard_link("in", "etc/passwd")],
        [folder("d"), hard_link("in", "d")],
        [file("a", "x"), file("a/b", "x")],
        [file("a/.wh...", "")],
        [file(".wh..", "")],
        [file(".wh.", "")],
        [link("in", ".."), file("in/.wh.out", "")],
        [link("in", ".."), file("in/.wh..wh..opq", "")],
        [file("a", "x", uid=2**32)],
        [file("a", "x", gid=-5)],
        [link("", "/etc")],
    ],
    ids=lambda entries: " ".join(str(path) or "root" for path, *_ in entries),
)
def test_a_layer_that_leads_out_is_refused(tmp_path: Path, entries: list[Entry]) -> None:
    (tmp_path / "out").write_text("mine")
    (tmp_path / "parent").mkdir()
    with pytest.raises(Invalid, match=r"refused|no tar file"):
        unpacked(tmp_path / "parent" / "tree", layer(*entries))
    assert (tmp_path / "out").read_text() == "mine"
    assert os.listdir(tmp_path / "parent") == ["tree"]


def test_a_link_may_lead_anywhere_and_is_not_followed(tmp_path: Path) -> None:
    unpacked(tmp_path / "tree", layer(link("etc", "/etc"), link("up", "../../.."), file("a", "x"), link("b", "a")))
    assert listing(tmp_path / "tree") == {"a": "x", "b": "-> a", "etc": "-> /etc", "up": "-> ../../.."}


def test_files_keep_what_is_said_of_them(tmp_path: Path) -> None:
    entries = [folder("d", mode=0o1777, mtime=5), file("d/f", "x", mode=0o4755, mtime=7), hard_link("g", "d/f"), folder("shut", mode=0o555)]
    unpacked(tmp_path / "tree", layer(*entries, file("shut/x", "x")))
    tree = tmp_path / "tree"
    assert stat.S_IMODE((tree / "d").stat().st_mode) == 0o1777
    assert stat.S_IMODE((tree / "d/f").stat().st_mode) == 0o4755
    assert ((tree / "d").stat().st_mtime, (tree / "d/f").stat().st_mtime) == (5, 7)
    assert (tree / "g").samefile(tree / "d/f")
    assert stat.S_IMODE((tree / "shut").stat().st_mode) & 0o577 == 0o555
    assert listing(tree)["shut/x"] == "x"


def test_folders_that_are_not_told_of_are_made_for_everybody_to_read(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        unpacked(tmp_path / "tree", layer(file("deep/down/x", "x")))
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / "tree" / name).stat().st_mode) for name in ("deep", "deep/down", "deep/down/x")] == [
        0o755,
        0o755,
        0o644,
    ]


def test_the_last_of_a_name_counts(tmp_path: Path) -> None:
    entries = [
        file("a", "1"),
        file("a", "2"),
        folder("b"),
        file("b/x", "x"),
        file("b", "a file"),
        link("c", "a"),
        folder("c"),
        file("c/y", "y"),
    ]
    unpacked(tmp_path / "tree", layer(*entries, file("d", "1"), hard_link("e", "d"), file("d", "2")))
    assert listing(tmp_path / "tree") == {"a": "2", "b": "a file", "c": "/", "c/y": "y", "d": "2", "e": "1"}


def test_devices_and_pipes_are_left_out_with_a_note(tmp_path: Path) -> None:
    entries = [
        device("dev/null"),
        device("dev/sda", tarfile.BLKTYPE),
        device("p", tarfile.FIFOTYPE),
        device("zero", devmajor=0, devminor=0),
    ]
    read = unpacked(tmp_path / "tree", layer(*entries, file("a", "x")))
    assert listing(tmp_path / "tree") == {"a": "x"}
    assert read.notes == ("device nodes are not made: dev/null, dev/sda, zero", "pipes are not made: p")


@pytest.mark.parametrize("order", [1, -1])
def test_a_layer_hides_what_is_below_and_never_what_it_brings_itself(tmp_path: Path, order: int) -> None:
    entries = [file("a", "new"), file(".wh.a"), folder("d"), file("d/x", "x"), file(".wh.d"), file("gone/.wh.y"), file(".wh..wh.plnk")]
    read = unpacked(tmp_path / "tree", layer(*entries[::order]))
    assert {name: what for name, what in listing(tmp_path / "tree").items() if what != "device"} == {
        "a": "new",
        "d": "/",
        "d/x": "x",
        "gone": "/",
    }
    assert (set(read.whiteouts), read.opaque) == ({"a", "gone/y"}, ("d",))
    below = tmp_path / "below"
    lower = unpacked(below, layer(file("a", "old"), file("d/old", "old"), file("gone/y", "y"), file("gone/z", "z")))
    (tmp_path / "all").mkdir()
    merge([(below, lower), (tmp_path / "tree", read)], tmp_path / "all")
    assert listing(tmp_path / "all") == {"a": "new", "d": "/", "d/x": "x", "gone": "/", "gone/z": "z"}


_NAMES = st.sampled_from(["a", "b", "a/b", "a/c", "b/a", "a/b/c"])
_ENTRIES = st.one_of(
    st.builds(lambda name, text: file(name, text), _NAMES, st.sampled_from(["x", "y"])),
    st.builds(folder, _NAMES),
    st.builds(lambda name: file("/".join([*name.split("/")[:-1], f".wh.{name.split('/')[-1]}"])), _NAMES),
    st.builds(lambda name: file(f"{name}/.wh..wh..opq"), _NAMES),
)


def _applied(layers: list[list[Entry]]) -> dict[str, str] | None:
    """What stands at the end by the words of the image-spec, in a few lines; None where a layer makes no sense."""
    stands: dict[str, str] = {}
    for entries in layers:
        for path, _, _ in entries:
            parent, _, name = path.rpartition("/")
            gone = f"{parent}/" if name == ".wh..wh..opq" else f"{parent}/{name[4:]}".lstrip("/") if name.startswith(".wh.") else None
            if gone is not None:
                stands = {known: what for known, what in stands.items() if known != gone and not known.startswith(f"{gone.rstrip('/')}/")}
        here: dict[str, str] = {}
        for path, content, _ in entries:
            parents = ["/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 1)]
            if any(here.get(parent, "/") != "/" for parent in parents):
                return None
            here |= dict.fromkeys(parents, "/")
            if not path.rpartition("/")[2].startswith(".wh."):
                is_folder = content is None
                if not is_folder:
                    here = {known: what for known, what in here.items() if not known.startswith(f"{path}/")}
                here[path] = "/" if is_folder else str(content, "utf-8")  # type: ignore[arg-type]
        for path, what in here.items():
            if what != "/" or stands.get(path, "/") != "/":
                stands = {known: kept for known, kept in stands.items() if not known.startswith(f"{path}/")}
        stands |= here
    return stands


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(layers=st.lists(st.lists(_ENTRIES, max_size=5), min_size=1, max_size=4))
def test_layers_come_to_what_the_image_spec_says(tmp_path_factory: pytest.TempPathFactory, layers: list[list[Entry]]) -> None:
    place = tmp_path_factory.mktemp("layers")
    expected = _applied(layers)
    try:
        read = [(place / str(number), unpacked(place / str(number), layer(*entries))) for number, entries in enumerate(layers)]
    except Invalid:
        assert expected is None
        return
    (place / "all").mkdir()
    merge(read, place / "all")
    assert expected is None or listing(place / "all") == expected


# Damage

CONTENT = layer(folder("d"), *(file(f"d/{number}", os.urandom(700).hex()) for number in range(5)))


@pytest.mark.parametrize("pack", [lambda content: content, lambda content: gzip.compress(content, mtime=0)], ids=["tar", "gzip"])
@pytest.mark.parametrize("left", [0, 1, 100, 513, 1500, -1000, -600, -1])
def test_a_layer_that_is_cut_is_never_taken_for_whole(tmp_path: Path, pack: object, left: int) -> None:
    packed = pack(CONTENT)  # type: ignore[operator]
    with pytest.raises(Invalid):
        unpacked(tmp_path / "tree", CONTENT, packed[:left])


def test_a_layer_with_another_content_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="not what its digest"):
        unpacked(tmp_path / "tree", CONTENT, layer(file("evil", "x")))


@settings(max_examples=50, deadline=None)
@given(at=st.integers(0, len(CONTENT) - 1), bits=st.integers(1, 255))
def test_a_layer_with_one_byte_changed_is_refused(tmp_path_factory: pytest.TempPathFactory, at: int, bits: int) -> None:
    changed = bytearray(CONTENT)
    changed[at] ^= bits
    with pytest.raises(Invalid):
        unpacked(tmp_path_factory.mktemp("changed") / "tree", CONTENT, bytes(changed))


@settings(max_examples=50, deadline=None)
@given(content=st.binary(max_size=2000))
def test_any_bytes_are_a_layer_or_an_error_with_words(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    place = tmp_path_factory.mktemp("any") / "tree"
    try:
        unpacked(place, content)
    except LocalRunnerError as why:
        assert "a layer of scan:1" in why.message  # noqa: PT017


@pytest.mark.parametrize(
    "header",
    [
        {"size": 1 << 60},
        {"size": 1 << 40, "type": tarfile.GNUTYPE_LONGNAME},
        {"size": 1 << 40, "type": tarfile.XHDTYPE},
        {"size": (1 << 20) + 1, "type": tarfile.XGLTYPE},
        {"size": 10, "type": tarfile.GNUTYPE_SPARSE},
    ],
    ids=str,
)
def test_sizes_that_cannot_be_are_refused_at_once(tmp_path: Path, header: dict[str, object]) -> None:
    info = tarfile.TarInfo("huge")
    for name, value in header.items():
        setattr(info, name, value)
    content = info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 21)
    with pytest.raises(Invalid):
        unpacked(tmp_path / "tree", content)


def test_headers_within_headers_without_end_are_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 11
    nested = (info.tobuf(tarfile.USTAR_FORMAT) + b"11 path=ab\n".ljust(512, b"\0")) * 3000
    with pytest.raises(Invalid, match="no tar file"):
        unpacked(tmp_path / "tree", nested)


def test_what_gzip_packed_in_many_members_is_one_layer(tmp_path: Path) -> None:
    packed = b"".join(gzip.compress(CONTENT[at : at + 1000]) for at in range(0, len(CONTENT), 1000))
    assert unpacked(tmp_path / "tree", CONTENT, packed + bytes(100)).files == 6


@pytest.mark.parametrize("frames", [1, 3])
def test_what_zstd_packed_is_a_layer(tmp_path: Path, frames: int) -> None:
    step = len(CONTENT) // frames + 1
    packed = b"".join(zstd(CONTENT[at : at + step]) for at in range(0, len(CONTENT), step))
    assert unpacked(tmp_path / "a", CONTENT, packed).files == 6
    with pytest.raises(Invalid, match="cut short"):
        unpacked(tmp_path / "b", CONTENT, packed[:-3])


def test_without_zstd_the_line_that_brings_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(streams.sys.modules, "backports", None)
    monkeypatch.setitem(streams.sys.modules, "compression", None)
    with pytest.raises(Unavailable, match="packed with zstd") as why:
        unpacked(tmp_path / "tree", CONTENT, b"\x28\xb5\x2f\xfd" + bytes(10))
    assert "pip install 'local_runner[zstd]'" in why.value.hint
