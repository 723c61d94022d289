"""Images from folders and tar files, as tools make them and as nobody should."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

from local_runner.errors import Invalid, LocalRunnerError, NotFound
from local_runner.oci.cache import ImageCache
from local_runner.oci.pull import load
from tests.support.containers import why_no_builder
from tests.support.images import Image, digest, file, folder, index_of, layer, link, listing

IMAGE = Image([layer(file("a", "1"), folder("d"), file("d/x", "x")), layer(file("a", "2"), file("d/.wh.x"))], {"Env": ["A=1"]})
NAME = "acme/scan:1"
podman = pytest.mark.skipif(bool(why_no_builder("podman")), reason=f"no images are made: {why_no_builder('podman')}")


def files_of(cache: ImageCache, name: str = NAME) -> dict[str, str]:
    with cache.merged(cache.get(name)) as place:
        return listing(place)


@pytest.mark.parametrize("form", ["layout", "layout in a tar", "archive", "packed archive"])
def test_an_image_in_files_is_kept_under_its_name(cache: ImageCache, tmp_path: Path, form: str) -> None:
    source = IMAGE.as_layout(tmp_path / "layout") if "layout" in form else IMAGE.as_archive(tmp_path / "image.tar")
    if form == "layout in a tar":
        source = Path(shutil.make_archive(str(tmp_path / "packed"), "tar", source))
    if form == "packed archive":
        source.write_bytes(gzip.compress(source.read_bytes()))
    (kept,) = load(cache, source)
    assert (str(kept.reference), kept.id, kept.config.env) == ("docker.io/acme/scan:1", digest(IMAGE.config_blob), {"A": "1"})
    assert files_of(cache) == {"a": "2", "d": "/"}


def test_of_a_layout_for_several_machines_this_machines_is_taken(cache: ImageCache, tmp_path: Path) -> None:
    place = IMAGE.as_layout(tmp_path / "layout")
    other = Image([layer(file("a", "wrong"))], architecture="mips")
    index = index_of(("linux/mips", other), (f"linux/{IMAGE.architecture}", IMAGE))
    (place / "blobs/sha256" / digest(index)[7:]).write_bytes(index)
    entry = {"digest": digest(index), "size": len(index), "annotations": {"org.opencontainers.image.ref.name": NAME}}
    (place / "index.json").write_text(json.dumps({"manifests": [entry]}))
    load(cache, place)
    assert files_of(cache)["a"] == "2"


def test_a_name_is_for_one_without_and_needed_then(cache: ImageCache, tmp_path: Path) -> None:
    place = IMAGE.as_layout(tmp_path / "layout", name="")
    with pytest.raises(Invalid, match="has no name") as why:
        load(cache, place)
    assert "image load PATH NAME" in why.value.hint
    load(cache, place, name=NAME)
    assert files_of(cache)["a"] == "2"


def test_several_names_and_several_images_are_all_kept(cache: ImageCache, tmp_path: Path) -> None:
    load(cache, IMAGE.as_archive(tmp_path / "image.tar", "acme/scan:1", "localhost/acme/scan:2"))
    assert [image.reference.familiar for image in cache.images()] == ["acme/scan:1", "acme/scan:2"]
    assert cache.remove(["acme/scan:1"]).layers == 0
    assert files_of(cache, "acme/scan:2")["a"] == "2"
    assert cache.remove(["acme/scan:2"]).layers >= 2
    assert cache.images() == []
    assert list((cache.folder / "layers").iterdir()) == []


@pytest.mark.parametrize("what", ["blob", "manifest", "config", "missing", "link"])
def test_a_layout_that_is_not_whole_is_refused(cache: ImageCache, tmp_path: Path, what: str) -> None:
    place = IMAGE.as_layout(tmp_path / "layout")
    blobs = place / "blobs/sha256"
    name = {"manifest": digest(IMAGE.manifest), "config": digest(IMAGE.config_blob)}.get(what, digest(IMAGE.packed[0]))[7:]
    if what == "missing":
        (blobs / name).unlink()
    elif what == "link":
        (blobs / name).rename(tmp_path / "elsewhere")
        (blobs / name).symlink_to(tmp_path / "elsewhere")
    else:
        (blobs / name).write_bytes((blobs / name).read_bytes() + b" ")
    with pytest.raises((Invalid, NotFound)):
        load(cache, place)
    assert cache.images() == []


@pytest.mark.parametrize(
    "content", [b"", b"x" * 2000, layer(file("a", "x")), layer(file("manifest.json", "[7]")), layer(file("index.json", "{}"))]
)
def test_a_file_without_images_is_told(cache: ImageCache, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(LocalRunnerError, match=r"x.tar"):
        load(cache, tmp_path / "x.tar")
    with pytest.raises(NotFound, match="there is no file"):
        load(cache, tmp_path / "y.tar")


def test_a_path_in_an_archive_leads_nowhere_else(cache: ImageCache, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(IMAGE.config_blob)
    listed = json.dumps([{"Config": str(tmp_path / "config.json"), "RepoTags": [NAME], "Layers": ["../x"]}])
    (tmp_path / "x.tar").write_bytes(layer(file("manifest.json", listed), link("config.json", str(tmp_path / "config.json"))))
    with pytest.raises(NotFound):
        load(cache, tmp_path / "x.tar")


def test_an_image_that_lost_a_layer_is_not_here_until_it_comes_again(cache: ImageCache, tmp_path: Path) -> None:
    archive = IMAGE.as_archive(tmp_path / "image.tar")
    load(cache, archive)
    shutil.rmtree(next((cache.folder / "layers").iterdir()))
    assert cache.find(NAME) is None
    load(cache, archive)
    assert files_of(cache)["a"] == "2"


@podman
@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci-dir"])
def test_what_podman_saves_is_loaded(cache: ImageCache, tmp_path: Path, form: str) -> None:
    name = f"local_runner-test/{uuid.uuid4().hex}:1"
    subprocess.run(["podman", "import", "-c", "ENV A=1", "-", name], input=layer(file("a", "x")), capture_output=True, check=True)
    try:
        (tmp_path / "context").mkdir()
        (tmp_path / "context/Dockerfile").write_text(f"FROM {name}\nCOPY Dockerfile /b\nWORKDIR /w\n")
        built = subprocess.run(["podman", "build", "-t", name, str(tmp_path / "context")], capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stderr
        subprocess.run(["podman", "save", "--format", form, "-o", str(tmp_path / "saved"), name], capture_output=True, check=True)
        (kept,) = load(cache, tmp_path / "saved", name=name)
    finally:
        subprocess.run(["podman", "rmi", "-f", name], capture_output=True, check=False)
    assert (kept.config.env.get("A"), kept.config.working_dir) == ("1", "/w")
    assert {"a", "b"} <= files_of(cache, name).keys()
