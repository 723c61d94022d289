"""Mirrors and other names of registries.conf."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_runner.errors import LocalRunnerError, Unavailable
from local_runner.oci.cache import ImageCache
from local_runner.oci.pull import pull
from tests.oci.small_images import IMAGE
from tests.support.images import FakeRegistry, send


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
