"""Pulls from a registry that misbehaves in every way that registries and networks do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from local_runner.errors import Invalid, NotFound, Unavailable, Unsupported
from local_runner.oci.cache import ImageCache
from local_runner.oci.pull import Silent, pull
from tests.oci.small_images import BIG, IMAGE, LARGE, Request, files_of
from tests.support.images import MANIFEST, FakeRegistry, Image, digest, file, layer, send


def meddling(*answers: Callable[[Request], bool], path: str = "/blobs/") -> Callable[[Request], bool]:
    """Each answer once, to requests with this in their path; then nothing more."""
    left = list(answers)

    def meddle(request: Request) -> bool:
        return bool(left) and path in request.path and left.pop(0)(request)

    return meddle


def cut(request: Request, registry: FakeRegistry, after: int = 100_000) -> bool:
    content = registry.blobs[request.path.rpartition("/")[2]]
    start = int((request.headers.get("Range") or "bytes=0-")[6:-1])
    request.send_response(206 if start else 200)
    request.send_header("Content-Length", str(len(content) - start))
    request.end_headers()
    request.wfile.write(content[start : start + after])
    request.wfile.flush()
    request.close_connection = True
    return True


def test_a_cut_download_goes_on_where_it_was(registry: FakeRegistry, cache: ImageCache) -> None:
    one = Image([layer(file("big", BIG))])
    name = registry.push("acme/scan:1", one)
    registry.meddle = meddling(*[lambda request: cut(request, registry)] * 3, path=digest(one.packed[0]))
    came: list[int] = []

    class Counted(Silent):
        def came(self, size: int) -> None:
            came.append(size)

    pull(cache, name, progress=Counted())
    asked = [headers.get("Range") for headers in registry.asked(digest(one.packed[0]))]
    assert asked == [None, "bytes=100000-", "bytes=200000-", "bytes=300000-"]
    assert sum(came) == len(one.packed[0])
    assert files_of(cache, name)["big"] == BIG


def test_the_next_pull_goes_on_where_one_gave_up(registry: FakeRegistry, cache: ImageCache) -> None:
    one = Image([layer(file("big", BIG))])
    name = registry.push("acme/scan:1", one)
    blob = digest(one.packed[0])
    registry.meddle = lambda request: (
        blob in request.path and (cut(request, registry, 250_000) if "Range" not in request.headers else bool(send(request, 404)) or True)
    )
    with pytest.raises(NotFound):
        pull(cache, name)
    registry.meddle = lambda request: False
    pull(cache, name)
    assert registry.asked(blob)[-1]["Range"] == "bytes=250000-"
    assert files_of(cache, name)["big"] == BIG


def test_a_server_without_ranges_is_asked_for_all_again(registry: FakeRegistry, cache: ImageCache) -> None:
    one = Image([layer(file("big", BIG))])
    name = registry.push("acme/scan:1", one)
    blob = digest(one.packed[0])
    whole = lambda request: bool(send(request, 200, registry.blobs[blob])) or True  # noqa: E731
    registry.meddle = meddling(lambda request: cut(request, registry), whole, path=blob)
    pull(cache, name)
    assert files_of(cache, name)["big"] == BIG


def test_another_content_than_was_announced_is_refused_and_not_kept(registry: FakeRegistry, cache: ImageCache) -> None:
    name = registry.push("acme/scan:1", LARGE)
    blob = digest(LARGE.packed[0])
    good, registry.blobs[blob] = registry.blobs[blob], LARGE.packed[1][: len(LARGE.packed[0])].ljust(len(LARGE.packed[0]), b"x")
    with pytest.raises(Invalid, match="has another digest"):
        pull(cache, name)
    registry.blobs[blob] = good + b"more"
    with pytest.raises(Invalid, match="is longer than"):
        pull(cache, name)
    assert cache.images() == []
    registry.blobs[blob] = good
    pull(cache, name)
    assert files_of(cache, name)["big"] == BIG


def test_a_configuration_that_speaks_of_other_layers_is_refused(registry: FakeRegistry, cache: ImageCache) -> None:
    wrong = {"rootfs": {"type": "layers", "diff_ids": [digest(b"x"), digest(b"y")]}}
    with pytest.raises(Invalid, match="is not what its digest"):
        pull(cache, registry.push("acme/a:1", Image(IMAGE.layers, claims=wrong)))
    with pytest.raises(Invalid, match="has 2 layers, and its configuration speaks of 1"):
        pull(cache, registry.push("acme/b:1", Image(IMAGE.layers, claims={"rootfs": {"diff_ids": [digest(b"x")]}})))


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_what_may_pass_is_tried_again(registry: FakeRegistry, cache: ImageCache, status: int) -> None:
    name = registry.push("acme/scan:1", IMAGE)
    registry.meddle = meddling(*[lambda request: bool(send(request, status)) or True] * 3, path="/v2/")
    pull(cache, name)
    registry.meddle = lambda request: bool(send(request, status)) or True
    with pytest.raises(Unavailable, match=r"was asked too often|fails: 5"):
        pull(cache, name)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"<html>",
        b"{}",
        b'{"config": 1, "layers": []}',
        b'{"config":{"digest":"x"},"layers":[]}',
        b'{"manifests":[1]}',
        b'{"manifests":7}',
        b"[" * 99999,
    ],
)
def test_what_is_no_manifest_is_told(registry: FakeRegistry, cache: ImageCache, content: bytes) -> None:
    registry.manifests["acme/scan:1"] = (MANIFEST, content)
    with pytest.raises((Invalid, NotFound)) as why:
        pull(cache, f"{registry.host}/acme/scan:1")
    assert "acme/scan:1" in why.value.message or "digest" in why.value.message


def test_manifests_of_old_and_of_other_things_are_told(registry: FakeRegistry, cache: ImageCache) -> None:
    registry.manifests["acme/old:1"] = ("application/vnd.docker.distribution.manifest.v1+prettyjws", b'{"schemaVersion": 1}')
    with pytest.raises(Unsupported, match="schema 1"):
        pull(cache, f"{registry.host}/acme/old:1")
    windows = Image(IMAGE.layers, claims={"os": "windows"})
    with pytest.raises(Invalid, match="is for windows"):
        pull(cache, registry.push("acme/windows:1", windows))


def test_one_layer_that_fails_stops_the_others_and_leaves_nothing(registry: FakeRegistry, cache: ImageCache) -> None:
    name = registry.push("acme/scan:1", Image([*LARGE.layers, layer(file("../out"))]))
    with pytest.raises(Invalid, match="leads outside"):
        pull(cache, name)
    assert cache.images() == []
    assert not [path for path in (cache.folder / "drafts").iterdir() if path.name.startswith("new-")]


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid"])
def test_a_registry_that_is_not_there_is_named_with_what_to_do(cache: ImageCache, host: str) -> None:
    with pytest.raises(Unavailable, match=f"registry {host} cannot be reached") as why:
        pull(cache, f"{host}/acme/scan:1")
    assert f"--insecure {host}" in why.value.hint


def test_an_image_that_is_not_there_is_named(registry: FakeRegistry, cache: ImageCache) -> None:
    with pytest.raises(NotFound, match=f"image {registry.host}/acme/scan:1 is not in the registry"):
        pull(cache, f"{registry.host}/acme/scan:1")
