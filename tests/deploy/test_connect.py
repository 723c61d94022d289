"""Reaching a cluster: addresses, logins, and what is said when it cannot be reached."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import pytest

from local_runner.deploy.address import certificates, context_for, whole_address
from local_runner.errors import Invalid
from tests.deploy.conftest import Deployment


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("localhost", "grpc://localhost:30650"),
        ("10.0.0.1:80", "grpc://10.0.0.1:80"),
        ("grpcs://pach.example.com", "grpcs://pach.example.com:30650"),
        ("https://pach.example.com:443/", "https://pach.example.com:443"),
        ("grpc://[::1]:30650", "grpc://[::1]:30650"),
    ],
)
def test_an_address_gets_what_it_leaves_out(typed: str, meant: str) -> None:
    assert whole_address(typed) == meant


@pytest.mark.parametrize("typed", ["", "ftp://pach", "grpc://me@pach", "grpc://pach/path", "grpc://pach:port", "grpc://", "my cluster"])
def test_what_cannot_be_an_address_is_refused(typed: str) -> None:
    with pytest.raises(Invalid, match="is no address of a cluster"):
        whole_address(typed)


def test_a_cluster_that_is_not_there_is_one_line_and_a_hint(deployment: Deployment) -> None:
    ended = deployment.command("deploy --to localhost:1")
    assert ended.status == 5
    first, hint = ended.err.splitlines()
    assert first.startswith("grpc://localhost:1 cannot be reached: ")
    assert "pachctl port-forward" in hint


def test_asking_for_tls_where_there_is_none_is_explained(deployment: Deployment) -> None:
    ended = deployment.command(f"deploy --to {deployment.address.replace('grpc:', 'grpcs:')} --no-wait")
    assert ended.status == 5
    assert "answers without TLS" in ended.err.splitlines()[-1]


def test_a_cluster_with_logins_asks_for_one(deployment: Deployment) -> None:
    deployment.cluster.token = "secret"
    ended = deployment()
    assert ended.status == 1
    first, hint = ended.err.splitlines()
    assert first == f"{deployment.address} wants a login: no authentication token (try logging in)"
    assert "PACH_TOKEN" in hint


def test_the_token_comes_from_the_environment(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment.cluster.token = "secret"
    monkeypatch.setenv("PACH_TOKEN", "secret")
    deployment.ok("--no-wait")
    monkeypatch.setenv("PACH_TOKEN", "old")
    assert "has expired (try logging in)" in deployment().err


def test_the_token_comes_from_the_context_of_that_address_and_of_no_other(deployment: Deployment, tmp_path: Path) -> None:
    deployment.cluster.token = "secret"
    config = tmp_path / "config.json"
    contexts = {"other": {"pachd_address": "grpc://elsewhere:30650", "session_token": "secret"}}
    config.write_text(json.dumps({"v2": {"active_context": "other", "contexts": contexts}}))
    assert "wants a login: no authentication token" in deployment().err
    contexts["this"] = {"pachd_address": deployment.address, "session_token": "secret"}
    config.write_text(json.dumps({"v2": {"active_context": "other", "contexts": contexts}}))
    deployment.ok("--no-wait")


def test_a_token_that_was_given_over_tls_is_not_sent_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = {"pachd_address": "grpcs://pach:443", "session_token": "secret"}
    (tmp_path / "config.json").write_text(json.dumps({"v2": {"contexts": {"mine": context}}}))
    monkeypatch.setenv("PACH_CONFIG", str(tmp_path / "config.json"))
    assert context_for("grpcs://pach:443") == context
    assert context_for("grpc://pach:443") == {}


def test_certificates_come_from_the_context_the_environment_or_grpc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    mine = b"-----BEGIN CERTIFICATE-----\nmine"
    address = "grpcs://pach:443"
    assert certificates("grpc://pach:443", {"server_cas": base64.b64encode(mine).decode()}) is None
    assert certificates(address, {"server_cas": base64.b64encode(mine).decode()}) == mine
    assert (certificates(address, {}) or b"").startswith(b"-----BEGIN CERTIFICATE-----")
    (tmp_path / "trusted.pem").write_bytes(b"# a remark\n" + mine)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    assert certificates(address, {}) == mine


def test_without_python_pachyderm_the_extra_to_install_is_named(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_pachyderm", None)
    for ended in (deployment(), deployment.pull("pick@master")):
        assert ended.status == 5
        assert "pip install 'local_runner[stages]'" in ended.err
    assert "pachctl put file" in deployment.ok("--dry-run").out


@pytest.mark.parametrize(
    "text",
    ["[]", "3", '{"v2": []}', '{"v2": {"contexts": [1]}}', '{"v2": {"contexts": {"a": 1}, "active_context": []}}', "[" * 100_000, "\udcff"],
)
def test_a_configuration_that_is_none_gives_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "config.json").write_text(text, errors="surrogateescape")
    monkeypatch.setenv("PACH_CONFIG", str(tmp_path / "config.json"))
    assert context_for("grpc://pach:443") == {}
