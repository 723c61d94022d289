"""Every way out that was thought of is tried, as root and as an ordinary user, in the sandbox and in containers; SANDBOX.md tells of it."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_runner.cli.pachctl_inside import VERBS, VERBS_ALONE
from local_runner.executors.sandbox import SandboxExecutor
from tests.contracts.breakouts import ATTEMPTS, OF_THE_CONTAINER, OF_THE_IMAGE, Attempt
from tests.engine.test_breakouts import ATTEMPTS as OF_ENGINE
from tests.support.containers import IMAGE, why_not
from tests.support.images import PROGRAMS, USERS, Image, layer, of_this_machine

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "SANDBOX.md"
NOBODY = 65534
PYTHON = shutil.which("python3", path="/usr/bin") or sys.executable
WATCHED = ("/tmp", "/var/tmp", "/dev/shm", "/etc", "/var/lib", "/root", "/home", "/srv", "/opt")

MODES = {
    "sandbox": os.getuid(),
    "sandbox of an ordinary user": NOBODY,
    "sandbox with an image": os.getuid(),
    "sandbox with an image of an ordinary user": NOBODY,
    "sandbox with a merged image": os.getuid(),
    "sandbox with a merged image of an ordinary user": NOBODY,
    "podman": os.getuid(),
    "docker": os.getuid(),
}


class Host:
    """What user code must not get at: places and their names in attempts; `holds` is whether all of it is as it was."""

    def __init__(self, stack: contextlib.ExitStack, user: int) -> None:
        self.bait = f"bait{uuid.uuid4().hex[:12]}"
        self.names = {"NAME": self.bait}
        home = pwd.getpwuid(user).pw_dir
        places = {"OWNHOME": home, "HOME": "/home", "SRV": "/srv", "VAR": "/var/lib", "OPT": "/opt", "ROOT": "/"}
        places |= {"TMP": "/tmp", "VARTMP": "/var/tmp", "SHM": "/dev/shm", "WATCHED": "/var/tmp"}
        for name, parent in places.items():
            folder = self._folder(stack, parent)
            self.names[name] = parent if name == "OWNHOME" else folder
        self.watched = self.names["WATCHED"]
        self.place = self._folder(stack, "/var/tmp", user)  # of the worker
        self.names["WORKER"] = self._folder(stack, "/var/tmp")
        self.project = Path(self._folder(stack, "/var/tmp"))
        (self.project / "main").touch()
        self.state = self.project / ".local_runner"
        self.state.mkdir()
        (self.state / self.bait).write_text(self.bait)
        (self.project / self.bait).unlink()  # the code may be read
        self.names["STATE"] = str(self.state)
        self.secrets = self._folder(stack, "/var/tmp")
        Path(self.secrets, self.bait).rename(Path(self.secrets, "key"))
        Path(self.secrets, "key").write_text("the worker's own")
        self._victim(stack, user)
        self._services(stack)
        self._segments(stack)
        disk = os.stat("/").st_dev
        self.names["DISK"] = f"{os.major(disk)} {os.minor(disk)}"
        self.kernel = self._kernel()

    def _folder(self, stack: contextlib.ExitStack, parent: str, owner: int = -1) -> str:
        """A folder that everybody may read, with the bait in it, if one can be made there."""
        if not os.access(parent, os.W_OK):
            return "/no-such-folder"
        folder = tempfile.mkdtemp(prefix="lure-", dir=parent)
        stack.callback(subprocess.run, ["rm", "-rf", folder], check=True)
        os.chmod(folder, 0o755)
        Path(folder, self.bait).write_text(f"{self.bait}\n")
        if owner >= 0:
            os.chown(folder, owner, owner)
        return folder

    def _victim(self, stack: contextlib.ExitStack, user: int) -> None:
        as_user = {"user": user, "group": user, "extra_groups": []} if user != os.getuid() else {}
        env = {**os.environ, "BAIT": self.bait}
        code = "import sys; sys.stdin.read()"
        self.victim = subprocess.Popen([PYTHON, "-c", code, self.bait], stdin=subprocess.PIPE, env=env, cwd="/", **as_user)  # type: ignore[call-overload]
        stack.callback(self.victim.stdin.close)
        stack.callback(self.victim.wait)
        stack.callback(self.victim.kill)
        self.names["PID"] = str(self.victim.pid)

    def _services(self, stack: contextlib.ExitStack) -> None:
        port = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.names["PORT"] = str(port.getsockname()[1])
        self.names["ABSTRACT"] = uuid.uuid4().hex
        abstract, named = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
        abstract.bind(f"\0{self.names['ABSTRACT']}")
        self.names["SOCKET"] = f"{self.names['VAR'] if os.path.isdir(self.names['VAR']) else self.names['TMP']}/socket"
        named.bind(self.names["SOCKET"])
        os.chmod(self.names["SOCKET"], 0o777)
        for server in (abstract, named):
            server.listen()
        for server in (port, abstract, named):
            threading.Thread(target=self._serve, args=(server,), daemon=True).start()
            stack.callback(server.shutdown, socket.SHUT_RDWR)

    def _serve(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection:
                    connection.sendall(self.bait.encode())

    def _segments(self, stack: contextlib.ExitStack) -> None:
        libc, key = ctypes.CDLL(None), uuid.uuid4().int % 10**9
        self.names["SHMKEY"] = str(key)
        segment, queue = libc.shmget(key, 4096, 0o1666), libc.msgget(key, 0o1666)
        stack.callback(libc.shmctl, segment, 0, None)
        stack.callback(libc.msgctl, queue, 0, None)

    def _kernel(self) -> list[str]:
        settings = [Path("/proc/sys/kernel", name) for name in ("core_pattern", "modprobe", "hostname", "pid_max")]
        return [setting.read_text() for setting in settings if setting.exists()]

    def changes(self) -> list[str]:
        """What is not as it was."""
        found = [f"{folder}/{self.bait}-left" for folder in WATCHED if os.path.exists(f"{folder}/{self.bait}-left")]
        found += [f"{self.watched}/{name}" for name in os.listdir(self.watched) if name != self.bait]
        found += ["the victim has ended"] if self.victim.poll() is not None else []
        if Path(f"/proc/{self.victim.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            found.append("the victim was stopped")
        return found + (["the kernel"] if self._kernel() != self.kernel else [])


class Jail:
    """A process that runs attempts as a user, with a copy of the package that this user may read."""

    def __init__(self, stack: contextlib.ExitStack, kind: str, user: int) -> None:
        self.kind, self.host = kind, Host(stack, user)
        host = self.host
        package = Path(host.place, "package")
        shutil.copytree(ROOT / "local_runner", package / "local_runner", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "tests" / "contracts" / "jailed.py", package)
        subprocess.run(["chmod", "-R", "a+rX", str(package)], check=True)
        path = f"{'/usr/local/bin:' if kind != 'sandbox' else ''}/usr/sbin:/usr/bin:/sbin:/bin"
        request = {
            "env": {"PATH": path, "HOME": pwd.getpwuid(user).pw_dir},
            "image": IMAGE,
            "code": {"/app": str(host.project)} if kind == "sandbox" else {},
            "rootfs": "",
            "archive": "",
            "stacks": "merged" not in kind,
            "mounts": {"/secrets": host.secrets},
            "hidden": [str(host.state)],
        }
        if "image" in kind:
            library = subprocess.check_output([PYTHON, "-c", "import os; print(os.path.dirname(os.__file__))"], text=True).strip()
            archive = Path(host.place, "image.tar")
            Image([of_this_machine(*PROGRAMS, PYTHON), layer(*USERS)]).as_archive(archive)
            request |= {"rootfs": "acme/scan:1", "archive": str(archive), "code": {library: library, "/app": str(host.project)}}
        command = [PYTHON, "-m", "jailed", "sandbox" if "sandbox" in kind else kind, f"{host.place}/work", json.dumps(request)]
        as_user = {"user": user, "group": user, "extra_groups": []} if user != os.getuid() else {}
        self._process = subprocess.Popen(  # type: ignore[call-overload]
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=package,
            env={**os.environ, "PYTHONPATH": str(package), "XDG_CACHE_HOME": f"{host.place}/cache"},
            **as_user,
        )
        stack.callback(self._process.stdout.close)
        stack.callback(self._process.wait)
        stack.callback(self._process.stdin.close)

    def run(self, attempt: Attempt) -> list[str]:
        code = re.sub("@([A-Z]+)@", lambda found: self.host.names[found[1]], attempt.code)
        command = ["sh", "-c", code] if attempt.language == "sh" else ["python3", "-c", code]
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "nobody could run it"
        return list(json.loads(answer))


@pytest.fixture(scope="module", params=list(MODES))
def jail(request: pytest.FixtureRequest) -> Iterator[Jail]:
    kind, user = request.param, MODES[request.param]
    if "sandbox" in kind and (reason := SandboxExecutor().why_not()):
        pytest.skip(reason)
    if "sandbox" not in kind and (reason := why_not(kind, (IMAGE,))):
        pytest.skip(reason)
    if user != os.getuid() and os.geteuid() != 0:
        pytest.skip("only root may become another user")
    with contextlib.ExitStack() as stack:
        yield Jail(stack, kind, user)


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=[attempt.name for attempt in ATTEMPTS])
def test_nobody_gets_out(jail: Jail, attempt: Attempt) -> None:
    if attempt.only and attempt.only not in jail.kind:
        pytest.skip("no promise of containers: their engine decides it")
    said = jail.run(attempt)
    print("\n".join(said))
    # A merged copy is not written to, like the host's files.
    is_own = "merged" not in jail.kind
    own = OF_THE_IMAGE if "image" in jail.kind and is_own else OF_THE_CONTAINER if "sandbox" not in jail.kind else frozenset()
    escapes = attempt.name not in own
    assert not [line for line in said if (escapes and line.startswith("escaped")) or jail.host.bait in line]
    assert jail.host.changes() == []


def test_the_page_tells_of_every_attempt_and_of_nothing_else() -> None:
    _, _, tables = PAGE.read_text().partition("## Ways out that were tried")
    rows = [line.strip("| ").split(" | ") for line in tables.splitlines() if line.startswith("| ") and line != "| attempt | held by |"]
    assert rows == [[attempt.name, attempt.holds] for attempt in (*ATTEMPTS, *OF_ENGINE)]


def test_the_page_says_what_each_thing_is_that_holds() -> None:
    said = set(re.findall(r"^\* \*\*(.+?)\*\*:", PAGE.read_text(), re.M))
    assert said == {attempt.holds for attempt in (*ATTEMPTS, *OF_ENGINE)}


def test_the_page_tells_which_verbs_user_code_may_ask_for() -> None:
    rows = dict(re.findall(r"^\| (`[\w`, ]+) \| ([\w, ]*) ?\|$", PAGE.read_text(), re.M))
    told = {(verb, noun) for verbs, nouns in rows.items() for verb in re.findall(r"\w+", verbs) for noun in nouns.strip().split(", ")}
    assert told == {(verb, noun) for verb, nouns in VERBS.items() for noun in nouns} | {(verb, "") for verb in VERBS_ALONE}


def test_every_attempt_is_one_of_its_own() -> None:
    assert len({attempt.name for attempt in ATTEMPTS}) == len({attempt.code for attempt in ATTEMPTS}) == len(ATTEMPTS) >= 60
