"""A failure that this runner brought about says so: in the reason of the job and in its log."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_runner.engine.config import EngineConfig
from local_runner.engine.hindrances import MERGED, NETWORK, NETWORK_ANNOTATION, PROCESSES, READ_ONLY, Withheld, hindrances, mistakes
from local_runner.engine_host import work
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.model.jobs import JobInfo, JobState
from tests.executors.test_sandbox import needs_sandbox
from tests.support.lab import Lab

SANDBOX = Withheld(has_network=False, memory=100_000_000, limits_processes=True, read_only=READ_ONLY)
MEMORY = "user code may have run out of memory: resource_limits.memory of its spec allows 95.37MiB; write more there, or leave it out"


@pytest.mark.parametrize(
    "line",
    [
        "curl: (6) Could not resolve host: example.org",
        "curl: (7) Failed to connect to 10.0.0.1 port 80 after 0 ms: Couldn't connect to server, Network is unreachable",
        "wget: unable to resolve host address ‘example.org’",
        "wget: bad address 'example.org'",
        "socket.gaierror: [Errno -3] Temporary failure in name resolution",
        "urllib.error.URLError: <urlopen error [Errno -2] Name or service not known>",
        "OSError: [Errno 101] Network is unreachable",
        "Error: getaddrinfo ENOTFOUND example.org",
        "java.net.UnknownHostException: example.org",
        "dial tcp: lookup example.org on 10.0.0.1:53: no such host",
        "dial tcp: lookup example.org: Temporary failure in name resolution",
        "fatal: unable to access 'https://example.org/': Could not resolve host: example.org",
        "Error in open.connection(con): cannot open URL: Could not resolve hostname",
        "psycopg2.OperationalError: could not connect to server: Connection refused",
        "ssh: Could not resolve hostname example.org: Name or service not known",
        'psql: error: could not translate host name "db" to address: Temporary failure in name resolution',
        "E: Temporary failure resolving 'deb.debian.org'  Could not resolve 'deb.debian.org'",
    ],
)
def test_what_programs_say_without_a_network_is_recognised(line: str) -> None:
    assert hindrances(SANDBOX, ["before", line, "after"], "exit status 1") == [NETWORK]
    assert hindrances(Withheld(), [line], "exit status 1") == [], "it has the network"


@pytest.mark.parametrize(
    ("lines", "reason", "said"),
    [
        (["MemoryError"], "exit status 1", MEMORY),
        (["numpy.core._exceptions._ArrayMemoryError: Unable to allocate 7.45 GiB"], "exit status 1", MEMORY),
        (["terminate called after throwing an instance of 'std::bad_alloc'"], "signal: aborted", MEMORY),
        (["java.lang.OutOfMemoryError: Java heap space"], "exit status 1", MEMORY),
        (["fatal error: runtime: cannot allocate memory"], "exit status 2", MEMORY),
        ([], "signal: killed", MEMORY),
        ([], "exit status 137", MEMORY),
        (["RuntimeError: can't start new thread"], "exit status 1", PROCESSES),
        (["sh: 0: Cannot fork"], "exit status 2", PROCESSES),
        (["bash: fork: retry: Resource temporarily unavailable"], "exit status 254", PROCESSES),
        (["sh: 1: cannot create /usr/x: Read-only file system"], "exit status 2", READ_ONLY),
        (["PermissionError: [Errno 13] Permission denied: '/etc/hosts'"], "exit status 1", READ_ONLY),
    ],
)
def test_limits_are_recognised(lines: list[str], reason: str, said: str) -> None:
    assert hindrances(SANDBOX, lines, reason) == [said]
    assert hindrances(Withheld(), lines, reason) == []


def test_files_of_an_image_that_could_not_be_stacked_are_told_from_those_of_the_host() -> None:
    assert hindrances(Withheld(read_only=MERGED), ["touch: cannot touch '/app/x': Read-only file system"], "exit status 1") == [MERGED]
    assert hindrances(Withheld(read_only=MERGED), ["touch: cannot touch '/app/x': Permission denied"], "exit status 1") == []


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["ValueError: no such column"], "exit status 1"),
        (["Permission denied: '/pfs/in/a'"], "exit status 1"),
        (["Permission denied"], "exit status 126"),
        ([], "signal: terminated"),
        ([], "timed out after 2.0s"),
    ],
)
def test_mistakes_of_the_user_are_not_explained_away(lines: list[str], reason: str) -> None:
    assert hindrances(SANDBOX, lines, reason) == []


def test_a_pattern_that_only_a_shell_reads_is_said_with_the_command_that_has_one() -> None:
    copying = Withheld(cmd=("cp", "/pfs/in/*", "/pfs/out/"))
    (said,) = hindrances(copying, ["cp: cannot stat '/pfs/in/*': No such file or directory"], "exit status 1")
    assert said.endswith('write ["sh", "-c", "cp /pfs/in/* /pfs/out/"]')
    assert hindrances(copying, ["cp: no space left"], "exit status 1") == []
    assert hindrances(Withheld(cmd=("sh", "-c", "ls /x/*")), ["ls: cannot access '/x/*'"], "exit status 2") == []


def test_a_folder_under_pfs_that_is_no_input_is_said_with_those_that_are() -> None:
    code = Withheld(inputs=("in", "model"))
    missed = "cp: cannot stat '/pfs/input/a': No such file or directory"
    assert mistakes(code, [missed]) == ["there is no /pfs/input: the inputs are /pfs/in, /pfs/model"]
    assert mistakes(code, ["cat: /pfs/in/nope: No such file or directory"]) == []
    assert mistakes(code, ["cat: /pfs/out/nope: No such file or directory"]) == []


# -- over the real sandbox ---------------------------------------------------------------------------------------------


@pytest.fixture
def lab(home: Path) -> Iterator[Lab]:
    lab = Lab(home)
    lab.put("data@master", {"/a": "1"})
    yield lab
    lab.close()


def run(lab: Lab, *cmd: str, image: str = "", **fields: Any) -> JobInfo:
    """The job of a pipeline with this command, tried once."""
    transform = {"cmd": cmd, **({"image": image} if image else {}), **fields.pop("transform", {})}
    lab.pipeline("p", "data:/*", transform=transform, datum_tries=1, **fields)
    work(lab.runner, EngineConfig(SandboxExecutor(), 2))
    return lab.job("p")


def printed(lab: Lab) -> list[str]:
    return [str(line["message"]) for line in lab.runner.logs(job=lab.job("p").job) if line.get("user")]


ASK = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"


@needs_sandbox
def test_a_program_that_wants_the_network_fails_with_how_to_allow_it(lab: Lab) -> None:
    job = run(lab, "python3", "-c", ASK)
    assert job.state is JobState.FAILURE
    assert job.reason.endswith(f"failed; {NETWORK}")
    assert printed(lab)[-1] == f"local_runner: {NETWORK}"
    for way in ('"local_runner/network": "true"', "metadata.annotations", "LOCAL_RUNNER_NETWORK=1", "`run --network`"):
        assert way in job.reason


@needs_sandbox
@pytest.mark.parametrize("call", [ASK, "import socket; socket.getaddrinfo('nowhere.example', 80)"])
def test_one_that_hides_the_failure_is_a_warning_on_the_job(lab: Lab, call: str) -> None:
    job = run(lab, "sh", "-c", f'python3 -c "{call}" 2> /dev/null || true')
    assert (job.state, job.reason, job.warnings) == (JobState.SUCCESS, "", (NETWORK,))
    assert printed(lab) == [f"local_runner: {NETWORK}"]


@needs_sandbox
def test_one_that_says_nothing_of_why_it_failed_is_explained_by_what_was_seen(lab: Lab) -> None:
    job = run(lab, "sh", "-c", f'python3 -c "{ASK}" 2> /dev/null; exit 3')
    assert job.reason.endswith(f"failed; {NETWORK}")


@needs_sandbox
@pytest.mark.parametrize(("annotation", "state"), [(None, JobState.SUCCESS), ("false", JobState.FAILURE)])
def test_an_engine_that_gives_the_network_to_all_gives_it_to_those_that_do_not_decline(
    lab: Lab, annotation: str | None, state: JobState
) -> None:
    metadata = {"metadata": {"annotations": {NETWORK_ANNOTATION: annotation}}} if annotation else {}
    with socket.create_server(("127.0.0.1", 0)) as server:
        ask = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}))"
        lab.pipeline("p", "data:/*", transform={"cmd": ["python3", "-c", ask]}, datum_tries=1, **metadata)
        work(lab.runner, EngineConfig(SandboxExecutor(), 1, network=True))
    assert lab.state("p") is state


@needs_sandbox
def test_a_connection_to_oneself_is_no_attempt(lab: Lab) -> None:
    job = run(lab, "python3", "-c", "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())")
    assert (job.state, job.warnings, printed(lab)) == (JobState.SUCCESS, (), [])


@needs_sandbox
def test_a_program_that_wants_more_memory_than_it_may_have_says_how_much_that_is(lab: Lab) -> None:
    job = run(lab, "python3", "-c", "bytearray(300_000_000)", resource_limits={"memory": "100M"})
    assert job.reason.endswith(f"failed; {MEMORY}")


@needs_sandbox
def test_a_program_that_writes_into_the_host_says_where_it_may(lab: Lab) -> None:
    assert run(lab, "sh", "-c", "echo x > /usr/new").reason.endswith(f"failed; {READ_ONLY}")


@needs_sandbox
@pytest.mark.parametrize(
    "cmd",
    [
        ("python3", "/contour.py"),
        ("sh", "-c", "./scan.sh x"),
        ("Rscript", "/m.R"),
        ("/app/x.py",),
        ("sh", "-c", "python3 -m acme.main"),
        ("sh", "-c", "cd /srv/app && ls"),
    ],
)
def test_whatever_exists_only_in_an_image_is_told_from_a_mistake(lab: Lab, cmd: tuple[str, ...]) -> None:
    job = run(lab, *cmd, image="acme/contour:1")
    assert "failed; image acme/contour:1 is not here, and its files are not either" in job.reason
    assert any("image pull acme/contour:1" in line for line in printed(lab))


@needs_sandbox
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_user_whom_only_an_image_knows_is_told_from_a_mistake(lab: Lab) -> None:
    reason = run(lab, "id", image="acme/contour:1", transform={"user": "worker7"}).reason
    assert "user worker7 not found; image acme/contour:1 is not here" in reason


@needs_sandbox
@pytest.mark.parametrize(
    ("cmd", "is_told"), [(("no-such-montage", "a"), True), (("sh", "-c", "no-such-montage a"), True), (("false",), False)]
)
def test_what_a_dockerfile_installs_and_this_host_lacks_is_told_where_it_is_missed(
    lab: Lab, tmp_path: Path, cmd: tuple[str, ...], is_told: bool
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM alpine:3\nRUN apk add imagemagick\n")
    lab.pipeline("p", "data:/*", transform={"cmd": cmd, "image": "acme/montage:1"}, datum_tries=1)
    work(lab.runner, EngineConfig(SandboxExecutor(), 1, images=lambda: {"acme/montage": tmp_path}))
    told = f"image acme/montage:1: {tmp_path / 'Dockerfile'} installs imagemagick with apk: it must be on this machine"
    assert (told in lab.job("p").reason) is is_told


@needs_sandbox
def test_another_python_than_the_images_is_said_when_it_fails(lab: Lab) -> None:
    assert (
        "image python:3.6 is a plain base: its commands run on this host, but with Python 3" in run(lab, "false", image="python:3.6").reason
    )


@pytest.mark.parametrize(
    ("cmd", "said"),
    [
        (("echo hi > /pfs/out/x",), 'write ["sh", "-c", "echo hi > /pfs/out/x"]'),
        (("sh", "-c", "cp /pfs/input/a /pfs/out"), "there is no /pfs/input: the inputs are /pfs/data"),
    ],
)
@needs_sandbox
def test_a_command_or_path_that_cannot_be_right_is_told_in_the_log(lab: Lab, cmd: tuple[str, ...], said: str) -> None:
    assert run(lab, *cmd).reason.endswith(" failed")  # as a cluster's does
    assert any(line.endswith(said) for line in printed(lab))


SECRET = {"name": "s", "key": "k", "env_var": "T"}
NO_SECRET = "secret s is not here, so variable T is left out; a cluster refuses the spec; to have it: `create secret -f FILE` with "


@needs_sandbox
def test_a_secret_that_is_not_here_is_in_the_reason(lab: Lab) -> None:
    job = run(lab, "python3", "-c", "import os; os.environ['T']", transform={"secrets": [SECRET]})
    assert f"failed; {NO_SECRET}" in job.reason
    assert f'{NO_SECRET}{{"metadata": {{"name": "s"}}, "stringData": {{"k": "VALUE"}}}}' in "\n".join(printed(lab))


def test_a_key_that_a_secret_lacks_is_a_warning_on_a_job_that_succeeds(lab: Lab) -> None:
    lab.runner.create_secret({"metadata": {"name": "s"}, "stringData": {"other": "x"}})
    lab.pipeline("p", "data:/*", transform={"cmd": ["do"], "secrets": [SECRET]})
    lab.run_all()
    (said,) = lab.job("p").warnings
    assert said.startswith("secret s has no key k (it has other), so variable T is left out")
    lab.runner.create_secret({"metadata": {"name": "s2"}, "stringData": {"k": "x"}})
    lab.pipeline("q", "data:/*", transform={"cmd": ["do"], "secrets": [{**SECRET, "name": "s2"}]})
    lab.run_all()
    assert lab.job("q").warnings == ()


def test_of_several_datums_that_fail_the_first_is_named_and_the_others_counted(lab: Lab) -> None:
    lab.put("data@master", {f"/{name}": "1" for name in "bcdef"})
    lab.pipeline("p", "data:/*", lambda _: 1, datum_tries=1, parallelism_spec={"constant": 2})
    lab.run_all()
    found = {info.datum.inputs[0].path: info.datum.id for info in lab.runner.list_datum(lab.job("p").job)}
    assert lab.job("p").reason == f"datum {found['/a']} failed"
    assert lab.job("p").counters.failed == 6


@needs_sandbox
def test_an_error_command_that_fails_is_in_the_log(lab: Lab) -> None:
    told = 'err_cmd failed, too: exec: "no-such-mender": executable file not found in $PATH'
    assert run(lab, "false", transform={"err_cmd": ["no-such-mender"]}).reason.endswith(" failed")
    assert any(line.endswith(told) for line in printed(lab))
