"""Debian's docker-registry on loopback, with TLS and passwords, and images that podman pushed there."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_runner.errors import Unavailable
from local_runner.oci import hosts
from local_runner.oci.cache import ImageCache
from local_runner.oci.pull import pull
from tests.support.containers import why_no_builder
from tests.support.images import file, folder, layer, listing

_MISSING = [name for name in ("docker-registry", "openssl") if not shutil.which(name)] or [why for why in [why_no_builder("podman")] if why]
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=f"no registry can be tried: {', '.join(_MISSING)}")
_ENVIRONMENT = dict(os.environ)  # podman's, before tests say who is logged in


def _passwords() -> str:
    """A line for the user ann with the password `secret`."""
    if shutil.which("htpasswd"):
        return subprocess.run(["htpasswd", "-Bbn", "ann", "secret"], capture_output=True, text=True, check=True).stdout
    crypted = subprocess.run(
        ["perl", "-e", 'print crypt("secret", "\\$2b\\$05\\$abcdefghijklmnopqrstuu")'], capture_output=True, text=True, check=False
    ).stdout
    return f"ann:{crypted}\n" if crypted.startswith("$2") else ""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, bool]]:
    """Where it listens, the folder with its certificate in it, and whether it wants a password."""
    folder = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"localhost:{free.getsockname()[1]}"
    request = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
    ]
    made = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.crt")]
    subprocess.run(["openssl", *request, *made], capture_output=True, check=True)
    passwords = _passwords()
    (folder / "htpasswd").write_text(passwords)
    auth = f"auth: {{htpasswd: {{realm: here, path: {folder}/htpasswd}}}}\n" if passwords else ""
    (folder / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n{auth}"
        f"http: {{addr: '{host}', tls: {{certificate: {folder}/ca.crt, key: {folder}/key.pem}}}}\n"
    )
    process = subprocess.Popen(
        ["docker-registry", "serve", str(folder / "config.yml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            try:
                socket.create_connection(("localhost", int(host.partition(":")[2])), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield host, folder, bool(passwords)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def pushed(place: tuple[str, Path, bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The name of an image in it; its certificate is trusted."""
    host, folder_of_registry, _ = place
    trusted = tmp_path / "certs.d" / host
    trusted.mkdir(parents=True)
    shutil.copy(folder_of_registry / "ca.crt", trusted)
    monkeypatch.setattr(hosts, "_CERTIFICATES", (str(tmp_path / "certs.d"),))
    name = f"{host}/team/scan:1"
    tar = layer(folder("d"), file("d/x", "x"), file("a", "1"))
    subprocess.run(["podman", "import", "-c", "ENV A=1", "-", name], input=tar, capture_output=True, check=True, env=_ENVIRONMENT)
    try:
        flags = ["--creds", "ann:secret", "--tls-verify=false"]
        done = subprocess.run(["podman", "push", *flags, name], capture_output=True, text=True, check=False, env=_ENVIRONMENT)
        assert done.returncode == 0, done.stderr
        yield name
    finally:
        subprocess.run(["podman", "rmi", "-f", name], capture_output=True, check=False, env=_ENVIRONMENT)


def log_in(docker: Path, host: str) -> None:
    auth = base64.b64encode(b"ann:secret").decode()
    (docker / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def test_what_podman_pushed_is_pulled_over_tls_with_a_password(
    place: tuple[str, Path, bool], pushed: str, cache: ImageCache, nobody_is_logged_in: Path
) -> None:
    host, _, is_closed = place
    if is_closed:
        with pytest.raises(Unavailable, match="only for those who are logged in"):
            pull(cache, pushed)
    log_in(nobody_is_logged_in, host)
    kept = pull(cache, pushed)
    assert kept.config.env["A"] == "1"
    with cache.merged(kept) as files:
        assert listing(files) == {"a": "1", "d": "/", "d/x": "x"}
    assert pull(cache, f"{host}/team/scan@{kept.digest}").id == kept.id


def test_a_certificate_that_nobody_trusts_is_told_with_both_remedies(
    place: tuple[str, Path, bool], pushed: str, cache: ImageCache, nobody_is_logged_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, _, _ = place
    log_in(nobody_is_logged_in, host)
    monkeypatch.setattr(hosts, "_CERTIFICATES", ())
    monkeypatch.setattr(hosts, "_is_insecure", lambda host, named: host in named)  # one on this machine is, else
    with pytest.raises(Unavailable, match="does not prove who it is") as why:
        pull(cache, pushed)
    assert f"/etc/docker/certs.d/{host}/ca.crt" in why.value.hint
    assert f"--insecure {host}" in why.value.hint
    assert pull(cache, pushed, insecure=[host]).reference.registry == host
