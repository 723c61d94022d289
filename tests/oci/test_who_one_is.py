"""Passwords and tokens: found where docker keeps them, and told to nobody else."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from local_runner.errors import LocalRunnerError, Unavailable
from local_runner.oci.cache import ImageCache
from local_runner.oci.pull import pull
from tests.oci.small_images import IMAGE, Request, files_of
from tests.support.images import FakeRegistry, send, serving


def log_in(docker: Path, host: str, **more: object) -> None:
    auth = base64.b64encode(b"ann:secret").decode()
    (docker / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}, **more}))


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
