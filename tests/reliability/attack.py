"""What attacks share: what they report, a project of their own to attack, and a look at what it leaves on the machine."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path(tempfile.gettempdir())
HANG = 999  # a status: it did not end in time
_TOLD = 12  # promises that are told in full


@dataclass
class Report:
    """What an attack did (`did`: what -> how often), and each promise it found broken, in words."""

    attack: str
    did: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    skipped: str = ""

    def count(self, what: str, number: int = 1) -> None:
        self.did[what] += number

    def breaks(self, what: str) -> None:
        self.broken.append(what)

    def __str__(self) -> str:
        did = ", ".join(f"{number:,} {what}" for what, number in self.did.items() if number)
        told = "".join(f"\n  {line[:3000]}" for line in self.broken[:_TOLD])
        return f"{self.attack}: {did or self.skipped}; {len(self.broken)} promises broken{told}"


Attack = Callable[[float, int], Report]  # how many times CI's share, and what the choices begin with


class Project:
    """A folder with a home of its own. Every process that is started here carries a mark, by which what it leaves behind is found."""

    def __init__(self, folder: Path, executor: str = "process") -> None:
        self.folder = folder
        self.home = folder / ".local_runner"
        self._mark = f"RELIABILITY_MARK={uuid.uuid4().hex}"
        name, value = self._mark.split("=")
        mine = {"LOCAL_RUNNER_HOME": str(self.home), "LOCAL_RUNNER_EXECUTOR": executor, "LOCAL_RUNNER_JOBS": "2"}
        self.env = {**os.environ, **mine, name: value, "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"}

    # -- commands ------------------------------------------------------------------------------------------------------

    def start(self, *words: str, input: bytes = b"", **more: Any) -> subprocess.Popen[bytes]:
        """A command, in a session of its own, with all it says on one stream."""
        command = [sys.executable, "-m", "local_runner", *words]
        where: dict[str, Any] = {"env": self.env, "cwd": self.folder, "start_new_session": True}
        with tempfile.TemporaryFile() as stdin:
            stdin.write(input)
            stdin.seek(0)
            return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **where, **more)

    def run(self, *words: str, input: bytes = b"", timeout: float = 120, **more: Any) -> tuple[int, str]:
        """Status and output; `HANG` for one that did not end."""
        return end_of(self.start(*words, input=input, **more), timeout)

    def spec(self, name: str, source: str, lines: Sequence[str] = (), **fields: Any) -> str:
        """Write `<name>.json`, a pipeline that runs a shell; returns the file's name."""
        transform = {"cmd": ["sh"], "stdin": list(lines) or [f"cp -r /pfs/{source}/* /pfs/out/"], **fields.pop("transform", {})}
        document = {"pipeline": {"name": name}, "input": {"pfs": {"repo": source, "glob": "/*"}}, "transform": transform, **fields}
        (self.folder / f"{name}.json").write_text(json.dumps(document))
        return f"{name}.json"

    # -- what is there ---------------------------------------------------------------------------------------------------

    def engine(self) -> int:
        """The process that holds `engine.lock`, 0 if none does."""
        with contextlib.suppress(OSError), (self.home / "engine.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found = re.match(r"process (\d+)", lock.read())
                return int(found[1]) if found else 0
        return 0

    def processes(self) -> dict[int, str]:
        """Those that carry the mark or name the home: id -> command line."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environ, line = (folder / "environ").read_bytes(), (folder / "cmdline").read_bytes()
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if state != "Z" and (self._mark.encode() in environ or str(self.home).encode() in line):
                found[int(folder.name)] = line.replace(b"\0", b" ").decode(errors="replace")[:120]
        found.pop(os.getpid(), None)
        return found

    def left(self, patience: float = 8.0) -> list[str]:
        """Processes and mounts that are still there after a while."""
        deadline = time.monotonic() + patience
        while (found := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(self.folder) in line and "tmpfs" not in line]
        return [f"process {number}: {line}" for number, line in found.items()] + mounts

    def workers(self) -> list[Path]:
        """Folders of workers."""
        name = blake2b(str(self.home).encode(), digest_size=6).hexdigest()
        places = [Path(place) / f"local_runner-{os.getuid()}" / name for place in ("/dev/shm", "/var/tmp")]
        return [place for place in places if place.exists()]

    def end(self) -> None:
        """Kill what is left and remove everything."""
        for number in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        for place in self.workers():
            shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def project(executor: str = "process") -> Iterator[Project]:
    """A project in memory, which goes with all it started."""
    made = Project(Path(tempfile.mkdtemp(prefix="attack-", dir=MEMORY)), executor)
    try:
        yield made
    finally:
        made.end()


def end_of(process: subprocess.Popen[bytes], timeout: float) -> tuple[int, str]:
    """Status and output of a process; one that does not end in time is told to say where it is, and its group is killed."""
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # it says where its threads are
        time.sleep(1)
        kill_group(process.pid)
        output, _ = process.communicate()
        return HANG, output.decode(errors="replace")
    return process.returncode, output.decode(errors="replace")


def kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def descendants(process: int) -> dict[int, str]:
    """Of a process: id -> command line."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            children.setdefault(int((folder / "stat").read_text().rpartition(")")[2].split()[1]), []).append(int(folder.name))
    found, waiting = {}, [process]
    while waiting:
        for child in children.get(waiting.pop(), []):
            with contextlib.suppress(OSError):
                found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                waiting.append(child)
    return found


def is_traceback(text: str) -> bool:
    return "Traceback" in text or "internal error" in text


def scaled(share: int, scale: float) -> int:
    """How often, at this scale."""
    return max(1, round(share * scale))
