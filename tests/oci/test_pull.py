"""Pulls from a registry: what is fetched, what is not fetched again, and for which machine."""

from __future__ import annotations

import json
import stat
import threading

import pytest

from local_runner.errors import Invalid, NotFound
from local_runner.oci.cache import ImageCache
from local_runner.oci.pull import pull
from tests.oci.small_images import BIG, IMAGE, LARGE, files_of
from tests.support.images import MANIFEST, FakeRegistry, Image, digest, file, index_of, layer, zstd


def test_an_image_is_pulled_and_nothing_is_fetched_twice(registry: FakeRegistry, cache: ImageCache) -> None:
    name = registry.push("acme/scan:1", IMAGE)
    kept = pull(cache, name)
    assert (kept.id, kept.digest, kept.config.env) == (digest(IMAGE.config_blob), digest(IMAGE.manifest), {"A": "1"})
    assert files_of(cache, name) == {"a": "2", "d": "/"}
    other = registry.push("acme/other:2", Image([*IMAGE.layers, layer(file("b", "3"))]))
    pull(cache, other)
    assert all(len(registry.asked(digest(blob))) == 1 for blob in IMAGE.packed)
    assert files_of(cache, other) == {"a": "2", "b": "3", "d": "/"}
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700


def test_offline_what_is_here_is_found(registry: FakeRegistry, cache: ImageCache) -> None:
    name = registry.push("acme/scan:1", IMAGE)
    asked = pull(cache, name)
    number = len(registry.requests)
    again = ImageCache(cache.folder)
    assert again.find(name) == asked == again.find(asked.id) == again.find(asked.id[7:19])
    assert again.find(f"{name.rpartition(':')[0]}@{asked.digest}") == asked
    assert again.find(name.replace(":1", ":2")) is None
    assert len(registry.requests) == number


def test_of_an_index_the_manifest_for_this_machine_is_taken(registry: FakeRegistry, cache: ImageCache) -> None:
    other = Image([layer(file("a", "wrong"))], architecture="mips")
    name = registry.push_index("acme/scan:1", ("linux/mips", other), (f"linux/{IMAGE.architecture}", IMAGE), ("windows/amd64", other))
    pull(cache, name)
    assert files_of(cache, name)["a"] == "2"
    only = registry.push_index("acme/mips:1", ("linux/mips", other))
    with pytest.raises(NotFound, match=r"not there for linux/.*, only for linux/mips"):
        pull(cache, only)
    assert pull(cache, only, platform="linux/mips").config.platform == "linux/mips"
    with pytest.raises(Invalid, match="is for linux/mips"):
        pull(cache, registry.push("acme/bare:1", other))


@pytest.mark.parametrize(
    ("wanted", "there", "taken"),
    [
        ("linux/arm64/v8", ["linux/arm64", "linux/arm/v7"], "linux/arm64"),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6"], "linux/arm/v6"),
        ("linux/arm/v6", ["linux/arm/v7", "linux/arm/v5"], "linux/arm/v5"),
    ],
)
def test_an_older_variant_of_a_processor_will_do(
    registry: FakeRegistry, cache: ImageCache, wanted: str, there: list[str], taken: str
) -> None:
    images = [Image([layer(file("for", name))], architecture=name.split("/")[1]) for name in there]
    name = registry.push_index("acme/scan:1", *zip(there, images, strict=True))
    pull(cache, name, platform=wanted)
    assert files_of(cache, name) == {"for": taken}


def test_a_digest_is_held_to(registry: FakeRegistry, cache: ImageCache) -> None:
    registry.push("acme/scan:1", IMAGE)
    wanted = f"{registry.host}/acme/scan@{digest(IMAGE.manifest)}"
    pull(cache, wanted)
    assert cache.get(wanted).digest == digest(IMAGE.manifest)
    registry.manifests[f"acme/scan@{digest(b'{}')}"] = (MANIFEST, IMAGE.manifest)
    with pytest.raises(Invalid, match="is not what its digest"):
        pull(cache, f"{registry.host}/acme/scan@{digest(b'{}')}")


def test_layers_packed_with_zstd_are_pulled(registry: FakeRegistry, cache: ImageCache) -> None:
    name = registry.push("acme/scan:1", Image(IMAGE.layers, pack=zstd))
    pull(cache, name)
    assert files_of(cache, name) == {"a": "2", "d": "/"}


def test_two_pulls_at_once_fetch_each_layer_once(registry: FakeRegistry, cache: ImageCache) -> None:
    name = registry.push("acme/scan:1", LARGE)
    threads = [threading.Thread(target=pull, args=(ImageCache(cache.folder), name)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files_of(cache, name)["big"] == BIG
    assert all(len(registry.asked(digest(blob))) == 1 for blob in LARGE.packed)


def test_an_index_says_nothing_twice() -> None:
    """The builder of these tests makes what the specification shows."""
    listed = json.loads(index_of(("linux/arm/v7", IMAGE)))["manifests"]
    assert listed[0]["platform"] == {"os": "linux", "architecture": "arm", "variant": "v7"}
