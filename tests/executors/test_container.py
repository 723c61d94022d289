from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from local_runner.errors import Unavailable
from local_runner.executors.auto import AutoExecutor
from local_runner.executors.base import Executor, Worker
from local_runner.executors.container import ContainerExecutor
from local_runner.executors.container_engines import ENGINE_VARIABLE, OWNER_LABEL, find_engine
from local_runner.executors.resources import Resources
from local_runner.images.choice import Way, choose_image
from tests.contracts.bench import Bench, is_alive, soon, unique_sleep, worker_request
from tests.contracts.executor import ExecutorContract
from tests.contracts.isolation import IsolationContract
from tests.support.containers import IMAGE, executor_of, imported, needs, packed

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


class ContainerContract(ExecutorContract, IsolationContract):
    program = ""
    more = {"image": IMAGE}  # noqa: RUF012  # nobody writes to it

    @pytest.fixture
    def executor(self, monkeypatch: pytest.MonkeyPatch) -> ContainerExecutor:
        monkeypatch.setenv(ENGINE_VARIABLE, self.program)  # for engines of processes of their own
        return executor_of(self.program)

    # The image

    def test_code_stands_where_the_image_has_it(self, executor: Executor, tmp_path: Path) -> None:
        """The image was built with it: nothing of its folder is shown."""
        (tmp_path / "file").touch()
        with self.open(executor, tmp_path, code={"/app/file": tmp_path / "file"}) as worker:
            bench = Bench(worker, tmp_path)
            assert bench.run("ls", "/app").accepted()
        assert bench.stdout == ["split.py"]

    def test_the_working_directory_is_the_root_folder_unless_told_otherwise(self, bench: Bench) -> None:
        """The image has told: its own."""
        bench.run("pwd")
        assert bench.stdout == ["/app"]

    def test_the_variables_of_the_image_come_first(self, executor: Executor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path, env={"COLOUR": "red"}) as worker:
            bench = Bench(worker, tmp_path)
            bench.run("sh", "-c", "echo $PATH $HOME $COLOUR")
            assert worker.env["PATH"].startswith("/usr/local/sbin:")
        assert bench.stdout == [f"{worker.env['PATH']} /root red"]

    def test_an_image_that_is_not_there_is_named_with_what_to_do(self, executor: Executor, tmp_path: Path) -> None:
        for digest, remedy in (("", "pull no/such:1"), ("abc", "python -m local_runner build images such")):
            with pytest.raises(Unavailable, match="there is no image no/such:1") as raised:
                self.open(executor, tmp_path / remedy.split()[0], image="no/such:1", digest=digest).__enter__()
            assert remedy in raised.value.message
            assert raised.value.exit_status == 5

    def test_an_image_that_is_not_up_to_date_is_refused(self, executor: Executor, tmp_path: Path) -> None:
        with pytest.raises(Unavailable, match="older than what is in its folder; build it: python -m local_runner build images split"):
            self.open(executor, tmp_path, digest="abc").__enter__()

    @pytest.mark.parametrize("programs", [("true",), ("sh", "cat")])
    def test_an_image_needs_neither_python_nor_a_shell(self, executor: Executor, tmp_path: Path, programs: tuple[str, ...]) -> None:
        with imported(self.program, programs) as image, self.open(executor, tmp_path, image=image, env={"PATH": "/bin"}) as worker:
            bench = Bench(worker, tmp_path)
            assert bench.run(programs[0]).accepted()
            assert "executable file not found" in bench.run("python3").error

    def test_auto_runs_an_image_that_an_engine_has_in_a_container(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(ENGINE_VARIABLE, self.program)
        auto = AutoExecutor()
        with imported(self.program, ("sh", "cat")) as image:
            assert (auto.engine_with(image), auto.engine_with("acme/no-such-image:1")) == (self.program, "")
            assert choose_image(image, {}, auto).way is Way.CONTAINER
            with self.open(auto, tmp_path, image=image, env={"PATH": "/bin"}, in_container=True) as worker:
                assert "executable file not found" in Bench(worker, tmp_path).run("ls").error

    # What user code can do

    def test_what_it_writes_belongs_to_the_user_who_runs_this(self, bench: Bench) -> None:
        assert bench.sh("mkdir /pfs/out/folder; echo x > /pfs/out/folder/file").accepted()
        assert {path.stat().st_uid for path in (bench.out / "folder", bench.out / "folder/file")} == {os.geteuid()}

    @needs_root
    def test_the_user_of_the_transform_is_looked_up_in_the_image(self, executor: Executor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path, user="games:daemon") as worker:
            bench = Bench(worker, tmp_path)
            assert bench.sh("id -un; id -gn; echo x > /pfs/out/x; cat /pfs/in/file").accepted()
            assert bench.stdout == ["games", "daemon", "one"]
            assert (bench.out / "x").read_text() == "x\n"
        with pytest.raises(Unavailable, match="user no-such-user not found"):
            self.open(executor, tmp_path / "other", user="no-such-user").__enter__()

    def test_a_command_that_takes_too_much_memory_is_killed_and_it_is_said_why(self, executor: Executor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path, resources=Resources(memory=64_000_000)) as worker:
            bench = Bench(worker, tmp_path)
            for _ in range(2):
                assert bench.run("python3", "-c", "b'x' * 200_000_000").exit_code == -9
            assert bench.run("true").accepted()
        said = "killed: out of memory: resource_limits.memory allows 64000000 bytes"
        assert bench.lines == [("stderr", said)] * 2

    def test_a_kill_that_is_not_for_want_of_memory_is_not_called_so(self, executor: Executor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path, resources=Resources(memory=64_000_000)) as worker:
            bench = Bench(worker, tmp_path)
            bench.sh("kill -9 $$")
        assert bench.lines == []

    def test_cores_are_limited(self, executor: Executor, tmp_path: Path) -> None:
        spin = "import time; end = time.monotonic() + 0.6\nwhile time.monotonic() < end: pass\nprint(time.process_time() < 0.4)"
        with self.open(executor, tmp_path, resources=Resources(cores=0.25)) as worker:
            bench = Bench(worker, tmp_path)
            bench.run("python3", "-c", spin)
        assert bench.stdout == ["True"]

    def test_what_a_link_in_out_leads_to_is_brought_from_the_image(self, bench: Bench) -> None:
        bench.sh("ln -s /etc/debian_version /pfs/out/file; mkdir /tmp/d; echo x > /tmp/d/y; ln -s /tmp/d /pfs/out/d")
        inside = bench.run("cat", "/etc/debian_version", tree=None)
        assert inside.accepted()
        found = {file.path: file.content.read().decode() for file in bench.collect("out")}
        assert found == {"out/file": f"{bench.stdout[0]}\n", "out/d/y": "x\n"}

    # Ends

    def test_containers_of_engines_that_are_gone_are_removed_by_the_next(self, tmp_path: Path) -> None:
        marker = unique_sleep()
        for owner in ("999999999-1", f"{os.getpid()}-1"):
            flags = ["--rm", "--detach", "--network", "none", "--label", f"{OWNER_LABEL}={owner}"]
            subprocess.run([self.program, "run", *flags, IMAGE, "sleep", marker], check=True, capture_output=True)
        assert is_alive(marker)
        with self.open(ContainerExecutor(self.program), tmp_path):
            assert soon(lambda: not is_alive(marker))

    def test_a_container_that_was_killed_is_a_broken_worker(self, executor: Executor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path) as worker:
            name = worker._container.name  # type: ignore[attr-defined]
            subprocess.run([self.program, "kill", name], check=True, capture_output=True)
            with pytest.raises(Unavailable, match="ended unexpectedly"):
                Bench(worker, tmp_path).run("sleep", "5")

    def test_no_container_is_left(self, executor: ContainerExecutor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path) as worker:
            name = worker._container.name  # type: ignore[attr-defined]
            assert executor.engine.state(name)["Status"] == "running"
        assert executor.engine.state(name) == {}


@needs("podman")
class TestPodman(ContainerContract):
    program = "podman"


@needs("docker")
class TestDocker(ContainerContract):
    program = "docker"


@needs_root
@pytest.mark.skipif(not shutil.which("python3", path="/usr/bin"), reason="no system Python that an ordinary user could start")
@pytest.mark.parametrize(
    ("program", "inside"),
    [pytest.param("podman", "0", marks=needs("podman")), pytest.param("docker", "65534", marks=needs("docker"))],
)
def test_without_root_a_container_works_and_what_it_writes_belongs_to_the_user(program: str, inside: str) -> None:
    """The engine as `nobody`, with a home of its own, and the same program in an interpreter that everybody may read."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        package = Path(__file__).parents[2] / "local_runner"
        shutil.copytree(package, Path(folder, "local_runner"), ignore=shutil.ignore_patterns("__pycache__"))
        Path(folder, "engine.py").write_text(_ORDINARY_USER)
        settings = Path(folder, "home/.config/containers/containers.conf")
        settings.parent.mkdir(parents=True)
        settings.write_text(Path(os.environ.get("CONTAINERS_CONF", os.devnull)).read_text())
        for name in ("run", "work"):
            Path(folder, name).mkdir()
        subprocess.run(["chown", "-R", "65534:65534", folder], check=True)
        env = {"HOME": f"{folder}/home", "XDG_RUNTIME_DIR": f"{folder}/run", "PATH": os.environ["PATH"], "PYTHONPATH": folder}
        env |= {name: value for name, value in os.environ.items() if name == "DOCKER_HOST"}

        def as_nobody(*command: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
            user = {"user": 65534, "group": 65534, "extra_groups": ()}
            return subprocess.run(command, env=env, cwd=folder, input=given, capture_output=True, check=False, **user)  # type: ignore[call-overload,no-any-return]

        if (asked := as_nobody(program, "version")).returncode:
            pytest.skip(f"an ordinary user may not use this {program}: {asked.stderr.decode()}")
        as_nobody(program, "import", "-", "local_runner-test/tiny:1", given=packed(("sh", "id", "mkdir", "true")))
        ran = as_nobody("/usr/bin/python3", f"{folder}/engine.py", program, f"{folder}/work")
        written = list(Path(folder, "work/folder/scratch").rglob("out/d/file"))
        as_nobody(program, "rmi", "local_runner-test/tiny:1")
        if program == "podman":
            as_nobody("podman", "unshare", "rm", "-rf", f"{folder}/home/.local")
            as_nobody("podman", "system", "migrate")  # ends the process that keeps the namespace
    limits = program == "docker" or Path("/sys/fs/cgroup/cgroup.controllers").exists()
    assert ran.stdout.decode().splitlines() == [str(limits), f"stdout {inside}", "65534"], ran.stderr.decode()
    assert not written  # the worker has cleared its place


_ORDINARY_USER = """
import sys
from pathlib import Path
from local_runner.executors.base import RunRequest, WorkerRequest
from local_runner.executors.container import ContainerExecutor
from local_runner.executors.launcher.tree import Tree
program, work = sys.argv[1], Path(sys.argv[2])
(work / "pfs").mkdir()
tree = Tree(".scratch/set/1/pfs/1", {"out": ".scratch/set/1/pfs/1/out"}, [("out", 0o777)])
request = WorkerRequest("w", work / "pfs", work / "folder", {"PATH": "/bin"}, "local_runner-test/tiny:1")
executor = ContainerExecutor(program)
print(executor.capabilities.limits_memory)
with executor.worker(request) as worker:
    script = "id -u; mkdir /pfs/out/d && echo x > /pfs/out/d/file"
    result = worker.run(RunRequest(("sh", "-c", script), {}, tree, lambda stream, block: print(stream, block.decode())))
    assert result.accepted(), result
    print((work / "folder/scratch/set/1/pfs/1/out/d/file").stat().st_uid)
    worker.lay(Tree())
"""


def test_an_engine_that_is_not_there_is_an_answer_with_a_remedy() -> None:
    assert "no-such-engine is not installed" in ContainerExecutor("no-such-engine").why_not()
    with pytest.raises(Unavailable, match="no-such-engine is not installed"):
        ContainerExecutor("no-such-engine").engine  # noqa: B018  # it is asked for


def test_the_engine_may_be_chosen_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RUNNER_CONTAINER_ENGINE", "no-such-engine")
    engine, why_not = find_engine()
    assert engine is None
    assert "no-such-engine" in why_not


FakeEngine = Callable[[str], ContainerExecutor]


@pytest.fixture
def fake_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """An executor whose docker answers questions, and runs a container as the given shell script does."""
    program = tmp_path / "bin/docker"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    def make(script: str) -> ContainerExecutor:
        program.write_text(f"""#!/bin/sh
case "$1" in
version) echo 28.0 ;; info) echo '[name=seccomp]' ;; ps) ;; image) echo '{{"Env": ["PATH=/bin"]}}' ;; rm) ;; run) {script} ;;
esac
""")
        program.chmod(0o755)
        return ContainerExecutor("docker")

    return make


def _open(executor: ContainerExecutor, home: Path, **more: object) -> AbstractContextManager[Worker]:
    return executor.worker(worker_request(home, {}, image="me/image:1", **more))


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("Error: writing blob: write /var/x: no space left on device", "the disk is full"),
        ("docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "does not run"),
        ("failed to connect to the docker API at unix:///var/run/docker.sock; check if the daemon is running", "does not run"),
        ("permission denied while trying to connect to the Docker daemon socket", "may not use the container engine"),
        ('Get "http://localhost:9/v2/": dial tcp 127.0.0.1:9: connect: connection refused', "the registry cannot be reached"),
        ('Error: pinging container registry x:9: Get "https://x:9/v2/": dial tcp: connection refused', "the registry cannot be reached"),
        ('Get "https://x:5/v2/": http: server gave HTTP response to HTTPS client', "the registry speaks plain HTTP"),
        ("exec /.local_runner/lib/ld.so: exec format error", "for machines of another kind"),
        ('could not select device driver "" with capabilities: [[gpu]]', "no GPU"),
        ("something nobody has seen before", "something nobody has seen before"),
    ],
)
def test_what_the_engine_complains_about_is_said_with_the_next_step(
    fake_engine: FakeEngine, tmp_path: Path, said: str, meaning: str
) -> None:
    executor = fake_engine(f"echo '{said}' >&2; exit 125")
    with pytest.raises(Unavailable, match=f"docker: .*{meaning}") as raised:
        _open(executor, tmp_path / "home").__enter__()
    assert raised.value.exit_status == 5
    assert raised.value.hint


def test_docker_is_told_the_user_the_limits_and_the_gpus(fake_engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = fake_engine(f'echo "$@" > {tmp_path}/told; exit 125')
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    monkeypatch.setattr(os, "getgid", lambda: 99)
    given = Resources(memory=64_000_000, cores=1.5, reserved_memory=32_000_000, share=0.5, gpus=2)
    with pytest.raises(Unavailable):
        _open(executor, tmp_path / "home", resources=given).__enter__()
    told = (tmp_path / "told").read_text()
    for flag in ("--user 1234:99", "--memory 64000000", "--cpus 1.5", "--memory-reservation 32000000", "--cpu-shares 512", "--gpus 2"):
        assert flag in told
    assert "--network none" in told
