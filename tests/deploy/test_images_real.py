"""Images that are really built, pushed to a registry and pulled back from it, by every tool that is here."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_runner.executors.container_engines import BUILDERS, ENGINE_VARIABLE
from tests.contracts.bench import soon
from tests.deploy.conftest import Deployment
from tests.support.containers import needs_builder, packed

_REGISTRY = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{folder}"}}}}
http: {{addr: "{address}"}}
"""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of a registry of images on this machine, which speaks plain HTTP."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("no registry to push to: docker-registry is not installed")
    with socket.create_server(("localhost", 0)) as free:
        address = f"localhost:{free.getsockname()[1]}"
    settings = tmp_path / "registry.yml"
    settings.write_text(_REGISTRY.format(folder=tmp_path / "registry", address=address))
    process = subprocess.Popen([program, "serve", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert soon(lambda: _answers(address))
        yield address
    finally:
        process.kill()
        process.wait()


def _answers(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


@pytest.fixture(params=[pytest.param(name, marks=needs_builder(name)) for name in BUILDERS])
def program(request: pytest.FixtureRequest, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tool to use, for a project whose image needs no other to be built."""
    monkeypatch.setenv(ENGINE_VARIABLE, request.param)
    deployment.write("train/Dockerfile", "FROM scratch\nADD system.tar /\nWORKDIR /app\nCOPY train.py .\n")
    (deployment.root / "train/system.tar").write_bytes(packed(("true",)))
    return str(request.param)


def image_id(program: str, name: str) -> str:
    question = (
        ["inspect", "--type", "image", "--format", "{{.FromImageID}}"]
        if program == "buildah"
        else ["image", "inspect", "--format", "{{.Id}}"]
    )
    return subprocess.run([program, *question, name], capture_output=True, text=True, check=True).stdout.strip()


def test_what_is_pulled_from_the_registry_is_what_was_built(
    registry: str, program: str, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = deployment.root / "registries.conf"
    allowed.write_text(f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n')
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(allowed))
    deployment.ok(f"--no-wait --registry {registry}/x")
    image = deployment.cluster.pipelines["default", "train"].details.transform.image
    assert image.startswith(f"{registry}/x/me/train:1.0-")
    pushed = image_id(program, image)
    subprocess.run([program, "rmi", image], capture_output=True, check=True)
    try:
        subprocess.run([program, "pull", image], capture_output=True, check=True)
        assert image_id(program, image) == pushed
    finally:
        subprocess.run([program, "rmi", image], capture_output=True, check=True)


@pytest.mark.parametrize("program", [pytest.param("podman", marks=needs_builder("podman"))], indirect=True)
def test_a_registry_without_encryption_has_to_be_allowed(registry: str, program: str, deployment: Deployment) -> None:
    """docker allows those of this machine by itself."""
    ended = deployment(f"--registry {registry}/x")
    subprocess.run([program, "rmi", ended.err.split(": building ")[1].split()[0]], capture_output=True, check=True)
    assert ended.status == 1
    assert f"{registry} did not take {registry}/x/me/train:1.0-" in ended.err
    assert f"{program}: the registry speaks plain HTTP: " in ended.err
    assert "insecure = true in ~/.config/containers/registries.conf" in ended.err
    assert not deployment.cluster.pipelines
