"""`serve`: a process that clients find, that is alone on its home, and that ends well."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_runner.runner import Runner
from tests.support.api_client import ApiClient

SERVE = (sys.executable, "-m", "local_runner", "serve", "--port", "0")


def started(home: Path, *flags: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "LOCAL_RUNNER_HOME": str(home), "LOCAL_RUNNER_EXECUTOR": "process"}
    return subprocess.Popen([*SERVE, *flags], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def process(home: Path) -> Iterator[subprocess.Popen[str]]:
    found = started(home)
    yield found
    found.kill()
    found.communicate()


def port(process: subprocess.Popen[str]) -> int:
    """What it prints first."""
    assert process.stdout
    return int(process.stdout.readline().rsplit(":", 1)[1])


def test_it_says_where_it_listens_and_what_to_paste(home: Path, process: subprocess.Popen[str]) -> None:
    assert process.stdout
    found = port(process)
    line = process.stdout.readline().strip()
    assert line == f"export PACH_CONFIG={home / 'pachctl.json'}"
    context = json.loads((home / "pachctl.json").read_text())["v2"]["contexts"]["local"]
    with Runner.open(home, background=False) as runner:
        assert context["pachd_address"] == f"grpc://127.0.0.1:{found}" == runner.server_url() == runner.status().server
    assert (home / "pachctl.json").stat().st_mode & 0o777 == 0o600


def test_a_home_has_one_server(home: Path, process: subprocess.Popen[str]) -> None:
    port(process)
    second = started(home)
    _, said = second.communicate(timeout=60)
    assert second.returncode == 75
    assert "serves" in said
    assert "hint: it listens on grpc://127.0.0.1:" in said


def test_commands_and_clients_work_side_by_side_on_one_home(home: Path, process: subprocess.Popen[str]) -> None:
    from local_runner.model.refs import parse_repo

    client = ApiClient(port(process))
    with Runner.open(home, background=False) as runner:
        runner.create_repo(parse_repo("ours"))
        client("pfs_v2.API/CreateRepo", repo={"name": "theirs"})
        assert [str(info.repo) for info in runner.list_repo()] == ["default/ours", "default/theirs"]
    assert len(client("pfs_v2.API/ListRepo")) == 2
    client.close()


def test_it_ends_when_it_is_told_and_leaves_a_line_for_each_call(home: Path, process: subprocess.Popen[str]) -> None:
    client = ApiClient(port(process))
    client("grpc.health.v1.Health/Check")
    client("pfs_v2.API/ListRepo")
    stream = client.start("pfs_v2.API/SubscribeCommit", repo={"name": "none"})
    assert stream.code().name == "NOT_FOUND"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    log = (home / "server.log").read_text()
    assert "OK pfs_v2.API/ListRepo" in log
    assert "NOT_FOUND pfs_v2.API/SubscribeCommit" in log
    assert not (home / "server.json").exists()
    client.close()


@pytest.mark.parametrize("flags", [(), ("--token-file", "token"), ("--tls-key", "key", "--tls-cert", "certificate")])
def test_it_does_not_listen_beyond_this_machine_without_token_and_tls(tmp_path: Path, home: Path, flags: tuple[str, ...]) -> None:
    for name in ("token", "key", "certificate"):
        (tmp_path / name).write_text("x")
    found = started(home, "--listen", "0.0.0.0", *(str(tmp_path / flag) if not flag.startswith("-") else flag for flag in flags))
    _, said = found.communicate(timeout=60)
    assert found.returncode == 2
    assert "whoever connects may run commands as you" in said


def test_who_does_not_know_the_token_is_turned_away(tmp_path: Path, home: Path) -> None:
    (tmp_path / "token").write_text("sesame\n")
    process = started(home, "--token-file", str(tmp_path / "token"))
    stranger = ApiClient(port(process))
    friend = stranger.within(authn_token="sesame")
    assert stranger.error("pfs_v2.API/CreateRepo", repo={"name": "a"})[0] == "UNAUTHENTICATED"
    assert stranger.within(authn_token="other").error("pfs_v2.API/ListRepo")[0] == "UNAUTHENTICATED"
    assert stranger("grpc.health.v1.Health/Check") == {"status": "SERVING"}
    assert stranger("versionpb_v2.API/GetVersion")["major"] == 2
    friend("pfs_v2.API/CreateRepo", repo={"name": "a"})
    assert json.loads((home / "pachctl.json").read_text())["v2"]["contexts"]["local"]["session_token"] == "sesame"
    process.terminate()
    process.communicate(timeout=60)
    stranger.close(), friend.close()


@pytest.fixture
def certified(tmp_path: Path) -> Path:
    """A folder with a key, a certificate of this machine signed with it, another certificate, and a token."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not there to make certificates")
    for name in ("server", "other"):
        make = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout {name}.key -out {name}.pem"
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        subprocess.run([*make.split(), *names], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "token").write_text("sesame\n")
    return tmp_path


def test_with_tls_only_who_trusts_the_certificate_and_knows_the_token_is_served(certified: Path, home: Path) -> None:
    paths = {name: str(certified / name) for name in ("server.key", "server.pem", "other.pem", "token")}
    process = started(home, "--token-file", paths["token"], "--tls-key", paths["server.key"], "--tls-cert", paths["server.pem"])
    assert process.stdout
    url = process.stdout.readline().split()[-1]
    assert url.startswith("grpcs://127.0.0.1:")
    at = int(url.rsplit(":", 1)[1])
    certificate = Path(paths["server.pem"]).read_bytes()
    friend = ApiClient(at, metadata={"authn-token": "sesame"}, certificate=certificate)
    friend("pfs_v2.API/CreateRepo", repo={"name": "a"})
    assert [info["repo"]["name"] for info in friend("pfs_v2.API/ListRepo", type="user")] == ["a"]
    stranger = ApiClient(at, certificate=certificate)
    assert stranger.error("pfs_v2.API/ListRepo")[0] == "UNAUTHENTICATED"
    misled = ApiClient(at, metadata={"authn-token": "sesame"}, certificate=Path(paths["other.pem"]).read_bytes())
    plain = ApiClient(at, metadata={"authn-token": "sesame"}, timeout=5)
    for client in (misled, plain):
        assert client.error("versionpb_v2.API/GetVersion")[0] in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
    context = json.loads((home / "pachctl.json").read_text())["v2"]["contexts"]["local"]
    assert base64.b64decode(context["server_cas"]) == certificate
    assert (context["pachd_address"], context["session_token"]) == (url, "sesame")
    assert (home / "pachctl.json").stat().st_mode & 0o077 == 0
    for client in (friend, stranger, misled, plain):
        client.close()
    process.terminate()
    process.communicate(timeout=20)


def test_clocks_tick_while_it_is_up(home: Path, process: subprocess.Popen[str]) -> None:
    """Nobody gives a command meanwhile."""
    client = ApiClient(port(process))
    spec = {"pipeline": {"name": "clock"}, "transform": {"cmd": ["true"]}, "input": {"cron": {"name": "tick", "spec": "@every 1s"}}}
    client("pps_v2.API/CreatePipelineV2", create_pipeline_request_json=json.dumps(spec))
    deadline = time.monotonic() + 30
    while len(client("pfs_v2.API/ListCommit", repo={"name": "clock_tick"})) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.3)
    client("pps_v2.API/StopPipeline", pipeline={"name": "clock"})
    client.close()
