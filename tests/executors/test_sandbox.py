from __future__ import annotations

import ctypes
import os
import platform
import pwd
import shutil
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from local_runner.errors import Unavailable
from local_runner.executors.base import MOST_PROCESSES, Executor, Worker, WorkerRequest
from local_runner.executors.resources import Resources
from local_runner.executors.sandbox import SandboxExecutor, arrange
from local_runner.executors.users import UserFiles, find_user
from tests.contracts.bench import PATH, Bench, unique_sleep
from tests.contracts.executor import ExecutorContract
from tests.contracts.isolation import BOMB, IsolationContract

# The calls keyctl and add_key of x86_64; what to do with a key, and this user's own keyring.
_KEYCTL, _ADD_KEY, _REVOKE, _SEARCH, _OF_USER = 250, 248, 3, 10, -4
_FIND_KEY = (
    f"import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall({_KEYCTL}, {_SEARCH}, {_OF_USER}, b'user', sys.argv[1].encode(), 0) == -1)"
)

WHY_NOT = SandboxExecutor().why_not()
HOME = pwd.getpwuid(os.getuid()).pw_dir

needs_sandbox = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


@needs_sandbox
class TestSandboxExecutor(ExecutorContract, IsolationContract):
    python = sys.executable

    def open(self, executor: Executor, home: Path, **more: object) -> AbstractContextManager[Worker]:
        more.setdefault("visible", (Path(sys.prefix), Path(sys.base_prefix)))
        return super().open(executor, home, **more)

    @pytest.fixture
    def executor(self) -> SandboxExecutor:
        return SandboxExecutor()

    def test_tmp_and_home_are_shared_by_the_datums_of_one_worker_only(self, executor: SandboxExecutor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path / "a", visible=()) as first, self.open(executor, tmp_path / "b") as second:
            one, two = Bench(first, tmp_path / "a"), Bench(second, tmp_path / "b")
            assert one.sh("ls -A $HOME; echo x > /tmp/left && echo y > ~/left && echo z > /var/tmp/left").accepted()
            assert one.sh("cat /tmp/left ~/left /var/tmp/left").accepted()
            assert one.stdout == ["x", "y", "z"]
            assert not two.sh("cat /tmp/left || cat ~/left || cat /var/tmp/left").accepted()
        assert not Path("/tmp/left").exists()
        assert not Path(HOME, "left").exists()

    def test_the_host_is_read_only_and_what_is_made_beside_it_is_the_workers_own(self, bench: Bench) -> None:
        assert not bench.run("touch", "/usr/local_runner-test").accepted()
        assert not bench.sh("echo x >> /etc/passwd").accepted()
        assert bench.run("touch", "/etc/local_runner-test", "/local_runner-test").accepted()
        for path in ("/usr/local_runner-test", "/etc/local_runner-test", "/local_runner-test"):
            assert not Path(path).exists()
        assert not bench.sh("mount -o remount,rw,bind /usr").accepted()

    @pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of these calls are those of another machine")
    def test_the_keys_of_whoever_runs_this_are_not_found(self, bench: Bench) -> None:
        libc, name = ctypes.CDLL(None), f"local_runner-test-{unique_sleep()}"
        key = libc.syscall(_ADD_KEY, b"user", name.encode(), b"secret", 6, _OF_USER)
        if key == -1:
            pytest.skip("there are no keyrings here, either")
        try:
            assert not bench.run(self.python, "-c", _FIND_KEY, name).accepted()
        finally:
            libc.syscall(_KEYCTL, _REVOKE, key)

    def test_files_in_memory_are_limited_as_memory_is(self, executor: SandboxExecutor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path, resources=Resources(memory=50_000_000)) as worker:
            bench = Bench(worker, tmp_path)
            for place in ("/file", "/dev/shm/file", "/dev/file"):
                assert not bench.sh(f"head -c 100000000 /dev/zero > {place}").accepted()

    def test_memory_is_limited_before_a_command_can_start_another(self, executor: SandboxExecutor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path, resources=Resources(memory=50_000_000)) as worker:
            bench = Bench(worker, tmp_path)
            for _ in range(30):
                assert bench.sh("sh -c 'ulimit -d'").accepted()
                assert bench.stdout[-1].strip() == "48828"

    def test_less_memory_than_the_launcher_has_is_a_limit_too(self, executor: SandboxExecutor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path, resources=Resources(memory=1_000_000)) as worker:
            bench = Bench(worker, tmp_path)
            assert bench.sh("ulimit -Hd").accepted()
            assert not bench.run(self.python, "-c", "bytes(10_000_000)").accepted()

    def test_a_link_leads_to_nothing_of_the_hosts_that_is_not_seen_inside(self, bench: Bench) -> None:
        assert bench.sh("cd /pfs/out; ln -s /proc/1/environ environ; ln -s /dev/shm shm; ln -s /var/run run; ln -s /dev/fd fd").accepted()
        found = {file.path: file.error for file in bench.collect("out")}
        assert found == dict.fromkeys(("out/environ", "out/fd"), "it is a link that leads nowhere")

    def test_a_new_folder_in_the_root_is_the_workers_own(self, bench: Bench) -> None:
        assert bench.sh("mkdir /local_runner-test && echo x > /local_runner-test/x").accepted()
        assert not Path("/local_runner-test").exists()

    def test_only_the_processes_of_the_worker_are_seen(self, bench: Bench) -> None:
        bench.sh("ls -d /proc/[0-9]* | wc -l")
        assert int(bench.stdout[0]) < 6

    def test_devices_and_shared_memory_work(self, bench: Bench) -> None:
        assert bench.sh("echo x > /dev/null && head -c 1 /dev/urandom > /dev/shm/x && echo y > /dev/stdout").accepted()
        assert not Path("/dev/shm/x").exists()
        assert bench.stdout == ["y"]

    def test_what_is_hidden_is_shown_where_asked(self, executor: SandboxExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        project, secret, more = tmp_path / "project", tmp_path / "secret", tmp_path / "more"
        for folder in (project, secret, more):
            folder.mkdir()
            (folder / "file").write_text(folder.name)
        monkeypatch.setenv("LOCAL_RUNNER_VISIBLE", f"{more}:{tmp_path}/missing")
        visible = (project, Path(sys.executable), Path(sys.prefix), Path(sys.base_prefix))
        with self.open(executor, tmp_path / "worker", visible=visible) as worker:
            bench = Bench(worker, tmp_path / "worker")
            bench.run("cat", str(project / "file"), str(more / "file"))
            assert not bench.run("cat", str(secret / "file")).accepted()
            for folder in (project, more):
                assert not bench.run("touch", str(folder / "new")).accepted()
            assert bench.run(sys.executable, "-c", "import ssl, sqlite3").accepted()
        assert bench.stdout == ["projectmore"]

    @pytest.mark.parametrize(
        ("program", "script"),
        [
            ("bash", "bash -lc 'exec bash -c \"type cd\"'"),
            ("git", "cd && git init -q r && cd r && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x && git log -1"),
            ("getent", "getent passwd root && getent group root && getent hosts localhost"),
            ("date", "TZ=Europe/Berlin date +%Z | grep -E 'CES?T'"),
            ("perl", "perl -MPOSIX -e 'print 1'"),
            ("gcc", "echo 'int main(void) { return 0; }' > /tmp/x.c && gcc -o /tmp/x /tmp/x.c && /tmp/x"),
            ("awk", "echo a b | awk '{ print $2 }' | grep b"),  # found by /etc/alternatives
            ("nproc", "test $(nproc) = $(ls -d /sys/devices/system/cpu/cpu[0-9]* | wc -l) || nproc"),
            ("fc-list", "fc-list > /dev/null"),
            (
                "",
                '[ -z "$(ls -A /etc/ssl/certs)" ] || PYTHON -c "import ssl; assert ssl.create_default_context().get_ca_certs()"',
            ),
            ("", "PYTHON -c 'import ctypes, decimal, hashlib, lzma, sqlite3, zoneinfo; zoneinfo.ZoneInfo(\"UTC\")'"),
            ("", "PYTHON -c 'import numpy; numpy.linalg.inv(numpy.eye(200))'"),
            ("", 'PYTHON -c \'import importlib.util as u; u.find_spec("sklearn") and __import__("sklearn.svm")\''),
            ("", "PYTHON -c 'import multiprocessing as m; print(m.Pool(2).map(abs, [-1, 2]))'"),
            ("", "PYTHON -c 'import getpass, pathlib, tempfile; getpass.getuser(); pathlib.Path.home(); tempfile.mkdtemp()'"),
        ],
    )
    def test_ordinary_programs_find_what_they_need(self, bench: Bench, program: str, script: str) -> None:
        if program and not shutil.which(program):
            pytest.skip(f"there is no {program} here")
        assert bench.sh(script.replace("PYTHON", sys.executable), timeout=60).accepted(), bench.lines

    def test_a_home_that_lies_in_what_is_shown_is_not_seen(self, executor: SandboxExecutor, tmp_path: Path) -> None:
        """A project whose image is copied from its whole folder has the home in it."""
        project = tmp_path / "project"
        (project / ".local_runner").mkdir(parents=True)
        for path in ("main", ".local_runner/records"):
            (project / path).write_text("x")
        (tmp_path / "link").symlink_to(project)
        code, home = {"/app": tmp_path / "link"}, tmp_path / "link" / ".local_runner"
        with self.open(executor, tmp_path / "worker", code=code, visible=(project,), hidden=(home,)) as worker:
            bench = Bench(worker, tmp_path / "worker")
            assert bench.run("ls", "-A", "/app", "/app/.local_runner", str(project / ".local_runner")).accepted()
            assert not bench.run("touch", "/app/.local_runner/x").accepted()
            assert not bench.sh("umount /app/.local_runner").accepted()
        assert "records" not in bench.stdout
        assert "main" in bench.stdout

    def test_code_is_read_only_and_the_folder_around_it_is_not_the_hosts(self, executor: SandboxExecutor, tmp_path: Path) -> None:
        (tmp_path / "main").write_text("main")
        code = {"/usr/lib/no-such-app/main": tmp_path / "main", "/etc/no-such-file": tmp_path / "main"}
        with self.open(executor, tmp_path, code=code) as worker:
            bench = Bench(worker, tmp_path)
            assert not bench.sh("echo x > /usr/lib/no-such-app/main").accepted()
            assert bench.sh("echo x > /usr/lib/no-such-app/new").accepted()
            assert bench.run("cat", "/etc/no-such-file", "/etc/passwd").accepted()
            assert bench.run("ls", "/usr/lib", "/usr/bin/env").accepted()
        assert (tmp_path / "main").read_text() == "main"
        assert not Path("/etc/no-such-file").exists()

    def test_a_home_folder_the_host_does_not_have_is_made(self, executor: SandboxExecutor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path, env={"PATH": PATH, "HOME": "/home/no-such-user"}) as worker:
            assert Bench(worker, tmp_path).sh("cd && pwd && touch x").accepted()

    @needs_root
    def test_user_code_runs_as_the_user_of_the_transform(self, executor: SandboxExecutor, tmp_path: Path) -> None:
        for folder in (tmp_path, tmp_path / "folder"):
            folder.mkdir(exist_ok=True)
            shutil.chown(folder, "nobody")
        with self.open(executor, tmp_path, user="nobody") as worker:
            bench = Bench(worker, tmp_path)
            assert bench.sh("id -un; id -G | wc -w; touch /tmp/x /pfs/new ~/x; echo x > /dev/stdout; echo x > /pfs/out/x").accepted()
            assert bench.sh("ls /pfs").accepted()
        assert bench.stdout == ["nobody", "1", "x", "in", "out"]

    @needs_root
    def test_a_user_who_is_not_known_cannot_have_a_worker(self, executor: SandboxExecutor, tmp_path: Path) -> None:
        with pytest.raises(Unavailable, match="user no-such-user not found"), self.open(executor, tmp_path, user="no-such-user"):
            pass

    @needs_root
    def test_an_ordinary_user_is_root_inside_and_owns_the_files_outside(self) -> None:
        """The same program in another interpreter, which everybody may read."""
        python = shutil.which("python3", path="/usr/bin")
        if not python or sys.version_info[:2] > (3, 13) or "3.1" not in subprocess.check_output([python, "-V"], text=True):
            pytest.skip("no system Python that an ordinary user could start")
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            package = Path(__file__).parents[2] / "local_runner"
            for room in ("executors", "model"):
                shutil.copytree(package / room, Path(folder, "local_runner", room), ignore=shutil.ignore_patterns("__pycache__"))
            for name in ("errors.py", "beneath.py"):
                shutil.copy(package / name, Path(folder, "local_runner", name))
            program = Path(folder, "engine.py")
            program.write_text(
                "import sys\n"
                "from pathlib import Path\n"
                "from local_runner.executors.sandbox import SandboxExecutor\n"
                "from local_runner.executors.base import RunRequest, WorkerRequest\n"
                "def show(stream, block): print(*(f'{stream} {line}' for line in block.decode().split('\\n')), sep='\\n')\n"
                "pfs = Path(sys.argv[1])\n"
                "pfs.mkdir()\n"
                "executor, folder = SandboxExecutor(), Path(sys.argv[1] + '.folder')\n"
                "assert executor.why_not() == '', executor.why_not()\n"
                "with executor.worker(WorkerRequest('w', pfs, folder, {'PATH': '/usr/bin:/bin', 'HOME': '/root'})) as worker:\n"
                "    script = 'id -u; touch /pfs/file /tmp/x ~/x || exit 1; touch /usr/x && exit 2; cat /proc/1/comm'\n"
                "    result = worker.run(RunRequest(('sh', '-c', script), {}, None, show))\n"
                "    assert result.accepted(), result\n"
                "    assert executor.capabilities.limits_processes\n"
                "    result = worker.run(RunRequest(('python3', '-c', sys.argv[2], '1'), {}, None, show))\n"
                "    assert result.exit_code == 1, result\n"
            )
            os.chmod(folder, 0o777)
            subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
            printed = subprocess.run(
                [python, str(program), f"{folder}/pfs", BOMB],
                user=65534,
                group=65534,
                extra_groups=[],
                cwd=folder,
                text=True,
                capture_output=True,
            )
            assert printed.returncode == 0, printed.stderr
            lines = printed.stdout.splitlines()
            assert lines[0] == "stdout 0"
            bomb = next(line for line in lines if line.startswith("stdout") and line.endswith("Resource temporarily unavailable"))
            assert MOST_PROCESSES // 2 < int(bomb.split()[1]) <= MOST_PROCESSES
            assert Path(folder, "pfs/file").stat().st_uid == 65534


def test_what_is_visible_anyway_is_not_mounted_again(tmp_path: Path) -> None:
    request = WorkerRequest("w", tmp_path / "pfs", tmp_path / "folder", {"HOME": "/home/somebody"}, visible=(Path("/usr/lib"), tmp_path))
    steps = arrange(request, tmp_path)
    assert [inside for kind, _, inside in steps if kind == "ro"] == [str(tmp_path)]
    assert [inside for kind, _, inside in steps if kind == "rw"][-2:] == ["/pfs", "/pfs/.scratch"]


def test_every_link_on_the_way_to_an_interpreter_is_there(tmp_path: Path) -> None:
    """As of one in a folder of its own, with a link that names its version and a virtual environment that names that."""
    (tmp_path / "python-3.11.7").mkdir()
    (tmp_path / "python-3.11.7" / "python3").touch()
    (tmp_path / "python-3.11").symlink_to("python-3.11.7")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "python3").symlink_to(tmp_path / "bin-python3")
    (tmp_path / "bin-python3").symlink_to("python-3.11/python3")
    (tmp_path / "own").mkdir()
    visible = (tmp_path / "venv" / "python3",)
    steps = arrange(WorkerRequest("w", tmp_path / "pfs", tmp_path / "folder", {}, visible=visible), tmp_path / "own")
    real = str(tmp_path / "python-3.11.7" / "python3")
    names = ("venv/python3", "bin-python3", "python-3.11/python3", "python-3.11.7/python3")
    assert [(source, inside) for kind, source, inside in steps if kind == "ro"] == [(real, str(tmp_path / name)) for name in names]


def test_a_user_is_found_by_name_or_number_and_may_have_a_group(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nann:x:1001:1002::/home/ann:/bin/sh\n")
    (tmp_path / "group").write_text("staff:x:50:\n")
    files = UserFiles.of(tmp_path)
    assert find_user("ann", files) == find_user("1001", files) == (1001, 1002)
    assert find_user("ann:staff", files) == find_user("ann:50", files) == (1001, 50)
    assert find_user("ann:77", files) == (1001, 77)
    with pytest.raises(Unavailable, match="user bob not found"):
        find_user("bob", files)
    with pytest.raises(Unavailable, match="group crew not found"):
        find_user("ann:crew", files)
