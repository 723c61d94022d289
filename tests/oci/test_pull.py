"""Pulls from a registry that misbehaves in every way that registries and networks do."""

from __future__ import annotations

import base64
import json
import os
import stat
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from local_runner.errors import Invalid, LocalRunnerError, NotFound, Unavailable, Unsupported
from local_runner.oci.cache import ImageCache
from local_runner.oci.pull import Silent, pull
from tests.support.images import MANIFEST, FakeRegistry, Image, digest, file, folder, index_of, layer, listing, send, serving, zstd

BIG = os.urandom(600_000).hex()
Request = BaseHTTPRequestHandler


def log_in(docker: Path, host: str, **more: object) -> None:
    auth = base64.b64encode(b"ann:secret").decode()
    (docker / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}, **more}))


def files_of(cache: ImageCache, name: str) -> dict[str, str]:
    with cache.merged(cache.get(name)) as place:
        return listing(place)


IMAGE = Image([layer(file("a", "1"), folder("d"), file("d/x", "x")), layer(file("a", "2"), file("d/.wh.x"))], {"Env": ["A=1"]})
LARGE = Image([layer(file("big", BIG)), layer(file("other", BIG[::-1]))])


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


# What goes wrong


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


# Who one is


def basic(request: Request) -> bool:
    if request.headers.get("Authorization") == f"Basic {base64.b64encode(b'ann:secret').decode()}":
        return False
    send(request, 401, b"", {"WWW-Authenticate": 'Basic realm="registry"'})
    return True


def test_a_password_of_docker_login_is_used(registry: FakeRegistry, cache: ImageCache, nobody_is_logged_in: Path) -> None:
    name = registry.push("acme/scan:1", IMAGE)
    registry.meddle = basic
    with pytest.raises(Unavailable, match="only for those who are logged in") as why:
        pull(cache, name)
    assert f"docker login {registry.host}" in why.value.hint
    log_in(nobody_is_logged_in, registry.host)
    pull(cache, name)
    assert files_of(cache, name)["a"] == "2"


@pytest.mark.parametrize("kind", ["credsStore", "credHelpers"])
def test_a_credential_helper_is_asked(
    registry: FakeRegistry, cache: ImageCache, nobody_is_logged_in: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    name = registry.push("acme/scan:1", IMAGE)
    registry.meddle = basic
    helper = nobody_is_logged_in / "docker-credential-test"
    helper.write_text(f'#!/bin/sh\ntest $1 = get && test $(cat) = {registry.host} && echo \'{{"Username": "ann", "Secret": "secret"}}\'\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(nobody_is_logged_in), prepend=os.pathsep)
    document = {"credsStore": "test"} if kind == "credsStore" else {"credHelpers": {registry.host: "test"}}
    (nobody_is_logged_in / "config.json").write_text(json.dumps(document))
    pull(cache, name)
    assert files_of(cache, name)["a"] == "2"


@pytest.mark.parametrize("form", ["anonymous", "password", "identity"])
def test_a_bearer_token_is_fetched_and_fetched_again_when_it_expires(
    registry: FakeRegistry, cache: ImageCache, nobody_is_logged_in: Path, form: str
) -> None:
    name = registry.push("acme/scan:1", IMAGE)
    asked: list[str] = []
    uses = [0]  # of the last token, which is good for three requests

    def meddle(request: Request) -> bool:
        if request.path.startswith("/token"):
            uses.append(0)
            body = request.rfile.read(int(request.headers.get("Content-Length", 0))).decode()
            asked.append(f"{request.command} {request.path} {request.headers.get('Authorization', '')} {body}")
            send(
                request, 200, json.dumps({"token": f"t{len(asked)}"} if form != "identity" else {"access_token": f"t{len(asked)}"}).encode()
            )
            return True
        if request.headers.get("Authorization") == f"Bearer t{len(asked)}" and uses[-1] < 3:
            uses[-1] += 1
            return False
        challenge = f'Bearer realm="http://{registry.host}/token",service="reg istry",scope="repository:acme/scan:pull"'
        send(request, 401, b"", {"WWW-Authenticate": challenge})
        return True

    registry.meddle = meddle
    if form == "password":
        log_in(nobody_is_logged_in, registry.host)
    elif form == "identity":
        (nobody_is_logged_in / "config.json").write_text(json.dumps({"auths": {registry.host: {"identitytoken": "mine"}}}))
    pull(cache, name)
    assert files_of(cache, name)["a"] == "2"
    assert len(asked) >= 2
    if form == "identity":
        assert asked[0].startswith("POST /token ")
        assert "refresh_token=mine" in asked[0]
    else:
        assert asked[0].startswith("GET /token?service=reg+istry&scope=repository%3Aacme%2Fscan%3Apull")
        assert ("Basic" in asked[0]) is (form == "password")


def test_who_one_is_is_not_told_to_where_a_blob_is_elsewhere(registry: FakeRegistry, cache: ImageCache, nobody_is_logged_in: Path) -> None:
    name = registry.push("acme/scan:1", IMAGE)
    log_in(nobody_is_logged_in, registry.host)
    with serving(FakeRegistry(blobs=registry.blobs)) as elsewhere:

        def meddle(request: Request) -> bool:
            if basic(request):
                return True
            if "/blobs/" in request.path:
                send(request, 307, b"", {"Location": f"http://{elsewhere.host}{request.path}"})
            return "/blobs/" in request.path

        registry.meddle = meddle
        pull(cache, name)
        assert elsewhere.requests
        assert not any("Authorization" in headers for _, headers in elsewhere.requests)


@pytest.mark.parametrize(
    "broken", ["{", '{"auths": {"HOST": {"auth": "*"}}}', '{"credsStore": "no-such-helper"}', '{"credsStore": "../x"}']
)
def test_passwords_that_cannot_be_read_are_told_with_their_file(
    registry: FakeRegistry, cache: ImageCache, nobody_is_logged_in: Path, broken: str
) -> None:
    name = registry.push("acme/scan:1", IMAGE)
    registry.meddle = basic
    (nobody_is_logged_in / "config.json").write_text(broken.replace("HOST", registry.host))
    with pytest.raises(LocalRunnerError) as why:
        pull(cache, name)
    assert "config.json" in why.value.message + why.value.hint


# Mirrors


def test_a_mirror_of_registries_conf_is_asked_first_and_the_registry_if_it_fails(
    registry: FakeRegistry, cache: ImageCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.push("mirrored/team/scan:1", IMAGE)
    conf = tmp_path / "registries.conf"
    conf.write_text(
        f"""
        [[registry]]
        prefix = "example.com/team"
        location = "127.0.0.1:1/team"
        [[registry.mirror]]
        location = "{registry.host}/mirrored/team"
        """
    )
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(conf))
    kept = pull(cache, "example.com/team/scan:1")
    assert kept.reference.name == "example.com/team/scan"
    registry.push("mirrored/team/other:1", IMAGE)
    registry.meddle = lambda request: bool(send(request, 403)) or True
    with pytest.raises(Unavailable, match="does not give out"):
        pull(cache, "example.com/team/other:1")
    conf.write_text('[[registry]]\nlocation = "example.com"\nblocked = true\n')
    with pytest.raises(LocalRunnerError, match="is blocked"):
        pull(cache, "example.com/team/scan:1")


def test_an_index_says_nothing_twice() -> None:
    """The builder of these tests makes what the specification shows."""
    listed = json.loads(index_of(("linux/arm/v7", IMAGE)))["manifests"]
    assert listed[0]["platform"] == {"os": "linux", "architecture": "arm", "variant": "v7"}
